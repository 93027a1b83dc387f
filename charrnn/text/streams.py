"""The bytes of a file, a pipe or standard input, unpacked while they are read.

gzip, bzip2, xz, lzma and zstd are recognised by their first bytes, not by the name of
the file. At most a few blocks are in memory, however far the data expand.
"""

import bz2
import errno
import io
import lzma
import os
import re
import stat
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from charrnn.errors import MissingExtraError, TextError
from charrnn.shell import quote

STDIN = "-"
HEAD = 1 << 13  # bytes at the start by which a file is recognised
_BLOCK = 1 << 16  # bytes read from a file at once
_GROWTH = 1 << 26  # bytes by which a file may grow while it is read, and as much again
_MEMORY = 1 << 28  # bytes that a decompressor may take; `xz -9` needs 65 MB
# No text is compressed to less than this. A file that expands further was made to fill
# a disk; it is noticed after so many bytes.
_MOST_EXPANSION, _EXPANSION_CHECKED = 250, 1 << 28


class _Decompressor(Protocol):
    """One member of a compressed file, as in `bz2` and `lzma`."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


class _Gzip:
    """zlib's decompressor with the methods of the others."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(wbits=31)  # a gzip header and its checksum

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def needs_input(self) -> bool:
        return not self._inner.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._inner.unused_data

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        return self._inner.decompress(self._inner.unconsumed_tail + data, max_length)


class _Zstandard:
    """The decompressor of the package zstandard with the methods of the others.

    It cannot limit its output. `_SMALL_BLOCK` limits its input instead: four bytes
    expand to at most 128 KiB.
    """

    needs_input = True

    def __init__(self) -> None:
        import zstandard

        self._inner: Any = zstandard.ZstdDecompressor().decompressobj()

    @property
    def eof(self) -> bool:
        return bool(self._inner.eof)

    @property
    def unused_data(self) -> bytes:
        return bytes(self._inner.unused_data)

    def decompress(self, data: bytes, max_length: int, /) -> bytes:
        return bytes(self._inner.decompress(data))


_SMALL_BLOCK = 1 << 8


def _new_zstd() -> _Decompressor:
    try:
        from compression.zstd import ZstdDecompressor

        return ZstdDecompressor()  # type: ignore[no-any-return]
    except ImportError:  # before Python 3.14, or built without it
        return _Zstandard()


def _new_lzma() -> _Decompressor:
    return lzma.LZMADecompressor(memlimit=_MEMORY)


@dataclass(frozen=True)
class _Compression:
    name: str
    new: Callable[[], _Decompressor]
    program: str  # that unpacks it too
    block: int = _BLOCK


def _is_lzma(head: bytes) -> bool:
    """Return whether a file has the header of the old .lzma format.

    It has no magic number. As in liblzma, the size of the dictionary must be 2^n or
    2^n + 2^(n-1), and the size of the data unknown or below 2^38.
    """
    if len(head) < 13 or head[0] != 0x5D:
        return False
    dictionary = int.from_bytes(head[1:5], "little")
    size = int.from_bytes(head[5:13], "little")
    usual = any(dictionary in (1 << n, 3 << n >> 1) for n in range(12, 32))
    return usual and (size == (1 << 64) - 1 or size < 1 << 38)


def _is_bzip2(head: bytes) -> bool:
    block_or_end = (b"1AY&SY", b"\x17\x72\x45\x38\x50\x90")
    return head[:3] == b"BZh" and head[3:4].isdigit() and head[4:10] in block_or_end


def _is_zstd(head: bytes) -> bool:
    skippable = head[1:4] == b"\x2a\x4d\x18" and head[0] & 0xF0 == 0x50
    return skippable or head.startswith(b"\x28\xb5\x2f\xfd")


_COMPRESSIONS: tuple[tuple[Callable[[bytes], bool], _Compression], ...] = (
    (
        lambda head: head.startswith(b"\x1f\x8b\x08"),
        _Compression("gzip", _Gzip, "gzip"),
    ),
    (_is_bzip2, _Compression("bzip2", bz2.BZ2Decompressor, "bzip2")),
    (lambda head: head.startswith(b"\xfd7zXZ\0"), _Compression("xz", _new_lzma, "xz")),
    (_is_lzma, _Compression("lzma", _new_lzma, "xz")),
    (_is_zstd, _Compression("zstd", _new_zstd, "zstd", _SMALL_BLOCK)),
)


def compression_of(head: bytes) -> str:
    """Return the name of the compression that data begin with, or ""."""
    found = _compression(head)
    return found.name if found else ""


def _compression(head: bytes) -> _Compression | None:
    return next((kind for fits, kind in _COMPRESSIONS if fits(head)), None)


class _Source(Protocol):
    def read(self, n: int, /) -> bytes: ...


