"""Runs that go on elsewhere, or with another text; other Pythons by CHARRNN_PYTHONS.

CHARRNN_PYTHONS lists interpreters that have charrnn's dependencies, as PATH lists
folders. Every run goes back and forth between this Python and one of them.
"""

import os
import random
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from fault_cases.case import (
    SECONDS,
    TINY,
    Case,
    Tally,
    charrnn,
    environment,
    is_crash,
    write_text,
)

HEADING = "Moving on"
RESUME = ("train", "--resume", "--out", "run")
NO_NUMBA = """
from importlib.machinery import PathFinder
found = PathFinder.find_spec
def find_spec(cls, name, path=None, target=None):
    missing = name.partition(".")[0] in ("numba", "llvmlite")
    return None if missing else found(name, path, target)
PathFinder.find_spec = classmethod(find_spec)
"""
ONE_CORE = "import os; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])"
Done = subprocess.CompletedProcess[str]


def at_start(folder: Path, code: str) -> dict[str, str]:
    """Return changes of the environment with which Python first executes some code."""
    hook = folder / "hook" / "sitecustomize.py"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(code, encoding="utf-8")
    root = environment()["PYTHONPATH"]
    return {"PYTHONPATH": os.pathsep.join([str(hook.parent), root])}


def weights(folder: Path) -> dict[str, np.ndarray]:
    """Return all arrays of a run's last checkpoint."""
    with np.load(folder / "last.npz") as file:
        return {name: file[name] for name in file.files if name != "header"}


def equal(one: Path, other: Path) -> bool:
    """Return whether two runs ended with the same weights, bit for bit."""
    a, b = weights(one), weights(other)
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)


def expect(tally: Tally, done: Done, note: str = "", status: int = 0) -> bool:
    """Count a fault unless a command ended with this status and printed this note."""
    if is_crash(done) or done.returncode != status:
        tally.crashed.append(f"status {done.returncode}: {done.stderr[-200:]!r}")
    elif note not in done.stderr:
        tally.lost.append(f"no note {note!r}: {done.stderr[:200]!r}")
    else:
        return True
    return False


def without_numba(folder: Path, times: int) -> Tally:
    """Train with Numba, go on without it, and with it again."""
    if not find_spec("numba"):
        return Tally(0, seen="Numba is not installed")
    tally = Tally(times)
    text, hidden = write_text(folder), at_start(folder, NO_NUMBA)
    options = [*TINY[: TINY.index("--kernels")], "--kernels", "numba"]
    start = ("train", text.name, *options, "--steps", "50", "--out", "run")
    for _ in range(times):
        shutil.rmtree(folder / "run", ignore_errors=True)
        first = charrnn(folder, *start)
        expect(tally, first)
        second = charrnn(folder, *RESUME, "--steps", "100", **hidden)
        expect(tally, second, "it goes on with NumPy, which is slower")
        third = charrnn(folder, *RESUME, "--steps", "150", "--kernels", "numba")
        expect(tally, third, "Numba instead of NumPy")
    return tally


def on_one_core(folder: Path, times: int) -> Tally:
    """Train with 8 threads, and go on with one core."""
    if not hasattr(os, "sched_setaffinity"):
        return Tally(0, seen="no affinity on this system")
    tally, text = Tally(times), write_text(folder)
    hook = at_start(folder, ONE_CORE)
    options = ("--batch", "8", "--threads", "8", "--steps", "100", "--out", "run")
    first = charrnn(folder, "train", text.name, *TINY, *options)
    expect(tally, first)
    shutil.copytree(folder / "run", folder / "start")
    expect(tally, charrnn(folder, *RESUME, "--steps", "200"))
    (folder / "run").rename(folder / "here")
    for _ in range(times):
        shutil.rmtree(folder / "run", ignore_errors=True)
        shutil.copytree(folder / "start", folder / "run")
        done = charrnn(folder, *RESUME, "--steps", "200", **hook)
        if expect(tally, done, "this machine has 1 core; it keeps them") and not equal(
            folder / "run", folder / "here"
        ):
            tally.lost.append("other weights than on all cores")
    return tally


