"""The served page in a real browser."""

import json
import re
from math import log
from urllib.parse import urlencode

import pytest
from browser import PHONE, SCREEN, open_tab
from playground import playing, until, working_with
from texts import small_run, trained

from charrnn.storage.checkpoint import save
from charrnn.storage.run_folder import BEST, lock

EVIL = "<img src=x onerror='evil = 1'>"  # a name that a folder may have
LINK = {
    "model": "lines",
    "prime": "Ann ",
    "length": 150,
    "seed": 7,
    "kernels": "numpy",
    "t": "0.2,0.8",
}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    with working_with(tmp_path_factory.mktemp("play"), EVIL, "lines") as place:
        yield place


@pytest.fixture(scope="module")
def client(place):
    with playing() as client:
        yield client


def link(client, **changes):
    return f"{client.url}/#{urlencode(LINK | changes)}"


def written(page):
    """Wait until the texts are there, and return them, primes included."""
    page.get_by_text("characters in").wait_for()
    return page.locator(".column .text").all_text_contents()


def expected(temperature, **changes):
    settings = {"length": 150, "seed": 7, "kernels": "numpy"} | changes
    return trained().generate("Ann ", temperature=temperature, **settings)


def test_texts_stream_into_all_columns_with_their_figures(client, tab):
    page = tab.open(client.url)
    page.get_by_label("Model").select_option("lines")
    page.get_by_label("Prime").fill("Ann ")
    page.get_by_label("Length").fill("150")
    page.get_by_label("Seed").fill("7")
    page.get_by_text("More settings").click()
    page.get_by_label("Computed by").select_option("numpy")
    page.get_by_role("button", name="Write").click()
    assert written(page) == [expected(0.5), expected(0.8), expected(1.1)]
    names = page.locator(".column").first.locator("dt").all_text_contents()
    assert names == ["log p", "entropy", "distinct", "repeated", "known", "copied"]
    assert page.locator("#about").inner_text() == "lines: rnn, 1 x 24 units"


def test_columns_are_added_changed_and_removed(client, tab):
    page = tab.open(client.url)
    page.get_by_role("button", name="Add a column").click()
    page.get_by_role("button", name="Add a column").click()
    assert page.get_by_role("button", name="Add a column").is_disabled()
    page.get_by_role("spinbutton", name="Temperature").nth(4).fill("0")
    for _ in range(3):
        page.get_by_role("button", name="Remove").first.click()
    assert page.get_by_role("button", name="Remove").first.is_disabled()
    page.get_by_label("Model").select_option("lines")
    page.get_by_label("Prime").fill("Ann ")
    page.get_by_label("Seed").fill("7")
    page.get_by_role("button", name="Write").click()
    assert written(page)[1] == expected(0, length=400)


def test_a_link_gives_the_same_text_again(client, tab):
    page = tab.open(client.url)
    page.get_by_label("Model").select_option("lines")
    page.get_by_label("Prime").fill("Ann ")
    page.get_by_role("button", name="Write").click()
    first = written(page)
    assert "seed=" in page.url
    address = page.url
    page.reload()
    assert written(page) == first
    page.goto("about:blank")
    assert written(tab.open(address)) == first


def test_another_link_in_the_same_page_writes_its_text(client, tab):
    page = tab.open(link(client))
    assert written(page) == [expected(0.2), expected(0.8)]
    page.goto(link(client, seed=8, top_k=3))
    page.get_by_text("seed 8.").wait_for()
    assert written(page)[1] == expected(0.8, seed=8, top_k=3)


def test_writing_is_stopped_here_and_on_the_server(place, tab):
    with playing(streams=1) as client:
        slow = {"model": "shakespeare", "length": 20_000, "t": "1,1,1,1,1"}
        page = tab.open(link(client, **slow))
        page.locator(".column .text", has_text=re.compile(".{9}")).first.wait_for()
        page.get_by_role("button", name="Stop").click()
        page.get_by_text("Stopped.").wait_for()
        assert 0 < len(page.locator(".column .text").first.inner_text()) < 20_000
        assert page.get_by_role("button", name="Stop").is_disabled()
        short = {"model": "lines", "length": 1}
        until(lambda: client.post_status("/api/generate", short) == 200)


