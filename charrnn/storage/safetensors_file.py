"""The safetensors format: named arrays of floats and some text; nothing is executed.

    8 bytes     how long the header is, unsigned, little-endian
    header      UTF-8 JSON, padded with spaces to a multiple of 8 bytes: an object of
                NAME: {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}
                and "__metadata__": {TEXT: TEXT}
    the rest    the arrays, little-endian, in C order; offsets count from its start

The arrays cover the rest, none overlapping another, without holes. Source: "Format" in
the README of https://github.com/huggingface/safetensors, and safetensors/src/tensor.rs
there for what a reader has to refuse.
"""

import json
from collections.abc import Iterable, Mapping
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from charrnn.atomic import replacing
from charrnn.errors import CheckpointError
from charrnn.nn.parameters import Array, Shape

METADATA = "__metadata__"
_HEADER_LIMIT = 100_000_000  # bytes, as in the format's own reader
_DIMENSIONS = 32  # as many as every NumPy has
# NumPy has no BF16; it is the upper half of a float32.
_DTYPES = {"F16": "<f2", "F32": "<f4", "F64": "<f8", "BF16": "<u2"}


class _Entry(NamedTuple):
    """What the header says of an array, in the order of places in the file."""

    begin: int  # bytes from the end of the header
    end: int
    dtype: str
    shape: Shape


def write(path: Path, arrays: Mapping[str, Array], metadata: Mapping[str, str]) -> None:
    """Write arrays as float32, in their order, or leave what stood at `path`.

    Raises CheckpointError where that is not possible.
    """
    header: dict[str, Any] = {METADATA: dict(metadata)}
    end = 0
    for name, array in arrays.items():
        begin, end = end, end + 4 * array.size
        header[name] = {
            "dtype": "F32",
            "shape": list(array.shape),
            "data_offsets": [begin, end],
        }
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with replacing(path, CheckpointError) as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for array in arrays.values():
            file.write(array.astype(_DTYPES["F32"]).tobytes())


def read(path: Path) -> tuple[dict[str, Array], dict[str, str]]:
    """Return all arrays by name, as float32, and the metadata.

    F16, F32, F64 and BF16 are read. What a float32 cannot hold becomes infinite; values
    are not looked at. Raises CheckpointError where the file is not as it should be,
    before anything is made that the file has no room for.
    """
    try:
        with path.open("rb") as file:
            length = _header_length(file.read(8), path.stat().st_size)
            header = _json(file.read(length))
            buffer = memoryview(file.read())
        metadata = _metadata(header.pop(METADATA, {}))
        entries = {name: _entry(name, value) for name, value in header.items()}
        _check_cover(entries, len(buffer))
        arrays = {name: _array(entry, buffer) for name, entry in entries.items()}
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise CheckpointError(
            f"{path}: {error}; expected a safetensors file: this one is damaged or was "
            "cut short; write or fetch it again"
        ) from None
    return arrays, metadata


def _header_length(first: bytes, size: int) -> int:
    length = int.from_bytes(first, "little")
    if size < 8 or length > min(size - 8, _HEADER_LIMIT):
        raise ValueError(f"a header of {length:,} bytes in a file of {size:,}")
    return length


def _json(text: bytes) -> dict[str, Any]:
    try:
        header = json.loads(text.decode(), object_pairs_hook=_distinct)
    except RecursionError:
        raise ValueError("the header is nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"the header is not valid JSON ({error})") from None
    if not isinstance(header, dict):
        raise ValueError("the header is no JSON object")
    return header


def _distinct(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"{name!r:.80} stands in it twice")
        found[name] = value
    return found


def _metadata(found: Any) -> dict[str, str]:
    if not isinstance(found, dict) or not all(
        isinstance(value, str) for value in found.values()
    ):
        raise ValueError(f"{METADATA!r} is no map of text to text")
    return found


def _entry(name: str, value: Any) -> _Entry:
    try:
        dtype, shape, (begin, end) = (
            value[key] for key in ("dtype", "shape", "data_offsets")
        )
        whole = isinstance(shape, list) and len(shape) <= _DIMENSIONS
        whole &= all(type(n) is int and 0 <= n < 2**63 for n in (*shape, begin, end))
    except (KeyError, TypeError, ValueError):
        whole = False
    if not whole:
        raise ValueError(f"{name!r:.80} has no dtype, shape and data_offsets that hold")
    if not isinstance(dtype, str) or dtype not in _DTYPES:
        raise ValueError(
            f"{name!r:.80} is {dtype!r:.20}, expected one of {', '.join(_DTYPES)}"
        )
    entry = _Entry(begin, end, dtype, tuple(shape))
    wanted = prod(shape) * np.dtype(_DTYPES[dtype]).itemsize
    if end - begin != wanted:
        raise ValueError(
            f"{name!r:.80} has bytes {begin} to {end}, which does not fit its shape of "
            f"{dtype} {entry.shape!r:.80}"
        )
    return entry


def _check_cover(entries: Mapping[str, _Entry], size: int) -> None:
    """Refuse arrays that overlap, leave holes, or lie outside the file."""
    at = 0
    for name, entry in sorted(entries.items(), key=lambda item: item[1]):
        if entry.begin != at:
            raise ValueError(
                f"{name!r:.80} starts at byte {entry.begin}, expected {at}: arrays may "
                "neither overlap nor leave holes"
            )
        at = entry.end
    if at != size:
        raise ValueError(f"arrays of {at:,} bytes, and {size:,} follow the header")


def _array(entry: _Entry, buffer: memoryview) -> Array:
    raw = np.frombuffer(buffer[entry.begin : entry.end], _DTYPES[entry.dtype])
    if entry.dtype == "BF16":
        array = (raw.astype(np.uint32) << 16).view(np.float32)
    else:
        with np.errstate(over="ignore", invalid="ignore"):
            array = raw.astype(np.float32)
    return array.reshape(entry.shape)
