"""The scoreboard: the network and the n-gram on the same split."""

import numpy as np
import pytest

from charrnn.config import ModelConfig
from charrnn.evaluation import scoreboard
from charrnn.evaluation.loss import cut, evaluate
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


def test_with_a_limit_all_scores_are_on_segments_spread_over_the_parts():
    model, ids = some_model(), some_text(20_000, 5)
    train, val = ids[:15_000], ids[15_000:]
    board = score(model, train, val, limit=2048)
    assert board.train == evaluate(model, train, limit=2048, threads=0)
    assert board.val == evaluate(model, val, limit=2048, threads=0)
    counts = WittenBell.fit(train, V, order=board.ngram_order).losses(val)
    spans = cut(len(val) - 1, limit=2048).spans
    expected = np.concatenate([counts[start:stop] for start, stop in spans])
    assert board.ngram.nats == pytest.approx(expected.mean(), rel=1e-12)
    assert board.ngram.characters == board.val.characters == 2048
    assert board.is_spread
    assert not score(model, train, val, limit=len(val)).is_spread
    assert not score(model, train, val).is_spread


def test_a_scoreboard_knows_how_much_the_ngram_counted(monkeypatch):
    model, ids = some_model(), some_text(1000, 5)
    board = score(model, ids[:900], ids[900:])
    assert (board.fitted, board.train_part, board.val_part) == (900, 900, 100)
    monkeypatch.setattr(scoreboard, "FIT_LIMIT", 300)
    board = score(model, ids[:900], ids[900:])
    assert (board.fitted, board.train_part) == (300, 900)


@pytest.mark.parametrize("limit", [0, 600])
def test_progress_rises_to_the_total(limit):
    ids, seen = some_text(4000, 5), []

    def show(done, total):
        seen.append((done, total))

    score(some_model(), ids[:3000], ids[3000:], limit=limit, on_progress=show)
    done, totals = zip(*seen, strict=True)
    assert [*done] == sorted(done)
    assert {done[-1]} == {*totals}
