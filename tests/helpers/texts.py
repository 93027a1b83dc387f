"""A small made-up text, models trained on it, and running the real command."""

import functools
import itertools
import os
import random
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

from charrnn.config import TrainConfig
from charrnn.generation.language_model import LanguageModel
from charrnn.run import start_run
from charrnn.storage.checkpoint import save
from charrnn.text.reading import from_text

# Options of `charrnn train` for a model that trains in a moment.
TINY = (
    *("--cell", "rnn", "--hidden", "12", "--batch", "4", "--window", "8"),
    *("--dropout", "0", "--recurrent-dropout", "0", "--patience", "0"),
    *("--threads", "1", "--kernels", "numpy"),
)
# The same as fields of TrainConfig.
SMALL = {"batch": 4, "window": 8, "threads": 1, "kernels": "numpy"}
# On a few lines, the validation loss gets worse long before the end.
OVERFITTING = {
    "shape": {"hidden": 16},
    "lr": 2e-2,
    "schedule": "constant",
    "steps": 300,
    "eval_every": 10,
    "val_fraction": 0.3,
}

_WHO = ("Ann", "Ben", "the miller", "my aunt", "a tall clerk", "Old Joan")
_DOES = ("paints", "carries", "hides", "mends", "sells", "follows", "counts")
_WHAT = ("two lamps", "the moon", "a red boat", "every door", "warm bread", "nobody")
_WHEN = ("at dawn", "in June", "when it rains", "for a coin", "twice a week")


def sentences(count=120, seed=1):
    """Return lines such as `Ann mends the moon, in June.`, the same for the same seed.

    About 38 characters per line, 33 distinct ones.
    """
    rng = random.Random(seed)

    def sentence():
        who, does, what, when = map(rng.choice, (_WHO, _DOES, _WHAT, _WHEN))
        sign = rng.choice(".!?")
        return f"{who[0].upper()}{who[1:]} {does} {what}, {when}{sign}\n"

    return "".join(sentence() for _ in range(count))


def small_config(**settings):
    """Return a training configuration that takes a moment on one thread."""
    return TrainConfig(**SMALL | {"steps": 40, "eval_every": 10} | settings)


def small_run(
    text=None, folder=None, *, shape=None, force=False, init_from=None, **settings
):
    """Return a new run on a text."""
    corpus = from_text(text or sentences())
    settings = asdict(small_config(**settings)) | {"hidden": 8} | (shape or {})
    return start_run(corpus, settings, folder=folder, force=force, init_from=init_from)


@functools.cache
def trained():
    """Return a model trained on `sentences(300)`. It is shared: do not modify it."""
    run = small_run(
        sentences(300),
        shape={"hidden": 24},
        batch=8,
        window=16,
        steps=500,
        eval_every=100,
        lr=1e-2,
    )
    for _ in run.events():
        pass
    return LanguageModel.from_checkpoint(run.best_checkpoint())


def save_trained(folder):
    """Write the trained model and its text into a new run's folder, and return it."""
    folder.mkdir(parents=True)
    text = folder / "lines.txt"
    text.write_text(sentences(300), encoding="utf-8")
    checkpoint = trained().to_checkpoint()
    corpus = replace(checkpoint.corpus, files=(str(text),)).relative_to(folder)
    save(replace(checkpoint, corpus=corpus), folder / "best.npz")
    return folder


def environment(**changes):
    """Return this process's environment with changes, for a new process."""
    return os.environ | {"PYTHONWARNINGS": "error"} | changes


def environment_of_a_full_disk(**changes):
    """Return the environment for a process that is limited in what it can write.

    It keeps no bytecode: Python would cut that short too, and every later process
    would fail to read it.
    """
    return environment(PYTHONDONTWRITEBYTECODE="1", **changes)


def command(*arguments):
    """Return the command line that runs `charrnn` in a new process."""
    return [sys.executable, "-m", "charrnn", *map(str, arguments)]


def charrnn(*arguments, cwd, text=True, input=None, **environ):
    """Run `charrnn` in a new process and return the completed process."""
    return subprocess.run(
        command(*arguments),
        cwd=Path(cwd),
        input=input,
        capture_output=True,
        text=text,
        encoding="utf-8" if text else None,
        env=environment(**environ),
        timeout=120,
    )


def random_text(rng, alphabet, size):
    return "".join(rng.choices(alphabet, k=size))


def in_pieces(rng, text):
    """Return a text in a few pieces of random lengths, some of them empty."""
    cuts = sorted(rng.randrange(len(text) + 1) for _ in range(rng.randrange(6)))
    return [text[a:b] for a, b in itertools.pairwise([0, *cuts, len(text)])]
