"""Surprise, against a softmax computed by hand, and the page in a real browser."""

import numpy as np
import pytest
from browser import PHONE, SCREEN, open_tab
from hypothesis import given
from hypothesis import strategies as st
from texts import sentences, trained

from charrnn.config import TextConfig
from charrnn.errors import ConfigError
from charrnn.evaluation.loss import evaluate
from charrnn.generation.language_model import LanguageModel
from charrnn.generation.text_score import read_text, score_text
from charrnn.nn.functional import softmax
from charrnn.run import start_run
from charrnn.text.documents import file_order
from charrnn.text.reading import from_text
from charrnn.views import surprise as module
from charrnn.views.surprise import surprise
from charrnn.views.surprise_page import surprise_page

EVIL = "</script><script>evil = 1</script><img src=x onerror='evil = 1'>\n"


def of(text, model=None, **options):
    model = model or trained()
    return surprise(model, from_text(text, model.corpus.config), **options)


def by_hand(text, model=None):
    """Return the probabilities (n, V) of each character after the default prime."""
    model = model or trained()
    ids = model.encode(model.default_prime() + text)
    network = model.model
    logits, _ = network.forward(
        ids[:-1, None], network.zero_state(1), network.workspace(len(ids), 1)
    )
    first = len(model.default_prime()) - 1
    return softmax(logits[first:, 0].astype(np.float64)), ids[first + 1 :]


def model_of(text, **config):
    """Return a model that has seen a text, and no more."""
    corpus = from_text(text, TextConfig(**config))
    run = start_run(
        corpus, {"hidden": 6, "batch": 2, "window": 4, "steps": 2, "threads": 1}
    )
    for _ in run.events():
        pass
    return LanguageModel.from_checkpoint(run.best_checkpoint())


def test_values_are_those_of_a_softmax_by_hand():
    text = sentences(8, seed=4)
    found = of(text, alternatives=True)
    p, ids = by_hand(text)
    each = [*found.characters()]
    assert "".join(one.character for one in each) == text
    own = p[np.arange(len(ids)), ids]
    np.testing.assert_allclose([one.bits for one in each], -np.log2(own), atol=1e-5)
    np.testing.assert_allclose([one.probability for one in each], own, rtol=1e-4)
    symbols = np.array(trained().vocab.symbols)
    for one, row, actual in zip(each, p, ids, strict=True):
        row[actual] = -1
        best = np.argsort(-row, kind="stable")[:3]
        assert [c for c, _ in one.alternatives] == symbols[best].tolist()
        np.testing.assert_allclose(
            [q for _, q in one.alternatives], row[best], rtol=1e-4
        )


@pytest.mark.parametrize("characters", [1, 2, 511, 512, 5000])
def test_the_score_is_that_of_the_evaluation(characters):
    text = sentences(200, seed=9)[:characters]
    found = of(text)
    read = read_text(trained(), from_text(text))
    assert found.score == score_text(trained(), read)
    ids = read.ids[read.start - 1 :]
    assert found.score == evaluate(trained().model, ids, threads=0)
    assert found.nats.mean(dtype=np.float64) == pytest.approx(found.score.nats)
    assert len(found.nats) == found.score.characters == characters


def test_lines_are_ranked_by_bits_per_character():
    text = (
        "Ann paints the moon, at dawn.\n\nmoom noom noom zoom n.\nBen hides the moon.\n"
    )
    text = text.replace("z", "h")
    found = of(text)
    p, ids = by_hand(text)
    bits = -np.log2(p[np.arange(len(ids)), ids])
    lines = found.lines(10)
    assert lines[0].number == 3
    assert {line.number for line in lines} == {1, 3, 4}  # not the blank one
    start = 0
    for number, line in enumerate(text.splitlines(keepends=True), 1):
        part = bits[start : start + len(line)]
        start += len(line)
        for each in lines:
            if each.number == number:
                assert each.text + "\n" == line
                assert each.bits == pytest.approx(part.mean(), rel=1e-4)
                assert each.characters == len(line)
    assert [line.bits for line in lines] == sorted(b.bits for b in lines)[::-1]
    assert found.lines(1) == lines[:1]
    assert found.lines(0) == []


