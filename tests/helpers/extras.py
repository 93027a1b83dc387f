"""Tests that need an optional package skip without it, and say so."""

from importlib.util import find_spec

import pytest

HAVE_NUMBA = find_spec("numba") is not None
needs_numba = pytest.mark.skipif(
    not HAVE_NUMBA, reason="Numba is not installed (pip install 'charrnn[fast]')"
)
# For tests of what both have, the plain steps and the compiled ones.
PLAIN_AND_COMPILED = ["numpy", pytest.param("numba", marks=needs_numba)]
