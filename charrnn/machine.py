"""The cores and the memory that this process may use, also in a container.

An allocation that fails is a MemoryError in Python, and becomes a message. But Linux
grants more memory than there is, and kills the process that uses it. And some libraries
end the process if they cannot allocate. So Linux gets a limit at which allocations fail
(`limit_to_available`), and these libraries are only used if there is room (`require`).
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from math import ceil, inf
from mmap import mmap
from pathlib import Path, PurePosixPath

MB = 1 << 20
# What libraries need, measured with NumPy 2.4 and Numba 0.68 on x86-64.
_THREAD = 16 * MB  # a stack of 8, and what Python needs until the work begins
_BLAS_THREAD = 40 * MB  # a stack of 8 and a buffer of 32
_NUMPY = 150 * MB  # its libraries, and the buffers of one thread
NUMBA = 500 * MB  # its libraries, and what compiling takes
_ARENA_MAX = -8  # of glibc's mallopt: the most places from which threads allocate


_sharing = 1  # processes that divide the cores among themselves


def available_cores() -> int:
    """Return the number of cores that this process may use."""
    cores = min(len(usable_cores()), cpu_quota())
    return max(1, ceil(cores) // _sharing)


def usable_cores() -> list[int]:
    """Return the numbers of the cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return [*range(os.cpu_count() or 1)]


def physical_cores(root: Path = Path("/")) -> int:
    """Return the number of those cores that are not hyper-threads of another one.

    `root` is the folder with proc and sys. A system that does not tell has none.
    """
    cores = root / "sys/devices/system/cpu"
    siblings = {
        _read(cores / f"cpu{number}/topology/thread_siblings_list").strip() or number
        for number in usable_cores()
    }
    return max(1, ceil(min(len(siblings), cpu_quota(root))) // _sharing)


def share_cores(processes: int) -> None:
    """Divide the cores of this process among several that may use the same ones."""
    global _sharing
    _sharing = processes


def cpu_quota(root: Path = Path("/")) -> float:
    """Return the cores' worth of time that Linux control groups allow, or infinity.

    `root` is the folder with proc and sys.
    """
    return min(map(_quota, _groups(root, "cpu")), default=inf)


def _quota(group: Path) -> float:
    """Return the quota of a group in cores, or infinity."""
    # Version 2 has both numbers in one file.
    words = _read(group / "cpu.max").split()
    if not words:
        names = ("cpu.cfs_quota_us", "cpu.cfs_period_us")
        words = [_read(group / name).strip() for name in names]
    quota, period = words if len(words) == 2 else ("max", "")
    if quota.isdecimal() and period.isdecimal() and int(quota) and int(period):
        return int(quota) / int(period)
    return inf  # the quota is "max" in version 2, and -1 in version 1


def require(size: int, who: str) -> None:
    """Raise MemoryError unless this process can get so many more bytes now."""
    if not size:
        return
    try:
        if os.name == "nt":
            mmap(-1, size).close()
        else:
            from mmap import MAP_ANONYMOUS, MAP_PRIVATE

            mmap(-1, size, MAP_PRIVATE | MAP_ANONYMOUS).close()
    except OSError:
        raise MemoryError(f"{who} needs {-(-size // MB):,} MB") from None


def require_threads(count: int, *, blas: bool = False) -> None:
    """Raise MemoryError unless this process can start so many threads now.

    With `blas`, they will multiply matrices, each with a buffer that BLAS allocates.
    """
    if address_space_limit() is not None:
        _allocate_in_one_place()
    each = _BLAS_THREAD if blas else _THREAD
    require(count * each, "BLAS" if blas else "a thread")


@cache
def _allocate_in_one_place() -> None:
    """Keep glibc from reserving 64 MB of addresses for each thread that allocates."""
    from ctypes import CDLL

    with suppress(AttributeError, OSError):  # another library
        CDLL(None).mallopt(_ARENA_MAX, 1)


def require_numpy() -> None:
    """Raise MemoryError if `ulimit -v` leaves too little memory to load NumPy.

    Its BLAS would end the process, or interrupt it as Ctrl-C does. If there is such a
    limit, NumPy is loaded here, and BLAS allocates its buffers for a first product.
    """
    if address_space_limit() is not None:
        require(_NUMPY + (_blas_threads() - 1) * _BLAS_THREAD, "NumPy")
        import numpy as np

        np.matmul(*np.ones((2, 256, 256), np.float32))


def _blas_threads() -> int:
    chosen = os.environ.get("OPENBLAS_NUM_THREADS", "")
    return max(1, int(chosen) if chosen.isdecimal() else available_cores())


def limit_to_available() -> None:
    """Make allocations fail that exceed the memory of this machine or container.

    Only Linux needs it, and elsewhere nothing happens. A lower limit stays.
    """
    try:
        import resource

        # BLAS threads and ours, of which each takes more than it uses.
        limit = available_memory() + 2 * _blas_threads() * _BLAS_THREAD
        before = resource.getrlimit(resource.RLIMIT_DATA)
        lower = [each for each in before if each != resource.RLIM_INFINITY]
        if limit < min(lower, default=limit + 1):
            resource.setrlimit(resource.RLIMIT_DATA, (limit, before[1]))
    except (ImportError, OSError, ValueError, KeyError):  # not Linux, or no /proc
        pass


def available_memory(root: Path = Path("/")) -> int:
    """Return the bytes of memory and swap that this process can have, on Linux.

    These are those of the machine or, if lower, of a control group: a container. `root`
    is the folder with proc and sys. Raises OSError, KeyError or ValueError if they
    cannot be read.
    """
    lines = (root / "proc/meminfo").read_text(encoding="ascii").splitlines()
    kilobytes = {line.partition(":")[0]: int(line.split()[1]) for line in lines}
    groups = _groups(root, "memory")
    total = min([kilobytes["MemTotal"] << 10, *map(_memory_limit, groups)])
    return int(total) + (kilobytes.get("SwapTotal", 0) << 10)


def _memory_limit(group: Path) -> float:
    """Return the limit of a group in bytes, or infinity."""
    names = ("memory.max", "memory.limit_in_bytes")  # of versions 2 and 1
    limits = [_read(group / name).strip() for name in names]
    return min((int(limit) for limit in limits if limit.isdecimal()), default=inf)


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """Yield the folders of this process's control group and of the groups around it.

    Every group limits the groups in it. In a container, the path may be the host's, and
    only the mount itself is there.
    """
    mount = root / "sys/fs/cgroup"
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        inner = PurePosixPath(path.lstrip("/"))
        if not controllers:  # version 2, alone or beside version 1
            yield from (mount / part for part in (inner, *inner.parents))
        elif controller in controllers.split(","):
            yield from (mount / controller / part for part in (inner, *inner.parents))


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, ValueError):  # another system, or no such controller
        return ""


def address_space_limit() -> int | None:
    """Return the limit of this process in bytes that `ulimit -v` sets, or None."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    return None if limit == resource.RLIM_INFINITY else limit
