"""What hidden units watch: correlations of their activations with nameable features.

The best of thousands of correlations is large by chance alone. So the feature of each
unit is chosen on the first half of the text that is read, and the correlation is
computed again on the other half, and for an untrained network of the same shape.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np

from charrnn.errors import ConfigError, TextError
from charrnn.evaluation.loss import OnProgress
from charrnn.generation.text_model import TextModel
from charrnn.nn.model import Model
from charrnn.nn.parameters import Array
from charrnn.nn.predictor import only_member
from charrnn.nn.workers import Threads, blas_threads
from charrnn.text.ids import release_memory
from charrnn.text.vocab import Vocabulary
from charrnn.views.features import features, kind_of_code

FEWEST = 1000  # characters to rank units on
# Of a longer text than MOST characters, pieces spread over it are read. Model and
# features first see the LEAD characters before a piece, which do not count.
MOST = 40_000
LEAD = 200
_PIECES = 64
_SHORTEST = 250  # characters of a piece
_BLOCK = 1 << 19  # states that are added up at a time
_WINDOW = 32
_HOLDS = 0.5
_CONSTANT = 1e-10  # variance of a unit relative to its mean square

Unit = tuple[int, int]  # layer and unit, both counted from 0


@dataclass(frozen=True)
class Follower:
    """A unit and the feature that it follows best."""

    layer: int
    unit: int
    feature: str
    chosen: float  # correlation on the text that the feature was chosen on
    checked: float  # correlation on other text

    @property
    def holds(self) -> bool:
        """Whether the other text shows at least half of the correlation, same sign."""
        share = self.checked / self.chosen if self.chosen else 0.0
        return share >= _HOLDS


@dataclass(frozen=True)
class Ranking:
    """The correlations of the units of a network with the features of a text."""

    features: tuple[str, ...]
    left_out: tuple[str, ...]  # features that are constant in one of the halves
    chosen: Array  # (L, H, F) correlations on the first half
    checked: Array  # (L, H, F) on the other
    # (F,) checked correlations of an untrained network's best units for each feature,
    # below 0 if the sign has changed.
    untrained: Array
    characters: int  # in each half
    length: int  # of the text

    @cached_property
    def followers(self) -> list[Follower]:
        """Every unit with its feature, best first."""
        found = [self.of_unit(unit)[0] for unit in np.ndindex(self.chosen.shape[:2])]
        return sorted(found, key=lambda each: -abs(each.chosen))

    def of_unit(self, unit: Sequence[int]) -> list[Follower]:
        """Return a unit with each feature, best first."""
        layer, number = unit
        rows = zip(
            self.features,
            self.chosen[layer, number].tolist(),
            self.checked[layer, number].tolist(),
            strict=True,
        )
        found = [Follower(layer, number, *row) for row in rows]
        return sorted(found, key=lambda each: -abs(each.chosen))

    def of_features(self) -> list[Follower]:
        """Return the best unit for each feature, best first."""
        found = []
        for f, feature in enumerate(self.features):
            layer, unit = _best(self.chosen[..., f])
            values = self.chosen[layer, unit, f], self.checked[layer, unit, f]
            found.append(Follower(layer, unit, feature, *map(float, values)))
        return sorted(found, key=lambda each: -abs(each.chosen))

    def untrained_of(self, feature: str) -> float:
        """Return how well the best unit of an untrained network follows a feature."""
        return float(self.untrained[self.features.index(feature)])

    def to_dict(self) -> dict[str, Any]:
        """Return the whole ranking as JSON can hold it."""
        return {
            "characters": self.length,
            "chosen_on": self.characters,
            "checked_on": self.characters,
            "untrained": dict(zip(self.features, self.untrained.tolist(), strict=True)),
            "left_out": [*self.left_out],
            "features": [*map(as_dict, self.of_features())],
            "units": [*map(as_dict, self.followers)],
        }


def as_dict(follower: Follower) -> dict[str, Any]:
    """Return a unit and its feature as JSON can hold them."""
    return asdict(follower) | {"holds": follower.holds}


def rank(
    model: TextModel,
    ids: Array,
    *,
    start: int = 0,
    part: int = 0,
    on_progress: OnProgress = lambda characters: None,
) -> Ranking:
    """Return the correlations of all units with all features.

    ids are those of a text after the first `start`, which are read before it. part is 0
    for the hidden state h and 1 for the cell state c of an LSTM. on_progress is called
    with the number of characters read since the last call, `reads(len(ids) - start)`
    in all. Raises TextError if the text is shorter than FEWEST characters, and
    ConfigError as `network_of` does.
    """
    n = len(ids) - start
    if n < FEWEST:
        raise TextError(
            f"{n:,} characters are too few to rank units; expected {FEWEST:,} or "
            "more: name a longer text, or show a single unit (--unit)"
        )
    trained = network_of(model, part)
    pieces, length = _layout(n)
    starts = start + np.arange(pieces) * n // pieces
    names, values = _features(model.vocab, ids, starts, length)
    halves = [slice(pieces // 2), slice(pieces // 2, pieces)]
    is_varied = np.logical_and.reduce(
        [np.ptp(values[:, half], axis=(1, 2)) > 0 for half in halves]
    )
    values = values[is_varied]

    def correlations(network: Model) -> list[Array]:
        readers = [
            _Half(network, ids, starts[half], length, values[:, half], part)
            for half in halves
        ]
        _read(readers, on_progress)
        return [reader.correlations() for reader in readers]

    chosen, checked = correlations(trained)
    untrained = correlations(_untrained(trained))
    shape = model.config.layers, model.config.hidden, len(values)
    return Ranking(
        tuple(names[is_varied].tolist()),
        tuple(names[~is_varied].tolist()),
        chosen.reshape(shape),
        checked.reshape(shape),
        untrained=_of_best(*untrained),
        characters=pieces // 2 * length,
        length=n,
    )


def reads(n: int) -> int:
    """Return how many characters `rank` reads of a text of n characters."""
    pieces, length = _layout(n)
    return 2 * pieces * (LEAD + length)


def activations(
    model: TextModel,
    ids: Array,
    units: Sequence[Unit],
    *,
    start: int = 0,
    part: int = 0,
) -> Array:
    """Return the activations (len(ids) - start, len(units)) after each character.

    The first `start` ids are read before. Raises ConfigError if there is no such unit.
    """
    network = network_of(model, part)
    L, H = model.config.layers, model.config.hidden
    for layer, unit in units:
        if not (0 <= layer < L and 0 <= unit < H):
            raise ConfigError(
                f"there is no unit {layer}:{unit}; expected a layer from 0 to {L - 1} "
                f"and a unit from 0 to {H - 1}"
            )
    layers, numbers = np.array(units, np.intp).reshape(-1, 2).T
    with blas_threads(1):
        rows = np.array(ids)[:, None]
        steps = _states(network, rows, np.zeros((len(rows), 1), bool), part)
        found = [states[layers, 0, numbers] for states in steps]
    return np.array(found, network.dtype).reshape(-1, len(units))[start:]


def network_of(model: TextModel, part: int) -> Model:
    """Return the network of a model, whose units have this part of the state.

    Raises ConfigError for an ensemble, or if the state of the cell has no such part.
    """
    network = only_member(model.model, "has no units of its own")
    if part >= len(network.zero_state(1)[0]):
        raise ConfigError(
            f"the model is a {network.config.cell}, which has no cell state; expected "
            "an lstm"
        )
    return network


def text_of(vocab: Vocabulary, ids: Array) -> str:
    """Return one character per id. An end mark is a line end."""
    points = np.array([ord(symbol or "\n") for symbol in vocab.symbols], np.uint32)
    return points.take(ids).tobytes().decode("utf-32-le", "surrogatepass")


def _layout(n: int) -> tuple[int, int]:
    """Return the number of pieces, which is even, and their length."""
    pieces = 2 * max(1, min(_PIECES, n // _SHORTEST) // 2)
    return pieces, min(n, MOST) // pieces


def _best(correlations: Array) -> tuple[int, ...]:
    """Return the index of the largest correlation, whatever its sign."""
    flat = np.argmax(np.abs(correlations))
    return tuple(int(i) for i in np.unravel_index(flat, correlations.shape))


def _of_best(chosen: Array, checked: Array) -> Array:
    """Return the checked correlation (F,) of the best unit of each column (U, F).

    It is above 0 if it has the sign of the chosen one.
    """
    best = np.abs(chosen).argmax(axis=0)[None]
    found: Array = np.take_along_axis(checked * np.sign(chosen), best, axis=0)[0]
    return found


def _features(
    vocab: Vocabulary, ids: Array, starts: Array, length: int
) -> tuple[Array, Array]:
    """Return the names (F,) and the values (F, N, C) of the features of N pieces."""
    spans = [(max(0, start - LEAD), start) for start in starts.tolist()]
    texts = [text_of(vocab, ids[a : b + length + LEAD]) for a, b in spans]
    kind = kind_of_code("".join(texts))
    found = []
    for text, (a, b) in zip(texts, spans, strict=True):
        values = features(text, kind)
        found.append([each[b - a : b - a + length] for each in values.values()])
        release_memory(ids)
    return np.array([*values]), np.array(found).swapaxes(0, 1)


def _untrained(model: Model) -> Model:
    """Return a network of the same shape with initial weights."""
    network = Model(model.config, model.dtype, model.kernels)
    network.init(rng=np.random.default_rng(0))
    return network


def _states(model: Model, rows: Array, begins: Array, part: int) -> Iterator[Array]:
    """Yield the states (L, N, H) after each row of ids (T, N).

    A stream starts with a state of zero, and so does each step at which begins (T, N)
    is true.
    """
    T, N = rows.shape
    # A window leaves h of each step and, of the other parts, only those of the last.
    size = 1 if part else _WINDOW
    state, workspace = model.zero_state(N), model.workspace(size, N)
    first = {*range(0, T, size), *np.flatnonzero(begins.any(axis=1)).tolist()}
    for start, stop in pairwise([*sorted(first), T]):
        for array in (array for layer in state for array in layer):
            array[begins[start]] = 0
        state = model.read(rows[start:stop], state, workspace)
        if part:
            yield np.stack([layer[part] for layer in state])
        else:
            yield from np.stack(workspace.hidden, axis=1)


class _Half:
    """Reads half of the pieces, and adds up what correlations follow from."""

    def __init__(
        self,
        model: Model,
        ids: Array,
        starts: Array,
        length: int,
        values: Array,  # (F, N, C)
        part: int,
    ) -> None:
        at = starts + np.arange(-LEAD, length)[:, None]
        rows = np.asarray(ids).take(at, mode="clip")
        release_memory(ids)
        self._states = _states(model, rows, at == 0, part)
        self._features = values.reshape(len(values), -1).astype(np.float64)
        self._features -= self._features.mean(axis=1, keepdims=True)
        self._by_step = self._features.reshape(values.shape).transpose(2, 1, 0)
        self._n = len(starts) * length
        U = model.config.layers * model.config.hidden
        self._steps = max(1, _BLOCK // (len(starts) * U))
        self._sum, self._squares = np.zeros((2, U))
        self._products = np.zeros((U, len(values)))

    def blocks(self) -> Iterator[int]:
        """Read everything, and yield the number of characters of each block."""
        yield sum(next(self._states).shape[1] for _ in range(LEAD))
        for start in range(0, len(self._by_step), self._steps):
            values = self._by_step[start : start + self._steps]
            states = np.stack([next(self._states) for _ in values])  # (T, L, N, H)
            h = states.swapaxes(1, 2).reshape(values.shape[0] * values.shape[1], -1)
            h = h.astype(np.float64)
            self._sum += h.sum(axis=0)
            self._squares += np.einsum("ru,ru->u", h, h)
            self._products += h.T @ values.reshape(len(h), -1)
            yield len(h)

    def correlations(self) -> Array:
        """Return Pearson's correlations (U, F); 0 for a unit that is constant."""
        square = self._squares / self._n
        variance = square - (self._sum / self._n) ** 2
        deviation = np.sqrt(np.maximum(variance, 0))
        scale = deviation[:, None] * self._features.std(axis=1) * self._n
        is_varied = (variance > _CONSTANT * square)[:, None]
        found: Array = np.zeros_like(self._products)
        np.divide(self._products, scale, out=found, where=is_varied)
        return found


def _read(halves: Sequence[_Half], on_progress: OnProgress) -> None:
    """Read halves side by side, each in a thread of its own."""
    readers = [half.blocks() for half in halves]
    work: Callable[[int], int] = lambda i: next(readers[i], 0)  # noqa: E731
    with blas_threads(1), closing(Threads(len(readers))) as team:
        while done := sum(team.run(work)):
            on_progress(done)