def other_python(python: str, folder: Path, *args: str) -> Done:
    """Run a command with another interpreter."""
    return subprocess.run(
        [python, "-m", "charrnn", *args],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def upgraded(folder: Path, times: int) -> Tally:
    """Go on under another Python and NumPy, and back."""
    pythons = os.environ.get("CHARRNN_PYTHONS", "").split(os.pathsep)
    pythons = [python for python in pythons if python]
    if not pythons:
        return Tally(0, seen="no CHARRNN_PYTHONS")
    tally, text = Tally(times), write_text(folder)
    for i in range(times):
        shutil.rmtree(folder / "run", ignore_errors=True)
        way = [sys.executable, pythons[i % len(pythons)]] * 2
        start = ("train", text.name, *TINY, "--steps", "50", "--out", "run")
        expect(tally, other_python(way[0], folder, *start))
        for steps, python in ((100, way[1]), (150, way[2])):
            longer = (*RESUME, "--steps", str(steps))
            expect(tally, other_python(python, folder, *longer), "so far, and this is")
    ask = "import sys, numpy; print(sys.version.split()[0], 'NumPy', numpy.__version__)"
    names = [
        subprocess.run([python, "-c", ask], capture_output=True, text=True, check=True)
        for python in dict.fromkeys([sys.executable, *pythons])
    ]
    tally.seen = "; ".join(f"Python {name.stdout.strip()}" for name in names)
    return tally


def longer(folder: Path, times: int) -> Tally:
    """Lengthen a run, stop it anywhere, and compare with one that was not stopped."""
    tally, text = Tally(times), write_text(folder)
    start = ("train", text.name, *TINY, "--out", "run")
    expect(tally, charrnn(folder, *start))
    shutil.copytree(folder / "run", folder / "start")
    note = "rises to 0.005 once more, and falls until step 4,000"
    expect(tally, charrnn(folder, *RESUME, "--steps", "4000"), note)
    (folder / "run").rename(folder / "whole")
    rng, stops = random.Random(1), 0
    for _ in range(times):
        shutil.rmtree(folder / "run", ignore_errors=True)
        shutil.copytree(folder / "start", folder / "run")
        with subprocess.Popen(
            [sys.executable, "-m", "charrnn", *RESUME, "--steps", "4000"],
            cwd=folder,
            env=environment(),
            stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        ) as process:
            try:
                process.wait(rng.uniform(0.5, 4))
            except subprocess.TimeoutExpired:
                process.terminate()
                stops += 1
        # If it was stopped before its first save, it has not been lengthened yet.
        expect(tally, charrnn(folder, *RESUME, *missing_steps(folder)))
        if not equal(folder / "run", folder / "whole"):
            tally.lost.append("other weights than without the stop")
    tally.seen = f"{stops} stopped on their way"
    return tally


def missing_steps(folder: Path) -> tuple[str, ...]:
    """Return the option that lengthens a run, unless it is lengthened already."""
    start, run = (folder / name / "last.npz" for name in ("start", "run"))
    same = start.read_bytes() == run.read_bytes()
    return ("--steps", "4000") if same else ()


def grow(text: Path) -> None:
    """Add a line."""
    with text.open("a", encoding="utf-8") as file:
        file.write("\nmore")


def cut(text: Path) -> None:
    """Remove the end."""
    text.write_bytes(text.read_bytes()[:-100])


def edit(text: Path) -> None:
    """Change a letter in the middle."""
    content = bytearray(text.read_bytes())
    content[len(content) // 2] = ord("x")
    text.write_bytes(content)


def replace_by_pipe(text: Path) -> None:
    """Put a FIFO in its place, which nobody writes to."""
    text.unlink()
    os.mkfifo(text)


CHANGES: tuple[Callable[[Path], None], ...] = (
    *(grow, cut, edit, Path.unlink),
    *((replace_by_pipe,) if hasattr(os, "mkfifo") else ()),
)
READINGS = ((), ("--documents", "lines"), ("--bytes",), ("--encoding", "latin-1"))


def other_text(folder: Path, times: int) -> Tally:
    """Change the text in every way; follow the advice to the letter."""
    tally, followed = Tally(times), 0
    short = ("--steps", "20")
    for i in range(times):
        here = folder / f"it's {i}"
        here.mkdir()
        write_text(here).rename(here / "a text.txt")
        text, reading = here / "a text.txt", READINGS[i // len(CHANGES) % len(READINGS)]
        run = ("train", text.name, *TINY, *reading, *short, "--out", "a run")
        expect(tally, charrnn(here, *run))
        CHANGES[i % len(CHANGES)](text)
        refused = charrnn(here, "train", "--resume", "--out", "a run")
        if not expect(tally, refused, "a run cannot be resumed: ", status=1):
            continue
        if refused.stderr.count("\n") != 1:
            tally.lost.append(f"not one line: {refused.stderr!r}")
        _, found, command = refused.stderr.partition("these weights: charrnn ")
        if found:
            followed += 1
            again = (*shlex.split(command), *TINY[2:], *short, "--out", "new")
            expect(tally, charrnn(here, *again), "starting from a run")
    tally.seen = f"the advice was followed {followed} times"
    return tally


CASES = [
    Case("trained with Numba, resumed without, and with it again", 10, without_numba),
    Case("trained with 8 threads, resumed on one core", 10, on_one_core),
    Case("resumed under another Python and NumPy, and back", 10, upgraded),
    Case("lengthened, stopped anywhere, resumed", 30, longer),
    Case("the text grown, cut, edited, gone or a FIFO", 40, other_text),
]
