"""Models sampled and trained in several threads at once, and after a fork."""

import multiprocessing
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest
from extras import PLAIN_AND_COMPILED
from texts import sentences
from threadpoolctl import threadpool_info

import charrnn
from charrnn.nn.workers import blas_threads

THREADS = 8
SETTINGS = {
    **{"hidden": 12, "batch": 4, "window": 8, "steps": 30, "eval_every": 10},
    **{"threads": 2, "dropout": 0.2, "recurrent_dropout": 0.1, "patience": 0},
    "progress": False,
}
HUNG = 60  # seconds


def model_of(cell, kernels):
    return charrnn.train(text=sentences(), cell=cell, kernels=kernels, **SETTINGS)


def limits():
    return [library["num_threads"] for library in threadpool_info()]


@pytest.mark.parametrize("kernels", PLAIN_AND_COMPILED)
def test_models_are_sampled_and_trained_at_once_as_they_are_alone(kernels):
    before = limits()
    models = {cell: model_of(cell, kernels) for cell in ("rnn", "gru")}

    def write(cell, seed):
        return models[cell].generate(length=150, seed=seed, kernels=kernels)

    def learn(cell, seed):
        return model_of(cell, kernels).generate(length=50, seed=seed)

    calls = [(write, "gru", seed) for seed in range(1, 13)]  # one model in many threads
    calls += [(write, "rnn", seed) for seed in range(1, 5)]
    calls += [(learn, cell, 1) for cell in ("rnn", "gru", "rnn")]
    alone = [call(*arguments) for call, *arguments in calls]
    together = threading.Barrier(THREADS)

    def answer(i):
        if i < THREADS:
            together.wait(HUNG)
        call, *arguments = calls[i]
        return call(*arguments)

    with ThreadPoolExecutor(THREADS) as pool:
        futures = [pool.submit(answer, i) for i in range(len(calls))]
        assert [future.result(HUNG) for future in futures] == alone
    assert limits() == before


forks = pytest.mark.skipif(
    "fork" not in multiprocessing.get_all_start_methods(), reason="needs fork"
)


def in_a_fork(work):
    """Return what `work` returns in a forked process."""
    context = multiprocessing.get_context("fork")
    found = context.SimpleQueue()
    child = context.Process(target=lambda: found.put(work()))
    with warnings.catch_warnings():
        # Python warns of threads, which this test has on purpose.
        warnings.simplefilter("ignore", DeprecationWarning)
        child.start()
    child.join(HUNG)
    if child.exitcode is None:
        child.kill()
    assert child.exitcode == 0
    return found.get()


@forks
@pytest.mark.parametrize("kernels", PLAIN_AND_COMPILED)
def test_a_forked_process_writes_and_learns_as_its_parent(kernels):
    model = model_of("gru", kernels)

    def work():
        text = model.generate(length=150, seed=3, kernels=kernels)
        return text, model_of("gru", kernels).generate(length=50, seed=1)

    assert in_a_fork(work) == work()


@forks
def test_a_process_forked_amid_the_work_of_others_has_the_limits_of_a_new_one():
    before, inside, stop = limits(), threading.Event(), threading.Event()

    def hold():
        with blas_threads(1):
            inside.set()
            stop.wait(HUNG)

    def work():
        with blas_threads(1):
            pass
        return limits()

    holder = threading.Thread(target=hold)
    holder.start()
    inside.wait(HUNG)
    try:
        assert in_a_fork(work) == before
    finally:
        stop.set()
        holder.join()
    assert limits() == before


@forks
def test_a_process_forked_while_the_limits_change_does_not_wait_for_ever():
    """The thread that holds the lock at the fork does not exist in the child."""
    stop = threading.Event()

    def change():
        while not stop.is_set():
            with blas_threads(1):
                pass

    def work():
        with blas_threads(1):
            return True

    changer = threading.Thread(target=change)
    changer.start()
    try:
        for _ in range(20):
            assert in_a_fork(work)
    finally:
        stop.set()
        changer.join()
