"""Programs that MPI starts as several ranks; tests of them are skipped without it."""

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

_BESIDE = Path(sys.executable).with_name("mpiexec")  # from a wheel
MPIEXEC = str(_BESIDE) if _BESIDE.exists() else shutil.which("mpiexec")
needs_mpi = pytest.mark.skipif(
    not (MPIEXEC and find_spec("mpi4py")),
    reason='MPI is not installed (pip install "charrnn[mpi]" mpich)',
)
# Open MPI refuses these unless it is told otherwise.
_OPEN_MPI = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
}


def mpiexec(ranks, *command, **settings):
    """Start Python with these arguments on so many ranks; return the process."""
    words = [MPIEXEC, "-n", str(ranks), sys.executable, *map(str, command)]
    return subprocess.Popen(
        words,
        env=os.environ | _OPEN_MPI | {"PYTHONWARNINGS": "error"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **settings,
    )


def finished(process, status=0, seconds=120):
    """Wait for a process; return what it has printed on each stream."""
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        raise AssertionError(f"the ranks hang: {out}{err}") from None
    assert process.returncode == status, (process.returncode, out, err)
    return out, err
