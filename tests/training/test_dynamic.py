"""Dynamic evaluation: a copy of the model predicts each window, then learns it."""

import numpy as np
import pytest

from charrnn.config import ModelConfig
from charrnn.errors import TextError
from charrnn.evaluation.loss import losses
from charrnn.nn.ensemble import Ensemble
from charrnn.nn.model import Model
from charrnn.training.dynamic import dynamic_losses

V, T = 7, 32
IDS = np.random.default_rng(3).integers(0, V, 3 * T + 6).astype(np.uint8)


def random_model(cell="gru", seed=1, temperature=1.0, dtype=np.float32):
    model = Model(ModelConfig(V, 8, 1, cell), dtype)
    model.params.flat[:] = np.random.default_rng(seed).normal(
        0, 0.4, model.params.flat.size
    )
    model.temperature = temperature
    return model


def naive(model, ids, rate, decay=0.01):
    """Return the losses of a plain loop in float64."""
    exact = Model(model.config, np.float64)
    θ = exact.params.flat
    θ[:] = model.params.flat
    exact.params["output.W"][:] /= model.temperature
    exact.params["output.b"][:] /= model.temperature
    start, s, state, found = θ.copy(), np.zeros_like(θ), exact.zero_state(1), []
    for at in range(0, len(ids) - 1, T):
        x, y = ids[at : at + T + 1][:-1, None], ids[at + 1 : at + T + 1][:, None]
        work = exact.workspace(len(x), 1)
        z = exact.forward(x, state, work)[0][:, 0]
        found.extend(np.log(np.exp(z).sum(1)) - z[np.arange(len(z)), y[:, 0]])
        _, grads, state = exact.loss_and_grads(x, y, state, work)
        g = grads.flat * min(1.0, 1.0 / np.linalg.norm(grads.flat))
        s = 0.95 * s + 0.05 * g * g
        θ -= rate * g / (np.sqrt(s) + 1e-8)
        θ += decay * (start - θ)
    return np.array(found)


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm", "mgru"])
@pytest.mark.parametrize("temperature", [1.0, 1.4])
def test_the_losses_are_those_of_a_naive_loop_in_float64(cell, temperature):
    model = random_model(cell, temperature=temperature)
    found = dynamic_losses(model, IDS, rate=3e-3)
    assert found.shape == (len(IDS) - 1,)
    np.testing.assert_allclose(found, naive(model, IDS, 3e-3), rtol=1e-4, atol=1e-4)


def test_a_model_in_float64_is_computed_in_float64():
    model = random_model("mgru", temperature=1.4, dtype=np.float64)
    found = dynamic_losses(model, IDS, rate=3e-3)
    np.testing.assert_allclose(found, naive(model, IDS, 3e-3), rtol=1e-9)


def test_at_a_rate_of_0_they_are_those_of_the_model():
    model = random_model(temperature=1.3)
    static = losses(model, IDS, streams=1)
    np.testing.assert_allclose(dynamic_losses(model, IDS, rate=0), static, rtol=1e-5)


def test_nothing_is_learned_before_it_is_predicted():
    model, other = random_model(), IDS.copy()
    other[2 * T + 1 :] = 0  # from the third window on
    first, second = (dynamic_losses(model, ids, rate=0.01) for ids in (IDS, other))
    np.testing.assert_array_equal(first[: 2 * T], second[: 2 * T])
    static = losses(model, IDS, streams=1)
    np.testing.assert_allclose(first[:T], static[:T], rtol=1e-5)
    assert abs(first[T:] - static[T:]).max() > 1e-3


def test_what_comes_again_is_predicted_better_and_the_model_stays():
    model = random_model()
    before = model.params.flat.copy()
    again = np.tile(IDS, 20)
    found = dynamic_losses(model, again, rate=3e-3)
    static = losses(model, again, streams=1)
    assert found[-len(IDS) :].mean() < static[-len(IDS) :].mean() - 0.1
    np.testing.assert_array_equal(model.params.flat, before)


def test_networks_of_an_ensemble_learn_each_by_itself():
    networks = [random_model("gru", 1), random_model("rnn", 2), random_model("mgru", 3)]
    alone = [dynamic_losses(network, IDS, rate=3e-3) for network in networks]
    seen = []
    found = dynamic_losses(Ensemble(networks), IDS, rate=3e-3, on_progress=seen.append)
    mean = -np.log(np.exp(-np.array(alone)).mean(axis=0))
    np.testing.assert_allclose(found, mean, rtol=1e-6)
    assert sum(seen) == len(IDS) - 1


def test_a_text_without_a_prediction_is_refused():
    with pytest.raises(TextError, match="1 characters leave nothing to predict"):
        dynamic_losses(random_model(), IDS[:1])
    assert dynamic_losses(random_model(), IDS[:2]).shape == (1,)
