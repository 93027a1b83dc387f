"""What hidden units watch, as a page in a real browser."""

import numpy as np
import pytest
from browser import PHONE, SCREEN, open_tab
from texts import sentences, trained

from charrnn.views.neurons import activations, rank
from charrnn.views.neurons_page import marks, neurons_page

EVIL = "</script><script>evil = 1</script><img src=x onerror='evil = 1'>\n"
UNITS = [(0, 3), (0, 0), (0, 17), (0, 5)]


@pytest.fixture(scope="module")
def values():
    """Return activations as large as they may be; no model reads EVIL."""
    text = EVIL + "é\x1b"
    return np.linspace(-1, 1, len(text) * len(UNITS)).reshape(-1, len(UNITS))


@pytest.fixture(scope="module")
def file(tmp_path_factory, values):
    model = trained()
    ranking = rank(model, model.encode(sentences(60)))
    text = neurons_page(
        EVIL, UNITS, EVIL + "é\x1b", values, ranking.of_features(), ranking
    )
    path = tmp_path_factory.mktemp("page") / "neurons.html"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_text_of_a_stranger_does_nothing(tab, file):
    page = tab.open(file)
    assert page.evaluate("typeof evil") == "undefined"
    shown = page.locator(".inspect").first.text_content()
    assert shown == EVIL + "é\N{REPLACEMENT CHARACTER}"


def test_each_character_tells_its_activation(tab, file, values):
    page = tab.open(file)
    details = page.locator("#details")
    text = page.locator("#panel-unit-0-0 .inspect")
    for i in (0, 1, len(values) - 1):
        text.locator("i").nth(i).hover()
        assert details.inner_text().endswith(f"  {values[i, 1]:+.3f}")
    text.focus()
    page.keyboard.press("Home")
    assert details.inner_text() == f"'<'  {values[0, 1]:+.3f}"


def test_the_first_panels_are_open_and_a_link_opens_another(tab, file):
    page = tab.open(file)
    texts = page.locator(".inspect")
    assert [text.is_visible() for text in texts.all()] == [True, True, True, False]
    page.evaluate("location.hash = '#panel-unit-0-5'")
    texts.last.wait_for(state="visible")
    page.locator("summary").first.click()
    assert texts.first.is_hidden()


@pytest.mark.parametrize("size", [PHONE, SCREEN])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_stands_in_the_way(browser, file, size, scheme):
    with open_tab(browser, color_scheme=scheme) as tab:
        tab.open(file, size)
        assert tab.barriers() == []
        assert tab.overflow() == 0


def test_the_tint_is_the_activation():
    model = trained()
    ids = model.encode("Ann, Ben")
    (found,) = activations(model, ids, [(0, 3)]).T
    shown = marks("Ann, Ben", found)
    assert [mark.level for mark in shown] == np.rint(found * 8).astype(int).tolist()
    assert shown[3].details == f"','  {found[3]:+.3f}"
    # The cell state has no bounds: its largest value gets the strongest tint.
    assert max(abs(m.level) for m in marks("ab", np.array([-30.0, 3]), part=1)) == 8
    assert [m.level for m in marks("ab", np.zeros(2), part=1)] == [0, 0]
