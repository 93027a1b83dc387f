"""Stop strings, cut out of texts that are still being written."""

import random

import pytest

from charrnn.generation.stops import until


def cut(text, stop):
    return text.split(stop)[0] if stop else text


@pytest.mark.parametrize("stop", ["", "a", "ab", "aab", "abab", "aaa", "ba"])
def test_pieces_join_to_the_text_before_its_first_stop(stop):
    rng = random.Random(0)
    for _ in range(200):
        text = "".join(rng.choice("ab") for _ in range(rng.randrange(12)))
        assert "".join(piece for (piece,) in until(text, stop)) == cut(text, stop)


@pytest.mark.parametrize("stop", ["", "a", "ab", "aab", "abab"])
def test_each_text_has_its_own_end(stop):
    rng = random.Random(1)
    for _ in range(50):
        texts = ["".join(rng.choice("ab") for _ in range(9)) for _ in range(3)]
        rows = until(zip(*texts, strict=True), stop)
        found = ["".join(pieces) for pieces in zip(*rows, strict=True)]
        assert found == [cut(text, stop) for text in texts]


def test_what_cannot_be_the_start_of_the_stop_is_not_held_back():
    assert [*until("xay", "ab")] == [["x"], [""], ["ay"]]


def test_what_was_held_back_comes_at_the_end():
    assert [*until("xa", "ab")] == [["x"], [""], ["a"]]


def test_nothing_is_read_beyond_the_last_stop():
    characters = iter("xaby")
    assert [*until(characters, "ab")] == [["x"], [""], [""]]
    assert next(characters) == "y"
