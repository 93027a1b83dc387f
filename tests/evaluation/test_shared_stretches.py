"""Stretches shared with a corpus that comes in pieces, against naive twins."""

import itertools
import random
import tracemalloc

import pytest
from texts import in_pieces, random_text

from charrnn.errors import ConfigError
from charrnn.evaluation import hashes
from charrnn.evaluation import shared_stretches as module
from charrnn.evaluation.shared_stretches import (
    Stretch,
    covered,
    line_numbers,
    shared_stretches,
)


def naive_spans(text, pieces, length):
    """Return the ends of all stretches that are part of no other, one by one."""
    spans = [
        (start, end)
        for start in range(len(text))
        for end in range(start + length, len(text) + 1)
        if any(text[start:end] in piece for piece in pieces)
    ]
    return [
        (a, b)
        for a, b in spans
        if not any((c, d) != (a, b) and c <= a and b <= d for c, d in spans)
    ]


def check(texts, pieces, length, *, gaps=False):
    """Check what is found against the naive twin; return it."""
    found = shared_stretches(texts, pieces, length, gaps=gaps)
    corpus = "".join(pieces)
    for text, stretches in zip(texts, found, strict=True):
        spans = [(each.start, each.end) for each in stretches]
        assert spans == naive_spans(text, pieces if gaps else [corpus], length)
        for each in stretches:
            there = corpus[each.place : each.place + each.end - each.start]
            assert there == text[each.start : each.end]
    return found


@pytest.mark.parametrize(
    ("text", "corpus", "length", "expected"),
    [
        ("", "", 1, []),
        ("abc", "", 1, []),
        ("", "abc", 1, []),
        ("abc", "xyz", 1, []),
        ("abc", "xabcx", 3, [(0, 3, 1)]),
        ("abc", "xabcx", 4, []),
        ("xabcdx", "cdx abc", 3, [(1, 4, 4), (3, 6, 0)]),  # they overlap
        ("ab", "aba", 1, [(0, 2, 0)]),
        ("naïve 戦争😀", "*戦争😀", 2, [(6, 9, 1)]),
        ("x\ud800y", "\ud800y", 2, [(1, 3, 0)]),
    ],
)
def test_shared_stretches(text, corpus, length, expected):
    found = shared_stretches([text], [corpus], length)
    assert found == [[Stretch(*each) for each in expected]]


@pytest.mark.parametrize("alphabet", ["a", "ab", "abcd", "é戦😀\n"])
@pytest.mark.parametrize(
    ("where", "name", "value"),
    [
        (module, "_CHUNK", 1),
        (module, "_CHUNK", 1 << 18),
        (module, "_BATCH", 1),
        (module, "_BATCH", 11),
        (hashes, "_BASE", 1),  # then nearly all hashes collide
    ],
)
def test_all_stretches_are_found_whatever_the_working_sizes(
    monkeypatch, alphabet, where, name, value
):
    monkeypatch.setattr(module, "_CHUNK", 7)
    monkeypatch.setattr(where, name, value)
    rng = random.Random(2)
    for _ in range(25):
        texts = [random_text(rng, alphabet, rng.randrange(25)) for _ in range(3)]
        corpus = random_text(rng, alphabet, rng.randrange(90))
        copied = rng.randrange(len(corpus) + 1)
        texts[0] += corpus[copied : copied + 12]
        for length in (1, 3, 6):
            check(texts, in_pieces(rng, corpus), length, gaps=rng.random() < 0.5)


def test_long_copies_over_many_chunks_and_batches(monkeypatch):
    monkeypatch.setattr(module, "_CHUNK", 64)
    monkeypatch.setattr(module, "_BATCH", 100)
    corpus = random_text(random.Random(3), "abcdefgh", 5000)
    text = f"zz{corpus[1000:2000]}yy{corpus[10:50]}{corpus[4500:]}"
    (found,) = shared_stretches([text], [corpus], 30)
    assert found == [
        Stretch(2, 1002, 1000),
        Stretch(1004, 1044, 10),
        Stretch(1044, 1544, 4500),
    ]
    assert shared_stretches([corpus], [corpus], 30) == [[Stretch(0, 5000, 0)]]
    everywhere = shared_stretches(["b" + "a" * 300], ["a" * 900], 30)
    assert [(each.start, each.end) for each in everywhere[0]] == [(1, 301)]


def test_nothing_crosses_a_gap_and_places_count_the_pieces():
    pieces = ["xx one tw", "o three fo", "ur"]
    assert shared_stretches(["one two three"], pieces, 5) == [[Stretch(0, 13, 3)]]
    assert shared_stretches(["one two three"], pieces, 5, gaps=True) == [
        [Stretch(0, 6, 3), Stretch(6, 13, 9)]
    ]


def test_a_long_corpus_takes_little_memory():
    def pieces():
        rng = random.Random(5)
        for _ in range(8):
            yield random_text(rng, "ab", 1 << 16) + "c" * (1 << 18)

    text = random_text(random.Random(6), "ab", 100) + "c" * 100
    tracemalloc.start()
    shared_stretches([text], itertools.islice(pieces(), 4), 50)
    _, few = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    shared_stretches([text], pieces(), 50)
    _, many = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert many < 1.3 * few


def test_which_characters_are_covered():
    found = [Stretch(1, 3, 0), Stretch(2, 6, 9)]
    assert covered(found, 7).tolist() == [0, 1, 1, 1, 1, 1, 0]
    assert covered(found, 7, length=3).tolist() == [0, 0, 1, 1, 1, 1, 0]
    assert covered([], 2).tolist() == [0, 0]


def test_line_numbers_equal_those_of_a_count():
    rng = random.Random(8)
    for _ in range(30):
        text = random_text(rng, "ab\n", 60)
        places = rng.choices(range(60), k=9)
        expected = [text[:place].count("\n") + 1 for place in places]
        assert line_numbers(in_pieces(rng, text), places) == expected
    assert line_numbers([], []) == []


@pytest.mark.parametrize("place", [3, 99])
def test_a_place_outside_the_text_has_no_line(place):
    with pytest.raises(ConfigError, match=f"place {place}; the text has 3 characters"):
        line_numbers(["a", "bc"], [1, place])


def test_a_length_that_makes_no_sense():
    with pytest.raises(ConfigError, match="length is 0"):
        shared_stretches(["a"], ["a"], 0)
