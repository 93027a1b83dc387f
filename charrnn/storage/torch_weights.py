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

A file of them, in safetensors' format or PyTorch's own, has the rest of a checkpoint
in its metadata, each part as JSON: `model`, `vocab`, `corpus`, `split`, `train` and
`history`, beside `format` and `version`.
"""

import json
import re
import zipfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np

from charrnn.config import ModelConfig
from charrnn.errors import CharRNNError, CheckpointError
from charrnn.nn.model import Model
from charrnn.nn.parameters import Array, Shape
from charrnn.storage import safetensors_file as safetensors
from charrnn.storage import torch_file as state_dict
from charrnn.storage.checkpoint import FORMAT, INFO, Checkpoint
from charrnn.text.corpus import Corpus
from charrnn.text.vocab import Vocabulary

VERSION = "1"
FORMATS = {"safetensors": safetensors, "torch": state_dict}
SUFFIXES = {"safetensors": ".safetensors", "torch": ".pt"}
# Where each of PyTorch's gates stands in charrnn's columns.
_ORDER = {"rnn": [0], "gru": [0, 1, 2], "lstm": [0, 1, 3, 2]}
_ZIP, _PICKLE = b"PK\x03\x04", b"\x80\x02\x8a\x0al\xfc\x9cF"  # how torch.save begins
_AGAIN = "export or fetch it again"
_PARTS = (
    (re.compile(r"(?:.*\.)?((?:weight|bias)_[ih]h_l[0-9]+)"), "rnn."),
    (re.compile(r"(?:.*\.)?(weight|bias)"), "output."),
)


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
    _check(weights, config)
    H = config.hidden
    for i in range(config.layers):
        layer = params.scope(f"layer{i}")
        layer["Wx"][:] = _swap(weights[f"rnn.weight_ih_l{i}"], config).T
        layer["Wh"][:] = _swap(weights[f"rnn.weight_hh_l{i}"], config).T
        bias_hh = weights[f"rnn.bias_hh_l{i}"].copy()
        if "c" in layer:
            layer["c"][:] = bias_hh[-H:]
            bias_hh[-H:] = 0
        with np.errstate(over="ignore"):  # becomes infinite, and is found
            layer["b"][:] = _swap(weights[f"rnn.bias_ih_l{i}"] + bias_hh, config)
        if not np.isfinite(layer["b"]).all():
            raise CheckpointError(f"the sum of the biases of layer {i} is not finite")
    params["output.W"][:] = weights["output.weight"].T
    params["output.b"][:] = weights["output.bias"]


def _swap(rows: Array, config: ModelConfig) -> Array:
    """Put the gates, blocks of H rows, into the other order; both ways are the same."""
    gates = rows.reshape(-1, config.hidden, *rows.shape[1:])
    return gates[_ORDER[config.cell]].reshape(rows.shape)


def _shapes(config: ModelConfig) -> dict[str, Shape]:
    """Return the shape of every weight of a model, by PyTorch's names."""
    H, V, G = config.hidden, config.vocab, len(_ORDER[config.cell])
    shapes: dict[str, Shape] = {}
    for i in range(config.layers):
        shapes[f"rnn.weight_ih_l{i}"] = (G * H, H if i else V)
        shapes[f"rnn.weight_hh_l{i}"] = (G * H, H)
        shapes[f"rnn.bias_ih_l{i}"] = shapes[f"rnn.bias_hh_l{i}"] = (G * H,)
    return shapes | {"output.weight": (V, H), "output.bias": (V,)}


def _check(weights: Mapping[str, Array], config: ModelConfig) -> None:
    """Refuse weights that are not those of such a model, all of them and no others."""
    shapes = _shapes(config)
    for name, shape in shapes.items():
        found = weights[name].shape if name in weights else "missing"
        if found != shape:
            raise CheckpointError(f"'{name}' is {found}, expected {shape}")
        if not np.isfinite(weights[name]).all():
            raise CheckpointError(f"'{name}' is not finite, expected numbers")
    for name in weights:
        if name not in shapes:
            kind = f"{config.layers} x nn.{config.cell.upper()} and an nn.Linear"
            raise CheckpointError(f"{name!r:.80} has no place in {kind}")


def _config_of(weights: Mapping[str, Array]) -> ModelConfig:
    """Return the shape of the network that weights are of, told by their own shapes."""
    for name in ("rnn.weight_hh_l0", "output.weight"):
        if name not in weights:
            raise CheckpointError(f"'{name}' is missing")
        if weights[name].ndim != 2:
            raise CheckpointError(
                f"'{name}' is {weights[name].shape}, expected a matrix"
            )
    rows, H = weights["rnn.weight_hh_l0"].shape
    for cell, gates in _ORDER.items():
        if rows == len(gates) * H:
            layers = sum(name.startswith("rnn.weight_hh_l") for name in weights)
            return ModelConfig(len(weights["output.weight"]), H, layers, cell)
    raise CheckpointError(
        f"'rnn.weight_hh_l0' is {(rows, H)}, expected as many rows as columns, or 3 or "
        "4 times as many (a tanh network, GRU, LSTM)"
    )


