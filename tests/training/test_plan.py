"""The plan: lengths in steps, epochs and minutes, and what a short text makes of it."""

import json
from dataclasses import replace

import numpy as np
import pytest
from texts import sentences, small_config

from charrnn.config import ModelConfig, TrainConfig
from charrnn.errors import TextError
from charrnn.nn.model import Model
from charrnn.nn.workers import Layout
from charrnn.text.vocab import Vocabulary
from charrnn.text.windows import Windows, fit_windows
from charrnn.training import plan as plan_module
from charrnn.training.autotune import fastest_layout
from charrnn.training.plan import Plan, _Times, make_plan, validated_characters

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


def plan_for(model, train, val, config, **options):
    T, N = fit_windows(len(train), config.window, config.batch)
    return make_plan(model, Windows(train, T, N), val, config, **options)


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


def test_minutes_too_few_for_a_step_still_make_fifty(model, ids):
    assert planned(model, ids, batch=4, window=8, minutes=1e-9).steps == 50


def test_time_already_spent_leaves_fewer_steps_but_never_a_handful(model, ids):
    train, val = ids[:-400], ids[-400:]
    config = small_config(steps=0, minutes=0.02)
    plan = plan_for(model, train, val, config, spent=1000)
    assert plan.steps >= 50
    assert plan.seconds > 1000
    assert "this will take about 16.7 minutes instead of 0.02" in plan.overtime(0.02)
    plan = plan_for(model, train, val, config)
    assert 0 < plan.seconds < 11
    assert plan.overtime(0.02) == ""


TIMES = _Times(step=0.1, validation=2.0, counting=1.0, spent=5.0)


def test_the_minutes_include_everything():
    config = TrainConfig(minutes=1)
    steps = TIMES.affordable_steps(config, 4)
    # 60 s less 5 before, 4 validations of 2, and 5 for the scoreboard.
    assert steps == 420
    assert TIMES.total(steps, 0, 4) == pytest.approx(60)
    config = TrainConfig(minutes=1, eval_every=20)
    steps = TIMES.affordable_steps(config, 4)
    assert steps == 250  # each costs 0.1 s, and a twentieth of 2 s
    assert TIMES.total(steps, 20, 4) == pytest.approx(60, abs=2)


@pytest.mark.parametrize("eval_every", [0, 10])
def test_more_time_spent_leaves_fewer_steps_down_to_half_the_minutes(eval_every):
    config = TrainConfig(minutes=1, eval_every=eval_every)
    found = [
        replace(TIMES, spent=spent).affordable_steps(config, 4)
        for spent in (0, 1, 5, 20, 30, 60, 1e9)
    ]
    assert found == sorted(found, reverse=True)
    assert found[0] > found[1]
    assert found[-1] == (99 if eval_every else 300)
    slow = replace(TIMES, step=10.0, spent=1e9)
    assert slow.affordable_steps(config, 4) == 50


def test_a_validation_part_is_scored_whole_unless_it_is_long():
    assert validated_characters(0, 111_540) == 0
    assert validated_characters(1e9, 1_000_000) == 0
    assert validated_characters(10e6, 1_000_000) == 0
    # A run too short for a pass over a million characters, and a long text.
    assert validated_characters(9e6, 1_000_000) == 128_000
    assert validated_characters(9e6, 10**9) == 128_000
    assert validated_characters(200e6, 10**9) == 384_000
    assert validated_characters(1e12, 10**9) == 1_024_000


def test_a_longer_run_validates_on_no_less_of_a_long_text():
    trained = [*np.geomspace(1e3, 1e12, 200)]
    found = [validated_characters(each, 10**9) for each in trained]
    assert found == sorted(found)
    assert {*found} == {*range(16_000, 128_000, 16_000)} | {
        *range(128_000, 1_024_001, 128_000)
    }


