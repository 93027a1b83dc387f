"""Softmax and cross-entropy against closed forms, also far out."""

from math import e, log

import numpy as np
import pytest

from charrnn.errors import ShapeError
from charrnn.nn.functional import (
    cross_entropy_,
    log_softmax,
    sigmoid,
    softmax,
    softmax_losses_,
)
from charrnn.nn.gradcheck import numeric_gradient, relative_error

both_precisions = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def random_case(R=4, V=5):
    rng = np.random.default_rng(0)
    return rng.normal(0, 2, (R, V)), rng.integers(0, V, R).astype(np.uint8)


def test_softmax_of_logarithms_gives_their_shares():
    np.testing.assert_allclose(
        softmax(np.log([[1.0, 2.0, 3.0], [4.0, 2.0, 2.0]])),
        [[1 / 6, 2 / 6, 3 / 6], [1 / 2, 1 / 4, 1 / 4]],
        rtol=1e-14,
    )


def test_softmax_is_over_the_last_axis_of_any_shape():
    logits = np.random.default_rng(0).normal(size=(2, 3, 4))
    p = softmax(logits)
    for row in np.ndindex(2, 3):
        exps = e ** logits[row]
        np.testing.assert_allclose(p[row], exps / exps.sum(), rtol=1e-13)


def test_softmax_does_not_change_when_all_logits_move_together():
    logits, _ = random_case()
    np.testing.assert_allclose(softmax(logits + 100), softmax(logits), rtol=1e-12)


def test_log_softmax_is_the_logarithm_of_softmax():
    logits, _ = random_case()
    before = logits.copy()
    np.testing.assert_allclose(np.exp(log_softmax(logits)), softmax(logits), rtol=1e-13)
    np.testing.assert_array_equal(logits, before)


def test_log_softmax_stays_exact_where_softmax_rounds_to_zero():
    np.testing.assert_array_equal(log_softmax(np.array([0.0, -1e4])), [0, -1e4])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sigmoid_is_the_logistic_function_and_may_overwrite_its_input(dtype):
    x = np.array([-1e4, -40, -3, -0.1, 0, 0.5, 2, 40, 1e4], dtype)
    with np.errstate(over="ignore"):
        expected = 1 / (1 + np.exp(-x.astype(np.float64)))
    out = np.empty_like(x)
    assert sigmoid(x, out=out) is out
    np.testing.assert_allclose(out, expected, atol=1e-7)
    assert sigmoid(x, out=x) is x
    np.testing.assert_array_equal(x, out)


@pytest.mark.parametrize("function", [softmax, log_softmax])
def test_input_is_left_alone(function):
    logits, _ = random_case()
    before = logits.copy()
    function(logits)
    np.testing.assert_array_equal(logits, before)


@pytest.mark.parametrize("function", [softmax, log_softmax])
@both_precisions
def test_precision_stays(function, dtype):
    assert function(np.ones((2, 3), dtype)).dtype == dtype


@both_precisions
def test_huge_logits_give_certainty_without_overflow(dtype):
    huge = np.array([[1e4, -1e4, 0], [-1e4, -1e4, -1e4]], dtype)
    np.testing.assert_allclose(
        softmax(huge), [[1, 0, 0], [1 / 3, 1 / 3, 1 / 3]], rtol=1e-6
    )
    losses, _ = softmax_losses_(huge.copy(), np.array([1, 2]))
    np.testing.assert_allclose(losses, [2e4, log(3)], rtol=1e-6)
    loss, dlogits = cross_entropy_(huge.copy(), np.array([1, 2]))
    assert loss == pytest.approx((2e4 + log(3)) / 2, rel=1e-6)
    np.testing.assert_allclose(
        dlogits, [[0.5, -0.5, 0], [1 / 6, 1 / 6, -1 / 3]], rtol=1e-6
    )


def test_losses_are_minus_log_of_the_targets_shares():
    logits = np.log([[1.0, 2.0, 3.0], [4.0, 2.0, 2.0]])
    losses, p = softmax_losses_(logits, np.array([2, 1], np.uint8))
    np.testing.assert_allclose(losses, [log(2), log(4)], rtol=1e-14)
    np.testing.assert_allclose(p[0], [1 / 6, 2 / 6, 3 / 6], rtol=1e-14)
    assert p is logits


def test_uniform_logits_lose_log_v():
    loss, _ = cross_entropy_(np.full((3, 7), 2.5), np.array([0, 3, 6]))
    assert loss == pytest.approx(log(7), rel=1e-14)


def test_cross_entropy_is_the_mean_of_the_losses():
    logits, targets = random_case()
    losses, _ = softmax_losses_(logits.copy(), targets)
    loss, _ = cross_entropy_(logits, targets)
    assert loss == pytest.approx(losses.mean(), rel=1e-15)


def test_cross_entropy_gradient_is_the_numeric_one_and_takes_the_logits_place():
    logits, targets = random_case()
    numeric = numeric_gradient(
        lambda: cross_entropy_(logits.copy(), targets)[0], logits
    )
    _, dlogits = cross_entropy_(logits, targets)
    assert dlogits is logits
    assert relative_error(dlogits, numeric) < 1e-9
    np.testing.assert_allclose(dlogits.sum(axis=1), 0, atol=1e-15)


@pytest.mark.parametrize("function", [cross_entropy_, softmax_losses_])
@pytest.mark.parametrize(
    ("logits", "targets"), [((4, 5), (3,)), ((2, 3, 5), (2, 3)), ((4, 5), (4, 1))]
)
def test_shapes_that_do_not_fit_are_refused_by_name(function, logits, targets):
    with pytest.raises(ShapeError) as error:
        function(np.zeros(logits), np.zeros(targets, int))
    assert str(error.value) == (
        f"logits {logits} and targets {targets} do not match; expected (R, V) and (R,)"
    )
