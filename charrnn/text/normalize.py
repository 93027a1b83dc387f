"""Unicode normalisation of a text that comes in pieces.

A text is cut only before characters that normalisation cannot join with what stands
before them (Unicode Standard Annex #15, section 9), so that the pieces give exactly
what `unicodedata.normalize` gives for the whole.
"""

import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from typing import Literal

import numpy as np

from charrnn.errors import TextError

FORMS: dict[str, Literal["NFC", "NFD", "NFKC"]] = {
    "nfc": "NFC",
    "nfd": "NFD",
    "nfkc": "NFKC",
}
NONE = "none"
# No language stacks that many marks on a letter. Python's time is quadratic in them.
_MOST_MARKS = 1024
_LAST = 0x20000  # no composition has a character beyond


class Normalizer:
    """Brings a text, given one piece after another, into one of Unicode's forms.

    form is "nfc", "nfd", "nfkc" or "none", which changes nothing. A sequence of more
    than 1,024 combining marks is treated in parts of that length.

    Raises TextError for another form.
    """

    def __init__(self, form: str) -> None:
        if form != NONE and form not in FORMS:
            raise TextError(
                f"normalisation {form!r} is not known; expected "
                f"{', '.join(FORMS)} or {NONE}"
            )
        self._form = FORMS.get(form)
        self._held: list[str] = []  # from the last place at which a text may be cut
        self._held_length = 0
        self.changed = 0  # characters

    def feed(self, text: str, final: bool = False) -> str:
        """Return the normalised text as far as it is certain; all of it if `final`."""
        if self._form is None:
            return text
        cut = len(text) if final else _last_boundary(text)
        if cut is None:
            self._hold(text)
            return self._release_overlong()
        ready = "".join((*self._held, text[:cut]))
        self._held, self._held_length = [], 0
        self._hold(text[cut:])
        return self._normalized(ready)

    def notes(self) -> list[str]:
        """Return a note on the characters that changed, if there were any.

        The number is approximate if characters of the same kind came and went.
        """
        if not self.changed:
            return []
        return [
            f"normalised to {self._form}: {self.changed:,} characters changed "
            f'(--normalize {NONE} keeps them; in Python: normalize="{NONE}")'
        ]

    def _hold(self, text: str) -> None:
        if text:
            self._held.append(text)
            self._held_length += len(text)

    def _release_overlong(self) -> str:
        """Return, and let go, what is held beyond the most marks in a sequence."""
        if self._held_length <= _MOST_MARKS:
            return ""
        held = "".join(self._held)
        cut = (len(held) - 1) // _MOST_MARKS * _MOST_MARKS
        self._held, self._held_length = [held[cut:]], len(held) - cut
        return self._normalized(held[:cut])

    def _normalized(self, text: str) -> str:
        if self._form is None or text.isascii():
            return text
        parts = [*_parts(text)]
        normal = [unicodedata.normalize(self._form, part) for part in parts]
        pairs = [
            (old, new) for old, new in zip(parts, normal, strict=True) if old != new
        ]
        if not pairs:
            return text
        self.changed += _changes(*map("".join, zip(*pairs, strict=True)))
        return "".join(normal)


def _last_boundary(text: str) -> int | None:
    """Return the last index at which a text may be cut, or None."""
    for index in range(len(text) - 1, -1, -1):
        if _may_begin(text[index]):
            return index
    return None


def _may_begin(character: str) -> bool:
    """Return whether a text may be cut before a character."""
    return character < "\u0300" or character not in _joining()


@lru_cache(maxsize=1)
def _joining() -> frozenset[str]:
    """Return the characters that may be joined with, or moved before, the one before.

    These are combining marks, the second halves of compositions (the vowels and final
    consonants of Hangul are such), and what decomposes into one of these first.
    """
    assigned = [
        character
        for character in map(chr, range(0x300, _LAST))
        if unicodedata.category(character) not in ("Cn", "Cs", "Co")
    ]
    seconds = {chr(code) for code in (*range(0x1161, 0x1176), *range(0x11A8, 0x11C3))}
    for character in map(chr, range(0xC0, _LAST)):
        canonical = unicodedata.decomposition(character).split()
        if len(canonical) == 2 and not canonical[0].startswith("<"):
            seconds.add(chr(int(canonical[1], 16)))

    def joins(character: str) -> bool:
        return character in seconds or unicodedata.combining(character) != 0

    return frozenset(
        character
        for character in assigned
        if joins(unicodedata.normalize("NFKD", character)[0])
    )


def _parts(text: str) -> Iterator[str]:
    """Yield a text in parts that can be normalised one by one.

    Sequences of too many marks are cut as well, each from its start. A sequence that is
    too long holds one of the positions that are looked at.
    """
    done = position = 0
    while (position := position + _MOST_MARKS) < len(text):
        start, end = position, position + 1
        while start > done and not _may_begin(text[start]):
            start -= 1
        while end < len(text) and not _may_begin(text[end]):
            end += 1
        if start > done:
            yield text[done:start]
        done = start
        while end - done > _MOST_MARKS:
            yield text[done : done + _MOST_MARKS]
            done += _MOST_MARKS
        position = max(position, done)
    yield text[done:]


def _changes(before: str, after: str) -> int:
    """Return how many characters of a text are not in its normal form."""
    codes = [
        np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4")
        for text in (before, after)
    ]
    most = max(int(part.max()) for part in codes)
    old, new = (np.bincount(part, minlength=most + 1) for part in codes)
    return int((old - new).clip(min=0).sum())
