"""A comparison as a page and in a notebook, against computations by hand."""

import json
import re
from dataclasses import replace
from html import escape
from html.parser import HTMLParser
from statistics import mean, stdev
from xml.etree import ElementTree

import numpy as np
import pytest
from texts import sentences, trained

from charrnn.config import TextConfig
from charrnn.errors import ConfigError
from charrnn.evaluation.calibration import calibration
from charrnn.generation.language_model import LanguageModel
from charrnn.nn.functional import log_softmax
from charrnn.run import start_run
from charrnn.text import corpus as corpus_module
from charrnn.text.reading import from_text, read_corpus
from charrnn.views import compare as module
from charrnn.views import report
from charrnn.views.compare import compare
from charrnn.views.copies import Copy, find_copies, sources
from charrnn.views.expected import Character, marks
from charrnn.views.figures import figures
from charrnn.views.report import charts

CORPUS = from_text(sentences(300), name="lines")
RIGHT_TO_LEFT = "שלום עולם e\u0301 <script>evil = 1</script>\n" * 20


def comparison(*temperatures, corpus=CORPUS, prime="Ann ", **settings):
    settings = {"length": 120, "seed": 3} | settings
    return compare(trained(), prime, temperatures, corpus=corpus, **settings)


SMALL = {
    **{"hidden": 8, "batch": 2, "window": 8, "steps": 3},
    **{"threads": 1, "kernels": "numpy"},
}


def model_of(text, **reading):
    """Return a model that has barely learned from a text, and the text."""
    corpus = from_text(text, TextConfig(**reading))
    run = start_run(
        corpus,
        SMALL,
    )
    for _ in run.events():
        pass
    return LanguageModel.from_checkpoint(run.best_checkpoint()), corpus


