"""When a run is saved, and what happens if that fails, on real disks and folders."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from texts import environment_of_a_full_disk, sentences, small_run

from charrnn.atomic import LOCK
from charrnn.errors import CheckpointError, TrainingError
from charrnn.run import resume_run
from charrnn.storage.checkpoint import load, save
from charrnn.storage.run_folder import load_last, lock, make_folder, read_history
from charrnn.storage.saver import Pace, checkpoint_sizes
from charrnn.training.events import Finished, Note, Rollback, SaveFailed, Validation

OFTEN = 0.001  # minutes


def train(run, act=lambda event: None):
    """Train a run to its end, call `act` with its events, and return them."""
    events = []
    for event in run.events():
        events.append(event)
        act(event)
    return events


# ---- when


def test_a_run_is_saved_every_so_often_and_at_validations():
    pace = Pace(60, now=1000)
    assert not pace.is_due(1059.9, validated=False)
    assert pace.is_due(1060, validated=False)
    assert pace.is_due(1000, validated=True)
    pace.saved(1060, 1060.5)
    assert not pace.is_due(1060.5 + 49.4, validated=True)
    assert pace.is_due(1060.5 + 49.5, validated=True)
    assert not pace.is_due(1060.5 + 59.9, validated=False)
    assert pace.is_due(1060.5 + 60, validated=False)


@pytest.mark.parametrize("took", [0.02, 0.7, 3, 40])
def test_saving_takes_at_most_a_hundredth_of_the_time(took):
    pace, now, spent = Pace(60, now=0.0), 0.0, 0.0
    while now < 100_000:
        if pace.is_due(now, validated=True):
            pace.saved(now, now + took)
            now, spent = now + took, spent + took
        now += 0.25
    assert 0.009 * now < spent < 0.01 * now + took


def until_saved_between_validations(run):
    """Train a run until it is saved between two validations; return the step."""
    last, saved_at = run.folder / "last.npz", 0
    for event in run.events():
        if last.exists() and last.stat().st_mtime_ns != saved_at:
            saved_at = last.stat().st_mtime_ns
            if event.step % run.plan.eval_every:
                return load_last(run.folder).snapshot.progress.step
    return pytest.fail("it was never saved between two validations")


@pytest.mark.parametrize("average", [0.0, 0.9])
@pytest.mark.slow
def test_a_run_saved_between_validations_resumes_to_the_same_end(tmp_path, average):
    settings = {"steps": 2500, "eval_every": 500, "average": average}
    train(small_run(folder=tmp_path / "whole", **settings))
    settings["save_every"] = OFTEN
    run = small_run(folder=tmp_path / "run", **settings)
    step = until_saved_between_validations(run)
    assert load_last(tmp_path / "run").snapshot.last_good
    run.close()
    resumed = resume_run(tmp_path / "run", text=sentences())
    assert resumed.trainer.progress.step == step
    train(resumed)
    for name in ("best.npz", "last.npz"):
        one, other = (np.load(tmp_path / folder / name) for folder in ("whole", "run"))
        assert one.files == other.files
        for member in set(one.files) - {"header"}:
            np.testing.assert_array_equal(one[member], other[member])


def test_training_does_not_change_what_is_being_saved(tmp_path):
    run = small_run(folder=tmp_path)
    events = run.events()
    while next(events).step < 13:
        pass
    live, copy = run.trainer.snapshot(copy=False), run.trainer.snapshot()
    assert live.params is run.model.params.flat
    np.testing.assert_array_equal(live.params, copy.params)
    next(events)
    assert not np.array_equal(live.params, copy.params)


def test_saves_that_are_rarer_than_asked_for_are_noted_once(tmp_path, monkeypatch):
    def slow_save(checkpoint, path):
        time.sleep(0.01)
        save(checkpoint, path)

    monkeypatch.setattr("charrnn.storage.saver.save", slow_save)
    run = small_run(folder=tmp_path, steps=2000, eval_every=2000, save_every=OFTEN)
    notes = [event.text for event in train(run) if isinstance(event, Note)]
    assert len(notes) == 1
    assert re.fullmatch(
        r"saving takes 0\.\d s; it is done every 0\.\d minutes, .* at most 1% .*",
        notes[0],
    )


def test_how_often_a_resumed_run_is_saved_may_change(tmp_path):
    run = small_run(folder=tmp_path)
    next(run.events())
    run.trainer.stop()
    train(run)
    resumed = resume_run(tmp_path, text=sentences(), changes={"save_every": 7.5})
    assert resumed.config.save_every == 7.5
    train(resumed)
    assert load(tmp_path / "last.npz").train["save_every"] == 7.5


# ---- what is logged


_JUMPING = {
    **{"optimizer": "sgd", "schedule": "constant", "warmup": 1000, "clip": 0.0},
    **{"lr": 60.0, "steps": 4000, "eval_every": 50},
}


def test_a_rollback_before_the_first_checkpoint_is_logged_with_it(tmp_path):
    run = small_run(folder=tmp_path, **_JUMPING)
    rollbacks = []
    for event in run.events():
        if isinstance(event, Rollback):
            assert {path.name for path in tmp_path.iterdir()} == {LOCK}
            rollbacks.append(event.step)
        if rollbacks:
            run.trainer.stop()
    logged = [line["step"] for line in read_history(tmp_path)]
    assert rollbacks
    assert logged == rollbacks


def test_a_run_that_gives_up_leaves_the_best_weights(tmp_path):
    run = small_run(folder=tmp_path, steps=100_000, eval_every=10)

    def spoil(event):
        if event.step > 35:
            run.trainer._team.moments["m"][:] = np.nan

    with pytest.raises(TrainingError):
        train(run, spoil)
    best = load(tmp_path / "best.npz")
    np.testing.assert_array_equal(best.model.params.flat, run.trainer.best_params)
    assert best.history[-1][0] == 30
    kinds = [event["event"] for event in read_history(tmp_path)]
    assert kinds == ["validation"] * 3 + ["rollback"] * 5


# ---- when the disk is full


def files_in(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def mount(folder, size):
    """Mount a small disk, or skip the test."""
    folder.mkdir()
    options = ("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder)
    if (
        not shutil.which("mount")
        or subprocess.run(options, capture_output=True).returncode
    ):
        pytest.skip("mounting a small file system needs root")


@contextmanager
def small_disk(folder, size="1m"):
    mount(folder, size)
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def fill(disk, but=0):
    """Fill a disk, except for some bytes."""
    free = shutil.disk_usage(disk).free
    (disk / "filler").write_bytes(b"x" * (free - but))


@pytest.mark.slow
def test_a_run_outlives_a_full_disk(tmp_path):
    whole = small_run(folder=tmp_path / "whole", steps=4000, eval_every=100)
    for _ in whole.events():
        pass
    with small_disk(tmp_path / "disk") as disk:
        run = small_run(folder=disk / "run", steps=4000, eval_every=100)
        failed, notes, before = [], [], {}
        for event in run.events():
            if event.step == 100 and not before:
                before = {p.name: p.read_bytes() for p in run.folder.glob("*.npz")}
                fill(disk)
            if isinstance(event, SaveFailed):
                failed.append(event)
                after = {p.name: p.read_bytes() for p in run.folder.glob("*.npz")}
                assert after == before
                (disk / "filler").unlink(missing_ok=True)
            if isinstance(event, Note):
                notes.append(event.text)
        assert "No space left on device" in failed[0].reason
        assert notes == [f"saved to {run.folder} again"]
        names = {path.name for path in run.folder.iterdir()}
        assert names == {LOCK, "best.npz", "last.npz", "history.jsonl"}
        for name in ("best.npz", "last.npz"):
            found, expected = load(run.folder / name), load(whole.folder / name)
            assert found.history == expected.history
            np.testing.assert_array_equal(
                found.model.params.flat, expected.model.params.flat
            )
        steps = [line["step"] for line in read_history(run.folder)]
        assert steps == [*range(100, 4001, 100)], "what could not be logged is, later"


def test_a_disk_that_stays_full_ends_the_run_with_what_is_saved(tmp_path):
    with small_disk(tmp_path / "disk") as disk:
        run = small_run(folder=disk / "run", steps=200, eval_every=100)
        events = []

        def fill_at_100(event):
            events.append(event)
            if isinstance(event, Validation) and event.step == 100:
                fill(disk)

        with pytest.raises(CheckpointError) as error:
            train(run, fill_at_100)
        assert events[-1] == Finished(200, "done")
        message = str(error.value)
        assert "No space left on device" in message
        assert "training ended at step 200, and step 100 is saved; then" in message
        assert "\n" not in message
        (disk / "filler").unlink()
        resumed = resume_run(run.folder, text=sentences())
        assert resumed.trainer.progress.step == 100
        assert train(resumed)[-1] == Finished(200, "done")
        np.testing.assert_array_equal(resumed.model.params.flat, run.model.params.flat)


def test_a_disk_that_is_too_small_is_refused_before_training(tmp_path):
    with small_disk(tmp_path / "disk", "512k") as disk:
        with pytest.raises(
            CheckpointError, match=r"only 0\.5 MB can be used.*saves 0\.9 MB.*--hidden"
        ):
            small_run(folder=disk / "run", shape={"hidden": 128})
        assert not [*disk.iterdir()]
        run = small_run(folder=disk / "run", shape={"hidden": 64})
        (note,) = run.notes
        assert "last.npz is replaced, it is there twice, so make room" in note
        assert train(run)[-1] == Finished(40, "done")
        # What is replaced does not count.
        small_run(folder=disk / "run", shape={"hidden": 64}, force=True)


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
@pytest.mark.parametrize("average", [0.0, 0.9])
def test_the_sizes_that_are_planned_for_are_those_of_the_files(
    tmp_path, optimizer, average
):
    shape = {"hidden": 200, "layers": 2}
    settings = {"optimizer": optimizer, "average": average}
    run = small_run(folder=tmp_path, shape=shape, **settings)
    for event in run.events():
        if event.step == 13:  # between two validations, when the file is largest
            run.trainer.stop()
    for name, planned in zip(
        ("best.npz", "last.npz"), checkpoint_sizes(run.trainer), strict=True
    ):
        size = (tmp_path / name).stat().st_size
        assert size < planned < size + 120_000


LIMITED = """
import resource, sys
from pathlib import Path
from charrnn.errors import CheckpointError
from charrnn.run import resume_run
from charrnn.storage.checkpoint import load, save
from texts import sentences

