"""How well a model predicts a text: nats and bits per character, perplexity."""

from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from itertools import count, islice
from math import exp, log
from typing import TypeAlias

import numpy as np

from charrnn.errors import TextError
from charrnn.machine import available_cores
from charrnn.nn.functional import softmax_losses_
from charrnn.nn.parameters import Array
from charrnn.nn.predictor import Predictor
from charrnn.nn.workers import Threads, blas_threads
from charrnn.ranks import Ranks
from charrnn.text.ids import release_memory

# A single stream leaves most of the machine idle, so a text is cut into up to STREAMS
# streams. Each stream first reads the _WARM_UP characters before its start; their
# predictions do not count. The state soon forgets older characters: in the networks
# measured, the mean differed from that of a single stream by 1e-7 to 2e-5 nats.
STREAMS = 128
_WARM_UP = 128
_WINDOW = 32
# A window has fewer steps if its logits would be more than this many (8 MB): with 128
# streams, above 512 characters.
_LOGITS = 1 << 21
_FEW = 8  # segments of a memory map that are read at a time
_BLOCK = 512  # windows whose losses are in memory at a time

OnProgress: TypeAlias = Callable[[int], object]
"""Called with the number of characters scored since the last call."""


@dataclass(frozen=True)
class Score:
    """The mean loss on a text, in nats, bits and as perplexity.

    Attributes
    ----------
    nats : float
        Mean cross-entropy in nats per character; lower is better.
    characters : int
        The number of predictions in the mean.
    """

    nats: float
    characters: int

    @classmethod
    def of(cls, losses: Array) -> "Score":
        """Return the mean of losses (n,)."""
        return cls(float(losses.mean()), len(losses))

    @property
    def bits(self) -> float:
        """Bits per character."""
        return self.nats / log(2)

    @property
    def perplexity(self) -> float:
        """exp(nats): the effective number of equally likely next characters."""
        return exp(min(self.nats, 700.0))


@dataclass(frozen=True)
class Predictions:
    """One window of a pass over a text in S parallel streams."""

    start: int  # the window's first step in each stream
    logits: Array  # (T, S, V); the model's own array, overwritten by the next window
    targets: Array  # (T, S), the characters that came next
    places: Array  # (T, S), the number of each prediction; n or more past the end
    counts: Array  # (T, S) bool; False past the end of the text


@dataclass(frozen=True)
class Scored:
    """Some scored predictions of a text, in no particular order."""

    places: Array  # (R,), the number of each prediction, from 0
    losses: Array  # (R,), in nats
    probabilities: Array  # (R, V) of each character; not to be kept or changed


OnScored: TypeAlias = Callable[[Scored], object]
"""Called with each prediction once, and by several threads at the same time."""


@dataclass(frozen=True)
class Streams:
    """Which part of a text S parallel streams read; each makes C predictions."""

    starts: Array  # (S,); stream s predicts the characters after starts[s]
    length: int  # C
    end: int  # n, the number of predictions in the whole text

    @property
    def characters(self) -> int:
        """The number of predictions of all streams together."""
        return sum(stop - start for start, stop in self.spans)

    @property
    def spans(self) -> list[tuple[int, int]]:
        """Where the predictions of each stream start and stop."""
        stops = np.minimum(self.starts + self.length, self.end)
        return list(zip(self.starts.tolist(), stops.tolist(), strict=True))


