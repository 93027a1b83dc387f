"""The batch split over threads: the same numbers, and the same ones every time."""

import signal
import subprocess
import sys
import threading

import numpy as np
import pytest
from extras import PLAIN_AND_COMPILED

from charrnn.config import CELLS, ModelConfig
from charrnn.errors import ShapeError
from charrnn.nn import workers as workers_module
from charrnn.nn.model import Model
from charrnn.nn.workers import (
    Layout,
    Stopped,
    Threads,
    Workers,
    blas_threads,
    state_of,
)

T, V, H = 4, 6, 5
every_cell = pytest.mark.parametrize("kind", CELLS)


def random_model(kind="rnn", dtype=np.float64, kernels="numpy"):
    model = Model(ModelConfig(V, H, 2, kind), dtype, kernels)
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
@pytest.mark.parametrize("workers", [1, 2, 3, 5])
def test_any_number_of_workers_gives_the_whole_batchs_answer(kind, N, workers):
    model = random_model(kind)
    batch = random_batch(model, N)
    loss, grads, state = model.loss_and_grads(*batch, model.workspace(T, N))
    found_loss, found_grads, found_state = Workers(
        model, T, N, Layout(workers)
    ).loss_and_grads(*batch)
    assert found_loss == pytest.approx(loss, rel=1e-13)
    np.testing.assert_allclose(found_grads.flat, grads.flat, rtol=1e-10, atol=1e-14)
    assert len(found_state) == len(state) == 2
    for found, expected in zip(parts(found_state), parts(state), strict=True):
        assert found.shape == (N, H)
        np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("workers", [1, 2])
def test_parts_of_a_batch_add_up_to_it(workers):
    model, N = random_model("gru"), 7
    inputs, targets, state = random_batch(model, N)
    loss, grads, _ = model.loss_and_grads(inputs, targets, state, model.workspace(T, N))
    expected, losses = grads.flat.copy(), 0.0
    total = np.zeros_like(expected)
    for columns in (slice(0, 3), slice(3, 7)):
        width = columns.stop - columns.start
        part = Workers(model, T, width, Layout(workers), of=N)
        found = part.loss_and_grads(
            inputs[:, columns], targets[:, columns], state_of(state, columns)
        )
        losses += found[0]
        total += found[1].flat
        part.close()
    assert losses == pytest.approx(loss, rel=1e-13)
    np.testing.assert_allclose(total, expected, rtol=1e-10, atol=1e-14)


