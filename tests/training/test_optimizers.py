"""Each optimizer against its paper, written for one number at a time."""

from contextlib import closing
from math import sqrt

import numpy as np
import pytest
from extras import PLAIN_AND_COMPILED

from charrnn.config import TrainConfig
from charrnn.nn.kernels import functions
from charrnn.nn.parameters import Parameters
from charrnn.nn.workers import Threads
from charrnn.training.optimizers import OPTIMIZERS, make_optimizer

EPSILON = 1e-8
every_optimizer = pytest.mark.parametrize("name", OPTIMIZERS)
elementwise = pytest.mark.parametrize("name", [o for o in OPTIMIZERS if o != "shampoo"])


def sgd(gradients, rates, θ, config):
    v = 0.0
    for g, lr in zip(gradients, rates, strict=True):
        v = config.momentum * v + g
        θ = θ - lr * v
    return θ


def adagrad(gradients, rates, θ, config):
    s = 0.0
    for g, lr in zip(gradients, rates, strict=True):
        s = s + g**2
        θ = θ - lr * g / (sqrt(s) + EPSILON)
    return θ


def rmsprop(gradients, rates, θ, config):
    s = 0.0
    for g, lr in zip(gradients, rates, strict=True):
        s = 0.95 * s + 0.05 * g**2
        θ = θ - lr * g / (sqrt(s) + EPSILON)
    return θ


def adam(gradients, rates, θ, config, decay=0.0):
    m = v = 0.0
    for t, (g, lr) in enumerate(zip(gradients, rates, strict=True), 1):
        θ = θ - lr * decay * θ
        m = 0.9 * m + 0.1 * g
        v = 0.99 * v + 0.01 * g**2
        m_hat = m / (1 - 0.9**t)
        v_hat = v / (1 - 0.99**t)
        θ = θ - lr * m_hat / (sqrt(v_hat) + EPSILON)
    return θ


def adamw(gradients, rates, θ, config):
    return adam(gradients, rates, θ, config, decay=config.weight_decay)


TWINS = {
    "sgd": sgd,
    "adagrad": adagrad,
    "rmsprop": rmsprop,
    "adam": adam,
    "adamw": adamw,
}


def some_params(dtype=np.float64):
    params = Parameters({"W": (3, 4), "b": (5,)}, dtype)
    params.flat[:] = np.random.default_rng(0).normal(size=17)
    return params


def some_gradients(count):
    gradients = np.random.default_rng(1).normal(size=(count, 17))
    gradients[:, 3] *= 1e-6
    gradients[:, 4] *= 1e3
    gradients[::2, 5] = 0
    return gradients


def updated(params, config, gradients, rates, *, state=None, t=0):
    """Make the updates; return the optimizer."""
    optimizer = make_optimizer(params, config)
    for name, values in (state or {}).items():
        optimizer.state[name][:] = values
    for g, lr in zip(gradients, rates, strict=True):
        t += 1
        optimizer.update(params.flat, g, lr, t)
    return optimizer


@elementwise
def test_seven_updates_equal_the_paper_number_by_number(name):
    params, gradients = some_params(), some_gradients(7)
    rates = [0.1, 0.2, 0.3, 0.2, 0.1, 0.05, 0.01]
    config = TrainConfig(optimizer=name, momentum=0.8)
    start = params.flat.copy()
    updated(params, config, gradients, rates)
    expected = [
        TWINS[name](gradients[:, i], rates, start[i], config) for i in range(17)
    ]
    np.testing.assert_allclose(params.flat, expected, rtol=1e-11)


def test_adamw_decays_matrices_and_leaves_biases_to_adam():
    params, gradients, rates = some_params(), some_gradients(5), [0.1] * 5
    config = TrainConfig(optimizer="adamw", weight_decay=0.3)
    start = params.flat.copy()
    updated(params, config, gradients, rates)
    expected = [
        (adamw if i < 12 else adam)(gradients[:, i], rates, start[i], config)
        for i in range(17)
    ]
    np.testing.assert_allclose(params.flat, expected, rtol=1e-11)


