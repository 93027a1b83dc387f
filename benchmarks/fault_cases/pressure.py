"""Too little memory: limits on a process, and control groups as containers have."""

import os
import random
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from signal import SIGKILL

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

HEADING = "Too little memory"
# From where Python itself can start to more than these commands need, in MB.
LIMITS = (25, 1200)
MANY = (*("--hidden", "64", "--layers", "2", "--batch", "32"), "--steps", "60")
BIG = (
    *("--hidden", "700", "--steps", "3", "--threads", "2"),
    *("--kernels", "numpy"),
)
READERS = (
    ("sample", "run", "--length", "300"),
    ("compare", "run", "--length", "60"),
    ("next", "the ", "run"),
    ("eval", "run", "text.txt"),
    ("export", "run", "--out", "w.safetensors", "--force"),
    ("import", "weights.safetensors", "--out", "again.npz", "--force"),
    ("gradcheck",),
)
GROUPS = Path("/sys/fs/cgroup")
Done = subprocess.CompletedProcess[str]


def limited(folder: Path, megabytes: int, *args: str) -> Done:
    """Run a command whose address space is limited, as `ulimit -v` does."""
    limit = ["sh", "-c", f'ulimit -v {megabytes << 10}; exec "$@"', "-"]
    return run([*limit, *command(*args)], folder)


def run(command: Sequence[str], folder: Path) -> Done:
    try:
        return subprocess.run(
            command,
            cwd=folder,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess([*command], -1, "", "hung")


def ends_well(done: Done) -> bool:
    """Return whether a command succeeded, or ended with one line about memory."""
    lines = done.stderr.strip().split("\n")
    error = [line for line in lines if line.startswith("Error: not enough memory")]
    return done.returncode == 0 or (
        done.returncode == 1 and error == lines[-1:] and "Traceback" not in done.stderr
    )


def limits(times: int) -> Iterator[int]:
    """Yield limits in MB, most of them in the narrower part of the range."""
    rng = random.Random(1)
    low, high = LIMITS
    for _ in range(times):
        yield low + int((high - low) * rng.random() ** 2)


def damage(run: Path) -> str:
    """Return what is wrong with the files of a run, or ""."""
    try:
        for path in run.glob("*.npz"):
            load(path)
    except CharRNNError as error:
        return str(error)
    left = [path.name for path in run.glob(".*.part")]
    return f"{', '.join(left)} was left behind" if left else ""


def start(folder: Path, *options: str) -> None:
    """Write a text, and train on it."""
    write_text(folder)
    done = charrnn(folder, "train", "text.txt", *options, "--out", "run", "--quiet")
    assert done.returncode == 0, done.stderr


def count(
    tally: Tally, trial: str, done: Done, run: Path, killed: Callable[[Done], bool]
) -> bool:
    """Count a command; return whether it was refused or killed."""
    if not ends_well(done) and not killed(done):
        status, last = done.returncode, done.stderr.strip().split("\n")[-1]
        tally.crashed.append(f"{trial}: status {status}, {last!r}")
    if wrong := damage(run):
        tally.lost.append(f"{trial}: {wrong}")
    tally.times += 1
    return done.returncode != 0


def never(done: Done) -> bool:
    return False


def readers(folder: Path, times: int) -> Tally:
    """Read a model under limits."""
    start(folder, *TINY)
    charrnn(folder, "export", "run", "--out", "weights.safetensors")
    tally, refused = Tally(), 0
    for i, limit in enumerate(limits(times)):
        args = READERS[i % len(READERS)]
        trial = f"{args[0]} in {limit} MB"
        done = limited(folder, limit, *args)
        refused += count(tally, trial, done, folder / "run", never)
    tally.seen = f"{refused} refused, the others succeeded"
    return tally


def trainings(folder: Path, times: int) -> Tally:
    """Start trainings under limits, with the kernels and threads that they choose."""
    write_text(folder)
    tally, refused = Tally(), 0
    for i, limit in enumerate(limits(times)):
        kernels = ("numpy", "auto")[i % 2]
        args = ("train", "text.txt", *MANY, "--kernels", kernels)
        done = limited(folder, limit, *args, "--out", "run", "--force", "--quiet")
        trial = f"{kernels} in {limit} MB"
        refused += count(tally, trial, done, folder / "run", never)
    tally.seen = f"{refused} refused, the others succeeded"
    return tally


def resumed(folder: Path, times: int) -> Tally:
    """Resume under limits, then without; compare with one that had no limits."""
    more = ("train", "--resume", "--out", "run", "--steps", "500", "--quiet")
    start(folder, *TINY)
    shutil.copytree(folder / "run", folder / "stopped")
    charrnn(folder, *more)
    whole = weights(folder)
    tally, refused = Tally(), 0
    for limit in limits(times):
        shutil.rmtree(folder / "run")
        shutil.copytree(folder / "stopped", folder / "run")
        trial = f"resumed in {limit} MB"
        if count(tally, trial, limited(folder, limit, *more), folder / "run", never):
            refused += 1
            charrnn(folder, *more)
        if weights(folder) != whole:
            tally.lost.append(f"{trial}: other weights than without a limit")
    tally.seen = f"{refused} refused, then resumed without a limit"
    return tally


def weights(folder: Path) -> bytes:
    return load(folder / "run/best.npz").model.params.flat.tobytes()


def was_killed(done: Done) -> bool:
    return done.returncode == -SIGKILL


@contextmanager
def group(megabytes: int) -> Iterator[Path | None]:
    """Make a control group of this much memory; None if that is not allowed."""
    version1 = (GROUPS / "memory").is_dir()
    parent = GROUPS / "memory" if version1 else GROUPS
    folder = parent / f"charrnn-{os.getpid()}"
    name = "memory.limit_in_bytes" if version1 else "memory.max"
    try:
        folder.mkdir()
    except OSError:
        yield None
        return
    try:
        (folder / name).write_text(str(megabytes << 20))
        yield folder
    except OSError:
        yield None
    finally:
        folder.rmdir()


def contained(folder: Path, times: int) -> Tally:
    """Train in control groups that hold too little, where Linux kills processes."""
    start(folder, *TINY)
    tally, refused, kills = Tally(), 0, 0
    big = ("train", "text.txt", *BIG, "--out", "run", "--force", "--quiet")
    for i in range(times):
        megabytes = 60 + 340 * i // times
        with group(megabytes) as where:
            if where is None:
                tally.seen = "not done: no right to make a control group"
                return tally
            enter = f'echo $$ > {where}/cgroup.procs; exec "$@"'
            done = run(["sh", "-c", enter, "-", *command(*big)], folder)
        kills += was_killed(done)
        refused += count(tally, f"{megabytes} MB", done, folder / "run", was_killed)
    tally.seen = f"{refused - kills} refused, {kills} killed by Linux"
    return tally


CASES = (
    Case("seven commands under `ulimit -v` of 25 to 1,200 MB", 140, readers),
    Case("`train` under such limits, in NumPy and compiled", 100, trainings),
    Case("`train --resume` under such limits", 60, resumed),
    Case("`train` in control groups of 60 to 400 MB", 30, contained),
)
