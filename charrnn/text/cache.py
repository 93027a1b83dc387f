"""The cache of long texts, encoded as ids, so that they are encoded only once.

An entry is a folder whose name is the key: a digest of the text and of the options that
it was read with. It holds the file `ids` and `entry.json`, which describes it. An entry
is built in a folder beside it and then renamed, so it is complete or not there at all.
"""

import hashlib
import json
import os
import secrets
import shutil
import stat
import sys
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from charrnn.atomic import Lock, locked_by, replacing
from charrnn.config import BYTES
from charrnn.errors import CharRNNError, TextError
from charrnn.nn.parameters import Array
from charrnn.option import is_count
from charrnn.text.corpus_info import CorpusInfo
from charrnn.text.ids import blocks, open_ids
from charrnn.text.streams import open_regular
from charrnn.text.vocab import Vocabulary

FOLDER_VARIABLE = "CHARRNN_CACHE"  # names another folder than the system's
VERSION = 1
_IDS, _ENTRY = "ids", "entry.json"
_PART = ".part"  # the end of the name of a folder in which an entry is built
_LOCK = ".lock"  # the end of the name of the file by which that folder is locked
_KEY = 32  # hexadecimal digits
_LARGEST_ENTRY = 1 << 27  # bytes of JSON: a million files have their stamps in it
# An entry is checked at this many places of this many bytes, spread over the file.
_PLACES, _CHECKED = 64, 1 << 14
# What Windows raises for files that a process has mapped.
_IN_USE: tuple[type[OSError], ...] = (
    (PermissionError,) if sys.platform == "win32" else ()
)
_OLD = 86_400.0  # seconds after which nobody builds an entry any more

Stamp = tuple[str, int, int]  # of a file: absolute path, bytes, time of change in ns


class _InUse(CharRNNError):
    """A folder in which another process builds an entry."""


@dataclass(frozen=True, eq=False)
class Entry:
    """A text in the cache."""

    folder: Path
    info: CorpusInfo  # without the names, which depend on where the text is
    vocab: Vocabulary
    counts: list[int]  # of each symbol
    stamps: list[Stamp]  # the files that it was read from, or []
    notes: list[str]
    ids: Array  # read from the file when needed; they survive the deletion of the entry
    changed: int  # time of the last change in ns

    @property
    def size(self) -> int:
        """Bytes of the ids."""
        return self.ids.nbytes


def cache_folder() -> Path:
    """Return the folder of the cache, which need not exist."""
    chosen = os.environ.get(FOLDER_VARIABLE)
    if chosen:
        return Path(chosen)
    from platformdirs import user_cache_path

    return user_cache_path("charrnn", appauthor=False) / "texts"


def stamps_of(paths: Sequence[str]) -> list[Stamp]:
    """Return the stamps of files, or [] if one of them can be read only once."""
    stamps = []
    for path in paths:
        try:
            found = Path(path).stat()
        except (OSError, ValueError):
            return []
        if not stat.S_ISREG(found.st_mode):
            return []
        stamps.append((absolute(path), found.st_size, found.st_mtime_ns))
    return stamps


@contextmanager
def new_part() -> Iterator[Path]:
    """Create a folder to build an entry in; delete it after the block.

    Other processes leave it alone until then. Raises OSError.
    """
    cache_folder().mkdir(parents=True, exist_ok=True)
    part = cache_folder() / f"{secrets.token_hex(8)}{_PART}"
    try:
        with _building(part):
            part.mkdir()
            yield part
    finally:
        _discard(part)


def _building(part: Path) -> AbstractContextManager[Lock]:
    return locked_by(_lock_of(part), _InUse(f"{part}: in use"))


def _lock_of(part: Path) -> Path:
    return part.with_suffix(_LOCK)


def ids_path(folder: Path) -> Path:
    """Return the file with the ids of an entry, or of the part that becomes one."""
    return folder / _IDS


def absolute(path: str | Path) -> str:
    """Return an absolute path; links in it stay as they are."""
    return os.path.abspath(path)  # noqa: PTH100