class Texts(HTMLParser):
    """The tinted texts of a page with their details, and the text of everything."""

    def __init__(self, page):
        super().__init__()
        self.marks, self.details, self.shown, self._open = [], [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        names = dict(attributes)
        if "data-details" in names:
            self.marks.append([])
        if tag not in ("meta", "br"):
            self._open.append((tag, names))

    def handle_endtag(self, tag):
        while self._open.pop()[0] != tag:
            pass

    def handle_data(self, data):
        tag, names = self._open[-1] if self._open else ("", {})
        if names.get("type") == "application/json":
            self.details.append(json.loads(data))
        elif tag not in ("script", "style"):
            self.shown.append(data)
        if tag == "i" and self.marks:  # not in the legend
            underlined = any(tag == "u" for tag, _ in self._open)
            self.marks[-1].append((data, names.get("class", ""), underlined))


def page_of(found):
    return Texts(found.to_html())


def by_hand(prime, text):
    """Return the log-probabilities (len(text), V) of next characters, and the ids."""
    model, vocab = trained().model, trained().vocab
    ids = vocab.encode(prime + text)
    logits, _ = model.forward(
        ids[:-1, None], model.zero_state(1), model.workspace(len(ids), 1)
    )
    return log_softmax(logits[len(prime) - 1 :, 0].astype(float)), ids[len(prime) :]


def test_each_character_has_its_probability_and_the_likeliest_others():
    found = comparison(0.5, 1.4)
    page = page_of(found)
    for column, shown, details in zip(
        found.columns, page.marks, page.details, strict=True
    ):
        assert "".join(character for character, *_ in shown) == column.text
        log_p, ids = by_hand("Ann ", column.text)
        for i, (_, look, _) in enumerate(shown):
            bits = -log_p[i, ids[i]] / np.log(2)
            likely = [j for j in np.argsort(-log_p[i]) if j != ids[i]][:3]
            first, second, *_ = details[i].split("\n")
            name, p, stated = re.fullmatch("(.+): (.+)%, (.+) bits", first).groups()
            assert name == repr(column.text[i])
            assert float(stated) == pytest.approx(bits, abs=0.006)
            assert float(p) == pytest.approx(100 * 2**-bits, rel=0.1, abs=0.06)
            others = [repr(trained().vocab.symbols[j]) for j in likely]
            assert re.findall("('.'|'\\\\n') [0-9.e-]+%", second) == others
            tint = re.match(r"t(\d)|", look)[1]
            assert abs(int(tint or 0) - min(8, bits)) <= 0.51


def test_copied_stretches_are_underlined_and_tell_their_lines():
    found = comparison(0.01, prime=CORPUS.text[:1000], length=75)
    (column,) = found.columns
    (marks_,), (details,) = page_of(found).marks, page_of(found).details
    inside = [underlined for *_, underlined in marks_]
    for i in range(len(column.text)):
        starts = range(max(0, i - 29), min(i, len(column.text) - 30) + 1)
        copied = any(column.text[a : a + 30] in CORPUS.text for a in starts)
        assert inside[i] == copied == ("copied from line" in details[i])
    assert any(inside)
    for copy in column.copies:
        stretch = column.text[copy.start : copy.end]
        first, last = re.fullmatch(
            r"lines? (\d+)(?: to (\d+))? of lines", copy.source
        ).groups()
        lines = CORPUS.text.splitlines(keepends=True)
        assert stretch in "".join(lines[int(first) - 1 : int(last or first)])


def test_of_a_long_corpus_only_a_part_is_searched_and_the_lines_are_right(monkeypatch):
    lines = CORPUS.text.splitlines(keepends=True)
    monkeypatch.setattr(corpus_module, "_PIECE", 1000)
    texts = ["".join(lines[a : a + 2]) for a in range(0, 280, 7)]
    found = find_copies(texts, CORPUS, len(CORPUS.text) // 2)
    assert 10 < len([copies for copies in found if copies]) < 40
    for text, copies in zip(texts, found, strict=True):
        for copy in copies:
            number = int(re.match(r"lines? (\d+)", copy.source)[1])
            assert text[copy.start : copy.end] in "".join(lines[number - 1 :][:3])


def test_the_place_of_a_copy_is_told_by_its_lines():
    text = "".join(
        f"{i} is the number of this line, and this is it\n" for i in range(50)
    )
    lines = text.splitlines(keepends=True)
    corpus = from_text(text, name="numbers")
    texts = [lines[30], lines[30] + lines[31], lines[12][1:] + lines[13][:1]]
    copies = [copy for (copy,) in find_copies(texts, corpus, 1 << 20)]
    assert [copy.source for copy in copies] == [
        "line 31 of numbers",
        "lines 31 to 32 of numbers",
        "lines 13 to 14 of numbers",
    ]
    assert [(copy.start, copy.end) for copy in copies] == [
        (0, len(each)) for each in texts
    ]


def test_lines_of_several_files_count_from_the_start_of_each(tmp_path):
    names = ["plays/one.txt", "plays/two.txt", "verse.txt"]
    for i, name in enumerate(names):
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True)
        file.write_text("".join(f"line {n} of {'xyz'[i] * 30}\n" for n in range(40)))
    corpus = read_corpus([tmp_path / name for name in names])
    texts = [f"line {n} of {'xyz'[i] * 30}\n" for i, n in ((1, 0), (2, 39), (0, 7))]
    expected = ["line 1 of plays/two.txt", "line 40 of verse.txt"]
    expected += ["line 8 of plays/one.txt"]
    copies = [copy for (copy,) in find_copies(texts, corpus, 1 << 20)]
    assert [copy.source.replace("\\", "/") for copy in copies] == expected
    (tmp_path / "verse.txt").unlink()
    (copy,) = find_copies(texts[:1], corpus, 1 << 20)[0]
    place = corpus.text.index(texts[0])
    assert copy.source == f"character {place + 1:,} of {corpus.name}"


def test_of_overlapping_copies_the_longest_counts():
    copies = [Copy(0, 4, "a"), Copy(2, 7, "b"), Copy(6, 8, "c")]
    a, b, c = (f"copied from {name}" for name in "abc")
    assert sources(copies, 9) == [a, a, b, b, b, b, b, c, ""]
    assert sources(copies[::-1], 9) == sources(copies, 9)


def test_texts_of_documents_share_no_document():
    text = "\n".join(f"{i} and {i}" for i in range(99))
    model, _ = model_of(text, documents="lines")
    ((first, second),) = compare(model, "", [1.0], length=60, n=2, seed=1).samples
    assert first == compare(model, "", [1.0], length=60, seed=1).columns[0]
    numbers = {each.text.split("\n")[0] for each in (first, second)}
    assert len(numbers) == 2
    assert not {*first.text.split("\n")} & {*second.text.split("\n")[:1]}


def test_a_page_lists_the_longest_copies():
    (column,) = comparison(0.01, length=2000).columns
    page = comparison(0.01, length=2000).to_html()
    assert len(column.copies) > 5
    assert f"and {len(column.copies) - 5} more" in page
    longest = max(copy.end - copy.start for copy in column.copies)
    assert f"<li>{longest} characters, line" in page
    assert len(column.longest_copy) == longest


def test_what_a_corpus_of_documents_copies_is_named_by_its_document():
    text = "\n".join(f"{i} is the number of this document, say I" for i in range(80))
    model, corpus = model_of(text, documents="lines")
    document = next(corpus.pieces(1)).split("\n")[0]
    found = find_copies([f"xx{document}"], corpus, 1 << 20)
    first = f"the document that begins {document[:40]!r}"
    assert [copy.source for copy in found[0]] == [first]
    columns = compare(model, "", [1.0], corpus=corpus, length=90, seed=1).columns
    whole = page_of(compare(model, "", [1.0], corpus=corpus, length=90, seed=1))
    assert "".join(c for c, *_ in whole.marks[0]) == columns[0].text
    ends = [i for i, c in enumerate(columns[0].text) if c == "\n"]
    assert all(whole.details[0][i].startswith("end of document") for i in ends)


@pytest.mark.parametrize(
    ("text", "reading"),
    [
        (RIGHT_TO_LEFT, {"normalize": "nfd"}),
        (RIGHT_TO_LEFT, {"documents": "lines"}),
        ("ab" * 100, {}),
    ],
)
@pytest.mark.parametrize("temperatures", [[0], [0, 0.5, 0.5, 1, 100]])
@pytest.mark.parametrize("length", [1, 40])
def test_any_text_is_shown_whole(text, reading, temperatures, length):
    model, corpus = model_of(text, **reading)
    for known in (corpus, None):
        found = compare(model, "", temperatures, corpus=known, length=length, n=2)
        page = page_of(found)
        shown = ["".join(c for c, *_ in each) for each in page.marks]
        assert shown == [column.text for column in found.columns]
        for details, each in zip(page.details, page.marks, strict=True):
            assert len(details) == len(each)
        rows = [*ElementTree.fromstring(found._repr_html_()).iter("tr")]
        assert "".join(rows[1][1].itertext()) == found.columns[0].text


def test_bytes_are_named_and_shown_as_the_characters_that_they_make():
    text = "é ".encode()
    characters = [Character(chr(b), 3.0, [("\xa9", 0.5)]) for b in text]
    shown = [*marks(characters, ["", "", ""], are_bytes=True)]
    assert [mark.character for mark in shown] == ["é", " "]
    assert shown[0].level == 6
    assert shown[0].details == (
        "'\\xc3': 12.5%, 3.00 bits\ninstead: '\\xa9' 50.0%\n"
        "'\\xa9': 12.5%, 3.00 bits\ninstead: '\\xa9' 50.0%"
    )
    alone = [*marks(characters[1:2], [""], are_bytes=True)]
    assert [mark.character for mark in alone] == ["\udca9"]


def test_of_a_long_text_only_the_start_is_tinted(monkeypatch):
    monkeypatch.setattr(report, "_TINTED", 50)
    found = comparison(0.5)
    page = page_of(found)
    (column,) = found.columns
    assert "".join(c for c, *_ in page.marks[0]) == column.text[:50]
    assert column.text[50:] in page.shown
    assert "Only the first 50 characters are tinted." in page.shown


def test_without_the_corpus_a_page_tells_what_is_left_out():
    page = comparison(0.5, 1.0, corpus=None).to_html()
    assert "is not available. What needs it is left out" in page
    for name in ("Longest copied stretch", "Loss of held-out text", "<h3>Copied"):
        assert name not in page
    assert "Mean entropy" in page
    assert "not available" not in comparison(0.5).to_html()


def test_the_curve_is_that_of_the_held_out_text_with_its_lowest_point_marked():
    found = comparison(1.0)
    _, held_out = trained().parts_of(CORPUS)
    assert found.curve == calibration(trained().model, held_out).curve
    *_, chart = charts(found)
    assert chart.marked == min(found.curve, key=lambda point: point[1])
    assert chart.marked[0] == found.calibrated
    assert f"lowest at {found.calibrated:.2f}" in found.to_html()


def test_charts_hold_the_figures_by_temperature():
    found = comparison(1.2, 0.4)
    hot, cold = found.columns
    log_p, entropy, distinct, known, copied, _ = (
        chart.series[0] for chart in charts(found)
    )
    assert log_p.points == [(0.4, cold.log_prob), (1.2, hot.log_prob)]
    assert entropy.points == [(0.4, cold.entropy), (1.2, hot.entropy)]
    assert distinct.points[1] == (1.2, 100 * hot.distinct_4grams)
    assert known.points[0] == (0.4, 100 * cold.known_words)
    assert copied.points[0] == (0.4, len(cold.longest_copy))
    assert not any(series.spread for series in (log_p, entropy, copied))


def test_several_texts_give_means_and_spreads():
    found = comparison(0.5, 1.0, n=3)
    assert found.columns == comparison(0.5, 1.0).columns
    for i, temperature in enumerate((0.5, 1.0)):
        texts = trained().generate(
            "Ann ", length=120, seed=3, temperature=temperature, n=3
        )
        assert ["Ann " + each.text for each in found.samples[i]] == texts
        values = [each.log_prob for each in found.samples[i]]
        shown = f"{mean(values):.2f}±{stdev(values):.2f}"
        assert found.figures()[i]["log p"] == shown
        data = found.to_dict()["columns"][i]
        assert data["mean"]["log_prob"] == pytest.approx(mean(values))
        assert data["spread"]["log_prob"] == pytest.approx(stdev(values))
        lengths = [len(each.longest_copy) for each in found.samples[i]]
        assert data["mean"]["longest_copy"] == pytest.approx(mean(lengths))
        assert [each["text"] for each in data["texts"]] == [t[4:] for t in texts]
        (series,) = next(charts(found)).series
        assert series.points[i] == (temperature, pytest.approx(mean(values)))
        assert series.spread[i] == pytest.approx(stdev(values))
    page = page_of(found)
    for samples in found.samples:
        for other in samples[1:]:
            assert other.text in page.shown
    assert page.shown.count("2 more texts") == 2
    assert "Mean ± standard deviation of 3 texts" in page.shown


def test_texts_without_words_do_not_count_in_the_mean():
    column = comparison(0.5).columns[0]
    none = replace(column, known_words=None)
    shown = figures([none, column])["known"]
    assert shown == f"{column.known_words:.0%}"
    assert figures([none, none])["known"] == "none"


@pytest.mark.parametrize("rows", [1, 4])
def test_texts_are_drawn_in_groups_of_any_size(monkeypatch, rows):
    whole = comparison(0.5, 1.0, n=3)
    monkeypatch.setattr(module, "_ROWS", rows)
    found = comparison(0.5, 1.0, n=3)
    for samples, others in zip(found.samples, whole.samples, strict=True):
        assert [each.text for each in samples] == [each.text for each in others]


def test_a_number_of_texts_that_makes_no_sense():
    with pytest.raises(ConfigError, match="n is 0; expected at least 1 text"):
        comparison(1.0, n=0)


def test_a_notebook_shows_tints_and_charts_without_style_sheet_and_script():
    found = comparison(0.5, 1.4)
    shown = found._repr_html_()
    assert "background:rgba(213,94,0," in shown
    assert shown.count("<svg") == 6
    for word in ('class="text', "<script", "<style", "<link"):
        assert word not in shown


def test_a_page_is_written_whole_and_never_over_another(tmp_path):
    found = comparison(0.5)
    path = tmp_path / "new" / "report.html"
    assert found.save_html(path) == path
    assert path.read_text(encoding="utf-8") == found.to_html()
    path.write_text("mine")
    with pytest.raises(ConfigError, match="already exists; give another name"):
        found.save_html(str(path))
    assert path.read_text() == "mine"
    found.save_html(path, force=True)
    assert path.read_text(encoding="utf-8") == found.to_html()
    with pytest.raises(ConfigError, match="is a folder"):
        found.save_html(tmp_path, force=True)


def test_what_could_be_markup_is_text():
    evil = "</script><script>evil = 1</script>"
    model, corpus = model_of((evil + " and so on\n") * 30)
    page = compare(model, evil, [0.5], corpus=corpus, length=60, n=2).to_html()
    assert "evil = 1" not in re.sub(r"&lt;script&gt;evil = 1&lt;/script&gt;", "", page)
    found = comparison(0.5)
    copies = [Copy(0, len(evil), f"line {evil}")]
    copied = replace(found.columns[0], text=evil, expected=None, copies=copies)
    page += replace(found, columns=[copied], prime=evil).to_html()
    assert "evil = 1" not in re.sub(r"&lt;script&gt;evil = 1&lt;/script&gt;", "", page)
    assert f"<q>{escape(evil)}</q>" in page
    assert page.count("<script>") == page.count("</script>") - 2 == 2
