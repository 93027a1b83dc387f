"""Trainings that are killed, and resumed until they are finished."""

import json
import random
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from charrnn.errors import CharRNNError
from charrnn.storage.checkpoint import load
from fault_cases.case import Case, Tally, charrnn, command, environment, write_text

HEADING = "Killed"

RUN = (
    *("text.txt", "--hidden", "96", "--batch", "8", "--window", "32", "--threads", "1"),
    *("--kernels", "numpy", "--patience", "0", "--steps", "1000", "--eval-every", "90"),
)
EVERY = 0.03  # minutes between saves
# Seconds that a save may be late: a step, the write itself, and a machine that is busy.
SLACK = 3.0
TEMPORARY = ".*.part"

Killer = Callable[[random.Random, Path, "subprocess.Popen[str]"], None]


def differences(one: Path, other: Path) -> Iterator[str]:
    """Yield in what two finished runs differ, except in times and versions."""
    for name in ("best.npz", "last.npz"):
        try:
            with np.load(one / name) as a, np.load(other / name) as b:
                if a.files != b.files:
                    yield f"{name} has other members"
                    continue
                for member in a.files:
                    if member == "header":
                        if _facts(a[member]) != _facts(b[member]):
                            yield f"{name}: header"
                    elif a[member].tobytes() != b[member].tobytes():
                        yield f"{name}: {member}"
        except (OSError, ValueError) as error:
            yield f"{name}: {error}"
    if _history(one) != _history(other):
        yield "history.jsonl"


def _facts(header: "np.ndarray[tuple[int], np.dtype[np.uint8]]") -> object:
    facts = json.loads(header.tobytes())
    for key in ("progress", "good_progress"):
        facts.get(key, {}).pop("seconds", None)
    return {k: v for k, v in facts.items() if k not in ("corpus", "digests")}


