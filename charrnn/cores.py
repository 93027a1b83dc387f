"""How many cores this process may use: its affinity, and the quota of its container."""

import os
from collections.abc import Iterator
from math import ceil, inf
from pathlib import Path, PurePosixPath


def available_cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    return max(1, ceil(min(cores, cpu_quota())))


def cpu_quota(root: Path = Path("/")) -> float:
    """Return the cores' worth of time that Linux control groups allow, or infinity.

    `root` is the folder that holds proc and sys. Every group limits the groups in it,
    so the lowest quota on the way up holds.
    """
    return min(_quotas(root), default=inf)


def _quotas(root: Path) -> Iterator[float]:
    groups = root / "sys/fs/cgroup"
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:  # version 2, alone or beside version 1
            for folder in _upwards(groups, path):
                yield _ratio(*_read(folder / "cpu.max").split())
        elif "cpu" in controllers.split(","):
            for folder in _upwards(groups / "cpu", path):
                quota, period = (
                    folder / "cpu.cfs_quota_us",
                    folder / "cpu.cfs_period_us",
                )
                yield _ratio(*_read(quota).split(), *_read(period).split())


def _upwards(mount: Path, path: str) -> Iterator[Path]:
    """Yield the folder of a group and those of the groups around it.

    In a container, the path may be the host's, and only the mount itself is there.
    """
    inner = PurePosixPath(path.lstrip("/"))
    return (mount / part for part in (inner, *inner.parents))


def _ratio(quota: str = "max", period: str = "") -> float:
    """Return the quota in cores; without one it is "max" in version 2, -1 in 1."""
    if quota.isdecimal() and period.isdecimal() and int(quota) and int(period):
        return int(quota) / int(period)
    return inf


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, ValueError):  # another system, or no such controller
        return ""
