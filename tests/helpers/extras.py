"""Marks for tests that need an optional package; they are skipped without it."""

from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

import pytest

HAVE_NUMBA = find_spec("numba") is not None
needs_numba = pytest.mark.skipif(
    not HAVE_NUMBA, reason='Numba is not installed (pip install "charrnn[fast]")'
)
# For tests of what the plain kernels and the compiled ones both do.
PLAIN_AND_COMPILED = ["numpy", pytest.param("numba", marks=needs_numba)]


def _is_plotext_5():
    try:
        return version("plotext").startswith("5.")
    except PackageNotFoundError:
        return False


needs_matplotlib = pytest.mark.skipif(
    find_spec("matplotlib") is None,
    reason='matplotlib is not installed (pip install "charrnn[plot]")',
)
needs_plotext = pytest.mark.skipif(
    not _is_plotext_5(),
    reason='plotext 5 is not installed (pip install "charrnn[plot]")',
)
needs_tensorboard = pytest.mark.skipif(
    find_spec("tensorboardX") is None,
    reason='tensorboardX is not installed (pip install "charrnn[tensorboard]")',
)
