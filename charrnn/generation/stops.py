"""Texts that end before a stop string, while they are still being written."""

from collections.abc import Iterable, Iterator


def until(rows: Iterable[list[str]], stop: str) -> Iterator[list[str]]:
    """Yield the next piece of every text, each cut before the first `stop` in it.

    rows holds the next character of every text. A piece is "" while the text may have
    begun to write `stop`, and after the text has ended. Ends when all texts have.
    """
    if not stop:
        yield from rows
        return
    held: list[str] = []  # for each text, its end, if `stop` begins with it
    for row in rows:
        held = held or [""] * len(row)
        pieces = []
        for i, character in enumerate(row):
            piece, held[i] = _advance(held[i], character, stop)
            pieces.append(piece)
        yield pieces
        if all(end == stop for end in held):
            return
    rest = ["" if end == stop else end for end in held]
    if any(rest):
        yield rest


def _advance(held: str, character: str, stop: str) -> tuple[str, str]:
    """Return what can be written now, and what must still be held."""
    if held == stop:  # the text has ended
        return "", held
    held += character
    start = 0
    while not stop.startswith(held[start:]):
        start += 1
    return held[:start], held[start:]
