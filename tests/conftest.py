"""What tests of several modules need."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def tinyshakespeare():
    """Return the path of the corpus of nanoGPT's and char-rnn's published numbers."""
    for place in (
        os.environ.get("CHARRNN_TINYSHAKESPEARE"),
        ROOT / "data" / "tinyshakespeare.txt",
        ROOT.parent / "shared" / "data" / "tinyshakespeare.txt",
    ):
        if place and Path(place).is_file():
            return Path(place)
    pytest.skip("no tiny Shakespeare here; set CHARRNN_TINYSHAKESPEARE to its path")
