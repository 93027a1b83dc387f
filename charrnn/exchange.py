"""The same weights under the names, shapes and gate orders of PyTorch.

    layer{i}.Wx (D, G·H)    rnn.weight_ih_l{i} (G·H, D), transposed
    layer{i}.Wh (H, G·H)    rnn.weight_hh_l{i} (G·H, H), transposed
    layer{i}.b (G·H)        rnn.bias_ih_l{i} + rnn.bias_hh_l{i} (G·H)
    layer{i}.c (H)          the n part of rnn.bias_hh_l{i} (GRU)
    output.W (H, V)         output.weight (V, H), transposed
    output.b (V)            output.bias (V)

PyTorch's LSTM has its gates in the order i f g o, charrnn's is i f o g; the others
agree. Loaded into nn.RNN, nn.GRU or nn.LSTM under one-hot input, the weights give the
same numbers.
"""

from collections.abc import Mapping

import numpy as np

from charrnn.arrays import Array
from charrnn.config import ModelConfig
from charrnn.errors import CheckpointError
from charrnn.model import Model

# Where each of PyTorch's gates stands in charrnn's columns.
_ORDER = {"rnn": [0], "gru": [0, 1, 2], "lstm": [0, 1, 3, 2]}


def to_torch(model: Model) -> dict[str, Array]:
    """Return copies of all weights as PyTorch has them, by its names."""
    config, params = model.config, model.params
    found = {}
    for i in range(config.layers):
        layer = params.scope(f"layer{i}")
        b = _swap(layer["b"], config)
        bias_hh = np.zeros_like(b)
        if "c" in layer:
            bias_hh[-config.hidden :] = layer["c"]
        found[f"rnn.weight_ih_l{i}"] = _swap(layer["Wx"].T, config)
        found[f"rnn.weight_hh_l{i}"] = _swap(layer["Wh"].T, config)
        found[f"rnn.bias_ih_l{i}"], found[f"rnn.bias_hh_l{i}"] = b, bias_hh
    found["output.weight"] = params["output.W"].T.copy()
    found["output.bias"] = params["output.b"].copy()
    return found


def from_torch(weights: Mapping[str, Array], model: Model) -> None:
    """Fill a model with PyTorch's weights. Raises CheckpointError where they differ."""
    config, params = model.config, model.params

    def take(name: str, shape: tuple[int, ...]) -> Array:
        array = weights.get(name)
        if array is None or array.shape != shape:
            found = "missing" if array is None else str(array.shape)
            raise CheckpointError(f"'{name}' is {found}, expected {shape}")
        return np.asarray(array)

    for i in range(config.layers):
        layer = params.scope(f"layer{i}")
        D, GH = layer["Wx"].shape
        H = config.hidden
        layer["Wx"][:] = _swap(take(f"rnn.weight_ih_l{i}", (GH, D)), config).T
        layer["Wh"][:] = _swap(take(f"rnn.weight_hh_l{i}", (GH, H)), config).T
        bias_hh = take(f"rnn.bias_hh_l{i}", (GH,)).copy()
        if "c" in layer:
            layer["c"][:] = bias_hh[-H:]
            bias_hh[-H:] = 0
        layer["b"][:] = _swap(take(f"rnn.bias_ih_l{i}", (GH,)) + bias_hh, config)
    H, V = config.hidden, config.vocab
    params["output.W"][:] = take("output.weight", (V, H)).T
    params["output.b"][:] = take("output.bias", (V,))


def _swap(rows: Array, config: ModelConfig) -> Array:
    """Put the gates, blocks of H rows, into the other order; both ways are the same."""
    gates = rows.reshape(-1, config.hidden, *rows.shape[1:])
    return gates[_ORDER[config.cell]].reshape(rows.shape)