@every_cell
@pytest.mark.parametrize("kernels", PLAIN_AND_COMPILED)
@pytest.mark.parametrize("workers", [1, 2, 3, 5])
def test_each_piece_of_the_gradient_is_final_when_it_is_reported(
    kind, kernels, workers
):
    model, N = random_model(kind, np.float32, kernels), 7
    batch = random_batch(model, N)
    whole = Workers(model, T, N, Layout(workers)).loss_and_grads(*batch)[1].flat
    some = Workers(model, T, N, Layout(workers), of=2 * N)
    pieces, reported = some.pieces, []

    def done(count):
        reported.append([piece.copy() for piece in pieces[:count]])

    found = some.loss_and_grads(*batch, pieces_done=done)[1].flat
    np.testing.assert_allclose(found, whole / 2, rtol=1e-5, atol=1e-7)
    if workers == 5:  # they add their gradients together, in the end
        assert not reported
    else:  # each gate at the earliest, and at the latest all of them
        counts = [len(each) for each in reported]
        assert counts == sorted(set(counts))
        gates = len(model.params["layer0.b"]) // H
        first = len(model.params.scope("output"))
        assert set(range(first, first + gates + 1)) <= set(counts)
        assert counts[-1] == len(pieces)
    for each in reported:
        for early, final in zip(each, pieces, strict=False):
            np.testing.assert_array_equal(early, final)
    # Together, the pieces are the whole gradient.
    assert sum(piece.size for piece in pieces) == found.size
    for piece in pieces:
        piece.fill(np.nan)
    assert np.isnan(found).all()


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_every_worker_gets_the_masks_of_its_own_columns(workers):
    model = random_model()
    batch = random_batch(model, 7)
    masks = np.random.default_rng(0).integers(0, 2, (2, T, 7, H)) / 0.5
    loss, grads, _ = model.loss_and_grads(*batch, model.workspace(T, 7), masks)
    found = Workers(model, T, 7, Layout(workers)).loss_and_grads(*batch, masks)
    assert found[0] == pytest.approx(loss, rel=1e-13)
    np.testing.assert_allclose(found[1].flat, grads.flat, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_last_window_of_an_epoch_may_be_shorter(workers):
    model = random_model()
    batch = random_batch(model, 7, T=2)
    loss, grads, _ = model.loss_and_grads(*batch, model.workspace(2, 7))
    found = Workers(model, T, 7, Layout(workers)).loss_and_grads(*batch)
    assert found[0] == pytest.approx(loss, rel=1e-13)
    np.testing.assert_allclose(found[1].flat, grads.flat, rtol=1e-10, atol=1e-14)


@every_cell
@pytest.mark.parametrize("workers", [1, 2, 3])
def test_results_repeat_bit_for_bit(kind, workers):
    model = random_model(kind, np.float32)
    inputs, targets, start = random_batch(model, 7)

    def three_steps():
        team, state, seen = Workers(model, T, 7, Layout(workers)), start, []
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
    Workers(model, T, 5, Layout(workers)).loss_and_grads(inputs, targets, state)
    for array, kept in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(array, kept)


def test_an_error_in_a_worker_reaches_the_caller():
    model = random_model()
    inputs, targets, state = random_batch(model, 4)
    with pytest.raises(ShapeError, match="up to 1"):
        Workers(model, T, 4, Layout(2)).loss_and_grads(inputs, targets + 100, state)


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_treat_overflow_as_their_caller_does(workers):
    model = random_model(dtype=np.float32)
    batch = random_batch(model, 4)
    for name in ("layer0.Wx", "layer0.b"):
        model.params[name].fill(3e38)  # their sum is beyond float32
    team = Workers(model, T, 4, Layout(workers))
    with np.errstate(all="ignore"):
        assert np.isfinite(team.loss_and_grads(*batch)[0])
    with np.errstate(over="raise"), pytest.raises(FloatingPointError):
        team.loss_and_grads(*batch)


@pytest.mark.parametrize("parts", [1, 2])
def test_work_is_given_up_while_it_goes_on_and_the_next_waits_for_it(parts):
    go, stop, done = threading.Event(), threading.Event(), []
    threads = Threads(parts, stop.is_set)

    def slow(i):
        stop.set()
        go.wait()
        done.append("slow")

    with pytest.raises(Stopped):
        threads.run(slow)
    assert not done
    with pytest.raises(Stopped):  # before it starts
        threads.run(done.append)
    stop.clear()
    threading.Timer(0.3, go.set).start()
    threads.run(lambda i: done.append("next"))
    assert done == ["slow"] * parts + ["next"] * parts
    threads.close()


@pytest.mark.parametrize("parts", [1, 2])
def test_quick_work_between_does_not_keep_slow_work_from_being_given_up(parts):
    # As the products of an optimizer do, between two gradients.
    go, stop = threading.Event(), threading.Event()
    threads = Threads(parts, stop.is_set)
    assert threads.run(lambda i: i, can_stop=False) == [*range(parts)]

    def slow(i):
        stop.set()
        go.wait(20)

    with pytest.raises(Stopped):
        threads.run(slow)
    go.set()
    threads.close()


@pytest.mark.parametrize("parts", [1, 2])
def test_an_interrupt_does_not_wait_for_slow_work(parts):
    go, done = threading.Event(), []

    def slow(i):
        if i == 0:
            signal.raise_signal(signal.SIGINT)  # Python's handler is in the main thread
        go.wait()
        done.append(i)

    threads = Threads(parts)
    with pytest.raises(KeyboardInterrupt):
        threads.run(slow)
    threads.close()
    assert not done
    go.set()


def test_quick_work_in_one_part_needs_no_thread():
    names = []
    threads = Threads(1)
    for _ in range(3):
        threads.run(lambda i: names.append(threading.current_thread().name))
    threads.close()
    assert [name.startswith("charrnn") for name in names] == [True, False, False]


def blas_limits():
    # Other tests may have loaded more libraries, such as SciPy's, which have no limit.
    return [library.num_threads for library in workers_module._blas_libraries()]


def test_blas_limits_that_overlap_in_two_threads_are_undone_by_the_last_one_out():
    before = blas_limits()
    first, second = blas_threads(1), blas_threads(1)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)  # as when the first thread ends first
    assert blas_limits() == [1 for _ in before]
    second.__exit__(None, None, None)
    assert blas_limits() == before


