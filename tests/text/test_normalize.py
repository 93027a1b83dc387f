"""Normalisation of a text in pieces gives what normalisation of the whole gives."""

import random
import unicodedata

import pytest
from languages import SENTENCES

from charrnn.errors import TextError
from charrnn.text.normalize import Normalizer

FORMS = {"nfc": "NFC", "nfd": "NFD", "nfkc": "NFKC"}
# Marks, stacked and out of order; Hangul; compositions that begin with a letter (Indic,
# Burmese, Chakma) or are excluded; characters that become several, or others.
TRICKY = [
    *"aeKAo\n \u0301\u0323\u0345\u0344\u0308\u031b\u1fb3\u212b\u2126\ufb01\u00a8\u037a",
    *"\u1100\u1161\u11a8\u11a7\uac00\uac01\u3133\uffa1\uffc2\u302e",
    *"\u0915\u093c\u0958\u09c7\u09be\u09d7\u0b47\u0b57\u1025\u102e\u0dd9\u0dcf\u0dca",
    *"\u0f71\u0f72\u0f73\u0f74\u0f80\u0fb2\u304b\u3099\uff76\uff9e\ufdfa\u1e9b\u0130",
    *"\U00011131\U00011127\U0001d15e\U0001d165\U0002f800\U0001f600\ud800",
]


def normalize(text, form, sizes):
    """Return a text normalised in pieces of these sizes, and the normaliser."""
    normalizer, parts, start = Normalizer(form), [], 0
    for size in sizes:
        parts.append(normalizer.feed(text[start : start + size]))
        start += size
    parts.append(normalizer.feed(text[start:], final=True))
    return "".join(parts), normalizer


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("seed", range(5))
def test_any_pieces_give_the_normal_form_of_the_whole(form, seed):
    rng = random.Random(seed)
    for _ in range(100):
        text = "".join(rng.choices(TRICKY, k=rng.randrange(40)))
        sizes = [rng.randrange(5) for _ in range(rng.randrange(40))]
        found, _ = normalize(text, form, sizes)
        assert found == unicodedata.normalize(FORMS[form], text), ascii(text)


@pytest.mark.parametrize("form", FORMS)
def test_every_character_may_follow_every_kind_of_character(form):
    # Cut before each character that changes, and before some of the others.
    characters = [
        chr(code) for code in (*range(0x300, 0xD800), *range(0xE000, 0x20000))
    ]
    telling = [
        character
        for at, character in enumerate(characters)
        if at % 50 == 0
        or (
            (unicodedata.combining(character) or _changes(character))
            and not "\uac00" <= character <= "\ud7a3"
        )
    ]
    for first in "a\u1100":
        text = "".join(f"{first}{character}" for character in telling)
        expected = unicodedata.normalize(FORMS[form], text)
        assert normalize(text, form, [1, *[2] * len(telling)])[0] == expected


def _changes(character):
    return any(
        unicodedata.normalize(to, character) != character for to in FORMS.values()
    )


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", SENTENCES)
def test_texts_in_all_languages(form, name):
    for source in ("NFC", "NFD"):
        text = unicodedata.normalize(source, SENTENCES[name])
        found, _ = normalize(text, form, [7] * 99)
        assert found == unicodedata.normalize(FORMS[form], text)


def test_plain_text_passes_through():
    text = "To be, or not to be.\n" * 1000
    found, normalizer = normalize(text, "nfc", [1000] * 9)
    assert found == text
    assert normalizer.notes() == []


def test_none_changes_nothing():
    normalizer = Normalizer("none")
    assert normalizer.feed("e\u0301") == "e\u0301"
    assert normalizer.feed("", final=True) == ""
    assert normalizer.notes() == []


@pytest.mark.parametrize("sizes", [[], [5] * 9999])
def test_changed_characters_are_counted(sizes):
    text = "cafe\u0301, na\u0131\u0308ve \u212b\n" * 1000
    _, normalizer = normalize(text, "nfc", sizes)
    assert normalizer.changed == 3000  # ı takes no dots
    assert normalizer.notes() == [
        "normalised to NFC: 3,000 characters changed (--normalize none keeps them; in "
        'Python: normalize="none")'
    ]
    assert normalize("caf\u00e9" * 9, "nfc", [])[1].notes() == []


@pytest.mark.parametrize("sizes", [[], [1] * 5000, [1000] * 9, [1025] * 9, [2, 4097]])
@pytest.mark.parametrize("before", ["", "e", "plain text, and then e"])
def test_pieces_do_not_matter_for_overlong_sequences_of_marks(sizes, before):
    rng = random.Random(1)
    marks = "".join(rng.choices("\u0300\u0315\u0323", k=5000))
    text = before + marks + "e\u0301" + marks[:1022] + "x"
    assert normalize(text, "nfc", sizes)[0] == normalize(text, "nfc", [3] * 99)[0]


def test_endless_marks_are_not_held_back():
    normalizer, held, returned = Normalizer("nfd"), 0, 0
    for _ in range(25):
        piece = "\u0315\u0300" * 2000
        held += len(piece)
        returned += len(normalizer.feed(piece))
        assert held - returned <= 1024
    assert returned + len(normalizer.feed("", final=True)) == 100_000


def test_an_unknown_form_is_an_error():
    with pytest.raises(TextError) as error:
        Normalizer("nfx")
    assert str(error.value) == (
        "normalisation 'nfx' is not known; expected nfc, nfd, nfkc or none"
    )
