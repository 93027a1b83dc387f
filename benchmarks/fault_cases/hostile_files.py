"""Damaged files, and files that a stranger made to do harm."""

import random
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import asdict
from itertools import cycle, islice
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from charrnn.config import TextConfig, TrainConfig
from charrnn.errors import CharRNNError
from charrnn.generation.language_model import LanguageModel
from charrnn.run import resume_run, start_run
from charrnn.storage.checkpoint import Checkpoint, load
from charrnn.text.reading import read_corpus
from charrnn.training.events import Step
from fault_cases.case import (
    ROOT,
    Case,
    Tally,
    charrnn,
    command,
    environment,
    is_crash,
    write_text,
)

sys.path.append(str(ROOT / "tests" / "helpers"))
import hostile

HEADING = "Hostile files"
SECONDS, MEMORY = 2.0, 200.0  # MB; to take more for a damaged file is a crash
_MEASURE = """
import resource, subprocess, sys
status = subprocess.run(sys.argv[1:], capture_output=True).returncode
print(status, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""
_USES = {
    "sample": ("sample", "run/last.npz", "--length", "20"),
    "compare": ("compare", "run/last.npz", "--length", "20"),
    "eval": ("eval", "run/last.npz"),
    "next": ("next", "the", "run/last.npz"),
    "export": ("export", "run/last.npz", "--out", "a.safetensors", "--force"),
    "train --resume": ("train", "--resume", "--out", "run", "--steps", "60"),
    "train --init-from": (
        *("train", "text.txt", "--init-from", "run/last.npz", "--out", "new"),
        *("--force", "--steps", "3", "--threads", "1", "--documents", "lines"),
    ),
}


def _run(folder: Path) -> Path:
    """Return last.npz of a run that was stopped between two validations."""
    corpus = read_corpus([write_text(folder)], TextConfig(documents="lines"))
    settings = asdict(TrainConfig(batch=4, window=16, steps=50, eval_every=20))
    settings |= {"hidden": 16, "average": 0.9, "threads": 1, "kernels": "numpy"}
    run = start_run(corpus, settings, folder=folder / "run")
    for event in run.events():
        if isinstance(event, Step) and event.step == 30:
            run.trainer.stop()
    return folder / "run" / "last.npz"


def _flips(name: str) -> Callable[[Path, int], Tally]:
    """Return a case that flips random bits of a file, one at a time."""

    def run(folder: Path, times: int) -> Tally:
        whole = _run(folder).with_name(name).read_bytes()
        path, is_last = folder / name, name == "last.npz"
        path.write_bytes(whole)
        intact = load(path, snapshot=is_last)
        expected = _contents(intact)
        tally, rng, refused = Tally(times), random.Random(1), 0
        for at in rng.sample(range(8 * len(whole)), times):
            data = bytearray(whole)
            data[at // 8] ^= 1 << (at % 8)
            path.write_bytes(data)
            try:
                found = _contents(load(path, snapshot=is_last))
            except CharRNNError:
                refused += 1
            except Exception as error:
                tally.crashed.append(f"bit {at}: {error!r}")
            else:
                if found != expected:
                    tally.lost.append(f"bit {at}: another model, and no word on it")
        tally.seen = f"{refused:,} refused, the others the same model and text"
        return tally

    return run


def _contents(checkpoint: Checkpoint) -> list[Any]:
    """Return all that a checkpoint holds, comparable, and a text that it writes."""
    model, snapshot = checkpoint.model, checkpoint.snapshot
    text = LanguageModel.from_checkpoint(checkpoint).generate(
        "t", length=30, seed=1, kernels="numpy"
    )
    found = [text, model.config, checkpoint.vocab.to_json(), checkpoint.corpus]
    found += [checkpoint.split, checkpoint.train, checkpoint.history]
    arrays = [model.params.flat]
    while snapshot:
        found.append(snapshot.progress)
        arrays += [snapshot.params, *snapshot.moments.values()]
        arrays += [part for layer in snapshot.state for part in layer]
        arrays += [] if snapshot.best is None else [snapshot.best]
        snapshot = snapshot.last_good
    return found + [array.tobytes() for array in arrays]


def _exchanged(folder: Path, times: int) -> Tally:
    """Exchange two members, or take one from another file."""
    path = _run(folder)
    parts = hostile.members(path)
    other = hostile.members(path.with_name("best.npz"))
    rng, tally = random.Random(1), Tally(times)
    names = [name for name in parts if name != "header.npy"]
    for _ in range(times):
        a, b = rng.sample(names, 2)
        foreign = rng.choice([*other])
        exchanged = {a: parts[b], b: parts[a]}
        changed = parts | rng.choice([exchanged, {foreign: other[foreign]}])
        hostile.write_members(folder / "a.npz", changed)
        if changed == parts:
            continue
        try:
            load(folder / "a.npz", snapshot=True)
        except CharRNNError:
            continue
        except Exception as error:
            tally.crashed.append(f"{a} and {b}: {error!r}")
        else:
            tally.lost.append(f"{a} and {b}, or a foreign {foreign}, loaded")
    tally.seen = "all refused" if not tally.lost else ""
    return tally


def _wrong_fields(folder: Path, times: int) -> Tally:
    """Put wrong values into fields of the header, and read, sample and resume."""
    path = _run(folder)
    parts = hostile.members(path)
    header = hostile.header_of(parts)
    every = [(p, w) for p in hostile.places(header) for w in hostile.WRONG]
    cases = random.Random(1).sample(every, min(times, len(every)))
    tally, refused, longest = Tally(len(cases)), 0, 0.0
    for place, wrong in cases:
        changed = hostile.with_header(parts, hostile.replaced(header, place, wrong))
        hostile.write_members(path, changed)
        start = perf_counter()
        try:
            _contents(load(path, snapshot=True))
            run = resume_run(path.parent)
            for event in run.trainer.run():
                if isinstance(event, Step):
                    run.trainer.stop()
            run.trainer.close()
        except CharRNNError:
            refused += 1
        except Exception as error:
            tally.crashed.append(f"{place} = {wrong!r:.40}: {error!r:.80}")
        longest = max(longest, perf_counter() - start)
        if perf_counter() - start > SECONDS:
            tally.crashed.append(f"{place} = {wrong!r:.40}: took more than 2 s")
    tally.seen = f"{refused:,} refused, the others harmless; {longest:.1f} s at most"
    return tally


def _wrong_fields_in_commands(folder: Path, times: int) -> Tally:
    """Put wrong values into fields of the header, and call every command."""
    path = _run(folder)
    parts = hostile.members(path)
    header = hostile.header_of(parts)
    rng, tally, refused = random.Random(2), Tally(times), 0
    every = [(p, w) for p in hostile.places(header) for w in hostile.WRONG]
    names = [*_USES]
    for i in range(times):
        place, wrong = rng.choice(every)
        changed = hostile.with_header(parts, hostile.replaced(header, place, wrong))
        hostile.write_members(path, changed)
        done = charrnn(folder, *_USES[names[i % len(names)]])
        refused += done.returncode != 0
        if is_crash(done) or "\x1b" in done.stderr + done.stdout:
            where = f"{names[i % len(names)]} with {place} = {wrong!r:.40}"
            tally.crashed.append(f"{where}: {done.stderr[-200:]!r}")
    tally.seen = f"{refused:,} refused in one line, the others harmless"
    return tally


def _bombs(parts: dict[str, bytes]) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Yield files that claim far more than they hold, as members."""
    header = hostile.header_of(parts)
    for key in ("vocab", "hidden", "layers"):
        for size in (10**6, 10**9, 2**62):
            changed = hostile.replaced(header, ("model", key), size)
            yield f"{key} {size:.0e}", hostile.with_header(parts, changed)
    for key in ("batch", "window", "sampled"):
        changed = hostile.replaced(header, ("train", "plan", key), 10**9)
        yield f"{key} 1e9", hostile.with_header(parts, changed)
    many = header["train"]["plan"] | {
        "batch": 10**6,
        "layout": {"workers": 10**6, "blas_threads": 10**6},
    }
    changed = hostile.replaced(header, ("train", "plan"), many)
    yield "a million threads", hostile.with_header(parts, changed)
    for shape in ("(1000000000000,)", "(9223372036854775807, 9223372036854775807)"):
        text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}\n"
        claim = b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()
        for name in ("header.npy", "params/output.W.npy"):
            yield f"{name} of {shape}", parts | {name: claim}
    for what, text in (
        ("deep JSON", b"[" * 20_000_000),
        ("JSON of many objects", b"[" + b"{}," * 9_000_000 + b"1]"),
        ("a number of many digits", b"9" * 20_000_000),
    ):
        yield what, parts | {"header.npy": hostile.npy(np.frombuffer(text, np.uint8))}
    zeros = hostile.npy(np.zeros((8192, 8192), np.float32))
    yield "zeros", parts | {"params/layer0.Wh.npy": zeros}


