"""Runs: a training bound to its text, and to the folder that it leaves behind.

best.npz        the weights of the lowest validation loss
last.npz        the newest weights and all that resuming needs
history.jsonl   a line for each validation and each rollback, appended to
"""

import json
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from itertools import count
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np

from charrnn.atomic import locked, replacing
from charrnn.config import ModelConfig, TrainConfig, known_settings
from charrnn.errors import CheckpointError, ConfigError, TextError
from charrnn.nn import kernels
from charrnn.nn.model import Model
from charrnn.nn.parameters import Array
from charrnn.presets import Adaptation, adapt_to_text
from charrnn.storage.checkpoint import Checkpoint, load, save
from charrnn.text.corpus import BYTES, Corpus, split
from charrnn.text.vocab import Vocabulary
from charrnn.text.windows import Windows, fit_windows
from charrnn.training.events import Event, Finished, Rollback, Validation
from charrnn.training.grow_vocab import Growth, grow
from charrnn.training.plan import Plan, make_plan
from charrnn.training.state import Progress
from charrnn.training.trainer import Trainer

CHECKPOINTS = Path("checkpoints")
# The trained model that comes with the package, known by its name.
SHIPPED = Path(__file__).with_name("pretrained") / "shakespeare.npz"
BEST, LAST, HISTORY = "best.npz", "last.npz", "history.jsonl"


