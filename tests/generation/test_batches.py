"""Texts in batches: the order, what is left out, and giving up."""

import pytest

from charrnn.errors import CharRNNWarning
from charrnn.generation.batches import in_batches, only_new


def writing(texts):
    """Return a function that writes texts by their numbers, and what it was asked."""
    asked = []

    def write(numbers):
        asked.append(numbers)
        return [texts(i) for i in numbers]

    return write, asked


@pytest.mark.parametrize("count", [1, 255, 256, 257, 1000])
def test_all_texts_come_in_order_and_no_more_are_written(count):
    write, asked = writing(str)
    assert [*in_batches(write, count)] == [str(i) for i in range(count)]
    assert [i for numbers in asked for i in numbers] == [*range(count)]
    assert max(map(len, asked)) <= 256


def test_a_batch_is_written_when_it_is_needed():
    write, asked = writing(str)
    texts = in_batches(write, 1000)
    for _ in range(256):
        next(texts)
    assert len(asked) == 1


@pytest.mark.parametrize("count", [1, 7, 300])
def test_what_is_not_wanted_is_left_out(count):
    write, _ = writing(lambda i: str(i // 3))
    keep = only_new(True, lambda text: text.endswith("5"))
    expected = [str(i) for i in range(2 * count) if i % 10 != 5][:count]
    assert [*in_batches(write, count, keep)] == expected


def test_repeated_texts_are_kept_unless_unique():
    assert only_new(False, None) is None
    keep = only_new(False, "known".__eq__)
    assert [keep(text) for text in ("a", "a", "known")] == [True, True, False]


def test_after_100_that_are_left_out_it_gives_up():
    write, asked = writing(lambda i: str(min(i, 4)))
    with pytest.warns(CharRNNWarning, match="5 of 50 texts: the next 100 had all"):
        assert [*in_batches(write, 50, only_new(True, None))] == [*"01234"]
    assert sum(map(len, asked)) < 200
