"""The plan: lengths in steps, epochs and minutes, and what a short text makes of it."""

import json
from dataclasses import replace

import numpy as np
import pytest
from texts import sentences, small_config

from charrnn.config import ModelConfig, TrainConfig
from charrnn.errors import ConfigError, TextError
from charrnn.nn.model import Model
from charrnn.nn.workers import Layout
from charrnn.text.vocab import Vocabulary
from charrnn.text.windows import Windows, fit_windows
from charrnn.training.plan import Plan, make_plan

PLAN = Plan(100, window=8, batch=4, eval_every=10, layout=Layout(2), kernels="numpy")


@pytest.fixture
def model():
    model = Model(ModelConfig(len(Vocabulary.of(sentences())), hidden=8))
    model.init(rng=np.random.default_rng(1))
    return model


@pytest.fixture
def ids():
    return Vocabulary.of(sentences()).encode(sentences())


def planned(model, ids, **settings):
    config = TrainConfig(**{"threads": 1, "kernels": "numpy"} | settings)
    return plan_for(model, ids[:-400], ids[-400:], config)


def plan_for(model, train, val, config):
    T, N = fit_windows(len(train), config.window, config.batch)
    return make_plan(model, Windows(train, T, N), val, config)


def test_steps_are_taken_as_they_are(model, ids):
    plan = planned(model, ids, batch=4, window=8, steps=123, eval_every=7)
    assert plan == Plan(123, 8, 4, 7, Layout(1, 1), "numpy")


@pytest.mark.parametrize("epochs", [1, 2, 0.5, 2.5])
def test_epochs_are_passes_over_the_training_text(model, ids, epochs):
    plan = planned(model, ids, batch=4, window=8, epochs=epochs)
    assert plan.steps == round(epochs * len(Windows(ids[:-400], 8, 4)))


def test_a_run_validates_25_times_where_nothing_is_asked(model, ids):
    assert planned(model, ids, steps=1000).eval_every == 40
    assert planned(model, ids, steps=1001).eval_every == 41


@pytest.mark.parametrize("steps", [100, 1000, 10_000])
def test_validations_are_few_where_they_would_take_long(model, ids, steps):
    val = np.tile(ids, 20)
    plan = plan_for(model, ids, val, TrainConfig(steps=steps, threads=1))
    times = -(-steps // plan.eval_every)
    trained = steps * plan.batch * plan.window
    # A validated character costs half a trained one; 3 % of the time is for them.
    assert times == max(2, min(25, round(0.03 * trained / (0.5 * len(val)))))


def test_minutes_become_steps_and_the_model_stays_as_it_is(model, ids):
    before = model.params.flat.copy()
    plan = planned(model, ids, batch=4, window=8, minutes=0.01, eval_every=100)
    assert plan.steps > 1
    assert plan.steps == int(plan.steps)
    np.testing.assert_array_equal(model.params.flat, before)


def test_minutes_too_few_for_a_step_still_make_one(model, ids):
    assert planned(model, ids, batch=4, window=8, minutes=1e-9).steps == 1


def test_threads_become_parts_of_the_batch_and_no_more_than_it_has(model, ids):
    train, val = ids[:-400], ids[-400:]
    for threads, workers in ((1, 1), (2, 2), (3, 3), (9, 4)):
        plan = plan_for(model, train, val, small_config(threads=threads))
        assert plan.layout == Layout(workers, 1)


def test_without_threads_some_layout_is_measured(model, ids):
    plan = plan_for(model, ids[:-400], ids[-400:], small_config(threads=0))
    assert plan.layout.workers >= 1
    assert plan.layout.blas_threads >= 1
    assert plan.layout.workers == 1 or plan.layout.blas_threads == 1


def test_a_short_text_shrinks_the_batch_and_then_the_window(model, ids):
    plan = planned(model, ids[: 400 + 100], batch=32, window=32, steps=1)
    assert (plan.batch, plan.window) == (3, 32)
    plan = planned(model, ids[: 400 + 10], batch=32, window=32, steps=1)
    assert (plan.batch, plan.window) == (1, 9)
    plan = planned(model, ids[: 400 + 2], batch=32, window=32, steps=1)
    assert (plan.batch, plan.window) == (1, 1)


def test_a_text_of_one_character_has_nothing_to_plan(model, ids):
    with pytest.raises(TextError, match="1 characters"):
        planned(model, ids[: 400 + 1], steps=1)


def test_a_plan_survives_json():
    assert Plan.from_json(json.loads(json.dumps(PLAN.to_json()))) == PLAN


def test_lengthening_changes_the_steps_and_nothing_else():
    assert PLAN.lengthen(TrainConfig(steps=250), 30) == replace(PLAN, steps=250)
    assert PLAN.lengthen(TrainConfig(epochs=4.5), 30) == replace(PLAN, steps=135)


def test_lengthening_by_minutes_is_refused():
    with pytest.raises(ConfigError, match="--steps or --epochs, not --minutes"):
        PLAN.lengthen(TrainConfig(minutes=1), 30)
