"""Kinds of characters, and how those are shown that cannot be shown as they are."""

import re
import unicodedata

# Default_Ignorable_Code_Point of the Unicode Character Database: nothing is shown.
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3"
    "\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
# What a terminal would obey, tabs and line ends excepted; and marks by which the text
# around them is shown in another order.
CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_DOTTED_CIRCLE = "\N{DOTTED CIRCLE}"


def is_mark(character: str) -> bool:
    """Return whether a character is a combining mark, of any script."""
    return unicodedata.category(character)[0] == "M"


def is_letter(character: str) -> bool:
    """Return whether a character is a letter or a combining mark, of any script."""
    return unicodedata.category(character)[0] in "LM"


def escaped(text: str) -> str:
    """Return a text with its control characters as escapes such as \\x1b."""
    return CONTROLS.sub(lambda found: _escape(found[0]), text)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")


def is_invisible(character: str) -> bool:
    """Return whether a character by itself shows nothing at all, not even a space."""
    return _INVISIBLE.match(character) is not None


def runs_right_to_left(text: str) -> bool:
    """Return whether a text has characters that are read from right to left.

    Terminals with bidirectional text (Unicode Standard Annex 9) reorder their line.
    """
    return any(unicodedata.bidirectional(c) in ("R", "AL", "AN") for c in {*text})


def on_circle(mark: str) -> str:
    """Return a combining mark with a dotted circle to stand on."""
    return _DOTTED_CIRCLE + mark


def quoted(character: str) -> str:
    """Return a character as `repr` does, but always visible.

    A combining mark stands on a dotted circle. Invisible characters are escaped.
    """
    if is_invisible(character):
        return f"'{_escape(character)}'"
    return f"'{on_circle(character)}'" if is_mark(character) else repr(character)
