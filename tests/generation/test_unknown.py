"""Characters that a model does not know: other spellings, errors, near ones."""

import unicodedata

import numpy as np
import pytest
from texts import sentences, small_run, trained

from charrnn.errors import TextError
from charrnn.generation.language_model import LanguageModel
from charrnn.generation.unknown import known_only, unknown_error
from charrnn.text.vocab import Vocabulary


def vocabulary(characters, **specials):
    return Vocabulary(sorted({*characters}), **specials)


@pytest.mark.parametrize(
    ("known", "text", "expected"),
    [
        ("aé", "ae\u0301", "aé"),
        ("ae\u0301", "aé", "ae\u0301"),
        ("éä\u0308a", "e\u0301ä", "éä"),  # what is known stays as it is
        ("ê\u0301", "\u1ebf", "ê\u0301"),  # one mark composed, the other not
        ("\u1ea1\u0302", "\u1ead", "\u1ea1\u0302"),
        ("â\u0323", "\u1ead", "â\u0323"),  # marks in another order
        ("â\u0323", "a\u0323\u0302", "â\u0323"),
        ("\u212b", "Å", "\u212b"),  # the sign for ångström is an Å
        ("Å", "\u212b", "Å"),
        ("각", "\u1100\u1161\u11a8", "각"),
        ("\u1100\u1161\u11a8", "각", "\u1100\u1161\u11a8"),
        ("가\u11a8", "각", "가\u11a8"),
        ("\u09cb", "\u09c7\u09be", "\u09cb"),  # a vowel sign of two spacing marks
        ("\u09c7\u09be", "\u09cb", "\u09c7\u09be"),
        ("\u8c48", "\uf900", "\u8c48"),
    ],
)
@pytest.mark.parametrize("way", ["error", "skip", "map"])
def test_a_text_is_found_in_its_other_spellings(known, text, expected, way):
    found = known_only(text, vocabulary(known), way)
    assert found == expected
    normal = [unicodedata.normalize("NFD", each) for each in (found, text)]
    assert normal[0] == normal[1]


def test_a_prime_may_be_typed_in_either_form():
    text = sentences(60).replace("e", "é")
    for form, other in (("NFC", "NFD"), ("NFD", "NFC")):
        run = small_run(unicodedata.normalize(form, text), steps=2)
        model = LanguageModel.from_checkpoint(run.best_checkpoint())
        prime = unicodedata.normalize(other, "thé millér")
        assert model.generate(prime, length=20, seed=1).startswith(prime)
        same = unicodedata.normalize(form, prime)
        np.testing.assert_array_equal(model.encode(prime), model.encode(same))


def test_marks_whose_order_matters_keep_it():
    other = "e\u0301\u0302"  # the circumflex above the acute accent
    assert known_only(other, vocabulary("ê\u0301"), "skip") == "\u0301"


def test_what_has_no_known_spelling_is_left_to_the_choice():
    vocab = vocabulary("abe")
    assert known_only("aé", vocab, "skip") == "a"
    assert known_only("ae\u0301", vocab, "skip") == "ae"
    assert known_only("aé", vocab, "map") == "ae"
    with pytest.raises(TextError, match="never seen 'é' \\(nearest: 'e'\\)"):
        known_only("aé", vocab, "error")


def test_an_error_names_ten_characters_and_the_nearest_known_ones():
    found = str(unknown_error("the stop", "a#É“ΑΒΓΔΕΖΗΘ\u0301", vocabulary('ae"')))
    assert found == (
        "the stop: the model has never seen '#', 'É' (nearest: 'e'), '\u25cc\u0301', "
        "'Α', 'Β', 'Γ', 'Δ', 'Ε', 'Ζ', 'Η' and 2 more; leave them out"
    )


def test_an_unknown_symbol_stands_for_what_is_unknown():
    vocab = vocabulary("ae", unknown=True)
    assert known_only("a#", vocab, "error") == "a#"
    assert known_only("a#", vocab, "skip") == "a"


def test_a_refused_prime_tells_the_way_out():
    with pytest.raises(TextError, match="'#'; leave them out, or set on_unknown") as e:
        trained().encode("Ann #")
    assert "\n" not in str(e.value)
