"""Clipping: what it limits, what it reports, what it leaves alone."""

import numpy as np
import pytest

from charrnn.training.update import CLIPPERS, clip_norm, clip_value


def gradient(dtype=np.float64):
    return np.array([3.0, -4.0, 12.0], dtype)  # norm 13


def test_norm_clipping_shortens_to_the_limit_and_keeps_the_direction():
    g = gradient()
    assert clip_norm(g, 2.0) == 13.0
    np.testing.assert_allclose(g, gradient() * 2 / 13, rtol=1e-15)
    assert np.linalg.norm(g) == pytest.approx(2.0, rel=1e-15)


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
