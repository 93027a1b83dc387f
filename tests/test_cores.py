"""The cores that a process may use: affinity and control groups, real and laid out."""

import os
import subprocess
import sys
from contextlib import suppress
from math import inf
from pathlib import Path

import pytest
from texts import environment

from charrnn.cores import available_cores, cpu_quota

ASK = "from charrnn.cores import available_cores; print(available_cores())"
V1 = Path("/sys/fs/cgroup/cpu")


def laid_out(root, groups, **files):
    """Write /proc/self/cgroup and files of /sys/fs/cgroup in a folder."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(groups, encoding="utf-8")
    for name, content in files.items():
        path = root / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    return root


@pytest.mark.parametrize(
    ("groups", "files", "cores"),
    [
        ("0::/\n", {"cpu.max": "250000 100000\n"}, 2.5),
        ("0::/\n", {"cpu.max": "max 100000\n"}, inf),
        ("0::/\n", {}, inf),
        # The lowest on the way up holds.
        (
            "0::/a/b\n",
            {"a/b/cpu.max": "max 100000", "a/cpu.max": "50000 100000"},
            0.5,
        ),
        ("0::/a/b\n", {"a/b/cpu.max": "100000 50000", "a/cpu.max": "400000 50000"}, 2),
        # A container that sees the host's path, but only its own files.
        ("0::/docker/1f\n", {"cpu.max": "300000 100000\n"}, 3),
        (
            "2:cpuacct,cpu:/a\n1:name=systemd:/x:y\n0::/\n",
            {"cpu/a/cpu.cfs_quota_us": "150000\n", "cpu/a/cpu.cfs_period_us": "100000"},
            1.5,
        ),
        (
            "2:cpu:/a\n",
            {"cpu/a/cpu.cfs_quota_us": "-1\n", "cpu/a/cpu.cfs_period_us": "100000\n"},
            inf,
        ),
        ("2:cpuset:/a\n", {"cpu/a/cpu.cfs_quota_us": "1"}, inf),
        ("0::/\n", {"cpu.max": "0 0"}, inf),
        ("", {"cpu.max": "100000 100000"}, inf),
    ],
)
def test_the_quota_is_that_of_the_tightest_group(tmp_path, groups, files, cores):
    assert cpu_quota(laid_out(tmp_path, groups, **files)) == cores


def test_without_control_groups_there_is_no_quota(tmp_path):
    assert cpu_quota(tmp_path) == inf


def answer(command):
    done = subprocess.run(
        command, env=environment(), capture_output=True, text=True, check=True
    )
    return int(done.stdout)


@pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity"), reason="needs the affinity of Linux"
)
def test_a_process_bound_to_one_core_has_one():
    core = min(os.sched_getaffinity(0))
    bind = f"import os; os.sched_setaffinity(0, [{core}]); "
    assert answer([sys.executable, "-c", bind + ASK]) == 1
    assert answer([sys.executable, "-c", ASK]) == available_cores() >= 1


@pytest.fixture
def half_a_core():
    """Return a control group that may use half a core, if one can be made here."""
    group = V1 / f"charrnn-test-{os.getpid()}"
    try:
        group.mkdir()
        (group / "cpu.cfs_quota_us").write_text("50000", encoding="ascii")
    except OSError:
        pytest.skip("making a control group needs root and version 1")
    yield group
    with suppress(OSError):
        group.rmdir()


def test_a_process_in_a_real_group_keeps_to_its_quota(half_a_core):
    join = f"open({str(half_a_core / 'tasks')!r}, 'w').write(str(os.getpid())); "
    assert answer([sys.executable, "-c", f"import os; {join}{ASK}"]) == 1
