"""Control characters in checkpoints, texts and names, on a real terminal."""

import os
import pty
import random
import re
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from charrnn.config import ModelConfig
from charrnn.nn.model import Model
from charrnn.storage.checkpoint import Checkpoint, save
from charrnn.text.corpus_info import CorpusInfo, SplitInfo
from charrnn.text.vocab import Vocabulary

from .case import SECONDS, TINY, Case, Tally, command, environment

HEADING = "Strings of strangers on a terminal"
CONTROLS = [*map(chr, (*range(1, 32), *range(127, 160))), *"\u202a\u202e\u2066"]
_OWN = re.compile(r"\r*\n|\t|\x1b\[\d+G")  # what a terminal and a table add
_OBEYED = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def on_terminal(folder: Path, *args: str) -> tuple[int, str]:
    """Run charrnn on a new terminal; return its exit status and what is shown."""
    terminal, inner = pty.openpty()
    with subprocess.Popen(
        command(*args),
        cwd=folder,
        stdin=inner,
        stdout=inner,
        stderr=inner,
        env=environment(),
    ) as process:
        os.close(inner)
        killer = threading.Timer(SECONDS, process.kill)
        killer.start()
        shown = b"".join(iter(lambda: _chunk(terminal), b""))
        killer.cancel()
    os.close(terminal)
    return process.returncode, shown.decode("utf-8", "backslashreplace")


def _chunk(terminal: int) -> bytes:
    try:
        return os.read(terminal, 1 << 16)
    except OSError:  # how Linux reports that the other side is closed
        return b""


def hostile(rng: random.Random, length: int = 8) -> str:
    """Return a string that is full of control characters."""
    return "".join(rng.choices([*CONTROLS, *"a[]0;"], k=length))


def write_checkpoint(path: Path, rng: random.Random) -> None:
    """Write a checkpoint in which every string is hostile."""
    kind = rng.choice(("characters", "bytes", "documents"))
    vocab = Vocabulary([*CONTROLS, *"ab é"], end=kind == "documents")
    vocab = Vocabulary.of_bytes() if kind == "bytes" else vocab
    model = Model(ModelConfig(len(vocab), hidden=8, end=vocab.end))
    model.init(rng=np.random.default_rng(rng.getrandbits(32)))
    info = CorpusInfo(
        hostile(rng),
        hostile(rng),
        encoding="bytes" if kind == "bytes" else "utf-8",
        documents=hostile(rng) if kind == "documents" else "",
        start=hostile(rng, 1),
        files=(hostile(rng),),
        relative=(hostile(rng),),
        signature=hostile(rng),
    )
    train = {hostile(rng): hostile(rng)}
    save(Checkpoint(model, vocab, info, SplitInfo(val_text=info), train), path)


def commands(rng: random.Random) -> list[list[str]]:
    """Return one command of every kind, with hostile arguments."""
    name = hostile(rng).replace("/", "").replace("\x00", "")
    return [
        ["sample", "evil.npz", "--length", "200"],
        ["sample", "evil.npz", "-n", "3", "--length", "50", "--separator", name],
        ["sample", "evil.npz", "--json", "--length", "50"],
        ["sample", "evil.npz", "--novel"],
        ["sample", "evil.npz", "--prime", name, "--on-unknown", "skip"],
        ["compare", "evil.npz", "--length", "50"],
        ["next", name, "evil.npz", "--on-unknown", "skip"],
        ["eval", "evil.npz"],
        ["eval", "evil.npz", "--text", f"a{name}\nab", "--per", "line"],
        ["eval", "evil.npz", name],
        ["sample", name],
        ["export", "evil.npz", "--out", f"{name}.safetensors", "--force"],
        ["import", name],
        ["train", name],
        [name],
        ["sample", f"--{name}"],
    ]


def _count(shown: Iterator[tuple[list[str], int, str]]) -> Tally:
    tally = Tally()
    for args, status, text in shown:
        tally.times += 1
        if found := _OBEYED.findall(_OWN.sub("", text)):
            tally.lost.append(f"{args}: {found[:5]} reached the terminal")
        if status < 0 or "Traceback" in text:
            tally.crashed.append(f"{args}: {text[-300:]!r}")
    return tally


def _of_commands(folder: Path, times: int) -> Tally:
    def run() -> Iterator[tuple[list[str], int, str]]:
        for i in range(times):
            rng = random.Random(i)
            if i % len(commands(rng)) == 0:
                write_checkpoint(folder / "evil.npz", rng)
            args = commands(rng)[i % len(commands(rng))]
            yield args, *on_terminal(folder, *args)

    return _count(run())


def _of_training(folder: Path, times: int) -> Tally:
    def run() -> Iterator[tuple[list[str], int, str]]:
        for i in range(times):
            rng = random.Random(i)
            name = hostile(rng).replace("\r", "") + ".txt"
            lines = [f"ab{hostile(rng)}\n" for _ in range(300)]
            (folder / name).write_text("".join(lines), encoding="utf-8", newline="")
            args = ["train", f"./{name}", *TINY, "--sample-every", "100"]
            args += ["--out", f"run{i}"]
            status, shown = on_terminal(folder, *args)
            yield args, status, shown.replace("\r", "")  # of the progress bar

    return _count(run())


CASES = (
    Case("commands with checkpoints and arguments full of controls", 320, _of_commands),
    Case("trainings on texts and names full of controls", 10, _of_training),
)
