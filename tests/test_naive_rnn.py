"""The fast network equals a textbook's, and the textbook's is right by itself."""

from math import log

import naive_rnn
import numpy as np
import pytest

from charrnn.config import ModelConfig, TrainConfig
from charrnn.nn.gradcheck import numeric_gradient, relative_error
from charrnn.nn.model import Model
from charrnn.text.windows import Windows
from charrnn.training.optimizers import make_optimizer

EXACT = {"rtol": 1e-12, "atol": 1e-12}


def random_model(V, H, *, seed=0):
    rng = np.random.default_rng(seed)
    model = Model(ModelConfig(V, hidden=H), np.float64)
    for values in model.params.values():
        values[:] = rng.normal(0, 0.5, values.shape)
    return model


def copied(params):
    return {name: values.copy() for name, values in params.items()}


def test_twin_agrees_with_numeric_gradients():
    params = copied(random_model(V=4, H=3).params)
    inputs, targets, h = [0, 3, 1, 1, 2], [3, 1, 1, 2, 0], np.array([0.3, -0.2, 0.9])

    def loss():
        return naive_rnn.loss_and_grads(params, inputs, targets, h)[0]

    _, grads, _ = naive_rnn.loss_and_grads(params, inputs, targets, h)
    for name, values in params.items():
        assert relative_error(grads[name], numeric_gradient(loss, values)) < 1e-6


def test_twin_starts_at_log_v_without_weights():
    params = {name: 0 * values for name, values in random_model(4, 3).params.items()}
    loss, _, _ = naive_rnn.loss_and_grads(params, [0, 1], [1, 2], np.zeros(3))
    assert loss == pytest.approx(log(4), rel=1e-15)


def test_twin_learns_a_text_that_needs_memory_by_plain_descent():
    params = copied(random_model(V=3, H=6).params)
    text = [0, 0, 1, 0, 2] * 5  # what follows a 0 depends on what stood before it
    for _ in range(600):
        loss, grads, _ = naive_rnn.loss_and_grads(
            params, text[:-1], text[1:], np.zeros(6)
        )
        naive_rnn.descend(params, grads, lr=0.5)
    assert loss < 0.1


@pytest.mark.parametrize(
    ("T", "N", "V", "H"), [(6, 4, 5, 3), (1, 3, 5, 4), (7, 1, 3, 5), (3, 2, 300, 4)]
)
def test_loss_gradients_and_state_equal_the_twin(T, N, V, H):
    rng = np.random.default_rng(T)
    model = random_model(V, H)
    ids = rng.integers(0, V, (T + 1, N)).astype(np.uint16)
    h = rng.normal(size=(N, H))
    loss, grads, ((after,),) = model.loss_and_grads(
        ids[:-1], ids[1:], ((h,),), model.workspace(T, N)
    )
    twin_loss, twin_grads, twin_after = naive_rnn.mean_over_streams(
        model.params, ids[:-1], ids[1:], h
    )
    assert set(grads) == set(twin_grads)
    np.testing.assert_allclose(loss, twin_loss, **EXACT)
    np.testing.assert_allclose(after, twin_after, **EXACT)
    for name, gradient in twin_grads.items():
        np.testing.assert_allclose(grads[name], gradient, **EXACT, err_msg=name)


def test_descent_with_carried_state_gives_the_twins_weights():
    T, N, V, H, lr = 4, 3, 6, 5, 0.7
    model = random_model(V, H)
    twin = copied(model.params)
    start = model.params.flat.copy()
    text = np.random.default_rng(1).integers(0, V, 64).astype(np.uint8)
    windows = Windows(text, T, N)
    config = TrainConfig(optimizer="sgd", momentum=0.0, lr=lr)
    sgd, workspace = make_optimizer(model.params, config), model.workspace(T, N)
    state, twin_h = model.zero_state(N), np.zeros((N, H))
    for i in range(len(windows)):
        inputs, targets = windows[i]
        loss, grads, state = model.loss_and_grads(inputs, targets, state, workspace)
        sgd.update(model.params.flat, grads.flat, lr, i + 1)
        twin_loss, twin_grads, twin_h = naive_rnn.mean_over_streams(
            twin, inputs, targets, twin_h
        )
        naive_rnn.descend(twin, twin_grads, lr)
        np.testing.assert_allclose(loss, twin_loss, **EXACT)
    assert len(windows) == 5
    assert np.abs(model.params.flat - start).max() > 0.1
    for name, values in twin.items():
        np.testing.assert_allclose(model.params[name], values, **EXACT, err_msg=name)
