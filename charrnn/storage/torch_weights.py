"""Weights with PyTorch's names, shapes and gate order, exported and imported.

    layer{i}.Wx (D, G·H)    rnn.weight_ih_l{i} (G·H, D), transposed
    layer{i}.Wh (H, G·H)    rnn.weight_hh_l{i} (G·H, H), transposed
    layer{i}.b (G·H)        rnn.bias_ih_l{i} + rnn.bias_hh_l{i} (G·H)
    layer{i}.c (H)          the n part of rnn.bias_hh_l{i} (GRU)
    layer{i}.Q (D, H)       rnn.scale_l{i} (H, D), transposed (multiplicative cells)
    output.W (H, V)         output.weight (V, H), transposed
    output.b (V)            output.bias (V)

PyTorch's LSTM orders its gates i f g o, charrnn i f o g; the other cells agree. With
these weights and one-hot input, nn.RNN, nn.GRU or nn.LSTM computes the same numbers.
PyTorch has no multiplicative cells; docs/pytorch.md has a module for them.

An exported file is in the safetensors format or PyTorch's own. Its metadata holds the
rest of the checkpoint, each field as JSON (`model`, `vocab`, `corpus`, `split`, `train`
and `history`), with `format` and `version`.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from charrnn import strict_json
from charrnn.config import ModelConfig
from charrnn.errors import CharRNNError, CheckpointError
from charrnn.nn.model import Model
from charrnn.nn.parameters import LARGEST, Array, Shape, can_compute_with
from charrnn.nn.predictor import only_member
from charrnn.shell import quote
from charrnn.storage import safetensors_file, torch_file, zip_file
from charrnn.storage.checkpoint import (
    FORMAT,
    PARTS,
    Checkpoint,
    make_header,
    parse_header,
)
from charrnn.text.corpus_info import CorpusInfo

if TYPE_CHECKING:
    from charrnn.text.corpus import Corpus

VERSION = "1"  # of the metadata, in which every value is a string
FORMATS = {"safetensors": safetensors_file, "torch": torch_file}
SUFFIXES = {"safetensors": ".safetensors", "torch": ".pt"}
_GATES = {"rnn": 1, "gru": 3, "lstm": 4}  # in PyTorch's layers
_MULTIPLICATIVE = "m"  # before the name of the cell
_SWAPPED = [0, 1, 3, 2]  # i f g o to i f o g, and back
# The start of a file of PyTorch before 1.6: the number 0x1950a86a20f9469cfc6c as a
# pickle of protocol 2.
_PICKLE = b"\x80\x02\x8a\x0al\xfc\x9cF"
_AGAIN = "export or download it again"
# Names of PyTorch's weights, whatever the module calls its layers.
_NAMES = (
    (re.compile(r"(?:.*\.)?((?:(?:weight|bias)_[ih]h|scale)_l[0-9]+)"), "rnn."),
    (re.compile(r"(?:.*\.)?(weight|bias)"), "output."),
)


def to_torch(model: Model) -> dict[str, Array]:
    """Return copies of all weights with PyTorch's names, shapes and gate order."""
    H, params = model.config.hidden, model.params
    found = {}
    for i in range(model.config.layers):
        layer = params.scope(f"layer{i}")
        b = _swap(layer["b"], H)
        bias_hh = np.zeros_like(b)
        if "c" in layer:
            bias_hh[-H:] = layer["c"]
        found[f"rnn.weight_ih_l{i}"] = _swap(layer["Wx"].T, H)
        found[f"rnn.weight_hh_l{i}"] = _swap(layer["Wh"].T, H)
        found[f"rnn.bias_ih_l{i}"], found[f"rnn.bias_hh_l{i}"] = b, bias_hh
        if "Q" in layer:
            found[f"rnn.scale_l{i}"] = layer["Q"].T.copy()
    W, b = model.output_layer()
    found["output.weight"], found["output.bias"] = W.T.copy(), b
    return found


def from_torch(weights: Mapping[str, Array], model: Model) -> None:
    """Fill a model with PyTorch's weights.

    Raises CheckpointError if they do not fit the model.
    """
    config, params = model.config, model.params
    _check(weights, config)
    H = config.hidden
    for i in range(config.layers):
        layer = params.scope(f"layer{i}")
        layer["Wx"][:] = _swap(weights[f"rnn.weight_ih_l{i}"], H).T
        layer["Wh"][:] = _swap(weights[f"rnn.weight_hh_l{i}"], H).T
        if "Q" in layer:
            layer["Q"][:] = weights[f"rnn.scale_l{i}"].T
        bias_hh = weights[f"rnn.bias_hh_l{i}"].copy()
        if "c" in layer:
            layer["c"][:] = bias_hh[-H:]
            bias_hh[-H:] = 0
        layer["b"][:] = _swap(weights[f"rnn.bias_ih_l{i}"] + bias_hh, H)
        if not can_compute_with(layer["b"]):
            raise CheckpointError(f"the sum of the biases of layer {i} is too large")
    params["output.W"][:] = weights["output.weight"].T
    params["output.b"][:] = weights["output.bias"]


