"""Cores, quotas and limits of memory, in real processes and in copies of /proc."""

import os
import subprocess
import sys
from contextlib import suppress
from functools import partial
from math import inf
from pathlib import Path

import pytest
from texts import charrnn, command, environment, sentences

from charrnn import machine
from charrnn.machine import (
    MB,
    available_cores,
    available_memory,
    cpu_quota,
    physical_cores,
    require,
    share_cores,
    usable_cores,
)

linux = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")
GB = 1 << 30
TINY_RUN = (
    *("train", "lines.txt", "--hidden", "64", "--batch", "2", "--window", "16"),
    *("--steps", "2", "--out", "run"),
)


def limited(megabytes, arguments, cwd, **environ):
    """Run a command under `ulimit -v`."""
    limit = ["sh", "-c", f'ulimit -v {megabytes << 10}; exec "$@"', "-"]
    return subprocess.run(
        [*limit, *arguments],
        cwd=cwd,
        env=environment(**environ),
        capture_output=True,
        text=True,
        timeout=60,
    )


def files(root, contents):
    for name, text in contents.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="ascii")


MEMINFO = "MemTotal:  8388608 kB\nMemFree:  100 kB\nSwapTotal: {} kB\nHugePages: 0"


@pytest.mark.parametrize(
    ("groups", "contents", "expected"),
    [
        ("0::/", {}, 8 * GB),
        ("0::/a/b", {"a/b/memory.max": "max\n", "a/memory.max": f"{GB}\n"}, GB),
        ("0::/a/b", {"a/b/memory.max": f"{GB}\n", "a/memory.max": f"{2 * GB}\n"}, GB),
        ("0::/outside", {"memory.max": f"{GB}\n"}, GB),  # in a container
        ("0::/a", {"a/memory.max": f"{9 * GB}\n"}, 8 * GB),
        (
            "4:cpu:/a\n3:memory:/a\n0::/",
            {"memory/a/memory.limit_in_bytes": f"{GB}\n"},
            GB,
        ),
        (
            "3:cpu,memory:/a",
            {"memory/a/memory.limit_in_bytes": "9223372036854771712\n"},
            8 * GB,
        ),
        ("4:cpu:/a", {"memory/a/memory.limit_in_bytes": f"{GB}\n"}, 8 * GB),
    ],
)
def test_the_lowest_limit_of_the_control_groups_counts(
    tmp_path, groups, contents, expected
):
    files(tmp_path, {"proc/meminfo": MEMINFO.format(0), "proc/self/cgroup": groups})
    files(tmp_path / "sys/fs/cgroup", contents)
    assert available_memory(tmp_path) == expected


def test_swap_is_added(tmp_path):
    swap = {"proc/meminfo": MEMINFO.format(1 << 20), "proc/self/cgroup": "0::/"}
    files(tmp_path, swap)
    assert available_memory(tmp_path) == 9 * GB


@pytest.mark.parametrize(
    "contents", [{}, {"meminfo": ""}, {"meminfo": "MemTotal: many kB"}]
)
def test_without_proc_no_limit_is_set(tmp_path, monkeypatch, contents):
    resource = pytest.importorskip("resource")
    files(tmp_path / "proc", {"self/cgroup": "0::/"} | contents)
    monkeypatch.setattr(
        machine, "available_memory", partial(available_memory, tmp_path)
    )
    before = resource.getrlimit(resource.RLIMIT_DATA)
    machine.limit_to_available()
    assert resource.getrlimit(resource.RLIMIT_DATA) == before


LIMIT = """
import resource
from charrnn import machine
machine.available_memory = lambda: {available}
machine.limit_to_available()
print(resource.getrlimit(resource.RLIMIT_DATA)[0] >> 20)
try:
    bytearray(4 << 30)
    print("granted")
except MemoryError:
    print("refused")
"""


@linux
@pytest.mark.parametrize(
    ("before", "after"), [("unlimited", 1104), (500 << 10, 500), (2000 << 10, 1104)]
)
def test_allocations_beyond_the_available_memory_fail(before, after):
    # Two buffers of a thread, of which little is used, are added to 1,024 MB.
    limit = ["bash", "-c", f'ulimit -S -d {before}; exec "$@"', "-"]
    done = subprocess.run(
        [*limit, sys.executable, "-c", LIMIT.format(available=GB)],
        env=environment(OPENBLAS_NUM_THREADS="1"),
        capture_output=True,
        text=True,
    )
    assert done.stdout == f"{after}\nrefused\n", done.stderr


def test_more_than_there_is_cannot_be_required():
    require(0, "nothing")
    require(MB, "a megabyte")
    with pytest.raises(MemoryError, match=r"^the file needs 1,099,511,627,776 MB$"):
        require(1 << 60, "the file")


@linux
@pytest.mark.parametrize("megabytes", [30, 130, 180])
@pytest.mark.parametrize("arguments", [("next", "the"), TINY_RUN])
def test_too_little_memory_for_numpy_is_one_line(tmp_path, megabytes, arguments):
    done = limited(megabytes, command(*arguments), tmp_path, OPENBLAS_NUM_THREADS="2")
    assert done.stderr == (
        "Error: not enough memory: NumPy needs 190 MB; raise the limit of "
        f"{megabytes} MB (ulimit -v)\n"
    )
    assert done.returncode == 1


