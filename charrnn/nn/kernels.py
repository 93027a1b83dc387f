"""Choose the implementation: NumPy, or its twin compiled by Numba.

The folder `compiled` has twins of the cells and of a few functions. They agree with
NumPy to float32 rounding. `pip install "charrnn[fast]"` installs Numba.
"""

import importlib
from functools import cache
from importlib.util import find_spec
from typing import Protocol, cast

from charrnn.errors import ConfigError, MissingExtraError
from charrnn.machine import NUMBA, require
from charrnn.nn import functional
from charrnn.nn.cell import Cell, load_cell, make_cell
from charrnn.nn.compiled import TWINS
from charrnn.nn.parameters import Array


class Functions(Protocol):
    """The functions that `functional` and `compiled.functional` both have."""

    def cross_entropy_(self, logits: Array, targets: Array) -> tuple[float, Array]:
        """Return the mean loss in nats per character, and its gradient, in place."""

    def multiply(self, A: Array, W: Array, out: Array) -> None:
        """Write `A @ W` into out; both may be transposed, and out not."""

    def sum_rows(self, ids: Array, rows: Array, out: Array) -> None:
        """Write `one_hot(ids).T @ rows` into out."""

    def adam_update(
        self,
        θ: Array,
        g: Array,
        m: Array,
        v: Array,
        rates: tuple[float, float, float, float, float],
        scratch: tuple[Array, Array],
    ) -> None:
        """Make one Adam update, in place."""


NUMPY: Functions = functional


def resolve(name: str) -> str:
    """Return "numpy" or "numba" for "auto", "numpy" or "numba".

    "auto" is Numba if it is installed and works. Raises MissingExtraError if Numba is
    asked for and is missing or does not work.
    """
    if name == "auto":
        return "numba" if find_spec("numba") and not numba_trouble() else "numpy"
    if name not in ("numpy", "numba"):
        raise ConfigError(f"kernels is {name!r}; expected auto, numpy or numba")
    if name == "numba" and not find_spec("numba"):
        raise MissingExtraError(
            'the compiled kernels need Numba; pip install "charrnn[fast]", or choose '
            "--kernels numpy"
        )
    if name == "numba" and numba_trouble():
        raise MissingExtraError(
            f"Numba is installed but does not work ({numba_trouble()}); choose "
            '--kernels numpy, or reinstall it: pip install --upgrade "charrnn[fast]"'
        )
    return name


@cache
def numba_trouble() -> str:
    """Return why Numba cannot be used, or "" if it can be or is not installed."""
    if not find_spec("numba"):
        return ""
    try:
        require(NUMBA, "Numba")  # without it, its compiler may end the process
        importlib.import_module("numba")  # first, since its own reason says most
        importlib.import_module("charrnn.nn.compiled.functional")
    # Numba raises ImportError if NumPy is too new, and RuntimeError if it cannot write
    # its cache. Whatever else a broken Numba raises, charrnn works without it.
    except Exception as error:
        return str(error).partition("\n")[0] or type(error).__name__
    return ""


def functions(kernels: str) -> Functions:
    """Return the functions of "numpy" or "numba"."""
    if kernels == "numpy":
        return NUMPY
    return cast(Functions, importlib.import_module("charrnn.nn.compiled.functional"))


def has_twin(cell: str) -> bool:
    """Return whether a cell has a compiled twin."""
    return cell in TWINS


def cell(name: str, kernels: str) -> Cell:
    """Return a cell, or its compiled twin if kernels is "numba" and it has one."""
    if kernels == "numba" and has_twin(name):
        return load_cell(TWINS[name])
    return make_cell(name)
