"""Which files to read: folders expanded in an order that is the same everywhere."""

import errno
import fnmatch
import re
import stat
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from charrnn.errors import TextError
from charrnn.text.formats import identify
from charrnn.text.streams import STDIN, open_stream, printable

# What training writes into the folder of a run, beside checkpoints.
RUN_FILES = ("best.npz", "last.npz", "history.jsonl")
_CHECKPOINTS = frozenset({"best.npz", "last.npz"})  # only a run has files of that name
_HIDDEN = "hidden file"
_HIDDEN_FOLDER = "hidden folder"
_OWN = "file of a training run"
_EMPTY = "empty file"
_SPECIAL = "file that is no regular one"
_BROKEN = "broken link"
_AGAIN = "link to a folder that was read already"
_UNMATCHED = "file that matches no --glob"
_PLURALS = {
    _OWN: "files of a training run",
    _SPECIAL: "files that are no regular ones",
    _AGAIN: "links to a folder that was read already",
    _UNMATCHED: "files that match no --glob",
}
_TOO_OBVIOUS = (_HIDDEN, _HIDDEN_FOLDER, _OWN, _EMPTY, _UNMATCHED)  # to be named


@dataclass
class FoundFiles:
    """The files to read, in order, and notes on those that were left out."""

    paths: list[str]
    notes: list[str]


def find_files(
    sources: Sequence[str | Path],
    glob: str | Sequence[str] = (),
    *,
    own: Collection[str] = RUN_FILES,
    raw: bool = False,
) -> FoundFiles:
    """Return the files that some files, folders and `-` (standard input) stand for.

    A file is taken as it is given. Of a folder and those below it, all files are taken
    in natural order (chapter2 before chapter10), except hidden ones, empty ones, those
    in a format that is no plain text, and the files named `own` next to the checkpoints
    of a run. A link to a folder is followed unless the folder was read already.

    glob has patterns such as "*.txt" or "part1/*.txt", of which a file in a folder must
    match one; they are compared with the end of its path, and case does not matter.
    With `raw`, for bytes, files in all formats are taken.

    Raises TextError, naming the file or folder, if something cannot be read, or if
    nothing is left.
    """
    patterns = [glob] if isinstance(glob, str) else [*glob]
    if any(patterns) and not any(map(_is_folder, sources)):
        raise TextError("--glob selects files in folders; expected a folder to read")
    search = _Search([pattern for pattern in patterns if pattern], own, raw)
    paths: list[str] = []
    for source in sources:
        paths += search.folder(Path(source)) if _is_folder(source) else [str(source)]
    if not paths:
        raise _nothing_found(sources, search.left_out())
    return FoundFiles(paths, search.notes())


def _nothing_found(sources: Sequence[str | Path], left_out: str) -> TextError:
    listed = ", ".join(printable(str(source)) for source in sources)
    if not left_out:
        return TextError(
            f"{listed}: no files in this folder; expected texts to learn from"
        )
    return TextError(
        f"{listed}: no texts in this folder ({left_out}); expected at least one"
    )


def natural_key(path: str | PurePath) -> tuple[object, ...]:
    """Return a key that sorts paths by their parts, and numbers in them by value.

    Upper and lower case are the same, except to decide between equal names. The order
    depends neither on the locale nor on the operating system.
    """
    parts = PurePath(path).parts
    return tuple(map(_part_key, parts)), parts


def _part_key(part: str) -> tuple[tuple[int, int], ...]:
    folded = unicodedata.normalize("NFC", part).casefold()
    # A number stands where its first digit would.
    return tuple(
        (ord("0"), int(found)) if found.isdecimal() else (ord(found), -1)
        for found in re.findall(r"[0-9]+|.", folded, re.DOTALL)
    )


def _is_folder(source: str | Path) -> bool:
    try:
        return str(source) not in ("", STDIN) and Path(source).is_dir()
    except (OSError, ValueError):  # opening it will tell why
        return False