class Run:
    """A text, a model, its trainer, and the folder where they are kept, if any."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        ids: Array,
        config: TrainConfig,
        plan: Plan | None = None,
        folder: Path | None = None,
    ) -> None:
        self.train_ids, self.val_ids = split(ids, config.val_fraction)
        name = kernels.resolve(plan.kernels if plan else config.kernels)
        source = checkpoint.model
        checkpoint.model = Model(source.config, kernels=name)
        checkpoint.model.params.flat[:] = source.params.flat
        if plan:
            T, N = plan.window, plan.batch
        else:
            T, N = fit_windows(len(self.train_ids), config.window, config.batch)
        windows = Windows(self.train_ids, T, N)
        self.plan = plan or make_plan(checkpoint.model, windows, self.val_ids, config)
        self.checkpoint, self.config, self.folder = checkpoint, config, folder
        checkpoint.train = asdict(config) | {"plan": self.plan.to_json()}
        checkpoint.split = {
            "val_fraction": config.val_fraction,
            "train": len(self.train_ids),
            "val": len(self.val_ids),
        }
        self.trainer = Trainer(
            checkpoint.model, windows, self.val_ids, config, self.plan
        )

    def events(self) -> Iterator[Event]:
        """Train, saving as it goes, and pass on what the trainer says.

        When it ends for whatever reason, the model in `best()` is the best so far.
        """
        with _alone_in(self.folder) if self.folder else nullcontext():
            if self.folder:
                _forget_after(self.folder / HISTORY, self.trainer.progress)
            for record in self.trainer.run():
                if self.folder:
                    self._keep(self.folder, record)
                yield record

    def _keep(self, folder: Path, record: Event) -> None:
        if isinstance(record, Validation):
            self._log(folder, record)
            if record.best:
                save(self.best(), folder / BEST)
        # A run that explodes before it learned anything leaves nothing in the way.
        if isinstance(record, Rollback) and (folder / LAST).exists():
            self._log(folder, record)
        if isinstance(record, Validation | Finished):
            save(self._last(), folder / LAST)

    def best(self) -> Checkpoint:
        """Return the model at its lowest validation loss, as a checkpoint."""
        model = self.checkpoint.model.copy()
        model.params.flat[:] = self.trainer.best_params
        return self._checkpoint(model)

    def _last(self) -> Checkpoint:
        checkpoint = self._checkpoint(self.checkpoint.model)
        checkpoint.snapshot = self.trainer.snapshot()
        return checkpoint

    def _checkpoint(self, model: Model) -> Checkpoint:
        known = self.checkpoint
        history = [*self.trainer.progress.history]
        return Checkpoint(
            model, known.vocab, known.corpus, known.split, known.train, history
        )

    def _log(self, folder: Path, record: Validation | Rollback) -> None:
        line = {"event": type(record).__name__.lower()} | asdict(record)
        if isinstance(record, Rollback) and not isfinite(record.loss):
            line["loss"] = None  # JSON has no NaN
        try:
            with (folder / HISTORY).open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        except OSError as error:
            raise CheckpointError(
                f"{folder / HISTORY}: cannot be written: {error.strerror}; the last "
                "checkpoints are untouched"
            ) from error


@dataclass(frozen=True)
class Fitting:
    """How the preset and the initial weights were adapted to the text."""

    adaptation: Adaptation
    growth: Growth | None  # of the vocabulary that came with the weights


def begin(
    corpus: Corpus,
    settings: dict[str, Any],
    chosen: dict[str, Any],
    *,
    init_from: str | Path | None = None,
) -> tuple[Run, Fitting]:
    """Return a new run by settings that are fitted to the text and to the weights.

    settings are those of `resolve_settings`, of which the user has chosen some himself.
    `init_from` is a checkpoint or a run's folder.
    """
    source = load(find_checkpoint(init_from)) if init_from else None
    network = source.model.config if source else None
    adaptation = adapt_to_text(settings, chosen, len(corpus.text), network)
    settings = adaptation.settings
    config = TrainConfig(**known_settings(TrainConfig, settings))
    shape = known_settings(ModelConfig, settings)
    run, growth = start(corpus, config, shape, init_from=source)
    return run, Fitting(adaptation, growth)


def start(
    corpus: Corpus,
    config: TrainConfig,
    model_settings: dict[str, Any] | None = None,
    *,
    folder: Path | None = None,
    init_from: Checkpoint | None = None,
) -> tuple[Run, Growth | None]:
    """Return a new run, and what became of the vocabulary with `init_from`.

    model_settings are the fields of ModelConfig besides vocab. With `init_from` the
    shape and the starting weights are that checkpoint's.
    """
    vocab = corpus.vocabulary()
    if len(vocab) < 2:
        raise TextError(
            f"{corpus.name}: every character is {corpus.text[0]!r}; expected at least "
            "two different ones to learn from"
        )
    (init_seed,) = np.random.SeedSequence(config.seed).spawn(1)
    rng = np.random.default_rng(init_seed)
    growth = None
    if init_from:
        _check_alphabet(corpus, init_from)
        growth = grow(init_from.model, init_from.vocab, vocab, rng=rng)
        model, vocab = growth.model, growth.vocab
    else:
        model = Model(ModelConfig(len(vocab), **(model_settings or {})))
        model.init(rng=rng)
    ids = _ids(corpus, vocab, config)
    checkpoint = Checkpoint(model, vocab, corpus.describe())
    return Run(checkpoint, ids, config, folder=folder), growth


def _check_alphabet(corpus: Corpus, source: Checkpoint) -> None:
    """Refuse to mix characters and bytes in one vocabulary."""
    before, now = source.corpus.get("encoding") == BYTES, corpus.encoding == BYTES
    if before != now:
        raise ConfigError(
            f"the weights to start from read {'bytes' if before else 'characters'}, "
            f"and {corpus.name} is read as {'bytes' if now else 'characters'}; "
            f"{'give' if before else 'leave out'} --bytes"
        )


def resume(
    folder: Path,
    checkpoint: Checkpoint,
    corpus: Corpus,
    lengthen: TrainConfig | None = None,
) -> Run:
    """Return the run that a folder holds, where it stopped, bit for bit.

    checkpoint is what `load_last` read from the folder, and corpus the text that it was
    trained on. `lengthen` gives another number of steps or epochs.
    """
    known = checkpoint.corpus.get("sha256")
    if corpus.sha256 != known:
        raise TextError(
            f"{', '.join(corpus.files)}: SHA-256 {corpus.sha256[:12]}… is not that of "
            f"the text which {folder} was trained on ({str(known)[:12]}…); give that "
            "text, or start anew from these weights with --init-from"
        )
    checkpoint.corpus = corpus.describe()
    try:
        settings = dict(checkpoint.train)
        plan = Plan.from_json(settings.pop("plan"))
        config = TrainConfig(**settings)
    except (KeyError, TypeError, ConfigError) as error:
        raise CheckpointError(
            f"{folder / LAST}: its configuration cannot be read ({error}); it is of "
            "another charrnn, or was edited"
        ) from None
    ids = _ids(corpus, checkpoint.vocab, config)
    if lengthen:
        train, _ = split(ids, config.val_fraction)
        plan = plan.lengthen(lengthen, len(Windows(train, plan.window, plan.batch)))
        done = checkpoint.snapshot.progress["step"] if checkpoint.snapshot else 0
        if plan.steps <= done:
            raise ConfigError(
                f"{folder} is at step {done:,} already; expected more than the "
                f"{plan.steps:,} steps asked for"
            )
    run = Run(checkpoint, ids, config, plan, folder)
    assert checkpoint.snapshot  # load_last sees to it
    run.trainer.restore(checkpoint.snapshot)
    if lengthen:
        run.trainer.progress.since_best = 0  # patience may have ended it
    if (folder / BEST).exists():
        run.trainer.best_params[:] = load(folder / BEST).model.params.flat
    return run


def load_last(folder: Path) -> Checkpoint:
    """Return what resuming a folder's run needs."""
    if not (folder / LAST).exists():
        raise CheckpointError(
            f"{folder}: no run to resume here; expected a folder with {LAST}, which "
            "`charrnn train` writes"
        )
    return load(folder / LAST, snapshot=True)


