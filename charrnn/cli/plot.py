"""charrnn plot: draw the losses of runs."""

import os
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from charrnn.cli.options import GroupedCommand, grouped, note, print_path

if TYPE_CHECKING:
    from charrnn.views.curves import Curves

_drawing = grouped("Drawing")
_file = grouped("File")
_terminal = grouped("Terminal")
_NARROWEST = 30


@click.command(cls=GroupedCommand)
@click.argument("run", nargs=-1, type=click.Path())
@_drawing(
    "--x",
    "axis",
    type=click.Choice(("steps", "epochs", "minutes")),
    metavar="NAME",
    default="steps",
    default_text="steps",
    help="What the losses are drawn against: steps, epochs or minutes of training.",
)
@_drawing(
    "--show",
    type=click.Choice(("lr", "grad-norm", "clipped", "speed")),
    metavar="NAME",
    multiple=True,
    help="What to draw below the losses: lr, grad-norm, clipped (the share of steps) "
    "or speed (characters per second, validations included). Repeat it for several.",
)
@_drawing("--dark", is_flag=True, help="Draw on a dark background.")
@_file(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    default_text="the run's name with .png, in this folder",
    help="File to write, as PNG, SVG or PDF by its ending.",
)
@_file("--force", is_flag=True, help="Replace an existing file.")
@_terminal("--terminal", is_flag=True, help="Draw in the terminal, and write no file.")
def command(
    run: tuple[str, ...],
    axis: str,
    show: tuple[str, ...],
    dark: bool,
    out: Path | None,
    force: bool,
    terminal: bool,
) -> None:
    """Draw the losses of runs, with the best validation and the n-gram's loss.

    RUN is a run folder, the name of a run in checkpoints/ or a checkpoint; by default
    it is the newest run. Several are drawn in one figure. A run may still be training.
    The path of the file is printed on standard output.
    """
    if terminal and (out or force or dark):
        raise click.UsageError(
            "--terminal writes no file; leave out --out, --force and --dark"
        )
    if terminal:
        _print_plot(run, axis, show)
    else:
        _write_plot(run, axis, show, dark=dark, out=out, force=force)


def _write_plot(
    names: tuple[str, ...],
    axis: str,
    show: tuple[str, ...],
    *,
    dark: bool,
    out: Path | None,
    force: bool,
) -> None:
    from charrnn.views.plots import check_target, plot, save

    if out:
        check_target(out, force=force)
    runs = _read(names)
    if out is None:
        out = Path(f"{runs[0].name if len(runs) == 1 else 'runs'}.png")
        check_target(out, force=force)
    figure = plot(runs, x=axis, show=show, dark=dark)
    save(figure, out, force=force)
    _print_notes(figure.notes)
    print_path(out)


def _print_plot(names: tuple[str, ...], axis: str, show: tuple[str, ...]) -> None:
    from charrnn.cli.format import on_terminal
    from charrnn.views.terminal_plot import terminal_plot

    runs = _read(names)
    _print_notes(line for run in runs for line in run.notes)
    drawn = terminal_plot(
        runs,
        x=axis,
        show=show,
        width=max(_NARROWEST, shutil.get_terminal_size().columns),
        color=on_terminal() and not os.environ.get("NO_COLOR"),
        encoding=sys.stdout.encoding,
    )
    click.echo(drawn)


def _read(names: tuple[str, ...]) -> "list[Curves]":
    """Return the curves of the named runs, or of the newest, which is printed."""
    from charrnn.storage.run_folder import find_run
    from charrnn.views.curves import read_curves

    if not names:
        note(f"run {find_run()}")
    return [read_curves(name) for name in dict.fromkeys(names or (None,))]


def _print_notes(notes: Iterable[str]) -> None:
    for line in notes:
        note(line)
