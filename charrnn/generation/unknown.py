"""Characters that a model has never seen: respelled, refused, skipped, or mapped."""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from itertools import permutations

from charrnn.config import ON_UNKNOWN
from charrnn.errors import ConfigError, TextError
from charrnn.text.characters import is_mark, quoted
from charrnn.text.vocab import Vocabulary

# Typographic characters that Unicode does not decompose into plain ones.
_PLAIN = {"‘": "'", "’": "'", "“": '"', "”": '"', "–": "-", "—": "--", "\t": " "}
_NAMED = 10  # unknown characters that an error names at most
_JAMO = "\u1160-\u11ff\ud7b0-\ud7ff"  # Hangul vowels and finals, which compose
_MOST_MARKS = 4  # on one letter, of which all orders are tried


def known_only(
    text: str, vocab: Vocabulary, on_unknown: str, what: str = "the text"
) -> str:
    """Return a text in the characters of a vocabulary; see `TextModel.encode`.

    `what` is what errors call the text.
    """
    if on_unknown not in ON_UNKNOWN:
        raise ConfigError(
            f"on_unknown is {on_unknown!r}; expected {', '.join(ON_UNKNOWN)}"
        )
    if not isinstance(text, str):
        raise TextError(f"{what} is a {type(text).__name__}; expected a str")
    if not vocab.unknown(text):
        return text
    text = respelled(text, vocab)
    unknown = vocab.unknown(text)
    if not unknown:
        return text
    if on_unknown == "error":
        if vocab.unknown_id is not None:  # which stands for them
            return text
        raise unknown_error(
            what,
            text,
            vocab,
            "leave them out, or set on_unknown to skip or map",
        )
    table = {ord(c): nearest(c, vocab) if on_unknown == "map" else "" for c in unknown}
    return text.translate(table)


def unknown_error(
    what: str, text: str, vocab: Vocabulary, advice: str = "leave them out"
) -> TextError:
    """Return the error for a text with characters that a model has never seen.

    It names up to ten of them, each with the nearest known one if there is one. `what`
    is what the text is, such as "the prime"; `advice` ends the message.
    """
    unknown = vocab.unknown(text)
    names = []
    for character in unknown[:_NAMED]:
        near = nearest(character, vocab)
        names.append(quoted(character) + (f" (nearest: {near!r})" if near else ""))
    more = f" and {len(unknown) - _NAMED} more" if len(unknown) > _NAMED else ""
    return TextError(
        f"{what}: the model has never seen {', '.join(names)}{more}; {advice}"
    )


def nearest(character: str, vocab: Vocabulary) -> str:
    """Return the known text closest to an unknown character, or "" if there is none."""
    plain = _PLAIN.get(character) or "".join(
        c
        for c in unicodedata.normalize("NFKD", character)
        if not unicodedata.combining(c)
    )
    for candidate in (plain, plain.swapcase()):
        if candidate and not vocab.unknown(candidate):
            return candidate
    return ""


def respelled(text: str, vocab: Vocabulary) -> str:
    """Return a text with its unknown characters composed or decomposed, if that helps.

    Unicode has several spellings of one character: é is one code point, or e and a
    combining accent. They are canonically equivalent, the same text (Unicode Standard
    Annex 15). Each letter with its marks that has an unknown character gets the
    spelling that the vocabulary knows. What has none stays as it is.
    """
    marks = "".join(sorted(c for c in {*text} if is_mark(c)))
    spellings = _Spellings(vocab)
    return re.sub(
        f"(?s:.)[{_JAMO}{marks}]*", lambda match: spellings.known(match.group()), text
    )


class _Spellings:
    """The spellings of letters with marks that a vocabulary knows."""

    def __init__(self, vocab: Vocabulary) -> None:
        self._characters = frozenset(vocab.characters)
        # The known characters by their decomposition, which is the same for all
        # spellings of a character.
        self._composed = {
            unicodedata.normalize("NFD", c): c for c in reversed(vocab.characters)
        }
        self._found: dict[str, str] = {}

    def known(self, letter: str) -> str:
        """Return a letter with its marks in a known spelling, or else as it is."""
        if self._characters.issuperset(letter):
            return letter
        if letter not in self._found:
            self._found[letter] = next(self._candidates(letter), letter)
        return self._found[letter]

    def _candidates(self, letter: str) -> Iterator[str]:
        """Yield the known spellings of a letter with its marks."""
        plain = unicodedata.normalize("NFD", letter)
        if plain in self._composed:
            yield self._composed[plain]
        first, marks = plain[0], plain[1:]
        orders = permutations(marks) if len(marks) <= _MOST_MARKS else [marks]
        for order in orders:
            spelling = self._greedy(first, order)
            same = unicodedata.normalize("NFD", spelling) == plain
            if same and self._characters.issuperset(spelling):
                yield spelling

    def _greedy(self, first: str, marks: Iterable[str]) -> str:
        """Return a letter with marks in as few characters as the vocabulary allows."""
        pieces = [first]
        for mark in marks:
            if pieces[-1] + mark in self._composed:
                pieces[-1] += mark
            else:
                pieces.append(mark)
        return "".join(self._composed.get(piece, piece) for piece in pieces)