class _File:
    """A file whose first bytes can be looked at, and whose reads are counted."""

    def __init__(self, file: _Source) -> None:
        self._file = file
        self._ended = False
        self._head = b""
        self.position = 0  # bytes that were read, without those only looked at

    def peek(self, n: int) -> bytes:
        """Return the next n bytes, or fewer at the end, without reading them."""
        while len(self._head) < n and (block := self._next(n - len(self._head))):
            self._head += block
        return self._head[:n]

    def read(self, n: int) -> bytes:
        """Return up to n bytes; b"" at the end."""
        block, self._head = self._head[:n], self._head[n:]
        block = block or self._next(n)
        self.position += len(block)
        return block

    def _next(self, n: int) -> bytes:
        # After Ctrl-D, a terminal would wait for the next line.
        block = b"" if self._ended else self._file.read(n)
        self._ended = len(block) < n
        return block


class _Members:
    """The data of a compressed file, whose members follow one another."""

    def __init__(self, file: _File, kind: _Compression) -> None:
        self._file, self._kind = file, kind
        self._member = kind.new()
        self._pending = b""

    def read(self, n: int) -> bytes:
        """Return some bytes, usually up to n; b"" at the end.

        Raises EOFError for data that end too early.
        """
        while not self._member.eof or self._next_member():
            data = b""
            if self._member.needs_input:
                data = self._pending or self._file.read(self._kind.block)
                self._pending = b""
                if not data:
                    raise EOFError
            if found := self._member.decompress(data, n):
                return found
        return b""

    def _next_member(self) -> bool:
        data = self._member.unused_data.lstrip(b"\0")  # zeros pad a tape or a stream
        while not data:
            block = self._file.read(self._kind.block)
            if not block:
                return False
            data = block.lstrip(b"\0")
        self._member, self._pending = self._kind.new(), data
        return True


class ByteStream:
    """The bytes of a file, unpacked if it is compressed.

    path is the name that errors give; size is the number of bytes of the file itself,
    or None for a pipe; compression is "gzip", "bzip2", "xz", "lzma", "zstd" or "".
    """

    def __init__(
        self, file: _Source, path: str, size: int | None, *, unpack: bool = True
    ) -> None:
        self.path, self.size = path, size
        self._file = _File(file)
        self._rest = b""  # unpacked, and not read yet
        kind = _compression(self._peek_file()) if unpack else None
        self.compression = kind.name if kind else ""
        self._program = kind.program if kind else ""
        self._unpacked_bytes = 0
        self._source = self._unpacked(kind) if kind else self._file
        if kind:
            self._refuse_two_compressions()

    @property
    def compressed_position(self) -> int:
        """The number of bytes of the file itself that were read so far."""
        return self._file.position

    @property
    def head(self) -> bytes:
        """The next `HEAD` bytes, or fewer at the end; they stay to be read."""
        self._fill(HEAD)
        return self._rest[:HEAD]

    def read(self, n: int) -> bytes:
        """Return n bytes; fewer only at the end.

        Raises TextError if the file is damaged, cut short, or cannot be read.
        """
        self._fill(n)
        block, self._rest = self._rest[:n], self._rest[n:]
        return block

    def blocks(self, size: int) -> Iterator[bytes]:
        """Yield the rest in blocks of `size` bytes; the last may be shorter."""
        while block := self.read(size):
            yield block

    def _fill(self, n: int) -> None:
        parts, length = [self._rest], len(self._rest)
        while length < n and (block := self._read_source(n - length)):
            parts.append(block)
            length += len(block)
        self._rest = b"".join(parts)

    def _peek_file(self) -> bytes:
        try:
            return self._file.peek(HEAD)
        except OSError as error:
            raise _unreadable(self.path, error) from error

    def _unpacked(self, kind: _Compression) -> _Members:
        try:
            return _Members(self._file, kind)
        except ImportError:
            raise MissingExtraError(
                f"{printable(self.path)}: zstd data need Python 3.14 or the package "
                'zstandard: pip install "charrnn[zst]"'
            ) from None

    def _refuse_two_compressions(self) -> None:
        inner = compression_of(self.head)
        if inner:
            raise TextError(
                f"{printable(self.path)}: {inner} data inside {self.compression} data; "
                f"expected one compression; unpack the file once ({self.compression})"
            )

    def _read_source(self, n: int) -> bytes:
        """Read from the file or the decompressor, with errors that name the file."""
        name, kind = printable(self.path), self.compression
        try:
            block = self._source.read(n)
        except EOFError:
            raise TextError(
                f"{name}: the {kind} data end too early, after "
                f"{self.compressed_position:,} bytes; copy or download the file again"
            ) from None
        except MemoryError:
            raise
        except Exception as error:
            # Each library has its own exceptions, and bz2 and gzip raise OSError.
            if not kind or (isinstance(error, OSError) and error.errno):
                raise _unreadable(self.path, error) from error
            if re.search("too much memory|memory usage limit", str(error), re.I):
                raise TextError(
                    f"{name}: more than {_MEMORY >> 20} MB of memory are needed to "
                    f"unpack these {kind} data; {self._unpack_advice()}"
                ) from None
            raise TextError(
                f"{name}: damaged {kind} data in the first "
                f"{self.compressed_position:,} bytes ({error}); copy or download the "
                "file again"
            ) from error
        self._refuse_growth()
        if kind:
            self._unpacked_bytes += len(block)
            self._refuse_bomb()
        return block

    def _refuse_growth(self) -> None:
        position = self.compressed_position
        # Files of /proc have no size.
        if self.size and position > 2 * self.size + _GROWTH:
            raise TextError(
                f"{printable(self.path)}: grows while it is read: {position:,} bytes "
                f"so far, and it had {self.size:,}; wait until it is complete"
            )

    def _refuse_bomb(self) -> None:
        size, packed = self._unpacked_bytes, self.compressed_position
        if size > max(_EXPANSION_CHECKED, _MOST_EXPANSION * packed):
            raise TextError(
                f"{printable(self.path)}: {packed:,} bytes of {self.compression} data "
                f"expand to more than {size:,}; no text does that; if it is one, "
                f"{self._unpack_advice()}"
            )

    def _unpack_advice(self) -> str:
        file = "" if self.path == STDIN else " " + printable(quote(self.path))
        return f"unpack it first: {self._program} -dc{file} > text.txt"


