"""Training runs: a trainer with its text and its folder.

`start_run` starts a run, `resume_run` reopens one where it stopped, and `Run.events`
trains it.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from charrnn.atomic import Lock
from charrnn.config import LENGTHS, SHAPE, ModelConfig, TrainConfig, known_settings
from charrnn.errors import CheckpointError, ConfigError, TextError, TrainingError
from charrnn.evaluation.calibration import own_temperature, set_temperature
from charrnn.machine import available_cores, require
from charrnn.nn import kernels
from charrnn.nn.ensemble import as_one
from charrnn.nn.init import log_frequencies
from charrnn.nn.model import Model
from charrnn.nn.parameters import Array
from charrnn.nn.predictor import ONE_OF_THEM, Predictor
from charrnn.nn.workers import interruptibly
from charrnn.presets import MANY, Adaptation, adapt_to_text
from charrnn.ranks import Ranks
from charrnn.shell import quote
from charrnn.storage.checkpoint import Checkpoint, Member, load
from charrnn.storage.run_folder import (
    LAST,
    check_folder,
    check_resumable,
    check_room,
    check_writable,
    find_checkpoint,
    holding,
    last_saved,
    load_last,
    make_folder,
    new_folder,
    truncate_history,
    with_best_weights,
)
from charrnn.storage.saver import Saver, check_unchanged, checkpoint_sizes
from charrnn.text.corpus import Corpus
from charrnn.text.corpus_info import CorpusInfo, SplitInfo
from charrnn.text.reading import Progress
from charrnn.text.reopening import ChangedTextError, reading_options, text_arguments
from charrnn.text.sources import Paths, Texts, path_list, same_corpus
from charrnn.text.streams import printable
from charrnn.text.vocab import Vocabulary
from charrnn.text.windows import DocumentWindows, Windows, fit_windows
from charrnn.training.events import Event, Finished
from charrnn.training.grow_vocab import Growth, grow
from charrnn.training.plan import MOST_EPOCHS, Plan, make_plan
from charrnn.training.resuming import check_changes, resumed_plan, version_notes
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
    temperature: float = 1.0  # of the best model, known when training has ended

    # Held from before the folder is read or emptied until training ends.
    _lock: Lock | None = field(default=None, init=False, repr=False)
    # When the newest last.npz of this run was written (ns), or 0.
    _saved_at: int = field(default=0, init=False, repr=False)

    @property
    def model(self) -> Predictor:
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

    @property
    def idle_cores(self) -> str:
        """Advice for a new run whose batch is too small for this machine, or ""."""
        if self.trainer.progress.step:
            return ""
        return self.plan.idle_cores(available_cores(), self.config)

    def best_checkpoint(self) -> Checkpoint:
        """Return the model at its lowest validation loss, as a checkpoint."""
        model = self.model.copy()
        model.params.flat[:] = self.trainer.best_params
        set_temperature(model, self.temperature)
        return self._checkpoint(model, self.trainer.progress.best_history)

    def last_checkpoint(self) -> Checkpoint:
        """Return what resuming needs. The next step changes its arrays."""
        return replace(self.checkpoint, snapshot=self.trainer.snapshot(copy=False))

    def _checkpoint(self, model: Predictor, history: History) -> Checkpoint:
        beside = self.folder
        train = asdict(self.config) | {"plan": self.plan.to_json()}
        members = [Member(train=train | {"members": 1})] * len(model.members)
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
            train,
            [*history],
            members=tuple(members) if len(members) > 1 else (),
        )

    def events(self) -> Iterator[Event]:
        """Train and save, and yield what happens.

        However training ends, `best_checkpoint` returns the best model so far. Raises
        TrainingError if the loss keeps diverging, and CheckpointError after the last
        event if the end of the run could not be saved.
        """
        saver: Saver | None = None
        try:
            with self.trainer.ranks.together():
                if self.folder:
                    saver = self._saver(self.folder)
            try:
                for event in self.trainer.run():
                    if isinstance(event, Finished):
                        self._calibrate()
                    if saver:
                        yield from saver.after(event)
                    yield event
            except TrainingError:
                if saver:
                    saver.rescue()
                raise
            finally:
                if saver:
                    self._saved_at = saver.saved_at
            if saver:
                saver.finish()
        finally:
            self.close()

    def _calibrate(self) -> None:
        """Find the temperature of the best model."""
        if len(self.val_ids) and self.trainer.progress.best_step:
            self.temperature = 1.0
            model = self.best_checkpoint().model
            self.temperature = own_temperature(model, self.val_ids)

    def _saver(self, folder: Path) -> Saver:
        """Lock the folder, if it is not, and make its files ready."""
        if not self._lock:
            with holding(folder) as self._lock:
                check_unchanged(folder, self._saved_at)
        truncate_history(folder, self.trainer.progress)
        return Saver(self, folder, self._lock, self._saved_at)

    def _look_at_disk(self, folder: Path, advice: str = "make room") -> None:
        """Make sure that the files of this run fit on the disk; see `check_room`."""
        note = check_room(folder, *checkpoint_sizes(self.trainer), advice)
        self.notes += [note] if note else []

    def _keep_in(self, folder: Path, lock: Lock) -> None:
        """Let a folder be that of this run, which holds the lock from now on."""
        self.folder, self._lock = folder, lock
        if lock.trouble:
            self.notes.append(
                f"{folder} cannot be locked ({lock.trouble.strerror}); take care that "
                "no other charrnn trains there"
            )

    def close(self) -> None:
        """Let other processes use the folder. This is done when training ends."""
        if self._lock:
            self._lock.release()
        self._lock = None


_FIRST_STEPS = 64 << 20  # bytes: threads that validate, and what they allocate
_NO_ROOM = "make room, give another --out, or a smaller --hidden"


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
    ranks: Ranks | None = None,
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
    default that of this call. `ranks` train together; only the first one has a folder.
    """
    begun = perf_counter() if begun is None else begun
    ranks = ranks or Ranks()
    if not ranks.is_first:
        folder = root = None
    if folder:  # first, because the rest takes time
        check_folder(folder, force=force)
    elif root:
        check_writable(root)
    if init_from is None or isinstance(init_from, Checkpoint):
        source = init_from
    else:
        path = init_from
        source = ranks.first(lambda: load(find_checkpoint(path)))
    adaptation = None
    shape = _shape_of(source.model) if source else {}
    if chosen is not None:
        adaptation = adapt_to_text(
            settings, chosen, corpus.characters, shape, len(corpus.vocab)
        )
        settings = adaptation.settings
    _check_alike(ranks, [corpus.info.sha256, val.info.sha256 if val else "", settings])
    settings = settings | shape
    config = TrainConfig(**known_settings(TrainConfig, settings))
    network = known_settings(ModelConfig, settings)
    model, vocab, growth = _new_model(corpus, val, config, network, source)
    model = _with_kernels(model, ranks.first(lambda: kernels.resolve(config.kernels)))
    train_ids, val_ids = _split_ids(corpus, val, vocab, config.val_fraction)
    if not source and len(vocab) > MANY:
        # Otherwise it would take most of a short run to learn them.
        for member in model.members:
            log_frequencies(member.params["output.b"], train_ids)
    if ranks.size > 1:  # other processors may round otherwise
        model.params.flat[:] = ranks.first(lambda: model.params.flat)
    T, N = fit_windows(len(train_ids), config.window, config.batch)
    _, group = ranks.divide(config.members)
    windows = _windows(train_ids, T, N, vocab, config.seed, group)
    spent = perf_counter() - begun
    plan = make_plan(model, windows, val_ids, config, spent=spent, ranks=ranks)
    trainer = Trainer(model, windows, val_ids, config, plan, ranks)
    run = Run(trainer, vocab, corpus.info, train_ids, val_ids)
    run.val_text, run.text_summary = val.info if val else None, corpus.summary
    run.adaptation, run.growth = adaptation, growth
    # Last, so that neither a wrong setting nor too little memory for the first steps
    # deletes the run that `force` replaces.
    with ranks.together():
        require(2 * model.params.flat.nbytes + _FIRST_STEPS, "training")
        if folder:
            run._look_at_disk(folder, _NO_ROOM)
            run._keep_in(folder, make_folder(folder, force=force))
        elif root:
            run._look_at_disk(root, _NO_ROOM)
            made = new_folder(corpus.name, root)
            with holding(made) as lock:
                run._keep_in(made, lock)
    return run


