"""Ctrl-C and SIGTERM to real trainings: finish the step, save, say how to go on."""

import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import numpy as np
import pytest
from texts import TINY, charrnn, command, environment, save_trained, sentences

from charrnn.atomic import LOCK
from charrnn.storage.checkpoint import load
from charrnn.storage.run_folder import load_last

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")

LONG = (*TINY, "--steps", "1000000", "--eval-every", "20")
FINITE = (*TINY, "--steps", "2000", "--eval-every", "100")


SIGHUP = getattr(signal, "SIGHUP", None)  # Windows has none
ANNOUNCEMENT = "Stopping after this step; press Ctrl-C again to stop at once.\n"


@pytest.fixture
def folder(tmp_path):
    """Return a folder with a text."""
    (tmp_path / "lines.txt").write_text(sentences(), encoding="utf-8")
    return tmp_path


@contextmanager
def training(folder, *options, until="step "):
    """Start a training and wait until a line on its standard error starts so."""
    process = subprocess.Popen(
        command("train", "lines.txt", "--out", "my run", *options),
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    try:
        for line in process.stderr:
            if line.startswith(until):
                break
        yield process
    finally:
        process.kill()
        process.communicate()


def wait_for(path, seconds=60):
    """Wait until a file is there, and fail if it takes too long."""
    end = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < end, f"{path} did not appear"
        time.sleep(0.01)


def assert_equal_files(one, other):
    with np.load(one) as a, np.load(other) as b:
        assert a.files == b.files
        for name in a.files:
            if name != "header":
                np.testing.assert_array_equal(a[name], b[name])


@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (SIGHUP, 129)],
)
def test_a_signal_saves_says_how_to_go_on_and_exits(folder, number, status):
    with training(folder, *LONG) as process:
        process.send_signal(number)
        stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == status
    assert stdout == ""
    last = stderr.strip().split("\n")[-1]
    assert last.startswith("Stopped at step ")
    assert last.endswith(
        "all saved. Continue with: charrnn train --resume --out 'my run'"
    )
    assert (ANNOUNCEMENT in stderr) == (number == signal.SIGINT)
    assert "Traceback" not in stderr
    snapshot = load_last(folder / "my run").snapshot
    said = int(last.split()[3].replace(",", ""))
    assert snapshot.progress.step == said
    assert load(folder / "my run" / "best.npz").history
    files = {path.name for path in (folder / "my run").iterdir()}
    assert files - {LOCK} == {"best.npz", "last.npz", "history.jsonl"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_a_signal_stopped_resumes_to_the_same_end(folder, number):
    whole = charrnn("train", "lines.txt", *FINITE, "--out", "whole", cwd=folder)
    with training(folder, *FINITE, until="step   200") as process:
        process.send_signal(number)
        process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert 200 <= load_last(folder / "my run").snapshot.progress.step < 2000
    resumed = charrnn("train", "--resume", "--out", "my run", cwd=folder)
    assert resumed.returncode == 0, resumed.stderr
    assert resumed.stdout == whole.stdout
    for name in ("best.npz", "last.npz"):
        assert_equal_files(folder / "whole" / name, folder / "my run" / name)


def test_a_signal_before_the_first_validation_saves_too(folder):
    options = (*TINY, "--steps", "1000000", "--eval-every", "1000000")
    sampling = ("--sample-every", "5")
    with training(folder, *options, *sampling, until="--- sample") as process:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == 130
    assert load_last(folder / "my run").snapshot.progress.step >= 5
    done = charrnn("sample", "my run", "--seed", 1, "--length", 5, cwd=folder)
    assert done.returncode == 0, done.stderr


def test_a_second_ctrl_c_ends_at_once_without_a_traceback(folder):
    with training(folder, *LONG) as process:
        for _ in range(2):
            process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in stderr
    assert load_last(folder / "my run").snapshot


def test_the_first_ctrl_c_is_answered_while_its_step_goes_on(folder):
    # A step of a second or more, after the short sample that shows that it began.
    slow = ("--cell", "lstm", "--hidden", "500", "--batch", "64", "--window", "256")
    long = ("--steps", "1000000", "--eval-every", "1000000", "--sample-every", "1")
    with training(folder, *TINY, *slow, *long, until="---\n") as process:
        process.send_signal(signal.SIGINT)
        assert process.stderr.readline() == ANNOUNCEMENT
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert stderr.strip() == "Interrupted."


def test_a_run_under_nohup_outlives_its_terminal(folder):
    process = subprocess.Popen(
        ["nohup", *command("train", "lines.txt", "--out", "run", *LONG)],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    wait_for(folder / "run" / "last.npz")
    process.send_signal(SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.5)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 143


def test_quiet_still_says_how_to_go_on(folder):
    options = ("--quiet", *LONG)
    process = subprocess.Popen(
        command("train", "lines.txt", "--out", "run", *options),
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    wait_for(folder / "run" / "last.npz")
    process.send_signal(signal.SIGTERM)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 143
    assert stdout == ""
    (line,) = stderr.strip().split("\n")
    assert line.startswith("Stopped at step ")


def test_ctrl_c_ends_sampling_quietly(tmp_path):
    run = save_trained(tmp_path / "run")
    with subprocess.Popen(
        command("sample", run, "--seed", 1, "--length", 10**8),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    ) as process:
        assert process.stdout.read(10)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert stderr.decode() == "seed 1\n\nInterrupted.\n"


def test_the_folder_of_a_stopped_run_is_written_as_a_shell_reads_it(folder):
    with training(folder, *LONG) as process:
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
    hint = stderr.strip().split("Continue with: charrnn ")[1]
    with subprocess.Popen(
        ["bash", "-c", f'exec "$0" -m charrnn {hint}', sys.executable],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    ) as process:
        said = process.stderr.readline()
        process.kill()
    assert said.startswith("resuming my run at step ")
