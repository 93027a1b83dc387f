"""What notebooks show: a model with its learning curve, and texts side by side.

Colors are the page's own (`currentColor`) or readable on white and on black. All
strings are escaped, because a checkpoint is not trusted.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape as escape_markup
from math import isfinite

_TRAIN, _VAL = "#3b82c4", "#d9822b"
_WIDTH, _HEIGHT = 380, 150
_LEFT, _RIGHT, _TOP, _BOTTOM = 42, 8, 8, 22  # margins around the plot
_CARD = (
    "display:inline-block;padding:10px 14px;border-radius:8px;font-size:13px;"
    "border:1px solid rgba(128,128,128,.4);font-family:system-ui,sans-serif"
)
_NAME = "padding:1px 14px 1px 0;text-align:left;border:0;opacity:.7"
_VALUE = "padding:1px 0;text-align:left;border:0"

_TEXT = (
    "padding:2px 14px 8px 0;text-align:left;vertical-align:top;border:0;min-width:9em;"
    "max-width:22em;white-space:pre-wrap;overflow-wrap:anywhere;"
    "unicode-bidi:plaintext"  # each line from its own side, right-to-left ones too
)
# What no page can hold: control characters, half characters and non-characters.
_NO_CHARACTER = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")

Point = tuple[float, float]


def html_card(
    title: str,
    facts: Iterable[tuple[str, str]],
    history: Sequence[Sequence[float | None]],
) -> str:
    """Return a card as HTML.

    facts are names and values, plain text. history has rows (step, training loss,
    validation loss); rows that are not finite are left out of the curve.
    """
    rows = "".join(_row(name, [_escape(value)], _VALUE) for name, value in facts)
    return (
        f'<div style="{_CARD}"><div style="font-weight:600;margin-bottom:4px">'
        f"{_escape(title)}</div>"
        f'<table style="border-collapse:collapse;border:0">{rows}</table>'
        f"{_curve(history)}</div>"
    )


def html_columns(
    titles: Sequence[str],
    texts: Sequence[str],
    figures: Mapping[str, Sequence[str]],
    *,
    footer: str,
) -> str:
    """Return texts side by side as HTML, with their figures below and a last line.

    figures has a name and one value for each text; all are plain text.
    """
    head = _row("", [f"<b>{_escape(title)}</b>" for title in titles], _VALUE)
    body = _row("", [_escape(text) for text in texts], _TEXT)
    rows = "".join(
        _row(name, [_escape(value) for value in values], _VALUE)
        for name, values in figures.items()
    )
    last = f'<div style="margin-top:6px">{_escape(footer)}</div>' if footer else ""
    return (
        f'<div style="{_CARD}"><table style="border-collapse:collapse;border:0">'
        f"{head}{body}{rows}</table>{last}</div>"
    )


def _escape(text: str) -> str:
    """Return a text as HTML, with U+FFFD for what a page cannot hold."""
    return escape_markup(_NO_CHARACTER.sub("\N{REPLACEMENT CHARACTER}", text))


def _row(name: str, cells: Iterable[str], style: str) -> str:
    return (
        f'<tr style="background:none"><td style="{_NAME}">{_escape(name)}</td>'
        + "".join(f'<td style="{style}">{cell}</td>' for cell in cells)
        + "</tr>"
    )


def _curve(history: Sequence[Sequence[float | None]]) -> str:
    """Return the losses over the steps as an SVG, or "" for fewer than two points."""
    points = [
        [number for number in row if number is not None and isfinite(number)]
        for row in history
    ]
    points = [row for row in points if len(row) == 3]
    if len(points) < 2 or points[0][0] >= points[-1][0]:
        return ""
    steps = [row[0] for row in points]
    losses = [loss for row in points for loss in row[1:]]
    low, high = min(losses), max(losses)
    high = high if high > low else low + 1
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM

    def place(step: float, loss: float) -> Point:
        x = _LEFT + (right - _LEFT) * (step - steps[0]) / (steps[-1] - steps[0])
        return x, bottom - (bottom - _TOP) * (loss - low) / (high - low)

    lines = [
        _line([place(row[0], row[1]) for row in points], _TRAIN),
        _line([place(row[0], row[2]) for row in points], _VAL),
    ]
    labels = [
        _label(_LEFT - 5, _TOP + 8, f"{high:.2f}", "end"),
        _label(_LEFT - 5, bottom, f"{low:.2f}", "end"),
        _label(_LEFT, _HEIGHT - 6, f"step {steps[0]:,.0f}", "start"),
        _label(right, _HEIGHT - 6, f"{steps[-1]:,.0f}", "end"),
        _label(right - 64, _TOP + 10, "training", "end", _TRAIN),
        _label(right - 2, _TOP + 10, "validation", "end", _VAL),
    ]
    axes = (
        f'<path d="M{_LEFT} {_TOP}V{bottom}H{right}" fill="none" '
        'stroke="currentColor" stroke-opacity=".4"/>'
    )
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}" '
        'role="img" aria-label="Loss in nats per character over the steps" '
        'style="display:block;margin-top:6px" xmlns="http://www.w3.org/2000/svg">'
        f"{axes}{''.join(lines)}{''.join(labels)}</svg>"
    )


def _line(points: Iterable[Point], color: str) -> str:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return (
        f'<polyline points="{path}" fill="none" stroke="{color}" stroke-width="1.6"/>'
    )


def _label(
    x: float, y: float, text: str, anchor: str, color: str = "currentColor"
) -> str:
    return (
        f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" fill="{color}" '
        f'font-size="11">{_escape(text)}</text>'
    )