def _check_alike(ranks: Ranks, facts: Sequence[object]) -> None:
    """Raise ConfigError unless all ranks have the same texts and settings."""
    for number, others in enumerate(ranks.gather(lambda: facts)):
        if others != facts:
            raise ConfigError(
                f"rank {number} has other settings or another text than rank "
                f"{ranks.number}; start all of them with the same options, and give "
                "every machine the same files"
            )


def _new_model(
    corpus: Corpus,
    val: Corpus | None,
    config: TrainConfig,
    network: dict[str, Any],
    source: Checkpoint | None,
) -> tuple[Predictor, Vocabulary, Growth | None]:
    """Return a model with initial weights for the characters of a text."""
    vocab = _vocabulary(corpus, val)
    if len(vocab.characters) < 2:
        raise TextError(
            f"{corpus.name}: every character is {vocab.characters[0]!r}; expected at "
            "least two different ones to learn from"
        )
    (seed,) = np.random.SeedSequence(config.seed).spawn(1)
    if source:
        _check_symbols(corpus, source)
        rng = np.random.default_rng(seed)
        growth = grow(source.model, source.vocab, vocab, rng=rng)
        return growth.model, growth.vocab, growth
    models = []
    for own in seed.spawn(config.members) if config.members > 1 else [seed]:
        model = Model(ModelConfig(len(vocab), **network, end=vocab.end))
        interruptibly(partial(model.init, rng=np.random.default_rng(own)))
        models.append(model)
    return as_one(models), vocab, None


