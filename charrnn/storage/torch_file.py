"""Arrays and text metadata in PyTorch's own format, which `torch.save` writes.

    {"state_dict": {NAME: tensor}, "charrnn": JSON of {TEXT: TEXT}}

A state dict alone is read as well. `torch.load` opens both with `weights_only=True`,
which executes no code of the file, but still lets it allocate any amount of memory. So
the file is looked through first.

The functions are those of `safetensors_file`, but they need PyTorch (`charrnn[torch]`).
"""

import importlib
import io
import json
import pickletools
import re
import warnings
import zipfile
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from charrnn import strict_json
from charrnn.atomic import replacing
from charrnn.errors import CheckpointError, MissingExtraError
from charrnn.nn.parameters import Array
from charrnn.storage import zip_file

STATE, METADATA = "state_dict", "charrnn"
ZIP = b"PK\x03\x04"  # the start of a file; PyTorch before 1.6 wrote a pickle
# Older versions can be made to run code despite weights_only (CVE-2025-32434).
_SAFE = (2, 6)
# What the pickle of named tensors refers to. Others that `weights_only` allows, such as
# bytearray, can be told to allocate memory.
_GLOBAL = re.compile(
    r"collections OrderedDict|torch\._utils _rebuild_(parameter|tensor_v2)"
    r"|torch [A-Za-z0-9]+Storage"
)
_OTHER_WAYS = ("STACK_GLOBAL", "INST", "EXT1", "EXT2", "EXT4")  # to refer to something
_MOST_STEPS = 500_000  # of pickles; a tensor takes about forty
# A file of before PyTorch 1.6 starts with five pickles: a number, the version of the
# format, properties of the machine, the tensors, and the order of their contents.
_PICKLES = 5


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
        _look_through(path)
        with path.open("rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # errors are enough
            found = torch.load(file, map_location="cpu", weights_only=True)
        metadata = _metadata(found)
        tensors = {str(name): t for name, t in found.get(STATE, found).items()}
        _check_sizes(tensors, path.stat().st_size)
        arrays = {name: _float32(tensor) for name, tensor in tensors.items()}
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}; export or download it again") from None
    except Exception as error:  # PyTorch raises many kinds
        raise CheckpointError(
            f"{path}: damaged, or holds more than named tensors "
            f"({type(error).__name__}); expected one from "
            "torch.save(net.state_dict(), …)"
        ) from None
    return arrays, metadata


def _look_through(path: Path) -> None:
    """Raise if a file is not what `torch.save` writes for named tensors."""
    with path.open("rb") as file:
        if file.read(len(ZIP)) != ZIP:
            file.seek(0)
            pickles = io.BytesIO(file.read(strict_json.LARGEST))
            for _ in range(_PICKLES):
                _check_pickle(pickles)
            return
    with zip_file.open_zip(path) as archive:
        for name, info in zip_file.members_of(archive).items():
            if info.compress_type != zipfile.ZIP_STORED:
                raise CheckpointError(f"{name!r:.80} is compressed; expected it stored")
            if name.endswith(".pkl"):
                if info.file_size > strict_json.LARGEST:
                    raise CheckpointError(f"{name!r:.80} is too large")
                _check_pickle(io.BytesIO(archive.read(info)))


def _check_pickle(file: io.BytesIO) -> None:
    """Raise if a pickle refers to anything except tensors and their storages."""
    for step, (code, what, _) in enumerate(pickletools.genops(file)):
        if step == _MOST_STEPS:
            raise CheckpointError(f"its pickle has more than {_MOST_STEPS:,} steps")
        if code.name in _OTHER_WAYS or (
            code.name == "GLOBAL" and not _GLOBAL.fullmatch(str(what))
        ):
            raise CheckpointError(
                f"it refers to {what or code.name!r:.80}; expected named tensors only"
            )


def _metadata(found: Any) -> dict[str, str]:
    """Return the metadata in a file's content, if it holds texts only."""
    metadata = strict_json.parse(found.get(METADATA, "{}"))
    values = metadata.values() if isinstance(metadata, dict) else [None]
    return metadata if all(isinstance(value, str) for value in values) else {}


def _check_sizes(tensors: Mapping[str, Any], size: int) -> None:
    """Raise unless they are tensors of floats, which a file of `size` bytes can hold.

    A tensor with a stride of 0 may be far larger than its storage, and several tensors
    may share one.
    """
    left = size
    for name, tensor in tensors.items():
        if not tensor.is_floating_point():
            raise CheckpointError(f"{name!r:.80} is {tensor.dtype}; expected floats")
        left -= tensor.numel() * tensor.element_size()
        if left < 0:
            raise CheckpointError(
                f"{name!r:.80} is {tuple(tensor.shape)}; expected no more than the "
                f"file can hold, {size:,} bytes"
            )


def _float32(tensor: Any) -> Array:
    array: Array = tensor.detach().float().numpy()
    return array


def _torch(what: str, instead: str) -> Any:
    if not find_spec("torch"):
        raise MissingExtraError(
            f'{what} needs PyTorch: pip install "charrnn[torch]", or {instead}'
        )
    return importlib.import_module("torch")
