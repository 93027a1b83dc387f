"""The page of a comparison in a real browser: what it shows, and to whom."""

import re

import pytest
from browser import PHONE, SCREEN, open_tab
from texts import sentences

from charrnn.config import TextConfig
from charrnn.generation.language_model import LanguageModel
from charrnn.run import start_run
from charrnn.text.reading import from_text
from charrnn.views.compare import compare

EVIL = "<script>evil = 1</script><img src=x onerror='evil = 1'>"
MIXED = "שלום עולם مرحبا e\u0301 long" + "word" * 40


@pytest.fixture(scope="module")
def comparison():
    text = f"{EVIL}\n{MIXED}\n".join([sentences(20, seed=i) for i in range(12)])
    corpus = from_text(text, TextConfig(), name=EVIL)
    settings = {"hidden": 24, "batch": 4, "window": 16, "steps": 200, "lr": 1e-2}
    run = start_run(corpus, settings | {"kernels": "numpy", "threads": 1})
    for _ in run.events():
        pass
    model = LanguageModel.from_checkpoint(run.best_checkpoint())
    return compare(
        model, EVIL, [0, 0.5, 0.8, 1, 1.3], corpus=corpus, length=200, seed=1, n=2
    )


@pytest.fixture(scope="module")
def file(comparison, tmp_path_factory):
    return comparison.save_html(tmp_path_factory.mktemp("page") / "report.html")


def test_the_mouse_and_the_keyboard_show_the_probability(tab, file, comparison):
    page = tab.open(file)
    column = comparison.columns[3]
    assert page.locator("h2.column").nth(3).inner_text() == "temperature 1"
    text = page.locator(".inspect").nth(3)
    known = [*column.expected.characters(column.text, comparison.origin.symbols)]
    text.locator("i").nth(5).hover()
    details = page.locator("#details")
    assert details.inner_text().startswith(known[5].details())
    text.focus()
    for number in (6, 7):
        page.keyboard.press("ArrowRight")
        assert details.inner_text().startswith(known[number].details())
    p = float(re.search(": (.+)%,", details.inner_text())[1])
    assert p == pytest.approx(100 * known[7].probability, abs=0.06)


def test_a_tap_shows_the_probability(browser, file, comparison):
    with open_tab(browser, has_touch=True, is_mobile=True) as tab:
        page = tab.open(file, PHONE)
        column = comparison.columns[0]
        known = [*column.expected.characters(column.text, comparison.origin.symbols)]
        page.locator(".inspect").first.locator("i").nth(3).tap()
        shown = page.locator("#details").inner_text()
        assert shown.startswith(known[3].details())


def test_strings_of_strangers_do_nothing(tab, file, comparison):
    page = tab.open(file)
    page.locator("summary").first.click()
    assert page.evaluate("typeof evil") == "undefined"
    assert page.locator(".inspect").first.inner_text().startswith(EVIL)
    assert EVIL in page.locator("table").first.inner_text()
    other = comparison.others[0][0].text
    assert page.locator(".other").first.text_content() == EVIL + other


@pytest.mark.parametrize("size", [PHONE, SCREEN])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.slow
def test_nothing_stands_in_the_way(browser, file, size, scheme):
    with open_tab(browser, color_scheme=scheme) as tab:
        page = tab.open(file, size)
        for summary in page.locator("summary").all():
            summary.click()
        assert page.locator("svg").count() == 6
        assert tab.barriers() == []
        assert tab.overflow() == 0


def test_columns_are_side_by_side_and_on_a_phone_one_below_the_other(tab, file):
    def places():
        found = page.locator("section.panel").all()
        return [panel.bounding_box() for panel in found]

    page = tab.open(file, SCREEN)
    assert len({place["y"] for place in places()}) == 1
    page = tab.open(file, PHONE)
    assert len({place["x"] for place in places()}) == 1


def test_a_notebook_shows_it_without_any_style_of_ours(tab, comparison, tmp_path):
    path = tmp_path / "cell.html"
    start = '<!DOCTYPE html><html lang="en"><meta charset="utf-8"><title>cell</title>'
    path.write_text(
        f"{start}<main><h1>cell</h1>{comparison._repr_html_()}", encoding="utf-8"
    )
    page = tab.open(path)
    tinted = page.locator("td span[style*='rgba(213']").first
    color = tinted.evaluate("element => getComputedStyle(element).backgroundColor")
    assert color.startswith("rgba(213, 94, 0, 0.")
    assert page.locator("svg").count() == 6
    widths = [chart.bounding_box()["width"] for chart in page.locator("svg").all()]
    assert {*widths} == {380}
    assert page.evaluate("typeof evil") == "undefined"
