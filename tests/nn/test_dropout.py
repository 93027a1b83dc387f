"""Dropout masks: their share of zeros, their scale, and where they come from."""

import numpy as np
import pytest

from charrnn.nn.dropout import Dropout, WeightDrop
from charrnn.nn.parameters import Parameters

SHAPE = (2, 30, 4, 50)  # L, T, N, H: 12,000 numbers


def drawn(rate, seed=0, dtype=np.float32):
    return Dropout(rate, SHAPE, dtype).draw(rng=np.random.default_rng(seed)).copy()


@pytest.mark.parametrize("rate", [0.1, 0.25, 0.5, 0.9])
def test_share_of_zeros_is_the_rate_and_the_mean_stays_one(rate):
    masks = drawn(rate, dtype=np.float64)
    error = np.sqrt(rate * (1 - rate) / masks.size)
    assert (masks == 0).mean() == pytest.approx(rate, abs=4 * error)
    assert masks.max() == pytest.approx(1 / (1 - rate), rel=1e-3)
    assert len(np.unique(masks)) == 2
    assert masks.mean() == pytest.approx(1, abs=4 * error / (1 - rate))


def test_every_layer_step_and_stream_has_a_mask_of_its_own():
    rows = drawn(0.5).reshape(-1, SHAPE[-1])
    assert len({row.tobytes() for row in rows}) == len(rows)


def test_rate_zero_leaves_nothing_out():
    np.testing.assert_array_equal(drawn(0.0), np.ones(SHAPE))


def test_same_generator_state_draws_the_same_and_the_next_draw_differs():
    np.testing.assert_array_equal(drawn(0.5), drawn(0.5))
    assert not np.array_equal(drawn(0.5), drawn(0.5, seed=1))
    dropout, rng = Dropout(0.5, SHAPE, np.float32), np.random.default_rng(0)
    first = dropout.draw(rng=rng).copy()
    assert not np.array_equal(first, dropout.draw(rng=rng))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_masks_have_the_shape_and_precision_asked_for(dtype):
    masks = drawn(0.3, dtype=dtype)
    assert masks.shape == SHAPE
    assert masks.dtype == dtype


SHAPES = {"layer0.Wx": (5, 40), "layer0.Wh": (40, 40), "layer1.Wh": (40, 40)}


def dropped(rate=0.5, seed=0):
    """Return parameters of ones, and a view of what they were while masked."""
    params = Parameters(SHAPES)
    params.flat[:] = 1
    drop = WeightDrop(rate, params)
    with drop.applied(rng=np.random.default_rng(seed)) as masks:
        return params, params.copy(), {k: m.copy() for k, m in masks.items()}


def test_recurrent_weights_alone_are_dropped_and_come_back():
    params, masked, masks = dropped()
    assert set(masks) == {"layer0.Wh", "layer1.Wh"}
    np.testing.assert_array_equal(masked["layer0.Wx"], 1)
    for name, mask in masks.items():
        np.testing.assert_array_equal(masked[name], mask)
        assert (mask == 0).mean() == pytest.approx(0.5, abs=0.05)
        assert mask.max() == 2
    assert not np.array_equal(*masks.values())
    np.testing.assert_array_equal(params.flat, 1)


def test_weights_come_back_from_an_interrupted_step():
    params = Parameters(SHAPES)
    params.flat[:] = np.arange(params.flat.size)
    drop = WeightDrop(0.5, params)
    with pytest.raises(KeyboardInterrupt), drop.applied(rng=np.random.default_rng(0)):
        raise KeyboardInterrupt
    np.testing.assert_array_equal(params.flat, np.arange(params.flat.size))


def test_a_large_mask_is_drawn_in_blocks_and_is_the_same(monkeypatch):
    shape = (2, 5, 7, 11)
    whole = Dropout(0.3, shape, np.float32).draw(rng=np.random.default_rng(1)).copy()
    monkeypatch.setattr("charrnn.nn.dropout._DRAWN", 64)
    rng = np.random.default_rng(1)
    np.testing.assert_array_equal(Dropout(0.3, shape, np.float32).draw(rng=rng), whole)
