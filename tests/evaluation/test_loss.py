"""Scores: equal to one pass character by character, every prediction counted once."""

import threading
import tracemalloc
from itertools import pairwise
from math import exp, isfinite, log

import naive_rnn
import numpy as np
import pytest

from charrnn.config import CELLS, ModelConfig
from charrnn.errors import TextError
from charrnn.evaluation import loss
from charrnn.evaluation.loss import (
    Score,
    cut,
    evaluate,
    losses,
    predictions,
    stream_length,
)
from charrnn.nn.model import Model

V = 7
every_cell = pytest.mark.parametrize("kind", CELLS)


def contracting_model(kind="rnn", *, hidden=8, layers=1, dtype=np.float32):
    """Return a random network that forgets, as trained ones do."""
    model = Model(ModelConfig(V, hidden, layers, kind), dtype)
    rng = np.random.default_rng(0)
    model.init(rng=rng)
    for name, values in model.params.items():
        values *= 0.8 if name.endswith("Wh") else 2
    return model


def memoryless_model():
    """Return a network whose loss at a place depends on the two characters there."""
    model = contracting_model(dtype=np.float64)
    model.params["layer0.Wh"][:] = 0
    return model


def random_text(characters, seed=0):
    rng = np.random.default_rng(seed)
    return np.minimum(rng.geometric(0.3, characters) - 1, V - 1).astype(np.uint8)


def naive_losses(model, ids):
    h, found = np.zeros(model.config.hidden), []
    for character, target in pairwise(ids):
        h, p = naive_rnn.step_forward(model.params, character, h)
        found.append(-log(p[target]))
    return found


@pytest.mark.parametrize("characters", [2, 3, 16, 17, 18, 100, 700])
def test_one_stream_equals_the_naive_pass(characters):
    model, ids = contracting_model(dtype=np.float64), random_text(characters)
    expected = naive_losses(model, ids)
    np.testing.assert_allclose(losses(model, ids, streams=1), expected, rtol=1e-12)
    score = evaluate(model, ids, streams=1)
    assert score.nats == pytest.approx(sum(expected) / (characters - 1), rel=1e-12)
    assert score.characters == characters - 1


LENGTHS = [2, 3, 511, 512, 513, 1024, 1025, 1026, 1500, 4097, 5001]


@pytest.mark.parametrize("characters", LENGTHS)
@pytest.mark.parametrize("streams", [1, 2, 3, 7, 256])
def test_every_prediction_is_made_once_in_its_place(characters, streams):
    model, ids = memoryless_model(), random_text(characters)
    chances = np.zeros((V, V))
    for a in range(V):
        _, chances[a] = naive_rnn.step_forward(model.params, a, np.zeros(8))
    expected = -np.log(chances[ids[:-1], ids[1:]])
    found = losses(model, ids, streams=streams)
    assert found.shape == (characters - 1,)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@every_cell
def test_first_stream_has_no_warm_up(kind):
    model, ids = contracting_model(kind, dtype=np.float64), random_text(3000)
    C = stream_length(2999, 4)
    np.testing.assert_allclose(
        losses(model, ids, streams=4)[:C], losses(model, ids, streams=1)[:C], rtol=1e-11
    )


@every_cell
@pytest.mark.slow
def test_many_streams_differ_from_one_by_less_than_a_ten_thousandth(kind):
    model, ids = contracting_model(kind), random_text(60_000)
    many, one = evaluate(model, ids), evaluate(model, ids, streams=1)
    assert many.characters == one.characters == 59_999
    assert stream_length(59_999) < 600  # so there are a hundred streams
    assert many.nats == pytest.approx(one.nats, abs=1e-4)
    assert one.nats != pytest.approx(log(V), abs=0.05)


def test_many_streams_differ_little_at_any_single_place():
    model, ids = contracting_model(layers=2), random_text(20_000)
    many, one = losses(model, ids), losses(model, ids, streams=1)
    np.testing.assert_allclose(many, one, atol=1e-3)


