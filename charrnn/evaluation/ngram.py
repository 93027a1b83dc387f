"""The classical baseline: an interpolated Witten-Bell n-gram over characters.

An n-gram of order n predicts a character from the n - 1 characters before it. Each
order is interpolated with the next shorter one, down to the uniform distribution over V
characters:

    p(c | h) = (count(h c) + D(h) * p(c | h')) / (count(h) + D(h))

Here count(h) is how often context h was followed by a character, D(h) is the number of
distinct characters that followed it, and h' is the context without its first character.
If h was never followed by a character, p(c | h) = p(c | h'). Estimator: Witten and Bell
1991 (their method C); interpolated form: Chen and Goodman 1998, section 2.4.

Storage: a k-gram is represented by its rank among the distinct k-grams of the text, so
a (k + 1)-gram has the key rank * V + next character, for any k and V. One sort of the
keys gives the ranks of the next order; looking one up is a binary search. Fitting on N
characters takes time proportional to order * N log N, and up to 40 bytes per character;
the fitted model takes about 20 bytes per distinct k-gram, k = 1 to order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from charrnn.errors import ConfigError, ShapeError, TextError

Ids = npt.NDArray[np.integer[Any]]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Counts = npt.NDArray[np.uint32]

FIT_LIMIT = 3_000_000
"""`WittenBell.fit` reads only this many characters, the last ones, to save time."""

_GRAMS_LIMIT = 3_000_000  # distinct k-grams in memory: 60 MB

_PIECE = 1 << 16  # predictions made at a time, to save memory


@dataclass(frozen=True)
class _Order:
    """Counts of the K distinct k-grams of one length k, and of their C contexts.

    Every array has one extra entry, the last, for k-grams or contexts never seen.
    """

    keys: Ints  # (K + 1,) rank of the context * V + character, ascending
    counts: Counts  # (K + 1,) occurrences of each k-gram
    totals: Counts  # (C + 1,) count(h)
    distinct: Counts  # (C + 1,) D(h)

    @property
    def unseen(self) -> int:
        """The rank of every k-gram that is not in the table."""
        return self.keys.size - 1

    def ranks(self, keys: Ints) -> Ints:
        """Return the rank of the k-gram with each key, or `unseen`."""
        ranks = np.searchsorted(self.keys, keys)
        ranks[self.keys[ranks] != keys] = self.unseen
        return ranks

    def blend(self, contexts: Ints, grams: Ints, shorter: Floats) -> Floats:
        """Return p(c | h) from the shorter context's p(c | h'), all of one shape."""
        D = self.distinct[contexts]
        return (self.counts[grams] + D * shorter) / (self.totals[contexts] + D)


@dataclass(frozen=True)
class WittenBell:
    """An n-gram model of a text; `fit` makes one."""

    order: int  # n: n - 1 characters of context and the one predicted
    vocab_size: int  # V
    orders: tuple[_Order, ...]  # counts of the k-grams, k = 1 to n

    @classmethod
    def fit(
        cls,
        ids: Ids,
        vocab_size: int,
        *,
        order: int = 6,
        on_progress: Callable[[int], object] | None = None,
    ) -> WittenBell:
        """Count the k-grams of a text for k = 1 to `order`.

        ids (N,) integers in [0, vocab_size), N may be 0; a 6-gram sees 5 characters of
        context. Only the last `FIT_LIMIT` characters of a longer text are read. If more
        than 3 million k-grams are distinct, the longest are left out, and with them the
        highest orders: most of them occurred once, and predict nothing.
        `on_progress` is called with the number of characters counted since its last
        call; all orders together count the text once.
        Raises ConfigError, ShapeError or TextError if an argument is invalid.
        """
        _check_sizes(vocab_size, order)
        ids = _checked(ids[-FIT_LIMIT:], vocab_size)
        orders: list[_Order] = []
        ranks = np.zeros(ids.size, np.uint32)  # of the only context, the empty one
        n_contexts, room = 1, _GRAMS_LIMIT
        for k in range(1, order + 1):
            ranks = ranks[: ids[k - 1 :].size]
            counted = _count(ranks, ids[k - 1 :], vocab_size, n_contexts, room)
            if not counted:
                break
            orders.append(counted)
            n_contexts = counted.unseen
            room -= n_contexts
            if on_progress:
                on_progress(ids.size * k // order - ids.size * (k - 1) // order)
        return cls(len(orders), vocab_size, tuple(orders))

    def losses(self, ids: Ids) -> Floats:
        """Return the loss in nats of each of ids[1:], given the ids before it.

        ids (N,) integers in [0, V); returns (N - 1,). The first characters have fewer
        than order - 1 characters before them, and are predicted from those.
        """
        found = self._losses_by_order(ids, 0, len(ids) - 1)
        return np.concatenate([np.empty(0), *(losses[-1].copy() for losses in found)])

    def mean_losses(
        self,
        ids: Ids,
        spans: Iterable[tuple[int, int]] = (),
        *,
        on_progress: Callable[[int], object] | None = None,
    ) -> Floats:
        """Return the mean loss in nats per character on ids[1:], for all orders 1 to n.

        Shape (order,); entry k - 1 is the loss of a k-gram fitted on the same text. If
        `spans` are given, only ids[start + 1 : stop + 1] are predicted for each (start,
        stop) of them. `on_progress` is called with the number of characters predicted
        since its last call.
        Raises TextError if `ids` has fewer than two characters.
        """
        if len(ids) < 2:
            raise TextError(
                f"a text of {len(ids)} characters has nothing to predict; expected 2 "
                "or more; evaluate on a longer text"
            )
        sums, characters = np.zeros(self.order), 0
        for start, stop in spans or [(0, len(ids) - 1)]:
            for losses in self._losses_by_order(ids, start, stop):
                sums += losses.sum(axis=1)
                characters += losses.shape[1]
                if on_progress:
                    on_progress(losses.shape[1])
        return sums / characters

    def _losses_by_order(self, ids: Ids, start: int, stop: int) -> Iterator[Floats]:
        """Yield (order, M) losses of the next M of ids[start + 1 : stop + 1]."""
        for first in range(start + 1, stop + 1, _PIECE):
            last = min(first + _PIECE, stop + 1)
            begin = max(0, first - self.order + 1)  # the first one's context
            piece = _checked(ids[begin:last], self.vocab_size, begin)
            probabilities = self._probabilities(piece)
            yield -np.log(np.stack(list(probabilities))[:, first - begin :])

    def _probabilities(self, ids: Ids) -> Iterator[Floats]:
        """Yield p of each character of `ids` by a k-gram, for k = 1 to n."""
        p = np.full(ids.size, 1 / self.vocab_size)
        contexts = np.zeros(ids.size, np.int64)
        for counted in self.orders:
            grams = counted.ranks(contexts * self.vocab_size + ids)
            p = counted.blend(contexts, grams, p)
            yield p
            contexts = np.append(counted.unseen, grams[:-1])


def _count(
    ranks: Counts, ids: Ids, vocab_size: int, n_contexts: int, room: int
) -> _Order | None:
    """Return the counts of the k-grams of a text, or None if more than `room` differ.

    ranks (M,) are those of the contexts before each of the ids (M,), of which there are
    `n_contexts`. They are replaced by the ranks of the k-grams, unless there are too
    many.
    """
    keys = ranks.astype(np.int64)
    keys *= vocab_size
    keys += ids
    positions = _sort(keys, n_contexts * vocab_size)
    is_first = np.ones(keys.size, np.bool_)
    np.not_equal(keys[1:], keys[:-1], out=is_first[1:])
    if np.count_nonzero(is_first) > room:
        return None
    ranks[positions] = np.cumsum(is_first, dtype=np.uint32) - np.uint32(1)
    del positions  # before the tables need as much memory
    firsts = np.flatnonzero(is_first).astype(np.uint32)
    counts = np.diff(firsts, append=np.uint32(keys.size))
    keys = keys[is_first]
    return _tabulate(keys, counts, vocab_size, n_contexts)


def _sort(keys: Ints, n_keys: int) -> Counts:
    """Sort keys in [0, n_keys), in place; return the position that each one had."""
    bits = keys.size.bit_length()
    if n_keys << bits > 1 << 63:
        order = np.argsort(keys)
        keys[:] = keys[order]
        return order.astype(np.uint32)
    # Sorting numbers that hold key and position is three times as fast as argsort.
    keys <<= bits
    keys |= np.arange(keys.size, dtype=np.uint32)
    keys.sort()
    positions = np.empty(keys.size, np.uint32)
    np.bitwise_and(keys, (1 << bits) - 1, out=positions, casting="unsafe")
    keys >>= bits
    return positions


def _tabulate(keys: Ints, counts: Counts, vocab_size: int, n_contexts: int) -> _Order:
    contexts = keys // vocab_size
    totals = np.bincount(contexts, counts, n_contexts + 1).astype(np.uint32)
    distinct = np.bincount(contexts, minlength=n_contexts + 1).astype(np.uint32)
    del contexts  # before the copies below need as much memory
    # At least 1, so that p(c | h) = p(c | h') if nothing ever followed h.
    np.maximum(distinct, 1, out=distinct)
    return _Order(
        keys=np.append(keys, np.iinfo(np.int64).max),
        counts=np.append(counts, np.uint32(0)),
        totals=totals,
        distinct=distinct,
    )


def _check_sizes(vocab_size: int, order: int) -> None:
    if order < 1:
        raise ConfigError(f"order is {order}; expected 1 or more; try 6")
    if not 1 <= vocab_size <= 1 << 32:
        raise ConfigError(
            f"vocab_size is {vocab_size}; expected 1 to 2**32; "
            "give the number of distinct characters"
        )


def _checked(ids: Ids, vocab_size: int, position: int = 0) -> Ids:
    """Return ids as an array, if they are valid; the first is at `position`."""
    ids = np.asarray(ids)
    if ids.ndim != 1 or not np.can_cast(ids.dtype, np.int64):
        raise ShapeError(
            f"ids are {ids.dtype} of shape {ids.shape}; expected one row of integers "
            "(uint8, uint16 or uint32); encode the text with its vocabulary"
        )
    if ids.size and not 0 <= ids.min() <= ids.max() < vocab_size:
        at = int(np.argmax((ids < 0) | (ids >= vocab_size)))
        raise TextError(
            f"ids[{position + at}] is {ids[at]}; expected 0 to {vocab_size - 1}; "
            "encode the text with the vocabulary of the fitted text"
        )
    return ids