def _huge(folder: Path, times: int) -> Tally:
    """Open files that would fill the memory, and measure the command."""
    path = _run(folder)
    whole, parts = path.read_bytes(), hostile.members(path)
    tally, most, longest = Tally(), 0.0, 0.0
    for what, changed in islice(cycle(_bombs(parts)), times):
        for use in ("sample", "train --resume"):
            path.write_bytes(whole)
            usual, _, _ = _measured(folder, *_USES[use])
            hostile.write_members(path, changed, zipfile.ZIP_DEFLATED)
            took, memory, status = _measured(folder, *_USES[use])
            most, longest = max(most, memory), max(longest, took - usual)
            tally.times += 1
            if status not in (0, 1) or memory > MEMORY or took - usual > SECONDS:
                fault = f"{what}: {use}: status {status}, {memory:.0f} MB, {took:.1f} s"
                tally.crashed.append(fault)
    tally.seen = (
        f"{most:.0f} MB at most, Python included, and {longest:.1f} s longer than with "
        "a whole file"
    )
    return tally


def _measured(folder: Path, *args: str) -> tuple[float, float, int]:
    """Run a command; return its seconds, its peak memory in MB and its status."""
    start = perf_counter()
    measured = [sys.executable, "-c", _MEASURE, *command(*args)]
    output = subprocess.check_output(measured, cwd=folder, env=environment())
    status, kilobytes = map(int, output.split())
    return perf_counter() - start, kilobytes / 1024, status


CASES = [
    Case("a bit of `best.npz` flipped", 1000, _flips("best.npz")),
    Case("a bit of `last.npz` flipped", 1000, _flips("last.npz")),
    Case("two arrays exchanged, or one from another file", 300, _exchanged),
    Case("a wrong value in a field of the header, in Python", 2000, _wrong_fields),
    Case("the same with every command", 350, _wrong_fields_in_commands),
    Case("a file that claims a terabyte, or expands to it", 21, _huge),
]