@every_cell
@pytest.mark.parametrize("streams", [1, 3, 7])
@pytest.mark.parametrize("threads", [2, 3, 16])
def test_threads_share_the_streams_and_change_nothing(kind, streams, threads):
    model, ids = contracting_model(kind, dtype=np.float64), random_text(4000)
    np.testing.assert_allclose(
        losses(model, ids, streams=streams, threads=threads),
        losses(model, ids, streams=streams),
        rtol=1e-12,
    )


@pytest.mark.parametrize("steps", [1, 5, 31])
def test_shorter_windows_for_a_large_vocabulary_give_the_same_losses(
    monkeypatch, steps
):
    model, ids = contracting_model("lstm", dtype=np.float64), random_text(2000)
    expected = losses(model, ids, streams=3)
    monkeypatch.setattr(loss, "_LOGITS", 3 * V * steps + 1)
    assert next(predictions(model, ids, streams=3)).logits.shape == (steps, 3, V)
    np.testing.assert_allclose(losses(model, ids, streams=3), expected, rtol=1e-12)


def test_windows_carry_logits_and_targets_of_all_streams():
    model, ids = memoryless_model(), random_text(2000)
    n, C, seen = 1999, stream_length(1999), []
    for window in predictions(model, ids):
        T, S = window.targets.shape
        assert window.logits.shape == (T, S, V)
        for s in range(S):
            at = s * C + window.start + np.arange(T)
            at = at[at < n]
            np.testing.assert_array_equal(window.targets[: len(at), s], ids[at + 1])
            seen += at.tolist()
    assert sorted(seen) == list(range(n))


def test_evaluating_changes_no_parameter():
    model = contracting_model()
    before = model.params.flat.copy()
    evaluate(model, random_text(2000))
    np.testing.assert_array_equal(model.params.flat, before)


@pytest.mark.parametrize("characters", [0, 1])
@pytest.mark.parametrize("function", [evaluate, losses])
def test_text_with_nothing_to_predict_is_refused(function, characters):
    with pytest.raises(TextError) as error:
        function(contracting_model(), random_text(characters))
    assert str(error.value) == (
        f"{characters} characters leave nothing to predict; expected 2 or more"
    )


def test_score_gives_bits_and_perplexity():
    score = Score(log(8), 5)
    assert score.bits == pytest.approx(3, rel=1e-15)
    assert score.perplexity == pytest.approx(8, rel=1e-15)
    assert Score(0.0, 5).perplexity == 1
    assert Score(1.5, 5).perplexity == exp(1.5)


def test_perplexity_of_a_hopeless_score_does_not_overflow():
    assert isfinite(Score(1e6, 5).perplexity)


@pytest.mark.parametrize("characters", LENGTHS)
@pytest.mark.parametrize("streams", [1, 3, 128])
def test_every_character_but_the_first_counts_once(characters, streams):
    model, ids = memoryless_model(), random_text(characters)
    found = [
        window.targets[window.counts]
        for window in predictions(model, ids, streams=streams)
    ]
    assert sum(map(len, found)) == characters - 1
    assert sorted(np.concatenate(found)) == sorted(ids[1:])


def test_parts_of_the_streams_count_what_they_count_together():
    model, ids = memoryless_model(), random_text(5001)
    whole = sum(w.counts.sum() for w in predictions(model, ids, streams=7))
    parts = [
        sum(w.counts.sum() for w in predictions(model, ids, streams=7, part=i, parts=3))
        for i in range(3)
    ]
    assert sum(parts) == whole == 5000
    assert min(parts) > 0


def test_all_cores_give_the_same_losses():
    model, ids = contracting_model(dtype=np.float64), random_text(4000)
    np.testing.assert_allclose(
        losses(model, ids, threads=0), losses(model, ids), rtol=1e-12
    )


@every_cell
@pytest.mark.parametrize("streams", [1, 2, 5])
def test_segments_equal_a_naive_pass_that_begins_long_before_each(kind, streams):
    model, ids = contracting_model(kind, dtype=np.float64), random_text(9000)
    spans = cut(8999, streams=streams, limit=3000).spans
    naive = []
    for start, stop in spans:
        before = max(0, start - 2000)  # a warm-up of 128 should be as good as this
        alone = losses(model, ids[before : stop + 1], streams=1)
        naive += alone[start - before :].tolist()
    score = evaluate(model, ids, streams=streams, limit=3000)
    assert score.characters == len(naive) == 3000
    assert score.nats == pytest.approx(np.mean(naive), rel=1e-6)
    assert score.nats != pytest.approx(evaluate(model, ids).nats, rel=1e-4)