def test_adamw_without_a_gradient_only_shrinks_matrices():
    params = some_params()
    start = params.copy()
    config = TrainConfig(optimizer="adamw", weight_decay=0.5)
    updated(params, config, np.zeros((1, 17)), [0.2])
    np.testing.assert_allclose(params["W"], 0.9 * start["W"], rtol=1e-15)
    np.testing.assert_array_equal(params["b"], start["b"])


@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_first_adam_step_is_the_rate_against_the_sign(name):
    params, g = some_params(), some_gradients(1)
    start = params.flat.copy()
    updated(params, TrainConfig(optimizer=name), g, [0.01])
    moved = np.abs(g[0]) > 0
    np.testing.assert_allclose(
        (params.flat - start)[moved], -0.01 * np.sign(g[0][moved]), rtol=0.02
    )
    np.testing.assert_array_equal(params.flat[~moved], start[~moved])


def naive_root(L):
    """Return L^(-1/2), by the iteration of Denman & Beavers (1976)."""
    Y, Z = L, np.eye(len(L))
    for _ in range(60):
        Y, Z = (Y + np.linalg.inv(Z)) / 2, (Z + np.linalg.inv(Y)) / 2
    return Z


def naive_shampoo(gradients, rates, W, decay=0.0):
    L, m = np.zeros((len(W), len(W))), np.zeros_like(W)
    for t, (g, lr) in enumerate(zip(gradients, rates, strict=True)):
        L = 0.95 * L + 0.05 * np.einsum("ik,jk->ij", g, g)
        m = 0.95 * m + 0.05 * g
        if t % 10 == 0:
            root = naive_root(L)
        u = root @ (0.95 * m + 0.05 * g)
        W = W - lr * (0.2 * u / np.sqrt((u**2).mean()) + decay * W)
    return W


def shampoo_params(dtype=np.float64):
    shapes = {"layer0.Wx": (9, 6), "layer0.Wh": (4, 6), "layer0.b": (6,)}
    shapes |= {"layer1.Wx": (4, 6), "output.W": (4, 5), "output.b": (5,)}
    params = Parameters(shapes, dtype)
    params.flat[:] = np.random.default_rng(0).normal(size=params.flat.size)
    return params


WHITENED = "layer0.Wh", "layer1.Wx", "output.W"


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("decay", [0.0, 0.3])
def test_23_updates_of_shampoo_equal_a_naive_twin(threads, decay):
    config = TrainConfig(optimizer="shampoo", weight_decay=decay)
    params = shampoo_params()
    start, rng = params.copy(), np.random.default_rng(1)
    gradients = rng.normal(size=(23, params.flat.size))
    rates = list(rng.uniform(0.01, 0.1, 23))
    with closing(Threads(threads)) as pool:
        optimizer = make_optimizer(params, config)
        for t, (g, lr) in enumerate(zip(gradients, rates, strict=True), 1):
            optimizer.update(params.flat, g, lr, t, pool)
    by_name = [params.views(g) for g in gradients]
    for name, W in params.items():
        found = [views[name] for views in by_name], rates, start[name]
        if name in WHITENED:
            expected = naive_shampoo(*found, decay)
        else:
            expected = adam_of_arrays(*found)  # which does not decay
        np.testing.assert_allclose(W, expected, rtol=1e-9, err_msg=name)


def adam_of_arrays(gradients, rates, start):
    columns = np.stack(gradients).reshape(len(gradients), -1).T
    pairs = zip(columns, start.ravel(), strict=True)
    after = [adam(column, rates, θ, TrainConfig()) for column, θ in pairs]
    return np.reshape(after, start.shape)


def test_first_step_of_shampoo_makes_all_singular_values_equal():
    params, g = shampoo_params(), shampoo_params().zeros_like()
    g["layer0.Wh"][:] = np.random.default_rng(2).normal(size=(4, 6))
    before = params["layer0.Wh"].copy()
    make_optimizer(params, TrainConfig(optimizer="shampoo")).update(
        params.flat, g.flat, 0.01, 1
    )
    # With a single gradient L = U diag(s²) Uᵀ, so that L^(-1/2) g = U Vᵀ.
    U, _, Vt = np.linalg.svd(g["layer0.Wh"], full_matrices=False)
    step = 0.01 * 0.2 * np.sqrt(24) / 2 * (U @ Vt)  # |U Vᵀ| = √4
    np.testing.assert_allclose(before - params["layer0.Wh"], step, rtol=1e-9)


