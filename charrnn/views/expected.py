"""What a model expected at each character of a text that it has written."""

import codecs
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice, repeat
from math import isfinite, log

import numpy as np

from charrnn.markup.tint import LEVELS, Mark, level
from charrnn.nn.parameters import Array
from charrnn.text.characters import quoted

STRONGEST = float(LEVELS)  # bits of the strongest tint, so that a level is a bit
ALTERNATIVES = 3


@dataclass(frozen=True)
class Character:
    """A character, or a byte, and what might have stood there, at temperature 1."""

    character: str
    bits: float  # -log2 of its probability; nan between two documents
    alternatives: list[tuple[str, float]]  # the likeliest others, best first

    @property
    def probability(self) -> float:
        """Its probability, given all characters before it."""
        return float(2.0**-self.bits)

    def details(self, *, is_byte: bool = False) -> str:
        """Return what a page shows of it, as plain text."""
        if not isfinite(self.bits):
            return "end of document"
        name, p = _name(self.character, is_byte), _percent(self.probability)
        lines = [f"{name}: {p}, {self.bits:.2f} bits"]
        if self.alternatives:
            others = [
                f"{_name(other, is_byte)} {_percent(p)}"
                for other, p in self.alternatives
            ]
            lines.append(f"instead: {', '.join(others)}")
        return "\n".join(lines)


@dataclass(frozen=True, eq=False)
class Expected:
    """The probabilities at each of the n characters of a text, at temperature 1."""

    bits: Array  # (n,)
    others: Array  # (n, 3 or fewer) ids of the likeliest other characters
    probabilities: Array  # of these

    def characters(self, text: str, symbols: Sequence[str]) -> Iterator[Character]:
        """Yield the characters of the text; symbols are those of the vocabulary."""
        for i, character in enumerate(text):
            ids, p = self.others[i].tolist(), self.probabilities[i].tolist()
            others = [*zip(map(symbols.__getitem__, ids), p, strict=True)]
            bits = float(self.bits[i])
            yield Character(character, bits, others if isfinite(bits) else [])


def expected(losses: Array, p: Array, targets: Array) -> Expected:
    """Return what was expected: losses (n,) in nats, p (n, V), targets (n,)."""
    size = min(ALTERNATIVES, p.shape[1] - 1)
    others = p.copy()
    others[np.arange(len(targets)), targets] = -1
    best = np.argpartition(-others, max(0, size - 1), axis=1)[:, :size]
    found = np.take_along_axis(others, best, axis=1)
    ranks = np.argsort(-found, axis=1, kind="stable")
    return Expected(
        losses / log(2),
        np.take_along_axis(best, ranks, axis=1).astype(np.int32),
        np.take_along_axis(found, ranks, axis=1),
    )


def in_a_row(parts: Sequence[Expected]) -> Expected | None:
    """Return what was expected in parts of a text; None if there are none."""
    if len(parts) < 2:
        return parts[0] if parts else None
    return Expected(
        np.concatenate([part.bits for part in parts]),
        np.concatenate([part.others for part in parts]),
        np.concatenate([part.probabilities for part in parts]),
    )


def by_line_ends(documents: Sequence[Expected | None]) -> Expected | None:
    """Return what was expected in documents that line ends join.

    Nothing was expected at the line ends. None stands for an empty document.
    """
    size = max((each.others.shape[1] for each in documents if each), default=0)
    nothing = Expected(
        np.array([np.nan]), np.zeros((1, size), np.int32), np.zeros((1, size))
    )
    parts = [part for each in documents for part in (nothing, each)][1:]
    return in_a_row([part for part in parts if part])


def marks(
    characters: Iterable[Character],
    copied: Iterable[str] = repeat(""),
    *,
    are_bytes: bool = False,
    details: bool = True,
) -> Iterator[Mark]:
    """Yield characters as marks. copied tells where each was copied from, or is "".

    In a model of bytes, the bytes of a character in UTF-8 are one mark, and any other
    byte is U+DC80 to U+DCFF, as in Python's "surrogateescape".
    """
    sources_of = iter(copied)
    for shown, parts in _letters(characters, are_bytes):
        bits = sum(each.bits for each in parts if isfinite(each.bits))
        lines = [each.details(is_byte=are_bytes) for each in parts if details]
        sources = [*dict.fromkeys(filter(None, islice(sources_of, len(parts))))]
        yield Mark(
            shown,
            level(bits, STRONGEST),
            "\n".join([*lines, *sources]) if details else "",
            underlined=bool(sources),
        )


def _letters(
    characters: Iterable[Character], are_bytes: bool
) -> Iterator[tuple[str, list[Character]]]:
    """Yield what is shown, and the characters that it stands for."""
    if not are_bytes:  # an end mark is shown as a line end
        yield from ((each.character or "\n", [each]) for each in characters)
        return
    decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    held: list[Character] = []
    for each in chain(characters, [None]):
        held += [each] if each else []
        data = each.character.encode("latin-1") if each else b""
        for shown in decoder.decode(data, final=each is None):
            size = len(shown.encode("utf-8", "surrogateescape"))
            yield shown, held[:size]
            del held[:size]


def _name(character: str, is_byte: bool) -> str:
    if is_byte and not character.isascii():
        return rf"'\x{ord(character):02x}'"
    return quoted(character) if character else "end of document"


def _percent(p: float) -> str:
    return f"{p:.1%}" if p >= 0.001 else f"{p * 100:.2g}%"
