"""Ctrl-C and SIGTERM to real trainings: finish the step, save, say how to go on."""

import os
import signal
import subprocess
import sys
from contextlib import contextmanager

import numpy as np
import pytest
from texts import TINY, charrnn, command, environment, save_trained, sentences

from charrnn.atomic import LOCK
from charrnn.run import load_last
from charrnn.storage.checkpoint import load

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")

LONG = (*TINY, "--steps", "1000000", "--eval-every", "20")
FINITE = (*TINY, "--steps", "2000", "--eval-every", "100")


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


def assert_equal_files(one, other):
    with np.load(one) as a, np.load(other) as b:
        assert a.files == b.files
        for name in a.files:
            if name != "header":
                np.testing.assert_array_equal(a[name], b[name])


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)]
)
def test_a_signal_saves_says_how_to_go_on_and_exits(folder, number, status):
    with training(folder, *LONG) as process:
        process.send_signal(number)
        stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == status
    assert stdout == ""
    last = stderr.strip().split("\n")[-1]
    assert last.startswith("Stopped at step ")
    assert last.endswith("all saved. Go on with: charrnn train --resume --out 'my run'")
    assert "Traceback" not in stderr
    snapshot = load_last(folder / "my run").snapshot
    said = int(last.split()[3].replace(",", ""))
    assert snapshot.progress["step"] == said
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
    assert 200 <= load_last(folder / "my run").snapshot.progress["step"] < 2000
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
    assert load_last(folder / "my run").snapshot.progress["step"] >= 5
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
    last = folder / "run" / "last.npz"
    while process.poll() is None and not last.exists():
        os.sched_yield()
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
    hint = stderr.strip().split("Go on with: charrnn ")[1]
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