@pytest.mark.parametrize(
    ("steps", "val_characters", "validations"),
    [(500, 16_000, 4), (60_000, 256_000, 25), (10_000_000, 1_024_000, 25)],
)
def test_a_long_text_is_validated_often(model, ids, steps, val_characters, validations):
    val = np.tile(ids, 250)[:1_100_000]
    config = TrainConfig(steps=steps, batch=32, window=64, threads=1)
    plan = plan_for(model, np.tile(ids, 4), val, config)
    assert plan.val_characters == val_characters
    assert -(-plan.steps // plan.eval_every) == validations


def test_a_short_run_reads_a_part_of_what_a_longer_one_reads_whole(model, ids):
    val = np.tile(ids, 40)[:150_000]
    for steps, val_characters in ((730, 32_000), (733, 0)):
        config = TrainConfig(steps=steps, batch=32, window=64, threads=1)
        plan = plan_for(model, np.tile(ids, 4), val, config)
        assert plan.val_characters == val_characters


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


@pytest.mark.parametrize("number", [0, 128_000])
def test_a_plan_survives_json(number):
    plan = replace(PLAN, val_characters=number, sampled=number)
    assert Plan.from_json(json.loads(json.dumps(plan.to_json()))) == plan


def test_what_was_measured_is_not_saved():
    late = replace(PLAN, seconds=1e6)
    assert late.to_json() == PLAN.to_json()
    assert Plan.from_json(PLAN.to_json() | {"seconds": 1e6}).overtime(1) == ""


def test_the_plan_of_an_older_version_validates_and_trains_on_everything():
    older = PLAN.to_json()
    del older["val_characters"], older["sampled"]
    plan = Plan.from_json(older)
    assert (plan.val_characters, plan.sampled) == (0, 0)


@pytest.mark.parametrize("minutes", [0, 0.01])
@pytest.mark.parametrize(("V", "sampled"), [(10_000, 0), (10_001, 4096)])
def test_the_softmax_is_sampled_with_more_than_ten_thousand_characters(
    ids, V, sampled, minutes
):
    model = Model(ModelConfig(V, hidden=4))
    length = {"minutes": minutes} if minutes else {"steps": 3}
    plan = planned(model, ids, batch=4, window=8, threads=2, **length)
    assert plan.sampled == sampled
    assert not model.params.flat.any()


def test_what_is_measured_samples_the_softmax_by_the_frequencies_of_the_text(
    ids, monkeypatch
):
    samplers = []

    def watched(*arguments, sampler, **options):
        samplers.append(sampler)
        return fastest_layout(*arguments, sampler=sampler, **options)

    monkeypatch.setattr(plan_module, "fastest_layout", watched)
    for V in (10_000, 10_001):
        planned(Model(ModelConfig(V, hidden=4)), ids, minutes=0.001)
    assert samplers[0] is None
    drawn = samplers[1].characters(20_000, rng=np.random.default_rng(0))
    counts = np.bincount(drawn, minlength=10_001)[: ids.max() + 1]
    expected = np.bincount(ids[:-400])
    often = expected > 100
    shares = counts[often] / expected[often]
    assert often.sum() > 10
    np.testing.assert_allclose(shares, shares.mean(), rtol=0.3)


@pytest.mark.parametrize(
    ("part", "steps", "scored"),
    [(32_000, 1, 0), (40_000, 1, 16_000), (40_000, 900, 0), (300_000, 10**7, 256_000)],
)
def test_with_very_many_characters_a_quarter_as_much_is_validated(
    ids, part, steps, scored
):
    model = Model(ModelConfig(10_001, hidden=4))
    val = np.tile(ids, 80)[:part]
    config = TrainConfig(steps=steps, batch=32, window=64, threads=1)
    plan = plan_for(model, np.tile(ids, 4), val, config)
    assert plan.val_characters == scored


def test_minutes_end_after_a_thousand_epochs(model, ids):
    windows = Windows(ids[:40], 5, 2)
    config = TrainConfig(minutes=100, threads=1)
    assert make_plan(model, windows, ids[40:60], config).steps == 1000 * len(windows)


@pytest.mark.parametrize(
    ("cores", "workers", "batch", "advice"),
    [
        (2, 1, 32, None),  # few cores
        (4, 2, 32, "--batch 64 --lr 0.0028 would"),
        (4, 4, 32, None),
        (6, 4, 32, None),  # most of them are busy
        (16, 4, 32, "12 of 16 cores are idle: 32 columns are too few for more than 4"),
        (16, 4, 32, "--batch 128 --lr 0.004 would use more of them"),
        (16, 4, 32, "cost about 0.005 nats"),
        (128, 8, 32, "--batch 256 --lr 0.0057 would"),
        (128, 8, 32, "cost about 0.02 nats"),
        (128, 8, 200, None),
    ],
)
def test_a_batch_that_leaves_cores_idle_is_reported(cores, workers, batch, advice):
    plan = replace(PLAN, batch=batch, layout=Layout(workers, 1))
    found = plan.idle_cores(cores, TrainConfig(lr=2e-3))
    assert (advice in found) if advice else not found
    assert plan.idle_cores(cores, TrainConfig(threads=workers)) == ""
