"""What a network learned, beside what counting learns on the same split."""

from dataclasses import dataclass

from charrnn.evaluation.loss import Score, evaluate
from charrnn.evaluation.ngram import WittenBell
from charrnn.nn.model import Model
from charrnn.nn.parameters import Array
from charrnn.nn.workers import available_cores, blas_threads

_ORDER = 6  # characters of the longest n-gram


@dataclass(frozen=True)
class Scoreboard:
    """Losses on the two parts of a split; the n-gram is fitted on the first."""

    train: Score  # on as many characters of the first part as the second has
    val: Score  # on the whole second part
    ngram: Score  # on the second part, at the order that does best there
    ngram_order: int


def score(model: Model, train: Array, val: Array) -> Scoreboard:
    """Evaluate a model on both parts of a text, and fit the n-gram beside it.

    train and val are ids. The figure of the first part is of its last characters, as
    many as the second has: a mean over all would be the same, many times slower.
    """
    by_order = WittenBell.fit(train, model.config.vocab, order=_ORDER).mean_losses(val)
    best = int(by_order.argmin())
    cores = available_cores()
    with blas_threads(1):  # the streams are split over the cores instead
        return Scoreboard(
            train=evaluate(model, train[-max(2, len(val)) :], threads=cores),
            val=evaluate(model, val, threads=cores),
            ngram=Score(float(by_order[best]), len(val) - 1),
            ngram_order=best + 1,
        )
