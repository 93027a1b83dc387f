"""Servers that are broken or mean harm, and the real `charrnn download`.

Timeouts are the ones that users get. The downloads of a case run at the same time.
"""

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from fault_cases.case import ROOT, Case, Tally, command, environment

sys.path.insert(0, str(ROOT / "tests" / "helpers"))
from loopback import CHANGED, TEXT, serving, sha256

HEADING = "Hostile network"
SECONDS = 200  # after which a download counts as hung


@dataclass(frozen=True)
class Done:
    """How a download ended."""

    status: int
    errors: str
    seconds: float
    megabytes: float  # the largest size of the process


def download(folder: Path, *args: str) -> Done:
    """Run `charrnn download` in a folder."""
    folder.mkdir()
    start = perf_counter()
    with subprocess.Popen(
        command("download", *args),
        cwd=folder,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        hung = threading.Timer(SECONDS, process.kill)
        hung.start()
        errors = process.stderr.read() if process.stderr else ""
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        hung.cancel()
    megabytes = usage.ru_maxrss / 1024
    return Done(process.returncode, errors, perf_counter() - start, megabytes)


def refusing(*paths: str) -> Callable[[Path, int], Tally]:
    """Return a case of servers whose text must be refused in one line."""

    def run(folder: Path, times: int) -> Tally:
        def one(path: str) -> tuple[str, Done, list[str]]:
            place = folder / sha256(path.encode())[:8]
            done = download(place, "--url", f"{server.url}/{path}", "--out", "my.txt")
            return path, done, [each.name for each in place.iterdir()]

        with serving() as server, ThreadPoolExecutor(8) as pool:
            found = list(pool.map(one, paths[:times]))
        tally = Tally(times=len(found))
        for path, done, left in found:
            line = done.errors.strip().splitlines()
            if done.status != 1 or len(line) != 1 or not line[0].startswith("Error: "):
                tally.crashed.append(f"{path}: exit status {done.status}: {line}")
            if left:
                tally.lost.append(f"{path}: {left} left behind")
        tally.seen = longest([done for _, done, _ in found])
        return tally

    return run


def accepting(**texts: bytes) -> Callable[[Path, int], Tally]:
    """Return a case of servers from which a text must arrive whole."""

    def run(folder: Path, times: int) -> Tally:
        def one(path: str) -> tuple[str, Done]:
            url = f"{server.url}/{path}"
            return path, download(folder / path, "--url", url, "--out", "my.txt")

        tally, found = Tally(), []
        for path in [*texts][:times]:
            with serving() as server:
                found.append(one(path))
        for path, done in found:
            tally.times += 1
            target = folder / path / "my.txt"
            if done.status:
                tally.crashed.append(f"{path}: {done.errors}")
            elif target.read_bytes() != texts[path]:
                tally.lost.append(f"{path}: another text than the server's")
        tally.seen = longest([done for _, done in found])
        return tally

    return run


def longest(found: list[Done]) -> str:
    """Return the largest time and memory, for the table."""
    seconds = max(done.seconds for done in found)
    megabytes = max(done.megabytes for done in found)
    return f"ended within {seconds:.0f} s, with {megabytes:.0f} MB of memory"


def case(done: str, *paths: str) -> Case:
    """Return a case of servers whose text must be refused."""
    return Case(done, len(paths), refusing(*paths))


CASES = [
    case(
        "a server is silent, before the head, in it, or in the body",
        *("slow", "half_head", "silent"),
    ),
    case(
        "a server sends 20 bytes or lines per second for ever, in the status, a "
        "header, many headers, the body, or the body's end",
        *("drip_status", "drip_header", "drip_headers", "drip", "late_drip"),
        *("trailers",),
    ),
    case(
        "a server sends endless headers, answers, chunks or text as fast as it can",
        *("many_headers", "long_header", "continues", "endless", "chunk_line"),
        *("chunk_negative", "chunk_huge", "large"),
    ),
    case(
        "a server redirects for ever, to a file, to FTP, or to no address",
        *("loop", "further", "to?file:///etc/passwd", "to?ftp://127.0.0.1/x"),
        *("to?http://%5babc/x", "to?data:,x"),
    ),
    case(
        "a server announces a wrong, negative or double length, or sends less",
        *("length?-5", "length?many", "length?5&7", "short", "chunks_cut"),
        *("chunk_garbage", "resets", "reset"),
    ),
    case(
        "a server compresses, though it was asked not to",
        *(f"compressed?{method}" for method in ("gzip", "deflate", "br", "zstd")),
    ),
    case(
        "a server answers with nonsense, a page, another part, or hours to wait",
        *("garbage", "evil_reason", "page", "partial", "patience", "empty", "missing"),
    ),
    Case(
        "a download is cut off, and the text changes or not before it goes on",
        7,
        accepting(
            resumed=TEXT,
            changed=CHANGED,
            changed_part=CHANGED,
            other_part=TEXT,
            no_part=TEXT,
            nameless=TEXT,
            moved_endless=TEXT,
        ),
    ),
]
