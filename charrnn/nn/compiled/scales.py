"""The compiled twins of the steps of `charrnn.nn.scales.Scales`."""

from typing import Any

import numpy as np

from charrnn.nn.compiled.jit import compiled
from charrnn.nn.parameters import Array
from charrnn.nn.scales import Scales

_NONE = np.empty((0, 0, 0), np.float32)


def arrays_of(scales: Scales | None, T: int) -> tuple[Array, Array]:
    """Return s and h * s of a window, or arrays without elements if there are none."""
    return (scales.s_then_ds[:T], scales.scaled[:T]) if scales else (_NONE, _NONE)


@compiled
def scaled_state(h: Array, s: Array, scaled: Array, t: int) -> Any:
    """Return h[t] * s[t], written into scaled[t], or h[t] if there are no scales."""
    if len(s) == 0:
        return h[t]
    for k in range(s.shape[1]):
        h_k, s_k, scaled_k = h[t, k], s[t, k], scaled[t, k]
        for j in range(s.shape[2]):
            scaled_k[j] = h_k[j] * s_k[j]
    return scaled[t]


@compiled
def scale_back(d: Array, h: Array, s_then_ds: Array, t: int) -> None:
    """Turn d into its share of dh[t], and s[t] into ds[t], if there are scales."""
    if len(s_then_ds):
        for k in range(len(d)):
            d_k, h_k, s_k = d[k], h[t, k], s_then_ds[t, k]
            for j in range(len(d_k)):
                ds_j = d_k[j] * h_k[j]
                d_k[j] *= s_k[j]
                s_k[j] = ds_j