def key_of(info: CorpusInfo, sizes: Sequence[int]) -> str:
    """Return the key of a text: of its contents, their division into files, options."""
    names = ("sha256", "encoding", "normalize", "documents", "max_vocab", "seed")
    what = {name: getattr(info, name) for name in names}
    what |= {"sizes": [*sizes], "version": VERSION}
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:_KEY]


def publish(
    part: Path,
    key: str,
    info: CorpusInfo,
    vocab: Vocabulary,
    *,
    options: dict[str, Any],
    counts: Sequence[int],
    sizes: Sequence[int],
    stamps: Sequence[Stamp] = (),
    notes: Sequence[str] = (),
) -> Entry:
    """Turn a finished part into the entry of a key. Raises OSError.

    options are those that the text was asked for, by which `find` finds it again.
    """
    # After a power cut, an entry must not be there without its data.
    _flush(part / _IDS)
    about = {
        "version": VERSION,
        "info": info.to_json(),
        "vocab": vocab.to_json(),
        "dtype": vocab.dtype.name,
        "bytes": (part / _IDS).stat().st_size,
        "checks": _checks(part / _IDS),
        "options": options,
        "sizes": [*sizes],
        "counts": [*counts],
        "stamps": [*stamps],
        "notes": [*notes],
    }
    (part / _ENTRY).write_text(json.dumps(about), encoding="utf-8")
    _flush(part / _ENTRY)
    folder = cache_folder() / key
    for _ in range(2):
        try:
            part.rename(folder)
            break
        except OSError:
            # Another process was faster, or what is there is damaged.
            found = _read(folder)
            if found:
                return found
            shutil.rmtree(folder, ignore_errors=True)
    entry = _read(folder)
    if not entry:
        raise OSError(None, "the cache entry cannot be read back", str(folder))
    return entry


def _flush(path: Path) -> None:
    with path.open("r+b") as file:
        os.fsync(file.fileno())


def find(options: dict[str, Any], stamps: Sequence[Stamp]) -> Entry | None:
    """Return the entry of these files, if none of them has changed since."""
    wanted = [list(each) for each in stamps]
    for folder in _folders():
        about = _about(folder)
        if about.get("stamps") == wanted and _is_read_with(about, options):
            return _read(folder)
    return None


def find_digest(
    options: dict[str, Any], sha256: str, sizes: Sequence[int]
) -> Entry | None:
    """Return the entry of a text by its contents and their division into files."""
    for folder in _folders():
        about = _about(folder)
        if (
            about.get("sizes") == [*sizes]
            and _is_read_with(about, options)
            and about["info"].get("sha256") == sha256
        ):
            return _read(folder)
    return None


def may_have(options: dict[str, Any], size: int) -> bool:
    """Return whether an entry is of a text of this many bytes, read in this way."""
    return any(
        _is_read_with(about, options) and about["info"].get("bytes") == size
        for about in map(_about, _folders())
    )


def _is_read_with(about: dict[str, Any], options: dict[str, Any]) -> bool:
    """Return whether an entry was read with these options, or with what they became."""
    info = about.get("info")
    if not isinstance(info, dict):
        return False
    became = {name: info.get(name) for name in options}
    return options in (about.get("options"), became)


def remember(entry: Entry, stamps: Sequence[Stamp]) -> None:
    """Record in an entry where its text is now. A failure changes nothing."""
    about = _about(entry.folder) | {"stamps": [*stamps]}
    try:
        with replacing(entry.folder / _ENTRY, TextError) as file:
            file.write(json.dumps(about).encode())
    except TextError:
        pass


def entries() -> list[Entry]:
    """Return the entries that are in order, the newest first."""
    found = [entry for folder in _folders() if (entry := _read(folder, whole=False))]
    return sorted(found, key=lambda entry: -entry.changed)


def clear() -> tuple[int, int]:
    """Delete all entries and what interrupted runs left.

    Return how many bytes were deleted, and how many entries were not, because a process
    reads them (on Windows). Raises TextError if one cannot be deleted.
    """
    freed = kept = 0
    remove_abandoned()
    for folder in _folders():
        try:
            freed += _delete(folder)
        except FileNotFoundError:  # another process deletes it as well
            pass
        except _IN_USE:
            kept += 1
        except OSError as error:
            raise TextError(
                f"{folder}: cannot be deleted: {error.strerror or error}"
            ) from error
    return freed, kept


