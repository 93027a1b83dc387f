"""charrnn: character-level recurrent networks, written by hand in NumPy.

>>> import charrnn
>>> model = charrnn.train("my.txt", minutes=3)
>>> print(model.generate("ROMEO:", length=500, temperature=0.8, seed=1))
>>> model = charrnn.load("checkpoints/my")
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from charrnn.api import load, train

__all__ = ["__version__", "load", "train"]


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:
    # Loaded when first used: the command line imports this package too, and starts
    # without NumPy.
    if name in ("load", "train"):
        from charrnn import api

        return getattr(api, name)
    raise AttributeError(f"module 'charrnn' has no attribute {name!r}")
