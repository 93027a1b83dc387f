"""Several networks as one: its probabilities are the mean of theirs.

    p = (p_1 + … + p_k) / k,  each p_i = softmax(logits of network i)

The loss of such a mixture is never above the mean of the members' losses, because -log
is convex, and it is usually below that of the best one (Hansen & Salamon 1990; Perrone
& Cooper 1993). Its logits are log p, whose softmax is p itself. So temperatures and
filters, which change logits, work with an ensemble as with a single network.

Letters: k networks, T time, N batch (streams), V vocabulary.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from charrnn.errors import ShapeError
from charrnn.nn.model import Model, ModelState, Workspace
from charrnn.nn.parameters import Array, Parameters
from charrnn.nn.predictor import Predictor, state_by_member


class Ensemble:
    """Networks of one vocabulary that predict together; see `nn.predictor.Predictor`.

    Cells, layers and hidden sizes may differ. The members of ensembles become members.
    They are copies, whose parameters share the flat vector of `params`. There, those of
    network i have names such as "i.output.W". `kernels` are those of the copies, by
    default the networks' own. Raises ShapeError for no network, or for
    different vocabularies, end marks or types.
    """

    def __init__(self, predictors: Sequence[Predictor], kernels: str = "") -> None:
        networks = [each for predictor in predictors for each in predictor.members]
        if not networks:
            raise ShapeError("no networks; expected one or more")
        first = networks[0]
        for number, network in enumerate(networks):
            if _symbols(network) != _symbols(first):
                raise ShapeError(
                    f"network {number} has {_symbols(network)}, network 0 "
                    f"{_symbols(first)}; expected the same"
                )
        shapes = {
            f"{i}.{name}": shape
            for i, network in enumerate(networks)
            for name, shape in network.params.shapes.items()
        }
        self.params = Parameters(shapes, first.dtype)
        sizes = [network.params.flat.size for network in networks]
        parts = np.split(self.params.flat, np.cumsum(sizes)[:-1])
        self.members: tuple[Model, ...] = tuple(
            _copy_in(part, network, kernels)
            for part, network in zip(parts, networks, strict=True)
        )

    def __reduce__(self) -> tuple[Any, ...]:
        # Pickled one by one, the members would no longer share one vector.
        return Ensemble, (self.members,)

    def copy(self, kernels: str = "") -> "Ensemble":
        """Return an independent copy with these kernels."""
        return Ensemble(self.members, kernels)

    @property
    def kernels(self) -> str:
        """The kernels of the first network, which are those of all in training."""
        return self.members[0].kernels

    @property
    def vocab(self) -> int:
        """The number of characters."""
        return self.members[0].vocab

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the weights, the states and the logits."""
        return self.members[0].dtype

    def zero_state(self, N: int) -> ModelState:
        """Return the state before the first character of N streams."""
        return tuple(layer for m in self.members for layer in m.zero_state(N))

    def workspace(self, T: int, N: int) -> list[Workspace]:
        """Return the arrays for windows of up to T characters of N streams."""
        return [member.workspace(T, N) for member in self.members]

    def forward(
        self, ids: Array, state: ModelState, workspace: list[Workspace]
    ) -> tuple[Array, ModelState]:
        """Return logits (T, N, V), a view of the workspace, and the state after."""
        logits: list[Array] = []
        after: list[Any] = []
        states = state_by_member(self, state)
        for member, own, arrays in zip(self.members, states, workspace, strict=True):
            z, layers = member.forward(ids, own, arrays)
            logits.append(z)
            after += layers
        return log_mean_(logits), tuple(after)

    def read(
        self, ids: Array, state: ModelState, workspace: list[Workspace]
    ) -> ModelState:
        """Do as `forward` without the logits, and return the state after."""
        after: list[Any] = []
        states = state_by_member(self, state)
        for member, own, arrays in zip(self.members, states, workspace, strict=True):
            after += member.read(ids, own, arrays)
        return tuple(after)


def as_one(networks: Sequence[Model]) -> Predictor:
    """Return an ensemble of several networks, or the network if there is only one."""
    return Ensemble(networks) if len(networks) > 1 else networks[0]


def _copy_in(part: Array, network: Model, kernels: str) -> Model:
    """Return a copy of a network, whose parameters are in a part of a vector."""
    copy = network.copy(kernels)
    copy.move_to(part)
    return copy


def _symbols(model: Model) -> str:
    end = model.config.end
    mark = f"end mark {end}" if end >= 0 else "no end mark"
    return f"{model.vocab} characters, {mark}, {model.dtype}"


def log_mean_(logits: Sequence[Array]) -> Array:
    """Return the log of the mean of softmaxes, written over the first of the logits.

    logits are k arrays (…, V), all overwritten. A single one is returned as it is: its
    softmax is the mean. The log of a probability is exact even if the probability is
    too small for a float.
    """
    first, *others = logits
    if not others:
        return first
    for z in logits:
        z -= z.max(axis=-1, keepdims=True)
        z -= np.log(np.exp(z).sum(axis=-1, keepdims=True))
    largest = first.copy()
    for z in others:
        np.maximum(largest, z, out=largest)
    for z in logits:
        z -= largest
        np.exp(z, out=z)
    for z in others:
        first += z
    first /= len(logits)
    np.log(first, out=first)
    first += largest
    return first
