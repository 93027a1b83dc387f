"""The same few fused elementwise steps twice: in NumPy, and compiled where Numba is.

`pip install 'charrnn[fast]'` brings Numba. Which of the two a model uses is its own
attribute; they agree to float32 rounding.
"""

import importlib
from functools import cache
from importlib.util import find_spec
from types import ModuleType
from typing import TypeAlias

from charrnn.errors import ConfigError, MissingExtraError
from charrnn.nn.kernels import numpy_steps

# A module with the functions of numpy_steps.
Steps: TypeAlias = ModuleType
REFERENCE: Steps = numpy_steps


def resolve(name: str) -> str:
    """Return "numpy" or "numba" for "auto", "numpy" or "numba".

    "auto" is Numba where it is installed and works. Raises MissingExtraError for a
    Numba that is asked for and does not.
    """
    if name == "auto":
        return "numba" if find_spec("numba") and not trouble() else "numpy"
    if name not in ("numpy", "numba"):
        raise ConfigError(f"kernels is {name!r}; expected auto, numpy or numba")
    if name == "numba" and not find_spec("numba"):
        raise MissingExtraError(
            "the compiled kernels need Numba; pip install 'charrnn[fast]', or choose "
            "--kernels numpy"
        )
    if name == "numba" and trouble():
        raise MissingExtraError(
            f"Numba is installed but does not work ({trouble()}); choose --kernels "
            "numpy, or install another: pip install --upgrade 'charrnn[fast]'"
        )
    return name


@cache
def trouble() -> str:
    """Return why an installed Numba cannot be used; nothing where it can, or is not."""
    if not find_spec("numba"):
        return ""
    try:
        importlib.import_module("charrnn.nn.kernels.numba_steps")
    # Too new a NumPy is an ImportError, no place to keep what it compiles a
    # RuntimeError; whatever else an old one stumbles over, plain steps do without it.
    except Exception as error:
        return str(error).partition("\n")[0] or type(error).__name__
    return ""


def steps(name: str) -> Steps:
    """Return the steps that a name stands for, "auto" included."""
    return importlib.import_module(f"charrnn.nn.kernels.{resolve(name)}_steps")
