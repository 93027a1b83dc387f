"""The settings with which Numba compiles.

Division needs error_model="numpy", because Python's own check for zero prevents vector
instructions. fastmath omits the two flags that assume that there is no NaN and no
infinity, so that a diverged loss looks as it does in NumPy. `nogil` lets threads run in
parallel. The cache on disk means that only the first run compiles.
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
    """Remove compiled code from `folder` that is older than its newest module.

    Numba itself only checks the file of a function, not those of the functions that it
    calls, and leaves the code of functions that have moved. Code `f.1.nbc` belongs to
    the index `f.nbi`.
    """
    changed = max((file.stat().st_mtime for file in folder.glob("*.py")), default=0.0)
    for index in (folder / "__pycache__").glob("*.nbi"):
        if index.stat().st_mtime < changed:
            index.unlink(missing_ok=True)
    for code in (folder / "__pycache__").glob("*.nbc"):
        if not code.with_suffix("").with_suffix(".nbi").exists():
            code.unlink(missing_ok=True)


with suppress(OSError):  # no source files, or no permission
    drop_stale(Path(__file__).parent)


def compiled(function: _Function) -> _Function:
    """Compile a function that Python calls; the result is cached on disk."""
    jit = numba.njit(nogil=True, cache=True, **OPTIONS)
    return cast(_Function, jit(function))


def inlined(function: _Function) -> _Function:
    """Compile a function that is inlined into its callers."""
    jit = numba.njit(inline="always", **OPTIONS)
    return cast(_Function, jit(function))
