"""How well several models predict a text, each alone and all together."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from charrnn.evaluation.loss import OnProgress, Score, losses
from charrnn.nn.parameters import Array
from charrnn.nn.predictor import Predictor


@dataclass(frozen=True)
class MeanScore:
    """The scores of models and their networks on a text, and of the mean of all."""

    models: list[Score]
    members: list[Score]  # the networks of the models; a model may have several
    mean: Score  # of the mean probabilities of all networks

    @property
    def gain(self) -> float:
        """By how many nats the mean is better than the best model; may be below 0."""
        return min(score.nats for score in self.models) - self.mean.nats


def score_together(
    models: Sequence[Predictor], ids: Array, *, on_progress: OnProgress | None = None
) -> MeanScore:
    """Return the scores of models and their networks on a text, and of all together.

    The probability that the mean gives to a character is the mean of those that the
    networks give to it. So each network reads the text once. on_progress is called with
    the characters scored since the last call; there are len(ids) - 1 for each network.
    """
    scores: list[Score] = []
    members: list[Score] = []
    total = None
    for model in models:
        own = None
        for network in model.members:
            found = losses(network, ids, threads=0, on_progress=on_progress)
            members.append(Score.of(found))
            own = _log_sum(own, -found)
        assert own is not None  # there is a network
        scores.append(_of_mean(own, len(model.members)))
        total = _log_sum(total, own)
    assert total is not None  # there is a model
    return MeanScore(scores, members, _of_mean(total, len(members)))


def _log_sum(one: Array | None, other: Array) -> Array:
    """Return the log of the sum of probabilities, given their logs."""
    return other if one is None else np.logaddexp(one, other)


def _of_mean(log_sum: Array, n: int) -> Score:
    """Return the score of the mean of n probabilities, given the log of their sum."""
    return Score.of(np.log(n) - log_sum)
