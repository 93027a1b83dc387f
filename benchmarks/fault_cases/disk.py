"""Disks that are full, read-only or gone while a training saves."""

import multiprocessing
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import asdict
from pathlib import Path

from charrnn.config import TrainConfig
from charrnn.errors import CharRNNError, CheckpointError
from charrnn.run import Run, resume_run, start_run
from charrnn.storage.checkpoint import load
from charrnn.storage.run_folder import read_history
from charrnn.text.reading import read_corpus
from charrnn.training.events import SaveFailed
from fault_cases.case import Case, Tally, charrnn, is_crash, write_text
from fault_cases.killed import TEMPORARY, differences, training

HEADING = "The disk"

TINY = TrainConfig(
    steps=40, eval_every=10, batch=4, window=8, threads=1, kernels="numpy"
)
LONG = (
    *("text.txt", "--hidden", "96", "--batch", "8", "--window", "32", "--threads", "1"),
    *(
        "--kernels",
        "numpy",
        "--patience",
        "0",
        "--steps",
        "1000",
        "--eval-every",
        "100",
    ),
    *("--save-every", "0.01"),
)
STOPPED = 13  # between two validations, where last.npz is largest
WITH_ALL_FILES = {"best.npz", "last.npz", "history.jsonl", ".lock"}


def _new(folder: Path, name: str) -> Run:
    corpus = read_corpus([folder / "text.txt"])
    return start_run(corpus, asdict(TINY) | {"hidden": 8}, folder=folder / name)


def _train(run: Run, stop_at: int = 0) -> list[SaveFailed]:
    """Train a run, and return what could not be saved."""
    failed = []
    for event in run.events():
        if event.step == stop_at:
            run.trainer.stop()
        if isinstance(event, SaveFailed):
            failed.append(event)
    return failed


def full_at_every_byte(folder: Path, times: int) -> Tally:
    """Resume a run with a limit on the size of files, from nothing to no limit."""
    write_text(folder)
    _train(_new(folder, "whole"))
    _train(_new(folder, "stopped"), STOPPED)
    size = (folder / "stopped" / "last.npz").stat().st_size
    limits = [round(i * (size + 100) / max(times - 1, 1)) for i in range(times)]
    # In another process, because the limit is one of a process.
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, spawn) as pool:
        return pool.submit(_under_limits, folder, limits).result()


def _under_limits(folder: Path, limits: list[int]) -> Tally:
    tally, refused = Tally(), 0
    for limit in limits:
        tally.times += 1
        shutil.rmtree(folder / "run", ignore_errors=True)
        shutil.copytree(folder / "stopped", folder / "run")
        try:
            with _limit(limit):
                _train(resume_run(folder / "run"))
        except CheckpointError:
            refused += 1
        except Exception as error:
            tally.crashed.append(f"{limit} bytes: {error!r}")
        _check(folder, f"{limit} bytes", tally)
    tally.seen = f"{refused:,} ended with an error, and were resumed"
    return tally


@contextmanager
def _limit(size: int) -> Iterator[None]:
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    try:
        yield
    finally:
        infinity = resource.RLIM_INFINITY
        resource.setrlimit(resource.RLIMIT_FSIZE, (infinity, infinity))


def _check(folder: Path, when: str, tally: Tally, run: str = "run") -> None:
    """Look at the files of a run, finish it, and compare it with the whole one."""
    found = {path.name for path in (folder / run).iterdir()}
    if found - WITH_ALL_FILES:
        tally.lost.append(f"{when}: {found - WITH_ALL_FILES} stays")
    try:
        for name in ("best.npz", "last.npz"):
            load(folder / run / name, snapshot=name == "last.npz")
        _train(resume_run(folder / run))
    except CharRNNError as error:
        tally.lost.append(f"{when}: {error}")
        return
    for difference in differences(folder / "whole", folder / run):
        tally.lost.append(f"{when}: differs in {difference}")


# ---- a small disk of its own


