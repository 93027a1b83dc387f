"""Tinted text: every character once, with its tint and its details."""

import html
import json
import re

import pytest

from charrnn.markup.tint import LEVELS, Mark, legend, level, tinted


def parts(page):
    """Return the tints, the text and the details of a tinted text."""
    spans = re.findall(r"<i(?: class=\"([^\"]*)\")?>(.*?)</i>", page, re.S)
    details = re.search(r'<script type="application/json" id="a">(.*?)</script>', page)
    text = [html.unescape(text) for _, text in spans]
    return [tint for tint, _ in spans], text, json.loads(details[1])


def test_each_character_has_its_tint_and_its_details():
    marks = [Mark("a", 0, "one"), Mark("<", 3, "two"), Mark("\n", -8, "three")]
    page = tinted(marks, name="a", label="L", before="<i>")
    assert parts(page) == (
        ["", "t3", "d8 end"],
        ["a", "<", "\n"],
        ["one", "two", "three"],
    )
    assert '<span class="prime">&lt;i&gt;</span>' in page
    assert 'aria-label="L"' in page


def test_marks_stay_on_the_letter_that_they_belong_to():
    marks = [Mark("e", 1, "one"), Mark("\u0301", -5, "two"), Mark("x", 0, "three")]
    page = tinted(marks, name="a", label="")
    assert parts(page) == (["d5", ""], ["e\u0301", "x"], ["one\ntwo", "three"])


def test_neighbours_are_underlined_together():
    marks = [Mark(c, 0, "", underlined=c in "bc") for c in "abcd"]
    page = tinted(marks, name="a", label="")
    assert "<u><i>b</i><i>c</i></u><i>d</i>" in page
    assert page.count("<u>") == 1


@pytest.mark.parametrize(
    ("value", "found"),
    [(0, 0), (0.2, 0), (1, 2), (4, LEVELS), (99, LEVELS), (-1, -2), (-99, -LEVELS)],
)
def test_levels_grow_with_the_value_up_to_the_largest(value, found):
    assert level(value, 4) == found


def test_a_legend_shows_every_level():
    assert legend("a", "<").count("<i") == LEVELS + 1
    both = legend("a", "b", both=True)
    assert re.findall('class="([td].)"', both) == (
        [f"d{n}" for n in range(8, 0, -1)] + [f"t{n}" for n in range(1, 9)]
    )
    assert "&lt;" in legend("a", "<")
