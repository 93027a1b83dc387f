"""The start of `charrnn train`: reading the text, making the run, the summary."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import click
from click.core import ParameterSource

from charrnn.cli.options import reading_bar
from charrnn.config import CHANGEABLE, TextConfig, TrainConfig, known_settings
from charrnn.errors import TextError
from charrnn.ranks import Ranks

if TYPE_CHECKING:
    from charrnn.run import Run
    from charrnn.text.corpus import Corpus
    from charrnn.training.grow_vocab import Growth

_LARGE = 10_000_000  # bytes
Report: TypeAlias = Callable[[str], None]  # prints a line, or drops it with --quiet


class TextReader:
    """Reads texts in one way, with a bar if that takes long, and reports on them."""

    def __init__(
        self,
        config: TextConfig,
        seed: int,
        quiet: bool,
        report: Report,
        ranks: Ranks,
    ) -> None:
        self._config, self._seed = config, seed
        self._quiet, self._report, self._ranks = quiet, report, ranks

    def read(
        self, sources: Sequence[str], glob: Sequence[str] = (), name: str | None = None
    ) -> "Corpus":
        """Return a text, and report its size and what was changed in it."""
        from charrnn.text.reading import read_corpus

        if "-" in sources and self._ranks.size > 1:
            raise TextError(
                "standard input reaches one rank only; save the text to a file"
            )
        if any(map(_takes_long, map(Path, sources))):
            self._report("reading the text...")
        with (
            self._ranks.one_before_others(),
            reading_bar(self._quiet, announce=False) as progress,
        ):
            corpus = read_corpus(
                [*sources],
                self._config,
                name=name,
                glob=glob,
                seed=self._seed,
                progress=progress,
            )
        for line in corpus.notes:
            self._report(line)
        self._report(corpus.summary)
        if corpus.looks_like_a_list:
            self._report(
                "This looks like a list. With --documents lines, every line is learned "
                "by itself, and whole lines are written."
            )
        return corpus

    def default(self, data_dir: str) -> "Corpus":
        """Return the default corpus, which is downloaded if necessary."""
        from charrnn.text.download.registry import default_corpus

        with self._ranks.one_before_others():
            path, name = default_corpus(
                Path(data_dir), quiet=self._quiet, note=self._report
            )
        return self.read([str(path)], name=name)


def _takes_long(source: Path) -> bool:
    """Return whether it may take more than a moment to read a source."""
    if source.is_file():
        return source.stat().st_size > _LARGE
    return source.exists()  # a folder, or a pipe


def start_new_run(
    corpus: "Corpus",
    settings: dict[str, Any],
    chosen: dict[str, Any],
    *,
    val: "Corpus | None",
    init_from: str | None,
    out: str | None,
    force: bool,
    begun: float,
    report: Report,
    ranks: Ranks,
) -> "Run":
    """Return a new run, and report how it was adapted to the text.

    settings are those of `resolve_settings`; chosen are those that the user gave. The
    minutes of the run count from `begun`, a time of `perf_counter`.
    """
    from charrnn.run import start_run
    from charrnn.storage.run_folder import CHECKPOINTS, check_folder, check_writable

    if out and ranks.is_first:  # before anything is measured
        check_folder(Path(out), force=force)
    elif ranks.is_first:
        check_writable(CHECKPOINTS)
    config = TrainConfig(**known_settings(TrainConfig, settings))
    _report_broken_numba(config.kernels, report)
    _report_compilation(config.kernels, settings["cell"], report)
    if config.minutes or not config.threads:
        report("measuring the speed of this machine...")
    run = start_run(
        corpus,
        settings,
        chosen,
        val=val,
        init_from=init_from,
        folder=Path(out) if out else None,
        root=CHECKPOINTS,
        force=force,
        begun=begun,
        ranks=ranks,
    )
    if run.adaptation:
        report(str(run.adaptation))
    if run.growth:
        report(_describe_growth(init_from, run.growth))
    for line in run.notes:
        report(line)
    return run


def _report_broken_numba(name: str, report: Report) -> None:
    from charrnn.nn.kernels import numba_trouble

    if name == "auto" and numba_trouble():
        report(f"Numba is installed but does not work ({numba_trouble()}); using NumPy")


def _report_compilation(name: str, cell: str, report: Report) -> None:
    """Report that the kernels are about to be compiled, if they are."""
    from charrnn.nn.kernels import resolve

    if resolve(name) == "numba" and not kernels_are_compiled(cell):
        report("compiling the Numba kernels, once on this machine (a few seconds)...")


def kernels_are_compiled(cell: str) -> bool:
    """Return whether Numba's cache on disk has the training kernels of a cell."""
    from charrnn.nn.compiled import TWINS
    from charrnn.nn.kernels import functions

    # Numba itself knows where its cache is.
    stats: Any = functions("numba").cross_entropy_.stats  # type: ignore[attr-defined]
    module = TWINS[cell].partition(":")[0].rpartition(".")[2] if cell in TWINS else ""
    pattern = f"{module}.backward*.nbi" if module else "functional.*.nbi"
    return any(Path(stats.cache_path).glob(pattern))


