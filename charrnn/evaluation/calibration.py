"""Temperature scaling: calibrates a model's confidence on held-out text."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import exp, log

import numpy as np

from charrnn.evaluation.loss import predictions
from charrnn.nn.ensemble import log_mean_
from charrnn.nn.functional import log_softmax
from charrnn.nn.parameters import Array
from charrnn.nn.predictor import Predictor

# At most about this many logits are used. With 65 characters that is 23,000
# predictions, enough to find the temperature to about 0.01.
_LOGITS = 1_500_000
_MOST_LOGITS = 15_000_000  # of all networks of an ensemble
COLDEST, HOTTEST = 0.1, 10.0
_FEWEST = 1000  # predictions from which to conclude how sure a model may be


# The temperatures of the curve, as factors of the best one.
_FACTORS = tuple(2 ** (i / 4) for i in range(-5, 6))


@dataclass(frozen=True)
class Calibration:
    """The loss of held-out text at several temperatures, and where it is lowest."""

    # 1 means calibrated; above 1 means that the model is overconfident. None if it is
    # outside 0.1 to 10: such a model has learned nothing of the text, or knows it by
    # heart.
    temperature: float | None
    curve: list[tuple[float, float]]  # temperatures, growing, and nats per character


def calibration(model: Predictor, ids: Array) -> Calibration:
    """Return the temperature at which ids (n,) are most likely under a model.

    Only a part of a long text is used, spread over its length. The curve goes from 0.4
    to 2.4 times that temperature, which is a point of it, or times 1 if there is none.

    The loss of softmax(z / τ) has a single minimum in 1 / τ, found by golden-section
    search over log τ. Guo et al. 2017, "On calibration of modern neural networks".
    """
    z, y = _held_out(model, ids)
    loss = _loss_of_temperature([z], y)
    best = _best_temperature(loss)
    points = [(best or 1.0) * factor for factor in _FACTORS]
    return Calibration(best, [(point, loss(point)) for point in points])


def set_temperature(model: Predictor, temperature: float) -> None:
    """Give a model, or all networks of an ensemble, this temperature of their own."""
    for network in model.members:
        network.temperature = temperature


def own_temperature(model: Predictor, ids: Array) -> float:
    """Return the temperature by which to divide a model's logits; 1 if in doubt.

    ids (n,) are held-out text, of which only a part is used if it is long. A network
    that was trained for many epochs is too sure of itself, and the loss on other text
    is lower at a higher temperature. All networks of an ensemble get the same one: that
    at which their mean predicts best.
    """
    networks = model.members
    limit = min(_LOGITS, _MOST_LOGITS // len(networks))
    found = [_held_out(network, ids, limit) for network in networks]
    before, y = networks[0].temperature, found[0][1]
    if len(y) < _FEWEST:
        return before
    loss = _loss_of_temperature([z for z, _ in found], y)
    return before * (_best_temperature(loss) or 1.0)


def _loss_of_temperature(logits: Sequence[Array], y: Array) -> Callable[[float], float]:
    """Return the loss of a temperature for logits, each (R, V), and targets (R,).

    It is the loss of the mean of the probabilities.
    """
    rows = np.arange(len(y))

    def loss(temperature: float) -> float:
        z = log_mean_([each / np.float32(temperature) for each in logits])
        return -float(log_softmax(z)[rows, y].mean(dtype=np.float64))

    return loss


def _best_temperature(loss: Callable[[float], float]) -> float | None:
    """Return the temperature of the lowest loss; None if it is at a limit."""
    coldest, hottest = log(COLDEST), log(HOTTEST)
    found = golden_section(lambda x: loss(exp(x)), coldest, hottest)
    inside = coldest + 0.01 < found < hottest - 0.01
    return exp(found) if inside else None


def _held_out(
    model: Predictor, ids: Array, limit: int = _LOGITS
) -> tuple[Array, Array]:
    """Return logits (R, V) and targets (R,) of windows spread over the text.

    About `limit` logits are returned, or those of the whole text.
    """
    logits, targets, size = [], [], 0
    for window in predictions(model, ids):
        logits.append(window.logits[window.counts])
        targets.append(window.targets[window.counts])
        size += logits[-1].size
        if size > limit:
            break
    return np.concatenate(logits), np.concatenate(targets)


def golden_section(
    f: Callable[[float], float], low: float, high: float, tolerance: float = 1e-3
) -> float:
    """Return the x in [low, high] that minimises f, which must fall and then rise.

    Golden-section search (Kiefer 1953).
    """
    ratio = (5**0.5 - 1) / 2
    left, right = high - ratio * (high - low), low + ratio * (high - low)
    f_left, f_right = f(left), f(right)
    while high - low > tolerance:
        if f_left < f_right:
            high, right, f_right = right, left, f_left
            left = high - ratio * (high - low)
            f_left = f(left)
        else:
            low, left, f_left = left, right, f_right
            right = low + ratio * (high - low)
            f_right = f(right)
    return (low + high) / 2
