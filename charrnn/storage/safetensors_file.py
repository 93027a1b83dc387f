"""Arrays of floats and text metadata in a file of the safetensors format.

The package `safetensors` reads and writes the bytes. It executes nothing, and refuses a
file whose header is damaged or asks for more than the file holds.
"""

from collections.abc import Mapping
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np

from charrnn import strict_json
from charrnn.atomic import replacing
from charrnn.errors import CheckpointError
from charrnn.machine import require
from charrnn.nn.parameters import Array

# The float types of the format. NumPy has no BF16, the upper half of a float32.
_MOST = 100_000  # arrays
_DTYPES = {"F16": "<f2", "F32": "<f4", "F64": "<f8", "BF16": "<u2"}


def save(path: Path, arrays: Mapping[str, Array], metadata: Mapping[str, str]) -> None:
    """Write arrays as float32. If that fails, leave what was at `path`.

    The package sorts the arrays, and writes the metadata in no fixed order.
    Raises CheckpointError if the file cannot be written.
    """
    from safetensors import numpy as safetensors

    floats = {name: np.asarray(a, np.float32, order="C") for name, a in arrays.items()}
    # The package ends the process if it cannot allocate memory.
    require(2 * sum(array.nbytes for array in floats.values()), "the file")
    with replacing(path, CheckpointError) as file:
        file.write(safetensors.save(floats, dict(metadata)))


def load(path: Path) -> tuple[dict[str, Array], dict[str, str]]:
    """Return all arrays by name, as float32, and the metadata.

    Reads F16, F32, F64 and BF16. Values that overflow float32 become inf; whether they
    are finite is not checked. Raises CheckpointError if the file is damaged or holds
    other types.
    """
    from safetensors import SafetensorError, deserialize, safe_open

    try:
        # The header is checked before the arrays are read. (`safe_open` cannot read
        # BF16 without PyTorch, and `deserialize` does not return the metadata.)
        _check_header(path)
        with safe_open(path, "numpy") as file:
            metadata = file.metadata() or {}
        tensors = sorted(deserialize(path.read_bytes()), key=itemgetter(0))
        arrays = {name: _float32(name, tensor) for name, tensor in tensors}
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from error
    except (SafetensorError, ValueError) as error:
        # The reason may quote the file, so it is escaped and cut.
        reason = repr(str(error).removeprefix("Error while deserializing header: "))
        raise CheckpointError(
            f"{path}: not a whole safetensors file ({reason:.200}); expected one that "
            "is neither damaged nor cut short: export or download it again"
        ) from None
    return arrays, metadata


def _check_header(path: Path) -> None:
    """Raise ValueError if the header would take far more memory than the file."""
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        if size > strict_json.LARGEST:
            raise ValueError(f"a header of {size:,} bytes")
        if file.read(size).count(b"data_offsets") > _MOST:
            raise ValueError(f"more than {_MOST:,} arrays")


def _float32(name: str, tensor: Mapping[str, Any]) -> Array:
    dtype, shape = tensor["dtype"], tensor["shape"]
    if dtype not in _DTYPES:
        raise ValueError(f"{name:.80} is {dtype}; expected {', '.join(_DTYPES)}")
    raw = np.frombuffer(tensor["data"], _DTYPES[dtype])
    array: Array
    if dtype == "BF16":
        array = (raw.astype(np.uint32) << 16).view(np.float32)
    else:
        with np.errstate(over="ignore", invalid="ignore"):
            array = raw.astype(np.float32, copy=False)
    shaped: Array = array.reshape(shape)
    return shaped
