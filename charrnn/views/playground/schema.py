"""Checks values against a JSON schema, of which this knows what the API uses.

A schema is what the API's description shows, so that the two cannot differ.
"""

from collections.abc import Iterator, Mapping
from math import isfinite
from typing import Any

from charrnn.errors import ConfigError

Schema = Mapping[str, Any]

_KINDS: dict[str, tuple[Any, str]] = {
    "string": (str, "a string"),
    "boolean": (bool, "true or false"),
    "integer": (int, "a whole number"),
    "number": ((int, float), "a number"),
    "array": (list, "a list"),
    "object": (dict, "an object"),
}


def checked(value: Any, schema: Schema, name: str = "the body") -> Any:
    """Return a value with the defaults of fields that are missing.

    Raises ConfigError, which names the field, if it does not fit the schema.
    """
    kind = schema["type"]
    type_, expected = _KINDS[kind]
    is_bool = isinstance(value, bool) and kind != "boolean"
    if is_bool or not isinstance(value, type_):
        raise _error(name, value, expected)
    if "enum" in schema and value not in schema["enum"]:
        raise _error(name, value, ", ".join(schema["enum"]))
    if kind in ("integer", "number"):
        _check_range(name, value, schema)
    elif "maxLength" in schema:
        _check_length(name, value, "characters", schema["maxLength"])
    elif kind == "array":
        least = schema["minItems"]
        _check_length(name, value, "values", schema["maxItems"], least)
        names = (f"{name}[{i}]" for i in range(len(value)))
        pairs = zip(value, names, strict=True)
        return [checked(each, schema["items"], label) for each, label in pairs]
    elif kind == "object":
        return dict(_fields(value, schema))
    return value


def _fields(value: Mapping[str, Any], schema: Schema) -> Iterator[tuple[str, Any]]:
    known = schema["properties"]
    for name in value:
        if name not in known:
            raise ConfigError(
                f"no field {name!r:.60}; expected some of {', '.join(known)}"
            )
    for name, each in known.items():
        if name in value:
            yield name, checked(value[name], each, name)
        elif name in schema.get("required", ()):
            raise ConfigError(f"{name} is missing")
        else:
            yield name, each.get("default")


def _check_range(name: str, value: float, schema: Schema) -> None:
    low, high = schema["minimum"], schema["maximum"]
    if not (low <= value <= high and isfinite(value)):
        raise _error(name, value, f"{low:,} to {high:,}")


def _check_length(name: str, value: Any, of: str, most: int, least: int = 0) -> None:
    if not least <= len(value) <= most:
        limits = f"{least:,} to {most:,}" if least else f"at most {most:,}"
        raise ConfigError(f"{name} has {len(value):,} {of}; expected {limits}")


def _error(name: str, value: object, expected: str) -> ConfigError:
    return ConfigError(f"{name} is {value!r:.60}; expected {expected}")
