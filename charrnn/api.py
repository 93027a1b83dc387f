"""What `import charrnn` offers: train, and load."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from charrnn.errors import ConfigError
from charrnn.generation.language_model import LanguageModel
from charrnn.presets import resolve_settings
from charrnn.run import start_run
from charrnn.storage.checkpoint import load as load_checkpoint
from charrnn.storage.run_folder import find_checkpoint
from charrnn.text.corpus import read_corpus
from charrnn.training.events import Event


def train(
    text: str | Path | list[str | Path],
    *,
    out: str | Path | None = None,
    force: bool = False,
    preset: str | None = None,
    encoding: str = "utf-8",
    init_from: str | Path | None = None,
    on_event: Callable[[Event], None] | None = None,
    **settings: Any,
) -> LanguageModel:
    """Train on a file, a folder or several, and return the best model.

    settings are the fields of ModelConfig (but vocab) and TrainConfig; what is not
    given comes from the preset. The run is kept in the folder `out`, if one is named.
    `on_event` is called with each event of the trainer. Raises a child of
    CharRNNError where something does not fit.
    """
    unknown = settings.keys() - resolve_settings(None, {}).keys()
    if unknown:
        raise ConfigError(f"unknown settings: {', '.join(sorted(unknown))}")
    merged = resolve_settings(preset, settings)
    sources = text if isinstance(text, list) else [text]
    corpus = read_corpus(sources, encoding=encoding)
    run = start_run(
        corpus,
        merged,
        settings,
        init_from=init_from,
        folder=Path(out) if out else None,
        force=force,
    )
    for event in run.events():
        if on_event:
            on_event(event)
    return LanguageModel(run.best_checkpoint())


def load(path: str | Path | None = None) -> LanguageModel:
    """Return the model of a checkpoint file or a run's folder (its best).

    Without a path, that of the newest run under checkpoints/, or, where there is none,
    the Shakespeare model that comes with the package ("shakespeare" names it, too).
    Raises CheckpointError.
    """
    found = find_checkpoint(path)
    return LanguageModel(load_checkpoint(found), found)
