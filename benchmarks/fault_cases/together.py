"""Several processes in one folder at once."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from charrnn.errors import CharRNNError, CheckpointError
from charrnn.storage.checkpoint import load
from charrnn.storage.run_folder import find_checkpoint, newest_run
from fault_cases.case import (
    TINY,
    Case,
    Tally,
    charrnn,
    command,
    environment,
    is_crash,
    write_text,
)
from fault_cases.killed import training

HEADING = "Two at once"

IN_USE = "another charrnn is training there"


def started_at_once(folder: Path, times: int) -> Tally:
    """Start three trainings on one folder at the same time: one must win."""
    write_text(folder)
    tally, refused = Tally(), 0
    for i in range(times):
        shutil.rmtree(folder / "run", ignore_errors=True)
        tally.times += 1
        # Long enough for all three to start while the first one trains.
        options = ("text.txt", *TINY, "--steps", "6000", "--out", "run", "--force")
        racers = [
            subprocess.Popen(
                command("train", *options, "--seed", str(seed)),
                cwd=folder,
                env=environment(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
            for seed in range(3)
        ]
        errors = [racer.communicate()[1] for racer in racers]
        won = [seed for seed, racer in enumerate(racers) if racer.returncode == 0]
        if any("Traceback" in error for error in errors):
            tally.crashed.append(f"{i}: {errors}")
        refused += sum(IN_USE in error.splitlines()[-1] for error in errors if error)
        found = load(folder / "run" / "last.npz").train["seed"] if won else None
        if not won or found != won[-1]:
            tally.lost.append(f"{i}: {won} finished, and {found} is in the folder")
    tally.seen = f"{refused} of {2 * times} refused at once, by one line"
    return tally


def intruders(folder: Path, times: int) -> Tally:
    """Try to train in, to replace and to resume a run that another process trains."""
    write_text(folder)
    tally = Tally()
    charrnn(folder, "train", "text.txt", *TINY, "--out", "other")
    charrnn(folder, "export", "other", "--out", "it.safetensors")
    attempts = (
        ("train", "--resume", "--out", "run"),
        ("train", "text.txt", *TINY, "--out", "run", "--force"),
        ("import", "it.safetensors", "--out", "run", "--force"),
        ("import", "it.safetensors", "--out", "run/last.npz", "--force"),
    )
    endless = ("--steps", "1000000", "--patience", "0")
    options = ("text.txt", *TINY, *endless, "--out", "run")
    with training(folder, *options) as process:
        while not (folder / "run" / "last.npz").exists():
            if process.poll() is not None:
                raise RuntimeError((folder / "log").read_text(encoding="utf-8"))
        for i in range(times):
            done = charrnn(folder, *attempts[i % len(attempts)])
            tally.times += 1
            if is_crash(done):
                tally.crashed.append(f"{i}: {done.stderr[-300:]}")
            elif done.returncode != 1 or IN_USE not in done.stderr:
                tally.lost.append(f"{i}: {attempts[i % len(attempts)]} was let in")
        if process.poll() is not None:
            tally.lost.append("the training has ended")
    return tally


@contextmanager
def _other_process(code: str, folder: Path) -> Iterator[None]:
    """Run Python code over and over in another process."""
    with subprocess.Popen(
        [sys.executable, "-c", code, str(folder)],
        stdout=subprocess.PIPE,
        env=environment(),
    ) as process:
        assert process.stdout
        process.stdout.readline()  # it is at work
        try:
            yield
        finally:
            process.kill()


_SAVE = """
import sys
from pathlib import Path
from charrnn.storage.checkpoint import load, save
folder = Path(sys.argv[1])
files = [(path, load(path, snapshot=path.name == "last.npz"))
         for path in (folder / "run").glob("*.npz")]
print(flush=True)
while True:
    for path, checkpoint in files:
        save(checkpoint, path)
"""


def readers(folder: Path, times: int) -> Tally:
    """Open checkpoints while another process saves them without a pause."""
    write_text(folder)
    charrnn(folder, "train", "text.txt", *TINY, "--out", "run")
    tally = Tally()
    files = [folder / "run" / name for name in ("best.npz", "last.npz")]
    models = [load(path).model.params.flat.tobytes() for path in files]
    seen = set()
    with _other_process(_SAVE, folder):
        for i in range(times):
            tally.times += 1
            try:
                path, expected = files[i % 2], models[i % 2]
                if load(path).model.params.flat.tobytes() != expected:
                    tally.lost.append(f"{i}: other weights")
                seen.add(path.stat().st_ino)
            except (CharRNNError, OSError) as error:
                tally.crashed.append(f"{i}: {error}")
    tally.seen = f"{len(seen):,} different files were read"
    return tally


_COME_AND_GO = """
import shutil, sys
from pathlib import Path
root = Path(sys.argv[1]) / "checkpoints"
print(flush=True)
while True:
    for i in range(5):
        folder = root / f"run-{i}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "last.npz").touch()
        (folder / "best.npz").touch()
    shutil.rmtree(root)
"""


def newest(folder: Path, times: int) -> Tally:
    """Look for the newest run while runs come and go."""
    tally, found = Tally(), 0
    with _other_process(_COME_AND_GO, folder):
        for i in range(times):
            tally.times += 1
            try:
                find_checkpoint(newest_run(folder / "checkpoints"))
                found += 1
            except CheckpointError:
                pass
            except Exception as error:
                tally.crashed.append(f"{i}: {error!r}")
    tally.seen = f"{found:,} times there was one"
    return tally


CASES = (
    Case("three trainings that start at once in one folder", 20, started_at_once),
    Case("`train`, `--resume` and `import` into a run in training", 40, intruders),
    Case("a checkpoint is opened while it is saved", 5000, readers),
    Case("the newest run is looked for while runs come and go", 50_000, newest),
)