@contextmanager
def open_stream(
    path: str, *, unpack: bool = True, regular: bool = False
) -> Iterator[ByteStream]:
    """Open a file, a pipe, or standard input ("-") as a `ByteStream`.

    With `unpack=False`, compressed data are read as they are. With `regular`, only a
    regular file is opened. Raises TextError, naming the file, if it cannot be opened,
    is damaged, or is compressed twice.
    """
    if path == STDIN and not regular:
        file = _standard_input()
        yield ByteStream(file, path, _size_of(file), unpack=unpack)
        return
    with _opened(path, regular) as file:
        yield ByteStream(file, path, _size_of(file), unpack=unpack)


def open_regular(path: str) -> io.BufferedReader:
    """Open a file for reading, without waiting for the other end of a named pipe.

    Raises TextError if it is not a regular file, and OSError if it cannot be opened.
    """
    # The file that is open is checked: another may take its name at any moment.
    file = open(path, "rb", opener=_open_at_once)  # noqa: SIM115
    if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        return file
    file.close()
    raise TextError(f"{printable(path)}: not a regular file; it is not opened")


def _open_at_once(path: str, flags: int) -> int:
    extra = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0)  # not on Windows
    return os.open(path, flags | extra)


def _opened(path: str, regular: bool) -> io.BufferedReader:
    try:
        if not path:  # Path("") is the current folder
            raise FileNotFoundError
        return open_regular(path) if regular else Path(path).open("rb")
    except FileNotFoundError:
        raise TextError(
            f"{printable(path) or repr(path)}: no such file; expected a text, a folder "
            "of texts, or - for standard input"
        ) from None
    except (OSError, ValueError) as error:
        if getattr(error, "errno", None) not in (None, errno.ENAMETOOLONG):
            raise _unreadable(path, error) from error
        why = getattr(error, "strerror", None) or error
        raise TextError(f"{path[:40]!r}: no such file ({why})") from None


def _standard_input() -> io.BufferedIOBase:
    file = getattr(sys.stdin, "buffer", None)  # a notebook's standard input has none
    if file is None or file.closed:
        raise TextError(
            f"{STDIN}: standard input is closed; expected a text there, or the path of "
            "a file"
        )
    try:
        # The terminal of another program may be left in a mode in which a read
        # returns nothing if nothing has been typed yet.
        if not os.get_blocking(file.fileno()):
            os.set_blocking(file.fileno(), True)
    except (OSError, AttributeError):  # not a file; on Windows before Python 3.12
        pass
    return file  # type: ignore[no-any-return]


def _size_of(file: io.BufferedIOBase) -> int | None:
    """Return how many bytes are left in a file, or None if it is not a regular one."""
    try:
        found = os.fstat(file.fileno())
    except OSError:  # standard input may be an object in memory
        return None
    return found.st_size - file.tell() if stat.S_ISREG(found.st_mode) else None


def _unreadable(path: str, error: Exception) -> TextError:
    why = getattr(error, "strerror", None) or error
    return TextError(f"{printable(path)}: cannot be read: {why}")


def listed(paths: Sequence[str], at_most: int = 5) -> str:
    """Return names that are safe to print: the first ones, and how many more."""
    more = len(paths) - at_most
    shown = ", ".join(map(printable, paths[:at_most]))
    return f"{shown} and {more} more" if more > 0 else shown


def printable(name: str) -> str:
    """Return a name that is safe to print: quoted and escaped if necessary."""
    return name if name.isprintable() else repr(name)
