"""Checkpoints: one .npz file, no pickle, with documented names and shapes.

Member `header` is UTF-8 JSON in a uint8 vector; every other member is an array:

    params/layer0.Wx (V or H, G·H)   params/layer0.Wh (H, G·H)   params/layer0.b (G·H)
    params/output.W (H, V)           params/output.b (V)

One to resume from adds `optimizer/MOMENT/NAME`, shaped like the parameters, and
`state/layer0.0` (N, H), the hidden state carried from window to window. A file that
somebody else made is safe to open: nothing in it is executed, and no array is read
before its name, shape and type are what the header's model asks for.
"""

import json
import platform
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np

import charrnn
from charrnn.atomic import replacing
from charrnn.config import ModelConfig
from charrnn.errors import CharRNNError, CheckpointError
from charrnn.nn.model import Model, ModelState
from charrnn.nn.parameters import Array, Parameters, Shape
from charrnn.text.vocab import Vocabulary
from charrnn.training.optimizers import OPTIMIZERS
from charrnn.training.state import Progress, Snapshot

FORMAT = "charrnn"
VERSION = 1
_HEADER_LIMIT = 64 << 20  # bytes
INFO = {"corpus": dict, "split": dict, "train": dict, "history": list}
_DAMAGED = "the file is damaged or was edited; restore it from a backup"


@dataclass
class Checkpoint:
    """A trained model with all that is known of it."""

    model: Model
    vocab: Vocabulary
    corpus: dict[str, Any] = field(default_factory=dict)  # name, sha256, characters …
    split: dict[str, Any] = field(default_factory=dict)
    train: dict[str, Any] = field(default_factory=dict)  # configuration and plan
    history: list[list[float]] = field(default_factory=list)
    snapshot: Snapshot | None = None  # what resuming needs


