"""Temperatures side by side: shared random numbers, and figures computed by hand."""

import json
from dataclasses import replace
from math import ceil
from xml.etree import ElementTree

import numpy as np
import pytest
from texts import sentences, trained

from charrnn.errors import ConfigError, TextError
from charrnn.evaluation.calibration import calibration
from charrnn.evaluation.corpus_search import longest_copy
from charrnn.nn.functional import log_softmax
from charrnn.text import corpus as corpus_module
from charrnn.text.reading import from_text
from charrnn.views import compare as module
from charrnn.views.compare import compare

CORPUS = from_text(sentences(300), name="lines")


def comparison(*temperatures, corpus=CORPUS, prime="Ann ", **settings):
    settings = {"length": 120, "seed": 3} | settings
    return compare(trained(), prime, temperatures, corpus=corpus, **settings)


def by_hand(prime, text):
    """Return the log-probabilities (len(text), V) of each next character of a text."""
    model, vocab = trained().model, trained().vocab
    ids = vocab.encode(prime + text)
    logits, _ = model.forward(
        ids[:-1, None], model.zero_state(1), model.workspace(len(ids), 1)
    )
    return logits[len(prime) - 1 :, 0].astype(np.float64), ids[len(prime) :]


def test_the_same_temperature_twice_gives_the_same_column_twice():
    one, other, same = comparison(0.8, 1.2, 0.8).columns
    assert one == same
    assert one.text != other.text


def test_a_notebook_shows_the_texts_side_by_side_with_their_figures():
    found = comparison(0.5, 1.2, prime="Ann ")
    rows = [
        ["".join(cell.itertext()) for cell in row]
        for row in ElementTree.fromstring(found._repr_html_()).iter("tr")
    ]
    a, b = found.columns
    assert rows[0] == ["", "temperature 0.5", "temperature 1.2"]
    assert rows[1] == ["", "Ann " + a.text, "Ann " + b.text]
    assert rows[2] == ["log p", f"{a.log_prob:.3f}", f"{b.log_prob:.3f}"]
    assert rows[6] == ["known", f"{a.known_words:.0%}", f"{b.known_words:.0%}"]
    assert rows[7] == ["copied", str(len(a.longest_copy)), str(len(b.longest_copy))]
    assert f"at temperature {found.calibrated:.2f}." in found._repr_html_()
    assert "copied" not in comparison(1.0, corpus=None)._repr_html_()
    strange = replace(found, prime="<i>&")._repr_html_()
    assert "&lt;i&gt;&amp;" in strange
    assert "<i>" not in strange


def test_a_column_is_what_sampling_alone_gives():
    for column in comparison(0.3, 1.0, 0).columns:
        alone = trained().generate(
            "Ann ", length=120, seed=3, temperature=column.temperature
        )
        assert "Ann " + column.text == alone


def test_columns_start_alike_because_they_share_their_random_numbers():
    near, like = comparison(0.7, 0.70001).columns
    assert near.text[:20] == like.text[:20]


@pytest.mark.parametrize("temperature", [0.4, 1.0, 1.5])
def test_log_probability_and_entropy_equal_the_computation_by_hand(temperature):
    (column,) = comparison(temperature).columns
    logits, ids = by_hand("Ann ", column.text)
    log_p = log_softmax(logits)
    mean = log_p[np.arange(len(ids)), ids].mean()
    assert column.log_prob == pytest.approx(mean, abs=1e-5)
    drawn = log_softmax(logits / temperature)
    entropy = -(np.exp(drawn) * drawn).sum(axis=1).mean()
    assert column.entropy == pytest.approx(entropy, abs=1e-5)


def test_temperature_0_draws_without_entropy():
    (column,) = comparison(0).columns
    assert column.entropy == 0
    assert column.log_prob < 0


def test_higher_temperatures_are_less_likely_and_less_certain():
    columns = comparison(0.2, 0.8, 2.0, length=400).columns
    assert columns[0].log_prob > columns[1].log_prob > columns[2].log_prob
    assert columns[0].entropy < columns[1].entropy < columns[2].entropy


def test_without_a_prime_the_text_is_measured_from_the_start_of_a_line():
    (column,) = comparison(1.0, prime="").columns
    logits, ids = by_hand("\n", column.text)
    mean = log_softmax(logits)[np.arange(len(ids)), ids].mean()
    assert column.log_prob == pytest.approx(mean, abs=1e-5)