def _swap(rows: Array, H: int) -> Array:
    """Reorder the gates (H rows each) for the other library, in either direction."""
    gates: Array = rows.reshape(-1, H, *rows.shape[1:])
    order = _SWAPPED if len(gates) == len(_SWAPPED) else [*range(len(gates))]
    return gates[order].reshape(rows.shape)


def _shapes(config: ModelConfig) -> dict[str, Shape]:
    """Return the shapes of all weights of a model, by PyTorch's names."""
    H, V, plain = config.hidden, config.vocab, _plain(config.cell)
    rows = _GATES[plain] * H
    shapes: dict[str, Shape] = {}
    for i in range(config.layers):
        shapes[f"rnn.weight_ih_l{i}"] = (rows, H if i else V)
        shapes[f"rnn.weight_hh_l{i}"] = (rows, H)
        shapes[f"rnn.bias_ih_l{i}"] = shapes[f"rnn.bias_hh_l{i}"] = (rows,)
        if config.cell != plain:
            shapes[f"rnn.scale_l{i}"] = (H, H if i else V)
    return shapes | {"output.weight": (V, H), "output.bias": (V,)}


def _plain(cell: str) -> str:
    """Return PyTorch's cell that is the same except for the scales of the state."""
    return cell.removeprefix(_MULTIPLICATIVE)


def _check(weights: Mapping[str, Array], config: ModelConfig) -> None:
    """Raise for weights that are missing, unexpected, misshapen or not finite."""
    shapes = _shapes(config)
    for name, shape in shapes.items():
        found = weights[name].shape if name in weights else "missing"
        if found != shape:
            raise CheckpointError(f"'{name}' is {found}; expected {shape}")
        if not can_compute_with(weights[name]):
            raise CheckpointError(
                f"'{name}' is not finite, or above {LARGEST:g}; expected weights of "
                "a network that works"
            )
    for name in weights:
        if name not in shapes:
            kind = (
                f"{config.layers} x nn.{_plain(config.cell).upper()} and one nn.Linear"
            )
            raise CheckpointError(f"{name!r:.80} is not a weight of {kind}")


def _config_of(weights: Mapping[str, Array]) -> ModelConfig:
    """Return the configuration of the model that has weights of these shapes."""
    for name in ("rnn.weight_hh_l0", "output.weight"):
        if name not in weights:
            raise CheckpointError(f"'{name}' is missing")
        if weights[name].ndim != 2:
            raise CheckpointError(
                f"'{name}' is {weights[name].shape}; expected a matrix"
            )
    rows, H = weights["rnn.weight_hh_l0"].shape
    for cell, gates in _GATES.items():
        if rows == gates * H:
            layers = sum(name.startswith("rnn.weight_hh_l") for name in weights)
            if "rnn.scale_l0" in weights:
                cell = _MULTIPLICATIVE + cell
            return ModelConfig(len(weights["output.weight"]), H, layers, cell)
    raise CheckpointError(
        f"'rnn.weight_hh_l0' is {(rows, H)}; expected 1, 3 or 4 times as many "
        "rows as columns (nn.RNN, nn.GRU, nn.LSTM)"
    )


def _renamed(weights: Mapping[str, Array]) -> dict[str, Array]:
    """Rename the recurrent layer to `rnn` and the linear one to `output`."""
    found: dict[str, Array] = {}
    for name, array in weights.items():
        matches = ((part, regex.fullmatch(name)) for regex, part in _NAMES)
        new = next((part + match[1] for part, match in matches if match), name)
        if new in found:
            raise CheckpointError(f"{name!r:.80} is a second '{new}'; expected one")
        found[new] = array
    return found


def export_weights(
    checkpoint: Checkpoint, path: Path, format: str = "safetensors"
) -> None:
    """Write a checkpoint for PyTorch: everything except the training state.

    format is one of FORMATS. Raises MissingExtraError for "torch" without PyTorch,
    ConfigError for an ensemble, and CheckpointError if the file cannot be written;
    `path` is then left untouched.
    """
    network = only_member(checkpoint.model, "cannot be exported")
    FORMATS[format].save(path, to_torch(network), _metadata(checkpoint))


