"""JSON from files that are not trusted: valid, and bounded in memory and time.

Python's parser also accepts NaN, keys that occur twice and numbers of any length, and a
text of a few megabytes can become gigabytes of small objects.
"""

import json
from math import isfinite
from typing import Any, NoReturn

LARGEST = 32 << 20  # bytes
# At most this many values: more than a vocabulary of all characters has. And keys,
# which take more memory.
_VALUES, _KEYS = 1_300_000, 250_000
_DIGITS = 40  # of a whole number; the state of a random generator has 39


def parse(data: bytes | str) -> Any:
    """Return the value of a JSON text.

    `Infinity`, which is not JSON, is read, because older versions wrote it. A lone
    surrogate is kept, because the name of a file may hold one. Raises ValueError if
    the text is not valid, or too large.
    """
    if len(data) > LARGEST:
        raise ValueError(f"{len(data):,} bytes; expected up to {LARGEST:,}")
    text = data if isinstance(data, str) else data.decode("utf-8", "surrogatepass")
    if sum(map(text.count, ",[{")) > _VALUES or text.count(":") > _KEYS:
        raise ValueError(f"more than {_VALUES:,} values or {_KEYS:,} keys")
    try:
        return json.loads(
            text,
            object_pairs_hook=_object,
            parse_constant=_constant,
            parse_float=_float,
            parse_int=_int,
        )
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key occurs twice")
    return found


def _constant(name: str) -> float:
    return float("inf") if name == "Infinity" else _refuse(name)


def _float(text: str) -> float:
    number = float(text)
    return number if isfinite(number) else _refuse(text)


def _int(text: str) -> int:
    return int(text) if len(text) <= _DIGITS else _refuse(text)


def _refuse(text: str) -> NoReturn:
    raise ValueError(f"{text:.20} is not a number that this file may hold")