def _describe_growth(init_from: str | None, growth: "Growth") -> str:
    return (
        f"starting from {init_from} with its cell, hidden, layers and members; of its "
        f"characters, {growth.kept} occur in this text and {growth.unused} do not; "
        f"{growth.added} new ones were added"
    )


def resume_old_run(
    text: tuple[str, ...],
    out: str | None,
    chosen: dict[str, Any],
    *,
    val: str | None,
    quiet: bool,
    report: Report,
    ranks: Ranks,
) -> "Run":
    """Return the run in a folder, at the step where it stopped."""
    from charrnn.run import resume_run
    from charrnn.storage.run_folder import newest_run

    folder = Path(out) if out else ranks.first(newest_run)
    with reading_bar(quiet) as progress:
        run = resume_run(
            *(folder, text or None),
            val=val,
            changes=chosen,
            progress=progress,
            ranks=ranks,
        )
    for line in run.notes:
        report(line)
    report(f"resuming {folder} at step {run.trainer.progress.step:,}")
    report(run.text_summary)
    cell = run.model.members[0].config.cell
    _report_compilation(run.plan.kernels, cell, report)
    return run


def check_unchanged(ctx: click.Context) -> None:
    """Raise UsageError for an option that a resumed run would ignore."""
    free = {"text", "val", "resume", "out", *CHANGEABLE}
    free |= {"quiet", "sample_every", "tensorboard"}
    for param in ctx.command.params:
        source = ctx.get_parameter_source(param.name or "")
        if source == ParameterSource.COMMANDLINE and param.name not in free:
            raise click.UsageError(
                f"{param.opts[0]} cannot change in a resumed run; leave it out (only "
                "--steps, --epochs, --threads and --kernels may change), or start a "
                "new run from these weights with --init-from"
            )


def print_summary(run: "Run", report: Report) -> None:
    """Report what will be trained, on how much text, and how."""
    from charrnn.cli.format import describe_layout
    from charrnn.nn.predictor import described

    model, plan = run.model, run.plan
    report(
        f"{model.vocab} distinct characters; {len(run.train_ids):,} characters to "
        f"train on, {len(run.val_ids):,} to validate on"
    )
    if plan.val_characters:
        report(
            f"each validation is on {plan.val_characters:,} of the "
            f"{len(run.val_ids):,} characters, spread evenly"
        )
    report(
        f"{described(model)}, {model.params.flat.size:,} parameters; "
        f"{run.trainer.epoch_steps:,} steps per epoch"
    )
    if plan.sampled:
        report(
            f"sampled softmax: each step uses its targets and {plan.sampled:,} more "
            f"characters, drawn by frequency, instead of all {model.vocab:,}"
        )
    notes = run.short_text, run.early_end, run.overtime, run.idle_cores
    for line in filter(None, notes):
        report(line)
    layout = describe_layout(plan.layout, run.config.members, plan.ranks)
    report(
        f"{plan.steps:,} steps of {plan.batch} x {plan.window} characters, seed "
        f"{run.config.seed}, {layout}"
        f"{', compiled kernels' if plan.kernels == 'numba' else ''}"
    )
    report(f"saving to {run.folder}")
