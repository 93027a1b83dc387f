"""PyTorch's own files: {"state_dict": tensors by name, "charrnn": JSON of some text}.

`torch.load` opens them with `weights_only=True`; without charrnn's part they may be a
state dict alone. The same two functions as in `charrnn.safetensors`, but these need
PyTorch (`pip install 'charrnn[torch]'`).
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
# Older ones could be made to run code in spite of weights_only (CVE-2025-32434).
_SAFE = (2, 6)


def write(path: Path, arrays: Mapping[str, Array], metadata: Mapping[str, str]) -> None:
    """Write arrays as tensors, or leave what stood at `path`.

    Raises MissingExtraError without PyTorch, and CheckpointError where the file cannot
    be written.
    """
    torch = _torch("the format torch", "choose --format safetensors")
    tensors = {
        name: torch.from_numpy(np.ascontiguousarray(array))
        for name, array in arrays.items()
    }
    data = io.BytesIO()
    torch.save({STATE: tensors, METADATA: json.dumps(dict(metadata))}, data)
    with replacing(path, CheckpointError) as file:
        file.write(data.getbuffer())


def read(path: Path) -> tuple[dict[str, Array], dict[str, str]]:
    """Return all tensors by name, as float32, and the metadata; execute nothing.

    Raises MissingExtraError without a PyTorch that is safe, and CheckpointError where
    the file is not as it should be.
    """
    instead = "export it as safetensors"
    torch = _torch(f"{path}: PyTorch's own format", instead)
    if tuple(map(int, torch.__version__.split(".")[:2])) < _SAFE:
        raise MissingExtraError(
            f"{path}: PyTorch {torch.__version__} might run what such a file holds; "
            f"pip install 'torch>=2.6', or {instead}"
        )
    try:
        with path.open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an error says what there is to say
            found = torch.load(file, map_location="cpu", weights_only=True)
        metadata, size = json.loads(found.get(METADATA, "{}")), path.stat().st_size
        arrays = {
            str(name): _float32(name, tensor, size)
            for name, tensor in found.get(STATE, found).items()
        }
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}; export it again") from None
    except Exception as error:  # whatever PyTorch says of a file that is not sound
        raise CheckpointError(
            f"{path}: not a whole file of tensors by name and nothing else "
            f"({type(error).__name__}); expected one of torch.save(net.state_dict(), …)"
        ) from None
    return arrays, metadata if isinstance(metadata, dict) else {}


def _float32(name: object, tensor: Any, size: int) -> Array:
    """Return a tensor as an array; the file that it came from has `size` bytes."""
    if not tensor.is_floating_point():
        raise CheckpointError(f"{name!r:.80} is {tensor.dtype}, expected floats")
    # By a stride of 0 a tensor may be far larger than what it is stored in.
    if tensor.numel() * tensor.element_size() > size:
        raise CheckpointError(
            f"{name!r:.80} is {tuple(tensor.shape)}, more than the file has room for"
        )
    array: Array = tensor.detach().float().numpy()
    return array


def _torch(what: str, instead: str) -> Any:
    if not find_spec("torch"):
        raise MissingExtraError(
            f"{what} needs PyTorch; pip install 'charrnn[torch]', or {instead}"
        )
    return importlib.import_module("torch")