folder, *limits = sys.argv[1:]
folder = Path(folder)
before = {path.name: path.read_bytes() for path in folder.iterdir()}
endings = set()
for limit in map(int, limits):
    for name, data in before.items():
        (folder / name).write_bytes(data)
    run = resume_run(folder, text=sentences())
    try:
        for i, event in enumerate(run.events()):
            if i == 0:
                infinity = resource.RLIM_INFINITY
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, infinity))
        endings.add("saved")
    except CheckpointError as error:
        endings.add("step 13 is saved" if "step 13 is saved" in str(error) else error)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
    assert {path.name for path in folder.iterdir()} == set(before), limit
    for path in folder.glob("*.npz"):
        load(path, snapshot=path.name == "last.npz")
    history = (folder / "history.jsonl").read_bytes()
    assert history.endswith(b"}\\n"), (limit, history)
    for event in resume_run(folder, text=sentences()).events():
        pass
    for name in ("best.npz", "last.npz"):
        found, expected = (load(each / name) for each in (folder, folder / "../whole"))
        assert found.history == expected.history
        assert found.model.params.flat.tobytes() == expected.model.params.flat.tobytes()
print(sorted(endings))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs limits on file sizes")
@pytest.mark.slow
def test_a_disk_that_is_full_at_any_byte_costs_nothing(tmp_path):
    whole, run = (small_run(folder=tmp_path / name) for name in ("whole", "run"))
    for _ in whole.events():
        pass
    for event in run.events():
        if event.step == 13:
            run.trainer.stop()
    size = (tmp_path / "run" / "last.npz").stat().st_size
    history = (tmp_path / "run" / "history.jsonl").stat().st_size
    limits = [*range(history, 2 * history, 89), *range(0, size + 2000, 1571)]
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, tmp_path / "run", *map(str, limits)],
        env=environment_of_a_full_disk(
            PYTHONPATH=os.pathsep.join(filter(None, sys.path))
        ),
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "['saved', 'step 13 is saved']\n"


