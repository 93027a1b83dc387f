"""Copies and words shared with a corpus that comes in pieces, against naive twins."""

import itertools
import random
import tracemalloc

import pytest
from texts import in_pieces, random_text

from charrnn.evaluation import corpus_search, hashes, stretches
from charrnn.evaluation.corpus_search import longest_copy, search_corpus
from charrnn.evaluation.stretches import ranks_of
from charrnn.evaluation.textstats import words


def naive_longest_copy(text, corpus):
    """Longest common substring by dynamic programming, the first one in `text`."""
    best, best_end, previous = 0, 0, [0] * (len(corpus) + 1)
    for end, character in enumerate(text, 1):
        current = [0] * (len(corpus) + 1)
        for j, other in enumerate(corpus, 1):
            current[j] = previous[j - 1] + 1 if character == other else 0
            if current[j] > best:
                best, best_end = current[j], end
        previous = current
    return text[best_end - best : best_end]


@pytest.mark.parametrize(
    ("text", "corpus", "expected"),
    [
        ("", "", ""),
        ("", "abc", ""),
        ("abc", "", ""),
        ("abc", "xyz", ""),
        ("abc", "xcx", "c"),
        ("abc", "abc", "abc"),
        ("xabcx", "abc", "abc"),
        ("abc", "xabcx", "abc"),
        ("ab-cd", "cd+ab", "ab"),  # equally long: the first in the text
        ("a" * 900, "a" * 700, "a" * 700),
        ("a" * 700, "a" * 900, "a" * 700),
        ("ab" * 500, "xx" + "ba" * 37 + "yy", "ba" * 37),
        ("naïve 戦争と平和 😀!", "*戦争と平和 😀*", "戦争と平和 😀"),
        ("x\ud800y", "\ud800y", "\ud800y"),
    ],
)
def test_longest_copy(text, corpus, expected):
    assert longest_copy(text, corpus) == expected


@pytest.mark.parametrize("alphabet", ["a", "ab", "abcd", "abcdefghijklmnop", "é戦😀"])
def test_longest_copy_equals_dynamic_programming(alphabet):
    rng = random.Random(2)
    for _ in range(60):
        text = random_text(rng, alphabet, rng.randrange(40))
        corpus = random_text(rng, alphabet, rng.randrange(90))
        assert longest_copy(text, corpus) == naive_longest_copy(text, corpus)


@pytest.mark.parametrize(
    ("module", "name", "value"),
    [
        (corpus_search, "_CHUNK", 1),
        (corpus_search, "_CHUNK", 13),
        (hashes, "_BASE", 1),  # then nearly all hashes collide
        (stretches, "_TABLE", 0),
    ],
)
def test_longest_copy_whatever_its_working_sizes(monkeypatch, module, name, value):
    monkeypatch.setattr(module, name, value)
    rng = random.Random(3)
    for alphabet in ("ab", "abcdefgh"):
        for size in (1, 5, 30):
            text = random_text(rng, alphabet, size)
            corpus = random_text(rng, alphabet, 101)
            assert longest_copy(text, corpus) == naive_longest_copy(text, corpus)


@pytest.mark.parametrize("planted", [1, 63, 64, 65, 1000])
def test_longest_copy_finds_a_planted_stretch(planted):
    stretch = "".join(map(chr, range(0x400, 0x400 + planted)))
    text = f"some words {stretch} and more"
    corpus = "0123456789" * 3000 + stretch + "0123456789" * 2000
    assert longest_copy(text, corpus) == stretch


@pytest.mark.parametrize("alphabet", ["ab", "abcdefgh", "a b'c", "é戦😀 x", "的一 กาั’"])
@pytest.mark.parametrize("chunk", [1, 7, 50, 1 << 18])
def test_pieces_and_several_texts_change_nothing(monkeypatch, alphabet, chunk):
    monkeypatch.setattr(corpus_search, "_CHUNK", chunk)
    rng = random.Random(4)
    for _ in range(30):
        texts = [random_text(rng, alphabet, rng.randrange(30)) for _ in range(3)]
        corpus = random_text(rng, alphabet, rng.randrange(150))
        found = search_corpus(texts, in_pieces(rng, corpus))
        assert found.copies == [naive_longest_copy(text, corpus) for text in texts]
        in_texts = {word for text in texts for word in words(text)}
        assert found.words == in_texts & {*words(corpus)}


def test_nothing_crosses_a_gap():
    texts = ["one two three four", "我们今天"]
    pieces = ["xx one tw", "o three fo", "ur 我们今", "天"]
    joined = search_corpus(texts, pieces)
    assert joined.copies == texts
    assert joined.words == {"one", "two", "three", "four", "我们", "们今", "今天"}
    apart = search_corpus(texts, pieces, gaps=True)
    assert apart.copies == ["o three fo", "我们今"]
    assert apart.words == {"one", "three"}  # what may go on in the gap is no word


def test_what_a_gap_may_have_cut_is_no_word():
    pieces = ["one tw", "two, three tw", "four"]
    found = search_corpus(["one two three tw four"], pieces, gaps=True)
    assert found.words == {"one", "three"}


def test_letters_without_end_are_cut_and_lose_no_group(monkeypatch):
    monkeypatch.setattr(corpus_search, "_LONGEST_WORD", 100)
    text = "".join(map(chr, range(0x4E00, 0x4E00 + 900)))
    pieces = [text[i : i + 90] for i in range(0, 900, 90)]
    assert search_corpus([text], pieces).words == {*words(text)}


def test_a_long_corpus_takes_little_memory():
    def pieces():
        rng = random.Random(5)
        for _ in range(12):
            yield random_text(rng, "abcdefgh  \n", 1 << 18)

    texts = [random_text(random.Random(6), "abcdefgh  \n", 300)]
    tracemalloc.start()
    search_corpus(texts, itertools.islice(pieces(), 2))
    _, few = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    search_corpus(texts, pieces())
    _, many = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert many < 1.2 * few


@pytest.mark.parametrize("length", [1, 2, 3, 7, 30])
def test_ranks_are_equal_where_stretches_are(length):
    text = random_text(random.Random(7), "ab", 60) + "é😀"
    stretches_ = [text[i : i + length] for i in range(len(text) - length + 1)]
    ranks = ranks_of(text, length).tolist()
    assert len({*zip(ranks, stretches_, strict=True)}) == len({*ranks})
    assert sorted({*ranks}) == [*range(len({*stretches_}))]


def test_a_text_too_short_for_a_stretch_has_no_ranks():
    assert ranks_of("ab", 3).shape == ranks_of("", 1).shape == (0,)
