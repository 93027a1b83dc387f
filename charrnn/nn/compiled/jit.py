"""How Numba compiles here.

Division needs error_model="numpy", because Python's own check for zero forbids vector
instructions. fastmath leaves out the two flags that assume that there are no NaN and no
infinity, so that a diverged loss shows as it does in NumPy. `nogil` lets threads run
side by side, and the cache on disk saves all but the first run the compiling.
"""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar, cast

import numba

_Function = TypeVar("_Function", bound=Callable[..., Any])
OPTIONS: Any = {
    "error_model": "numpy",
    "fastmath": {"reassoc", "nsz", "arcp", "contract", "afn"},
}


def drop_stale(folder: Path) -> None:
    """Remove from `folder` what was compiled before any of its modules changed.

    Numba looks at the file of a function, and not at those of the functions it calls.
    """
    changed = max((file.stat().st_mtime for file in folder.glob("*.py")), default=0.0)
    for index in (folder / "__pycache__").glob("*.nbi"):
        if index.stat().st_mtime < changed:
            index.unlink(missing_ok=True)


with suppress(OSError):  # no sources there, or not ours to change
    drop_stale(Path(__file__).parent)


def compiled(function: _Function) -> _Function:
    """Compile a function that Python calls; the result is kept on disk."""
    jit = numba.njit(nogil=True, cache=True, **OPTIONS)
    return cast(_Function, jit(function))


def inlined(function: _Function) -> _Function:
    """Compile a function into those that call it."""
    jit = numba.njit(inline="always", **OPTIONS)
    return cast(_Function, jit(function))
