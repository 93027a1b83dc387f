"""Marks for tests that need an optional package; they are skipped without it."""

from importlib.util import find_spec

import pytest

HAVE_NUMBA = find_spec("numba") is not None
needs_numba = pytest.mark.skipif(
    not HAVE_NUMBA, reason='Numba is not installed (pip install "charrnn[fast]")'
)
# For tests of what the plain kernels and the compiled ones both do.
PLAIN_AND_COMPILED = ["numpy", pytest.param("numba", marks=needs_numba)]
