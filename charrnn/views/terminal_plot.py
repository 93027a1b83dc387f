"""The curves of runs as text for a terminal, drawn by plotext (extra `plot`)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import floor
from typing import Any

import numpy as np

from charrnn.errors import MissingExtraError
from charrnn.markup.chart import tick_label, ticks
from charrnn.nn.parameters import Array
from charrnn.option import one_of
from charrnn.views.curves import AXES, MEASURES, Curves, check_known, loss_limits
from charrnn.views.names import short_names

# Numbers of a terminal's 256 colours, which the colour-blind can tell apart and which
# can be read on black and on white: blue, orange, green, pink.
_COLORS = (32, 166, 36, 175)
_GREY = 245
_MOST_POINTS = 2000  # of a line: more than there are dots in a row
_ASCII = str.maketrans("┌┐└┘├┤┬┴┼─│•○×…", "++++||--+-|*ox~")


@dataclass(frozen=True)
class _Line:
    """A line, or with `mark` single points."""

    x: Array
    y: Array
    letter: str  # by which it is known without colours
    color: int
    label: str = ""
    mark: str = ""

    @cached_property
    def points(self) -> tuple[list[float], list[float]]:
        """The points that are known, thinned out if there are very many."""
        known = np.flatnonzero(np.isfinite(self.x) & np.isfinite(self.y))
        every = -(-len(known) // _MOST_POINTS) or 1
        # The last point is always among them.
        kept = known[::-1][::every][::-1]
        return self.x[kept].tolist(), self.y[kept].tolist()


def terminal_plot(
    runs: Sequence[Curves],
    *,
    x: str = "steps",
    show: Iterable[str] = (),
    width: int = 80,
    color: bool = False,
    encoding: str = "utf-8",
) -> str:
    """Return the losses of runs as lines of text, and a panel for each measure.

    Without `color`, there are no control sequences and lines consist of letters. What
    the encoding lacks is replaced. x and show are those of `plot`; so are the errors.
    """
    show = [one_of("show", name, MEASURES) for name in dict.fromkeys(show)]
    check_known(runs, one_of("x", x, AXES), show)
    names = short_names([run.name for run in runs], max(8, width - 30))
    braille = color and _can_write("⣿", encoding)
    panels = [
        _panel(
            "loss, nats per character",
            _losses(runs, names, x),
            *(x, width, braille, loss_limits(runs)),
        )
    ]
    for measure in show:
        lines = [
            _Line(run.x(x), run.measure(measure), _letter(i), _color(i))
            for i, run in enumerate(runs)
        ]
        panels.append(_panel(MEASURES[measure], lines, x, width, braille))
    text = "\n".join(panels)
    if not color:
        text = _plotext().uncolorize(text)
    if not _can_write("┌─●", encoding):
        text = text.translate(_ASCII)
    return "\n".join(line.rstrip() for line in text.splitlines())


def _plotext() -> Any:
    try:
        import plotext
    except ImportError as error:
        raise MissingExtraError(
            '--terminal needs plotext: pip install "charrnn[plot]"'
        ) from error
    if not hasattr(plotext, "plot_size"):
        raise MissingExtraError(
            f"plotext {plotext.__version__} is installed, and --terminal needs "
            'plotext 5: pip install "charrnn[plot]"'
        )
    return plotext


def _can_write(text: str, encoding: str) -> bool:
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def _letter(i: int) -> str:
    return "abcdefghijklmnopqrstuvwxyz"[i % 26]


def _color(i: int) -> int:
    return _COLORS[i % len(_COLORS)]


def _losses(runs: Sequence[Curves], names: Sequence[str], axis: str) -> list[_Line]:
    """Return the lines of the losses; of several runs, those of the validation."""
    lines, right = [], np.nanmax(np.concatenate([run.x(axis) for run in runs]))
    for i, (run, name) in enumerate(zip(runs, names, strict=True)):
        x, best = run.x(axis), run.best
        if len(runs) == 1 or best is None:
            label = "training" if len(runs) == 1 else f"{name}, training"
            color = _COLORS[1] if len(runs) == 1 else _color(i)
            letter = "t" if len(runs) == 1 else _letter(i)
            lines.append(_Line(x, run.train_loss, letter, color, label))
        if best is not None:
            label = "validation" if len(runs) == 1 else name
            label += f", ○ best {run.val_loss[best]:.4f} at step {run.step[best]:,.0f}"
            letter = "v" if len(runs) == 1 else _letter(i)
            lines.append(_Line(x, run.val_loss, letter, _color(i), label))
            at = slice(best, best + 1)
            lines.append(_Line(x[at], run.val_loss[at], "o", _color(i), mark="○"))
    known = {
        (run.ngram_order, round(run.ngram_loss, 6))
        for run in runs
        if run.ngram_loss is not None
    }
    for order, loss in sorted(known):
        ends, label = np.array([0, right]), f"{order}-gram {loss:.4f}"
        lines.append(_Line(ends, np.full(2, loss), "-", _GREY, label))
    low, _ = loss_limits(runs)
    for run in runs:
        if len(at_x := run.rollback_x(axis)):
            y = np.full(len(at_x), low)
            lines.append(_Line(at_x, y, "x", _GREY, "diverged, and went back", "×"))
    return lines


def _panel(
    title: str,
    lines: Sequence[_Line],
    axis: str,
    width: int,
    braille: bool,
    limits: tuple[float, float] | None = None,
) -> str:
    """Return a panel: its title, the plot, and a line for each label."""
    plt = _plotext()
    plt.clear_figure()
    plt.theme("clear")
    plt.limit_size(False, False)
    plt.plot_size(width, max(10, min(22, floor(width / 4))))
    drawn = [line for line in lines if line.points[0]]
    marks = [line for line in drawn if line.mark]
    # What is drawn later lies above: the first line, and then the marks.
    for line in [*(each for each in drawn[::-1] if not each.mark), *marks]:
        draw = plt.scatter if line.mark else plt.plot
        marker = line.mark or ("braille" if braille else line.letter)
        draw(*line.points, marker=marker, color=line.color)
    _set_axes(plt, drawn, limits)
    plot = plt.build().rstrip("\n")
    legend = [
        f"\x1b[38;5;{line.color}m{line.mark or ('──' if braille else line.letter)}"
        f"\x1b[0m {line.label}"
        for line in drawn
        if line.label
    ]
    unit = {"steps": "step", "epochs": "epoch", "minutes": "minutes of training"}[axis]
    return "\n".join([title, plot, unit.rjust(width), *dict.fromkeys(legend)])


def _set_axes(
    plt: Any, lines: Sequence[_Line], limits: tuple[float, float] | None
) -> None:
    right = max(max(line.points[0]) for line in lines) or 1
    high = max(max(line.points[1]) for line in lines) or 1
    ends = {"x": (0.0, right), "y": limits or (0.0, high)}
    for name, (low, high) in ends.items():
        places = ticks(low, high, 5)
        labels = [tick_label(place, places) for place in places]
        getattr(plt, f"{name}lim")(low, high)
        getattr(plt, f"{name}ticks")(places, labels)