def test_a_stretch_of_a_text_has_the_values_that_it_has_in_the_whole(monkeypatch):
    monkeypatch.setattr(module, "_BLOCK", 7)
    text = sentences(30, seed=2)
    whole = [*of(text, alternatives=True).characters()]
    start = len("".join(text.splitlines(keepends=True)[:4]))
    part = of(text, first_line=5, length=50, alternatives=True)
    assert [*part.characters()] == whole[start : start + 50]
    assert part.score == of(text).score
    assert part.left_out == (
        f"shown are 50 of {len(text):,} characters, from line 5 on"
    )
    assert of(text).left_out == ""
    for wrong in (0, 31):
        with pytest.raises(ConfigError, match=f"no line {wrong}: the text has 30"):
            of(text, first_line=wrong)
    with pytest.raises(ConfigError, match="length is 0"):
        of(text, length=0)


def test_documents_are_shown_in_the_order_of_the_file():
    names = "".join(f"{a}{b}{c}\n" for a in "KLM" for b in "aeiou" for c in "nrst")
    model = model_of(names, documents="lines")
    corpus = from_text(names, model.corpus.config, seed=model.corpus.seed)
    found = surprise(model, corpus)
    assert corpus.text != names  # the model reads them in another order
    assert found.is_in_order
    assert "".join(mark.character for mark in found.marks()) == names
    read = read_text(model, corpus)
    assert found.score == score_text(model, read)
    for line in found.lines(3):
        assert names.splitlines()[line.number - 1] == line.text
        one = surprise(model, from_text(line.text, model.corpus.config))
        assert one.score.bits == pytest.approx(line.bits, rel=1e-4)


@given(st.lists(st.text("ab", max_size=3), min_size=1, max_size=9), st.integers(0, 5))
def test_the_order_of_the_files_comes_back(documents, seed):
    text = "\n".join([*documents, "end"])
    corpus = from_text(text, TextConfig(documents="lines"), seed=seed)
    order = file_order(corpus.ids, corpus.vocab.end_id, seed)
    assert order is not None
    assert corpus.vocab.decode(corpus.ids[order]) == text.replace("\n", "")
    ends = corpus.ids[order] == corpus.vocab.end_id
    assert ends[-1]
    assert file_order(corpus.ids, corpus.vocab.end_id, seed, most=1) is None


def test_bytes_of_a_character_are_one_mark():
    text = "é ה\nab" * 20
    raw = text.encode().decode("latin-1")
    model = model_of(raw, encoding="bytes")
    found = of(raw + "\xff", model, alternatives=True)
    marks = [*found.marks(details=True)]
    assert "".join(mark.character for mark in marks) == text + "\udcff"
    bits = found.nats / np.log(2)
    assert marks[0].level == round(min(8.0, float(bits[0] + bits[1])))
    assert marks[0].details.count("instead:") == 2
    assert marks[0].details.startswith(r"'\xc3': ")


def test_marks_have_a_level_per_bit():
    found = of(sentences(5))
    bits = found.nats / np.log(2)
    expected = np.rint(np.minimum(bits, 8)).astype(int).tolist()
    assert [mark.level for mark in found.marks()] == expected
    assert max(expected) > 3


@pytest.fixture(scope="module")
def evil_file(tmp_path_factory):
    """Return the page of a text with markup, and what is known of its characters."""
    text = EVIL * 3 + "שלום " + sentences(3)
    model = model_of(text)
    found = of(text, model, alternatives=True, length=150)
    path = tmp_path_factory.mktemp("page") / "page.html"
    path.write_text(surprise_page(found, 3), encoding="utf-8")
    return path, [*found.characters()]


def test_a_page_tells_what_is_known_of_a_character(tab, evil_file):
    path, characters = evil_file
    page = tab.open(path)
    assert page.evaluate("typeof evil") == "undefined"
    assert page.locator(".inspect").inner_text().startswith(EVIL.rstrip("\n"))
    for i in (0, 7, 149):
        page.locator(".inspect i").nth(i).hover()
        shown = page.locator("#details").inner_text()
        assert shown == characters[i].details()
        assert f"{characters[i].bits:.2f} bits" in shown
        assert all(c.strip("\n") in shown for c, _ in characters[i].alternatives)
    assert page.locator(".inspect i").count() == 150
    assert "Shown are 150 of" in page.locator("main").inner_text()
    assert page.locator("tbody tr").count() == 3


@pytest.mark.parametrize("size", [PHONE, SCREEN])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_stands_in_the_way_of_a_page(browser, evil_file, size, scheme):
    with open_tab(browser, color_scheme=scheme) as tab:
        tab.open(evil_file[0], size)
        assert tab.barriers() == []
        assert tab.overflow() == 0
