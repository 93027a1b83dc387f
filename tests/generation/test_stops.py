"""Where texts end: cut while they are still being written."""

import random
import re

import pytest

from charrnn.errors import CharRNNWarning, ConfigError, TextError
from charrnn.generation.stops import Ending, cut, ending_of
from charrnn.text.vocab import Vocabulary


def rows_of(text):
    return ([character] for character in text)


def pieces(text, *stops, **options):
    """Return the pieces of one text."""
    return [piece for (piece,) in cut(rows_of(text), Ending(stops, **options))]


def before(text, stops):
    return min(
        (text[: text.index(s)] for s in stops if s in text), key=len, default=text
    )


STOPS = [(), ("a",), ("ab",), ("aab",), ("abab",), ("aaa",), ("ba",)]
SEVERAL = [("ab", "ba"), ("abab", "ba"), ("abba", "bb"), ("a", "aa"), ("bab", "aa")]


@pytest.mark.parametrize("stops", STOPS + SEVERAL)
def test_pieces_join_to_the_text_before_its_first_stop(stops):
    rng = random.Random(0)
    for _ in range(300):
        text = "".join(rng.choice("ab") for _ in range(rng.randrange(12)))
        assert "".join(pieces(text, *stops)) == before(text, stops)


@pytest.mark.parametrize("stops", STOPS + SEVERAL)
def test_each_text_has_its_own_end(stops):
    rng = random.Random(1)
    for _ in range(50):
        texts = ["".join(rng.choice("ab") for _ in range(9)) for _ in range(3)]
        rows = cut(map(list, zip(*texts, strict=True)), Ending(stops))
        found = ["".join(row) for row in zip(*rows, strict=True)]
        assert found == [before(text, stops) for text in texts]


def test_what_cannot_be_the_start_of_the_stop_is_not_held_back():
    assert pieces("xay", "ab") == ["x", "", "ay"]


def test_what_was_held_back_comes_at_the_end():
    assert pieces("xa", "ab") == ["x", "", "a"]


def test_a_longer_stop_that_began_earlier_wins():
    assert "".join(pieces("xabcd", "abcd", "bc")) == "x"
    assert "".join(pieces("xabce", "abcd", "bc")) == "xa"
    assert "".join(pieces("xabc", "abcd", "bc")) == "xa"


def test_nothing_is_read_beyond_the_last_stop():
    characters = iter("xaby")
    assert [*cut(rows_of(characters), Ending(("ab",)))] == [["x"], [""], [""]]
    assert next(characters) == "y"


@pytest.mark.parametrize("stops", [(), ("Q",)])
def test_nothing_of_a_text_comes_after_its_end_mark(stops):
    rows = [["a", "x"], ["", "y"], ["b", ""], ["c", "d"]]
    found = [*cut(rows, Ending(stops))]
    assert found == [["a", "x"], ["", "y"], ["", ""]]


def test_an_end_mark_releases_what_was_held_back():
    assert "".join(pieces(["x", "a", ""], "ab")) == "xa"


def ends(text, until, length=0):
    """Return where a text is cut, and that it was."""
    found = "".join(pieces(text, until=until, length=length))
    assert text.startswith(found)
    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It is so. And then", "It is so."),
        ("It is 3.14 or so! And", "It is 3.14 or so!"),
        ("Wait... what?! No", "Wait..."),
        ("What?! No", "What?!"),
        ('He said: "Yes." Then', 'He said: "Yes."'),
        ("He said: “Yes.” Then", "He said: “Yes.”"),
        ("Er sagte: „Ja.“ Dann", "Er sagte: „Ja.“"),
        ("« Oui.\u202f» Puis", "« Oui.\u202f»"),
        ("M.\u00a0Dupont part. Puis", "M.\u00a0Dupont part."),
        ("(So it was.) Then", "(So it was.)"),
        ("A line.\nAnother", "A line."),
        ("他走了。她也走了", "他走了。"),
        ("「行くの？」と言った", "「行くの？」"),
        ("すごい！！そう", "すごい！！"),
        ("वह गया। फिर", "वह गया।"),
        ("هل ذهب؟ نعم", "هل ذهب؟"),
    ],
)
def test_a_sentence_ends_after_its_punctuation_and_quotes(text, expected):
    assert ends(text, "sentence") == expected


def test_the_first_end_after_the_length_counts():
    text = "One. Two. Three. Four."
    for length, expected in {
        3: "One.",
        4: "One.",
        5: "One. ",  # complete, with the space that was asked for
        6: "One. Two.",
        9: "One. Two.",
        12: "One. Two. Three.",
    }.items():
        assert ends(text, "sentence", length) == expected


def test_white_space_alone_is_no_text():
    assert ends("\n\nAnn\n\nBen", "line") == "\n\nAnn"
    assert ends("\n\nAnn\n\nBen", "paragraph") == "\n\nAnn"


def test_lines_and_paragraphs_end_before_their_line_end():
    text = "one\ntwo\n\nthree\nfour\n\nfive"
    assert ends(text, "line") == "one"
    assert ends(text, "line", 4) == "one\n"
    assert ends(text, "line", 5) == "one\ntwo"
    assert ends(text, "paragraph") == "one\ntwo"
    assert ends(text, "paragraph", 7) == "one\ntwo"
    assert ends(text, "paragraph", 10) == "one\ntwo\n\nthree\nfour"


@pytest.mark.parametrize("until", ["sentence", "line", "paragraph"])
def test_a_text_without_an_end_is_whole_and_a_warning_tells(until):
    with pytest.warns(
        CharRNNWarning, match=f"no {until} ended in the 2,000 .* first 3"
    ):
        assert "".join(pieces("and on\t", until=until, length=3)) == "and on\t"


@pytest.mark.parametrize("until", ["sentence", "line", "paragraph"])
def test_a_stop_or_the_end_mark_is_an_end_as_well(until):
    assert "".join(pieces("and\non", "n", until=until, length=9)) == "a"
    assert "".join(pieces(["a", "\n", ""], until=until, length=9)) == "a\n"


VOCAB = Vocabulary("\n .abcdefghijklmné")


def test_one_stop_or_several_or_none():
    assert ending_of("", "", 5, VOCAB) == Ending([], "", 5)
    assert ending_of("ab", "", 5, VOCAB).stops == ["ab"]
    assert ending_of(["a", "b"], "line", 5, VOCAB) == Ending(["a", "b"], "line", 5)


@pytest.mark.parametrize(
    ("stop", "until", "said"),
    [
        ("aXb", "", "the stop 'aXb' can never come: the model has never seen 'X'"),
        (["a", "B#"], "", "'#', 'B' \\(nearest: 'b'\\)"),
        ([""], "", "stop is ''; expected at least one character"),
        ([3], "", "stop is 3; expected"),
        (
            "",
            "chapter",
            "until is 'chapter'; expected one of sentence, line, paragraph",
        ),
        (
            "OPQRSTUVWXYZ",
            "",
            "'O', 'P', 'Q', 'R', 'S', 'T', 'U', 'V', 'W', 'X' and 2 more",
        ),
    ],
)
def test_an_end_that_can_never_come_is_an_error(stop, until, said):
    with pytest.raises((ConfigError, TextError)) as error:
        ending_of(stop, until, 5, VOCAB)
    assert re.search(said, str(error.value))


@pytest.mark.parametrize("until", ["sentence", "line", "paragraph"])
def test_the_model_must_know_a_character_that_ends_it(until):
    with pytest.raises(ConfigError, match="knows no character that ends a"):
        ending_of("", until, 5, Vocabulary("ab"))
