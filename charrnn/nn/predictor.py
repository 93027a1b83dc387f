"""The interface of what predicts the next character: a network, or several together.

Generation, evaluation and views need no more of a model than this. Training and looking
into a network need a `Model` itself.

Letters: T time, N batch (streams), V vocabulary.
"""

from collections import Counter
from typing import Any, Protocol

import numpy as np

from charrnn.errors import ConfigError
from charrnn.nn.model import Model, ModelState
from charrnn.nn.parameters import Array, Parameters

# What to do if an ensemble will not do.
ONE_OF_THEM = (
    "use one of its networks: in Python, charrnn.load(PATH).member(1).save(FILE)"
)


class Predictor(Protocol):
    """What `Model` and `Ensemble` both offer; it keeps no state between calls."""

    @property
    def members(self) -> tuple[Model, ...]:
        """The networks that predict together, one or more."""

    params: Parameters
    """The weights, in one flat vector: those of the members one after another."""

    @property
    def vocab(self) -> int:
        """The number of characters."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the weights, the states and the logits."""

    @property
    def kernels(self) -> str:
        """How it computes: "numpy" or "numba"."""

    def copy(self, kernels: str = "") -> "Predictor":
        """Return an independent copy, with these kernels."""

    def zero_state(self, N: int) -> ModelState:
        """Return the state before the first character of N streams.

        It has one cell state per layer, those of the members one after another.
        """

    def workspace(self, T: int, N: int) -> Any:
        """Return the arrays for windows of up to T characters of N streams."""

    def forward(
        self, ids: Array, state: ModelState, workspace: Any
    ) -> tuple[Array, ModelState]:
        """Return logits (T, N, V) after each of ids (T, N), and the state after.

        The logits belong to the workspace; their softmax are the probabilities of the
        next character.
        """

    def read(self, ids: Array, state: ModelState, workspace: Any) -> ModelState:
        """Do as `forward` without the logits, and return the state after."""


def state_by_member(predictor: Predictor, state: ModelState) -> list[ModelState]:
    """Return the states of the members."""
    found, start = [], 0
    for member in predictor.members:
        stop = start + member.config.layers
        found.append(state[start:stop])
        start = stop
    return found


def only_member(predictor: Predictor, trouble: str) -> Model:
    """Return the network, if it is a single one.

    Raises ConfigError for an ensemble; trouble is why, such as "cannot be trained".
    """
    if len(predictor.members) > 1:
        raise ConfigError(
            f"an ensemble of {len(predictor.members)} networks {trouble}; {ONE_OF_THEM}"
        )
    return predictor.members[0]


def described(predictor: Predictor) -> str:
    """Return the kind of network in words, or the kinds of an ensemble's networks."""
    networks = predictor.members
    kinds = Counter(
        f"{each.config.cell}, {each.config.layers} x {each.config.hidden} units"
        for each in networks
    )
    if len(networks) == 1:
        return next(iter(kinds))
    each = (f"{n} of {kind}" for kind, n in kinds.items())
    return f"ensemble of {len(networks)} networks: {'; '.join(each)}"
