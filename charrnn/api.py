"""What `import charrnn` offers: train, resume, load, ensemble, compare and others."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from charrnn.config import ModelConfig, TextConfig, TrainConfig
from charrnn.errors import ConfigError, TextError
from charrnn.generation.ensembles import combine
from charrnn.generation.language_model import LanguageModel
from charrnn.interactive import OnEvent, finish
from charrnn.nn.kernels import numba_trouble
from charrnn.nn.parameters import Array
from charrnn.option import settings_of
from charrnn.presets import resolve_settings
from charrnn.ranks import Ranks, world
from charrnn.run import resume_run, start_run
from charrnn.storage.checkpoint import Checkpoint
from charrnn.storage.checkpoint import load as load_checkpoint
from charrnn.storage.run_folder import find_checkpoint
from charrnn.text.corpus import Corpus
from charrnn.text.sources import PathLike, Paths, Texts, new_corpus
from charrnn.views.compare import Comparison
from charrnn.views.compare import compare as compare_temperatures
from charrnn.views.neurons import Ranking, rank

if TYPE_CHECKING:
    from charrnn.views.curves import Curves
    from charrnn.views.plots import Plot

_TEXT_SETTINGS = tuple(field.name for field, _ in settings_of(TextConfig))
_SETTINGS = tuple(
    field.name
    for config in (ModelConfig, TrainConfig)
    for field, _ in settings_of(config)
)
_log = logging.getLogger("charrnn")


def train(
    paths: Paths | None = None,
    *,
    text: Texts | None = None,
    progress: bool = True,
    out: PathLike | None = None,
    force: bool = False,
    preset: str | None = None,
    encoding: str | None = None,
    normalize: str | None = None,
    documents: str | None = None,
    max_vocab: int | None = None,
    glob: str | Sequence[str] = (),
    val: Paths | None = None,
    init_from: PathLike | LanguageModel | None = None,
    on_event: OnEvent | None = None,
    cell: str | None = None,
    hidden: int | None = None,
    layers: int | None = None,
    members: int | None = None,
    batch: int | None = None,
    window: int | None = None,
    steps: int | None = None,
    epochs: float | None = None,
    minutes: float | None = None,
    optimizer: str | None = None,
    lr: float | None = None,
    schedule: str | None = None,
    warmup: int | None = None,
    lr_floor: float | None = None,
    lr_decay: float | None = None,
    lr_drops: int | None = None,
    momentum: float | None = None,
    weight_decay: float | None = None,
    dropout: float | None = None,
    recurrent_dropout: float | None = None,
    average: float | None = None,
    clip: float | None = None,
    clip_mode: str | None = None,
    eval_every: int | None = None,
    patience: int | None = None,
    val_fraction: float | None = None,
    save_every: float | None = None,
    seed: int | None = None,
    threads: int | None = None,
    kernels: str | None = None,
    mpi: bool = False,
    exchange: str | None = None,
) -> LanguageModel:
    """Train on a text, and return the model of the lowest validation loss.

    Settings that are None come from the preset and are adapted to the length of the
    text; a CharRNNWarning lists what was changed. Ctrl-C, or a notebook's stop button,
    ends the training after the current step and returns the best model so far.

    Parameters
    ----------
    paths : path-like or sequence of path-like, optional
        A file, a folder or several, joined in this order.
    text : str or sequence of str, optional
        The text itself, instead of `paths`. Several are joined as files are, each
        starting on a new line.
    progress : bool
        Show a progress bar, in a terminal or a notebook.
    out : path-like, optional
        A folder to keep the run in, for `load` and `resume`.
    force : bool
        Replace the run in `out`, if there is one.
    preset : {"quick", "small", "medium", "large"}, optional
        Settings that go together, by training time: half a minute, 3 minutes (the
        default), 15 or 60.
    encoding : str, optional
        The encoding of the files, or "bytes" to read bytes instead of characters. By
        default UTF-8, or what a byte-order mark says.
    normalize : {"nfc", "nfd", "nfkc", "none"}, optional
        The Unicode form of the characters; by default NFC.
    documents : str, optional
        "lines", "files" or a separator: learn documents that have nothing to do with
        each other, and write whole documents. Each string of `text` counts as a file.
    max_vocab : int, optional
        Most characters to tell apart; the rarer ones share one symbol. 0 keeps all.
    glob : str or sequence of str
        Patterns for the files to take from folders, such as "*.txt".
    val : path-like or sequence of path-like, optional
        A text to validate on, instead of the end of the training text.
    init_from : path-like or LanguageModel, optional
        A checkpoint, run folder or model to start from. The vocabulary grows as needed.
    on_event : callable, optional
        Called with each event: Step, Validation, Rollback, Finished and, for a run in a
        folder, SaveFailed and Note.
    cell : {"rnn", "gru", "lstm", "mrnn", "mgru", "mlstm"}, optional
        The recurrent cell.
    hidden, layers : int, optional
        Units per layer, and the number of layers.
    members : int, optional
        Networks that learn side by side; their mean is the model, an ensemble.
    batch, window : int, optional
        Parallel streams, and characters of backpropagation through time.
    steps, epochs, minutes : number, optional
        How long to train: updates, passes over the text, or time. Give one of them.
    optimizer : {"adam", "adamw", "rmsprop", "adagrad", "sgd", "shampoo"}, optional
        The optimizer.
    lr : float, optional
        The highest learning rate.
    schedule : {"cosine", "constant", "step"}, optional
        How the learning rate changes.
    warmup : int, optional
        Steps over which the learning rate rises to `lr`.
    lr_floor : float, optional
        Final learning rate of the cosine schedule, as a fraction of `lr`.
    lr_decay, lr_drops : number, optional
        Factor of each drop of the step schedule, and the number of drops.
    momentum : float, optional
        Momentum of SGD.
    weight_decay : float, optional
        Decoupled weight decay of AdamW and Shampoo, on matrices only.
    dropout, recurrent_dropout : float, optional
        Fraction of each layer's outputs, and of the recurrent weights, to drop.
    average : float, optional
        Decay of the running average of the weights; 0 means no average.
    clip : float, optional
        Limit of the gradient; 0 means no clipping.
    clip_mode : {"norm", "value"}, optional
        Clip the global norm, or each element.
    eval_every : int, optional
        Steps between validations; 0 means automatic.
    patience : int, optional
        Stop after this many validations without a new best; 0 means never.
    val_fraction : float, optional
        Fraction of the text, at its end, to validate on. With 0 nothing is validated,
        and the model is that of the last step.
    save_every : float, optional
        Minutes of training that may be lost if the process is killed, for a run in a
        folder; by default 1.
    seed : int, optional
        Seed of the initial weights and of dropout.
    threads : int, optional
        Threads that share a step; 0 means the fastest number.
    kernels : {"auto", "numpy", "numba"}, optional
        Plain NumPy, or compiled by Numba; "auto" uses Numba if it is installed.
    mpi : bool
        Train together with the other processes that `mpiexec` has started. All of them
        make the same call, and get the same model; rank 0 alone writes `out`.
    exchange : {"float32", "bfloat16"}, optional
        How they exchange gradients; bfloat16 is half as long, and less precise.

    Returns
    -------
    LanguageModel
        Its `notes` list what was changed in the text and in the settings.

    Raises
    ------
    ConfigError
        If a setting is not valid, or neither `paths` nor `text` is given.
    TextError
        If the text cannot be read or is too short.
    CheckpointError
        If `out` already holds a run, is in use, or cannot be written at the start. If
        writing fails later, training goes on, and a CharRNNWarning tells at the end.
    TrainingError
        If the loss keeps diverging.

    Examples
    --------
    >>> model = charrnn.train("my.txt", minutes=3, out="checkpoints/my")
    >>> model = charrnn.train(text="To be, or not to be. " * 500, steps=200)
    """
    given = locals()
    begun = perf_counter()
    chosen = {name: given[name] for name in _SETTINGS if given[name] is not None}
    if val is not None and val_fraction is not None:
        raise ConfigError("val and val_fraction exclude each other; give one")
    settings = resolve_settings(preset, chosen)
    reading = {name: given[name] for name in _TEXT_SETTINGS if given[name] is not None}
    config = TextConfig(**reading)
    seed = settings["seed"]
    patterns = [glob] if isinstance(glob, str) else glob
    ranks = world() if mpi else Ranks()
    with ranks.one_before_others():
        corpus = new_corpus(paths, text, config, glob=patterns, seed=seed)
        other = None if val is None else new_corpus(val, None, config, seed=seed)
    with ranks.together():
        run = start_run(
            corpus,
            settings,
            chosen,
            val=other,
            init_from=_source(init_from),
            folder=None if out is None else Path(out),
            force=force,
            begun=begun,
            ranks=ranks,
        )
    run.notes = [*corpus.notes, *run.notes]
    if run.config.kernels == "auto" and numba_trouble():
        run.notes.append(f"Numba is installed but does not work: {numba_trouble()}")
    if run.growth and run.growth.added:
        run.notes.append(f"added {run.growth.added} characters to the vocabulary")
    return finish(run, progress=progress, on_event=on_event)


def resume(
    folder: PathLike,
    paths: Paths | None = None,
    *,
    text: Texts | None = None,
    val: Paths | None = None,
    steps: int | None = None,
    epochs: float | None = None,
    save_every: float | None = None,
    threads: int | None = None,
    kernels: str | None = None,
    mpi: bool = False,
    progress: bool = True,
    on_event: OnEvent | None = None,
) -> LanguageModel:
    """Continue the training run in a folder, and return its best model.

    The run continues where it stopped, with the same settings. On the same machine the
    result is the same, bit for bit, as if it had never been interrupted. The notes of
    the model tell what can differ on another one.

    Parameters
    ----------
    folder : path-like
        The folder that `train` was given as `out`.
    paths, text : optional
        The text that the run was trained on, as in `train`. By default it is read from
        the files that the run was started with.
    val : optional
        The text that the run is validated on, as in `train`, if it has moved.
    steps, epochs : number, optional
        A new total length of the run, to train longer than planned.
    save_every : float, optional
        Minutes between saves, from now on.
    threads, kernels : optional
        As in `train`, to go on with others than so far. Results then differ by
        rounding.
    mpi : bool
        As in `train`; the number of processes need not be that of before.
    progress, on_event : optional
        As in `train`.

    Raises
    ------
    CheckpointError
        If the folder holds no run that can be resumed, or is in use.
    TextError
        If the text is missing or is not the one of the run.
    ConfigError
        If the run has already reached this length.
    MissingExtraError
        If `kernels` is "numba", and Numba is missing.
    """
    given = {
        **{"steps": steps, "epochs": epochs, "save_every": save_every},
        **{"threads": threads, "kernels": kernels},
    }
    changes = {name: value for name, value in given.items() if value is not None}
    ranks = world() if mpi else Ranks()
    with ranks.together():
        run = resume_run(
            Path(folder), paths, text, val=val, changes=changes, ranks=ranks
        )
    return finish(run, progress=progress, on_event=on_event)


def load(path: PathLike | None = None) -> LanguageModel:
    """Return the model of a checkpoint file, or the best one of a run folder.

    Parameters
    ----------
    path : path-like, optional
        A checkpoint or a run folder. By default the newest run in checkpoints/ or, if
        there is none, the Shakespeare model that comes with the package; "shakespeare"
        names that one, too.

    Raises
    ------
    CheckpointError
        If the file is missing, damaged or not a checkpoint.
    """
    found = find_checkpoint(None if path is None else Path(path))
    return LanguageModel.from_checkpoint(load_checkpoint(found), found)


def ensemble(models: Sequence[LanguageModel | PathLike]) -> LanguageModel:
    """Return a model whose probabilities are the mean of those of several models.

    It predicts better than each of them, as a rule, and takes as long as all of them
    together. It writes, scores and is saved like any other model. Its `members` are the
    models that it was made of; those of an ensemble become its own. `train` with
    `members` trains an ensemble in one run.

    Parameters
    ----------
    models : sequence of LanguageModel or path-like
        Two or more models, or arguments of `load`.

    Raises
    ------
    ConfigError
        If the models do not have the same characters, or were not trained and validated
        on the same text.
    CheckpointError
        If a file is missing, damaged or not a checkpoint.

    Examples
    --------
    >>> both = charrnn.ensemble(["checkpoints/a", "checkpoints/b"])
    >>> both.save("both.npz")
    """
    return combine(
        [each if isinstance(each, LanguageModel) else load(each) for each in models]
    )


def compare(
    model: LanguageModel | PathLike | None = None,
    prime: str = "",
    temperatures: Sequence[float] | Array = (0.2, 0.5, 0.8, 1.0, 1.3),
    *,
    length: int = 300,
    n: int = 1,
    seed: int | None = None,
    on_unknown: str = "error",
    paths: Paths | None = None,
    text: Texts | None = None,
) -> Comparison:
    """Write a text at each temperature, from the same random numbers, and measure it.

    Parameters
    ----------
    model : LanguageModel or path-like, optional
        A model, or an argument of `load`.
    prime : str
        What the model reads first.
    temperatures : sequence or array of float
        One text is written at each temperature.
    length : int
        Characters per text.
    n : int
        Texts at each temperature. The figures of several are shown as their mean ±
        their standard deviation.
    seed : int, optional
        Seed of the random numbers. None means a new one, returned as
        `Comparison.seed`.
    on_unknown : {"error", "skip", "map"}
        What to do with unknown characters of the prime.
    paths, text : optional
        The text that the model was trained on, as in `train`. By default it is read
        from the files that the model was trained on. If it is missing, the statistics
        that need it are None.

    Returns
    -------
    Comparison
        The texts with their statistics, and the calibrated temperature. A notebook
        shows them side by side; `save_html` writes a page.

    Raises
    ------
    ConfigError
        If a temperature or the length is not valid.
    TextError
        If `paths` or `text` is not the text that the model was trained on.
    """
    if not isinstance(model, LanguageModel):
        model = load(model)
    return compare_temperatures(
        model,
        prime,
        temperatures,
        corpus=_corpus_of(model, paths, text),
        on_unknown=on_unknown,
        length=length,
        n=n,
        seed=seed,
    )


def plot(
    runs: PathLike | LanguageModel | Sequence[PathLike | LanguageModel] = (),
    out: PathLike | None = None,
    *,
    x: str = "steps",
    show: str | Sequence[str] = (),
    dark: bool = False,
    force: bool = False,
) -> "Plot":
    """Draw the losses of runs, with the best validation and the n-gram's loss.

    Parameters
    ----------
    runs : path-like, LanguageModel or sequence of them
        Run folders, checkpoints or models. By default the newest run in checkpoints/.
    out : path-like, optional
        A file to write, too: PNG, SVG or PDF by its ending.
    x : {"steps", "epochs", "minutes"}
        What the losses are drawn against. Models and checkpoints know steps only.
    show : str or sequence of str
        What to draw below: "lr", "grad-norm", "clipped" (the share of steps) or
        "speed" (characters per second).
    dark : bool
        Draw on a dark background.
    force : bool
        Replace the file `out` if it exists.

    Returns
    -------
    matplotlib.figure.Figure
        It shows itself in a notebook.

    Raises
    ------
    CheckpointError
        If a run cannot be read, or has nothing to draw.
    ConfigError
        If something is asked for that is not recorded, or if `out` exists.
    MissingExtraError
        If matplotlib is missing.
    """
    from charrnn.views import plots

    if out is not None:
        plots.check_target(Path(out), force=force)
    single = isinstance(runs, LanguageModel | str | os.PathLike)
    several: Any = (runs,) if single else runs
    figure = plots.plot(
        [_curves(run) for run in tuple(several) or (None,)],
        x=x,
        show=[show] if isinstance(show, str) else show,
        dark=dark,
    )
    if out is not None:
        plots.save(figure, Path(out), force=force)
    return figure


def _curves(run: PathLike | LanguageModel | None) -> "Curves":
    from charrnn.views.curves import from_model, read_curves

    if isinstance(run, LanguageModel):
        return from_model(run)
    return read_curves(None if run is None else Path(run))


def neurons(
    model: LanguageModel | PathLike | None,
    text: str,
    *,
    cell_state: bool = False,
    on_unknown: str = "error",
    network: int = 1,
) -> Ranking:
    """Return what each hidden unit of a model follows in a text.

    The activation of every unit is correlated with nameable features of the text. The
    feature of a unit is chosen on the first half of the text and the correlation is
    checked on the other half.

    Parameters
    ----------
    model : LanguageModel or path-like, optional
        A model, or an argument of `load`.
    text : str
        At least 1,000 characters that the model was not trained on.
    cell_state : bool
        Look at the cell state c of an LSTM instead of the hidden state h.
    on_unknown : {"error", "skip", "map"}
        What to do with unknown characters of the text.
    network : int
        Which network of an ensemble, counted from 1.

    Returns
    -------
    Ranking
        Its `followers` are the units with their best features, best first, its
        `of_features()` the best unit for each feature.

    Raises
    ------
    ConfigError
        If `cell_state` is set and the model is no LSTM, or if there is no such network.
    TextError
        If the text is too short or has characters that the model does not know.
    """
    if not isinstance(model, LanguageModel):
        model = load(model)
    model = model.member(network)
    start = model.encode_prime("")
    ids = np.concatenate([start, model.encode(text, on_unknown)])
    return rank(model, ids, start=len(start), part=int(cell_state))


def _source(
    init_from: PathLike | LanguageModel | None,
) -> Path | Checkpoint | None:
    if isinstance(init_from, LanguageModel):
        return init_from.to_checkpoint()
    return None if init_from is None else Path(init_from)


def _corpus_of(
    model: LanguageModel, paths: Paths | None, text: Texts | None
) -> Corpus | None:
    """Return the text that a model was trained on, or None if it is missing."""
    try:
        return model.read_corpus(paths, text)
    except TextError as error:
        if paths is not None or text is not None:
            raise
        _log.info("%s", error)
        return None