@linux
def test_help_needs_no_numpy(tmp_path):
    done = limited(60, command("train", "--help"), tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


@linux
@pytest.mark.parametrize("megabytes", [240, 320, 400, 410])
@pytest.mark.slow
def test_a_training_with_little_memory_ends_with_one_line(tmp_path, megabytes):
    (tmp_path / "lines.txt").write_text(sentences(), encoding="utf-8")
    assert charrnn(*TINY_RUN, cwd=tmp_path).returncode == 0
    kept = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir()}
    large = ("--hidden", "700", "--kernels", "numpy", "--force")
    done = limited(megabytes, command(*TINY_RUN, *large), tmp_path)
    error = done.stderr.splitlines()[-1]
    assert done.returncode == 1, done.stderr
    assert error.startswith("Error: not enough memory: ")
    assert "try a smaller --hidden or --batch or --window" in error
    assert {p.name: p.read_bytes() for p in (tmp_path / "run").iterdir()} == kept


@linux
def test_numba_is_left_out_if_there_is_no_room_for_it(tmp_path):
    pytest.importorskip("numba")
    (tmp_path / "lines.txt").write_text(sentences(), encoding="utf-8")
    done = limited(450, command(*TINY_RUN, "--threads", "1"), tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Numba is installed but does not work (Numba needs 500 MB)" in done.stderr


@linux
def test_a_large_export_with_little_memory_is_one_line(tmp_path):
    code = (
        "import numpy as np\n"
        "from pathlib import Path\n"
        "from charrnn.storage import safetensors_file\n"
        "arrays = {'a': np.zeros(25 << 20, np.float32)}\n"
        "safetensors_file.save(Path('w.safetensors'), arrays, {})\n"
    )
    done = limited(340, [sys.executable, "-c", code], tmp_path)
    assert done.returncode == 1
    assert done.stderr.endswith("MemoryError: the file needs 200 MB\n")
    assert not [*tmp_path.iterdir()]


@linux
def test_a_thread_that_cannot_start_stops_those_that_wait_for_it(tmp_path):
    code = (
        "import threading\n"
        "from charrnn.nn.workers import Threads\n"
        "threading.stack_size(1 << 30)\n"
        "Threads(2).run(lambda i: i)\n"
    )
    done = limited(1800, [sys.executable, "-c", code], tmp_path)
    assert done.returncode == 1
    assert done.stderr.endswith("RuntimeError: can't start new thread\n")


# Cores.

ASK = "from charrnn.machine import available_cores; print(available_cores())"
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


THREADS = """
import resource
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from charrnn.machine import MB, require_threads

def used():
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmSize:")[2].split()[0]) << 10

def work(i):
    together.wait()
    kept = [bytearray(1000) for _ in range(1000)]
    together.wait()
    return kept

limit = used() + {more} * MB
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
try:
    require_threads(4, blas={blas})
    together, before = Barrier(4), used()
    with ThreadPoolExecutor(4) as pool:
        kept = [*pool.map(work, range(4))]
        print((used() - before) // MB < 50)
except MemoryError as error:
    print(error)
"""


@linux
@pytest.mark.parametrize(
    ("blas", "more", "said"),
    [
        (False, 60, "a thread needs 64 MB"),
        (False, 70, "True"),
        (True, 150, "BLAS needs 160 MB"),
        (True, 1000, "True"),
    ],
)
def test_threads_need_their_stacks_and_buffers_and_little_more(blas, more, said):
    done = subprocess.run(
        [sys.executable, "-c", THREADS.format(more=more, blas=blas)],
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert done.stdout == f"{said}\n", done.stderr


@pytest.mark.parametrize(
    ("siblings", "quota", "expected"),
    [
        (["0", "1", "2", "3"], "max", 4),
        (["0-1", "0-1", "2-3", "2-3"], "max", 2),
        (["0,2", "1,3", "0,2", "1,3"], "max", 2),
        (["0-3", "0-3", "0-3", "0-3"], "max", 1),
        (["0-1", "0-1", "2-3", "2-3"], "100000", 1),
        ([], "max", 4),  # a system that does not tell
    ],
)
def test_hyper_threads_are_no_cores_of_their_own(
    tmp_path, monkeypatch, siblings, quota, expected
):
    monkeypatch.setattr(machine, "usable_cores", lambda: [0, 1, 2, 3])
    root = laid_out(tmp_path, "0::/\n", **{"cpu.max": f"{quota} 100000\n"})
    for number, text in enumerate(siblings):
        path = root / f"sys/devices/system/cpu/cpu{number}/topology"
        path.mkdir(parents=True)
        (path / "thread_siblings_list").write_text(f"{text}\n", encoding="utf-8")
    assert physical_cores(root) == expected


def test_processes_that_share_the_cores_divide_them():
    cores = available_cores()
    assert cores <= len(usable_cores())
    try:
        for processes in (1, 2, 3, 1000):
            share_cores(processes)
            assert available_cores() == max(1, cores // processes)
    finally:
        share_cores(1)
