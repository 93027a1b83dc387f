"""The limits of this process's memory, in real processes and in copies of /proc."""

import subprocess
import sys
from functools import partial

import pytest
from texts import charrnn, command, environment, sentences

from charrnn import machine
from charrnn.machine import MB, available_memory, require

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
@pytest.mark.parametrize("megabytes", range(240, 440, 80))
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
        "from charrnn.nn.workers import in_threads\n"
        "threading.stack_size(1 << 30)\n"
        "in_threads(lambda i: i, 2)\n"
    )
    done = limited(1800, [sys.executable, "-c", code], tmp_path)
    assert done.returncode == 1
    assert done.stderr.endswith("RuntimeError: can't start new thread\n")
