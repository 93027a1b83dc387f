"""Signals to real trainings: save, tell how to go on, end soon, whatever goes on."""

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from importlib.util import find_spec
from types import SimpleNamespace

import numpy as np
import pytest
from terminal import new_terminal
from texts import (
    TINY,
    charrnn,
    command,
    environment,
    save_trained,
    sentences,
    small_run,
)

from charrnn.atomic import LOCK
from charrnn.cli import train_progress
from charrnn.storage.checkpoint import load
from charrnn.storage.run_folder import load_last

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")

LONG = (*TINY, "--steps", "1000000", "--eval-every", "20")
FINITE = (*TINY, "--steps", "2000", "--eval-every", "100")


SIGHUP = getattr(signal, "SIGHUP", None)  # Windows has none
ANNOUNCEMENT = (
    "Saving and stopping; press Ctrl-C again to stop at once, without saving.\n"
)


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
@pytest.mark.slow
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


@pytest.mark.slow
def test_ctrl_c_does_not_wait_for_a_slow_step(folder):
    # A step of some seconds, after the short sample of the one before: the signal must
    # come before it ends, also on a busy machine.
    slow = ("--cell", "lstm", "--hidden", "700", "--batch", "64", "--window", "256")
    long = ("--steps", "1000000", "--eval-every", "1000000", "--sample-every", "1")
    with training(folder, *TINY, *slow, *long, until="---\n") as process:
        process.send_signal(signal.SIGINT)
        assert process.stderr.readline() == ANNOUNCEMENT
        assert process.stderr.readline().startswith("Stopped at step 1 of")
        process.communicate(timeout=60)
    assert process.returncode == 130


@pytest.mark.skipif(not find_spec("numba"), reason="needs Numba")
@pytest.mark.parametrize("after", ["saving to", "compiling"])
def test_ctrl_c_while_kernels_are_compiled_is_no_traceback(folder, after, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(folder / "empty"))
    compiling = (*LONG, "--kernels", "numba")
    with training(folder, *compiling, until=after) as process:
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in stderr
    assert stderr.startswith((ANNOUNCEMENT, "\nInterrupted."))