# ---- when the folder is deleted, or another process trains in it


def test_a_folder_that_was_deleted_is_made_again(tmp_path):
    run = small_run(folder=tmp_path / "run", steps=4000, eval_every=100)
    notes, gone = [], False
    for event in run.events():
        if event.step == 100 and not gone:
            shutil.rmtree(tmp_path / "run")
            gone = True
        if isinstance(event, Note):
            notes.append(event.text)
            with pytest.raises(CheckpointError, match="another charrnn is training"):
                lock(tmp_path / "run").__enter__()
    assert notes == [f"{run.folder} was deleted; it is made again, with a new history"]
    assert load_last(run.folder).snapshot.progress.step == 4000
    assert (
        load(run.folder / "best.npz").history[-1][0] == run.trainer.progress.best_step
    )
    lines = (run.folder / "history.jsonl").read_text().splitlines()
    assert json.loads(lines[-1])["step"] == 4000


@pytest.mark.parametrize("finished", [False, True])
def test_a_run_keeps_off_a_folder_that_became_anothers(tmp_path, finished):
    run = small_run(folder=tmp_path / "run", steps=300, eval_every=100)
    others = []  # kept, and with it the lock

    def lose_folder(event):
        if event.step == 100 and not others:
            shutil.rmtree(tmp_path / "run")
            others.append(small_run(folder=tmp_path / "run", seed=2))
            if finished:
                train(others[0])
            others.append(files_in(tmp_path / "run"))

    with pytest.raises(CheckpointError) as error:
        train(run, lose_folder)
    expected = "has changed since" if finished else "another charrnn is training there"
    assert expected in str(error.value)
    assert files_in(tmp_path / "run") == others[1]