def test_figures_of_the_text_are_those_of_its_letters():
    (column,) = comparison(0.5, length=90).columns
    text = column.text
    grams = [text[i : i + 4] for i in range(len(text) - 3)]
    assert column.distinct_4grams == len({*grams}) / len(grams)
    assert column.longest_copy in text
    assert column.longest_copy in CORPUS.text
    longer = len(column.longest_copy) + 1
    assert not any(
        text[i : i + longer] in CORPUS.text for i in range(len(text) - longer + 1)
    )
    assert 0 < column.known_words <= 1


def test_without_the_corpus_its_figures_are_none():
    found = comparison(0.5, 1.0, corpus=None)
    assert found.calibrated is None
    for column in found.columns:
        assert column.known_words is None
        assert column.longest_copy is None
    with_corpus = comparison(0.5, 1.0)
    for column, other in zip(found.columns, with_corpus.columns, strict=True):
        assert column == replace(other, known_words=None, longest_copy=None)


def test_a_comparison_is_json():
    found = comparison(0.5, 1.0)
    assert json.loads(json.dumps(found.to_dict()))["columns"][0]["temperature"] == 0.5


def test_the_calibration_is_on_the_held_out_part():
    ids = trained().vocab.encode(CORPUS.text)
    held_out = ids[len(ids) - int(len(ids) * 0.1) :]
    expected = calibration(trained().model, held_out).temperature
    assert comparison(1.0).calibrated == pytest.approx(expected, rel=1e-6)


def test_of_a_long_corpus_a_part_is_searched(monkeypatch):
    whole = comparison(1.0)
    assert whole.searched == 1
    monkeypatch.setattr(corpus_module, "_PIECE", 1000)
    assert comparison(1.0) == whole
    monkeypatch.setattr(module, "_SEARCHED", len(CORPUS.text) // 4)
    part = comparison(1.0)
    assert part.searched == pytest.approx(0.25, abs=1e-3)
    pieces = [CORPUS.text[i : i + 1000] for i in range(0, len(CORPUS.text), 1000)]
    read = [piece[: ceil(part.searched * 1000)] for piece in pieces]
    (column,) = part.columns
    copies = [longest_copy(column.text, piece) for piece in read]
    assert len(column.longest_copy) == max(map(len, copies))
    assert 0 < column.known_words <= whole.columns[0].known_words
    assert "known and copied refer to 25.0% of the corpus" in part._repr_html_()
    assert comparison(1.0, corpus=None).searched is None


def test_a_copy_does_not_go_on_after_a_part_that_was_left_out(monkeypatch):
    monkeypatch.setattr(corpus_module, "_PIECE", 1000)
    monkeypatch.setattr(module, "_SEARCHED", 500)
    (column,) = comparison(1.0, corpus=None).columns
    text, filler = column.text, CORPUS.text
    halves = filler[:190] + text[:60], filler[:750], text[60:] + filler[:940]
    (column,) = comparison(1.0, corpus=from_text("".join(halves))).columns
    assert column.longest_copy in (text[:60], text[60:])


@pytest.mark.parametrize("prime", ["Ann ", "Ann mends the moon, in June.\n" * 5])
def test_a_long_prime_is_not_measured(prime):
    (column,) = comparison(1.0, prime=prime, length=40).columns
    logits, ids = by_hand(prime, column.text)
    mean = log_softmax(logits)[np.arange(len(ids)), ids].mean()
    assert column.log_prob == pytest.approx(mean, abs=1e-5)


@pytest.mark.parametrize(
    ("temperatures", "said"),
    [([], "no temperatures"), ([0.5, -1], "temperature is -1"), ([101], "101")],
)
def test_temperatures_that_make_no_sense(temperatures, said):
    with pytest.raises(ConfigError, match=said):
        comparison(*temperatures)


def test_unknown_characters_of_the_prime():
    with pytest.raises(TextError, match="'#'"):
        comparison(1.0, prime="#Ann ")
    skipped = comparison(1.0, prime="#Ann ", on_unknown="skip")
    assert skipped.columns == comparison(1.0).columns
