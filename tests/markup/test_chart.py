"""Charts: points where their values say, round ticks, and no stranger's markup."""

from math import inf, log10, nan
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charrnn.markup.chart import Chart, Series, ticks

SVG = "{http://www.w3.org/2000/svg}"
LINE = [(0, 1.0), (1, 3.0), (2, 2.0)]


def elements(chart, tag):
    return ElementTree.fromstring(chart.svg()).findall(f".//{SVG}{tag}")


def places(element):
    pairs = (pair.split(",") for pair in element.get("points").split())
    return [(float(x), float(y)) for x, y in pairs]


def labels(chart):
    return [element.text for element in elements(chart, "text")]


def test_points_lie_where_their_values_say():
    chart = Chart("t", [Series("a", LINE)])
    (line,) = elements(chart, "polyline")
    (x0, y0), (x1, y1), (x2, y2) = places(line)
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.2)
    assert y0 - y1 == pytest.approx(2 * (y2 - y1), abs=0.3)
    assert 0 < y1 < y2 < y0 < chart.height
    assert 0 < x0 < x2 < chart.width


def test_values_that_are_not_finite_are_left_out():
    points = [(0, 1.0), (1, nan), (2, inf), (3, 2.0)]
    (line,) = elements(Chart("t", [Series("a", points)]), "polyline")
    assert len(places(line)) == 2


@pytest.mark.parametrize("points", [[], [(0, 1.0)], [(0, nan), (1, nan)]])
def test_too_few_points_give_no_chart(points):
    chart = Chart("t", [Series("a", points)])
    assert chart.svg() == chart.figure() == ""


def test_a_spread_is_a_band_around_its_line():
    chart = Chart("t", [Series("a", LINE, spread=[0.5, 0.0, 0.5])])
    (line,), (band,) = elements(chart, "polyline"), elements(chart, "polygon")
    upper, lower = places(band)[:3], places(band)[:2:-1]
    for (_, above), (_, y), (_, below) in zip(upper, places(line), lower, strict=True):
        assert y - above == pytest.approx(below - y, abs=0.2)
    assert upper[1] == lower[1]


def test_several_lines_are_told_apart_by_color_dash_and_name():
    chart = Chart("t", [Series(name, LINE) for name in "abcd"])
    lines = elements(chart, "polyline")
    assert len({line.get("stroke") for line in lines}) == 4
    assert len({line.get("stroke-dasharray") for line in lines}) == 4
    assert [text for text in labels(chart) if text in "abcd"] == [*"abcd"]


def test_a_marked_point_has_a_ring_and_its_words():
    chart = Chart("t", [Series("a", LINE)], marked=(1, 3.0), mark_label="peak")
    (line,), (ring,) = elements(chart, "polyline"), elements(chart, "circle")
    assert (float(ring.get("cx")), float(ring.get("cy"))) == places(line)[1]
    assert "peak" in labels(chart)


def test_strings_are_text():
    evil = '"><script>'
    series = [Series(evil, LINE), Series("b", LINE)]
    chart = Chart(evil, series, x_label=evil, marked=(1, 1.0), mark_label=evil)
    root = ElementTree.fromstring(chart.figure())
    assert labels(chart).count(evil) == 3
    assert root.find(f".//{SVG}svg").get("aria-label") == evil
    assert root.find("figcaption").text == evil


@given(
    st.floats(-1e6, 1e6),
    st.floats(1e-6, 1e6),
)
def test_ticks_are_round_few_and_inside(low, width):
    high = low + width
    found = ticks(low, high)
    assert len(found) <= 7
    slack = 1e-6 * max(abs(low), abs(high), width)
    assert all(low - slack <= each <= high + slack for each in found)
    if len(found) > 1:
        step = (found[-1] - found[0]) / (len(found) - 1)
        digit = step / 10.0 ** round(log10(step) - 0.35)
        assert min(abs(digit - n) for n in (0.5, 1, 2, 5, 10)) < 1e-3 * digit


def test_a_single_value_has_one_tick():
    assert ticks(3, 3) == [3]
    svg = Chart("t", [Series("a", [(0, 3.0), (1, 3.0)])]).svg()
    assert "nan" not in svg
