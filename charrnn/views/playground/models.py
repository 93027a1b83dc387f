"""The models of a server: which there are, and the last few that were used."""

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

from charrnn.atomic import LOCK, is_locked
from charrnn.errors import CharRNNError, CheckpointError, TextError
from charrnn.generation.language_model import LanguageModel
from charrnn.storage.checkpoint import load
from charrnn.storage.run_folder import (
    BEST,
    CHECKPOINTS,
    LAST,
    PRETRAINED,
    holds_run,
    read_history,
    saved_at,
)
from charrnn.text.corpus import Corpus
from charrnn.views.playground.limits import Limits

RUN, FILE, BUILT_IN = "run", "file", "built-in"
_LONGEST_HISTORY = 8 << 20  # bytes
_LONGEST_CORPUS = 1 << 24  # characters that are read, to compare texts with them
# The fields of a validation that are shown; anything may be in a file.
_SHOWN = ("step", "epoch", "train_loss", "val_loss", "best", "lr", "seconds")


class NoModelError(CharRNNError):
    """A model that is not in the list."""


@dataclass(frozen=True)
class Place:
    """Where a model is."""

    path: Path  # a file, or the folder of a run
    kind: str

    @property
    def file(self) -> Path:
        """The best checkpoint of a run, or its last one."""
        if self.kind != RUN:
            return self.path
        return next((f for f in self._files() if f.exists()), self.path / LAST)

    @property
    def saved(self) -> int:
        """When it was saved last, in ns since 1970; 0 if never."""
        files = [*self._files()] if self.kind == RUN else [self.path]
        return max(map(saved_at, files))

    @property
    def is_training(self) -> bool:
        """Whether the run is going on."""
        return self.kind == RUN and is_locked(self.path / LOCK)

    def _files(self) -> Iterator[Path]:
        yield from (self.path / name for name in (BEST, LAST))


class Entry:
    """A model in memory, and the text that it was trained on once that was read."""

    def __init__(self, model: LanguageModel, saved: int) -> None:
        self.model, self.saved = model, saved
        self._lock, self._corpus = Lock(), ()  # type: tuple[Lock, Any]

    def corpus(self) -> Corpus | None:
        """Return the text, or None if it is missing or long."""
        with self._lock:
            if self._corpus == ():
                self._corpus = self._read()
            found: Corpus | None = self._corpus
            return found

    def _read(self) -> Corpus | None:
        if self.model.corpus.characters > _LONGEST_CORPUS:
            return None
        try:
            return self.model.read_corpus()
        except TextError:
            return None


class Models:
    """The runs in a folder, other checkpoints, and the model of the package.

    Parameters
    ----------
    limits : Limits
        How many are kept in memory.
    others : iterable of Path
        Checkpoints, or folders of runs.
    root : Path
        The folder with the runs.
    """

    def __init__(
        self, limits: Limits, others: Iterable[Path] = (), root: Path = CHECKPOINTS
    ) -> None:
        self._limits, self._others, self._root = limits, [*others], root
        self._entries: OrderedDict[str, Entry] = OrderedDict()
        self._lock, self._loading = Lock(), Lock()

    def places(self) -> dict[str, Place]:
        """Return where the models are by their names, the newest run first.

        Those that were named at the start come before them.
        """
        found = {}
        for path in self._others:
            name = path.name if path.is_dir() else path.stem
            found[name] = Place(path, RUN if path.is_dir() else FILE)
        runs = {name: Place(path, RUN) for name, path in self._runs()}
        for name in sorted(runs, key=lambda name: -runs[name].saved):
            if runs[name].saved:
                found.setdefault(name, runs[name])
        found.setdefault(PRETRAINED.stem, Place(PRETRAINED, BUILT_IN))
        return found

    def _runs(self) -> Iterator[tuple[str, Path]]:
        try:
            folders = [*self._root.iterdir()]
        except OSError:
            return
        for folder in folders:
            if holds_run(folder) and folder.name.isprintable():
                yield folder.name, folder

    def place(self, name: str) -> tuple[str, Place]:
        """Return the name and the place of a model; "" is the first one."""
        places = self.places()
        name = name or next(iter(places))
        if name not in places:
            raise NoModelError(f"no model {name!r:.80}; GET /api/models lists them")
        return name, places[name]

    def list(self) -> list[dict[str, Any]]:
        """Return what a client may know of each model."""
        return [
            {
                "name": name,
                "kind": place.kind,
                "training": place.is_training,
                "saved": place.saved / 1e9,
            }
            for name, place in self.places().items()
        ]

    def load(self, name: str) -> tuple[str, Entry]:
        """Return the name and a model, read again if it was saved since."""
        name, place = self.place(name)
        saved = place.saved
        if found := self._known(name, saved):
            return name, found
        with self._loading:
            if found := self._known(name, saved):
                return name, found
            file = place.file
            model = LanguageModel.from_checkpoint(load(file), file)
            self._keep(name, Entry(model, saved))
            return name, self._entries[name]

    def _known(self, name: str, saved: int) -> Entry | None:
        with self._lock:
            found = self._entries.get(name)
            if found is None or found.saved != saved:
                return None
            self._entries.move_to_end(name)
            return found

    def _keep(self, name: str, entry: Entry) -> None:
        """Remember a model, and forget those that were not used for the longest."""
        with self._lock:
            self._entries[name] = entry
            self._entries.move_to_end(name)
            while len(self._entries) > 1 and self._is_full():
                self._entries.popitem(last=False)

    def _is_full(self) -> bool:
        models = [entry.model.model for entry in self._entries.values()]
        networks = [network for model in models for network in model.members]
        weights = sum(network.params.flat.nbytes for network in networks)
        return len(models) > self._limits.models or weights > self._limits.weights

    def history(self, name: str) -> dict[str, Any]:
        """Return whether a run is going on, and its validations."""
        name, place = self.place(name)
        if place.kind != RUN:
            raise NoModelError(f"{name!r:.80} has no history; only runs have one")
        history = place.path / "history.jsonl"
        if history.exists() and history.stat().st_size > _LONGEST_HISTORY:
            raise CheckpointError(f"the history of {name!r:.80} is too long to show")
        events = [
            {key: event[key] for key in _SHOWN if _is_plain(event.get(key))}
            for event in read_history(place.path)
            if event.get("event") == "validation"
        ]
        return {"name": name, "training": place.is_training, "events": events}


def _is_plain(value: object) -> bool:
    """Return whether a value of a file may be shown: a number, or true or false."""
    return isinstance(value, int | float) and abs(value) < 1e15
