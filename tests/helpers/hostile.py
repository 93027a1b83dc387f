"""Files as a stranger, or a bad disk, could have made them."""

import copy
import json
import zipfile

import numpy as np

# What no field of a header expects, or only a few.
WRONG = (
    *(None, True, -1, 0, 1.5, 1e300, 10**9, 2**63, 10**39),
    *("x", "\x1b[31m\ud800", [], [[1]], {}, {"x": 1}),
)


def members(path):
    """Return the bytes of an archive's members, by name."""
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write_members(path, parts, method=zipfile.ZIP_STORED):
    """Write an archive of these members, with valid checksums."""
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in parts.items():
            archive.writestr(name, data)


def npy(array):
    """Return an array as a .npy file."""
    head = f"{{'descr': {array.dtype.str!r}, 'fortran_order': False, "
    head += f"'shape': {array.shape}, }}\n"
    return (
        b"\x93NUMPY\x01\x00"
        + len(head).to_bytes(2, "little")
        + head.encode()
        + array.tobytes()
    )


def header_of(parts):
    """Return the header of a checkpoint's members."""
    data = parts["header.npy"]
    return json.loads(data[10 + int.from_bytes(data[8:10], "little") :])


def with_header(parts, header):
    """Return the members of a checkpoint with another header."""
    text = json.dumps(header, ensure_ascii=False).encode("utf-8", "surrogatepass")
    return parts | {"header.npy": npy(np.frombuffer(text, np.uint8))}


def places(value, place=()):
    """Yield the places of all values in a JSON object, as tuples of keys.

    Of a list, only the first and the last entry are visited.
    """
    if place:
        yield place
    keys = []
    if isinstance(value, dict):
        keys = [*value]
    elif isinstance(value, list) and value:
        keys = sorted({0, len(value) - 1})
    for key in keys:
        yield from places(value[key], (*place, key))


def replaced(value, place, new):
    """Return a copy of a JSON object with another value at a place."""
    changed = copy.deepcopy(value)
    inner = changed
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = new
    return changed