def _history(folder: Path) -> list[object]:
    text = (folder / "history.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) | {"seconds": 0} for line in text.splitlines()]


@contextmanager
def training(folder: Path, *options: str) -> Iterator["subprocess.Popen[str]"]:
    """Start a training, and wait until it trains or has ended; kill it at last."""
    with (folder / "log").open("w+", encoding="utf-8") as log:
        process = subprocess.Popen(
            command("train", *options),
            cwd=folder,
            env=environment(),
            stdout=log,
            stderr=log,
            text=True,
        )
        try:
            while process.poll() is None and not _has_begun(folder / "log"):
                time.sleep(0.005)
            yield process
        finally:
            process.kill()
            process.wait()


def _has_begun(log: Path) -> bool:
    # The last line before training.
    return "saving to" in log.read_text(encoding="utf-8")


def at_random(
    rng: random.Random, folder: Path, process: "subprocess.Popen[str]"
) -> None:
    """Kill a training within its first seconds."""
    time.sleep(rng.uniform(0, 2.5))
    process.kill()


def in_a_write(
    rng: random.Random, folder: Path, process: "subprocess.Popen[str]"
) -> None:
    """Kill a training while it writes a file, and not always the first one."""
    time.sleep(rng.uniform(0, 1.5))
    while process.poll() is None and not any(folder.glob(TEMPORARY)):
        pass
    time.sleep(rng.uniform(0, 0.004))
    process.kill()


def killing(kill: Killer) -> Callable[[Path, int], Tally]:
    """Return what kills trainings in a way, and resumes each until it is finished."""

    def run(folder: Path, times: int) -> Tally:
        write_text(folder)
        _train(folder, *RUN, "--out", "whole")
        rng, tally, kills = random.Random(1), Tally(), list[tuple[float, bool]]()
        while tally.times < times:
            shutil.rmtree(folder / "run", ignore_errors=True)
            kills += _lives(folder, rng, kill, times, tally)
        lost, inside = max(kills)[0], sum(half for _, half in kills)
        tally.seen = (
            f"at most {lost:.1f} s to repeat ({60 * EVERY:.1f} s asked for); {inside} "
            "with a file half written"
        )
        return tally

    return run


def _lives(
    folder: Path, rng: random.Random, kill: Killer, times: int, tally: Tally
) -> Iterator[tuple[float, bool]]:
    """Kill one training until it is finished.

    Yields the seconds of training lost each time, and whether a file was half written.
    """
    run, left = folder / "run", set[Path]()
    while True:
        is_saved = (run / "last.npz").exists()
        start = RUN if not is_saved else ("--resume",)
        force = () if is_saved or not run.exists() else ("--force",)
        options = (*start, "--out", "run", "--save-every", str(EVERY), *force)
        with training(folder, *options) as process:
            begun = time.time()
            if left & {*run.glob(TEMPORARY)}:
                tally.lost.append(f"kill {tally.times}: temporary files stay")
            if tally.times < times:
                kill(rng, run, process)
            status = process.wait()
        if status != -9:
            break
        tally.times += 1
        left = {*run.glob(TEMPORARY)}
        yield _check(run, begun, tally), bool(left)
    if status:
        log = (folder / "log").read_text(encoding="utf-8")
        tally.crashed.append(f"kill {tally.times}: status {status}: {log[-300:]}")
    for difference in differences(folder / "whole", run):
        tally.lost.append(f"kill {tally.times}: differs in {difference}")


def _check(run: Path, begun: float, tally: Tally) -> float:
    """Return how many seconds of training a kill has lost; open what it has left."""
    now = time.time()
    for name in ("best.npz", "last.npz"):
        try:
            if (run / name).exists():
                load(run / name, snapshot=name == "last.npz")
        except CharRNNError as error:
            tally.lost.append(f"kill {tally.times}: {error}")
    last = run / "last.npz"
    saved = last.stat().st_mtime if last.exists() else begun
    seconds = now - max(saved, begun)
    if seconds > 60 * EVERY + SLACK:
        tally.lost.append(f"kill {tally.times}: {seconds:.1f} s of training")
    return seconds


def _train(folder: Path, *options: str) -> None:
    done = charrnn(folder, "train", *options, "--save-every", str(EVERY))
    if done.returncode:
        raise RuntimeError(done.stderr)


def without_best(folder: Path, times: int) -> Tally:
    """Resume runs whose best.npz is missing, older, foreign or damaged."""
    write_text(folder)
    _train(folder, *RUN, "--out", "whole")
    _train(folder, *RUN, "--out", "foreign", "--seed", "2", "--steps", "200")
    with training(folder, *RUN, "--out", "started", "--save-every", str(EVERY)) as it:
        while it.poll() is None and not (folder / "started" / "last.npz").exists():
            time.sleep(0.005)
    older = (folder / "started" / "best.npz").read_bytes()
    foreign = (folder / "foreign" / "best.npz").read_bytes()
    rng, tally, run = random.Random(2), Tally(), folder / "run"
    for i in range(times):
        shutil.rmtree(run, ignore_errors=True)
        shutil.copytree(folder / "started", run)
        resume = ("--resume", "--out", "run", "--save-every", str(EVERY))
        with training(folder, *resume) as process:
            at_random(rng, run, process)
        (run / "best.npz").unlink()
        found = (None, older, foreign, foreign[: len(foreign) // 2])[i % 4]
        if found is not None:
            (run / "best.npz").write_bytes(found)
        done = charrnn(folder, "train", *resume)
        tally.times += 1
        if done.returncode:
            tally.crashed.append(f"{i}: {done.stderr[-300:]}")
        for difference in differences(folder / "whole", run):
            tally.lost.append(f"{i}: differs in {difference}")
    return tally


CASES = (
    Case("`kill -9` of a training at a random moment", 120, killing(at_random)),
    Case("`kill -9` of a training inside a write", 80, killing(in_a_write)),
    Case("`best.npz` missing, older, foreign or damaged", 20, without_best),
)
