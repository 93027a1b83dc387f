"""Numbers that overflow, and texts with nothing to learn in them."""

import json
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from charrnn.storage.checkpoint import load
from fault_cases.case import (
    SECONDS,
    TINY,
    Case,
    Tally,
    charrnn,
    command,
    environment,
    is_crash,
    write_text,
)

HEADING = "Numbers"
RATES = ("1e-12", "3", "10", "1e3", "1e6", "1e19", "1e38", "1e300")
OPTIMIZERS = ("adam", "adamw", "rmsprop", "adagrad", "sgd")
# Other ways to let it explode, at a rate that no network stands.
VARIANTS = (
    "--clip 0",
    "--clip 1e30 --clip-mode value",
    "--average 0.99",
    "--val-fraction 0",
    "--cell lstm --clip 0",
    "--cell rnn --clip 0 --warmup 0",
    "--eval-every 1 --sample-every 1",
    "--optimizer sgd --momentum 0.99 --clip 0",
    "--optimizer adamw --weight-decay 10",
)
LATIN = "the quick brown fox jumps over the lazy dog and sleeps in the sun\n"
CYRILLIC = "съешь же ещё этих мягких французских булок да выпей чаю\n"
MANY = "".join(map(chr, range(0x4E00, 0x4E00 + 12_000)))  # a sampled softmax
TEXTS = {
    "nothing but one character": "a" * 5000,
    "one other character, in the middle": "a" * 5000 + "b" + "a" * 4000,
    "one other character, at the end": "a" * 9000 + "b",
    "another language in the middle": LATIN * 200 + CYRILLIC * 200,
    "12,000 characters": MANY * 5,
}


def faults(folder: Path, status: int, said: str) -> Iterator[str]:
    """Yield what is wrong with the end of a training, and with its files."""
    if status not in (0, 1) or "Traceback" in said:
        yield f"exit status {status}"
    if status == 1 and not said.strip().rpartition("\n")[2].startswith("Error: "):
        yield "it gave up without an error message"
    if "Warning" in said or "encountered in" in said:
        yield "a warning of NumPy"
    yield from not_finite(folder)


def not_finite(folder: Path) -> Iterator[str]:
    """Yield which arrays and JSON of a run are not finite, and which do not open."""
    for path in folder.glob("*.npz"):
        load(path, snapshot=path.name == "last.npz")
        with np.load(path) as file:
            for name in file.files:
                array = file[name]
                if array.dtype.kind == "f" and not np.isfinite(array).all():
                    yield f"{path.name}: {name} is not finite"
            yield from _no_json(path.name, file["header"].tobytes().decode())
    history = folder / "history.jsonl"
    for line in history.read_text().splitlines() if history.exists() else ():
        yield from _no_json("history.jsonl", line)


def _no_json(name: str, text: str) -> list[str]:
    found: list[str] = []
    json.loads(text, parse_constant=found.append)
    return [f"{name}: {constant} is no JSON" for constant in found]


def explode(settings: list[str], folder: Path, times: int) -> Tally:
    """Train with settings that no network stands, to the end or until it gives up."""
    write_text(folder)
    settings = settings[:times]
    tally, ended, gave_up = Tally(len(settings)), 0, 0
    for number, options in enumerate(settings):
        out = f"run{number}"
        args = ("train", "text.txt", "--out", out, *TINY, *shlex.split(options))
        done = charrnn(folder, *args)
        for fault in faults(folder / out, done.returncode, done.stderr):
            kept = "finite" in fault or "JSON" in fault
            (tally.lost if kept else tally.crashed).append(f"{options}: {fault}")
        ended += done.returncode == 0
        gave_up += done.returncode == 1
    tally.seen = f"{ended} recovered, {gave_up} gave up with exit status 1"
    return tally


def stop(folder: Path, times: int) -> Tally:
    """Stop trainings whose weights explode; what they save must be finite."""
    write_text(folder)
    tally = Tally(times)
    for number in range(times):
        rate, out = RATES[number % len(RATES)], f"run{number}"
        options = ("--lr", rate, "--clip", "0", "--steps", "1000000")
        process = subprocess.Popen(
            command("train", "text.txt", "--out", out, *TINY, *options),
            cwd=folder,
            env=environment(),
            stderr=subprocess.PIPE,
            text=True,
        )
        time.sleep(0.8 + 0.05 * number)
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=SECONDS)
        if "Traceback" in said:
            tally.crashed.append(f"--lr {rate}: traceback")
        tally.lost += [f"--lr {rate}: {bad}" for bad in not_finite(folder / out)]
    tally.seen = "finite"
    return tally


def learn(name: str, folder: Path, times: int) -> Tally:
    """Train on an odd text, and use the model."""
    (folder / "text.txt").write_text(TEXTS[name], encoding="utf-8")
    tally = Tally(1)
    done = charrnn(folder, "train", "text.txt", "--out", "run", *TINY, "--lr", "1")
    tally.crashed += faults(folder / "run", done.returncode, done.stderr)
    if (folder / "run").exists():
        for args in (("eval", "run", "--json"), ("next", "a", "run", "--json")):
            used = charrnn(folder, *args)
            tally.crashed += [f"{args[0]}: traceback"] if is_crash(used) else []
            if used.returncode == 0:
                for line in used.stdout.splitlines():
                    tally.lost += _no_json(args[0], line)
    tally.seen = "refused" if done.returncode == 1 else "trained"
    return tally


def _rates() -> list[str]:
    return [f"--lr {rate} --optimizer {name}" for name in OPTIMIZERS for rate in RATES]


def _variants() -> list[str]:
    return [
        f"--lr {rate} {more}" for more in VARIANTS for rate in ("10", "1e6", "1e38")
    ]


CASES = [
    Case("learning rates up to 1e300", len(_rates()), partial(explode, _rates())),
    Case("and without clipping", len(_variants()), partial(explode, _variants())),
    Case("stopped while it explodes", 24, stop),
    *(Case(f"a text of {name}", 1, partial(learn, name)) for name in TEXTS),
]
