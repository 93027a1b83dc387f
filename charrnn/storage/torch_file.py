"""Arrays and text metadata in PyTorch's own format, which `torch.save` writes.

    {"state_dict": {NAME: tensor}, "charrnn": JSON of {TEXT: TEXT}}

A state dict alone is read as well. `torch.load` opens both with `weights_only=True`.
The functions are those of `safetensors_file`, but they need PyTorch (`charrnn[torch]`).
"""

import importlib
import io
import json
import warnings
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from charrnn.atomic import replacing
from charrnn.errors import CheckpointError, MissingExtraError
from charrnn.nn.parameters import Array

STATE, METADATA = "state_dict", "charrnn"
# Older versions can be made to run code despite weights_only (CVE-2025-32434).
_SAFE = (2, 6)


def save(path: Path, arrays: Mapping[str, Array], metadata: Mapping[str, str]) -> None:
    """Write arrays as tensors. If that fails, leave what was at `path`.

    Raises MissingExtraError without PyTorch, and CheckpointError if the file cannot be
    written.
    """
    torch = _torch("the format torch", "choose --format safetensors")
    tensors = {
        name: torch.from_numpy(np.asarray(array, order="C"))
        for name, array in arrays.items()
    }
    data = io.BytesIO()
    torch.save({STATE: tensors, METADATA: json.dumps(dict(metadata))}, data)
    with replacing(path, CheckpointError) as file:
        file.write(data.getbuffer())


def load(path: Path) -> tuple[dict[str, Array], dict[str, str]]:
    """Return all tensors by name, as float32, and the metadata, executing no code.

    Raises MissingExtraError without a PyTorch that is safe to use, and CheckpointError
    if the file is damaged or holds anything else.
    """
    instead = "export it as safetensors"
    torch = _torch(f"{path}: PyTorch's own format", instead)
    if tuple(map(int, torch.__version__.split(".")[:2])) < _SAFE:
        raise MissingExtraError(
            f"{path}: PyTorch {torch.__version__} could run code from such a file; "
            f"expected 2.6 or newer: pip install 'torch>=2.6', or {instead}"
        )
    try:
        with path.open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # errors are enough
            found = torch.load(file, map_location="cpu", weights_only=True)
        metadata, size = json.loads(found.get(METADATA, "{}")), path.stat().st_size
        arrays = {
            str(name): _float32(name, tensor, size)
            for name, tensor in found.get(STATE, found).items()
        }
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}; export or download it again") from None
    except Exception as error:  # PyTorch raises many kinds
        raise CheckpointError(
            f"{path}: damaged, or holds more than named tensors "
            f"({type(error).__name__}); expected one from "
            "torch.save(net.state_dict(), …)"
        ) from None
    return arrays, metadata if isinstance(metadata, dict) else {}


def _float32(name: object, tensor: Any, size: int) -> Array:
    """Return a tensor as an array; its file has `size` bytes."""
    if not tensor.is_floating_point():
        raise CheckpointError(f"{name!r:.80} is {tensor.dtype}; expected floats")
    # A tensor with a stride of 0 may be far larger than its storage.
    if tensor.numel() * tensor.element_size() > size:
        raise CheckpointError(
            f"{name!r:.80} is {tuple(tensor.shape)}; expected no more than the file "
            f"can hold, {size:,} bytes"
        )
    array: Array = tensor.detach().float().numpy()
    return array


def _torch(what: str, instead: str) -> Any:
    if not find_spec("torch"):
        raise MissingExtraError(
            f'{what} needs PyTorch: pip install "charrnn[torch]", or {instead}'
        )
    return importlib.import_module("torch")