@dataclass
class _Search:
    """A search through folders, which counts what it leaves out."""

    patterns: list[str]
    own: Collection[str]
    raw: bool
    _visited: set[tuple[int, int]] = field(default_factory=set)
    _left_out: Counter[str] = field(default_factory=Counter)
    _first: dict[str, str] = field(default_factory=dict)  # name of the first of a kind

    def folder(self, folder: Path) -> list[str]:
        """Return the files in a folder and those below it, in natural order."""
        self._visited.clear()  # a folder that is given twice is read twice
        self._enter(folder)
        return [str(path) for path in self._walk(folder)]

    def notes(self) -> list[str]:
        """Return one note on what was left out without being asked to."""
        self._left_out.pop(_UNMATCHED, None)
        return [self.left_out()] if self._left_out else []

    def left_out(self) -> str:
        """Return what was left out, by kind, the most frequent first; "" if nothing."""
        parts = [
            f"{n:,} {kind if n == 1 else _PLURALS.get(kind, kind + 's')}"
            + self._example(kind, n)
            for kind, n in self._left_out.most_common()
        ]
        return f"left out {', '.join(parts)}" if parts else ""

    def _example(self, kind: str, n: int) -> str:
        if kind in _TOO_OBVIOUS:
            return ""
        return f" ({printable(self._first[kind])}{', …' if n > 1 else ''})"

    def _leave_out(self, path: Path, kind: str) -> None:
        self._left_out[kind] += 1
        self._first.setdefault(kind, path.name)

    def _walk(self, folder: Path) -> Iterator[Path]:
        # A stack, because folders may be nested deeper than Python's calls may be.
        stack = [self._entries(folder)]
        while stack:
            found = next(stack[-1], None)
            if found is None:
                stack.pop()
            elif found[1]:
                stack.append(self._entries(found[0]))
            else:
                yield found[0]

    def _entries(self, folder: Path) -> Iterator[tuple[Path, bool]]:
        """Yield what is taken of a folder, in order, and whether it is a folder."""
        names = _names(folder)
        is_run = not _CHECKPOINTS.isdisjoint(names)
        for path in (folder / name for name in sorted(names, key=natural_key)):
            mode = _mode(path)
            if path.name.startswith("."):
                self._leave_out(path, _HIDDEN_FOLDER if stat.S_ISDIR(mode) else _HIDDEN)
            elif stat.S_ISDIR(mode):
                if self._enter(path):
                    yield path, True
                else:
                    self._leave_out(path, _AGAIN)
            elif kind := self._reason(path, mode, is_run):
                self._leave_out(path, kind)
            else:
                yield path, False

    def _enter(self, folder: Path) -> bool:
        """Return whether a folder is read for the first time."""
        found = folder.stat()
        identity = found.st_dev, found.st_ino
        new = identity not in self._visited
        self._visited.add(identity)
        return new

    def _reason(self, path: Path, mode: int, is_run: bool) -> str:
        """Return the kind of files for which a file is left out, or ""."""
        if not mode:
            return _BROKEN
        if not stat.S_ISREG(mode):
            return _SPECIAL
        if is_run and path.name in self.own:
            return _OWN
        if self.patterns and not any(_matches(path, each) for each in self.patterns):
            return _UNMATCHED
        with open_stream(str(path), unpack=not self.raw) as stream:
            if not stream.head:
                return _EMPTY
            if self.raw:
                return ""
            opener = None if stream.compression else lambda: path.open("rb")
            found = identify(stream.head, opener)
        return found.name if found else ""


def _names(folder: Path) -> list[str]:
    try:
        return [path.name for path in folder.iterdir()]
    except OSError as error:
        raise TextError(
            f"{printable(str(folder))}: cannot be read: {error.strerror}"
        ) from error


def _mode(path: Path) -> int:
    """Return the mode of what a path or a link leads to, or 0 for a broken link."""
    try:
        return path.stat().st_mode
    except FileNotFoundError:
        return 0
    except OSError as error:
        if error.errno == errno.ELOOP:
            return 0
        raise TextError(
            f"{printable(str(path))}: cannot be read: {error.strerror}"
        ) from error


def _matches(path: Path, pattern: str) -> bool:
    """Return whether the end of a path matches a pattern; ** is any folders."""
    parts = tuple(part.casefold() for part in path.parts)
    # How many parts the pattern may have matched so far.
    matched = {*range(len(parts) + 1)}
    for wanted in PurePath(pattern.casefold()).parts:
        if wanted == "**":
            matched = {*range(min(matched, default=len(parts) + 1), len(parts) + 1)}
        else:
            matched = {
                i + 1
                for i in matched
                if i < len(parts) and fnmatch.fnmatchcase(parts[i], wanted)
            }
    return len(parts) in matched