def _metadata(checkpoint: Checkpoint) -> dict[str, str]:
    """Return the metadata of a file, which is often published: without paths."""
    corpus, split = checkpoint.corpus, checkpoint.split
    parts = make_header(
        replace(
            checkpoint, corpus=corpus.without_places(), split=split.without_places()
        )
    )
    texts = {key: json.dumps(value) for key, value in parts.items()}
    return {"format": FORMAT, "version": VERSION} | texts


def import_weights(path: Path, text: "Corpus | None" = None) -> Checkpoint:
    """Return the checkpoint in a file of either format, recognized by its content.

    Weights that charrnn did not write need the text that they were trained on, for its
    vocabulary. Nothing in the file is executed. Raises CheckpointError if anything is
    not as expected, and MissingExtraError for PyTorch's own format without PyTorch.
    """
    weights, metadata = _load(path)
    try:
        model = _model_of(weights)
        if metadata.get("format") != FORMAT:
            return _with_vocabulary(model, text)
        if text is not None:
            raise CheckpointError("has its own vocabulary; leave out --vocab")
        return _with_metadata(model, metadata)
    except CharRNNError as error:
        raise CheckpointError(f"{path}: {error}") from None


def _model_of(weights: Mapping[str, Array]) -> Model:
    try:
        weights = _renamed(weights)
        config = _config_of(weights)
        _check(weights, config)  # before a model of a wrong size is made
        model = Model(config)
        from_torch(weights, model)
    except CharRNNError as error:
        raise CheckpointError(
            f"{error}; expected the weights of one nn.RNN (tanh), nn.GRU or nn.LSTM "
            "with one-hot input and of one nn.Linear, and no others"
        ) from None
    return model


def _with_vocabulary(model: Model, text: "Corpus | None") -> Checkpoint:
    V = model.config.vocab
    if text is None:
        raise CheckpointError(
            "no vocabulary in this file, which charrnn did not write; expected a text "
            f"with its {V} distinct characters: give one with --vocab"
        )
    vocab = text.vocab
    if len(vocab) != V:
        raise CheckpointError(
            f"weights for {V} characters, but {text.name} has {len(vocab)} distinct "
            "ones; expected the text that they were trained on: give it with --vocab"
        )
    return Checkpoint(model, vocab, CorpusInfo(encoding=text.info.encoding))


def _with_metadata(model: Model, metadata: Mapping[str, str]) -> Checkpoint:
    if metadata.get("version") != VERSION:
        raise CheckpointError(
            f"version {metadata.get('version')!r:.20} of the metadata; expected "
            f"{VERSION!r}: upgrade charrnn to read this file"
        )
    try:
        config, vocab, info = parse_header(_parsed(metadata))
        # The shapes of the weights do not tell which id is the end mark.
        known = replace(model.config, end=config.end)
        for key, value in asdict(known).items():
            found = getattr(config, key)
            if found != value:
                raise CheckpointError(
                    f"the weights have {key} {value}, but the header {found!s:.20}"
                )
    except CheckpointError as error:
        raise CheckpointError(f"{error}; {_AGAIN}") from None
    marked = Model(config)
    marked.params.flat[:] = model.params.flat
    return Checkpoint(marked, vocab, **info)


def _parsed(metadata: Mapping[str, str]) -> dict[str, Any]:
    try:
        return {
            key: strict_json.parse(metadata[key]) for key in PARTS if key in metadata
        }
    except ValueError as error:
        raise CheckpointError(f"the header is not JSON ({error})") from None


def _load(path: Path) -> tuple[dict[str, Array], dict[str, str]]:
    try:
        with path.open("rb") as file:
            start = file.read(9)
    except FileNotFoundError:
        raise CheckpointError(
            f"{path}: no such file; expected one from `charrnn export` or PyTorch"
        ) from None
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from error
    if start[8:] == b"{":
        return safetensors_file.load(path)
    if start.startswith((torch_file.ZIP, _PICKLE)):
        if _is_numpy(path):
            raise CheckpointError(
                f"{path}: a NumPy archive; expected PyTorch weights (a checkpoint "
                f"needs no import: charrnn sample {quote(str(path))})"
            )
        return torch_file.load(path)
    raise CheckpointError(
        f"{path}: neither in the safetensors format nor from torch.save; expected a "
        "file from `charrnn export` or PyTorch"
    )


def _is_numpy(path: Path) -> bool:
    try:
        with zip_file.open_zip(path) as archive:
            return any(name.endswith(".npy") for name in archive.namelist())
    except (*zip_file.ERRORS, OSError):
        return False
