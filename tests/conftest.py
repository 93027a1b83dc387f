"""What tests of several modules need."""

import pytest
from loopback import dead_address, serving
from places import find_tinyshakespeare


@pytest.fixture(scope="session")
def tinyshakespeare():
    """Return the path of the corpus of nanoGPT's and char-rnn's published numbers."""
    path = find_tinyshakespeare()
    if path is None:
        pytest.skip("no tiny Shakespeare here; set CHARRNN_TINYSHAKESPEARE to its path")
    return path


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    """Keep the loopback's requests from a proxy that the environment may name."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def server():
    with serving() as server:
        yield server


@pytest.fixture
def dead():
    return dead_address()
