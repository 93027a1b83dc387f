"""Plans of resumed runs: other lengths, kernels, threads and versions."""

from dataclasses import replace

import numpy as np
import pytest
from extras import HAVE_NUMBA, needs_numba
from texts import sentences

import charrnn
from charrnn.config import SCHEDULES, ModelConfig, TrainConfig
from charrnn.errors import ConfigError, MissingExtraError
from charrnn.machine import available_cores
from charrnn.nn.model import Model
from charrnn.nn.workers import Layout
from charrnn.text.vocab import Vocabulary
from charrnn.text.windows import Windows
from charrnn.training.plan import Plan
from charrnn.training.resuming import resumed_plan, version_notes
from charrnn.training.schedules import learning_rate
from charrnn.training.state import Progress

PLAN = Plan(100, window=8, batch=4, eval_every=10, layout=Layout(), kernels="numpy")
PLAIN = {"kernels": "numpy"}


def resumed(plan=PLAN, done=100, lr_scale=1.0, settings=None, **changes):
    """Return the plan and the notes of a run that has made `done` steps."""
    vocab = Vocabulary.of(sentences())
    windows = Windows(vocab.encode(sentences()), plan.window, plan.batch)
    model = Model(ModelConfig(len(vocab), hidden=4))
    progress = Progress(step=done, lr_scale=lr_scale)
    config = TrainConfig(**PLAIN | (settings or {}))
    return resumed_plan(plan, config, changes, progress, model, windows)


def test_without_changes_the_plan_stays_and_there_is_nothing_to_note():
    assert resumed() == (PLAN, [])


@pytest.mark.parametrize("schedule", ["cosine", "step"])
def test_the_steps_that_are_added_have_a_schedule_of_their_own(schedule):
    config = TrainConfig(schedule=schedule, lr=0.1, **PLAIN)
    plan, notes = resumed(settings={"schedule": schedule, "lr": 0.1}, steps=250)
    assert plan == replace(PLAN, steps=250, schedule_start=100)
    for i in range(150):
        assert plan.learning_rate(100 + i, config) == learning_rate(i, 150, config)
    assert "rises to 0.1 once more, and falls until step 250" in notes[0]


def test_a_constant_rate_stays_as_it_is():
    plan = resumed(settings={"schedule": "constant"}, steps=250)
    assert plan == (replace(PLAN, steps=250), [])


def test_epochs_count_from_the_start_of_the_run():
    vocab = Vocabulary.of(sentences())
    each = len(Windows(vocab.encode(sentences()), PLAN.window, PLAN.batch))
    plan, _ = resumed(epochs=4.5)
    assert plan.steps == round(4.5 * each)


def test_a_run_can_be_lengthened_again_and_again():
    plan, _ = resumed(steps=150)
    plan, _ = resumed(plan, done=120, steps=300)
    assert (plan.steps, plan.schedule_start) == (300, 120)


def test_a_run_that_made_no_step_is_planned_anew():
    assert resumed(done=0, steps=250) == (replace(PLAN, steps=250), [])


def test_the_rates_in_the_note_are_those_after_rollbacks():
    before = PLAN.learning_rate(99, TrainConfig())
    _, notes = resumed(lr_scale=0.25, steps=150)
    assert f"{before / 4:.2g} at step 100, rises to 0.0005 once more" in notes[0]


def test_fewer_steps_keep_the_schedules_start():
    plan, _ = resumed(steps=200)
    shorter, notes = resumed(plan, done=150, steps=160)
    assert shorter == replace(plan, steps=160)
    rate = shorter.learning_rate(150, TrainConfig())
    assert notes[0].endswith(f"at step 150, goes on at {rate:.2g}")


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_rollback_to_before_the_schedules_start_has_a_rate_above_zero(schedule):
    plan = replace(PLAN, steps=300, schedule_start=100)
    config = TrainConfig(schedule=schedule)
    assert plan.learning_rate(95, config) == plan.learning_rate(100, config) > 0


def test_a_plan_of_an_older_version_has_one_schedule():
    saved = PLAN.to_json()
    del saved["schedule_start"]
    plan = Plan.from_json(saved)
    for step in (0, 3, 50, 99):
        config = TrainConfig()
        assert plan.learning_rate(step, config) == learning_rate(step, 100, config)


@pytest.mark.parametrize("start", [-1, 100, 101, 1.0, True, None])
def test_a_schedule_starts_within_the_run(start):
    with pytest.raises(ConfigError, match="schedule_start is "):
        replace(PLAN, schedule_start=start)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"steps": 100}, "already at step 100; expected more than the 100 steps"),
        ({"steps": 0}, "already at step 100; expected more than the 0 steps"),
        ({"steps": 200, "epochs": 2}, "exclude each other"),
        ({"minutes": 1}, "minutes cannot change in a resumed run"),
        ({"lr": 0.1}, "expected only steps, epochs, threads, kernels"),
        ({"threads": -1}, "threads is -1"),
        ({"kernels": "cuda"}, "kernels is 'cuda'"),
    ],
)
def test_a_change_that_makes_no_sense_is_one_line(changes, said):
    with pytest.raises(ConfigError, match=said):
        resumed(**changes)


@pytest.mark.skipif(HAVE_NUMBA, reason="Numba is installed")
def test_numba_that_is_asked_for_and_missing_is_an_error():
    with pytest.raises(MissingExtraError, match="choose --kernels numpy"):
        resumed(kernels="numba")
    plan, notes = resumed(replace(PLAN, kernels="numba"), settings={"kernels": "auto"})
    assert plan == PLAN
    assert "is not installed here; it goes on with NumPy" in notes[0]


@needs_numba
@pytest.mark.parametrize("started_with", ["auto", "numpy"])
def test_a_run_in_numpy_stays_in_numpy(started_with):
    plan, notes = resumed(settings={"kernels": started_with})
    assert plan == PLAN
    assert len(notes) == (started_with == "auto")


@needs_numba
def test_kernels_may_change():
    plan, notes = resumed(kernels="numba")
    assert plan.kernels == "numba"
    assert notes == ["Numba instead of NumPy: from here on, results differ by rounding"]
    assert resumed(plan, kernels="numba") == (plan, [])
    assert resumed(plan, kernels="numpy")[0] == PLAN


@pytest.mark.parametrize(("threads", "workers"), [(1, 1), (2, 2), (100, 4)])
def test_threads_may_change(threads, workers):
    plan, notes = resumed(threads=threads)
    assert plan.layout == Layout(workers)
    assert len(notes) == (workers > 1)


def test_the_fastest_threads_are_measured():
    many = replace(PLAN, layout=Layout(3))
    plan, _ = resumed(many, threads=0)
    assert plan.layout.workers in {1, 2, min(4, available_cores())}
    assert plan.layout != many.layout


def test_only_versions_that_may_round_differently_are_noted():
    own = {"numpy": np.__version__, "charrnn": charrnn.__version__, "python": "2.7"}
    assert version_notes(own) == []
    assert version_notes({}) == []
    (note,) = version_notes(own | {"numpy": "0.9"})
    assert note == (
        f"the run was computed with NumPy 0.9 so far, and this is NumPy "
        f"{np.__version__}; results may differ by rounding"
    )
    assert len(version_notes({"numpy": "9" * 1000})[0]) < 200
