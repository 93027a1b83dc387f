"""The folder of a run: never overwritten, found again, its history kept in step."""

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from texts import small_run
from users import without_privileges

from charrnn.atomic import LOCK
from charrnn.errors import CheckpointError
from charrnn.storage.checkpoint import load
from charrnn.storage.run_folder import (
    append_history,
    check_folder,
    find_checkpoint,
    load_last,
    lock,
    make_folder,
    new_folder,
    newest_run,
    read_history,
    truncate_history,
)
from charrnn.training.events import Rollback, Validation
from charrnn.training.state import Progress


def folder_of(tmp_path, name):
    for _ in small_run(folder=tmp_path / name).events():
        pass
    return tmp_path / name


def test_resuming_a_folder_without_a_run_is_an_error(tmp_path):
    with pytest.raises(CheckpointError, match=r"no run to resume.*last\.npz"):
        load_last(tmp_path)


def test_the_best_model_cannot_be_resumed_and_says_so(tmp_path):
    folder = folder_of(tmp_path, "run")
    (folder / "best.npz").replace(folder / "last.npz")
    with pytest.raises(CheckpointError, match=r"no training state to resume"):
        load_last(folder)


def test_a_run_is_never_overwritten_without_force(tmp_path):
    folder = folder_of(tmp_path, "run")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    for act in (check_folder, make_folder):
        with pytest.raises(CheckpointError, match=r"--resume.*--out.*--force"):
            act(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize("name", ["best.npz", "last.npz", "history.jsonl"])
def test_any_file_of_a_run_protects_its_folder(tmp_path, name):
    (tmp_path / name).touch()
    with pytest.raises(CheckpointError, match="already holds a run"):
        make_folder(tmp_path)


def test_force_removes_the_files_of_the_run_and_nothing_else(tmp_path):
    folder = folder_of(tmp_path, "run")
    (folder / "notes.txt").write_text("mine")
    (folder / "kept").mkdir()
    make_folder(folder, force=True)
    left = {path.name for path in folder.iterdir()}
    assert left - {LOCK} == {"kept", "notes.txt"}


def test_a_folder_with_other_files_is_no_run(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    make_folder(tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError, match=r"file/run: cannot be created.*--out"):
        make_folder(tmp_path / "file" / "run")


@pytest.mark.skipif(sys.platform == "win32", reason="needs the rights of POSIX")
def test_where_nothing_can_be_written_is_known_before_training():
    with TemporaryDirectory() as name:  # those of pytest are for their owner only
        root = Path(name)
        (root / "file").touch()
        root.chmod(0o755)
        for out in (root / "file", root / "file" / "a" / "b"):
            with pytest.raises(CheckpointError, match="file is a file; give another"):
                check_folder(out)
        check_folder(root / "a" / "b")
        with without_privileges():
            for out in (root / "a" / "b", root):
                message = f"^{out}: cannot be written; make {root} writable,"
                with pytest.raises(CheckpointError, match=message):
                    check_folder(out)
        assert [path.name for path in root.iterdir()] == ["file"]


def test_new_folders_are_numbered(tmp_path):
    assert new_folder("verse", tmp_path) == tmp_path / "verse"
    (tmp_path / "verse-3").mkdir()
    assert new_folder("verse", tmp_path) == tmp_path / "verse-2"
    assert new_folder("verse", tmp_path) == tmp_path / "verse-4"
    assert all((tmp_path / name).is_dir() for name in ("verse", "verse-2", "verse-4"))


def test_a_new_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    for root in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(CheckpointError, match=r"verse: cannot be created.*--out"):
            new_folder("verse", root)


def test_the_newest_run_is_the_one_that_saved_last(tmp_path):
    for name, file, time in (
        ("a", "best.npz", 10),
        ("a", "last.npz", 40),
        ("b", "best.npz", 30),
        ("c", "history.jsonl", 50),
    ):
        path = tmp_path / name / file
        path.parent.mkdir(exist_ok=True)
        path.touch()
        os.utime(path, (time, time))
    assert newest_run(tmp_path) == tmp_path / "a"
    os.utime(tmp_path / "b" / "best.npz", (60, 60))  # imported, say: none to resume
    assert newest_run(tmp_path) == tmp_path / "a"
    (tmp_path / "b" / "last.npz").touch()
    assert newest_run(tmp_path) == tmp_path / "b"


def test_files_that_vanish_or_cannot_be_seen_are_no_runs(tmp_path):
    (tmp_path / "file").touch()
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
    (tmp_path / "a" / "last.npz").symlink_to("last.npz")
    (tmp_path / "b" / "last.npz").symlink_to("gone")
    for root in (tmp_path, tmp_path / "file", tmp_path / "a" / "last.npz"):
        with pytest.raises(CheckpointError, match="no run to resume in"):
            newest_run(root)
    (tmp_path / "c" / "best.npz").touch()
    (tmp_path / "c" / "last.npz").touch()
    assert newest_run(tmp_path) == tmp_path / "c"
    long = tmp_path / ("x" * 5000)
    with pytest.raises(CheckpointError, match="cannot be read: File name too long"):
        load(find_checkpoint(long))


def test_without_any_run_the_error_says_what_to_do(tmp_path):
    for root in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(CheckpointError, match="start one with `charrnn train`"):
            newest_run(root)


def test_a_checkpoint_is_found_by_file_folder_or_not_at_all(tmp_path, monkeypatch):
    folder = tmp_path / "checkpoints" / "run"
    folder.mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match=r"no checkpoint in this folder"):
        find_checkpoint(folder)
    (folder / "last.npz").touch()
    assert find_checkpoint(folder) == folder / "last.npz"
    (folder / "best.npz").touch()
    assert find_checkpoint(str(folder)) == folder / "best.npz"
    assert find_checkpoint(folder / "last.npz") == folder / "last.npz"
    assert find_checkpoint().resolve() == folder / "best.npz"
    nowhere = tmp_path / "nowhere.npz"
    assert find_checkpoint(nowhere) == nowhere
    with pytest.raises(CheckpointError, match="no such file"):
        load(nowhere)


def validation(step):
    return Validation(step, 0.5, 2.5, 2.6, True, 1e-3, 0.9, 0.25, 1.5, 400)


EVENTS = [validation(10), Rollback(13, 10, float("nan"), 0.5, 1), validation(20)]


def test_the_history_is_read_as_it_was_written(tmp_path):
    for event in EVENTS:
        append_history(tmp_path, event)
    first, jump, second = read_history(tmp_path)
    assert first == {"event": "validation"} | asdict(EVENTS[0])
    assert jump == {"event": "rollback"} | asdict(EVENTS[1]) | {"loss": None}
    assert second["step"] == 20
    for line in (tmp_path / "history.jsonl").read_text().splitlines():
        json.loads(line, parse_constant=pytest.fail)  # NaN and Infinity


def test_a_folder_without_a_history_has_no_events(tmp_path):
    assert read_history(tmp_path) == []
    truncate_history(tmp_path, Progress())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("rest", ['{"event": "valid', "7\n", "\xff\n", "[" * 5000])
def test_a_line_that_is_no_event_is_left_out(tmp_path, rest):
    append_history(tmp_path, validation(10))
    with (tmp_path / "history.jsonl").open("a", encoding="latin-1") as file:
        file.write(rest)
    assert [event["step"] for event in read_history(tmp_path)] == [10]
    truncate_history(tmp_path, Progress(step=10))
    assert len((tmp_path / "history.jsonl").read_text().splitlines()) == 1


@pytest.mark.parametrize(
    ("progress", "steps"),
    [
        (Progress(step=9), []),
        (Progress(step=10), [10]),
        (Progress(step=12, rollbacks=1), [10, 13]),
        (Progress(step=20, rollbacks=1), [10, 13, 20]),
    ],
)
def test_the_history_is_cut_at_the_last_checkpoint(tmp_path, progress, steps):
    for event in EVENTS:
        append_history(tmp_path, event)
    truncate_history(tmp_path, progress)
    assert [event["step"] for event in read_history(tmp_path)] == steps


@pytest.mark.parametrize(
    ("progress", "steps"),
    [
        (Progress(step=15), [10]),
        (Progress(step=22), [10, 20]),
        (Progress(step=12, rollbacks=1), [10, 20, 23]),
        (Progress(step=24, rollbacks=1), [10, 20, 23, 20]),
        (Progress(step=15, rollbacks=2), [10, 20, 23, 20, 26]),
        (Progress(step=31, rollbacks=2), [10, 20, 23, 20, 26, 20, 30]),
    ],
)
def test_a_rollback_that_a_checkpoint_knows_keeps_what_came_before_it(
    tmp_path, progress, steps
):
    nan = float("nan")
    for event in (
        *(validation(10), validation(20), Rollback(23, 10, nan, 0.5, 1)),
        *(validation(20), Rollback(26, 10, nan, 0.25, 2)),
        *(validation(20), validation(30), validation(40)),
    ):
        append_history(tmp_path, event)
    truncate_history(tmp_path, progress)
    assert [event["step"] for event in read_history(tmp_path)] == steps


def test_a_line_without_an_end_is_not_joined_to_the_next(tmp_path):
    append_history(tmp_path, validation(10))
    path = tmp_path / "history.jsonl"
    whole = path.read_bytes()
    for cut in (1, 30):
        path.write_bytes(whole[:-cut])
        append_history(tmp_path, validation(20))
        assert path.read_bytes().splitlines()[1:] == [
            json.dumps({"event": "validation"} | asdict(validation(20))).encode()
        ]
    # A whole line whose end is missing belongs to the run that is resumed.
    path.write_bytes(whole[:-1])
    truncate_history(tmp_path, Progress(step=10))
    assert path.read_bytes() == whole


def test_a_folder_is_locked_for_one_at_a_time(tmp_path):
    with lock(tmp_path), pytest.raises(CheckpointError, match="another charrnn is"):
        make_folder(tmp_path)
    make_folder(tmp_path)
