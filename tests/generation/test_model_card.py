"""What notebooks show of a model: facts, a curve, and no stranger's HTML."""

import html
import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from texts import trained

from charrnn.generation.language_model import LanguageModel
from charrnn.generation.model_card import html_card
from charrnn.text.corpus_info import CorpusInfo


def text_of(card):
    return html.unescape(re.sub(r"<[^>]*>", " ", card))


def test_its_card_says_what_it_is_and_draws_its_curve():
    card = trained()._repr_html_()
    text = text_of(card)
    nats = min(row["val_loss"] for row in trained().history)
    for expected in (
        "rnn, 1 x 24 units, 33 characters",
        f"{trained().parameters:,}",
        f"{trained().corpus.characters:,} characters",
        f"{nats:.4f} nats, {nats / np.log(2):.4f} bits",
        "training",
        "validation",
    ):
        assert expected in text
    root = ElementTree.fromstring(card)
    lines = [
        [[*map(float, point.split(","))] for point in line.get("points").split()]
        for line in root.iter("{http://www.w3.org/2000/svg}polyline")
    ]
    assert [len(points) for points in lines] == [5, 5]
    for points, name in zip(lines, ("train_loss", "val_loss"), strict=True):
        # A lower loss is further down, and a later step further to the right.
        losses = [row[name] for row in trained().history]
        assert np.argsort([-y for _, y in points]).tolist() == (
            np.argsort(losses).tolist()
        )
        assert [x for x, _ in points] == sorted(x for x, _ in points)


def test_a_card_without_a_history_has_no_curve():
    model = LanguageModel(trained().model, trained().vocab)
    card = model._repr_html_()
    ElementTree.fromstring(card)
    assert "svg" not in card
    assert "from memory" in re.sub(" +", " ", text_of(card))


def test_a_card_shows_the_strings_of_a_stranger_as_text():
    evil = '<script>alert("1")</script>&'
    model = LanguageModel(
        trained().model,
        trained().vocab,
        corpus=CorpusInfo(name=evil),
        path=Path(evil),
    )
    card = model._repr_html_()
    assert "<script" not in card
    assert text_of(card).count(evil) == 2
    ElementTree.fromstring(card)


@pytest.mark.parametrize(
    "history",
    [
        [],
        [(5, 1.0, 2.0)],
        [(5, 1.0, 2.0), (5, 1.0, 2.0)],
        [(5, 1.0, float("nan")), (6, float("inf"), 1.0)],
    ],
)
def test_a_history_without_two_points_has_no_curve(history):
    card = html_card("a model", [], history)
    ElementTree.fromstring(card)
    assert "svg" not in card


def test_equal_losses_are_a_flat_line():
    card = html_card("a model", [], [(1, 2.0, 2.0), (2, 2.0, 2.0)])
    assert "nan" not in card
    assert card.count("polyline") == 2


def test_every_string_is_text():
    card = ElementTree.fromstring(html_card("<i>&", [("<b>", '<u>"')], []))
    assert {"<i>&", "<b>", '<u>"'} <= {element.text for element in card.iter()}
