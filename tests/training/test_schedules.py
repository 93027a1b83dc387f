"""The learning rate over a run, at the points where it is known in closed form."""

from itertools import pairwise
from math import cos, pi

import pytest

from charrnn.config import SCHEDULES, TrainConfig
from charrnn.training.schedules import learning_rate

every_schedule = pytest.mark.parametrize("schedule", SCHEDULES)


def rates(steps, **settings):
    config = TrainConfig(**settings)
    return [learning_rate(step, steps, config) for step in range(steps)]


@every_schedule
def test_warm_up_rises_in_a_line_to_the_peak(schedule):
    found = rates(1000, schedule=schedule, lr=0.5, warmup=20)
    assert found[:20] == pytest.approx([0.5 * (i + 1) / 20 for i in range(20)])
    assert found[20] == 0.5
    assert max(found) == 0.5


@every_schedule
def test_warm_up_takes_at_most_a_tenth_of_the_run(schedule):
    found = rates(100, schedule=schedule, lr=1.0, warmup=50)
    assert found[:11] == pytest.approx([*(i / 10 for i in range(1, 11)), 1.0], rel=1e-9)


@every_schedule
@pytest.mark.parametrize("steps", [1, 2, 9, 10, 11])
def test_short_runs_start_at_a_rate_above_zero_and_reach_the_peak(schedule, steps):
    found = rates(steps, schedule=schedule, lr=1.0, warmup=50)
    assert found[0] == 1.0
    assert min(found) > 0


@every_schedule
def test_without_warm_up_it_starts_at_the_peak(schedule):
    assert rates(100, schedule=schedule, lr=0.3, warmup=0)[0] == 0.3


def test_constant_stays_at_the_peak():
    assert rates(200, schedule="constant", lr=0.3, warmup=0) == [0.3] * 200


def test_cosine_is_half_way_in_the_middle_and_at_its_floor_at_the_end():
    settings = {"schedule": "cosine", "lr": 2.0, "lr_floor": 0.1, "warmup": 100}
    config = TrainConfig(**settings)
    assert learning_rate(100, 1100, config) == 2.0
    assert learning_rate(350, 1100, config) == pytest.approx(
        2 * (0.1 + 0.9 * (1 + cos(pi / 4)) / 2)
    )
    assert learning_rate(600, 1100, config) == pytest.approx(2 * 0.55)
    assert learning_rate(1100, 1100, config) == pytest.approx(0.2)
    assert rates(1100, **settings)[-1] == pytest.approx(0.2, rel=1e-4)


def test_cosine_never_rises_after_the_warm_up():
    found = rates(500, schedule="cosine", warmup=0)
    assert all(later < earlier for earlier, later in pairwise(found))


def test_cosine_moves_without_a_jump():
    found = rates(1000, schedule="cosine", lr=1.0, warmup=50)
    assert max(abs(b - a) for a, b in pairwise(found)) <= 1 / 50 + 1e-12


def test_step_drops_at_evenly_spaced_steps_by_its_factor():
    found = rates(50, schedule="step", lr=1.0, warmup=0, lr_drops=4, lr_decay=0.5)
    assert found == [0.5 ** (step // 10) for step in range(50)]


def test_step_drops_are_spread_over_what_follows_the_warm_up():
    found = rates(100, schedule="step", lr=1.0, warmup=10, lr_drops=2, lr_decay=0.1)
    assert found[10:] == pytest.approx([1.0] * 30 + [0.1] * 30 + [0.01] * 30)


def test_step_without_drops_is_constant():
    assert rates(30, schedule="step", lr=1.0, warmup=0, lr_drops=0) == [1.0] * 30


@every_schedule
@pytest.mark.parametrize("step", [100, 101, 150, 10_000])
def test_steps_past_the_end_keep_the_last_rate_and_stay_positive(schedule, step):
    config = TrainConfig(schedule=schedule, lr=1.0)
    at_end = learning_rate(100, 100, config)
    assert learning_rate(step, 100, config) == at_end > 0


@every_schedule
@pytest.mark.parametrize("steps", [1, 3, 10, 37, 500])
def test_rate_is_never_negative_nor_above_the_peak(schedule, steps):
    found = rates(steps, schedule=schedule, lr=0.7, lr_floor=0.0)
    assert all(0 <= rate <= 0.7 for rate in found)