def _shape_of(model: Predictor) -> dict[str, Any]:
    """Return the settings that a run takes from the weights it starts from.

    Raises ConfigError for an ensemble of different networks.
    """
    first, *others = (member.config for member in model.members)
    if any(config != first for config in others):
        raise ConfigError(
            "an ensemble of networks of different shapes cannot be trained; "
            f"{ONE_OF_THEM}"
        )
    shape = {name: getattr(first, name) for name in SHAPE}
    return shape | {"members": len(model.members)}


def _with_kernels(model: Predictor, name: str) -> Predictor:
    """Return the model with these kernels ("auto", "numpy" or "numba")."""
    name = kernels.resolve(name)
    return model if model.kernels == name else model.copy(name)


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


def _windows(
    ids: Array, T: int, N: int, vocab: Vocabulary, seed: int, ranks: Ranks
) -> Windows:
    """Return the windows of a text, with the columns of this rank."""
    columns = ranks.share(N)
    if vocab.end_id is None:
        return Windows(ids, T, N, columns=columns)
    end_id = vocab.end_id
    return DocumentWindows(ids, T, N, columns=columns, end_id=end_id, seed=seed)


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


@contextmanager
def _explaining(folder: Path, moved: str, changed: Callable[[], str]) -> Iterator[None]:
    """Add to a TextError what to do: the text has moved, or it has changed."""
    try:
        yield
    except TextError as error:
        advice = changed() if isinstance(error, ChangedTextError) else moved
        raise TextError(f"{folder} cannot be resumed: {error}; {advice}") from None


def _moved_text(folder: Path) -> str:
    return (
        "if it has moved, name it: charrnn train TEXT --resume --out "
        f"{printable(quote(str(folder)))} (charrnn.resume, paths=… or text=…)"
    )


_MOVED_VAL = "it is validated on that text; if it has moved, name it with --val (val=…)"


def _changed_text(
    folder: Path, checkpoint: Checkpoint, paths: Paths | None, val: Paths | None
) -> str:
    """Return the advice for a run whose text, or the one validated on, has changed."""
    info, val_info = checkpoint.corpus, checkpoint.split.val_text
    advice = (
        "name the text as it was, or learn the text as it is now in a new run from "
        "these weights"
    )
    try:
        given = None if paths is None else path_list(paths)
        words = text_arguments(info, given, beside=folder)
        words += reading_options(info)
        if val_info:
            given = None if val is None else path_list(val)
            words += "--val", *text_arguments(val_info, given, beside=folder, at_most=1)
    except TextError:  # the text came from standard input, or from memory
        return f"{advice}, with --init-from (charrnn.train, init_from=…)"
    words = ["charrnn", "train", *words, "--init-from", str(folder)]
    return f"{advice}: {' '.join(printable(quote(word)) for word in words)}"


