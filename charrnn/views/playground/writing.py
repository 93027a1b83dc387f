"""What the API computes, in threads: texts and their figures, predictions, surprise."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from io import StringIO
from itertools import islice
from math import log
from threading import Lock
from typing import Any

import numpy as np

from charrnn.config import SampleConfig, new_seed
from charrnn.errors import CharRNNError
from charrnn.evaluation.corpus_search import search_spread
from charrnn.evaluation.loss import losses
from charrnn.evaluation.textstats import distinct_ngrams, known_words, repetition
from charrnn.generation.language_model import LanguageModel
from charrnn.generation.unknown import known_only
from charrnn.markup.chart import Chart, Series
from charrnn.nn import kernels
from charrnn.nn.filters import Filters
from charrnn.views.compare import measure
from charrnn.views.playground.models import Entry, Models
from charrnn.views.playground.stream import Event

Asked = Mapping[str, Any]

_PART = 64  # characters of each text in an event
# Characters of the corpus that texts are compared with, about a second's work.
_SEARCHED = 1 << 23


class Kernels:
    """Compiled kernels are used once they are loaded, which may take seconds.

    `start` begins some work in another thread.
    """

    def __init__(self, start: Callable[..., object]) -> None:
        self._start, self._lock = start, Lock()
        # The kernels of each cell, and of each combination of cells in ensembles.
        self._ready: dict[tuple[str, ...], str] = {}

    def resolve(self, name: str, model: LanguageModel) -> str:
        """Return "numpy" or "numba" for one of config.KERNELS.

        "auto" is Numba if it is installed and loaded; if it is not loaded, that begins.
        """
        if name != "auto":
            return name
        cells = tuple(member.config.cell for member in model.model.members)
        with self._lock:
            if cells not in self._ready:
                self._ready[cells] = "numpy"
                self._start(self._load, model, cells)
            return self._ready[cells]

    def _load(self, model: LanguageModel, cells: tuple[str, ...]) -> None:
        try:
            compiled = all(map(kernels.has_twin, cells))
            if kernels.resolve("auto") != "numba" or not compiled:
                return
            for texts in ([0], [0, 0]):
                config = SampleConfig(length=2, kernels="numba")
                for _ in model.draw("", config, texts=texts):
                    pass
        except (CharRNNError, MemoryError):  # plain NumPy does as well
            return
        self._ready[cells] = "numba"


def write(models: Models, ready: Kernels, asked: Asked) -> Iterator[Event]:
    """Yield the events of texts that are being written; see `openapi`.

    Text i equals that of `LanguageModel.generate` at temperature i, with the same seed
    and settings.
    """
    name, entry = models.load(asked["model"])
    model, temperatures = entry.model, asked["temperatures"]
    seed = new_seed() if asked["seed"] is None else asked["seed"]
    config = SampleConfig(
        length=asked["length"],
        top_k=asked["top_k"],
        top_p=asked["top_p"],
        min_p=asked["min_p"],
        seed=seed,
        kernels=ready.resolve(asked["kernels"], model),
    )
    rows = model.draw(
        asked["prime"],
        config,
        texts=[0] * len(temperatures),
        temperatures=temperatures,
        on_unknown=asked["on_unknown"],
    )
    yield (
        "start",
        {
            "model": name,
            "network": model.network,
            "seed": seed,
            "kernels": config.kernels,
            "prime": asked["prime"],
            "temperatures": temperatures,
        },
    )
    began = time.perf_counter()
    texts = [StringIO() for _ in temperatures]
    while part := [*islice(rows, _PART)]:
        pieces = ["".join(column) for column in zip(*part, strict=True)]
        for text, piece in zip(texts, pieces, strict=True):
            text.write(piece)
        yield "text", {"pieces": pieces}
    whole = [text.getvalue() for text in texts]
    seconds = time.perf_counter() - began
    if asked["figures"]:
        yield "figures", {"columns": _figures(model, asked, whole)}
        if shared := _shared(entry, whole):
            yield "corpus", shared
    yield "end", {"characters": sum(map(len, whole)), "seconds": round(seconds, 3)}


def _figures(
    model: LanguageModel, asked: Asked, texts: Sequence[str]
) -> list[dict[str, float]]:
    """Return the statistics of `compare`, for each text."""
    start = model.encode_prime(asked["prime"], asked["on_unknown"])
    filters = Filters(asked["top_k"], asked["top_p"], asked["min_p"])
    found = []
    for text, temperature in zip(texts, asked["temperatures"], strict=True):
        measured = measure(model, start, [text], temperature, filters)
        found.append(
            {
                "log_prob": measured.log_prob,
                "entropy": measured.entropy,
                "distinct_4grams": distinct_ngrams(text),
                "repetition": repetition(text),
            }
        )
    return found


def _shared(entry: Entry, texts: Sequence[str]) -> dict[str, Any] | None:
    """Return what texts share with the corpus, or None if it is not there."""
    corpus = entry.corpus()
    if corpus is None:
        return None
    shared, searched = search_spread(texts, corpus, _SEARCHED)
    columns = [
        {"known_words": known_words(text, shared.words), "longest_copy": copy}
        for text, copy in zip(texts, shared.copies, strict=True)
    ]
    return {"columns": columns, "searched": searched}


def next_characters(models: Models, asked: Asked) -> dict[str, Any]:
    """Return which characters may follow a prefix, the likeliest first."""
    _, entry = models.load(asked["model"])
    ranked = entry.model.next(
        asked["prefix"], asked["top"], on_unknown=asked["on_unknown"]
    )
    return {"characters": [{"character": c, "probability": p} for c, p in ranked]}


def surprise(models: Models, asked: Asked) -> dict[str, Any]:
    """Return how surprising each character of a text is, in bits."""
    _, entry = models.load(asked["model"])
    model, on_unknown = entry.model, asked["on_unknown"]
    text = known_only(asked["text"], model.vocab, on_unknown)
    start = model.encode_prime(asked["prime"], on_unknown)
    if not text:
        return {"text": "", "bits": []}
    ids = np.concatenate([start, model.vocab.encode(text)])
    nats = losses(model.model, ids, threads=1)[len(start) - 1 :]
    return {"text": text, "bits": [round(float(each) / log(2), 3) for each in nats]}


def curve(models: Models, name: str) -> str:
    """Return the losses of a run as a picture, "" if there are too few."""
    events = models.history(name)["events"]
    names = {"train_loss": "training", "val_loss": "validation"}
    series = [
        Series(label, [(e["step"], e[key]) for e in events if key in e and "step" in e])
        for key, label in names.items()
    ]
    return Chart("Losses, nats per character", series, x_label="step", width=640).svg()
