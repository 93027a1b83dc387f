"""Zip archives that are not trusted: opened with little memory, and consistent."""

import io
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from struct import error as StructError

# What opening and reading a damaged archive raises. ValueError: a name that is not
# UTF-8; RuntimeError: an encrypted member.
ERRORS = (
    *(zipfile.BadZipFile, zlib.error, StructError),
    *(EOFError, ValueError, RuntimeError),
)
_LOCAL_HEADER = 30  # bytes before a member, and its name
# The directory may have this many bytes, which become twenty times as many in memory.
_DIRECTORY = 4 << 20


class _Bounded(io.BufferedReader):
    """A file of which nobody reads more than _DIRECTORY bytes at once."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > _DIRECTORY:
            raise zipfile.BadZipFile("its directory is too large")
        return super().read(size)


@contextmanager
def open_zip(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open an archive. Raises one of ERRORS or OSError, also from the block."""
    with _Bounded(io.FileIO(path)) as file, zipfile.ZipFile(file) as archive:
        yield archive


def members_of(archive: zipfile.ZipFile) -> Mapping[str, zipfile.ZipInfo]:
    """Return the members by name.

    Raises BadZipFile if a name occurs twice, if members share bytes of the file, or if
    a stored one claims another size than it takes there.
    """
    members: dict[str, zipfile.ZipInfo] = {}
    end = 0
    for info in sorted(archive.infolist(), key=lambda info: info.header_offset):
        name = f"{info.filename!r:.80}"
        if info.filename in members:
            raise zipfile.BadZipFile(f"two members have the name {name}")
        if info.header_offset < end:
            raise zipfile.BadZipFile(f"{name} overlaps another member")
        if (
            info.compress_type == zipfile.ZIP_STORED
            and info.file_size != info.compress_size
        ):
            raise zipfile.BadZipFile(f"the sizes of {name} contradict each other")
        members[info.filename] = info
        end = info.header_offset + _LOCAL_HEADER + info.compress_size
    if end > archive.start_dir:
        raise zipfile.BadZipFile("the last member overlaps the directory")
    return members