def test_shampoo_does_not_move_a_matrix_without_a_gradient():
    params = shampoo_params(np.float32)
    start = params.copy()
    updates = np.zeros((12, params.flat.size), np.float32)
    updated(params, TrainConfig(optimizer="shampoo"), updates, [0.1] * 12)
    np.testing.assert_array_equal(params.flat, start.flat)


@pytest.mark.parametrize("scale", [1e-18, 1e14])
def test_shampoo_steps_are_as_long_for_tiny_and_for_huge_gradients(scale):
    config, ends = TrainConfig(optimizer="shampoo"), []
    for factor in (1, scale):
        params = shampoo_params(np.float32)
        start, rng = params.copy(), np.random.default_rng(3)
        g = (rng.normal(size=(11, params.flat.size)) * factor).astype(np.float32)
        updated(params, config, g, [0.01] * 11)
        ends.append([params[name] - start[name] for name in WHITENED])
    for usual, found in zip(*ends, strict=True):
        np.testing.assert_allclose(found, usual, rtol=1e-2, atol=1e-4)


def test_sgd_without_momentum_is_plain_descent():
    params, gradients = some_params(), some_gradients(3)
    start = params.flat.copy()
    updated(params, TrainConfig(optimizer="sgd", momentum=0), gradients, [0.1] * 3)
    np.testing.assert_allclose(params.flat, start - 0.1 * gradients.sum(0), rtol=1e-12)


@every_optimizer
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_restored_state_continues_bit_for_bit(name, dtype):
    config = TrainConfig(optimizer=name)
    gradients, rates = some_gradients(8).astype(dtype), [0.1] * 8
    through = some_params(dtype)
    updated(through, config, gradients, rates)

    parted = some_params(dtype)
    first = updated(parted, config, gradients[:5], rates[:5])
    saved = {part: values.copy() for part, values in first.state.items()}
    updated(parted, config, gradients[5:], rates[5:], state=saved, t=5)
    np.testing.assert_array_equal(parted.flat, through.flat)


@every_optimizer
def test_update_leaves_the_gradient_and_the_precision(name):
    params, g = some_params(np.float32), some_gradients(1).astype(np.float32)
    before = g.copy()
    optimizer = updated(params, TrainConfig(optimizer=name), g, [0.1])
    np.testing.assert_array_equal(g, before)
    assert params.flat.dtype == np.float32
    assert all(moment.dtype == np.float32 for moment in optimizer.state.values())


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("kernels", PLAIN_AND_COMPILED)
def test_a_long_vector_is_updated_as_its_parts_would_be(name, kernels):
    sizes = {"a.W": (300, 400), "b.b": (31,), "c.W": (1, 50_000)}  # three blocks
    rng = np.random.default_rng(0)
    config = TrainConfig(optimizer=name, weight_decay=0.1 if name == "adamw" else 0)
    whole = Parameters(sizes)
    whole.flat[:] = rng.normal(size=whole.flat.size)
    parts = {part: Parameters({part: shape}) for part, shape in sizes.items()}
    for part, params in parts.items():
        params.flat[:] = whole[part].ravel()
    kinds = functions(kernels)
    optimizer = make_optimizer(whole, config, kinds)
    of_parts = {
        part: make_optimizer(params, config, kinds) for part, params in parts.items()
    }
    for t in (1, 2, 3):
        grads = whole.zeros_like()
        grads.flat[:] = rng.normal(size=whole.flat.size)
        optimizer.update(whole.flat, grads.flat, 0.1, t)
        for part, params in parts.items():
            of_parts[part].update(params.flat, grads[part].ravel(), 0.1, t)
    for part, params in parts.items():
        np.testing.assert_allclose(whole[part], params[part], rtol=1e-6, atol=1e-7)
