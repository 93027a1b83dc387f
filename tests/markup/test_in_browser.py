"""A page in a real browser: what it shows, and to whom."""

import pytest
from browser import PHONE, SCREEN, open_tab

from charrnn.markup.chart import Chart, Series
from charrnn.markup.page import page
from charrnn.markup.tint import Mark, legend, tinted

EVIL = "</script><script>evil = 1</script><img src=x onerror='evil = 1'>"


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    marks = [Mark(c, i % 17 - 8, f"number {i}\n{EVIL}") for i, c in enumerate(EVIL)]
    marks += [Mark(c, 8, "", underlined=True) for c in "copied\n" + "long" * 50]
    points = [(i, i * i) for i in range(5)]
    series = [Series("a", points, dots=True), Series(EVIL, points[::-1])]
    body = (
        '<h1>Title</h1><div class="columns"><section class="panel"><h2>Text</h2>'
        + tinted(marks, name="one", label=f"A text {EVIL}", before="prime ")
        + "</section>"
        + Chart("A chart", series, x_label="x", marked=(2, 4), mark_label="m").figure()
        + "</div>"
        + legend("low", "high", both=True)
    )
    path = tmp_path_factory.mktemp("page") / "page.html"
    path.write_text(page(EVIL, body), encoding="utf-8")
    return path


def test_strings_of_strangers_do_nothing(tab, file):
    found = tab.open(file)
    assert found.evaluate("typeof evil") == "undefined"
    assert found.title().startswith("</script>")
    assert found.locator(".inspect").inner_text().startswith("prime " + EVIL)


def test_the_mouse_and_the_arrow_keys_show_what_is_known_of_a_character(tab, file):
    found = tab.open(file)
    details = found.locator("#details")
    assert details.is_hidden()
    found.locator(".inspect i").nth(2).hover()
    assert details.inner_text() == f"number 2\n{EVIL}"
    found.keyboard.press("Tab")
    for key, number in (("Home", 0), ("ArrowRight", 1), ("ArrowRight", 2)):
        found.keyboard.press(key)
        assert details.inner_text().startswith(f"number {number}\n")
    found.keyboard.press("ArrowLeft")
    assert details.inner_text().startswith("number 1\n")
    found.keyboard.press("Escape")
    assert details.is_hidden()


@pytest.mark.parametrize("size", [PHONE, SCREEN])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_stands_in_the_way(browser, file, size, scheme):
    with open_tab(browser, color_scheme=scheme) as tab:
        tab.open(file, size)
        assert tab.barriers() == []
        assert tab.overflow() == 0


def test_a_script_that_is_not_the_pages_own_does_not_run(tab, tmp_path):
    path = tmp_path / "page.html"
    path.write_text(page("a", "<h1>a</h1><script>evil = 1</script>"))
    assert tab.open(path).evaluate("typeof evil") == "undefined"
    (fault,) = tab.faults
    assert "Content Security Policy" in fault
    tab.faults.clear()


def test_what_leaves_the_machine_is_noticed(tab, tmp_path):
    path = tmp_path / "page.html"
    path.write_text("<script>fetch('http://example.invalid/x')</script>")
    tab.open(path).wait_for_load_state("networkidle")
    assert "request: http://example.invalid/x" in tab.faults
    tab.faults.clear()
