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

# A pass over a single stream leaves the machine idle, so a text is cut into up to this
# many. Each stream first reads the characters before its start, to warm up its state;
# the predictions for those do not count. The state soon forgets older characters: the
# mean differed from that of one stream by 1e-7 to 2e-5 nats in the networks measured.
STREAMS = 128
_RUN_IN = 128
_WINDOW = 32


@dataclass(frozen=True)
class Score:
    """The mean loss on a text, in the units that people quote.

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
    """One window of a pass over a text, S streams side by side."""

    start: int  # the window's first step, in each stream
    logits: Array  # (T, S, V); the model's own array, overwritten by the next window
    targets: Array  # (T, S), the characters that really came next
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
    run_in = _RUN_IN if S > 1 else 0
    padded = np.zeros(run_in + S * C + 1, ids.dtype)
    padded[run_in : run_in + n + 1] = ids
    # Row t holds character t of every stream, the run-in first.
    rows = np.lib.stride_tricks.sliding_window_view(padded, run_in + C + 1)[::C].T
    first, last = S * part // parts, S * (part + 1) // parts
    rows = rows[:, first:last]
    N = last - first
    state, workspace = model.zero_state(N), model.workspace(_WINDOW, N)
    for start in range(0, run_in, _WINDOW):
        _, state = model.forward(rows[start : start + _WINDOW], state, workspace)
    if run_in and first == 0:  # nothing stands before the first stream
        for array in (array for layer in state for array in layer):
            array[0] = 0
    rows = rows[run_in:]
    for start in range(0, C, _WINDOW):
        stop = min(start + _WINDOW, C)
        logits, state = model.forward(rows[start:stop], state, workspace)
        steps = np.arange(start, stop)[:, None]
        counts = np.arange(first, last) * C + steps < n
        yield Predictions(start, logits, rows[start + 1 : stop + 1], counts)


def stream_length(n: int, streams: int = STREAMS) -> int:
    """Return C, the predictions per stream if n predictions are cut into streams."""
    return -(-n // max(1, min(streams, n // (4 * _RUN_IN))))


def losses(
    model: Model, ids: Array, *, streams: int = STREAMS, threads: int = 1
) -> Array:
    """Return the loss in nats of each of ids[1:], given all ids before it.

    The result has shape (len(ids) - 1,). With `streams=1` the text is read exactly as
    written, one character after another. The streams are divided over `threads`
    threads; 0 means all cores, with one BLAS thread each.
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