def _renamed(weights: Mapping[str, Array]) -> dict[str, Array]:
    """Call the recurrent part `rnn` and the linear one `output`, however it was."""
    found: dict[str, Array] = {}
    for name, array in weights.items():
        matches = ((part, regex.fullmatch(name)) for regex, part in _PARTS)
        new = next((part + match[1] for part, match in matches if match), name)
        if new in found:
            raise CheckpointError(f"{name!r:.80} is a second '{new}', expected one")
        found[new] = array
    return found


def write(checkpoint: Checkpoint, path: Path, kind: str) -> None:
    """Write the weights for PyTorch, and all else but what resuming needs.

    kind is one of FORMATS. Raises MissingExtraError for "torch" without PyTorch, and
    CheckpointError where it cannot be written; what stood there is then untouched.
    """
    arrays, about = to_torch(checkpoint.model), _described(checkpoint)
    FORMATS[kind].write(path, arrays, about)


def _described(checkpoint: Checkpoint) -> dict[str, str]:
    parts = {
        "model": asdict(checkpoint.model.config),
        "vocab": checkpoint.vocab.to_json(),
    } | {key: getattr(checkpoint, key) for key in INFO}
    texts = {key: json.dumps(value) for key, value in parts.items()}
    return {"format": FORMAT, "version": VERSION} | texts


def read(path: Path, text: Corpus | None = None) -> Checkpoint:
    """Return the checkpoint in a file of either format, told by its content.

    Weights that charrnn did not write need a text whose vocabulary is theirs. Nothing
    in the file is executed. Raises CheckpointError where anything is not as it should
    be, and MissingExtraError for a file of PyTorch's own without PyTorch.
    """
    weights, about = _read_either(path)
    try:
        model = _model_of(weights)
        if about.get("format") != FORMAT:
            return _with_vocabulary(model, text)
        if text is not None:
            raise CheckpointError("holds a vocabulary of its own; leave out --vocab")
        return _with_description(model, about)
    except CharRNNError as error:
        raise CheckpointError(f"{path}: {error}") from None


def _model_of(weights: Mapping[str, Array]) -> Model:
    try:
        weights = _renamed(weights)
        config = _config_of(weights)
        _check(weights, config)  # before a model of a false size is made
        model = Model(config)
        from_torch(weights, model)
    except CharRNNError as error:
        raise CheckpointError(
            f"{error}; expected all weights of one nn.RNN (tanh), nn.GRU or nn.LSTM "
            "under one-hot input, and of one nn.Linear, and no others"
        ) from None
    return model


def _with_vocabulary(model: Model, text: Corpus | None) -> Checkpoint:
    V = model.config.vocab
    if text is None:
        raise CheckpointError(
            "no vocabulary in it, as in all that charrnn did not write; give a text "
            f"that has its {V} characters with --vocab"
        )
    vocab = text.vocabulary()
    if len(vocab) != V:
        raise CheckpointError(
            f"weights for {V} characters, and {text.name} has {len(vocab)} distinct "
            "ones; give the text that it was trained on with --vocab"
        )
    return Checkpoint(model, vocab, {"encoding": text.encoding})


def _with_description(model: Model, about: Mapping[str, str]) -> Checkpoint:
    if about.get("version") != VERSION:
        raise CheckpointError(
            f"version {about.get('version')!r:.20}, this charrnn reads {VERSION!r}; "
            "install a charrnn that is as new as the file"
        )
    try:
        parts = {key: json.loads(about[key]) for key in ("model", "vocab", *INFO)}
    except KeyError as error:
        raise CheckpointError(f"no {error} in its description; {_AGAIN}") from None
    except (ValueError, TypeError, RecursionError):
        raise CheckpointError(f"its description is not JSON; {_AGAIN}") from None
    for key, kind in INFO.items():
        if not isinstance(parts[key], kind):
            raise CheckpointError(f"its '{key}' is no {kind.__name__}; {_AGAIN}")
    said, vocab = parts.pop("model"), Vocabulary.from_json(parts.pop("vocab"))
    for key, value in asdict(model.config).items():
        if not isinstance(said, dict) or said.get(key) != value:
            raise CheckpointError(
                f"its weights have {key} {value}, and its description says otherwise; "
                f"{_AGAIN}"
            )
    if len(vocab) != model.config.vocab:
        raise CheckpointError(
            f"{len(vocab)} characters for a model of {model.config.vocab}; {_AGAIN}"
        )
    return Checkpoint(model, vocab, **parts)


def _read_either(path: Path) -> tuple[dict[str, Array], dict[str, str]]:
    try:
        with path.open("rb") as file:
            start = file.read(9)
    except FileNotFoundError:
        raise CheckpointError(
            f"{path}: no such file; expected one that `charrnn export` or PyTorch wrote"
        ) from None
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from error
    if start[8:] == b"{":
        return safetensors.read(path)
    if start.startswith((_ZIP, _PICKLE)):
        if _is_numpy(path):
            raise CheckpointError(
                f"{path}: a NumPy archive; if it is charrnn's, it need not be "
                f"imported: charrnn sample {path}"
            )
        return state_dict.read(path)
    raise CheckpointError(
        f"{path}: neither a safetensors file nor one of torch.save; expected what "
        "`charrnn export` or PyTorch wrote"
    )


def _is_numpy(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith(".npy") for name in archive.namelist())
    except (zipfile.BadZipFile, OSError, ValueError, RuntimeError):
        return False
