"""Named parameter arrays that share one flat vector."""

from collections.abc import Iterator, Mapping
from math import prod
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]
Shape: TypeAlias = tuple[int, ...]

LARGEST = 1e30  # weight, in magnitude, that a network can compute with
_BLOCK = 1 << 16


def can_compute_with(weights: Array) -> bool:
    """Return whether weights are finite, and a network's sums of them as well.

    A sum in float32 has at most some millions of weights, times states of at most 1.
    """
    with np.errstate(invalid="ignore"):
        return bool((np.abs(weights) <= LARGEST).all())


def blocks(stop: int, block: int = _BLOCK, start: int = 0) -> Iterator[slice]:
    """Yield slices of `block` elements that cover a vector from start to stop.

    Elementwise work in blocks stays in the cache, and needs scratch for one block only.
    """
    for first in range(start, stop, block):
        yield slice(first, min(first + block, stop))


def scratch(flat: Array) -> Array:
    """Return an empty vector for one block of a vector."""
    return np.empty_like(flat[:_BLOCK])


class Parameters(Mapping[str, Array]):
    """Named arrays that are views of one flat vector.

    Cells read and write them by name. Operations on all parameters, such as clipping,
    the optimizer, sums over threads and averages, are operations on `flat`.
    """

    def __init__(
        self, shapes: Mapping[str, Shape], dtype: npt.DTypeLike = np.float32
    ) -> None:
        self.flat: Array = np.zeros(sum(map(prod, shapes.values())), dtype)
        self._views = views_of(self.flat, shapes)

    def move_to(self, flat: Array) -> None:
        """Let a part of another flat vector hold the arrays from now on."""
        flat[:] = self.flat
        self.flat, self._views = flat, views_of(flat, self.shapes)

    def __getitem__(self, name: str) -> Array:
        return self._views[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._views)

    def __len__(self) -> int:
        return len(self._views)

    def __reduce__(self) -> tuple[Any, ...]:
        # Pickled one by one, the views would no longer share the vector.
        return _unflatten, (self.shapes, self.flat)

    @property
    def shapes(self) -> dict[str, Shape]:
        """The shape of every array, by name."""
        return {name: view.shape for name, view in self.items()}

    def zeros_like(self) -> "Parameters":
        """Return zeros with the same names and shapes."""
        return Parameters(self.shapes, self.flat.dtype)

    def copy(self) -> "Parameters":
        """Return an independent copy."""
        return self.unflatten(self.flat)

    def unflatten(self, flat: Array) -> "Parameters":
        """Return a copy of a flat vector with these names and shapes."""
        return _unflatten(self.shapes, flat)

    def views(self, flat: Array) -> dict[str, Array]:
        """Return views of another flat vector with these names and shapes."""
        return views_of(flat, self.shapes)

    def scope(self, prefix: str) -> dict[str, Array]:
        """Return the arrays named `prefix.name`, by `name`."""
        start = len(prefix) + 1
        return {
            name[start:]: view
            for name, view in self.items()
            if name.startswith(prefix + ".")
        }


def views_of(flat: Array, shapes: Mapping[str, Shape]) -> dict[str, Array]:
    """Return views of a flat vector as arrays with these names and shapes."""
    views: dict[str, Array] = {}
    end = 0
    for name, shape in shapes.items():
        start, end = end, end + prod(shape)
        views[name] = flat[start:end].reshape(shape)
    return views


def _unflatten(shapes: Mapping[str, Shape], flat: Array) -> Parameters:
    params = Parameters(shapes, flat.dtype)
    params.flat[:] = flat
    return params
