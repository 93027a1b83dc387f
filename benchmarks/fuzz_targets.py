"""What `fuzz.py` feeds with inputs: seeds, a mutation that keeps checksums, and a use.

A mutation of an archive changes a member and writes the archive anew, with right
checksums and digests, so that inputs get past them. It may raise anything if the input
is too damaged for that.
"""

import bz2
import gzip
import hashlib
import io
import json
import lzma
import os
import random
import sys
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

from charrnn.config import TextConfig, TrainConfig
from charrnn.generation.language_model import LanguageModel
from charrnn.run import start_run
from charrnn.storage import safetensors_file
from charrnn.storage.checkpoint import load, save
from charrnn.storage.run_folder import read_history, truncate_history
from charrnn.storage.torch_weights import export_weights, import_weights
from charrnn.text import cache
from charrnn.text.reading import from_text, read_corpus
from charrnn.training.events import Step
from charrnn.training.state import Progress

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests" / "helpers"))
import hostile

Mutate = Callable[[bytes, int], bytes]  # any change; the second is the largest size

TEXT = "one\n\ntwo\nabba\n" * 3
LARGEST = 1 << 16  # bytes of an input
_CORPUS = from_text(TEXT, TextConfig(documents="lines"))


@dataclass(frozen=True)
class Target:
    """Something that reads files."""

    seeds: Callable[[Path], list[bytes]]  # made in an empty folder
    use: Callable[[Path, bytes], None]  # reads an input, in a folder of its own
    mutate: Callable[[bytes, Mutate, random.Random], bytes]


def _run(folder: Path) -> Path:
    """Return the folder of a small run that was stopped between two validations.

    The name of the folder is that of its cell.
    """
    settings = asdict(TrainConfig(batch=2, window=4, steps=8, eval_every=3))
    settings |= {"threads": 1, "kernels": "numpy", "average": 0.5}
    settings |= {"hidden": 2, "cell": folder.name}
    run = start_run(_CORPUS, settings, folder=folder)
    for event in run.events():
        if isinstance(event, Step) and event.step == 4:
            run.trainer.stop()
    return folder


# ---- checkpoint ----


def _checkpoint_seeds(folder: Path) -> list[bytes]:
    runs = [_run(folder / cell) for cell in ("rnn", "gru", "lstm")]
    files = [run / name for run in runs for name in ("best.npz", "last.npz")]
    half = folder / "half.npz"
    save(load(files[0]), half, half=True)
    return [path.read_bytes() for path in [*files, half]]


def _use_checkpoint(folder: Path, data: bytes) -> None:
    path = folder / "last.npz"
    path.write_bytes(data)
    checkpoint = load(path, snapshot=b"state/" in data)
    model = LanguageModel.from_checkpoint(checkpoint)
    model.generate("o", length=3, seed=1, kernels="numpy", on_unknown="skip")


def _mutate_checkpoint(data: bytes, mutate: Mutate, rng: random.Random) -> bytes:
    parts = hostile.members(io.BytesIO(data))
    name = rng.choice([*parts])
    if rng.random() < 0.5:
        header = hostile.header_of(parts)
        parts = hostile.with_header(parts, _with_another_value(header, mutate, rng))
    else:
        parts[name] = mutate(parts[name], LARGEST)
    if rng.random() < 0.1:
        del parts[rng.choice([*parts])]
    if rng.random() < 0.1:
        parts["x" + mutate(name.encode(), 40).decode("latin-1")] = b""
    if rng.random() < 0.8:
        parts = _with_digests(parts)
    changed = io.BytesIO()
    method = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    hostile.write_members(changed, parts, method)
    return changed.getvalue()


def _with_another_value(value: Any, mutate: Mutate, rng: random.Random) -> Any:
    """Return a JSON object in which one value is wrong, or similar."""
    place = rng.choice([*hostile.places(value)])
    new = rng.choice(hostile.WRONG)
    if rng.random() < 0.5:
        old = value
        for key in place:
            old = old[key]
        with suppress(ValueError, RecursionError):
            new = json.loads(mutate(json.dumps(old).encode(), 4096))
    return hostile.replaced(value, place, new)


