"""Figures about a text against closed forms, naive twins and degenerate inputs."""

import itertools
import random

import pytest

from charrnn.errors import ConfigError
from charrnn.evaluation import textstats
from charrnn.evaluation.textstats import (
    distinct_ngrams,
    known_words,
    longest_copy,
    repetition,
    words,
)


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


def naive_repetition(text, length):
    covered = set()
    for start in range(len(text) - length + 1):
        stretch = text[start : start + length]
        if text.find(stretch) < start:
            covered.update(range(start, start + length))
    return len(covered) / len(text) if text else 0.0


def random_text(rng, alphabet, size):
    return "".join(rng.choices(alphabet, k=size))


def test_distinct_ngrams_closed_forms():
    assert distinct_ngrams("abcdefgh") == 1.0
    assert distinct_ngrams("a" * 13) == 1 / 10
    assert distinct_ngrams("ab" * 10, n=3) == 2 / 18
    assert distinct_ngrams("abca", n=1) == 3 / 4
    assert distinct_ngrams("héhé", n=2) == 2 / 3


@pytest.mark.parametrize("text", ["", "a", "aaa"])
def test_distinct_ngrams_of_a_text_without_any(text):
    assert distinct_ngrams(text, n=4) == 1.0


@pytest.mark.parametrize("period", [1, 3, 29, 50])
def test_repetition_of_a_loop_is_all_but_its_first_period(period):
    loop = "".join(chr(0x4E00 + i) for i in range(period))
    text = (loop * 200)[:200]
    assert repetition(text) == (200 - period) / 200


def test_repetition_needs_the_full_length():
    stretch = "abcdefghij"
    text = f"{stretch}-{stretch}+"
    assert repetition(text, length=10) == 10 / 22
    assert repetition(text, length=11) == 0.0


@pytest.mark.parametrize("text", ["", "a", "a" * 30])
def test_repetition_of_a_short_text_is_zero(text):
    assert repetition(text) == 0.0


@pytest.mark.parametrize("length", [1, 2, 5])
def test_repetition_equals_the_naive_twin(length):
    rng = random.Random(1)
    for size, alphabet in itertools.product((1, 7, 40, 150), ("a", "ab", "abcde")):
        text = random_text(rng, alphabet, size)
        assert repetition(text, length) == naive_repetition(text, length)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("... 123 -- _!?", []),
        ("The THE the", ["the", "the", "the"]),
        ("Don't 'quote' \u2019tis o\u2019er", ["don't", "quote", "tis", "o'er"]),
        ("'' ' \u2019", []),
        ("well-known x2y snake_case", ["well", "known", "x", "y", "snake", "case"]),
        ("Straße ÉTÉ", ["strasse", "été"]),
        ("cafe\u0301!", ["cafe\u0301"]),
        ("हिन्दी भाषा", ["हिन्दी", "भाषा"]),
        ("Война и мир: 戦争", ["война", "и", "мир", "戦争"]),
        ("\u2764\ufe0f \u0301", []),  # marks with no letter to stand on
        ("a]b[c^d\\e", ["a", "b", "c", "d", "e"]),
    ],
)
def test_words(text, expected):
    assert list(words(text)) == expected


def test_known_words():
    vocabulary = set(words("To be, or not to be: that is the question."))
    assert known_words("To be or NOT?", vocabulary) == 1.0
    assert known_words("be be bee that", vocabulary) == 3 / 4
    assert known_words("zounds", vocabulary) == 0.0
    assert known_words("be", frozenset()) == 0.0
    assert known_words("1, 2, 3", vocabulary) is None
    assert known_words("", vocabulary) is None


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


@pytest.mark.parametrize("setting", [("_CHUNK", 1), ("_CHUNK", 13), ("_TABLE", 0)])
def test_longest_copy_whatever_its_working_sizes(monkeypatch, setting):
    monkeypatch.setattr(textstats, *setting)
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


@pytest.mark.parametrize("statistic", [distinct_ngrams, repetition])
def test_a_length_of_zero_is_an_error(statistic):
    with pytest.raises(ConfigError, match=r"is 0; expected 1 or more characters$"):
        statistic("text", 0)
