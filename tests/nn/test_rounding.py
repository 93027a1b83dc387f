"""Weights rounded to 16 bits, with which texts are written."""

import numpy as np
import pytest

from charrnn.nn.rounding import rounded, to_16_bits


def weights():
    """Return columns of many sizes, with zeros and with numbers that round up."""
    rng = np.random.default_rng(0)
    W = rng.standard_normal((60, 45), dtype=np.float32)
    W *= 10.0 ** rng.integers(-20, 30, 45)
    W[:, 3] = 0
    W[0, 4], W[1:, 4] = 1 - 2.0**-20, -(1 - 2.0**-20)
    return W


def test_each_weight_moves_by_half_a_unit_of_its_column_at_most():
    W = weights()
    off = np.abs(rounded(W).astype(float) - W).max(axis=0)
    largest = np.abs(W).max(axis=0)
    assert (off <= largest / 32_768).all()
    some = largest > 0
    assert (off[some] > largest[some] / 2_000_000).all()
    assert (rounded(W)[:, 3] == 0).all()


def test_they_are_integers_of_16_bits_times_powers_of_two():
    integers, scales = to_16_bits(weights())
    assert (integers == integers.astype(np.int16)).all()
    assert (np.frexp(scales)[0] == 0.5).all()
    assert (np.abs(integers[:, :3]).max(axis=0) >= 2**14).all()


def test_rounded_weights_are_not_rounded_again():
    once = rounded(weights())
    np.testing.assert_array_equal(rounded(once), once)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_smallest_and_the_largest_numbers(dtype):
    limits = np.finfo(dtype)
    W = np.array([[limits.max, limits.tiny, -limits.max, limits.smallest_subnormal]])
    found = rounded(W.astype(dtype))
    assert found.dtype == dtype
    np.testing.assert_allclose(found, W, rtol=1e-4, atol=1e-30)
