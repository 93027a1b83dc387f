"""The types that arrays and parameters have everywhere in the package."""

from collections.abc import Iterator, Mapping
from math import prod
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]
Shape: TypeAlias = tuple[int, ...]


class Parameters(Mapping[str, Array]):
    """Named arrays that are views of one flat vector.

    The maths reads and writes them by name; what treats all of them alike (clipping,
    the optimizer, the sum over threads, averaging) is then a few operations on `flat`.
    """

    def __init__(
        self, shapes: Mapping[str, Shape], dtype: npt.DTypeLike = np.float32
    ) -> None:
        self.flat: Array = np.zeros(sum(map(prod, shapes.values())), dtype)
        self._views: dict[str, Array] = {}
        end = 0
        for name, shape in shapes.items():
            start, end = end, end + prod(shape)
            self._views[name] = self.flat[start:end].reshape(shape)

    def __getitem__(self, name: str) -> Array:
        return self._views[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._views)

    def __len__(self) -> int:
        return len(self._views)

    @property
    def shapes(self) -> dict[str, Shape]:
        """The shape of every array, by name."""
        return {name: view.shape for name, view in self.items()}

    def like(self, flat: Array | None = None) -> "Parameters":
        """Return arrays of the same names and shapes: zeros, or a copy of `flat`."""
        other = Parameters(self.shapes, self.flat.dtype)
        if flat is not None:
            other.flat[:] = flat
        return other

    def scope(self, prefix: str) -> dict[str, Array]:
        """Return the arrays named `prefix.…`, by the rest of the name."""
        start = len(prefix) + 1
        return {
            name[start:]: view
            for name, view in self.items()
            if name.startswith(prefix + ".")
        }
