"""Figures about a text against closed forms, naive twins and degenerate inputs."""

import itertools
import random

import pytest
from texts import random_text

from charrnn.errors import ConfigError
from charrnn.evaluation.textstats import (
    distinct_ngrams,
    known_words,
    repetition,
    words,
)


def naive_repetition(text, length):
    covered = set()
    for start in range(len(text) - length + 1):
        stretch = text[start : start + length]
        if text.find(stretch) < start:
            covered.update(range(start, start + length))
    return len(covered) / len(text) if text else 0.0


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
        ("rock''n'roll '90s'", ["rock''n'roll", "s"]),
        # Without spaces: two letters of Han and kana, three of Thai and the like.
        ("我们今天去，北京", ["我们", "们今", "今天", "天去", "北京"]),
        ("他ok吗", ["他", "ok", "吗"]),
        ("日本語のﾊﾟﾝ", ["日本", "本語", "語の", "のﾊ", "ﾊﾟ", "ﾟﾝ"]),
        ("か\u3099き\u3099く", ["か\u3099き\u3099", "き\u3099く"]),
        ("葛\U000e0100飾区", ["葛\U000e0100飾", "飾区"]),
        ("ดีมากครับ", ["ดีมา", "มาก", "ากค", "กครั", "ครับ"]),
        ("ກິນ ເຂົ້າ", ["ກິນ", "ເຂົ້າ"]),
        ("ខ្មែរ", ["ខ្មែរ"]),
        ("\u0e31", []),  # a mark alone
        # Tibetan parts its syllables, and Korean its words.
        ("བོད་སྐད་", ["བོད", "སྐད"]),
        ("한국어 문장", ["한국어", "문장"]),
    ],
)
def test_words(text, expected):
    assert list(words(text)) == expected


def test_words_of_a_language_without_spaces_tell_its_texts_from_scrambled_ones():
    corpus = "我们今天去北京。他们明天来上海。你们昨天在北京吃饭。"
    vocabulary = set(words(corpus))
    assert known_words("他们今天来北京吃饭", vocabulary) >= 0.75
    assert known_words("京去们北我来饭天吃", vocabulary) == 0


def test_known_words():
    vocabulary = set(words("To be, or not to be: that is the question."))
    assert known_words("To be or NOT?", vocabulary) == 1.0
    assert known_words("be be bee that", vocabulary) == 3 / 4
    assert known_words("zounds", vocabulary) == 0.0
    assert known_words("be", frozenset()) == 0.0
    assert known_words("1, 2, 3", vocabulary) is None
    assert known_words("", vocabulary) is None


@pytest.mark.parametrize("statistic", [distinct_ngrams, repetition])
def test_a_length_of_zero_is_an_error(statistic):
    with pytest.raises(ConfigError, match=r"is 0; expected 1 or more characters$"):
        statistic("text", 0)
