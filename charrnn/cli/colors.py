"""Tinted text on a terminal of 256 colours, readable on a dark and a light ground.

Low levels colour the letters, high ones the ground behind black letters. A space of a
low level has a line below it, which shows the colour.
"""

import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby

import click

from charrnn.cli.options import Decorator
from charrnn.markup.tint import LEVELS, Mark, clusters
from charrnn.text.characters import escaped

_WHEN = ("auto", "always", "never")

_LETTERS = (94, 130, 166, 160)  # numbers of the palette of xterm
_GROUNDS = (223, 215, 208, 202)
_LOW_LETTERS = (24, 25, 32, 33)  # for levels below zero
_LOW_GROUNDS = (153, 117, 75, 39)
_BLACK = 16
_RESET = "\x1b[0m"
_BYTE = re.compile("[\udc80-\udcff]")  # no character, but a byte of a text of bytes


def color_option(group: Callable[..., Decorator]) -> Decorator:
    """Return the decorator of --color, among the options of a group."""
    return group(
        "--color",
        type=click.Choice(_WHEN),
        default="auto",
        metavar="NAME",
        default_text="auto",
        help="auto, always or never. auto colours on a terminal, unless NO_COLOR is "
        "set.",
    )


def use_color(when: str) -> bool:
    """Return whether to colour standard output: "auto", "always" or "never".

    "auto" colours on a terminal, unless NO_COLOR is set (no-color.org).
    """
    if when != "auto":
        return when == "always"
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return sys.stdout.isatty() and not plain


def painted(marks: Iterable[Mark], *, color: bool) -> Iterator[str]:
    """Yield marks as text for a terminal, perhaps without colours.

    Control characters are escaped. A line end with a tint shows a sign.
    """
    for (level, underlined), run in groupby(clusters(marks), _style):
        text = "".join(mark.character for mark in run)
        if not color or not level:
            yield _harmless(text)
            continue
        start = f"\x1b[{'4;' if underlined else ''}{_color(level)}m"
        shown_ends = text.replace("\n", "↵\n")
        yield "\n".join(
            line and f"{start}{_harmless(line)}{_RESET}"
            for line in shown_ends.split("\n")
        )


def scale(*, color: bool) -> Iterator[str]:
    """Yield the levels in their colours; nothing without colours."""
    if color:
        names = [*map(str, range(LEVELS)), f"{LEVELS} and more"]
        for level, name in enumerate(names):
            yield from painted([Mark(c, level, "") for c in name], color=True)
            yield " "


def _style(mark: Mark) -> tuple[int, bool]:
    is_low = 0 < abs(mark.level) <= len(_LETTERS)
    return mark.level, is_low and mark.character == " "


def _color(level: int) -> str:
    letters, grounds = (
        (_LETTERS, _GROUNDS) if level > 0 else (_LOW_LETTERS, _LOW_GROUNDS)
    )
    if abs(level) <= len(letters):
        return f"38;5;{letters[abs(level) - 1]}"
    return f"38;5;{_BLACK};48;5;{grounds[abs(level) - len(letters) - 1]}"


def _harmless(text: str) -> str:
    return _BYTE.sub(lambda found: f"\\x{ord(found[0]) - 0xDC00:02x}", escaped(text))
