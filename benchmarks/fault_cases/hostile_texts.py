"""Texts that never end or fill the memory, foreign paths, and forged cache entries."""

import bz2
import gzip
import json
import lzma
import os
import random
import socket
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from time import perf_counter

import numpy as np

from charrnn.storage.checkpoint import load, save
from charrnn.text import cache

from .case import SECONDS, TINY, Case, Tally, charrnn, command, environment

HEADING = "Texts of strangers"
_LINE = b"all work and no play makes a dull boy\n"
_MOST_MEMORY = 400  # MB
BRIEF = (*TINY, "--quiet", "--out", "run", "--force")
# Reports each file that is opened, without the modules of Python.
_AUDITED = """
import os, sys
def report(event, args):
    if event == "open" and isinstance(args[0], (str, bytes)):
        opened.append(os.fsdecode(args[0]))
opened = []
sys.addaudithook(report)
from charrnn.cli import main
try:
    main(sys.argv[1:])
finally:
    print(*opened, sep="\\n", file=sys.stderr)
"""


def _write(path: Path, parts: Iterable[bytes]) -> None:
    with path.open("wb") as file:
        file.writelines(parts)


def _bytes(data: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(data)


def _bomb(compress: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        part = compress(_LINE * 1_000_000)
        _write(path, (part for _ in range(256)))  # ten gigabytes

    return write


def _deep(path: Path) -> None:
    here = Path.cwd()
    path.mkdir()
    try:
        os.chdir(path)
        for _ in range(1500):
            Path("d").mkdir()
            os.chdir("d")
        Path("a.txt").write_bytes(_LINE * 100)
    finally:
        os.chdir(here)


def _odd_folder(path: Path) -> None:
    path.mkdir()
    (path / "a.txt").write_bytes(_LINE * 100)
    (path / "new\nline\x1b[31m.txt").write_bytes(_LINE)
    os.mkfifo(path / "fifo")
    here = Path.cwd()
    os.chdir(path)  # the path of a socket is short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
    os.chdir(here)
    for name, target in (("loop", "."), ("self", "self"), ("zero", "/dev/zero")):
        (path / name).symlink_to(target)


def _tiny_files(path: Path) -> None:
    path.mkdir()
    for i in range(5000):
        (path / f"{i}.txt").write_bytes(_LINE)


def _huge_directory(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for i in range(50_000):
            archive.writestr(f"{i}.txt", b"")


# What it is, and how it is written.
_TEXTS: dict[str, Callable[[Path], object]] = {
    "gzip bomb": _bomb(gzip.compress),
    "bzip2 bomb": _bomb(bz2.compress),
    "xz bomb": _bomb(lambda data: lzma.compress(data, preset=0)),
    "two compressions": _bytes(gzip.compress(bz2.compress(_LINE))),
    "many members": _bytes(gzip.compress(_LINE) * 200_000),
    "ZIP archive with many names": _huge_directory,
    "zeros": lambda path: _write(path, (bytes(1 << 20) for _ in range(300))),
    "one line": lambda path: _write(path, (b"lorem ipsum " * 10_000,) * 2500),
    "NULs between words": _bytes(b"hello\0world\n" * 100_000),
    "random bytes": _bytes(os.urandom(1 << 20)),
    "device": lambda path: path.symlink_to("/dev/zero"),
    "deep folders": _deep,
    "odd folder": _odd_folder,
    "tiny files": _tiny_files,
}


def measured(folder: Path, *args: str) -> tuple[int, str, int]:
    """Return a command's exit status, its errors, and the memory it took in MB."""
    errors = folder / "errors"
    with errors.open("wb") as file:
        process = subprocess.Popen(
            command(*args),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=file,
            env=environment(CHARRNN_CACHE=str(folder / "cache")),
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    shown = errors.read_text("utf-8", "replace")
    return process.returncode, shown, usage.ru_maxrss >> 10


def _of_texts(folder: Path, times: int) -> Tally:
    tally, longest, most = Tally(), 0.0, 0
    for name, write in [*_TEXTS.items()][:times]:
        path = folder / name.replace(" ", "-")
        write(path)
        start = perf_counter()
        status, errors, memory = measured(folder, "train", str(path), *BRIEF)
        seconds = perf_counter() - start
        # Python's own rmtree cannot delete folders so deep.
        subprocess.run(["rm", "-rf", str(path), str(folder / "cache")], check=True)
        longest, most = max(longest, seconds), max(most, memory)
        tally.times += 1
        if status not in (0, 1) or "Traceback" in errors or errors.count("\n") > 1:
            tally.crashed.append(f"{name}: {status}, {errors[-200:]!r}")
        if memory > _MOST_MEMORY or seconds > SECONDS:
            tally.crashed.append(f"{name}: {seconds:.0f} s, {memory} MB")
    tally.seen = f"at most {longest:.0f} s, {most} MB"
    return tally


def _foreign_names(rng: random.Random, secret: Path) -> tuple[str, ...]:
    """Return paths that a stranger may write into a checkpoint."""
    name = secret.name
    kinds = (
        str(secret),
        f"../{name}",
        f"x/../../{name}",
        f"link/{name}",
        f"//host/share/{name}",
        f"\\\\host\\share\\{name}",
        "fifo",
        "zero",
        "/dev/zero",
        "/dev/tty",
        "/proc/self/mem",
        "".join(map(chr, rng.choices(range(1, 0x250), k=20))),
        f"a\0{name}",
        "",
        "x" * 5000,
    )
    return (rng.choice(kinds),)


def _of_paths(folder: Path, times: int) -> Tally:
    """Count the files outside a checkpoint's folder that are opened as its text."""
    tally, inner = Tally(), folder / "inner"
    inner.mkdir()
    secret = folder / "secret.txt"
    secret.write_bytes(_LINE * 300)
    done = charrnn(folder, "train", str(secret), *BRIEF)
    own = load(folder / "run" / "best.npz") if not _failed(done, tally) else None
    os.mkfifo(inner / "fifo")
    for name, target in (("link", folder), ("zero", Path("/dev/zero"))):
        (inner / name).symlink_to(target)
    for i in range(times if own else 0):
        rng = random.Random(i)
        info = replace(
            own.corpus,
            files=_foreign_names(rng, secret),
            relative=_foreign_names(rng, secret),
            signature=rng.choice(("", "0" * 64, "\udc80", own.corpus.signature)),
        )
        save(replace(own, corpus=info), inner / "evil.npz")
        args = rng.choice(
            (["eval"], ["compare", "--length", "9"], ["sample", "--novel"])
        )
        found = subprocess.run(
            [sys.executable, "-c", _AUDITED, args[0], "inner/evil.npz", *args[1:]],
            cwd=folder,
            env=environment(),
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )
        errors = found.stderr.decode("utf-8", "replace")
        tally.times += 1
        tally.lost += [
            f"{info.files}, {info.relative}: {line} was opened"
            for line in errors.splitlines()
            if line.endswith("secret.txt") or line.startswith(("/dev/zero", "/dev/tty"))
        ]
        if found.returncode < 0 or "Traceback" in errors:
            tally.crashed.append(f"{info.files}: {errors[-300:]!r}")
    return tally


def _failed(done: subprocess.CompletedProcess[str], tally: Tally) -> bool:
    """Count a command that has to work and did not."""
    if done.returncode:
        tally.crashed.append(done.stderr[-300:])
    return bool(done.returncode)


_READS = """
import sys
from pathlib import Path
from charrnn.text import reading, spool
spool.LIMIT = reading._MAYBE_CACHED = 1000
corpus = reading.read_corpus([sys.argv[1]])
assert corpus.ids.max() < len(corpus.vocab), "an id beyond the vocabulary"
print(corpus.text == Path(sys.argv[1]).read_text())
"""


def _forge(entry: Path, rng: random.Random) -> None:
    """Change an entry of the cache so that its checksums still hold."""
    ids = np.fromfile(entry / "ids", np.uint8)
    about = json.loads((entry / "entry.json").read_text())
    if rng.random() < 0.5:
        for _ in range(rng.randrange(1, 9)):
            ids[rng.randrange(len(ids))] = rng.randrange(len(about["vocab"]), 256)
        ids.tofile(entry / "ids")
        about["checks"] = cache._checks(entry / "ids")
    else:
        wrong = (None, 5, "x", [], {}, [None], float("inf"), -1, [[1]], 1 << 70)
        about[rng.choice([*about])] = rng.choice(wrong)
    (entry / "entry.json").write_text(json.dumps(about))


def _of_cache(folder: Path, times: int) -> Tally:
    tally, text = Tally(), folder / "text.txt"
    text.write_bytes(_LINE * 500)

    def read() -> str:
        done = subprocess.run(
            [sys.executable, "-c", _READS, str(text)],
            env=environment(CHARRNN_CACHE=str(folder / "cache")),
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        return done.stdout.strip() or done.stderr

    for i in range(times):
        if (found := read()) != "True":
            tally.lost.append(f"built anew: {found[-300:]}")
        (entry,) = (folder / "cache").glob("*")
        _forge(entry, random.Random(i))
        if "Error" in (found := read()):
            tally.crashed.append(f"forgery {i}: {found[-300:]}")
        elif found != "True":
            tally.lost.append(f"forgery {i}: another text was read")
        tally.times += 1
        for file in entry.glob("*"):
            file.unlink()
        entry.rmdir()
    return tally


CASES = (
    Case("bombs, devices, deep folders, endless lines", len(_TEXTS), _of_texts),
    Case("foreign paths in a checkpoint", 200, _of_paths),
    Case("forged entries of the cache", 100, _of_cache),
)
