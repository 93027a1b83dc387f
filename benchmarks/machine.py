"""The description of the machine that every benchmark prints."""

import platform
from pathlib import Path
from types import ModuleType

import numpy as np
from threadpoolctl import threadpool_info

from charrnn.machine import available_cores

CELLS = ("rnn", "gru", "lstm")  # those that PyTorch has, too


def machine(**packages: ModuleType | None) -> str:
    """Return cores, processor and versions; packages by name, None if missing.

    The processor for which OpenBLAS chose its kernels tells the vector instructions.
    """
    versions = [f"Python {platform.python_version()}", f"NumPy {np.__version__}"]
    for library in threadpool_info():
        if library["internal_api"] == "openblas":
            versions += [f"OpenBLAS {library['version']} ({library['architecture']})"]
            break
    versions += [f"{name} {one.__version__}" for name, one in packages.items() if one]
    return f"{available_cores()} cores, {cpu()}, {', '.join(versions)}"


def cpu() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":")[1].strip()
    return platform.processor() or platform.machine()