def test_characters_are_tinted_by_their_surprise(client, tab):
    page = tab.open(link(client))
    text = written(page)[0]
    page.get_by_label("Tint by surprise").check()
    column = page.locator(".column .text").first
    column.locator("i").first.wait_for()
    assert column.text_content() == text
    bits = trained().losses(text)[3:] / log(2)
    tinted = sum(map(len, column.locator("i").all_text_contents()))
    # The numbers are sent with few digits.
    assert (bits > 0.51).sum() <= tinted <= (bits > 0.49).sum() < 150
    page.get_by_label("Tint by surprise").uncheck()
    column.locator("i").first.wait_for(state="detached")
    assert column.text_content() == text


def bars(page):
    """Return the characters and percentages that are shown."""
    shown = page.locator("#bars li").all_inner_texts()
    return [line.split("\n") for line in shown]


def percentages(prefix):
    names = {"\n": "\u21b5", " ": "\u2423"}
    ranked = trained().next(prefix, 10)
    return [[names.get(c, c), f"{100 * p:.1f}%"] for c, p in ranked]


def test_arrow_keys_show_what_could_have_come(client, tab):
    page = tab.open(link(client))
    text = written(page)[0]
    page.locator(".column .text").first.focus()
    for key, at in (("Home", 0), ("ArrowRight", 1), ("ArrowRight", 2), ("End", 150)):
        page.keyboard.press(key)
        until(lambda at=at: bars(page) == percentages(text[: 4 + at]))
    page.keyboard.press("ArrowLeft")
    page.locator("#bars .chosen").wait_for()
    page.keyboard.press("Escape")
    assert page.locator("#next").is_hidden()
    assert page.locator(".here").count() == 0


def test_a_click_shows_what_could_have_come(client, tab):
    page = tab.open(link(client))
    text = written(page)[1]
    place = page.evaluate(
        """() => {
            const node = document.querySelectorAll(".column .text > span:last-child")[1]
                .firstChild;
            const range = document.createRange();
            range.setStart(node, 12);
            range.setEnd(node, 13);
            const box = range.getBoundingClientRect();
            return [box.left + box.width * 0.8, box.top + box.height / 2];
        }"""
    )
    page.mouse.click(*place)
    page.locator("#bars .chosen").wait_for()
    assert page.locator(".here").text_content() == text[16]
    assert bars(page) == percentages(text[:16])


def test_names_and_texts_are_never_markup(client, tab):
    page = tab.open(link(client, model=EVIL, prime=f"{EVIL}Ann ", on_unknown="skip"))
    assert written(page)[0].startswith(EVIL)
    assert page.locator("#about").inner_text().startswith(EVIL)
    page.locator(".column .text").first.focus()
    page.keyboard.press("Home")
    page.locator("#context", has_text="Ann").wait_for()
    assert page.evaluate("typeof evil") == "undefined"
    assert page.locator("img").count() == 0


def test_what_a_model_writes_is_never_markup(client, place, tab):
    run = small_run(
        f"{EVIL}\n" * 100, shape={"hidden": 24}, batch=4, window=16, steps=300, lr=1e-2
    )
    for _ in run.events():
        pass
    (place / "checkpoints" / "evil").mkdir()
    save(run.best_checkpoint(), place / "checkpoints" / "evil" / BEST)
    page = tab.open(link(client, model="evil", prime="", t="0"))
    assert EVIL in written(page)[0]
    page.get_by_label("Tint by surprise").check()
    page.locator("#scale").wait_for()
    page.locator(".column .text").first.focus()
    page.keyboard.press("End")
    page.locator("#bars li").first.wait_for()
    assert page.evaluate("typeof evil") == "undefined"
    assert page.locator("img").count() == 0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model": "<b>gone"}, "no model '<b>gone'"),
        ({"prime": "\u4e00"}, "the model has never seen"),
        ({"length": 10**6}, "length is 1000000; expected 1 to 20,000"),
    ],
)
def test_what_is_wrong_is_told(client, tab, changes, words):
    page = tab.open(link(client, **changes))
    page.locator("#status.fault", has_text=words).wait_for()
    assert page.locator("#status b").count() == 0
    (fault,) = tab.faults  # the browser's own line for the refusal
    assert "Failed to load resource" in fault
    tab.faults.clear()


