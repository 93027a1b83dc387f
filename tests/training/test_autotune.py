"""Measuring layouts: candidates, and a choice that changes no parameter."""

import numpy as np
import pytest

from charrnn.config import ModelConfig, TrainConfig
from charrnn.machine import available_cores
from charrnn.nn.model import Model
from charrnn.nn.sampled import Sampler
from charrnn.nn.workers import Layout
from charrnn.training import autotune
from charrnn.training.autotune import (
    candidate_layouts,
    fastest_layout,
    seconds_per_update,
)
from charrnn.training.optimizers import OPTIMIZERS

CONFIG = TrainConfig(dropout=0.2, recurrent_dropout=0.1, average=0.9)


def test_measuring_returns_a_candidate_and_changes_no_parameter():
    model = Model(ModelConfig(6, hidden=5, layers=2))
    model.init(rng=np.random.default_rng(0))
    before = model.params.flat.copy()
    layouts = [Layout(), Layout(2, 1), Layout(1, 2)]
    fastest, seconds = fastest_layout(model, CONFIG, 4, 4, layouts, seconds=0)
    assert fastest in layouts
    assert seconds > 0
    np.testing.assert_array_equal(model.params.flat, before)


def test_updates_that_take_longer_count_as_often_as_they_come():
    # Updates 1, 11 and 21 take 12 s, the others 2 s, and one was disturbed.
    times = ([12.0] + 9 * [2.0]) * 2 + [12.0, 2.0, 50.0]
    assert seconds_per_update(times, 10) == pytest.approx(3)
    assert seconds_per_update(times[:1], 10) == 12
    assert seconds_per_update([1.0, 3.0, 50.0], 1) == 3


def test_an_optimizer_that_does_more_in_some_updates_tells_how_often():
    model = Model(ModelConfig(6, hidden=5))
    model.init(rng=np.random.default_rng(0))
    config = TrainConfig(optimizer="shampoo")
    optimizer = OPTIMIZERS["shampoo"](model.params, config)
    roots, θ = [], model.params.flat
    for t in range(1, 32):
        before = optimizer.state["root"].copy()
        optimizer.update(θ, np.random.default_rng(t).normal(size=θ.size), 0.0, t)
        if not np.array_equal(optimizer.state["root"], before):
            roots.append(t)
    assert roots == [*range(1, 32, optimizer.every)]


def test_with_a_sampler_the_measured_updates_sample():
    class Counted(Sampler):
        draws = 0

        def draw(self, targets, *, rng):
            self.draws += 1
            return super().draw(targets, rng=rng)

    model, sampler = Model(ModelConfig(6, hidden=5)), Counted(np.full(6, 1 / 6), 3)
    fastest_layout(model, CONFIG, 4, 4, [Layout()], seconds=0, sampler=sampler)
    assert sampler.draws > 1


@pytest.mark.parametrize(
    ("threads", "N", "workers"), [(1, 32, 1), (3, 32, 3), (8, 5, 5)]
)
def test_threads_that_are_asked_for_leave_one_candidate(threads, N, workers):
    assert candidate_layouts(threads, N, "numpy") == [Layout(workers, 1)]


@pytest.mark.parametrize("N", [1, 32])
@pytest.mark.parametrize("kernels", ["numpy", "numba"])
def test_left_to_choose_one_thread_is_among_the_candidates(N, kernels):
    layouts = candidate_layouts(0, N, kernels)
    cores = available_cores()
    assert layouts[0] == Layout(1, 1)
    assert (len(layouts) == 1) == (cores == 1)
    for layout in layouts:
        assert 1 <= layout.workers <= min(cores, N)
        assert 1 <= layout.blas_threads <= cores
        assert 1 in (layout.workers, layout.blas_threads)  # never threads of threads


@pytest.mark.parametrize(
    ("cores", "physical", "split"),
    [
        (2, 2, [2]),
        (2, 1, [2]),
        (3, 3, [2, 3]),
        (8, 4, [2, 4, 8]),
        (12, 6, [2, 4, 6, 8, 12]),
        (96, 48, [2, 4, 8, 16, 32]),
    ],
)
def test_powers_of_two_and_all_cores_are_tried(cores, physical, split, monkeypatch):
    monkeypatch.setattr(autotune, "available_cores", lambda: cores)
    monkeypatch.setattr(autotune, "physical_cores", lambda: physical)
    layouts = candidate_layouts(0, 32, "numpy")
    assert layouts[:2] == [Layout(), Layout(1, cores)]
    # Threads of BLAS are not tried with compiled kernels, which hardly use it.
    assert candidate_layouts(0, 32, "numba") == [Layout(), *layouts[2:]]
    assert [layout.workers for layout in layouts[2:]] == split