def test_a_run_keeps_its_folder_locked_from_before_it_is_read(tmp_path):
    run = small_run(folder=tmp_path, steps=20)
    for again in (
        lambda: make_folder(tmp_path, force=True),
        lambda: small_run(folder=tmp_path),
    ):
        with pytest.raises(CheckpointError, match="another charrnn is training there"):
            again()
    train(run)
    resumed = resume_run(tmp_path, text=sentences())
    with pytest.raises(CheckpointError, match="another charrnn is training there"):
        resume_run(tmp_path, text=sentences())
    del resumed  # which was never trained
    resume_run(tmp_path, text=sentences()).close()
    with pytest.raises(Exception, match="cannot be resumed"):
        resume_run(tmp_path, text="Another text." * 99)
    resume_run(tmp_path, text=sentences())


def test_a_folder_that_cannot_be_locked_is_noted(tmp_path):
    (tmp_path / LOCK).mkdir()
    run = small_run(folder=tmp_path)
    (note,) = run.notes
    assert note.startswith(f"{tmp_path} cannot be locked (Is a directory); take care")
    assert [*run.events()][-1] == Finished(40, "done")


def test_what_a_killed_process_left_is_removed_at_the_next_start(tmp_path):
    run = small_run(folder=tmp_path)
    train(run)
    left = [tmp_path / f".{name}.0123abcd.part" for name in ("best.npz", "last.npz")]
    mine = [tmp_path / name for name in (".best.npz.part", ".mine.npz.0123abcd.part")]
    for path in (*left, *mine):
        path.write_bytes(b"half")
    resume_run(tmp_path, text=sentences()).close()
    assert not any(map(Path.exists, left))
    left[1].write_bytes(b"half")
    make_folder(tmp_path, force=True)
    assert {path.name for path in tmp_path.iterdir()} - {LOCK} == {p.name for p in mine}