def test_a_server_that_has_ended_is_told(place, tab):
    with playing() as client:
        page = tab.open(link(client))
        written(page)
    page.get_by_role("button", name="Write").click()
    page.get_by_text("has charrnn serve ended?").wait_for()
    tab.faults.clear()  # the browser's own lines


def test_a_text_that_breaks_off_is_told(place, tab):
    with playing() as client:
        slow = {"model": "shakespeare", "length": 20_000, "t": "1,1,1,1,1"}
        page = tab.open(link(client, **slow))
        page.locator(".column .text", has_text=re.compile(".{9}")).first.wait_for()
    page.get_by_text("The text breaks off here").wait_for()
    assert page.get_by_role("button", name="Stop").is_disabled()
    tab.faults.clear()  # the browser's own line


def test_a_running_training_is_followed(client, place, tab):
    folder = place / "checkpoints" / "lines"
    history = folder / "history.jsonl"

    def validated(step):
        about = {"event": "validation", "step": step, "best": True}
        losses = {"train_loss": 2 - step / 100, "val_loss": 2.1 - step / 100}
        return json.dumps(about | losses) + "\n"

    history.write_text("".join(map(validated, (10, 20))))
    with lock(folder):
        page = tab.open(client.url)
        page.get_by_label("Model").select_option("lines")
        page.get_by_text("Training now. Step 20: 1.9000").wait_for()
        page.locator("#curve svg polyline").last.wait_for()
        assert page.locator("#curve svg polyline").count() == 2
        assert page.get_by_label("Write again whenever").is_checked()
        with history.open("a") as file:
            file.write(validated(30))
        page.get_by_text("Step 30: 1.8000").wait_for()
        assert len(written(page)) == 3
    page.get_by_label("Model").select_option("shakespeare")
    page.get_by_label("Model").select_option("lines")
    page.get_by_text("Not training. Step 30").wait_for()
    assert page.get_by_label("Write again whenever").is_hidden()
    history.unlink()


@pytest.mark.parametrize("size", [PHONE, SCREEN])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.slow
def test_nothing_stands_in_the_way(client, browser, scheme, size):
    with open_tab(browser, color_scheme=scheme) as tab:
        page = tab.open(link(client, t="0.2,0.5,0.8,1,1.3"), size)
        written(page)
        page.get_by_label("Tint by surprise").check()
        page.locator(".column .text").first.locator("i").first.wait_for()
        page.get_by_text("More settings").click()
        page.locator(".column .text").first.focus()
        page.keyboard.press("Home")
        page.locator("#bars li").first.wait_for()
        assert tab.barriers() == []
        assert tab.overflow() == 0


def test_readers_are_told_of_the_end_and_not_of_every_character(client, tab):
    page = tab.open(link(client))
    written(page)
    live = page.locator("[role=status], [aria-live]")
    assert [each.get_attribute("id") for each in live.all()] == ["status"]
    assert page.get_by_role("group", name="Text at temperature 0.2").count() == 1


def test_the_token_in_the_address_lets_a_browser_in(place, tab):
    with playing(token="a1b2c3d4") as client:
        page = tab.open(f"{client.url}/?token=a1b2c3d4#{urlencode(LINK)}")
        assert written(page)[0] == expected(0.2)
        assert "token" not in page.url
