"""A case, what it counts, and what the cases share: a text and a command."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 120  # for a command; a longer one counts as hung
# A training that takes about two seconds, start-up included.
TINY = (
    *("--hidden", "16", "--batch", "4", "--window", "16", "--threads", "1"),
    *("--kernels", "numpy", "--steps", "400", "--eval-every", "50"),
)


@dataclass
class Tally:
    """What a case counts. A fault is a line that says when it happened, and what."""

    times: int = 0
    lost: list[str] = field(default_factory=list)  # what had to be kept and was not
    crashed: list[str] = field(default_factory=list)  # tracebacks, hangs, wrong status
    seen: str = ""  # a figure for the table, such as the longest time


@dataclass(frozen=True)
class Case:
    """Something that is done to charrnn, `times` times in the full table."""

    done: str  # as the table shows it
    times: int
    run: Callable[[Path, int], Tally]  # in an empty folder, so many times


def command(*args: str) -> list[str]:
    """Return the command line of charrnn with this Python."""
    return [sys.executable, "-m", "charrnn", *args]


def environment(**changes: str) -> dict[str, str]:
    """Return the environment for a command: this clone's package, and changes."""
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    return os.environ | {"PYTHONPATH": path} | changes


def charrnn(
    folder: Path, *args: str, seconds: float = SECONDS, **changes: str
) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder. A hang has the exit status -1."""
    try:
        return subprocess.run(
            command(*args),
            cwd=folder,
            env=environment(**changes),
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(args, -1, "", f"hung for {seconds} s")


def is_crash(done: "subprocess.CompletedProcess[str]") -> bool:
    """Return whether a command hung or ended with a traceback."""
    return done.returncode < 0 or "Traceback" in done.stderr


def write_text(folder: Path, lines: int = 400) -> Path:
    """Write a text to learn from, the same each time."""
    words = ("the", "sea", "was", "calm", "and", "night", "long", "no", "one", "slept")
    path = folder / "text.txt"
    path.write_text(
        "\n".join(
            " ".join(words[(i * i + 3 * k) % len(words)] for k in range(8))
            for i in range(lines)
        ),
        encoding="utf-8",
    )
    return path
