"""Text whose characters are tinted, each with a word on it.

A tint goes up to LEVELS for large values, and down to -LEVELS for values below zero.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from charrnn.markup.escape import data, escaped
from charrnn.text.characters import is_mark

LEVELS = 8


@dataclass(frozen=True)
class Mark:
    """A character of a tinted text."""

    character: str
    level: int  # from -LEVELS to LEVELS; 0 is not tinted
    details: str  # plain text, perhaps of several lines
    underlined: bool = False


def level(value: float, largest: float) -> int:
    """Return the tint of a value, the strongest from `largest` on."""
    share = min(1.0, abs(value) / largest)
    return round(share * LEVELS) * (1 if value > 0 else -1)


def tinted(marks: Sequence[Mark], *, name: str, label: str, before: str = "") -> str:
    """Return marks as the HTML of a text that `inspect.js` explains.

    name is an id that no other text of the page has. label is what a screen reader
    reads first. `before` is text that stands before the marks and has no tint.
    """
    shown = [*clusters(marks)]
    parts = []
    for underlined, run in groupby(shown, lambda mark: mark.underlined):
        inner = "".join(map(_span, run))
        parts.append(f"<u>{inner}</u>" if underlined else inner)
    prime = f'<span class="prime">{escaped(before)}</span>' if before else ""
    return (
        f'<div class="text inspect" tabindex="0" role="group" '
        f'aria-label="{escaped(label)}" data-details="{name}">'
        f"{prime}{''.join(parts)}</div>"
        f'<script type="application/json" id="{name}">'
        f"{data([mark.details for mark in shown])}</script>"
    )


def legend(low: str, high: str, *, both: bool = False) -> str:
    """Return the scale of the tints, with the words for its two ends."""
    levels = range(-LEVELS if both else 0, LEVELS + 1)
    fields = "".join(f'<i class="{_class(each)}"></i>' for each in levels)
    return (
        f'<p class="small muted">{escaped(low)}'
        f'<span class="legend" aria-hidden="true">{fields}</span>{escaped(high)}</p>'
    )


def clusters(marks: Iterable[Mark]) -> Iterator[Mark]:
    """Yield marks with combining marks joined to what they stand on."""
    held: Mark | None = None
    for mark in marks:
        if held and (is_mark(mark.character) or mark.character == "\u200d"):
            held = Mark(
                held.character + mark.character,
                max(held.level, mark.level, key=abs),
                f"{held.details}\n{mark.details}",
                held.underlined or mark.underlined,
            )
            continue
        if held:
            yield held
        held = mark
    if held:
        yield held


def _span(mark: Mark) -> str:
    names = [_class(mark.level)] if mark.level else []
    if mark.character == "\n":
        names.append("end")
    attribute = f' class="{" ".join(names)}"' if names else ""
    return f"<i{attribute}>{escaped(mark.character)}</i>"


def _class(level: int) -> str:
    return f"{'t' if level > 0 else 'd'}{abs(level)}" if level else ""
