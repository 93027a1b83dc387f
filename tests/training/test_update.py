"""Updates: clipping, and gradients under dropout."""

import numpy as np
import pytest
from texts import small_config

from charrnn.config import CELLS, ModelConfig
from charrnn.nn.model import Model
from charrnn.nn.parameters import scratch
from charrnn.nn.workers import Layout, Workers
from charrnn.training.update import (
    CLIPPERS,
    Update,
    clip_norm,
    clip_value,
    update_average,
)


def gradient(dtype=np.float64):
    return np.array([3.0, -4.0, 12.0], dtype)  # norm 13


def test_norm_clipping_shortens_to_the_limit_and_keeps_the_direction():
    g = gradient()
    assert clip_norm(g, 2.0) == 13.0
    np.testing.assert_allclose(g, gradient() * 2 / 13, rtol=1e-15)
    assert np.linalg.norm(g) == pytest.approx(2.0, rel=1e-15)


@pytest.mark.parametrize("magnitude", [1e20, 1e30, 3e38])
def test_norm_clipping_of_gradients_whose_square_overflows(magnitude):
    directions = np.random.default_rng(0).choice([-1.0, -0.5, 0.5, 1.0], 200_000)
    g = (directions * magnitude).astype(np.float32)
    whole = g.copy()
    expected = np.linalg.norm(g.astype(np.float64))
    with np.errstate(over="ignore"):
        assert clip_norm(whole, 0) == pytest.approx(expected)
        np.testing.assert_array_equal(whole, g)
        assert clip_norm(g, 2.0) == pytest.approx(expected)
    assert g.dtype == np.float32
    unit = directions / np.linalg.norm(directions)
    np.testing.assert_allclose(g, 2 * unit, rtol=1e-2)


def test_value_clipping_limits_each_element_by_itself():
    g = gradient()
    assert clip_value(g, 3.5) == 12.0
    np.testing.assert_array_equal(g, [3.0, -3.5, 3.5])


@pytest.mark.parametrize("g", [[1.0, -7.0], [7.0, -1.0], [-7.0, -2.0]])
def test_value_clipping_reports_the_largest_magnitude_of_either_sign(g):
    assert clip_value(np.array(g), 100.0) == 7.0


@pytest.mark.parametrize(
    ("mode", "limit", "magnitude"),
    [("norm", 13.0, 13.0), ("norm", 14.0, 13.0), ("value", 12.0, 12.0)],
)
def test_gradients_within_the_limit_stay_bit_for_bit(mode, limit, magnitude):
    g = gradient()
    assert CLIPPERS[mode](g, limit) == magnitude
    np.testing.assert_array_equal(g, gradient())


@pytest.mark.parametrize(("mode", "magnitude"), [("norm", 13.0), ("value", 12.0)])
def test_limit_zero_is_off_but_still_measures(mode, magnitude):
    g = gradient()
    assert CLIPPERS[mode](g, 0.0) == magnitude
    np.testing.assert_array_equal(g, gradient())


@pytest.mark.parametrize("mode", CLIPPERS)
def test_zero_gradient_stays_zero(mode):
    g = np.zeros(3)
    assert CLIPPERS[mode](g, 1.0) == 0.0
    assert not g.any()


@pytest.mark.parametrize("mode", CLIPPERS)
def test_single_precision_stays_single(mode):
    g = gradient(np.float32)
    assert isinstance(CLIPPERS[mode](g, 1.0), float)
    assert g.dtype == np.float32


T, N, V, H = 3, 4, 6, 5


class Window:
    """A small model, its update, and a window of text with the state before it."""

    def __init__(self, workers=1, cell="rnn", **settings):
        rng = np.random.default_rng(1)
        self.model = Model(ModelConfig(V, H, 2, cell), np.float64)
        self.model.init(rng=rng)
        split = Workers(self.model, T, N, Layout(workers))
        self.update = Update(self.model, small_config(clip=0.0, **settings), split)
        self.inputs, self.targets = rng.integers(0, V, (2, T, N)).astype(np.uint8)
        self.state = tuple(
            tuple(rng.standard_normal(part.shape) for part in layer)
            for layer in self.model.zero_state(N)
        )

    def gradient(self, seed=0):
        rng = np.random.default_rng(seed)
        return self.update.gradient(self.inputs, self.targets, self.state, rng=rng)


both = {"dropout": 0.4, "recurrent_dropout": 0.4}
every_dropout = pytest.mark.parametrize(
    "dropout", [{"dropout": 0.4}, {"recurrent_dropout": 0.4}, both]
)


@every_dropout
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("workers", [1, 3])
def test_gradients_under_dropout_are_the_numeric_ones(cell, workers, dropout):
    window = Window(workers, cell, **dropout)
    θ, grads = window.model.params.flat, window.gradient().grads.flat.copy()
    start, ε = θ.copy(), 1e-5
    for direction in np.random.default_rng(2).standard_normal((5, θ.size)):
        losses = []
        for sign in (1, -1):
            θ[:] = start + sign * ε * direction
            losses.append(window.gradient().loss)  # the same seed: the same masks
        slope = (losses[0] - losses[1]) / (2 * ε)
        assert slope == pytest.approx(grads @ direction, rel=1e-6)


@every_dropout
def test_dropout_leaves_something_out_and_the_weights_as_they_were(dropout):
    window = Window(**dropout)
    before = window.model.params.flat.copy()
    losses = [window.gradient(seed).loss for seed in range(3)]
    losses.append(Window().gradient().loss)
    assert len(set(losses)) == 4
    np.testing.assert_array_equal(window.model.params.flat, before)


def test_without_dropout_an_update_draws_no_random_number():
    window, rng = Window(), np.random.default_rng(0)
    window.update.gradient(window.inputs, window.targets, window.state, rng=rng)
    assert rng.random() == np.random.default_rng(0).random()


def test_the_average_of_a_long_vector_is_updated_to_its_end():
    rng = np.random.default_rng(0)
    mean, weights = rng.normal(size=(2, 150_000)).astype(np.float32)
    expected = 0.9 * mean + 0.1 * weights
    update_average(mean, weights, 0.9, scratch(mean))
    np.testing.assert_allclose(mean, expected, rtol=1e-5, atol=1e-6)
