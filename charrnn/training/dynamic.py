"""Dynamic evaluation: a model that goes on learning from the text that it is scored on.

Each window of a few characters is predicted first, and then learned by one update of
the weights. So names and phrases that come again are predicted better (Mikolov et al.
2010; Krause et al. 2018, "Dynamic evaluation of neural sequence models"). No character
is learned before it is predicted, but the model is another one at the end than at the
start: such a loss compares with other dynamic evaluations only.

    s  = ρ s + (1 - ρ) g²            g is the gradient of the window
    θ -= rate g / (√s + ε)           RMSProp's step
    θ += decay (θ₀ - θ)              back towards the weights of the model, θ₀
"""

from collections.abc import Iterator
from contextlib import closing

import numpy as np

from charrnn.config import TrainConfig
from charrnn.evaluation.loss import OnProgress, check_length
from charrnn.machine import available_cores
from charrnn.nn import kernels
from charrnn.nn.functional import softmax_losses_
from charrnn.nn.model import Model
from charrnn.nn.parameters import Array, scratch
from charrnn.nn.predictor import Predictor
from charrnn.nn.workers import Threads, blas_threads
from charrnn.training.optimizers import RMSProp
from charrnn.training.update import clip_norm, update_average

# The best of those tried on the first third of the held-out part of tiny Shakespeare;
# rates of 6e-4 to 2e-3 differed by 0.01 nats there.
RATE, _DECAY = 1e-3, 0.01
_WINDOW = 32  # characters per update
_CLIP = 1.0


def dynamic_losses(
    model: Predictor,
    ids: Array,
    *,
    rate: float = RATE,
    on_progress: OnProgress | None = None,
) -> Array:
    """Return the loss in nats of each of ids[1:], (n,), given all ids before it.

    The text (n + 1,) is read as a single stream. The networks of an ensemble learn side
    by side, each by itself; the losses are those of their mean. The model keeps its own
    weights. `on_progress` is called with the characters scored since the last call.
    """
    check_length(ids)
    learners = [_Learner(network, rate) for network in model.members]
    parts = min(available_cores(), len(learners))
    found = []
    with blas_threads(1), closing(Threads(parts)) as team:
        for window in _windows(ids):

            def work(part: int, window: Array = window) -> list[Array]:
                return [each.read(window) for each in learners[part::parts]]

            log_p = -np.concatenate(team.run(work))
            found.append(np.log(len(learners)) - np.logaddexp.reduce(log_p))
            if on_progress:
                on_progress(len(window) - 1)
    return np.concatenate(found)


def _windows(ids: Array) -> Iterator[Array]:
    """Yield ids (T + 1,) of which the last T are predicted."""
    for start in range(0, len(ids) - 1, _WINDOW):
        yield np.asarray(ids[start : start + _WINDOW + 1])


class _Learner:
    """A copy of a network that predicts windows and learns them."""

    def __init__(self, network: Model, rate: float) -> None:
        compiles = network.dtype == np.float32
        model = network.copy(kernels.resolve("auto" if compiles else "numpy"))
        # Training knows no temperature, so that of the model goes into the weights.
        layer = model.params.scope("output")
        layer["W"][:], layer["b"][:] = model.output_layer()
        model.temperature = 1.0
        self._model = model
        self._start, self._rate, self._updates = model.params.flat.copy(), rate, 0
        self._optimizer = RMSProp(model.params, TrainConfig(optimizer="rmsprop"))
        self._state = model.zero_state(1)
        self._workspace = model.workspace(_WINDOW, 1)
        self._scratch = scratch(self._start)

    def read(self, window: Array) -> Array:
        """Return the losses (T,) of ids (T + 1,), and learn them."""
        model, θ = self._model, self._model.params.flat
        inputs, targets = window[:-1, None], window[1:, None]
        logits, _ = model.forward(inputs, self._state, self._workspace)
        losses, _ = softmax_losses_(logits[:, 0].astype(np.float64), targets[:, 0])
        _, grads, self._state = model.loss_and_grads(
            inputs, targets, self._state, self._workspace
        )
        clip_norm(grads.flat, _CLIP)
        self._updates += 1
        self._optimizer.update(θ, grads.flat, self._rate, self._updates)
        update_average(θ, self._start, 1 - _DECAY, self._scratch)
        return losses
