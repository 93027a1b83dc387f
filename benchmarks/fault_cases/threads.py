"""Models sampled and trained from several threads at once, and processes that fork.

Each case is a process of its own, which prints what it counted as JSON. So a deadlock
is a process that does not end.
"""

import json
import multiprocessing
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from time import monotonic
from typing import Any

import charrnn
from fault_cases.case import ROOT, Case, Tally, environment, write_text

HEADING = "Threads"
THREADS = 8
SEEDS = range(1, 9)
GRACE = 300  # seconds for the start, compiling, the models and the texts made alone
SETTINGS: dict[str, Any] = {
    **{"hidden": 16, "batch": 4, "window": 16, "steps": 60, "eval_every": 20},
    **{"progress": False, "dropout": 0.2, "threads": 2},
}


def blas_limits() -> list[int]:
    """Return the numbers of threads that the BLAS libraries would use now."""
    from threadpoolctl import threadpool_info

    return [one["num_threads"] for one in threadpool_info()]


def train(text: str, cell: str, kernels: str) -> charrnn.LanguageModel:
    """Return a small model of a text, always the same."""
    return charrnn.train(text, cell=cell, kernels=kernels, **SETTINGS)


def write(model: charrnn.LanguageModel, seed: int, kernels: str) -> str:
    """Return a text, always the same for a seed."""
    return str(model.generate(length=200, seed=seed, kernels=kernels))


def in_a_thread(work: Callable[[], None], faults: "queue.Queue[str]") -> None:
    """Do something, and report what it raises."""
    try:
        work()
    except BaseException as error:
        faults.put(f"{type(error).__name__}: {error}")


def together(text: str, kernels: str, seconds: int) -> dict[str, Any]:
    """Sample in eight threads while a ninth and a tenth train; compare with alone."""
    before = blas_limits()
    cells = ("rnn", "gru", "lstm")
    models = [train(text, cell, kernels) for cell in cells]
    alone = {
        (i, seed): write(model, seed, kernels)
        for i, model in enumerate(models)
        for seed in SEEDS
    }
    trained_alone = [model.generate(length=50, seed=1) for model in models]
    lost: list[str] = []
    counts, trained = [0] * THREADS, [0, 0]
    end = monotonic() + seconds

    def sample(thread: int) -> None:
        turn = thread
        while monotonic() < end:
            # Half of the threads share one model, the others take turns.
            which = 1 if thread % 2 else turn % len(models)
            seed = SEEDS[turn % len(SEEDS)]
            if write(models[which], seed, kernels) != alone[which, seed]:
                lost.append(f"a text of {cells[which]}, seed {seed}, differs")
            counts[thread] += 1
            turn += 1

    def learn(thread: int) -> None:
        while monotonic() < end:
            which = trained[thread] % len(cells)
            again = train(text, cells[which], kernels).generate(length=50, seed=1)
            if again != trained_alone[which]:
                lost.append(f"a training of {cells[which]} differs")
            trained[thread] += 1

    faults: queue.Queue[str] = queue.Queue()
    work = [partial(sample, i) for i in range(THREADS)]
    work += [partial(learn, i) for i in range(2)]
    threads = [threading.Thread(target=in_a_thread, args=(one, faults)) for one in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if blas_limits() != before:
        lost.append(f"BLAS threads: {before} before, {blas_limits()} after")
    crashed = [faults.get() for _ in range(faults.qsize())]
    seen = f"{sum(counts):,} texts, {sum(trained)} trainings"
    return {"lost": lost, "crashed": crashed, "seen": seen}


def forks(text: str, kernels: str, times: int) -> dict[str, Any]:
    """Fork after training, and while a thread trains; sample in the children."""
    model = train(text, "gru", kernels)
    alone = [write(model, seed, kernels) for seed in SEEDS]
    stop = threading.Event()

    def learn() -> None:
        while not stop.is_set():
            train(text, "gru", kernels)

    trainer = threading.Thread(target=learn)
    fork = multiprocessing.get_context("fork")
    lost, crashed = [], []

    def child(seed: int, results: Any) -> None:
        before = blas_limits()
        results.put([write(model, seed, kernels), before == blas_limits()])

    for i in range(times):
        if i == times // 2:
            trainer.start()
        results = fork.SimpleQueue()
        seed = SEEDS[i % len(SEEDS)]
        process = fork.Process(target=child, args=(seed, results))
        process.start()
        process.join(30)
        if process.exitcode is None:
            process.kill()
            crashed.append(f"child {i} hung")
        elif process.exitcode:
            crashed.append(f"child {i} ended with {process.exitcode}")
        elif results.get() != [alone[seed - 1], True]:
            lost.append(f"child {i} wrote another text")
    stop.set()
    trainer.join()
    return {"lost": lost, "crashed": crashed, "seen": "half of them during a training"}


def apart(function: str, kernels: str, folder: Path, times: int, seconds: int) -> Tally:
    """Call a function of this module in a new process, and return what it counted."""
    if kernels == "numba" and not find_spec("numba"):
        return Tally(0, seen="Numba is not installed")
    code = (
        "import json, sys, warnings; from fault_cases import threads; "
        "warnings.simplefilter('ignore'); "
        f"found = threads.{function}(sys.argv[1], {kernels!r}, {times}); "
        "print(json.dumps(found))"
    )
    path = os.pathsep.join([str(ROOT / "benchmarks"), str(ROOT)])
    try:
        done = subprocess.run(
            [sys.executable, "-c", code, str(write_text(folder))],
            env=environment() | {"PYTHONPATH": path},
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=seconds + GRACE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Tally(times, crashed=["it hung"])
    if done.returncode:
        return Tally(times, crashed=[done.stderr.strip().split("\n")[-1]])
    return Tally(times, **json.loads(done.stdout))


def minute(kernels: str, folder: Path, times: int) -> Tally:
    """Run `together` for so many seconds."""
    return apart("together", kernels, folder, times, times)


def children(kernels: str, folder: Path, times: int) -> Tally:
    """Run `forks` with so many children."""
    return apart("forks", kernels, folder, times, 3 * times)


CASES = [
    case
    for kernels, name in (("numpy", "NumPy"), ("numba", "Numba"))
    for case in (
        Case(
            f"seconds of 8 threads that sample and 2 that train, {name}",
            60,
            partial(minute, kernels),
        ),
        Case(
            f"forks after training and during one, which sample, {name}",
            40,
            partial(children, kernels),
        ),
    )
]
