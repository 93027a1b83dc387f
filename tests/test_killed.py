"""Real trainings that are killed, at any moment and in the middle of a write."""

import random
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest
from folders import assert_equal_folders
from texts import TINY, charrnn, command, environment, sentences

from charrnn.atomic import LOCK
from charrnn.storage.checkpoint import load

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs kill -9")

RUN = ("lines.txt", *TINY, "--steps", 2000, "--eval-every", 140, "--save-every", 0.001)
# Training has begun.
BEGUN = "saving to"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with a text and a run of it that nothing has interrupted."""
    folder = tmp_path_factory.mktemp("runs")
    (folder / "lines.txt").write_text(sentences(), encoding="utf-8")
    done = charrnn("train", *RUN, "--out", "whole", cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


@contextmanager
def training(folder, *options):
    """Start a training, and yield it when it trains."""
    with subprocess.Popen(
        command("train", *options),
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    ) as process:
        assert any(line.startswith(BEGUN) for line in process.stderr)
        try:
            yield process
        finally:
            process.kill()


def at_random(rng, run, process):
    time.sleep(rng.uniform(0, 0.2))


def in_a_write(rng, run, process):
    while process.poll() is None and not any(run.glob(".*.part")):
        pass
    time.sleep(rng.uniform(0, 0.002))


def going_on(run):
    """Return the arguments that resume a run, or start it if nothing is saved yet."""
    start = ("--resume",) if (run / "last.npz").exists() else (*RUN, "--force")
    return *start, "--out", run.name


@pytest.mark.parametrize("moment", [at_random, in_a_write])
@pytest.mark.slow
def test_a_killed_training_loses_nothing_that_was_saved(folder, moment):
    rng, run, killed, left = random.Random(1), folder / moment.__name__, 0, set()
    for _ in range(3):
        with training(folder, *going_on(run)) as process:
            assert not left & {*run.iterdir()}, "removed at the next start"
            moment(rng, run, process)
        killed += process.returncode == -9
        left = {*run.glob(".*.part")}
        for path in run.glob("*.npz"):
            load(path, snapshot=path.name == "last.npz")
    assert killed
    last = charrnn("train", *going_on(run), cwd=folder)
    assert last.returncode == 0, last.stderr
    assert_equal_folders(folder / "whole", run)
    names = {path.name for path in run.iterdir()}
    assert names == {LOCK, "best.npz", "last.npz", "history.jsonl"}


def test_of_two_trainings_that_start_at_once_one_is_refused(tmp_path):
    (tmp_path / "lines.txt").write_text(sentences(), encoding="utf-8")
    one, other = (
        subprocess.Popen(
            command("train", *RUN, "--out", "run", "--force", "--seed", seed),
            cwd=tmp_path,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(),
        )
        for seed in (1, 2)
    )
    endings = [(p.communicate(timeout=100)[1], p.returncode) for p in (one, other)]
    assert sorted(status for _, status in endings) == [0, 1]
    (said,) = (text for text, status in endings if status)
    expected = "Error: run: another charrnn is training there"
    assert said.strip().split("\n")[-1].startswith(expected)
    (seed,) = (i for i, (_, status) in enumerate(endings, 1) if not status)
    assert load(tmp_path / "run" / "last.npz").train["seed"] == seed


@pytest.mark.slow
def test_whatever_would_replace_a_run_in_training_is_refused(folder):
    exported = charrnn("export", "whole", "--out", "it.safetensors", cwd=folder)
    assert exported.returncode == 0, exported.stderr
    with training(folder, *RUN, "--steps", 10**6, "--out", "run") as process:
        while not (folder / "run" / "last.npz").exists():
            assert process.poll() is None
        for again in (
            ("train", "--resume", "--out", "run"),
            ("train", *RUN, "--out", "run", "--force"),
            ("import", "it.safetensors", "--out", "run", "--force"),
            ("import", "it.safetensors", "--out", "run/last.npz", "--force"),
            ("import", "it.safetensors", "--out", "run/best.npz"),
        ):
            done = charrnn(*again, cwd=folder)
            assert done.returncode == 1, again
            last = done.stderr.strip().split("\n")[-1]
            assert last.startswith(("Error: run: ", "Error: run/")), again
            assert "is training there" in last or "already" in last, again
        assert process.poll() is None
