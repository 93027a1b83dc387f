"""Small curves, and names as labels."""

import pytest
from wcwidth import wcswidth

from charrnn.views.names import short_names
from charrnn.views.sparkline import BLOCKS, sparkline


def test_each_number_is_a_block_by_its_height():
    points = [(i, float(7 - i)) for i in range(8)]
    assert sparkline(points, 8) == BLOCKS[::-1]
    assert sparkline(points, 20) == BLOCKS[::-1]


@pytest.mark.parametrize("points", [[(0, 3.0)], [(0, 3.0), (1, 3.0)]])
def test_equal_numbers_are_the_lowest_block(points):
    assert sparkline(points, 5) == "▁" * len(points)


def test_nothing_is_nothing():
    assert sparkline([], 5) == ""


def test_more_numbers_than_blocks_become_means_over_the_axis():
    # Nine of ten points lie in the first half.
    points = [(i / 20, 4.0) for i in range(9)] + [(1, 1.0)]
    assert sparkline(points, 2) == "█▁"
    points = [(0, 2.0), (1, 4.0), (6, 1.0), (9, 1.0), (10, 1.0)]
    assert sparkline(points, 4) == "██▁▁"  # nothing lies in the second quarter


def test_a_high_start_does_not_make_the_others_flat():
    points = [(0, 90.0), *((i, 2.0 - i / 10) for i in range(1, 11))]
    curve = sparkline(points, 11)
    assert curve[0] == "█"
    assert len({*curve}) > 4


@pytest.mark.parametrize(
    "name", ["a" * 200, "文心雕龙" * 30, "e\u0301" * 99, "🎭" * 40]
)
def test_a_long_name_is_cut_in_its_middle(name):
    (short,) = short_names([name], 20)
    assert wcswidth(short) <= 20
    assert "…" in short
    assert short.startswith(name[:2])


def test_names_are_visible_and_different():
    assert short_names(["a\nb", "", "a", "a"]) == [r"a\nb", "?", "a (1)", "a (2)"]
    assert short_names(["\x1b[31m"]) == [r"\x1b[31m"]
    assert short_names(["run"]) == ["run"]