@contextmanager
def _disk(place: Path, size: int) -> Iterator[bool]:
    """Mount a small disk; yield whether that was possible."""
    place.mkdir(exist_ok=True)
    options = ("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place))
    can_mount = os.name == "posix" and shutil.which("mount") is not None
    mounted = can_mount and not subprocess.run(options, capture_output=True).returncode
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(("umount", "-l", str(place)), check=True)


def small_disks(folder: Path, times: int) -> Tally:
    """Train on disks of all sizes up to one with room for everything."""
    write_text(folder)
    tally, fitted, largest = Tally(), 0, 4_000_000
    for i in range(times):
        size = 4096 * (1 + i * largest // (4096 * times))
        with _disk(folder / "disk", size) as mounted:
            if not mounted:
                return Tally(seen="not tried: it needs root")
            tally.times += 1
            done = charrnn(folder, "train", *LONG, "--out", "disk/run")
            if is_crash(done) or done.returncode not in (0, 1):
                tally.crashed.append(f"{size:,} bytes: {done.stderr[-300:]}")
            fitted += not done.returncode
            tally.lost += _damaged(folder / "disk" / "run", f"{size:,} bytes")
    tally.seen = f"{fitted} were large enough; the others ended with one line"
    return tally


def _damaged(run: Path, when: str) -> Iterator[str]:
    for path in run.glob("*.npz"):
        try:
            load(path, snapshot=path.name == "last.npz")
        except CharRNNError as error:
            yield f"{when}: {error}"
    for path in run.glob(TEMPORARY):
        yield f"{when}: {path.name} stays"


def disturbed(
    disturb: Callable[[Path], None], repair: Callable[[Path], None], *, small: bool
) -> Callable[[Path, int], Tally]:
    """Return what makes a disk unusable during a training, and usable again.

    The two functions get the folder of the run; `small` puts it on a small disk.
    """

    def run(folder: Path, times: int) -> Tally:
        write_text(folder)
        charrnn(folder, "train", *LONG, "--out", "whole")
        tally, failed, ended, disk = Tally(), 0, 0, folder / "disk"
        for i in range(times):
            with _disk(disk, 8_000_000) if small else nullcontext(True) as ready:
                if not ready:
                    return Tally(seen="not tried: it needs root")
                shutil.rmtree(disk / "run", ignore_errors=True)
                tally.times += 1
                with training(folder, *LONG, "--out", "disk/run") as process:
                    _wait(disk / "run" / "last.npz", process)
                    disturb(disk / "run")
                    time.sleep(1 + i / times)
                    repair(disk / "run")
                    status = process.wait()
                log = (folder / "log").read_text(encoding="utf-8")
                if status == 1 and "then continue from there with --resume" in log:
                    # It ended before the disk was repaired.
                    resumed = charrnn(folder, "train", "--resume", "--out", "disk/run")
                    status, ended = resumed.returncode, ended + 1
                if status or "Traceback" in log:
                    tally.crashed.append(f"{i}: status {status}: {log[-300:]}")
                expected = {"history.jsonl"} if "made again" in log else set[str]()
                tally.lost += (
                    f"{i}: differs in {difference}"
                    for difference in differences(folder / "whole", disk / "run")
                    if difference not in expected
                )
                tally.lost += _damaged(disk / "run", str(i))
                if not read_history(disk / "run"):
                    tally.lost.append(f"{i}: no history")
                failed += log.count("not saved")
        tally.seen = f"{failed} saves failed; {ended} ended with an error, and resumed"
        return tally

    return run


def _wait(path: Path, process: "subprocess.Popen[str]") -> None:
    while process.poll() is None and not path.exists():
        time.sleep(0.005)


def _fill(run: Path) -> None:
    free = shutil.disk_usage(run).free
    with suppress(OSError):
        (run.parent / "filler").write_bytes(b"x" * free)


def _empty(run: Path) -> None:
    (run.parent / "filler").unlink(missing_ok=True)


def _protect(run: Path) -> None:
    """Let nobody write in a folder, not even root."""
    if os.geteuid():
        run.chmod(0o500)
    else:
        subprocess.run(("chattr", "+i", str(run)), check=True)


def _allow(run: Path) -> None:
    if os.geteuid():
        run.chmod(0o700)
    else:
        subprocess.run(("chattr", "-i", str(run)), check=True)


def _delete(run: Path) -> None:
    shutil.rmtree(run, ignore_errors=True)


def _nothing(run: Path) -> None:
    pass


CASES = (
    Case("no room from any byte of a file on (a size limit)", 3000, full_at_every_byte),
    Case("a training on a disk of any size up to 4 MB", 40, small_disks),
    Case(
        "the disk is full for a while during a training",
        10,
        disturbed(_fill, _empty, small=True),
    ),
    Case(
        "the folder may not be written for a while during a training",
        10,
        disturbed(_protect, _allow, small=False),
    ),
    Case(
        "the folder is deleted during a training",
        10,
        disturbed(_delete, _nothing, small=False),
    ),
)
