"""The same few fused elementwise steps twice: in NumPy, and compiled where Numba is.

`pip install 'charrnn[fast]'` brings Numba. Which of the two a model uses is its own
attribute; they agree to float32 rounding.
"""

import importlib
from importlib.util import find_spec
from types import ModuleType
from typing import TypeAlias

from charrnn.errors import ConfigError, MissingExtraError
from charrnn.kernels import numpy_steps

# A module with the functions of numpy_steps.
Steps: TypeAlias = ModuleType
REFERENCE: Steps = numpy_steps


def resolve(name: str) -> str:
    """Return "numpy" or "numba" for "auto", "numpy" or "numba".

    "auto" is Numba where it is installed. Raises MissingExtraError for a Numba that is
    asked for and not there.
    """
    if name == "auto":
        return "numba" if find_spec("numba") else "numpy"
    if name == "numba" and not find_spec("numba"):
        raise MissingExtraError(
            "the compiled kernels need Numba; pip install 'charrnn[fast]', or choose "
            "--kernels numpy"
        )
    if name not in ("numpy", "numba"):
        raise ConfigError(f"kernels is {name!r}; expected auto, numpy or numba")
    return name


def steps(name: str) -> Steps:
    """Return the steps that a name stands for, "auto" included."""
    return importlib.import_module(f"charrnn.kernels.{resolve(name)}_steps")
