"""Signals at random moments of every command: how soon it ends, with which files."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from charrnn.errors import CharRNNError
from charrnn.storage.checkpoint import load
from fault_cases.case import (
    SECONDS,
    TINY,
    Case,
    Tally,
    charrnn,
    command,
    environment,
    write_text,
)

HEADING = "Signals"
TWICE = 0.2  # seconds between two of them
SOON = 2.0  # seconds within which a command must end
FOREVER = ("--steps", "1000000000")
SMALL = ("--hidden", "32", "--threads", "1", "--kernels", "numpy")

Arguments = Callable[[Path], list[str]]  # the command to interrupt, in a folder


class Interrupted:
    """A command that was sent signals, and what became of it."""

    def __init__(
        self, folder: Path, args: list[str], after: float, *numbers: int, **env: str
    ) -> None:
        process = subprocess.Popen(
            command(*args),
            cwd=folder,
            env=environment(**env),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        time.sleep(after)
        start = time.perf_counter()
        for i, number in enumerate(numbers):
            time.sleep(TWICE if i else 0)
            process.send_signal(number)
        try:
            _, self.said = process.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            _, self.said = process.communicate()
        self.seconds = time.perf_counter() - start
        self.after, self.number = after, numbers[0]
        self.status = process.returncode

    @property
    def fault(self) -> str:
        """What went wrong, or "". A signal before Python has started kills it."""
        expected = (0, 128 + self.number, -self.number)
        if self.status in expected and "Traceback" not in self.said:
            late = self.seconds > SOON
            return (
                f"after {self.after:.2f} s: took {self.seconds:.1f} s" if late else ""
            )
        last = self.said.strip().rpartition("\n")[2]
        return f"after {self.after:.2f} s: exit status {self.status}: {last:.200}"


def interrupt(
    arguments: Arguments, latest: float, folder: Path, times: int, **env: str
) -> Tally:
    """Send Ctrl-C at random moments, the latest one after so many seconds."""
    tally, longest, draw = Tally(times), 0.0, random.Random(1)
    args = arguments(folder)
    for _ in range(times):
        cache = {name: str(folder / f"{value}{_}") for name, value in env.items()}
        done = Interrupted(
            folder, args, draw.uniform(0.5, latest), signal.SIGINT, **cache
        )
        tally.crashed += [done.fault] if done.fault else []
        longest = max(longest, done.seconds)
        tally.lost += _damaged(folder)
    tally.seen = f"ended within {longest:.1f} s"
    return tally


def _damaged(folder: Path) -> list[str]:
    """Return what is wrong with the checkpoints of a run, and with its folder."""
    found = []
    for path in (folder / "run").glob("*.npz"):
        try:
            load(path, snapshot=path.name == "last.npz")
        except CharRNNError as error:
            found.append(str(error))
    return found


def stop_and_resume(folder: Path, times: int) -> Tally:
    """Stop a training again and again, and compare its end with that of another."""
    write_text(folder)
    length = (*TINY, "--steps", "3000", "--dropout", "0.2")
    charrnn(folder, "train", "text.txt", "--out", "whole", *length)
    tally, longest, draw = Tally(times), 0.0, random.Random(2)
    new = ["train", "text.txt", "--out", "run", "--force", *length]
    for i in range(times):
        number = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)[i % 3]
        resumable = (folder / "run/last.npz").exists()
        args = ["train", "--resume", "--out", "run"] if resumable else new
        done = Interrupted(folder, args, draw.uniform(0.5, 1.5), number)
        tally.crashed += [done.fault] if done.fault else []
        tally.lost += _damaged(folder)
        longest = max(longest, done.seconds)
        if "is finished" in done.said or done.status == 0:
            tally.lost += _differences(folder / "whole", folder / "run")
            _remove(folder / "run")
    if (folder / "run/last.npz").exists():
        charrnn(folder, "train", "--resume", "--out", "run")
        tally.lost += _differences(folder / "whole", folder / "run")
    tally.seen = f"ended within {longest:.1f} s; the same end, bit for bit"
    return tally


def _differences(whole: Path, run: Path) -> list[str]:
    found = []
    for name in ("best.npz", "last.npz"):
        with np.load(whole / name) as a, np.load(run / name) as b:
            arrays = [member for member in a.files if member != "header"]
            if a.files != b.files or any(
                not np.array_equal(a[member], b[member]) for member in arrays
            ):
                found.append(f"{name} differs from that of an uninterrupted run")
    return found


def _remove(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()


def stop_twice(folder: Path, times: int) -> Tally:
    """Send Ctrl-C twice, so that nothing more is saved."""
    write_text(folder)
    tally, longest, draw = Tally(times), 0.0, random.Random(3)
    args = ["train", "text.txt", "--out", "run", "--force", *TINY, *FOREVER]
    for _ in range(times):
        moment = draw.uniform(1, 3)
        done = Interrupted(folder, args, moment, signal.SIGINT, signal.SIGINT)
        tally.crashed += [done.fault] if done.fault else []
        tally.lost += _damaged(folder)
        longest = max(longest, done.seconds - TWICE)
    tally.seen = f"ended within {longest:.1f} s of the second"
    return tally


# Makes standard input the terminal of its session, so that closing it sends SIGHUP.
_OWNING = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
    "os.execv(sys.argv[1], sys.argv[1:])"
)


def close_terminal(folder: Path, times: int) -> Tally:
    """Close the terminal of a training."""
    write_text(folder)
    tally, longest, draw = Tally(times), 0.0, random.Random(4)
    args = command("train", "text.txt", "--out", "run", "--force", *TINY, *FOREVER)
    for _ in range(times):
        terminal, inner = os.openpty()
        process = subprocess.Popen(
            [sys.executable, "-c", _OWNING, *args],
            cwd=folder,
            env=environment(),
            stdin=inner,
            stdout=inner,
            stderr=inner,
            start_new_session=True,
        )
        os.close(inner)
        _until_saved(folder)
        time.sleep(draw.uniform(0, 1))
        start = time.perf_counter()
        os.close(terminal)
        try:
            status = process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            status = process.wait()
        longest = max(longest, time.perf_counter() - start)
        tally.lost += _damaged(folder)
        if status != 128 + signal.SIGHUP:
            tally.crashed.append(f"exit status {status}")
        _remove(folder / "run")
    tally.seen = f"all saved within {longest:.1f} s"
    return tally


def _until_saved(folder: Path) -> None:
    end = time.monotonic() + SECONDS
    while not (folder / "run/last.npz").exists() and time.monotonic() < end:
        time.sleep(0.01)


def _train(*options: str, lines: int = 400) -> Arguments:
    def arguments(folder: Path) -> list[str]:
        write_text(folder, lines)
        return ["train", "text.txt", "--out", "run", "--force", *options, *FOREVER]

    return arguments


def _with_model(*args: str, lines: int = 400) -> Arguments:
    """Return a command with a model, which is first trained for 20 steps."""

    def arguments(folder: Path) -> list[str]:
        write_text(folder, lines)
        few = (*SMALL, "--steps", "20", "--quiet")
        charrnn(folder, "train", "text.txt", "--out", "model", *few)
        return [args[0], "model", *args[1:]]

    return arguments


def _plain(*args: str) -> Arguments:
    return lambda folder: [*args]


SLOW = ("--hidden", "768", "--batch", "128", "--window", "512", "--threads", "1")
MEGABYTES = 25_000  # lines in a million characters, about
COMMANDS: tuple[tuple[str, int, float, Arguments], ...] = (
    ("reading 100 MB", 10, 4, _train(*SMALL, lines=100 * MEGABYTES)),
    ("measuring and planning", 10, 4, _train("--preset", "large")),
    ("steps of several seconds", 10, 15, _train(*SLOW, "--kernels", "numpy")),
    (
        "validating on 8 million characters",
        10,
        20,
        _train(
            *(*SMALL, "--val-fraction", "0.9", "--eval-every", "5"),
            lines=9 * MEGABYTES,
        ),
    ),
    ("eval, 8 million characters", 10, 15, _with_model("eval", lines=8 * MEGABYTES)),
    ("sample, a long text", 10, 4, _with_model("sample", "--length", "100000000")),
    (
        "sample, many texts",
        10,
        6,
        _with_model("sample", "-n", "64", "--length", "1000000"),
    ),
    ("compare", 10, 4, _with_model("compare", "--length", "1000000")),
    ("bench", 10, 10, _plain("bench")),
    ("gradcheck", 10, 6, _plain("gradcheck", "--hidden", "60")),
)
COMPILING = Case(
    "Ctrl-C while kernels are compiled",
    10,
    partial(interrupt, _train("--hidden", "32"), 12, NUMBA_CACHE_DIR="cache"),
)
CASES = [
    Case("training stopped by SIGINT, SIGTERM, SIGHUP", 60, stop_and_resume),
    Case("Ctrl-C twice", 30, stop_twice),
    Case("terminal closed", 20, close_terminal),
    *([COMPILING] if find_spec("numba") else []),
    *(
        Case(f"Ctrl-C: {what}", times, partial(interrupt, arguments, latest))
        for what, times, latest, arguments in COMMANDS
    ),
]
