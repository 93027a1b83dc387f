"""What tests of several modules need, and a word on what was skipped."""

import os
import shutil
import subprocess
import sys
from collections import Counter

import hypothesis
import pytest
from browser import open_tab, running_browser
from loopback import CERTIFICATE, dead_address, serving
from places import ROOT, find_tinyshakespeare

# Without bytecode on disk, every process that a test starts would compile charrnn
# again, and every process of pytest all tests.
if os.environ.pop("PYTHONDONTWRITEBYTECODE", None):
    sys.dont_write_bytecode = False
    sys.pycache_prefix = str(ROOT / ".pytest_cache" / "bytecode")
    os.environ["PYTHONPYCACHEPREFIX"] = sys.pycache_prefix

# The same examples each time, none kept in a folder, and no timing.
hypothesis.settings.register_profile(
    "charrnn",
    database=None,
    deadline=None,
    derandomize=True,
    max_examples=100,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("charrnn")


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


@pytest.fixture(scope="session", autouse=True)
def own_folders(tmp_path_factory):
    """Keep the tests out of the user's folders."""
    for name in ("cache", "data"):
        folder = tmp_path_factory.mktemp(name)
        os.environ[f"CHARRNN_{name.upper()}"] = str(folder)


@pytest.fixture(scope="session")
def browser():
    with running_browser() as browser:
        yield browser


@pytest.fixture
def tab(browser):
    """Return a tab of a real browser; whatever goes wrong in it fails the test."""
    with open_tab(browser) as tab:
        yield tab


@pytest.fixture
def small_disk(tmp_path):
    """Return a folder on a disk of 64 kB."""
    place, mount = tmp_path / "disk", shutil.which("mount")
    place.mkdir()
    command = [mount, "-t", "tmpfs", "-o", "size=64k", "tmpfs", place]
    if not mount or subprocess.run(command, capture_output=True).returncode:
        pytest.skip("mounting a small file system needs root")
    yield place
    subprocess.run(["umount", place], check=True)


@pytest.fixture
def server():
    with serving() as server:
        yield server


@pytest.fixture
def secure_server(monkeypatch):
    """Return a server with TLS, whose certificate is trusted."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(CERTIFICATE))
    with serving(secure=True) as server:
        yield server


@pytest.fixture
def dead():
    return dead_address()


# What may skip where everything optional is installed (CHARRNN_ALL_INSTALLED=1, as in
# CI): these run in CI's other environment, or need what CI may not have.
EXPECTED_SKIPS = (
    "Numba is installed",
    "making a control group needs root and version 1",
    "mounting a small file system needs root",
    "no tiny Shakespeare here; set CHARRNN_TINYSHAKESPEARE to its path",
)


def skips_by_reason(terminalreporter):
    reports = terminalreporter.stats.get("skipped", [])
    reasons = (report.longrepr[2].removeprefix("Skipped: ") for report in reports)
    return Counter(reasons)


def pytest_terminal_summary(terminalreporter):
    skipped = skips_by_reason(terminalreporter)
    if skipped:
        reasons = "; ".join(f"{n} because {why}" for why, n in skipped.most_common())
        terminalreporter.write_line(f"Skipped {skipped.total()} tests: {reasons}.")


def pytest_sessionfinish(session):
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CHARRNN_ALL_INSTALLED") and reporter:
        unexpected = set(skips_by_reason(reporter)) - set(EXPECTED_SKIPS)
        if unexpected and session.exitstatus == 0:
            reporter.write_line(
                f"Unexpected skips: {'; '.join(sorted(unexpected))}", red=True
            )
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
