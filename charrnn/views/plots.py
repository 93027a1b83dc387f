"""The curves of runs as a figure of matplotlib (extra `plot`)."""

import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from charrnn.atomic import replacing
from charrnn.errors import CharRNNError, ConfigError, MissingExtraError
from charrnn.markup.chart import tick_label
from charrnn.nn.parameters import Array
from charrnn.option import one_of
from charrnn.views.curves import AXES, MEASURES, Curves, check_known, loss_limits
from charrnn.views.names import short_names
from charrnn.views.page_file import check_is_free

try:
    import matplotlib
    import matplotlib.style
    from matplotlib.axes import Axes
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.font_manager import findfont, fontManager, get_font
    from matplotlib.layout_engine import ConstrainedLayoutEngine
    from matplotlib.ticker import Formatter, MaxNLocator
except ImportError as error:
    raise MissingExtraError(
        'plots need matplotlib: pip install "charrnn[plot]"'
    ) from error

FORMATS = (".png", ".svg", ".pdf")
MOST_RUNS = 40  # in one figure
_SMALL, _NORMAL = 9, 12  # points: the type scale
_WIDTH, _LOSSES, _PANEL, _LABEL = 7.5, 4.0, 1.5, 0.19  # inches
# Per run: its line style, so that colours are not needed to tell runs apart.
_DASHES = ("-", (0, (5, 2)), (0, (1.2, 1.2)), (0, (7, 2, 1.2, 2)))
_FEW = 30  # validations that are drawn as dots, too
_MANY = 6  # runs; of more, the training losses are left out
_AXIS_LABELS = dict(zip(AXES, ("step", "epoch", "minutes of training"), strict=True))
# Fonts that have what DejaVu Sans lacks, if they are installed.
_FALLBACKS = (
    *("Noto Sans CJK SC", "Noto Sans SC", "Source Han Sans SC", "WenQuanYi Zen Hei"),
    *("WenQuanYi Micro Hei", "Droid Sans Fallback", "PingFang SC", "Hiragino Sans GB"),
    *("Microsoft YaHei", "SimHei", "Yu Gothic", "Malgun Gothic", "Arial Unicode MS"),
    *("Noto Sans Devanagari", "Noto Sans Bengali", "Noto Sans Tamil", "Noto Sans Thai"),
    *("Noto Sans Ethiopic", "Nirmala UI", "Leelawadee UI", "Noto Emoji", "Unifont"),
)


@dataclass(frozen=True)
class _Theme:
    """Colours, those of the pages."""

    page: str
    ink: str
    muted: str
    rule: str
    series: tuple[str, ...]


LIGHT = _Theme(
    *("#ffffff", "#1b1f24", "#59636e", "#d1d9e0"),
    ("#0069a6", "#b84d00", "#00775a", "#9b4a7b"),
)
DARK = _Theme(
    *("#14171b", "#e6e9ed", "#9aa5b1", "#3a424c"),
    ("#6cbcec", "#f2994a", "#45c9a0", "#dd93bd"),
)


class Plot(Figure):
    """A figure that also shows itself in a notebook. `notes` are for the user."""

    notes: list[str]

    def _repr_png_(self) -> bytes:
        from io import BytesIO

        file = BytesIO()
        with _looks(self):
            self.savefig(file, format="png")
        return file.getvalue()


@dataclass(frozen=True)
class _Style:
    """How a run is drawn."""

    name: str
    color: str
    dash: Any


