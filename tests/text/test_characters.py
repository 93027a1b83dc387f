"""Kinds of characters, and single ones made visible."""

import sys
import unicodedata

import pytest

from charrnn.text.characters import (
    is_invisible,
    is_letter,
    is_mark,
    quoted,
    runs_right_to_left,
)


@pytest.mark.parametrize(
    ("character", "shown"),
    [
        ("a", "'a'"),
        ("漢", "'漢'"),
        ("'", '"\'"'),
        ("\n", r"'\n'"),
        ("\x1b", r"'\x1b'"),
        ("\u3000", r"'\u3000'"),
        ("\u0301", "'\u25cc\u0301'"),
        ("\u0903", "'\u25cc\u0903'"),
        ("\u00ad", r"'\xad'"),
        ("\u200d", r"'\u200d'"),
        ("\ufe0f", r"'\ufe0f'"),
        ("\u3164", r"'\u3164'"),
        ("\U000e0067", r"'\U000e0067'"),
        ("\ud800", r"'\ud800'"),
        ("\u202e", r"'\u202e'"),
    ],
)
def test_a_character_in_quotes_can_be_seen(character, shown):
    assert quoted(character) == shown


def test_no_quoted_character_controls_a_terminal():
    for character in map(chr, range(sys.maxunicode + 1)):
        assert unicodedata.category(quoted(character)[-2]) not in ("Cc", "Cf", "Cs")


def test_letters_and_marks():
    assert all(map(is_letter, "aßи字अ\u0301\u0903ʼ"))
    assert not any(map(is_letter, "1 .'Ⓐ\u200d"))
    assert all(map(is_mark, "\u0301\u0903\u20e3"))
    assert not any(map(is_mark, "aअ "))
    assert not any(map(is_invisible, "a \u00a0\u3000\u0301"))


@pytest.mark.parametrize("text", ["שלום", "abc مرحبا", "١٢٣", "\u200f"])
def test_text_that_runs_right_to_left(text):
    assert runs_right_to_left(text)


@pytest.mark.parametrize("text", ["", "abc 123,漢字", "हिन्दी", "ไทย\n"])
def test_text_that_does_not(text):
    assert not runs_right_to_left(text)
