"""Training runs: a trainer with its text and its folder.

`start_run` starts a run, `resume_run` reopens one where it stopped, and `Run.events`
trains it.
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from math import isfinite
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from charrnn.config import ModelConfig, TrainConfig, known_settings
from charrnn.errors import CheckpointError, ConfigError, TextError
from charrnn.nn import kernels
from charrnn.nn.init import log_frequencies
from charrnn.nn.model import Model
from charrnn.nn.parameters import Array
from charrnn.nn.workers import interruptibly
from charrnn.presets import MANY, Adaptation, adapt_to_text
from charrnn.storage.checkpoint import Checkpoint, load, save
from charrnn.storage.run_folder import (
    BEST,
    LAST,
    append_history,
    check_folder,
    find_checkpoint,
    last_saved,
    load_last,
    lock,
    make_folder,
    new_folder,
    truncate_history,
    weights_in,
    with_best_weights,
)
from charrnn.text.corpus import Corpus
from charrnn.text.corpus_info import CorpusInfo, SplitInfo
from charrnn.text.reading import Progress
from charrnn.text.reopening import GrownTextError
from charrnn.text.sources import Paths, Texts, same_corpus
from charrnn.text.streams import printable
from charrnn.text.vocab import Vocabulary
from charrnn.text.windows import DocumentWindows, Windows, fit_windows
from charrnn.training.events import Event, Finished, Rollback, Validation
from charrnn.training.grow_vocab import Growth, grow
from charrnn.training.plan import MOST_EPOCHS, Plan, make_plan
from charrnn.training.state import History
from charrnn.training.trainer import Trainer


@dataclass
class Run:
    """A trainer with its text and, if the run is saved, its folder."""

    trainer: Trainer
    vocab: Vocabulary
    corpus: CorpusInfo
    train_ids: Array
    val_ids: Array
    val_text: CorpusInfo | None = None  # if the validation part is another text
    folder: Path | None = None
    adaptation: Adaptation | None = None  # settings changed to fit the text
    growth: Growth | None = None  # changes to the vocabulary of init_from
    notes: list[str] = field(default_factory=list)  # what a user should know
    text_summary: str = ""  # the name and the size of the text

    # When the checkpoint that this run was resumed from was written (ns), or 0.
    _saved_at: int = field(default=0, init=False, repr=False)
    # Whether best.npz is known to hold the best weights.
    _best_is_saved: bool = field(default=False, init=False, repr=False)

    @property
    def model(self) -> Model:
        """The model in training, with its newest weights."""
        return self.trainer.model

    @property
    def config(self) -> TrainConfig:
        """The configuration as it was given."""
        return self.trainer.config

    @property
    def plan(self) -> Plan:
        """The configuration, resolved for this text and this machine."""
        return self.trainer.plan

    @property
    def checkpoint(self) -> Checkpoint:
        """The model in training as a checkpoint, without the training state."""
        return self._checkpoint(self.model, self.trainer.progress.history)

    @property
    def short_text(self) -> str:
        """What a short text changed in the batch and the window, or "" for nothing."""
        plan, asked = self.plan, self.config
        if (plan.batch, plan.window) == (asked.batch, asked.window):
            return ""
        return (
            f"the text is short: batch {plan.batch} and window {plan.window} instead "
            f"of {asked.batch} and {asked.window}"
        )

    @property
    def early_end(self) -> str:
        """Why the run ends before its minutes are over, or ""."""
        if (
            not self.config.minutes
            or self.plan.steps < MOST_EPOCHS * self.trainer.epoch_steps
        ):
            return ""
        return (
            f"the text is so short that {MOST_EPOCHS:,} epochs take less than "
            f"{self.config.minutes:g} minutes; training ends after them (--steps "
            "trains longer)"
        )

    @property
    def overtime(self) -> str:
        """A warning if the run will take longer than its minutes, or ""."""
        return self.plan.overtime(self.config.minutes)

    def best_checkpoint(self) -> Checkpoint:
        """Return the model at its lowest validation loss, as a checkpoint."""
        model = self.model.copy()
        model.params.flat[:] = self.trainer.best_params
        last, history = self.trainer.progress.best_step, self.trainer.progress.history
        until = [line for line in history if line[0] is not None and line[0] <= last]
        return self._checkpoint(model, until)

    def _checkpoint(self, model: Model, history: History) -> Checkpoint:
        beside = self.folder
        return Checkpoint(
            model,
            self.vocab,
            self.corpus.relative_to(beside),
            SplitInfo(
                self.config.val_fraction,
                len(self.train_ids),
                len(self.val_ids),
                self.val_text.relative_to(beside) if self.val_text else None,
            ),
            asdict(self.config) | {"plan": self.plan.to_json()},
            [*history],
        )

    def events(self) -> Iterator[Event]:
        """Train and save, and yield the trainer's events.

        However training ends, `best_checkpoint` returns the best model so far.
        """
        with lock(self.folder) if self.folder else nullcontext():
            if self.folder:
                self._check_unchanged(self.folder)
                truncate_history(self.folder, self.trainer.progress)
            for event in self.trainer.run():
                if self.folder:
                    self._save(self.folder, event)
                yield event

    def _check_unchanged(self, folder: Path) -> None:
        if self._saved_at and last_saved(folder) != self._saved_at:
            raise CheckpointError(
                f"{folder / LAST}: has changed since it was opened; another charrnn "
                "was training there; resume it again"
            )

    def _save(self, folder: Path, event: Event) -> None:
        if isinstance(event, Validation):
            append_history(folder, event)
        # A run that diverges before its first checkpoint leaves no files behind.
        if isinstance(event, Rollback) and (folder / LAST).exists():
            append_history(folder, event)
        if isinstance(event, Validation | Finished):
            is_new = (
                event.best if isinstance(event, Validation) else not len(self.val_ids)
            )
            self._save_best(folder, is_new=is_new)
            last = replace(self.checkpoint, snapshot=self.trainer.snapshot())
            save(last, folder / LAST)
            self._saved_at = 0  # the folder is this run's until `events` ends

    def _save_best(self, folder: Path, *, is_new: bool) -> None:
        """Write best.npz, unless it is known to hold the best weights."""
        if not is_new and (
            self._best_is_saved or not isfinite(self.trainer.progress.best_loss)
        ):
            return
        saved = None if is_new else weights_in(folder / BEST)
        if saved is None or not np.array_equal(saved, self.trainer.best_params):
            save(self.best_checkpoint(), folder / BEST)
        self._best_is_saved = True


def start_run(
    corpus: Corpus,
    settings: dict[str, Any],
    chosen: dict[str, Any] | None = None,
    *,
    val: Corpus | None = None,
    init_from: str | Path | Checkpoint | None = None,
    folder: Path | None = None,
    root: Path | None = None,
    force: bool = False,
    begun: float | None = None,
) -> Run:
    """Return a new run on a text.

    settings are the fields of ModelConfig (except vocab) and TrainConfig. Those that
    are also in `chosen` are kept, and the others are adapted to the text. If `chosen`
    is None, all are kept. `val` is a text to validate on, instead of the end of the
    corpus. `init_from` is a checkpoint or a run folder; it determines
    the shape of the network and its initial weights.

    The run is saved in `folder` (with `force`, in place of an older run) or in a new
    folder in `root`, named after the text. If neither is given, it is not saved.

    `begun` is the time of `perf_counter` from which the minutes of the run count, by
    default that of this call.
    """
    begun = perf_counter() if begun is None else begun
    if folder:  # first, because the rest takes time
        check_folder(folder, force=force)
    if init_from is None or isinstance(init_from, Checkpoint):
        source = init_from
    else:
        source = load(find_checkpoint(init_from))
    adaptation = None
    if chosen is not None:
        network = source.model.config if source else None
        adaptation = adapt_to_text(
            settings, chosen, corpus.characters, network, len(corpus.vocab)
        )
        settings = adaptation.settings
    config = TrainConfig(**known_settings(TrainConfig, settings))
    shape = known_settings(ModelConfig, settings)
    model, vocab, growth = _new_model(corpus, val, config, shape, source)
    model = _with_kernels(model, config.kernels)
    train_ids, val_ids = _split_ids(corpus, val, vocab, config.val_fraction)
    if not source and len(vocab) > MANY:
        # Otherwise it would take most of a short run to learn them.
        log_frequencies(model.params["output.b"], train_ids)
    T, N = fit_windows(len(train_ids), config.window, config.batch)
    windows = _windows(train_ids, T, N, vocab, config.seed)
    spent = perf_counter() - begun
    plan = make_plan(model, windows, val_ids, config, spent=spent)
    trainer = Trainer(model, windows, val_ids, config, plan)
    run = Run(trainer, vocab, corpus.info, train_ids, val_ids)
    run.val_text, run.text_summary = val.info if val else None, corpus.summary
    run.adaptation, run.growth = adaptation, growth
    # Last, so that a wrong setting does not delete the run that `force` replaces.
    if folder:
        run.folder = make_folder(folder, force=force)
    elif root:
        run.folder = new_folder(corpus.name, root)
    return run


def _new_model(
    corpus: Corpus,
    val: Corpus | None,
    config: TrainConfig,
    shape: dict[str, Any],
    source: Checkpoint | None,
) -> tuple[Model, Vocabulary, Growth | None]:
    """Return a model with initial weights for the characters of a text."""
    vocab = _vocabulary(corpus, val)
    if len(vocab.characters) < 2:
        raise TextError(
            f"{corpus.name}: every character is {vocab.characters[0]!r}; expected at "
            "least two different ones to learn from"
        )
    (init_seed,) = np.random.SeedSequence(config.seed).spawn(1)
    rng = np.random.default_rng(init_seed)
    if source:
        _check_symbols(corpus, source)
        growth = grow(source.model, source.vocab, vocab, rng=rng)
        return growth.model, growth.vocab, growth
    model = Model(ModelConfig(len(vocab), **shape, end=vocab.end))
    interruptibly(lambda: model.init(rng=rng))
    return model, vocab, None


def _with_kernels(model: Model, name: str) -> Model:
    """Return the model with these kernels ("auto", "numpy" or "numba")."""
    name = kernels.resolve(name)
    if model.kernels == name:
        return model
    other = Model(model.config, model.dtype, name)
    other.params.flat[:] = model.params.flat
    return other


def _check_symbols(corpus: Corpus, source: Checkpoint) -> None:
    """Raise ConfigError if the weights have learned other symbols than the text has.

    That is, bytes and not characters, or documents and not one long text.
    """
    before, now = source.corpus.reads_bytes, corpus.info.reads_bytes
    if before != now:
        raise ConfigError(
            f"the weights to start from read {'bytes' if before else 'characters'}, "
            f"and {corpus.name} is read as {'bytes' if now else 'characters'}; "
            f"{'give' if before else 'leave out'} --bytes"
        )
    if source.vocab.end_id is not None and corpus.vocab.end_id is None:
        raise ConfigError(
            "the weights to start from learned documents, and "
            f"{printable(corpus.name)} is read as one long text; give --documents "
            f"(documents=…) as for them: {source.corpus.documents!r}"
        )


def _vocabulary(corpus: Corpus, val: Corpus | None) -> Vocabulary:
    """Return the symbols of a text and, if none stands for the others, of `val`."""
    vocab = corpus.vocab
    if val is None or vocab.unknown_id is not None:
        return vocab
    characters = sorted({*vocab.characters, *val.vocab.characters})
    return Vocabulary(characters, end=vocab.end_id is not None)


def _windows(ids: Array, T: int, N: int, vocab: Vocabulary, seed: int) -> Windows:
    if vocab.end_id is None:
        return Windows(ids, T, N)
    return DocumentWindows(ids, T, N, end_id=vocab.end_id, seed=seed)


def _split_ids(
    corpus: Corpus, val: Corpus | None, vocab: Vocabulary, val_fraction: float
) -> tuple[Array, Array]:
    """Return the ids to train on and to validate on, which may be none."""
    ids = corpus.ids_in(vocab)
    if val:
        train, held_out = ids, val.ids_in(vocab)
    elif val_fraction:
        train, held_out = corpus.split(ids, val_fraction)
    else:
        return ids, ids[:0]
    if min(len(train), len(held_out)) < 2:
        raise _too_short(corpus, val, len(train), len(held_out))
    return train, held_out


def _too_short(
    corpus: Corpus, val: Corpus | None, train: int, held_out: int
) -> TextError:
    name, least = printable(corpus.name), "expected at least 2"
    if val:
        return TextError(
            f"{train} characters to train on ({name}) and {held_out} to validate on "
            f"({printable(val.name)}); {least} of each: longer texts"
        )
    if corpus.documents == 1:
        what = f"{name}: one document, which is never divided; {least}"
    else:
        what = (
            f"{name}: {train + held_out} characters leave {train} to train and "
            f"{held_out} to validate on; {least} of each"
        )
    return TextError(
        f"{what}: more text, another text to validate on (--val), or no validation "
        "(--val-fraction 0; in Python: val=…, val_fraction=0)"
    )


_SAME_TEXT = (
    "give the same text, or start a new run from these weights with --init-from "
    "(charrnn.train, init_from=…)"
)
_MOVED_TEXT = (
    "if it has moved, name it: charrnn train TEXT --resume (charrnn.resume, paths=… "
    "or text=…)"
)
_MOVED_VAL = "it is validated on that text; if it has moved, name it with --val (val=…)"


@contextmanager
def _explaining(folder: Path, advice: str) -> Iterator[None]:
    """Add to a TextError that it is about a run to be resumed, and what to do."""
    try:
        yield
    except GrownTextError as error:  # it says what to do
        raise TextError(f"{folder} cannot be resumed: {error}") from None
    except TextError as error:
        raise TextError(f"{folder} cannot be resumed: {error}; {advice}") from None


def resume_run(
    folder: Path,
    paths: Paths | None = None,
    text: Texts | None = None,
    *,
    val: Paths | None = None,
    length: TrainConfig | None = None,
    progress: Progress | None = None,
) -> Run:
    """Return the run in a folder, ready to continue exactly where it stopped.

    `paths` or `text` is the text that it was trained on, and `val` the other one that
    it is validated on, if there is one; by default, they are read from the files that
    the checkpoint names. The steps or epochs of `length`, if given, replace the run's
    length. `progress` is called while the text is read.
    """
    saved_at = last_saved(folder)
    checkpoint = load_last(folder)
    config, plan = checkpoint.settings()
    vocab, val_info = checkpoint.vocab, checkpoint.split.val_text
    if val is not None and not val_info:
        raise ConfigError(f"{folder} is not validated on another text; leave out --val")
    given = paths is not None or text is not None
    with _explaining(folder, _SAME_TEXT if given else _MOVED_TEXT):
        corpus = same_corpus(
            checkpoint.corpus, paths, text, beside=folder, progress=progress
        )
    with _explaining(folder, _MOVED_VAL):
        val_corpus = same_corpus(val_info, val, beside=folder) if val_info else None
    train_ids, val_ids = _split_ids(corpus, val_corpus, vocab, config.val_fraction)
    T, N = plan.window, plan.batch
    if fit_windows(len(train_ids), T, N) != (T, N):
        raise CheckpointError(
            f"{folder / LAST}: its text is too short for batch {N} and window {T}; the "
            "file is damaged or was edited"
        )
    windows = _windows(train_ids, T, N, vocab, config.seed)
    assert checkpoint.snapshot  # load_last reads it
    snapshot, notes = with_best_weights(checkpoint.snapshot, folder)
    if length:
        plan = _lengthened(folder, plan, length, len(windows), snapshot.progress.step)
    model = _with_kernels(checkpoint.model, plan.kernels)
    trainer = Trainer(model, windows, val_ids, config, plan)
    trainer.restore(snapshot)
    if length:
        trainer.progress.since_best = 0  # patience may have stopped the run
    run = Run(trainer, vocab, corpus.info, train_ids, val_ids, val_info, folder)
    run.notes, run.text_summary, run._saved_at = notes, corpus.summary, saved_at
    return run


def _lengthened(
    folder: Path, plan: Plan, length: TrainConfig, epoch_steps: int, done: int
) -> Plan:
    plan = plan.lengthen(length, epoch_steps)
    if plan.steps <= done:
        raise ConfigError(
            f"{folder} is already at step {done:,}; expected more than the "
            f"{plan.steps:,} steps asked for"
        )
    return plan
