"""Line charts as SVG.

Colours are those of the page's style sheet or, where there is none, as in a notebook,
colours that are readable on white and on black.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil, floor, isfinite, log10

from charrnn.markup.escape import escaped

_COLORS = ("#3b82c4", "#d9822b", "#1d9a78", "#b56593")
_DASHES = ("", "6 3", "2 3", "8 3 2 3")
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 12, 10, 34  # margins around the plot
_LINE = 14  # height of a line of text

Point = tuple[float, float]


@dataclass(frozen=True)
class Series:
    """A line of a chart."""

    name: str
    points: Sequence[Point]  # those that are not finite are left out
    spread: Sequence[float] = ()  # of each point, drawn as a band below and above
    dots: bool = False  # whether each point has a dot


@dataclass(frozen=True)
class Chart:
    """Lines over a common axis.

    The title is what screen readers read; a page shows it above the chart.
    """

    title: str
    series: Sequence[Series]
    x_label: str = ""
    marked: Point | None = None  # a point with a ring
    mark_label: str = ""
    width: int = 380
    height: int = 190

    def svg(self) -> str:
        """Return the chart as SVG, as wide as its place, or "" if there is nothing."""
        lines = [*self._lines()]
        if not any(len(line.pairs) > 1 for line in lines):
            return ""
        ends = [point for line in lines for point in (*line.above, *line.below)]
        frame = _Frame(ends, self.width, self.height, has_legend=len(lines) > 1)
        parts = [*frame.axes(self.x_label)]
        for line in lines:
            parts += frame.draw(line)
        if len(lines) > 1:
            parts += frame.legend(lines)
        if self.marked:
            parts += frame.ring(self.marked, self.mark_label)
        return (
            f'<svg class="chart" viewBox="0 0 {self.width} {self.height}" '
            'width="100%" role="img" '
            f'aria-label="{escaped(self.title)}" font-size="11" '
            f'xmlns="http://www.w3.org/2000/svg">{"".join(parts)}</svg>'
        )

    def figure(self) -> str:
        """Return the chart with its title above it, or "" if nothing can be drawn."""
        svg = self.svg()
        if not svg:
            return ""
        return f"<figure><figcaption>{escaped(self.title)}</figcaption>{svg}</figure>"

    def _lines(self) -> Iterator["_Line"]:
        kept = [each for each in self.series if any(map(_is_finite, each.points))]
        for i, series in enumerate(kept):
            number = i % len(_COLORS)
            color = f"var(--series-{number + 1}, {_COLORS[number]})"
            spread = series.spread or [0.0] * len(series.points)
            pairs = zip(series.points, spread, strict=True)
            finite = [pair for pair in pairs if _is_finite(pair[0])]
            yield _Line(series, color, _DASHES[number], finite)


@dataclass(frozen=True)
class _Line:
    """A series as it is drawn."""

    series: Series
    color: str
    dash: str
    pairs: Sequence[tuple[Point, float]]  # points with their spread

    @property
    def points(self) -> list[Point]:
        return [point for point, _ in self.pairs]

    @property
    def above(self) -> list[Point]:
        return [(x, y + spread) for (x, y), spread in self.pairs]

    @property
    def below(self) -> list[Point]:
        return [(x, y - spread) for (x, y), spread in self.pairs]

    @property
    def stroke(self) -> str:
        dashes = f' stroke-dasharray="{self.dash}"' if self.dash else ""
        return f'fill="none" stroke="{self.color}" stroke-width="1.8"{dashes}'


class _Frame:
    """The axes, and where a point lies between them."""

    def __init__(
        self, points: Sequence[Point], width: int, height: int, *, has_legend: bool
    ) -> None:
        xs, ys = zip(*points, strict=True)
        self._x_ticks, self._y_ticks = ticks(min(xs), max(xs)), ticks(min(ys), max(ys))
        self._low_x, self._high_x = _ends(xs)
        self._low_y, self._high_y = _ends(ys, self._y_ticks)
        self._right = width - _RIGHT
        self._top = _TOP + (_LINE + 4 if has_legend else 0)
        self._bottom = height - _BOTTOM
        self._height = height

    def _place(self, point: Point) -> Point:
        x = (point[0] - self._low_x) / (self._high_x - self._low_x)
        y = (point[1] - self._low_y) / (self._high_y - self._low_y)
        return (
            _LEFT + (self._right - _LEFT) * x,
            self._bottom - (self._bottom - self._top) * y,
        )

    def axes(self, x_label: str) -> Iterator[str]:
        rule = "var(--rule, rgba(128,128,128,.4))"
        for value in self._y_ticks:
            _, y = self._place((self._low_x, value))
            yield f'<path d="M{_LEFT} {y:.1f}H{self._right}" stroke="{rule}"/>'
            yield _label(_LEFT - 6, y + 4, tick_label(value, self._y_ticks), "end")
        for value in self._x_ticks:
            x, _ = self._place((value, self._low_y))
            yield f'<path d="M{x:.1f} {self._bottom}v4" stroke="{rule}"/>'
            name = tick_label(value, self._x_ticks)
            yield _label(x, self._bottom + _LINE + 2, name, "middle")
        if x_label:
            yield _label(self._right, self._height - 4, x_label, "end", muted=True)

    def draw(self, line: _Line) -> Iterator[str]:
        if line.series.spread:
            band = self._path([*line.above, *reversed(line.below)])
            yield f'<polygon points="{band}" fill="{line.color}" fill-opacity=".18"/>'
        path = self._path(line.points)
        yield f'<polyline points="{path}" {line.stroke} stroke-linejoin="round"/>'
        for point in line.points if line.series.dots else ():
            x, y = self._place(point)
            yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{line.color}"/>'

    def ring(self, point: Point, label: str) -> Iterator[str]:
        x, y = self._place(point)
        is_high = y < self._top + 2 * _LINE
        room = 3.2 * len(label)  # half the width of the label, about
        anchor = "middle"
        if x - room < _LEFT:
            anchor, x_label = "start", x + 9
        elif x + room > self._right:
            anchor, x_label = "end", x - 9
        else:
            x_label = x
        yield (
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5.5" fill="none" '
            'stroke="currentColor" stroke-width="1.6"/>'
        )
        yield _label(
            x_label, y + (1.7 * _LINE if is_high else -1.7 * _LINE), label, anchor
        )

    def legend(self, lines: Sequence[_Line]) -> Iterator[str]:
        each = (self._right - _LEFT) / len(lines)
        for i, line in enumerate(lines):
            x = _LEFT + i * each
            yield f'<path d="M{x:.1f} {_TOP + 4}h18" {line.stroke}/>'
            yield _label(x + 23, _TOP + 8, line.series.name, "start")

    def _path(self, points: Sequence[Point]) -> str:
        return " ".join(f"{x:.1f},{y:.1f}" for x, y in map(self._place, points))


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Return round numbers that cover the range from `low` to `high`, or most of it.

    Their distance is 1, 2 or 5 times a power of 10.
    """
    if not high > low:
        return [low]
    rough = (high - low) / (most - 1)
    power = 10.0 ** floor(log10(rough))
    step = power * next(n for n in (1, 2, 5, 10) if n * power >= rough * (1 - 1e-9))
    first, last = ceil(low / step - 1e-9), floor(high / step + 1e-9)
    return [i * step for i in range(first, last + 1)]


def _ends(values: Sequence[float], marks: Sequence[float] = ()) -> tuple[float, float]:
    low, high = min([*values, *marks]), max([*values, *marks])
    margin = (high - low) * 0.04 if marks else 0.0
    return (low - margin, high + margin) if high > low else (low - 0.5, high + 0.5)


def tick_label(value: float, among: Sequence[float]) -> str:
    """Return a tick's number, with as many decimals as the ticks need."""
    step = among[1] - among[0] if len(among) > 1 else value or 1.0
    decimals = max(0, -floor(log10(abs(step)) + 1e-9))
    return f"{value + 0.0:,.{decimals}f}"


def _is_finite(point: Point) -> bool:
    return all(map(isfinite, point))


def _label(x: float, y: float, text: str, anchor: str, *, muted: bool = False) -> str:
    color = "var(--muted, currentColor)" if muted else "currentColor"
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{color}">'
        f"{escaped(text)}</text>"
    )
