"""Where a text ends: at a stop, at the end mark, or after a whole sentence or line.

Texts are cut while they are still being written, so what might be the beginning of a
stop is held back until the next characters decide.
"""

import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from charrnn.config import UNTIL
from charrnn.errors import CharRNNWarning, ConfigError
from charrnn.generation.unknown import unknown_error
from charrnn.option import one_of
from charrnn.text.vocab import Vocabulary

# Characters that a text may go on for, after its length, until an end comes.
MOST_EXTRA = 2000
_CONTEXT = 16  # characters that a pattern may look back on

# A sentence ends with one of these, perhaps several ("?!", "..."), and closing quotes
# or brackets. The first kind also stands inside numbers and abbreviations, and ends a
# sentence only if white space follows.
_BEFORE_SPACE = ".!?…"
_ALONE = "。！？｡।॥؟۔։።។။"  # Chinese, Japanese, Indic, Arabic, Armenian, Ethiopic, ...
_CLOSING = "\"'”’“‘»«›‹)]}*_」』】〕〉》）］"
_NO_BREAK = "\u00a0\u202f"  # spaces before a closing guillemet, in French
_MARKS = f"[{re.escape(_BEFORE_SPACE + _ALONE + _CLOSING + _NO_BREAK)}]"
# These match if a text ends before its last character.
_ENDS = {
    "sentence": re.compile(
        rf"[{_BEFORE_SPACE}]{_MARKS}*[^\S{_NO_BREAK}]+\Z"
        rf"|[{_ALONE}]{_MARKS}*(?!{_MARKS}).\Z",
        re.DOTALL,
    ),
    "line": re.compile(r"\n\Z"),
    "paragraph": re.compile(r"\n\n\Z"),
}


@dataclass(frozen=True)
class Ending:
    """Where a text ends, besides at the end mark.

    Attributes
    ----------
    stops : sequence of str
        The text ends before the first of these in it.
    until : str
        "sentence", "line" or "paragraph": the text ends at the first end of one after
        `length` characters. "" means that it simply has `length` characters.
    length : int
        Characters before `until` counts.
    """

    stops: Sequence[str] = ()
    until: str = ""
    length: int = 0


def ending_of(
    stop: str | Sequence[str], until: str, length: int, vocab: Vocabulary
) -> Ending:
    """Return the ending that a user describes; stop may be "", one or several.

    Raises ConfigError or TextError for an end that can never come.
    """
    stops = [stop] if isinstance(stop, str) and stop else [*stop]
    for each in stops:
        if not isinstance(each, str) or not each:
            raise ConfigError(f"stop is {each!r}; expected at least one character")
        if vocab.unknown(each):
            what = f"the stop {each!r} can never come"
            raise unknown_error(what, each, vocab, "leave it out, or name another")
    if until:
        one_of("until", until, UNTIL)
        marks = _BEFORE_SPACE + _ALONE if until == "sentence" else "\n"
        if not any(c in vocab for c in marks):
            raise ConfigError(
                f"until is {until!r}, but the model knows no character that ends a "
                f"{until}; leave it out"
            )
    return Ending(stops, until, length)


def cut(rows: Iterable[list[str]], ending: Ending) -> Iterator[list[str]]:
    """Yield the next piece of every text, each cut where it ends.

    rows holds the next character of every text, "" for the end mark. A piece is "" if a
    stop may have begun, and after the text has ended. Ends when all texts have.
    """
    texts: list[_Text] = []
    for row in rows:
        texts = texts or [_Text(ending) for _ in row]
        yield [text.add(c) for text, c in zip(texts, row, strict=True)]
        if all(text.over for text in texts):
            return
    unfinished = ending.until and texts
    rest = [text.rest() for text in texts]
    if any(rest):
        yield rest
    if unfinished:
        warnings.warn(
            f"no {ending.until} ended in the {MOST_EXTRA:,} characters after the first "
            f"{ending.length:,}, so a text ends in the middle of one",
            CharRNNWarning,
            stacklevel=2,
        )


class _Text:
    """One text: what is held back of it, and whether it is over."""

    def __init__(self, ending: Ending) -> None:
        self.over = False
        self._stops, self._held = tuple(ending.stops), ""
        self._until = _Until(ending) if ending.until else None

    def add(self, character: str) -> str:
        """Return what can be written now that the next character is known."""
        if self.over:
            return ""
        if not character:
            return self.rest()
        piece, self._held, self.over = _split(self._held + character, self._stops)
        return self._before_end(piece)

    def rest(self) -> str:
        """Return what was held back; nothing more comes."""
        if self.over:
            return ""
        piece, _, _ = _split(self._held, self._stops, more=False)
        self.over = True
        return self._before_end(piece)

    def _before_end(self, piece: str) -> str:
        until = self._until
        if until is None:
            return piece
        piece = "".join(map(until.add, piece))
        if self.over:
            piece += until.rest()
        self.over |= until.reached
        return piece


def _split(
    held: str, stops: tuple[str, ...], *, more: bool = True
) -> tuple[str, str, bool]:
    """Return what can be written, what must be held, and whether a stop was found.

    The stop that begins first is found, so a longer one that began earlier is awaited
    if `more` characters come.
    """
    for start in range(len(held)):
        tail = held[start:]
        if tail.startswith(stops):
            return held[:start], "", True
        if more and any(stop.startswith(tail) for stop in stops):
            return held[:start], tail, False
    return held, "", False


class _Until:
    """Looks for the first end of a sentence, line or paragraph after the length."""

    def __init__(self, ending: Ending) -> None:
        self.reached = False
        self._until, self._length = ending.until, ending.length
        self._written, self._blank = 0, True
        self._tail = self._held = ""

    def add(self, character: str) -> str:
        """Return what can be written now that the next character is known."""
        if self.reached or self._ends_before(character):
            self.reached, self._held = True, ""
            return ""
        self._written += 1
        self._blank = self._blank and character.isspace()
        self._tail = (self._tail + character)[-_CONTEXT:]
        # The line end at the end of a paragraph does not belong to it.
        held = self._held + character
        self._held = "\n" if (self._until, character) == ("paragraph", "\n") else ""
        return held.removesuffix(self._held)

    def rest(self) -> str:
        """Return what was held back; nothing more comes."""
        held, self._held = self._held, ""
        return held

    def _ends_before(self, character: str) -> bool:
        """Return whether the text is complete before the next character."""
        if self._blank or self._written < self._length:
            return False
        ends = _ENDS[self._until]
        # The end may also be just behind, with the white space that follows it.
        behind = self._written == self._length and self._tail[-1].isspace()
        return bool(
            ends.search(self._tail + character) or (behind and ends.search(self._tail))
        )