@pytest.mark.parametrize("n", [9001, 100_000, 3_000_000_000])
@pytest.mark.parametrize("limit", [100, 512, 2000, 8999, 9000])
@pytest.mark.parametrize("streams", [1, 3, 128])
def test_segments_are_spread_evenly_and_no_longer_than_the_limit(n, limit, streams):
    found = cut(n, streams=streams, limit=limit)
    assert limit - streams < found.characters <= limit
    starts, stops = zip(*found.spans, strict=True)
    assert len(starts) == max(1, min(streams, limit // 512))
    assert starts[0] == 0
    assert stops[-1] <= n
    gaps = np.diff([*starts, n])
    assert max(gaps) - min(gaps) <= 1
    assert all(
        stop <= start for stop, start in zip(stops[:-1], starts[1:], strict=True)
    )


@pytest.mark.parametrize("limit", [0, 4000, 4001, 10**9])
def test_a_limit_that_the_text_does_not_reach_changes_nothing(limit):
    model, ids = contracting_model(), random_text(4001)
    assert evaluate(model, ids, limit=limit) == evaluate(model, ids)
    assert evaluate(model, ids, limit=3999) != evaluate(model, ids)
    assert cut(4000, limit=limit).spans == cut(4000).spans


@pytest.mark.parametrize("threads", [0, 2, 3])
def test_threads_share_the_segments_and_change_nothing(threads):
    model, ids = contracting_model(dtype=np.float64), random_text(30_000)
    one = evaluate(model, ids, limit=5120)
    many = evaluate(model, ids, limit=5120, threads=threads)
    assert many.characters == one.characters == 5120
    assert many.nats == pytest.approx(one.nats, rel=1e-12)


def test_a_memory_map_is_read_and_not_copied(tmp_path):
    model, ids = contracting_model(), random_text(1_000_000)
    np.tile(ids, 32).tofile(tmp_path / "ids")
    mapped = np.memmap(tmp_path / "ids", np.uint8, "r")
    tracemalloc.start()
    found = evaluate(model, mapped, limit=20_000)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 8_000_000 < len(mapped)
    assert found == evaluate(model, np.tile(ids, 32), limit=20_000)


@pytest.mark.parametrize("limit", [0, 2000])
@pytest.mark.parametrize("threads", [1, 3])
def test_progress_counts_every_prediction_once(limit, threads):
    seen = []
    score = evaluate(
        contracting_model(),
        random_text(5001),
        limit=limit,
        threads=threads,
        on_progress=seen.append,
    )
    assert len(seen) > 10
    assert sum(seen) == score.characters


def test_an_interrupt_ends_the_threads_at_once():
    seen = []

    def interrupt(characters):
        seen.append(characters)
        raise KeyboardInterrupt

    before = {*threading.enumerate()}  # those of other tests may end meanwhile
    with pytest.raises(KeyboardInterrupt):
        evaluate(
            contracting_model(),
            random_text(50_000),
            threads=2,
            on_progress=interrupt,
        )
    assert len(seen) == 1
    assert {*threading.enumerate()} <= before


def test_a_large_vocabulary_has_shorter_windows_and_the_same_losses(monkeypatch):
    model, ids = contracting_model(dtype=np.float64), random_text(3000)
    expected = losses(model, ids)
    monkeypatch.setattr(loss, "_LOGITS", 3 * len(cut(2999).starts) * V)
    assert {len(w.targets) for w in predictions(model, ids)} <= {1, 2, 3}
    np.testing.assert_allclose(losses(model, ids), expected, rtol=1e-12)


def test_a_long_text_is_added_up_in_blocks(monkeypatch):
    model, ids = contracting_model(), random_text(5001)
    expected = evaluate(model, ids)
    monkeypatch.setattr(loss, "_BLOCK", 2)
    found = evaluate(model, ids)
    assert found.characters == expected.characters
    assert found.nats == pytest.approx(expected.nats, rel=1e-12)
