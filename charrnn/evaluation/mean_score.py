"""How well an ensemble predicts a text, and each of its networks alone."""

from dataclasses import dataclass

import numpy as np

from charrnn.evaluation.loss import OnProgress, Score, losses
from charrnn.nn.parameters import Array
from charrnn.nn.predictor import Predictor


@dataclass(frozen=True)
class MeanScore:
    """The scores of networks on a text, and that of their mean probabilities."""

    members: list[Score]
    mean: Score

    @property
    def gain(self) -> float:
        """By how many nats the mean is better than the best network; may be below 0."""
        return min(score.nats for score in self.members) - self.mean.nats


def score_members(
    predictor: Predictor, ids: Array, *, on_progress: OnProgress | None = None
) -> MeanScore:
    """Return the scores on a text of the networks of an ensemble, and of the ensemble.

    The probability that the mean gives to a character is the mean of those that the
    networks give to it. So each network reads the text once. on_progress is called with
    the characters scored since the last call; there are len(ids) - 1 for each network.
    """
    scores, sums = [], None
    for network in predictor.members:
        found = losses(network, ids, threads=0, on_progress=on_progress)
        scores.append(Score.of(found))
        sums = -found if sums is None else np.logaddexp(sums, -found, out=sums)
    assert sums is not None  # there is a network
    nats = float(np.log(len(scores)) - sums.mean())
    return MeanScore(scores, Score(nats, len(sums)))