def test_the_lowest_of_several_blas_limits_holds():
    before = blas_limits()
    with blas_threads(2):
        with blas_threads(1):
            assert blas_limits() == [1 for _ in before]
        assert blas_limits() == [2 for _ in before]
    assert blas_limits() == before


def test_many_threads_with_blas_limits_leave_the_limit_as_it_was():
    before = blas_limits()

    def work(i):
        for _ in range(50):
            with blas_threads(1 + i % 3):
                np.ones((8, 8)) @ np.ones((8, 8))

    Threads(6).run(work)
    assert blas_limits() == before


LIMITED = """
import resource
from pathlib import Path
from threading import Barrier
import numpy as np
from charrnn.nn.workers import Threads, blas_threads

def allow(more):
    "Limit the memory of this process to what it has, and so many bytes more."
    status = Path("/proc/self/status").read_text()
    data = int(status.partition("VmData:")[2].split()[0]) << 10
    resource.setrlimit(resource.RLIMIT_DATA, (data + more, resource.RLIM_INFINITY))

together, threads = Barrier(2), Threads(2)
"""


def limited(script):
    command = [sys.executable, "-c", LIMITED + script]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


@pytest.mark.skipif(sys.platform != "linux", reason="Linux limits a process's data")
def test_blas_needs_no_memory_after_the_start():
    # If it cannot allocate a buffer, BLAS ends the process.
    done = limited("""
def product(i):
    ones = [np.ones((n, n), np.float32) for n in (700, 700, 700)]
    together.wait()
    if i == 0:
        allow(4 << 20)
    together.wait()
    for _ in range(20):
        np.matmul(ones[0], ones[1], ones[2])

with blas_threads(1):
    threads.run(product)
print("done")
""")
    assert (done.stdout, done.returncode) == ("done\n", 0), done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="Linux limits a process's data")
@pytest.mark.parametrize("more", [0, 8, 16, 31, 48])
def test_without_memory_for_threads_the_work_is_not_begun(more):
    done = limited(f"""
threads.run(lambda i: None)
allow({more} << 20)
try:
    Threads(2).run(lambda i: together.wait())
    print("done")
except MemoryError as error:
    print(error)
""")
    expected = "a thread needs 32 MB\n" if more < 32 else "done\n"
    assert (done.stdout, done.returncode) == (expected, 0), done.stderr


@pytest.mark.parametrize("workers", [1, 3])
def test_threads_are_there_before_the_first_step(workers):
    # Later, the memory may be full, and a run that `--force` replaces is gone.
    before = {*threading.enumerate()}  # those of other tests may end meanwhile
    team = Workers(random_model(), T, 6, Layout(workers))
    own = {*threading.enumerate()} - before
    assert len(own) == workers
    team.close()
    assert not any(thread.is_alive() for thread in own)