def plot(
    runs: Sequence[Curves],
    *,
    x: str = "steps",
    show: Iterable[str] = (),
    dark: bool = False,
) -> Plot:
    """Return a figure of the losses of runs, and a panel for each measure in `show`.

    x is one of AXES and show of MEASURES. Raises ConfigError for others, and for what
    is not known of any run.
    """
    show = [one_of("show", name, MEASURES) for name in dict.fromkeys(show)]
    check_known(runs, one_of("x", x, AXES), show)
    if not 0 < len(runs) <= MOST_RUNS:
        raise ConfigError(f"{len(runs)} runs; expected 1 to {MOST_RUNS} in one figure")
    theme = DARK if dark else LIGHT
    names, fonts, notes = _writable(short_names([run.name for run in runs]))
    with _looks(fonts=fonts):
        losses = max(_LOSSES, 1 + _LABEL * (len(runs) + 1))
        figure = Plot(
            figsize=(_WIDTH, losses + _PANEL * len(show)),
            dpi=128,
            layout=ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.1, hspace=0.05),
            facecolor=theme.page,
        )
        FigureCanvasAgg(figure)
        figure.notes = [*(note for run in runs for note in run.notes), *notes]
        heights = [losses, *[_PANEL] * len(show)]
        panels = figure.subplots(
            len(heights), sharex=True, squeeze=False, height_ratios=heights
        )[:, 0]
        styles = [
            _Style(
                name,
                theme.series[i % len(theme.series)],
                _DASHES[(i + i // len(theme.series)) % len(_DASHES)],
            )
            for i, name in enumerate(names)
        ]
        for panel, ticks in zip(panels, [8, *[4] * len(show)], strict=True):
            _draw_axes(panel, theme, ticks)
        _draw_x_axis(panels[-1], runs, x, theme)
        _Losses(panels[0], theme, runs, styles, x, losses).draw()
        for name, panel in zip(show, panels[1:], strict=True):
            _draw_measure(panel, theme, runs, styles, x, name)
    return figure


def save(figure: Plot, path: Path, *, force: bool = False) -> None:
    """Write a figure as PNG, SVG or PDF, by the ending of its path.

    The same data make the same bytes. Raises ConfigError if the file exists, unless
    `force`, and for other endings.
    """
    check_target(path, force=force)
    kind = path.suffix.lower().removeprefix(".")
    undated = {"png": {}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}
    with _looks(figure), replacing(path, CharRNNError) as file:
        smaller: Any = {"pil_kwargs": {"optimize": True}} if kind == "png" else {}
        figure.savefig(file, format=kind, metadata=undated[kind], **smaller)


def check_target(path: Path, *, force: bool) -> None:
    """Raise ConfigError unless a figure can be written there."""
    if path.suffix.lower() not in FORMATS:
        raise ConfigError(
            f"{path}: cannot tell the format from the name; expected a name that ends "
            f"in {', '.join(FORMATS[:-1])} or {FORMATS[-1]}"
        )
    check_is_free(path, force=force)


@contextmanager
def _looks(figure: Plot | None = None, fonts: Sequence[str] = ()) -> Iterator[None]:
    """Draw in our style, whatever the user's settings of matplotlib are."""
    style = {
        "font.family": [*fonts] or ["DejaVu Sans"],
        "font.size": _SMALL,
        "axes.titlesize": _SMALL,
        "axes.linewidth": 0.8,
        "agg.path.chunksize": 10_000,
        "svg.fonttype": "none",  # text that can be selected and read aloud
        "svg.hashsalt": "charrnn",
        "pdf.fonttype": 42,
    }
    with warnings.catch_warnings(), matplotlib.style.context(["default", style]):
        # What a font lacks, or has no room, has been dealt with or cannot be helped.
        warnings.filterwarnings("ignore", module="matplotlib")
        warnings.filterwarnings("ignore", message="Glyph|constrained_layout")
        yield


def _writable(names: Sequence[str]) -> tuple[list[str], list[str], list[str]]:
    """Return names as the fonts here can write them, these fonts, and notes.

    Characters that no font has become escapes such as \\u4e2d.
    """
    fonts = ["DejaVu Sans"]
    missing = _lacking({*"".join(names)}, fonts[0])
    if missing:
        installed = {*fontManager.get_font_names()}
        for family in (each for each in _FALLBACKS if each in installed):
            left = _lacking(missing, family)
            if left != missing:
                fonts.append(family)
            missing = left
    if not missing:
        return [*names], fonts, []
    escapes = {ord(c): c.encode("unicode_escape").decode() for c in missing}
    note = (
        f"no font for {''.join(sorted(missing))!s:.20}; escapes are drawn instead. The "
        "Noto fonts have these characters"
    )
    return short_names([name.translate(escapes) for name in names]), fonts, [note]


def _lacking(characters: set[str], family: str) -> set[str]:
    """Return those characters that a font does not have."""
    known = get_font(findfont(family)).get_charmap()
    return {character for character in characters if ord(character) not in known}


class _Losses:
    """The panel of the losses, with a label at the end of each line."""

    def __init__(
        self,
        panel: Axes,
        theme: _Theme,
        runs: Sequence[Curves],
        styles: Sequence[_Style],
        axis: str,
        height: float,
    ) -> None:
        self._panel, self._theme, self._axis = panel, theme, axis
        self._runs, self._styles, self._height = runs, styles, height
        self._labels: list[tuple[float, float, str, str]] = []  # x, y, text, color

    def draw(self) -> None:
        """Draw everything."""
        for run, style in zip(self._runs, self._styles, strict=True):
            self._draw_run(run, style)
        self._draw_ngrams()
        low, high = loss_limits(self._runs)
        self._panel.set_ylim(low, high)
        self._draw_rollbacks()
        self._draw_labels()
        self._draw_title()

    def _draw_run(self, run: Curves, style: _Style) -> None:
        panel, x, alone = self._panel, run.x(self._axis), len(self._runs) == 1
        training, best = self._theme.series[1] if alone else style.color, run.best
        marker = "o" if self._has_dots(run) else ""
        if len(self._runs) <= _MANY or best is None:
            panel.plot(
                *(x, run.train_loss),
                marker=marker,
                markersize=2,
                color=training,
                linestyle=_DASHES[1] if alone else style.dash,
                linewidth=1.1,
                alpha=1 if alone else 0.55,
                gid=f"{style.name} training",
            )
        panel.plot(
            *(x, run.val_loss),
            marker=marker,
            markersize=3.5,
            color=style.color,
            linestyle=style.dash,
            linewidth=2 if len(self._runs) <= _MANY else 1.4,
            gid=f"{style.name} validation",
        )
        if best is not None:
            panel.plot(
                *([x[best]], [run.val_loss[best]]),
                color=style.color,
                marker="o",
                markersize=9,
                fillstyle="none",
                markeredgewidth=1.6,
                gid=f"{style.name} best",
                zorder=4,
            )
        if alone:
            self._label(x, run.train_loss, "training", training)
            self._label(x, run.val_loss, "validation", style.color)
        elif best is None:
            self._label(x, run.train_loss, style.name, style.color)
        else:
            text = f"{style.name}  {run.val_loss[best]:.3f}"
            self._label(x, run.val_loss, text, style.color)

    def _has_dots(self, run: Curves) -> bool:
        losses = (run.train_loss, run.val_loss)
        one = any(np.isfinite(each).sum() == 1 for each in losses)
        return one or (len(run.step) <= _FEW and len(self._runs) <= _MANY)

    def _label(self, x: Array, y: Array, text: str, color: str) -> None:
        """Remember a label for the last point of a line."""
        known = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
        if len(known):
            self._labels.append((x[known[-1]], y[known[-1]], text, color))

    def _draw_ngrams(self) -> None:
        found: dict[tuple[int, float], list[_Style]] = {}
        for run, style in zip(self._runs, self._styles, strict=True):
            if run.ngram_loss is not None:
                key = run.ngram_order, round(run.ngram_loss, 6)
                found.setdefault(key, []).append(style)
        for (order, loss), styles in found.items():
            shared = len(found) == 1
            color = self._theme.muted if shared else styles[0].color
            text = f"{order}-gram  {loss:.3f}"
            if not shared:
                text = f"{order}-gram of {styles[0].name}"
            self._panel.axhline(loss, color=color, linewidth=1, linestyle=":")
            right = self._panel.get_xlim()[1]
            self._labels.append((right, loss, text, color))

    def _draw_rollbacks(self) -> None:
        low = self._panel.get_ylim()[0]
        for run, style in zip(self._runs, self._styles, strict=True):
            x = run.rollback_x(self._axis)
            if len(x):
                self._panel.plot(
                    *(x, np.full(len(x), low)),
                    color=style.color,
                    linestyle="",
                    marker="x",
                    markersize=7,
                    markeredgewidth=1.6,
                    clip_on=False,
                    gid=f"{style.name} rollbacks",
                    zorder=5,
                )

    def _draw_labels(self) -> None:
        """Draw the labels right of the panel, one below the other."""
        low, high = self._panel.get_ylim()
        labels = sorted(self._labels, key=lambda label: label[1])
        wanted = [min(1, max(0, (y - low) / (high - low))) for _, y, _, _ in labels]
        places = _apart(wanted, _LABEL / (self._height - 1))
        for (x, y, text, color), place in zip(labels, places, strict=True):
            self._panel.annotate(
                text,
                (x, min(high, y)),
                (1.025, place),
                textcoords="axes fraction",
                color=color,
                verticalalignment="center",
                annotation_clip=False,
                parse_math=False,
                arrowprops={
                    "arrowstyle": "-",
                    "color": color,
                    "linewidth": 0.7,
                    "alpha": 0.6,
                    "shrinkA": 1,
                    "shrinkB": 5,
                    "relpos": (0, 0.5),
                },
            )

    def _draw_title(self) -> None:
        one = self._runs[0]
        best = one.best
        if len(self._runs) > 1:
            title, facts = "Losses of runs", ["thick: validation", "thin: training"]
            if len(self._runs) > _MANY:
                facts = ["validation"]
            if any(run.best is not None for run in self._runs):
                facts.append("○ best")
        elif best is None:
            title, facts = self._styles[0].name, ["no validation text"]
        else:
            title = self._styles[0].name
            facts = [f"○ best {one.val_loss[best]:.4f} at step {one.step[best]:,.0f}"]
        if any(run.rollbacks for run in self._runs):
            facts.append("× diverged, and went back")
        self._panel.set_title(
            title,
            loc="left",
            y=1,
            pad=24,
            fontsize=_NORMAL,
            fontweight="bold",
            color=self._theme.ink,
            parse_math=False,
        )
        self._panel.annotate(
            "  ·  ".join(["nats per character", *facts]),
            *((0, 1), (0, 9)),
            xycoords="axes fraction",
            textcoords="offset points",
            color=self._theme.muted,
            parse_math=False,
        )


def _draw_measure(
    panel: Axes,
    theme: _Theme,
    runs: Sequence[Curves],
    styles: Sequence[_Style],
    axis: str,
    name: str,
) -> None:
    for run, style in zip(runs, styles, strict=True):
        panel.plot(
            *(run.x(axis), run.measure(name)),
            color=style.color,
            linestyle=style.dash,
            linewidth=1.4,
            marker="." if len(run.step) <= _FEW else "",
            markersize=4,
            clip_on=False,
            gid=f"{style.name} {name}",
        )
    panel.set_ylim(bottom=0)
    panel.set_title(MEASURES[name], loc="left", color=theme.muted, pad=5)


def _draw_axes(panel: Axes, theme: _Theme, ticks: int) -> None:
    panel.set_facecolor(theme.page)
    panel.grid(axis="y", color=theme.rule, linewidth=0.8)
    panel.set_axisbelow(True)
    panel.spines[["left", "right", "top"]].set_visible(False)
    panel.spines["bottom"].set_color(theme.rule)
    panel.tick_params(colors=theme.muted, length=0, pad=5)
    panel.yaxis.set_major_locator(MaxNLocator(ticks, steps=[1, 2, 5, 10]))
    panel.yaxis.set_major_formatter(_Numbers())


def _draw_x_axis(panel: Axes, runs: Sequence[Curves], axis: str, theme: _Theme) -> None:
    whole = axis == "steps"
    panel.xaxis.set_major_locator(MaxNLocator(7, steps=[1, 2, 5, 10], integer=whole))
    panel.xaxis.set_major_formatter(_Numbers())
    places = np.concatenate([[*run.x(axis), *run.rollback_x(axis)] for run in runs])
    panel.set_xlim(0, 1.03 * np.nanmax(places) or 1)
    panel.set_xlabel(_AXIS_LABELS[axis], color=theme.muted, loc="right")


class _Numbers(Formatter):  # type: ignore[misc, unused-ignore]
    """Numbers at an axis, with thousands apart and equally many decimals."""

    def __call__(self, value: float, pos: int | None = None) -> str:
        return f"{value:g}"

    def format_ticks(self, values: Iterable[float]) -> list[str]:
        """Return the labels of all ticks."""
        among = [float(value) for value in values]
        return [tick_label(value, among) for value in among]


def _apart(wanted: Sequence[float], distance: float) -> list[float]:
    """Return ascending places near those that are wanted, at least a distance apart.

    wanted is ascending. Places that are too close move apart from their middle, and all
    stay between 0 and 1 if there is room.
    """
    groups: list[list[float]] = []  # of places that touch each other
    for place in wanted:
        groups.append([place])
        while len(groups) > 1 and _low(groups[-1], distance) < distance + _high(
            groups[-2], distance
        ):
            last = groups.pop()
            groups[-1] += last
    return [
        _low(group, distance) + i * distance
        for group in groups
        for i in range(len(group))
    ]


def _low(group: Sequence[float], distance: float) -> float:
    """Return where the lowest of a group is: around its middle, but inside."""
    length = distance * (len(group) - 1)
    return max(0.0, min(1 - length, sum(group) / len(group) - length / 2))


def _high(group: Sequence[float], distance: float) -> float:
    return _low(group, distance) + distance * (len(group) - 1)
