"""How well a model predicts a text: nats and bits per character, perplexity."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import exp, log

import numpy as np

from charrnn.errors import TextError
from charrnn.nn.functional import softmax_losses_
from charrnn.nn.model import Model
from charrnn.nn.parameters import Array
from charrnn.nn.workers import available_cores, blas_threads, in_threads

# A single stream leaves most of the machine idle, so a text is cut into up to STREAMS
# streams. Each stream first reads the _WARM_UP characters before its start; their
# predictions do not count. The state soon forgets older characters: in the networks
# measured, the mean differed from that of a single stream by 1e-7 to 2e-5 nats.
STREAMS = 128
_WARM_UP = 128
_WINDOW = 32


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
    counts: Array  # (T, S) bool; False past the end of the text


def predictions(
    model: Model, ids: Array, *, streams: int = STREAMS, part: int = 0, parts: int = 1
) -> Iterator[Predictions]:
    """Read ids (n + 1,) once, as S streams of C = ceil(n / S) predictions each.

    Stream s predicts ids[s·C + 1 : (s + 1)·C + 1]. The last stream may run past the end
    of the text; those predictions do not count. The state starts at zero and is carried
    from window to window. If `parts` is more than 1, the streams are divided into that
    many parts, and only part number `part` is read.
    """
    n = len(ids) - 1
    if n < 1:
        raise TextError(
            f"{len(ids)} characters leave nothing to predict; expected 2 or more"
        )
    C = stream_length(n, streams)
    S = -(-n // C)
    warm_up = _WARM_UP if S > 1 else 0
    padded = np.zeros(warm_up + S * C + 1, ids.dtype)
    padded[warm_up : warm_up + n + 1] = ids
    # Row t holds character t of every stream, the warm-up first.
    rows = np.lib.stride_tricks.sliding_window_view(padded, warm_up + C + 1)[::C].T
    first, last = S * part // parts, S * (part + 1) // parts
    rows = rows[:, first:last]
    N = last - first
    state, workspace = model.zero_state(N), model.workspace(_WINDOW, N)
    for start in range(0, warm_up, _WINDOW):
        _, state = model.forward(rows[start : start + _WINDOW], state, workspace)
    if warm_up and first == 0:  # nothing precedes the first stream
        for array in (array for layer in state for array in layer):
            array[0] = 0
    rows = rows[warm_up:]
    for start in range(0, C, _WINDOW):
        stop = min(start + _WINDOW, C)
        logits, state = model.forward(rows[start:stop], state, workspace)
        steps = np.arange(start, stop)[:, None]
        counts = np.arange(first, last) * C + steps < n
        yield Predictions(start, logits, rows[start + 1 : stop + 1], counts)


def stream_length(n: int, streams: int = STREAMS) -> int:
    """Return C, the number of predictions per stream, for n predictions."""
    return -(-n // max(1, min(streams, n // (4 * _WARM_UP))))


def losses(
    model: Model, ids: Array, *, streams: int = STREAMS, threads: int = 1
) -> Array:
    """Return the loss in nats of each of ids[1:], given all ids before it.

    The result has shape (len(ids) - 1,). With `streams=1` the text is read exactly as
    written, one character after another. The streams are divided among `threads`
    threads; 0 means one thread per core, each with one BLAS thread.
    """
    if not threads:
        with blas_threads(1):
            return losses(model, ids, streams=streams, threads=available_cores())
    n = len(ids) - 1
    parts = max(1, min(threads, -(-n // stream_length(max(1, n), streams))))

    def work(part: int) -> Array:
        windows = []
        for window in predictions(model, ids, streams=streams, part=part, parts=parts):
            logits = window.logits.reshape(-1, window.logits.shape[-1])
            found, _ = softmax_losses_(logits, window.targets.reshape(-1))
            windows.append(found.reshape(window.targets.shape).astype(np.float64))
        in_part: Array = np.concatenate(windows)
        return in_part

    by_step: Array = np.concatenate(in_threads(work, parts), axis=1)
    in_order: Array = by_step.T.reshape(-1)
    return in_order[:n]


def evaluate(
    model: Model, ids: Array, *, streams: int = STREAMS, threads: int = 1
) -> Score:
    """Return the mean of `losses`, which has the same arguments."""
    found = losses(model, ids, streams=streams, threads=threads)
    return Score(float(found.mean()), len(found))
