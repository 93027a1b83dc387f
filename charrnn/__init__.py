"""charrnn: character-level recurrent networks, written by hand in NumPy.

>>> import charrnn
>>> model = charrnn.train("my.txt", minutes=3, out="checkpoints/my")
>>> print(model.generate("ROMEO:", length=500, temperature=0.8, seed=1))
>>> model = charrnn.load("checkpoints/my")
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from charrnn.errors import (
    CharRNNError,
    CharRNNWarning,
    CheckpointError,
    ConfigError,
    DownloadError,
    MissingExtraError,
    ShapeError,
    TextError,
    TrainingError,
)

__version__ = "0.1.0"

if TYPE_CHECKING:
    from charrnn.api import compare, ensemble, load, neurons, plot, resume, train
    from charrnn.evaluation.loss import Score
    from charrnn.generation.language_model import LanguageModel
    from charrnn.training.events import (
        Finished,
        Note,
        Rollback,
        SaveFailed,
        Step,
        Validation,
    )
    from charrnn.views.compare import Comparison

__all__ = [
    "CharRNNError",
    "CharRNNWarning",
    "CheckpointError",
    "Comparison",
    "ConfigError",
    "DownloadError",
    "Finished",
    "LanguageModel",
    "MissingExtraError",
    "Note",
    "Rollback",
    "SaveFailed",
    "Score",
    "ShapeError",
    "Step",
    "TextError",
    "TrainingError",
    "Validation",
    "__version__",
    "compare",
    "ensemble",
    "load",
    "neurons",
    "plot",
    "resume",
    "train",
]

# Where to find the names that need NumPy. They are imported when first used: the
# command line imports this package too, and starts without NumPy.
_LAZY = {
    "train": "api",
    "resume": "api",
    "load": "api",
    "ensemble": "api",
    "compare": "api",
    "plot": "api",
    "neurons": "api",
    "Score": "evaluation.loss",
    "Comparison": "views.compare",
    "LanguageModel": "generation.language_model",
    "Step": "training.events",
    "Validation": "training.events",
    "Rollback": "training.events",
    "Finished": "training.events",
    "SaveFailed": "training.events",
    "Note": "training.events",
}


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'charrnn' has no attribute {name!r}")
    value = getattr(import_module(f"charrnn.{_LAZY[name]}"), name)
    globals()[name] = value
    return value