def test_ctrl_c_while_scoring_tells_that_the_run_is_complete(
    tmp_path, monkeypatch, capsys
):
    def interrupted(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("charrnn.evaluation.scoreboard.score", interrupted)
    run = small_run(folder=tmp_path / "run")
    with pytest.raises(KeyboardInterrupt):
        train_progress.train_with_progress(run, quiet=True)
    said = f"The run is complete and saved. Score it with: charrnn eval {run.folder}\n"
    assert capsys.readouterr().err == f"\n{said}"


def test_a_signal_during_the_last_save_ends_before_the_scoring(tmp_path, capsys):
    run = small_run(folder=tmp_path / "run")
    save, step = run.events, []

    def events():
        for event in save():
            yield event
            step.append(event)
            if run.trainer.is_complete and len(step) == len({*map(id, step)}):
                signal.raise_signal(signal.SIGTERM)

    run.events = events
    assert train_progress.train_with_progress(run, quiet=True) == 143
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("The run is complete and saved.")


def send_when_saved(folder, number):
    """Send a signal to this process as soon as a folder has a checkpoint."""

    def send():
        wait_for(folder / "last.npz")
        os.kill(os.getpid(), number)

    threading.Thread(target=send).start()


def test_ctrl_break_of_windows_which_has_no_sighup(tmp_path, monkeypatch, capsys):
    names = ("SIGINT", "SIGTERM", "SIG_IGN", "SIG_DFL", "signal", "getsignal")
    windows = SimpleNamespace(**{name: getattr(signal, name) for name in names})
    windows.SIGBREAK = signal.SIGUSR1
    monkeypatch.setattr(train_progress, "signal", windows)
    run = small_run(folder=tmp_path / "run", steps=10**6)
    send_when_saved(run.folder, signal.SIGUSR1)
    status = train_progress.train_with_progress(run, quiet=True)
    assert status == 128 + signal.SIGUSR1
    assert capsys.readouterr().err.startswith("Stopped at step ")
    assert signal.getsignal(signal.SIGUSR1) == signal.SIG_DFL


def test_a_shell_without_job_control_lets_a_background_run_ignore_ctrl_c(folder):
    ignoring = ["sh", "-c", 'trap "" INT; exec "$@"', "sh"]
    process = subprocess.Popen(
        [*ignoring, *command("train", "lines.txt", "--out", "run", "--quiet", *LONG)],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    )
    wait_for(folder / "run" / "last.npz")
    process.send_signal(signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.5)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 143


def test_a_reader_that_closes_the_pipe_stops_the_run_with_all_saved(folder):
    with training(folder, *LONG) as process:
        process.stderr.close()
        process.stderr = None
        assert process.wait(timeout=60) == 141
    stopped = load_last(folder / "my run").snapshot.progress
    assert stopped.step > 20
    resumed = charrnn(
        *("train", "--resume", "--out", "my run", "--steps", stopped.step + 20),
        cwd=folder,
    )
    assert resumed.returncode == 0, resumed.stderr


@contextmanager
def training_on_terminal(folder, *options, before=()):
    """Start a training in a session of its own, whose terminal is yielded as well."""
    with new_terminal() as (terminal, inner):
        process = subprocess.Popen(
            [*before, *command("train", "lines.txt", "--out", "run", *options)],
            cwd=folder,
            stdin=inner,
            stdout=inner,
            stderr=inner,
            env=environment(),
            start_new_session=True,
        )
        os.close(inner)
        try:
            wait_for(folder / "run" / "last.npz")
            yield process, terminal
        finally:
            process.kill()
            process.wait()


# Makes standard input the terminal of its session, so that closing it sends SIGHUP.
OWNING = (
    sys.executable,
    "-c",
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
    "os.execv(sys.argv[1], sys.argv[1:])",
)


def test_a_closed_terminal_saves_and_stops(folder):
    with training_on_terminal(folder, *LONG, before=OWNING) as (process, terminal):
        terminal.close()
        assert process.wait(timeout=60) == 129
    assert load_last(folder / "run").snapshot.progress.step >= 20


def test_a_run_that_has_left_its_terminal_goes_on_when_that_is_closed(folder):
    with training_on_terminal(folder, *LONG) as (process, terminal):
        terminal.close()
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 143
    assert load_last(folder / "run").snapshot.progress.step >= 20


# Does what a shell does on Ctrl-Z and fg: a job is suspended only if its parent is in
# the same session, and in another process group.
SUSPENDING = """
import os, signal, sys, time
def saved():
    try:
        return len(open("run/history.jsonl").readlines())
    except FileNotFoundError:
        return 0
def wait_for_more(lines):
    before = saved()
    while saved() < before + lines:
        time.sleep(0.01)
job = os.fork()
if not job:
    os.setpgid(0, 0)
    os.execv(sys.argv[2], sys.argv[2:])
wait_for_more(1)
os.kill(job, signal.SIGTSTP)
_, status = os.waitpid(job, os.WUNTRACED)
assert os.WIFSTOPPED(status)
time.sleep(float(sys.argv[1]))
os.write(2, b"[resumed]")
os.kill(job, signal.SIGCONT)
wait_for_more(3)
os.kill(job, signal.SIGTERM)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(job, 0)[1]))
"""


def test_a_suspended_run_comes_back_and_does_not_count_the_time(folder):
    pause, seen = 3, []
    before = (sys.executable, "-c", SUSPENDING, str(pause))
    with training_on_terminal(folder, *LONG, before=before) as (process, terminal):
        reader = threading.Thread(target=read_all, args=(terminal, seen))
        reader.start()
        assert process.wait(timeout=60) == 143
        reader.join()
    assert b"char/s" in b"".join(seen).partition(b"[resumed]")[2]
    assert load_last(folder / "run").snapshot.progress.seconds < pause


def read_all(terminal, seen):
    try:
        while data := terminal.read(4096):
            seen.append(data)
    except OSError:  # how Linux reports that the other side is closed
        pass


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


def test_ctrl_c_before_the_command_is_loaded_prints_no_traceback(tmp_path):
    pressed = "import signal\nsignal.raise_signal(signal.SIGINT)\n"
    (tmp_path / "click.py").write_text(pressed, encoding="utf-8")
    done = subprocess.run(
        command("--help"),
        env=environment(PYTHONPATH=str(tmp_path)),
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")
