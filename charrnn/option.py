"""Fields of a configuration that describe and check themselves.

A field carries its help text, its heading in `--help`, its limits and its choices. They
become the options of the command line and the tables in the documents, and the
dataclasses check their values against them.
"""

from collections.abc import Collection, Iterator
from dataclasses import Field, dataclass, field, fields
from math import inf, isfinite
from numbers import Integral, Real
from typing import Any, TypeVar

from charrnn.errors import ConfigError

_Number = TypeVar("_Number", int, float)


@dataclass(frozen=True)
class Option:
    """How a field is explained and checked."""

    text: str  # help; "{choices}" stands for the list of choices
    group: str = ""  # heading in `--help`; "" if the text determines the field
    minimum: float = -inf
    maximum: float = inf
    choices: Collection[str] = ()
    # Shown as the default if the default value does not explain itself; "" shows none.
    default_text: str | None = None
    label: str = ""  # the field's name in messages, if not its own
    metavar: str = ""  # what the value is called in `--help`

    @property
    def help(self) -> str:
        """The help text with the choices filled in."""
        *others, last = [*self.choices] or [""]
        return self.text.replace("{choices}", f"{', '.join(others)} or {last}")


def option(default: Any, text: str, **details: Any) -> Any:
    """Return a dataclass field with a default and an Option of these details."""
    return field(default=default, metadata={"option": Option(text, **details)})


def options_of(kind: Any) -> Iterator[tuple[Field[Any], Option]]:
    """Yield the fields of a configuration class, each with its Option."""
    for each in fields(kind):
        yield each, each.metadata["option"]


def settings_of(kind: Any) -> Iterator[tuple[Field[Any], Option]]:
    """Yield the fields that a user may set: those with a heading in `--help`."""
    return ((each, option) for each, option in options_of(kind) if option.group)


def one_of(label: str, value: object, choices: Collection[str]) -> str:
    """Return the value if it is one of the choices; raise ConfigError if not."""
    if not isinstance(value, str) or value not in choices:
        raise ConfigError(f"{label} is {value!r}; expected one of {', '.join(choices)}")
    return str(value)


def is_count(value: object, least: int = 0) -> bool:
    """Return whether a value from a file is a whole number of at least `least`.

    It must fit into 64 bits, so that NumPy can compute with it.
    """
    if not isinstance(value, int) or isinstance(value, bool):
        return False
    return least <= value < 1 << 63


def is_number(value: object) -> bool:
    """Return whether a value from a file is a number, finite or not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _whole(label: str, value: object) -> int:
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise ConfigError(f"{label} is {value!r}; expected a whole number")
    return int(value)


def _real(label: str, value: object) -> float:
    if not isinstance(value, Real) or isinstance(value, bool):
        raise ConfigError(f"{label} is {value!r}; expected a number")
    try:
        return float(value)
    except OverflowError:  # a whole number beyond the largest float
        return inf


def _within(label: str, value: _Number, option: Option) -> _Number:
    low, high = option.minimum, option.maximum
    if not (low <= value <= high and value != inf):  # refuses NaN as well
        limits = f"{low:g} to {high:g}" if isfinite(high) else f"at least {low:g}"
        shown = f"{value:g}" if isinstance(value, float) else value
        raise ConfigError(f"{label} is {shown}; expected {limits}")
    return value


def check_fields(config: Any) -> None:
    """Check every field against its type and Option, and make it a plain Python value.

    NumPy numbers are accepted, and become int or float, which JSON can store.
    """
    for each, option in options_of(config):
        label, value = option.label or each.name, getattr(config, each.name)
        if each.type is int:
            value = _within(label, _whole(label, value), option)
        elif each.type is float:
            value = _within(label, _real(label, value), option)
        elif option.choices:
            value = one_of(label, value, option.choices)
        elif not isinstance(value, str):
            raise ConfigError(f"{label} is {value!r}; expected a string")
        object.__setattr__(config, each.name, value)