def cut(n: int, *, streams: int = STREAMS, limit: int = 0) -> Streams:
    """Return the streams that read a text of n predictions, n at least 1.

    They divide it among them. If `limit` is not 0 and below n, they read that many
    predictions or just fewer, in segments spread evenly over the text.
    """
    if not 0 < limit < n:
        C = stream_length(n, streams)
        return Streams(np.arange(-(-n // C)) * C, C, n)
    S = _most_streams(limit, streams)
    C = limit // S
    return Streams(np.arange(S) * n // S, C, n)


def stream_length(n: int, streams: int = STREAMS) -> int:
    """Return C, the number of predictions per stream, for n predictions."""
    return -(-n // _most_streams(n, streams))


def _most_streams(n: int, streams: int) -> int:
    return max(1, min(streams, n // (4 * _WARM_UP)))


def predictions(
    model: Predictor,
    ids: Array,
    *,
    streams: int = STREAMS,
    limit: int = 0,
    part: int = 0,
    parts: int = 1,
) -> Iterator[Predictions]:
    """Read ids (n + 1,) once, in the S streams of `cut`, of C predictions each.

    Stream s predicts ids[start + 1 : start + C + 1], where start is starts[s]. The last
    stream may run past the end of the text; those predictions do not count. The state
    is zero before the text, and is carried from window to window. If `parts` is more
    than 1, the streams are divided into that many parts, and only part number `part` is
    read. The ids may be a memory map: they are read window by window or, if `limit` is
    not 0, all at once.
    """
    check_length(ids)
    n = len(ids) - 1
    found = cut(n, streams=streams, limit=limit)
    C, S = found.length, len(found.starts)
    warm_up = _WARM_UP if S > 1 else 0
    T = max(1, min(_WINDOW, _LOGITS // (S * model.vocab)))
    first, last = S * part // parts, S * (part + 1) // parts
    starts = found.starts[first:last]
    N = last - first
    state, workspace = model.zero_state(N), model.workspace(T, N)
    if limit:
        ids, starts = _segments(ids, starts - warm_up, warm_up + C + 1)
        starts = starts + warm_up
    for start in range(-warm_up, 0, T):
        rows = _rows(ids, starts, start, min(start + T, 0))
        state = model.read(rows, state, workspace)
    if warm_up and first == 0:  # nothing precedes the first stream
        for array in (array for layer in state for array in layer):
            array[0] = 0
    for start in range(0, C, T):
        stop = min(start + T, C)
        rows = _rows(ids, starts, start, stop + 1)
        logits, state = model.forward(rows[:-1], state, workspace)
        places = found.starts[first:last] + np.arange(start, stop)[:, None]
        yield Predictions(start, logits, rows[1:], places, places < n)


def check_length(ids: Array) -> None:
    """Raise TextError if a text leaves nothing to predict."""
    if len(ids) < 2:
        raise TextError(
            f"{len(ids)} characters leave nothing to predict; expected 2 or more"
        )


def _segments(ids: Array, starts: Array, length: int) -> tuple[Array, Array]:
    """Return segments of ids, one after another, and where each one starts.

    A page of a memory map can be large, so few of them are kept at a time.
    """
    segments = []
    for few in np.array_split(starts, -(-len(starts) // _FEW)):
        segments.append(_rows(ids, few, 0, length).T.reshape(-1))
        release_memory(ids)
    return np.concatenate(segments), np.arange(len(starts)) * length


def _rows(ids: Array, starts: Array, start: int, stop: int) -> Array:
    """Return characters start to stop of each stream, as rows (stop - start, N).

    Outside the text, its first or last character is repeated.
    """
    at = starts + np.arange(start, stop)[:, None]
    found: Array = np.asarray(ids).take(at, mode="clip")
    return found


def losses(
    model: Predictor,
    ids: Array,
    *,
    streams: int = STREAMS,
    threads: int = 1,
    on_progress: OnProgress | None = None,
) -> Array:
    """Return the loss in nats of each of ids[1:], given all ids before it.

    The result has shape (len(ids) - 1,). With `streams=1` the text is read exactly as
    written, one character after another. The streams are divided among `threads`
    threads; 0 means one thread per core, each with one BLAS thread.
    """
    windows = _scored(model, ids, streams, 0, threads, on_progress)
    by_step: Array = np.concatenate([found for found, _ in windows])
    in_order: Array = by_step.T.reshape(-1)
    return in_order[: len(ids) - 1]


def evaluate(
    model: Predictor,
    ids: Array,
    *,
    streams: int = STREAMS,
    limit: int = 0,
    threads: int = 1,
    on_progress: OnProgress | None = None,
    on_scored: OnScored | None = None,
    stop: Callable[[], bool] = lambda: False,
    ranks: Ranks | None = None,
) -> Score:
    """Return the mean of `losses`, which has the same arguments.

    If `limit` is not 0, no more than that many characters are scored: segments spread
    evenly over the text, the same in every call (see `cut`). `on_scored` gets every
    prediction. `stop` is asked again and again whether to give up, by raising
    `nn.workers.Stopped`. Several ranks divide the streams, each with so many threads.
    """
    ranks = ranks or Ranks()
    windows = _scored(
        model, ids, streams, limit, threads, on_progress, on_scored, stop, ranks
    )

    def work() -> tuple[float, float]:
        total, characters = 0.0, 0
        while block := list(islice(windows, _BLOCK)):
            by_step, counts = (
                np.concatenate(arrays) for arrays in zip(*block, strict=True)
            )
            found = by_step.T[counts.T]  # stream by stream, in the order of the text
            total += float(found.sum())
            characters += len(found)
        return total, characters

    total, characters = ranks.totals(work)
    return Score(total / characters, int(characters))


def _scored(
    model: Predictor,
    ids: Array,
    streams: int,
    limit: int,
    threads: int,
    on_progress: OnProgress | None = None,
    on_scored: OnScored | None = None,
    stop: Callable[[], bool] = lambda: False,
    ranks: Ranks | None = None,
) -> Iterator[tuple[Array, Array]]:
    """Yield the losses (T, S) of each window, and which of them count.

    The threads meet after each window, so that an interrupt never waits for long.
    """
    if not threads:
        with blas_threads(1):
            cores = available_cores()
            yield from _scored(
                model, ids, streams, limit, cores, on_progress, on_scored, stop, ranks
            )
        return
    ranks = ranks or Ranks()
    S = len(cut(max(1, len(ids) - 1), streams=streams, limit=limit).starts)
    parts = max(1, min(threads * ranks.size, S))
    own = range(parts)[ranks.share(parts)]
    if not own:
        return
    passes = [
        predictions(model, ids, streams=streams, limit=limit, part=part, parts=parts)
        for part in own
    ]

    def work(part: int) -> tuple[Array, Array] | None:
        window = next(passes[part], None)
        if window is None:
            return None
        logits = window.logits.reshape(-1, window.logits.shape[-1])
        found, p = softmax_losses_(logits, window.targets.reshape(-1))
        if on_scored:
            here = np.flatnonzero(window.counts)
            on_scored(Scored(window.places.reshape(-1)[here], found[here], p[here]))
        return found.reshape(window.targets.shape).astype(np.float64), window.counts

    with closing(Threads(len(own), stop)) as team:
        for number in count(1):
            done = [each for each in team.run(work) if each]
            if not done or number % _BLOCK == 0:
                release_memory(ids)
            if not done:  # all parts end together
                return
            found, counts = (
                np.concatenate(arrays, axis=1) for arrays in zip(*done, strict=True)
            )
            if on_progress:
                on_progress(int(np.count_nonzero(counts)))
            yield found, counts