def save(checkpoint: Checkpoint, path: Path, *, half: bool = False) -> None:
    """Write a checkpoint, or leave whatever stood at `path` as it was.

    With `half` the weights take two bytes each, to three digits; `load` widens them.
    """
    header = {
        "format": FORMAT,
        "version": VERSION,
        "model": asdict(checkpoint.model.config),
        "vocab": checkpoint.vocab.to_json(),
        "split": checkpoint.split,
        "corpus": checkpoint.corpus,
        "train": checkpoint.train,
        "history": checkpoint.history,
        "versions": {
            "charrnn": charrnn.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
    }
    arrays = _named("params", checkpoint.model.params)
    if checkpoint.snapshot:
        params, snapshot = checkpoint.model.params, checkpoint.snapshot
        header["progress"] = snapshot.progress
        arrays |= _snapshot_arrays(params, snapshot)
        if snapshot.last_good:
            header["good_progress"] = snapshot.last_good.progress
            good = _named("params", params.unflatten(snapshot.last_good.params))
            good |= _snapshot_arrays(params, snapshot.last_good)
            arrays |= {f"good/{name}": array for name, array in good.items()}
    if half:
        arrays = {name: array.astype(np.float16) for name, array in arrays.items()}
    text = json.dumps(header, ensure_ascii=False).encode("utf-8", "surrogatepass")
    with replacing(path, CheckpointError) as file:
        np.savez(file, header=np.frombuffer(text, np.uint8), **arrays)


def _named(prefix: str, params: Parameters) -> dict[str, Any]:
    return {f"{prefix}/{name}": array for name, array in params.items()}


def _snapshot_arrays(params: Parameters, snapshot: Snapshot) -> dict[str, Any]:
    arrays: dict[str, Any] = {}
    for moment, flat in snapshot.moments.items():
        arrays |= _named(f"optimizer/{moment}", params.unflatten(flat))
    for i, layer in enumerate(snapshot.state):
        arrays |= {f"state/layer{i}.{j}": part for j, part in enumerate(layer)}
    return arrays


def load(path: Path, *, snapshot: bool = False) -> Checkpoint:
    """Read a checkpoint; with `snapshot`, also what resuming needs.

    Raises CheckpointError, naming the member, where anything is missing or not as
    expected.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return _Reader(path, archive).checkpoint(snapshot)
    except FileNotFoundError:
        raise CheckpointError(
            f"{path}: no such file; expected a checkpoint such as best.npz in a run's "
            "folder, which `charrnn train` writes"
        ) from None
    except (zipfile.BadZipFile, EOFError, zlib.error, RuntimeError) as error:
        raise CheckpointError(
            f"{path}: not a readable .npz archive ({error}); expected a checkpoint "
            "that `charrnn train` wrote"
        ) from error
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from error


def parse_header(
    header: Mapping[str, Any],
) -> tuple[ModelConfig, Vocabulary, dict[str, Any]]:
    """Return the shape of the model, its vocabulary, and the parts listed in INFO.

    Raises CheckpointError if one is missing or not as expected. Weights that were
    exported for PyTorch have the same parts in their metadata.
    """
    try:
        vocab = Vocabulary.from_json(header["vocab"])
        config = ModelConfig(**header["model"])
        info = {key: header[key] for key in INFO}
    except KeyError as error:
        raise CheckpointError(f"the header has no {error}") from None
    except (TypeError, CharRNNError) as error:
        raise CheckpointError(f"the header does not hold: {error}") from None
    for key, kind in INFO.items():
        if not isinstance(info[key], kind):
            raise CheckpointError(f"the header's '{key}' is no {kind.__name__}")
    if len(vocab) != config.vocab:
        raise CheckpointError(f"{len(vocab)} characters for a model of {config.vocab}")
    return config, vocab, info


class _Reader:
    """An open archive, with errors that name it."""

    def __init__(self, path: Path, archive: zipfile.ZipFile) -> None:
        self._path, self._archive = path, archive
        self._members = {info.filename: info for info in archive.infolist()}

    def checkpoint(self, snapshot: bool) -> Checkpoint:
        header = self._header()
        try:
            config, vocab, info = parse_header(header)
        except CheckpointError as error:
            raise self._error(f"{error}; {_DAMAGED}") from None
        # The members' sizes are checked before a model of a false size is made.
        self._check_room(config)
        model = Model(config)
        self._fill("params/", model.params)
        checkpoint = Checkpoint(model, vocab, **info)
        if snapshot:
            checkpoint.snapshot = self._snapshot(model, header)
        return checkpoint

    def _header(self) -> dict[str, Any]:
        info = self._members.get("header.npy")
        if info is None:
            raise self._error(
                "no member 'header'; expected a checkpoint that `charrnn train` wrote"
            )
        if info.file_size > _HEADER_LIMIT:
            raise self._error(f"the header has {info.file_size:,} bytes; {_DAMAGED}")
        try:
            text = self._read("header").tobytes().decode("utf-8", "surrogatepass")
            header = json.loads(text)
        except ValueError:
            raise self._error(f"the header is not JSON; {_DAMAGED}") from None
        if not isinstance(header, dict) or header.get("format") != FORMAT:
            raise self._error("the header does not say that charrnn wrote it")
        if header.get("version") != VERSION:
            raise self._error(
                f"format version {header.get('version')}, this charrnn reads "
                f"{VERSION}; install a charrnn that is as new as the file"
            )
        return header

    def _check_room(self, config: ModelConfig, batch: int = 1) -> None:
        """Refuse sizes that the file cannot hold, before arrays of them are made."""
        wanted = config.hidden * max(config.hidden * config.layers, batch)
        if wanted > sum(info.file_size for info in self._members.values()):
            raise self._error(
                f"too small for hidden {config.hidden}, layers {config.layers}, batch "
                f"{batch}; "
                f"{_DAMAGED}"
            )

    def _snapshot(self, model: Model, header: dict[str, Any]) -> Snapshot:
        try:
            N = header["train"]["plan"]["batch"]
            names = OPTIMIZERS[header["train"]["optimizer"]].moments
            if header["train"]["average"]:
                names += ("average",)
            self._check_room(replace(model.config, layers=1), batch=N)
            snapshot = self._moment(model, header["progress"], names, N)
            if "good_progress" in header:
                good = self._moment(model, header["good_progress"], names, N, "good/")
                snapshot = replace(snapshot, last_good=good)
        except (KeyError, TypeError, ValueError) as error:
            raise self._error(
                "holds a model but not the state of its training "
                f"({type(error).__name__}: {error}); expected last.npz to resume from"
            ) from None
        return snapshot

    def _moment(
        self,
        model: Model,
        progress: dict[str, Any],
        names: tuple[str, ...],
        N: int,
        prefix: str = "",
    ) -> Snapshot:
        """Read the state at one moment of a training."""
        Progress(**progress)  # refuses what is no progress
        params = model.params.copy()
        if prefix:
            self._fill(f"{prefix}params/", params)
        moments = {name: model.params.zeros_like() for name in names}
        for name, arrays in moments.items():
            self._fill(f"{prefix}optimizer/{name}/", arrays)
        state: ModelState = tuple(
            tuple(
                self._array(f"{prefix}state/layer{i}.{j}", part.shape, part.dtype)
                for j, part in enumerate(layer)
            )
            for i, layer in enumerate(model.zero_state(N))
        )
        flats = {name: arrays.flat for name, arrays in moments.items()}
        return Snapshot(progress, params.flat, flats, state)

    def _fill(self, prefix: str, params: Parameters) -> None:
        for name, view in params.items():
            view[:] = self._array(f"{prefix}{name}", view.shape, view.dtype)
            if not np.isfinite(view).all():
                raise self._error(f"'{prefix}{name}' is not finite; {_DAMAGED}")

    def _array(self, name: str, shape: Shape, dtype: np.dtype[Any]) -> Array:
        """Read one member that must be floats, of any width, of this shape."""
        info = self._members.get(f"{name}.npy")
        if info is None:
            raise self._error(f"no member '{name}', expected {shape}; {_DAMAGED}")
        with self._archive.open(info) as file:
            try:
                version = np.lib.format.read_magic(file)
                read = getattr(np.lib.format, f"read_array_header_{version[0]}_0")
                found, _, kind = read(file)
            except (ValueError, AttributeError, SyntaxError, TokenError):
                raise self._error(f"'{name}' is not an array; {_DAMAGED}") from None
        if found != shape or kind.kind != "f":
            raise self._error(
                f"'{name}' is {kind} {found}, expected {shape}; {_DAMAGED}"
            )
        with np.errstate(over="ignore"):  # becomes infinite, and is found
            return self._read(name).astype(dtype)

    def _read(self, name: str) -> Array:
        with self._archive.open(self._members[f"{name}.npy"]) as file:
            try:
                array: Array = np.lib.format.read_array(file, allow_pickle=False)
            except (ValueError, SyntaxError, TokenError) as error:
                raise self._error(
                    f"'{name}' cannot be read ({error}); {_DAMAGED}"
                ) from None
        return array

    def _error(self, message: str) -> CheckpointError:
        return CheckpointError(f"{self._path}: {message}")