def _ids(corpus: Corpus, vocab: Vocabulary, config: TrainConfig) -> Array:
    ids = vocab.encode(corpus.text)
    train, val = split(ids, config.val_fraction)
    if min(len(train), len(val)) < 2:
        raise TextError(
            f"{corpus.name}: {len(ids)} characters leave {len(train)} to train and "
            f"{len(val)} to validate on; expected at least 2 of each: a longer text, "
            "or another --val-fraction"
        )
    return ids


def _forget_after(history: Path, progress: Progress) -> None:
    """Drop what a killed run logged after its last checkpoint; it comes again."""
    if not history.exists():
        return
    lines = history.read_text(encoding="utf-8").splitlines()
    kept = [line for line in lines if _is_saved(line, progress)]
    if len(kept) < len(lines):
        with replacing(history, CheckpointError) as file:
            file.write("".join(line + "\n" for line in kept).encode())


def _is_saved(line: str, progress: Progress) -> bool:
    """Return whether the checkpoint holds what a line of the history tells of."""
    try:
        event = json.loads(line)
        if event["event"] == "rollback":  # the step is then where it came from
            return bool(event["number"] <= progress.rollbacks)
        return bool(event["step"] <= progress.step)
    except (ValueError, KeyError, TypeError):
        return False  # half a line, as a killed run may leave it


def holds_run(folder: Path) -> bool:
    """Return whether a folder holds anything that a run writes."""
    return any((folder / name).exists() for name in (BEST, LAST, HISTORY))


def new_folder(name: str, root: Path = CHECKPOINTS) -> Path:
    """Make a folder under `root` that nobody has used: name, name-2 and so on."""
    for number in count(1):
        folder = root / (name if number == 1 else f"{name}-{number}")
        try:
            folder.mkdir(parents=True)
            break
        except FileExistsError:
            if not root.is_dir():
                raise _cannot_make(folder, "there is a file in the way") from None
        except OSError as error:
            raise _cannot_make(folder, error.strerror) from error
    return folder


def _alone_in(folder: Path) -> AbstractContextManager[None]:
    refusal = CheckpointError(
        f"{folder}: another charrnn is training there; wait for it, or give another "
        "--out"
    )
    return locked(folder, refusal)


def _cannot_make(folder: Path, why: str | None) -> CheckpointError:
    return CheckpointError(f"{folder}: cannot be made: {why}; give another --out")


def check_folder(folder: Path, *, force: bool = False) -> None:
    """Raise CheckpointError where a folder already holds a run, but for `force`."""
    if holds_run(folder) and not force:
        raise CheckpointError(
            f"{folder}: already holds a run; continue it with --resume, give "
            "another --out, or replace it with --force"
        )


def make_folder(folder: Path, *, force: bool = False) -> Path:
    """Make a run's folder, and return it.

    Raises CheckpointError where it already holds a run. With `force` that run's files
    are removed, and nothing else in the folder.
    """
    check_folder(folder, force=force)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _alone_in(folder):
            for name in (BEST, LAST, HISTORY):
                (folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise _cannot_make(folder, error.strerror) from error
    return folder


def _newest(root: Path, names: Sequence[str] = (BEST, LAST)) -> Path | None:
    files = [file for name in names for file in root.glob(f"*/{name}")]
    return (
        max(files, key=lambda file: file.stat().st_mtime_ns).parent if files else None
    )


def newest_run(root: Path = CHECKPOINTS) -> Path:
    """Return the folder of the run that saved last, to go on with.

    Raises CheckpointError where there is none.
    """
    folder = _newest(root, (LAST,))
    if folder is None:
        raise CheckpointError(
            f"no run to resume in {root}/; start one with `charrnn train`, or name its "
            "folder with --out"
        )
    return folder


def find_checkpoint(path: str | Path | None = None) -> Path:
    """Return the checkpoint file that a path means: itself, or a folder's best.

    Without a path it is the newest run's, and without a run the shipped model, which
    also goes by its name where nothing else does.
    """
    path = Path(path) if path else _newest(CHECKPOINTS) or SHIPPED
    if path == Path(SHIPPED.stem) and not path.exists():
        return SHIPPED
    if not path.is_dir():
        return path
    for name in (BEST, LAST):
        if (path / name).exists():
            return path / name
    raise CheckpointError(
        f"{path}: no checkpoint in this folder; expected {BEST} or {LAST}"
    )
