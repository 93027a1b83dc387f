"""The temperature that makes held-out text most likely."""

import math

import numpy as np
import pytest
from texts import sentences, trained

from charrnn.config import ModelConfig
from charrnn.evaluation.calibration import (
    calibration,
    golden_section,
    own_temperature,
)
from charrnn.evaluation.loss import evaluate
from charrnn.nn.model import Model


def held_out():
    return trained().vocab.encode(sentences(60, seed=8))


def scaled(factor):
    """Return the trained model with logits `factor` times as large."""
    model = trained().model.copy()
    model.params["output.W"][:] *= factor
    model.params["output.b"][:] *= factor
    return model


@pytest.mark.parametrize("factor", [0.5, 2, 3])
def test_logits_twice_as_large_double_the_calibrated_temperature(factor):
    exact = calibration(trained().model, held_out()).temperature
    found = calibration(scaled(factor), held_out()).temperature
    assert found == pytest.approx(factor * exact, rel=0.005)


def test_no_other_temperature_makes_the_text_likelier():
    best = calibration(trained().model, held_out()).temperature
    losses = {
        factor: evaluate(scaled(1 / (best * factor)), held_out()).nats
        for factor in (0.9, 0.97, 1, 1.03, 1.1)
    }
    assert min(losses, key=losses.get) == 1
    assert math.isfinite(losses[1])


def test_the_curve_holds_the_loss_at_each_temperature():
    found = calibration(trained().model, held_out())
    assert found.temperature == calibration(trained().model, held_out()).temperature
    for temperature, loss in found.curve[::3]:
        exact = evaluate(scaled(1 / temperature), held_out()).nats
        assert loss == pytest.approx(exact, abs=2e-3)
    temperatures, losses = zip(*found.curve, strict=True)
    assert [*temperatures] == sorted(temperatures)
    assert temperatures[losses.index(min(losses))] == found.temperature


def test_without_a_best_temperature_the_curve_is_around_1():
    model = Model(ModelConfig(5, 4))
    curve = calibration(model, np.zeros(300, np.uint8)).curve
    assert 1 in [temperature for temperature, _ in curve]
    assert {round(loss, 5) for _, loss in curve} == {round(math.log(5), 5)}


def test_a_model_that_knows_nothing_has_none():
    model = Model(ModelConfig(5, 4))  # all weights 0: every temperature is the same
    ids = np.zeros(300, np.uint8)
    assert calibration(model, ids).temperature is None


def test_a_model_that_is_certain_and_right_has_none():
    model = Model(ModelConfig(5, 4))
    model.params["output.b"][2] = 1.0
    assert calibration(model, np.full(300, 2, np.uint8)).temperature is None


def test_the_own_temperature_is_where_held_out_text_is_likeliest():
    model = scaled(3)
    model.temperature = 1.0
    raw = calibration(model, held_out()).temperature
    model.temperature = own_temperature(model, held_out())
    assert model.temperature == pytest.approx(raw, rel=1e-6)
    assert calibration(model, held_out()).temperature == pytest.approx(1, rel=0.005)
    # Found from the calibrated model, it is the same.
    assert own_temperature(model, held_out()) == pytest.approx(raw, rel=0.005)


def test_a_text_too_short_to_tell_leaves_a_model_as_it_is():
    model = trained().model
    assert own_temperature(model, held_out()[:900]) == model.temperature
    assert own_temperature(Model(ModelConfig(5, 4)), np.zeros(3000, np.uint8)) == 1


def test_predictions_are_those_of_the_logits_divided_by_the_temperature():
    model, ids = trained().model.copy(), held_out()[:40, None]
    raw, tempered = model.copy(), model.copy()
    raw.temperature, tempered.temperature = 1.0, 1.7
    state = model.zero_state(1)
    z, _ = raw.forward(ids, state, model.workspace(40, 1))
    found, _ = tempered.forward(ids, state, model.workspace(40, 1))
    np.testing.assert_allclose(found, z / 1.7, rtol=1e-6)
    # Training goes by the logits themselves.
    for one in (raw, tempered):
        one.loss_and_grads(ids[:-1], ids[1:], state, workspace := one.workspace(39, 1))
        one.grads = workspace.grads.flat.copy()
    np.testing.assert_array_equal(raw.grads, tempered.grads)


@pytest.mark.parametrize("lowest", [-1.9, -0.3, 0.0, 1.234, 2.9])
def test_golden_section_finds_the_lowest_point(lowest):
    found = golden_section(lambda x: abs(x - lowest) ** 1.5, -2, 3, tolerance=1e-6)
    assert found == pytest.approx(lowest, abs=1e-6)
