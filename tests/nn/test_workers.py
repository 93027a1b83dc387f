"""The batch split over threads: the same numbers, and the same ones every time."""

import numpy as np
import pytest

from charrnn.config import ModelConfig
from charrnn.errors import ShapeError
from charrnn.nn.cells import CELLS
from charrnn.nn.model import Model
from charrnn.nn.workers import (
    Layout,
    Workers,
    available_cores,
    candidate_layouts,
    measure_layouts,
)

T, V, H = 4, 6, 5
every_cell = pytest.mark.parametrize("kind", CELLS)


def random_model(kind="rnn", dtype=np.float64):
    model = Model(ModelConfig(V, H, 2, kind), dtype)
    rng = np.random.default_rng(0)
    model.params.flat[:] = rng.normal(0, 0.5, model.params.flat.shape)
    return model


def random_batch(model, N, T=T):
    rng = np.random.default_rng(N)
    ids = rng.integers(0, V, (T + 1, N)).astype(np.uint8)
    state = tuple(
        tuple(rng.normal(0, 0.5, part.shape).astype(part.dtype) for part in layer)
        for layer in model.zero_state(N)
    )
    return ids[:-1], ids[1:], state


def parts(state):
    return [part for layer in state for part in layer]


@every_cell
@pytest.mark.parametrize("N", [1, 2, 3, 7, 8])
@pytest.mark.parametrize("workers", [1, 2, 3])
def test_any_number_of_workers_gives_the_whole_batchs_answer(kind, N, workers):
    model = random_model(kind)
    batch = random_batch(model, N)
    loss, grads, state = model.loss_and_grads(*batch, model.workspace(T, N))
    found_loss, found_grads, found_state = Workers(model, T, N, workers).loss_and_grads(
        *batch
    )
    assert found_loss == pytest.approx(loss, rel=1e-13)
    np.testing.assert_allclose(found_grads.flat, grads.flat, rtol=1e-10, atol=1e-14)
    assert len(found_state) == len(state) == 2
    for found, expected in zip(parts(found_state), parts(state), strict=True):
        assert found.shape == (N, H)
        np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_every_worker_gets_the_masks_of_its_own_columns(workers):
    model = random_model()
    batch = random_batch(model, 7)
    masks = np.random.default_rng(0).integers(0, 2, (2, T, 7, H)) / 0.5
    loss, grads, _ = model.loss_and_grads(*batch, model.workspace(T, 7), masks)
    found = Workers(model, T, 7, workers).loss_and_grads(*batch, masks)
    assert found[0] == pytest.approx(loss, rel=1e-13)
    np.testing.assert_allclose(found[1].flat, grads.flat, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_last_window_of_an_epoch_may_be_shorter(workers):
    model = random_model()
    batch = random_batch(model, 7, T=2)
    loss, grads, _ = model.loss_and_grads(*batch, model.workspace(2, 7))
    found = Workers(model, T, 7, workers).loss_and_grads(*batch)
    assert found[0] == pytest.approx(loss, rel=1e-13)
    np.testing.assert_allclose(found[1].flat, grads.flat, rtol=1e-10, atol=1e-14)


@every_cell
@pytest.mark.parametrize("workers", [1, 2, 3])
def test_results_repeat_bit_for_bit(kind, workers):
    model = random_model(kind, np.float32)
    inputs, targets, start = random_batch(model, 7)

    def three_steps():
        team, state, seen = Workers(model, T, 7, workers), start, []
        for _ in range(3):
            loss, grads, state = team.loss_and_grads(inputs, targets, state)
            seen += [np.float64(loss), grads.flat.copy(), *parts(state)]
        return b"".join(array.tobytes() for array in seen)

    assert three_steps() == three_steps() == three_steps()


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_batch_state_and_parameters_are_left_as_they_were(workers):
    model = random_model()
    inputs, targets, state = random_batch(model, 5)
    arrays = [inputs, targets, model.params.flat, *parts(state)]
    before = [array.copy() for array in arrays]
    Workers(model, T, 5, workers).loss_and_grads(inputs, targets, state)
    for array, kept in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(array, kept)


def test_an_error_in_a_worker_reaches_the_caller():
    model = random_model()
    inputs, targets, state = random_batch(model, 4)
    with pytest.raises(ShapeError, match="up to 1"):
        Workers(model, T, 4, 2).loss_and_grads(inputs, targets + 100, state)


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_treat_overflow_as_their_caller_does(workers):
    model = random_model(dtype=np.float32)
    batch = random_batch(model, 4)
    for name in ("layer0.Wx", "layer0.b"):
        model.params[name].fill(3e38)  # their sum is beyond float32
    team = Workers(model, T, 4, workers)
    with np.errstate(all="ignore"):
        assert np.isfinite(team.loss_and_grads(*batch)[0])
    with np.errstate(over="raise"), pytest.raises(FloatingPointError):
        team.loss_and_grads(*batch)


def test_measuring_returns_a_candidate_and_changes_no_parameter():
    model = random_model(dtype=np.float32)
    before = model.params.flat.copy()
    layouts = [Layout(), Layout(2, 1), Layout(1, 2)]
    fastest, seconds = measure_layouts(model, T, 4, layouts, seconds=0)
    assert fastest in layouts
    assert seconds > 0
    np.testing.assert_array_equal(model.params.flat, before)


@pytest.mark.parametrize(
    ("threads", "N", "workers"), [(1, 32, 1), (3, 32, 3), (8, 5, 5)]
)
def test_threads_that_are_asked_for_leave_one_candidate(threads, N, workers):
    assert candidate_layouts(threads, N) == [Layout(workers, 1)]


@pytest.mark.parametrize("N", [1, 32])
def test_left_to_choose_one_thread_is_among_the_candidates(N):
    layouts = candidate_layouts(0, N)
    cores = available_cores()
    assert layouts[0] == Layout(1, 1)
    assert (len(layouts) == 1) == (cores == 1)
    for layout in layouts:
        assert 1 <= layout.workers <= min(cores, N)
        assert 1 <= layout.blas_threads <= cores
        assert 1 in (layout.workers, layout.blas_threads)  # never threads of threads
