"""A model's losses next to those of an n-gram fitted on the same split."""

from dataclasses import dataclass

from charrnn.evaluation.loss import Score, evaluate
from charrnn.evaluation.ngram import WittenBell
from charrnn.nn.model import Model
from charrnn.nn.parameters import Array

_ORDER = 6  # characters in the longest n-gram


@dataclass(frozen=True)
class Scoreboard:
    """Losses on the two parts of a split; the n-gram is fitted on the first part."""

    train: Score  # on the end of the first part, of the same length as the second
    val: Score  # on the whole second part
    ngram: Score  # on the second part, with the order that does best there
    ngram_order: int


def score(model: Model, train: Array, val: Array) -> Scoreboard:
    """Evaluate a model on both parts of a text, and an n-gram fitted on the first.

    train and val are ids. Only the end of the first part is scored, of the same length
    as the second part: the mean over the whole first part would be much the same, and
    take many times longer.
    """
    by_order = WittenBell.fit(train, model.config.vocab, order=_ORDER).mean_losses(val)
    best = int(by_order.argmin())
    return Scoreboard(
        train=evaluate(model, train[-max(2, len(val)) :], threads=0),
        val=evaluate(model, val, threads=0),
        ngram=Score(float(by_order[best]), len(val) - 1),
        ngram_order=best + 1,
    )