def _with_digests(parts: dict[str, bytes]) -> dict[str, bytes]:
    """Return members whose header has the digests of the others."""
    digests: dict[str, Any] = {}
    for name in sorted(parts):
        folder = name.rpartition("/")[0]
        if folder:
            start = 10 + int.from_bytes(parts[name][8:10], "little")
            digest = digests.setdefault(folder, hashlib.sha256())
            digest.update(parts[name][start:])
    header = hostile.header_of(parts)
    header["digests"] = {name: d.hexdigest() for name, d in digests.items()}
    return hostile.with_header(parts, header)


# ---- safetensors ----


def _safetensors_seeds(folder: Path) -> list[bytes]:
    seeds = []
    for cell in ("rnn", "gru", "lstm"):
        path = folder / f"{cell}.safetensors"
        export_weights(load(_run(folder / cell) / "best.npz"), path)
        seeds.append(path.read_bytes())
        arrays, _ = safetensors_file.load(path)
        safetensors_file.save(path, arrays, {})
        seeds.append(path.read_bytes())
    return seeds


def _use_safetensors(folder: Path, data: bytes) -> None:
    path = folder / "a.safetensors"
    path.write_bytes(data)
    text = None if b'"charrnn"' in data else _CORPUS
    model = LanguageModel.from_checkpoint(import_weights(path, text))
    model.generate("o", length=3, seed=1, kernels="numpy", on_unknown="skip")


def _mutate_safetensors(data: bytes, mutate: Mutate, rng: random.Random) -> bytes:
    size = int.from_bytes(data[:8], "little")
    header, rest = data[8 : 8 + size], data[8 + size :]
    if rng.random() < 0.2:
        rest = mutate(rest, LARGEST)
    elif rng.random() < 0.5:
        header = mutate(header, LARGEST)
    else:
        value = _with_another_value(json.loads(header), mutate, rng)
        header = json.dumps(value).encode()
    return len(header).to_bytes(8, "little") + header + rest


# ---- corpus ----

# How a text is read, and whether it is packed before. The first byte of an input
# chooses one of these.
_PACKERS: tuple[Callable[[bytes], bytes], ...] = (
    bytes,
    gzip.compress,
    bz2.compress,
    lzma.compress,
)
_OPTIONS = [
    TextConfig(*each)
    for each in [
        *product(
            (
                "",
                "utf-8",
                "utf-16",
                "utf-32",
                "latin-1",
                "cp1252",
                "shift_jis",
                "utf-7",
            ),
            ("nfc", "none"),
            ("", "lines"),
        ),
        *product(("",), ("nfd", "nfkc"), ("", "files", "\n\n", "ab"), (-1, 2)),
        ("bytes",),
        ("gb18030",),
        ("iso2022_jp",),
        ("shift_jis",),
    ]
]


def _corpus_seeds(folder: Path) -> list[bytes]:
    texts = [
        TEXT,
        "naïve e\u0301\u0323 한국어 עברית 🙂👩\u200d🚀\r\nx\u2028y\ufeff\0\x1b[31m",
        "a" + "\u0301" * 30,
        "日本語\r\rab\n\n\n",
    ]
    plain = [
        text.encode(encoding, "replace")
        for text in texts
        for encoding in ("utf-8", "utf-16", "utf-32", "shift_jis", "utf-7", "cp1252")
    ]
    packed = [pack(texts[0].encode()) for pack in _PACKERS]
    seeds = [bytes([i % 256]) + data for i, data in enumerate([*plain, *packed] * 4)]
    return [bytes([i]) + TEXT.encode() for i in range(256)] + seeds


