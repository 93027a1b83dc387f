"""A way out of loops: repeating a long stretch of the text becomes less likely.

At a low temperature, a network takes the same way each time it comes to the same place,
and ends in a loop. A penalty on characters that the text already has, as it is used on
words, would forbid the letter e. So this one is on long stretches. If the last n
characters, n >= FREE, also stand earlier in the text, the character that followed there
loses `penalty` nats for each of the n + 1 - FREE characters. The longer the repetition,
the larger the penalty, until another character is likelier. That happens soonest at the
start of a word, where the network has a choice, so that words stay whole. The idea is
that of DRY (p-e-w 2024), whose penalty grows exponentially with the number of words.
"""

from collections import defaultdict
from collections.abc import Iterable

from charrnn.nn.parameters import Array

FREE = 15  # stretches below this length, such as names, may be repeated
_MEMORY = 10_000  # the latest characters of a text, at least, that count


class Repeats:
    """Lowers the logits of characters that would lengthen a repetition, in n texts.

    Parameters
    ----------
    penalty : float
        Nats per repeated character.
    prime : Array
        The ids (P,) that every text starts with.
    n : int
        The number of texts.
    """

    def __init__(self, penalty: float, prime: Array, n: int) -> None:
        self._penalty = penalty
        self._texts = [_Text(prime[-_MEMORY:].tolist()) for _ in range(n)]

    def lower(self, logits: Array) -> None:
        """Lower the logits (n, V) of the next characters, in place."""
        for text, row in zip(self._texts, logits, strict=True):
            for id_, length in text.followers().items():
                row[id_] -= self._penalty * (length + 1 - FREE)

    def append(self, ids: Array) -> None:
        """Add a character to each text; ids (n,)."""
        for text, id_ in zip(self._texts, ids.tolist(), strict=True):
            text.append(id_)


class _Text:
    """The latest characters of a text, and where its end also stands earlier in it."""

    def __init__(self, ids: Iterable[int]) -> None:
        self._read(ids)

    def _read(self, ids: Iterable[int]) -> None:
        self._ids: list[int] = []
        # Of each stretch of FREE characters: the positions that follow it.
        self._after: defaultdict[tuple[int, ...], list[int]] = defaultdict(list)
        # Positions before which the text has its last characters already: how many.
        self._lengths: dict[int, int] = {}
        for id_ in ids:
            self.append(id_)

    def append(self, id_: int) -> None:
        """Add a character."""
        ids, before = self._ids, self._lengths
        ids.append(id_)
        if len(ids) == 2 * _MEMORY:
            self._read(ids[-_MEMORY:])
        elif len(ids) >= FREE:
            positions = self._after[tuple(ids[-FREE:])]
            self._lengths = {i: before.get(i - 1, FREE - 1) + 1 for i in positions}
            positions.append(len(ids))

    def followers(self) -> dict[int, int]:
        """Return the characters that would lengthen a repetition, with its length."""
        longest: dict[int, int] = {}
        for i, length in self._lengths.items():
            id_ = self._ids[i]
            longest[id_] = max(length, longest.get(id_, 0))
        return longest
