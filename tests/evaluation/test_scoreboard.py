"""The scoreboard: the network and the n-gram on the same split."""

import numpy as np
import pytest

from charrnn.config import ModelConfig
from charrnn.evaluation.loss import evaluate
from charrnn.evaluation.ngram import WittenBell
from charrnn.evaluation.scoreboard import score
from charrnn.nn.model import Model

V = 5


def some_model():
    model = Model(ModelConfig(V, 6))
    model.init(rng=np.random.default_rng(0))
    return model


def some_text(characters, period):
    """Return ids that mostly go round in a circle, so that context helps."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, V, characters) * (rng.random(characters) < 0.2)
    return ((np.arange(characters) % period + noise) % V).astype(np.uint8)


def test_network_is_scored_on_all_of_the_second_part():
    model, ids = some_model(), some_text(1000, 5)
    board = score(model, ids[:900], ids[900:])
    assert board.val == evaluate(model, ids[900:])
    assert board.val.characters == 99


def test_first_part_is_scored_on_its_end_as_long_as_the_second():
    model, ids = some_model(), some_text(1000, 5)
    board = score(model, ids[:900], ids[900:])
    assert board.train == evaluate(model, ids[800:900])
    assert board.train.characters == board.val.characters


def test_first_part_shorter_than_the_second_is_scored_whole():
    model, ids = some_model(), some_text(100, 5)
    board = score(model, ids[:30], ids[30:])
    assert board.train == evaluate(model, ids[:30])


@pytest.mark.parametrize("period", [1, 3, 5])
def test_ngram_is_fitted_on_the_first_part_at_the_order_best_on_the_second(period):
    ids = some_text(2000, period)
    train, val = ids[:1800], ids[1800:]
    board = score(some_model(), train, val)
    by_order = [
        WittenBell.fit(train, V, order=order).losses(val).mean()
        for order in range(1, 7)
    ]
    assert board.ngram.nats == pytest.approx(min(by_order), rel=1e-12)
    assert board.ngram_order == 1 + int(np.argmin(by_order))
    assert board.ngram.characters == board.val.characters == 199