def _use_corpus(folder: Path, data: bytes) -> None:
    choice, content = data[:1] or b"\0", data[1:]
    which, pack = divmod(choice[0], len(_PACKERS))
    path = folder / "text.txt"
    path.write_bytes(_PACKERS[pack](content))
    corpus = read_corpus([path], _OPTIONS[which % len(_OPTIONS)])
    text = corpus.text
    if corpus.vocab.unknown_id is None and corpus.vocab.end_id is None:
        assert len(text) == len(corpus.ids)
    corpus.split(corpus.ids, 0.3)


def _mutate_corpus(data: bytes, mutate: Mutate, rng: random.Random) -> bytes:
    if rng.random() < 0.2:
        return bytes([rng.randrange(256)]) + data[1:]
    return data[:1] + mutate(data[1:], LARGEST)


# ---- cache ----


def _cache_seeds(folder: Path) -> list[bytes]:
    """Return entries as lines: their description, and after it the ids."""
    os.environ[cache.FOLDER_VARIABLE] = str(folder / "cache")
    seeds = []
    for text in (TEXT, "".join(map(chr, range(32, 500)))):
        corpus = from_text(text)
        with cache.new_part() as part:
            cache.ids_path(part).write_bytes(corpus.ids.tobytes())
            entry = cache.publish(
                part,
                "0" * 32,
                corpus.info,
                corpus.vocab,
                options={},
                counts=corpus.counts.tolist(),
                sizes=[len(text)],
                stamps=[("/x", 5, 6)],
            )
        about = (entry.folder / "entry.json").read_bytes()
        seeds.append(about + b"\n" + corpus.ids.tobytes())
        cache.clear()
    return seeds


def _use_cache(folder: Path, data: bytes) -> None:
    os.environ[cache.FOLDER_VARIABLE] = str(folder)
    entry = folder / ("0" * 32)
    entry.mkdir(exist_ok=True)
    about, _, ids = data.partition(b"\n")
    (entry / "entry.json").write_bytes(about)
    (entry / "ids").write_bytes(ids)
    found = [
        *cache.entries(),
        cache.find({}, [("/x", 5, 6)]),
        cache.find_digest({}, "0" * 64, [len(TEXT)]),
    ]
    cache.may_have({}, 5)
    for each in filter(None, found):
        assert each.size == len(ids)
        assert each.ids.nbytes == len(ids)


def _mutate_cache(data: bytes, mutate: Mutate, rng: random.Random) -> bytes:
    about, _, ids = data.partition(b"\n")
    if rng.random() < 0.2:
        ids = mutate(ids, LARGEST)
    value = _with_another_value(json.loads(about), mutate, rng)
    if rng.random() < 0.7:
        value["bytes"] = len(ids)
        value["checks"] = [zlib.crc32(ids[: 1 << 14])] * 64
    return json.dumps(value).encode() + b"\n" + ids


# ---- history ----


def _history_seeds(folder: Path) -> list[bytes]:
    validation = (_run(folder / "rnn") / "history.jsonl").read_bytes()
    rollback = {"event": "rollback", "step": 3, "loss": None, "number": 1}
    return [validation, validation + json.dumps(rollback).encode() + b"\n"]


def _use_history(folder: Path, data: bytes) -> None:
    (folder / "history.jsonl").write_bytes(data)
    before = read_history(folder)
    truncate_history(folder, Progress(step=3))
    after = read_history(folder)
    assert all(event in before for event in after), "truncating adds nothing"


def _mutate_history(data: bytes, mutate: Mutate, rng: random.Random) -> bytes:
    lines = data.splitlines()
    i = rng.randrange(len(lines))
    value = _with_another_value(json.loads(lines[i]), mutate, rng)
    lines[i] = json.dumps(value).encode()
    return b"\n".join(lines)


TARGETS = {
    "checkpoint": Target(_checkpoint_seeds, _use_checkpoint, _mutate_checkpoint),
    "safetensors": Target(_safetensors_seeds, _use_safetensors, _mutate_safetensors),
    "corpus": Target(_corpus_seeds, _use_corpus, _mutate_corpus),
    "cache": Target(_cache_seeds, _use_cache, _mutate_cache),
    "history": Target(_history_seeds, _use_history, _mutate_history),
}
