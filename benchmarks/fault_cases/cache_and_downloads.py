"""Full disks, killed processes, and several at once: downloads, and the cache."""

import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from fault_cases.case import ROOT, Case, Tally, command, environment, write_text

sys.path.insert(0, str(ROOT / "tests" / "helpers"))
from loopback import TEXT, Server, serving, sha256

HEADING = "The cache and downloads"
SECONDS = 120
# Build the cache's entry of a text; it takes less text than with the command. The
# second argument limits the size of files.
BUILD = """
import resource, signal, sys
from charrnn.config import TextConfig
from charrnn.text import reading, spool
spool.LIMIT = reading._MAYBE_CACHED = 1000
reading._CHUNK = 1000
limit = int(sys.argv[2])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
corpus = reading.read_corpus([sys.argv[1]], TextConfig(documents="lines"))
print(corpus.info.sha256, corpus.ids.astype(int).sum(), len(corpus.ids))
"""
# The download of the tests' text, with a limit of the size of files.
DOWNLOAD = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
limit = int(sys.argv.pop(1))
resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
from charrnn.cli import main
main()
"""


def start(folder: Path, args: list[str]) -> "subprocess.Popen[str]":
    """Start a process whose cache is in the folder."""
    return subprocess.Popen(
        args,
        cwd=folder,
        env=environment(CHARRNN_CACHE=str(folder / "cache")),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: "subprocess.Popen[str]") -> tuple[int, str, str]:
    """Return exit status, output and errors. A hang has the exit status -1."""
    try:
        output, errors = process.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        output, errors = process.communicate()
        return -1, output, f"hung for {SECONDS} s"
    return process.returncode, output, errors


def spread(largest: int, times: int) -> list[int]:
    """Return different numbers from 0 to a largest one."""
    return [largest * k // max(1, times - 1) for k in range(times)]


def names(folder: Path) -> list[str]:
    """Return what is in a folder, links and hidden files included."""
    return sorted(path.name for path in folder.rglob("*")) if folder.exists() else []


def download(server: Server) -> list[str]:
    """Return the command that downloads the text."""
    pin = ("--sha256", sha256(TEXT))
    return command(
        "download", "--url", f"{server.url}/text", "--out", "new/t.txt", *pin
    )


def limited_download(folder: Path, times: int) -> Tally:
    tally = Tally(times=times)
    with serving() as server:
        for limit in spread(len(TEXT), times):
            args = [sys.executable, "-c", DOWNLOAD, str(limit), *download(server)[3:]]
            status, _, errors = finish(start(folder, args))
            is_whole = limit >= len(TEXT)
            if status != int(not is_whole) or len(errors.splitlines()) != status:
                tally.crashed.append(f"{limit} bytes: {status}: {errors}")
            if names(folder / "new") != ["t.txt"] * is_whole:
                tally.lost.append(f"{limit} bytes: left {names(folder / 'new')}")
    tally.seen = "one line each, and no file"
    return tally


def killed(
    process: "subprocess.Popen[str]", started: Callable[[], bool], rng: random.Random
) -> bool:
    """Kill a process soon after it has started to write; return whether it was."""
    while not started() and process.poll() is None:
        time.sleep(0.001)
    time.sleep(rng.random() * 0.02)
    process.kill()
    process.communicate()
    return process.returncode != 0


def killed_download(folder: Path, times: int) -> Tally:
    tally, rng, place = Tally(times=times), random.Random(1), folder / "new"
    place.mkdir()
    kills = 0
    with serving() as server:
        for k in range(times):
            (place / "t.txt").unlink(missing_ok=True)
            process = start(folder, download(server))
            kills += killed(process, lambda: bool(names(place)), rng)
            if (place / "t.txt").exists() and (place / "t.txt").read_bytes() != TEXT:
                tally.lost.append(f"kill {k}: a part of the text in its place")
            (place / "t.txt").unlink(missing_ok=True)
            status, _, errors = finish(start(folder, download(server)))
            if status:
                tally.crashed.append(f"kill {k}: {status}: {errors}")
            if names(place) != ["t.txt"]:
                tally.lost.append(f"kill {k}: left {names(place)}")
    tally.seen = f"{kills} killed before their end"
    return tally


def downloads_at_once(folder: Path, times: int) -> Tally:
    tally, place = Tally(times=times), folder / "new"
    with serving() as server:
        for k in range(times):
            (place / "t.txt").unlink(missing_ok=True)
            processes = [start(folder, download(server)) for _ in range(4)]
            for status, _, errors in map(finish, processes):
                if status:
                    tally.crashed.append(f"time {k}: {status}: {errors}")
            if names(place) != ["t.txt"] or (place / "t.txt").read_bytes() != TEXT:
                tally.lost.append(f"time {k}: left {names(place)}")
    return tally


def build(folder: Path, limit: int = -1) -> "subprocess.Popen[str]":
    """Start to build the cache's entry of the folder's text."""
    args = [sys.executable, "-c", BUILD, str(folder / "text.txt"), str(limit)]
    return start(folder, args)


def clear(folder: Path) -> None:
    finish(start(folder, command("cache", "--clear")))


def check_build(tally: Tally, when: str, process: "subprocess.Popen[str]") -> None:
    """Count a fault unless a build ends with the output of the others."""
    status, output, errors = finish(process)
    if status or errors:
        tally.crashed.append(f"{when}: {status}: {errors}")
    elif output != (tally.seen or output):
        tally.lost.append(f"{when}: other ids")
    tally.seen = tally.seen or output


def limited_build(folder: Path, times: int) -> Tally:
    tally, cache = Tally(times=times), folder / "cache"
    write_text(folder, 2000)
    check_build(tally, "without a limit", build(folder))
    size = sum(path.stat().st_size for path in cache.rglob("*") if path.is_file())
    for limit in spread(size, times):
        clear(folder)
        check_build(tally, f"{limit} bytes", build(folder, limit))
        left = [name for name in names(cache) if name.endswith((".part", ".lock"))]
        if left:
            tally.lost.append(f"{limit} bytes: left {left}")
    tally.seen = "the same ids each time"
    return tally


def killed_build(folder: Path, times: int) -> Tally:
    tally, rng, cache = Tally(times=times), random.Random(1), folder / "cache"
    write_text(folder, 2000)
    kills = 0
    for k in range(times):
        kills += killed(build(folder), lambda: bool(names(cache)), rng)
        check_build(tally, f"kill {k}", build(folder))
        if [name for name in names(cache) if name.endswith((".part", ".lock"))]:
            tally.lost.append(f"kill {k}: left {names(cache)}")
        clear(folder)
    tally.seen = f"{kills} killed before their end; the same ids each time"
    return tally


def builds_at_once(folder: Path, times: int) -> Tally:
    tally, cache = Tally(times=times), folder / "cache"
    write_text(folder, 2000)
    for k in range(times):
        processes = [build(folder) for _ in range(4)]
        clear(folder)
        for process in processes:
            check_build(tally, f"time {k}", process)
        if [name for name in names(cache) if name.endswith((".part", ".lock"))]:
            tally.lost.append(f"time {k}: left {names(cache)}")
        clear(folder)
    tally.seen = "the same ids each time"
    return tally


CASES = [
    Case("the disk is full at a byte of a download", 100, limited_download),
    Case("`kill -9` during a download, and another one", 100, killed_download),
    Case("four downloads of one file at once", 20, downloads_at_once),
    Case("the disk is full at a byte of a cache entry", 100, limited_build),
    Case(
        "`kill -9` while a cache entry is built, and another build", 100, killed_build
    ),
    Case("four builds of one cache entry, and `cache --clear`", 20, builds_at_once),
]