def resume_run(
    folder: Path,
    paths: Paths | None = None,
    text: Texts | None = None,
    *,
    val: Paths | None = None,
    changes: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
    ranks: Ranks | None = None,
) -> Run:
    """Return the run in a folder, ready to continue exactly where it stopped.

    `paths` or `text` is the text that it was trained on, and `val` the other one that
    it is validated on, if there is one; by default, they are read from the files that
    the checkpoint names. `changes` are settings in CHANGEABLE that replace those of the
    run. `progress` is called while the text is read. What is not as it was is in the
    notes of the run. The folder is locked until the run is trained or closed.
    """
    changes, ranks = changes or {}, ranks or Ranks()
    check_changes(changes)  # first, because reading the text takes time
    if not ranks.is_first:  # what the first one reads, it gives to the others
        run = _read_run(
            folder, paths, text, val=val, changes=changes, progress=None, ranks=ranks
        )
        run.folder = None
        with ranks.together():  # the first one looks at the disk
            return run
    check_resumable(folder)
    with holding(folder) as lock:
        saved_at = last_saved(folder)
        run = _read_run(
            *(folder, paths, text),
            val=val,
            changes=changes,
            progress=progress,
            ranks=ranks,
        )
        with ranks.together():
            run._look_at_disk(folder)
            run._keep_in(folder, lock)
    run._saved_at = saved_at
    return run


def _read_run(
    folder: Path,
    paths: Paths | None,
    text: Texts | None,
    *,
    val: Paths | None,
    changes: Mapping[str, Any],
    progress: Progress | None,
    ranks: Ranks,
) -> Run:
    """Return the run in a folder, which is locked; see `resume_run`."""
    checkpoint = ranks.first(lambda: load_last(folder))
    _check_alike(ranks, [dict(changes)])
    config, plan = checkpoint.settings()
    vocab, val_info = checkpoint.vocab, checkpoint.split.val_text
    if val is not None and not val_info:
        raise ConfigError(f"{folder} is not validated on another text; leave out --val")
    # Only if it is needed, because it looks at all files of the text.
    changed = partial(_changed_text, folder, checkpoint, paths, val)
    with _explaining(folder, _moved_text(folder), changed), ranks.one_before_others():
        corpus = same_corpus(
            checkpoint.corpus, paths, text, beside=folder, progress=progress
        )
    with _explaining(folder, _MOVED_VAL, changed):
        val_corpus = same_corpus(val_info, val, beside=folder) if val_info else None
    train_ids, val_ids = _split_ids(corpus, val_corpus, vocab, config.val_fraction)
    T, N = plan.window, plan.batch
    if fit_windows(len(train_ids), T, N) != (T, N):
        raise CheckpointError(
            f"{folder / LAST}: its text is too short for batch {N} and window {T}; the "
            "file is damaged or was edited"
        )
    _, group = ranks.divide(config.members)
    windows = _windows(train_ids, T, N, vocab, config.seed, group)
    read = checkpoint.snapshot
    assert read  # by load_last
    snapshot, notes = ranks.first(lambda: with_best_weights(read, folder))
    plan, more = resumed_plan(
        plan, config, changes, snapshot.progress, checkpoint.model, windows, ranks
    )
    if "save_every" in changes:  # the plan has the others
        config = replace(config, save_every=changes["save_every"])
    model = _with_kernels(checkpoint.model, plan.kernels)
    trainer = Trainer(model, windows, val_ids, config, plan, ranks)
    trainer.restore(snapshot)
    if not changes.keys().isdisjoint(LENGTHS):
        trainer.progress.since_best = 0  # patience may have stopped the run
    # Not the info of the checkpoint: its paths may be somebody else's.
    val_text = val_corpus.info if val_corpus else None
    run = Run(trainer, vocab, corpus.info, train_ids, val_ids, val_text, folder)
    run.notes = [*notes, *version_notes(checkpoint.versions), *more]
    run.text_summary = corpus.summary
    return run