def _delete(folder: Path) -> int:
    """Delete an entry and return how many bytes it had."""
    freed = sum(file.lstat().st_size for file in folder.iterdir())
    # The ids come first: if they cannot be deleted, the entry stays whole.
    (folder / _IDS).unlink(missing_ok=True)
    shutil.rmtree(folder)
    return freed


def _discard(part: Path) -> None:
    """Delete what is left of a part, which may have become an entry."""
    shutil.rmtree(part, ignore_errors=True)
    with suppress(OSError):
        _lock_of(part).unlink(missing_ok=True)


def remove_abandoned() -> None:
    """Delete the parts of processes that were killed."""
    for part in _parts():
        if _is_abandoned(part):
            _discard(part)


def _is_abandoned(part: Path) -> bool:
    """Return whether the process that built in a part is gone."""
    try:
        with _building(part) as lock:
            # On a disk without locks, only time tells.
            return not lock.trouble or _is_old(part)
    except _InUse:
        return False


def _is_old(part: Path) -> bool:
    try:
        return time.time() - (part / _IDS).stat().st_mtime > _OLD
    except OSError:
        return False


def _folders() -> list[Path]:
    return _list(lambda path: path.suffix != _PART and len(path.name) == _KEY)


def _parts() -> list[Path]:
    return _list(lambda path: path.suffix == _PART)


def _list(wanted: Callable[[Path], bool]) -> list[Path]:
    try:
        return [path for path in sorted(cache_folder().iterdir()) if wanted(path)]
    except OSError:
        return []


def _about(folder: Path) -> dict[str, Any]:
    """Return the description of an entry, or {} if it cannot be read."""
    try:
        with open_regular(str(folder / _ENTRY)) as file:
            about = json.loads(file.read(_LARGEST_ENTRY))
    except (OSError, ValueError, RecursionError, TextError):
        return {}
    current = isinstance(about, dict) and about.get("version") == VERSION
    return about if current else {}


def _read(folder: Path, *, whole: bool = True) -> Entry | None:
    """Return the entry in a folder, or None if it is not there or damaged.

    The folder of the cache may be one that others write to. With `whole`, all ids are
    looked at: compiled code would use any id as an index.
    """
    about, path = _about(folder), folder / _IDS
    try:
        info = CorpusInfo.from_json(about["info"])
        vocab = Vocabulary.from_json(about["vocab"])
        stamps = [
            (str(name), int(size), int(time)) for name, size, time in about["stamps"]
        ]
        notes = [str(note) for note in about["notes"]]
        counts = [int(count) for count in about["counts"]]
        found = path.stat()
        in_order = (
            about["dtype"] == vocab.dtype.name
            and len(counts) == len(vocab)
            and is_count(about["bytes"], 1)
            and found.st_size == about["bytes"]
            and about["bytes"] % vocab.dtype.itemsize == 0
            and about["checks"] == _checks(path)
            and (info.encoding != BYTES or vocab == Vocabulary.of_bytes())
        )
        if not in_order:
            return None
        ids = open_ids(path, vocab.dtype)  # only now: it may not have been a file
        if whole and not _are_ids(ids, vocab, counts):
            return None
    except (KeyError, TypeError, ValueError, OverflowError, OSError, CharRNNError):
        return None
    return Entry(folder, info, vocab, counts, stamps, notes, ids, found.st_mtime_ns)


def _are_ids(ids: Array, vocab: Vocabulary, counts: Sequence[int]) -> bool:
    """Return whether an array can be a text in this vocabulary with these counts."""
    ends = {int(ids[0]), int(ids[-1])}
    return (
        (vocab.end_id is None or ends == {vocab.end_id})
        and min(counts) >= 0
        and sum(counts) == len(ids)
        and all(block.max() < len(vocab) for block in blocks(ids))
    )


def _checks(path: Path) -> list[int]:
    """Return checksums of places that are spread over a file, its ends included."""
    size = path.stat().st_size
    checks = []
    with path.open("rb") as file:
        for place in np.linspace(0, max(0, size - _CHECKED), _PLACES).astype(int):
            file.seek(int(place))
            checks.append(zlib.crc32(file.read(_CHECKED)))
    return checks
