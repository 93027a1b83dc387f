"""Runs on disk: what they leave, going on bit for bit, never losing an older one."""

import json
import os
import shutil
import subprocess
from dataclasses import asdict

import numpy as np
import pytest
from texts import (
    OVERFITTING,
    TINY,
    charrnn,
    command,
    environment,
    sentences,
    small_config,
    small_run,
)

from charrnn import run as runs
from charrnn.atomic import LOCK
from charrnn.config import CELLS, TrainConfig
from charrnn.errors import CharRNNError, CheckpointError, TextError
from charrnn.evaluation.loss import evaluate
from charrnn.storage.checkpoint import load
from charrnn.text.corpus import from_text, read_corpus
from charrnn.training.events import Finished, Rollback

STOPS = (3, 9, 10, 11, 37)  # validations are due at 10, 20, 30 and 40


def train(run, stop_after=None):
    """Train a run on disk, to its end or to a step."""
    last = None
    for record in run.events():
        last = record
        if run.trainer.progress.step == stop_after:
            run.trainer.stop()
    assert last.reason == ("done" if stop_after is None else "stopped")


def reopened(folder, text=None, lengthen=None):
    corpus = from_text(text or sentences())
    return runs.resume(folder, runs.load_last(folder), corpus, lengthen)


def history(folder):
    """Return a folder's history without its times."""
    lines = (folder / "history.jsonl").read_text(encoding="utf-8").splitlines()
    return [{**json.loads(line), "seconds": 0} for line in lines]


def assert_equal_folders(one, other):
    for name in ("best.npz", "last.npz"):
        with np.load(one / name) as a, np.load(other / name) as b:
            assert a.files == b.files
            for member in a.files:
                if member != "header":
                    np.testing.assert_array_equal(a[member], b[member])
            headers = [json.loads(file["header"].tobytes()) for file in (a, b)]
        for header in headers:
            header.get("progress", {})["seconds"] = 0
            header["corpus"]["files"] = []
        assert headers[0] == headers[1]
    assert history(one) == history(other)


def folder_of(tmp_path, name, *, stop_after=None, text=None, **settings):
    folder = tmp_path / name
    runs.make_folder(folder)
    train(small_run(text, folder, **settings), stop_after)
    return folder


def test_a_run_leaves_three_files(tmp_path):
    folder = folder_of(tmp_path, "run")
    assert sorted(path.name for path in folder.iterdir() if path.name != LOCK) == [
        "best.npz",
        "history.jsonl",
        "last.npz",
    ]


def test_the_history_holds_every_validation(tmp_path):
    folder = tmp_path / "run"
    runs.make_folder(folder)
    run = small_run(folder=folder)
    records = [asdict(r) for r in run.events() if type(r).__name__ == "Validation"]
    lines = (folder / "history.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [
        {"event": "validation"} | record for record in records
    ]
    assert [record["step"] for record in records] == [10, 20, 30, 40]
    thinned = load(folder / "last.npz").history
    assert thinned == [[r["step"], r["train_loss"], r["val_loss"]] for r in records]


def test_best_holds_the_weights_of_the_lowest_validation_loss(tmp_path):
    folder = tmp_path / "run"
    runs.make_folder(folder)
    run = small_run(sentences(6), folder, **OVERFITTING)
    train(run)
    progress = run.trainer.progress
    assert progress.best_step < progress.step
    assert evaluate(load(folder / "best.npz").model, run.val_ids).nats == (
        progress.best_loss
    )


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("cell", CELLS)
def test_a_resumed_folder_equals_an_uninterrupted_one(tmp_path, cell, layers):
    settings = {"shape": {"cell": cell, "layers": layers}}
    whole = folder_of(tmp_path, "whole", **settings)
    for step in STOPS:
        folder = folder_of(tmp_path, f"to{step}", stop_after=step, **settings)
        run = reopened(folder)
        assert run.trainer.progress.step == step
        train(run)
        assert_equal_folders(whole, folder)


@pytest.mark.parametrize("optimizer", ["adamw", "rmsprop", "adagrad", "sgd"])
def test_every_optimizer_resumes_from_its_folder(tmp_path, optimizer):
    settings = {"optimizer": optimizer, "threads": 2, "patience": 2}
    whole = folder_of(tmp_path, "whole", **settings)
    folder = folder_of(tmp_path, "stopped", stop_after=13, **settings)
    train(reopened(folder))
    assert_equal_folders(whole, folder)


def test_a_run_stopped_many_times_equals_an_uninterrupted_one(tmp_path):
    whole = folder_of(tmp_path, "whole")
    folder = folder_of(tmp_path, "stopped", stop_after=1)
    for step in (2, 10, 11, 29):
        train(reopened(folder), step)
    train(reopened(folder))
    assert_equal_folders(whole, folder)


def test_what_a_killed_run_logged_after_its_checkpoint_is_dropped(tmp_path):
    whole = folder_of(tmp_path, "whole")
    folder = folder_of(tmp_path, "stopped", stop_after=20)
    lines = (whole / "history.jsonl").read_text(encoding="utf-8").splitlines(True)
    # Validation 30 was logged, 40 half written, and neither reached last.npz.
    (folder / "history.jsonl").write_text("".join(lines[:3]) + lines[3][:25])
    train(reopened(folder))
    assert_equal_folders(whole, folder)


# Diverges and goes back a few times within the first sixty steps.
_JUMPING = {
    **{"optimizer": "sgd", "schedule": "constant", "warmup": 1000, "clip": 0.0},
    **{"lr": 60.0, "steps": 4000, "eval_every": 6},
}


@pytest.mark.parametrize("killed", [False, True])
def test_a_rollback_stays_in_the_history_of_a_resumed_run(tmp_path, killed):
    whole = folder_of(tmp_path, "whole", stop_after=60, **_JUMPING)
    events = history(whole)
    jump = next(event for event in events if event["event"] == "rollback")
    assert jump["to_step"] < jump["step"] - 1
    folder = tmp_path / "stopped"
    runs.make_folder(folder)
    run = small_run(folder=folder, **_JUMPING)
    for record in run.events():
        if isinstance(record, Rollback) and killed:
            break  # before anything was saved after it
        if isinstance(record, Rollback):
            run.trainer.stop()
    train(reopened(folder), stop_after=60)
    assert history(folder) == events


def test_the_history_is_json_whatever_the_loss_was(tmp_path):
    folder = tmp_path / "run"
    runs.make_folder(folder)
    run = small_run(folder=folder)
    for record in run.events():
        if record.step == 12 and not run.trainer.progress.rollbacks:
            run.trainer.model.params.flat[:] = np.nan
    (jump,) = (line for line in history(folder) if line["event"] == "rollback")
    assert (jump["step"], jump["to_step"], jump["loss"]) == (13, 10, None)


def test_resuming_a_finished_run_leaves_its_files_alone(tmp_path):
    folder = folder_of(tmp_path, "run")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    run = reopened(folder)
    assert run.trainer.progress.step == run.plan.steps
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_more_steps_lengthen_a_finished_run(tmp_path):
    folder = folder_of(tmp_path, "run")
    run = reopened(folder, lengthen=TrainConfig(steps=60))
    train(run)
    assert run.trainer.progress.step == 60
    assert [line["step"] for line in history(folder)] == [10, 20, 30, 40, 50, 60]
    assert load(folder / "last.npz").train["plan"]["steps"] == 60


def test_a_constant_rate_makes_a_lengthened_run_equal_to_a_long_one(tmp_path):
    settings = {"schedule": "constant", "warmup": 0}
    whole = folder_of(tmp_path, "whole", steps=60, **settings)
    folder = folder_of(tmp_path, "short", steps=40, **settings)
    train(reopened(folder, lengthen=TrainConfig(steps=60)))
    with np.load(whole / "last.npz") as a, np.load(folder / "last.npz") as b:
        for name in a.files:
            if name != "header":
                np.testing.assert_array_equal(a[name], b[name])


def test_minutes_are_recorded_as_steps_and_kept(tmp_path):
    folder = tmp_path / "run"
    runs.make_folder(folder)
    run = small_run(folder=folder, steps=0, minutes=0.01, eval_every=50)
    train(run, stop_after=1)
    recorded = load(folder / "last.npz").train
    assert recorded["minutes"] == 0.01
    assert recorded["plan"]["steps"] == run.plan.steps
    assert reopened(folder).plan == run.plan


def test_resuming_needs_the_same_text(tmp_path):
    folder = folder_of(tmp_path, "run", stop_after=5)
    with pytest.raises(TextError, match=r"SHA-256 .* is not that of the text"):
        reopened(folder, sentences() + "One more line.\n")


def test_resuming_a_folder_without_a_run_is_an_error(tmp_path):
    with pytest.raises(CheckpointError, match=r"no run to resume.*last\.npz"):
        runs.load_last(tmp_path)


def test_the_best_model_cannot_be_resumed_and_says_so(tmp_path):
    folder = folder_of(tmp_path, "run")
    (folder / "best.npz").replace(folder / "last.npz")
    with pytest.raises(CheckpointError, match=r"not the state of its training"):
        runs.load_last(folder)


@pytest.mark.parametrize("member", ["optimizer/m/", "optimizer/v/layer0.b", "state/"])
def test_resuming_from_a_file_that_lacks_something_is_one_line(tmp_path, member):
    folder = folder_of(tmp_path, "run", stop_after=5)
    with np.load(folder / "last.npz") as file:
        kept = {name: file[name] for name in file.files if not name.startswith(member)}
        assert len(kept) < len(file.files)
    np.savez(folder / "last.npz", **kept)
    with pytest.raises(CheckpointError, match=rf"last\.npz.*{member}") as error:
        reopened(folder)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("progress", None),
        ("progress", {"steps": 3}),
        ("train", {"plan": {"batch": 4}}),
        ("train", {"plan": {"batch": "four"}}),
        ("train", {"plan": {"batch": 10**12}}),
        ("train", None),
    ],
)
def test_resuming_from_an_edited_header_is_one_line(tmp_path, key, value):
    folder = folder_of(tmp_path, "run", stop_after=5)
    with np.load(folder / "last.npz") as file:
        members = {name: file[name] for name in file.files}
    header = json.loads(members["header"].tobytes()) | {key: value}
    members["header"] = np.frombuffer(json.dumps(header).encode(), np.uint8)
    np.savez(folder / "last.npz", **members)
    with pytest.raises(CharRNNError, match=r"last\.npz") as error:
        reopened(folder)
    assert "\n" not in str(error.value)


def test_a_run_killed_without_warning_resumes_to_the_same_end(tmp_path):
    (tmp_path / "lines.txt").write_text(sentences(), encoding="utf-8")
    run = ("lines.txt", *TINY, "--steps", 2000, "--eval-every", 50)
    whole = charrnn("train", *run, "--out", "whole", cwd=tmp_path)
    assert whole.returncode == 0, whole.stderr
    with subprocess.Popen(
        command("train", *run, "--out", "killed"),
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    ) as process:
        for line in process.stderr:
            if line.startswith("step   200"):
                process.kill()
                break
    assert process.returncode == -9
    assert load(tmp_path / "killed" / "last.npz", snapshot=True).snapshot
    steps = runs.load_last(tmp_path / "killed").snapshot.progress["step"]
    assert 150 <= steps < 2000, "it must have been killed on its way"
    resumed = charrnn("train", "--resume", "--out", "killed", cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    assert_equal_folders(tmp_path / "whole", tmp_path / "killed")
    assert resumed.stdout == whole.stdout


def test_a_run_is_never_overwritten_without_force(tmp_path):
    folder = folder_of(tmp_path, "run")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    for act in (runs.check_folder, runs.make_folder):
        with pytest.raises(CheckpointError, match=r"--resume.*--out.*--force"):
            act(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize("name", ["best.npz", "last.npz", "history.jsonl"])
def test_any_file_of_a_run_protects_its_folder(tmp_path, name):
    (tmp_path / name).touch()
    with pytest.raises(CheckpointError, match="already holds a run"):
        runs.make_folder(tmp_path)


def test_force_removes_the_files_of_the_run_and_nothing_else(tmp_path):
    folder = folder_of(tmp_path, "run")
    (folder / "notes.txt").write_text("mine")
    (folder / "kept").mkdir()
    runs.make_folder(folder, force=True)
    left = {path.name for path in folder.iterdir()}
    assert left - {LOCK} == {"kept", "notes.txt"}


def test_a_folder_with_other_files_is_no_run(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    runs.make_folder(tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(CheckpointError, match=r"file/run: cannot be made.*--out"):
        runs.make_folder(tmp_path / "file" / "run")


def test_new_folders_are_numbered(tmp_path):
    assert runs.new_folder("verse", tmp_path) == tmp_path / "verse"
    (tmp_path / "verse-3").mkdir()
    assert runs.new_folder("verse", tmp_path) == tmp_path / "verse-2"
    assert runs.new_folder("verse", tmp_path) == tmp_path / "verse-4"
    assert all((tmp_path / name).is_dir() for name in ("verse", "verse-2", "verse-4"))


def test_a_new_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    for root in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(CheckpointError, match=r"verse: cannot be made.*--out"):
            runs.new_folder("verse", root)


def test_two_trainings_in_one_folder_are_one_too_many(tmp_path):
    (tmp_path / "lines.txt").write_text(sentences(), encoding="utf-8")
    run = ("train", "lines.txt", *TINY, "--eval-every", 50, "--out", "run")
    with subprocess.Popen(
        command(*run, "--steps", 1_000_000),
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
    ) as first:
        try:
            assert any(line.startswith("step") for line in first.stderr)
            for second in (("train", "--resume", "--out", "run"), (*run, "--force")):
                done = charrnn(*second, cwd=tmp_path)
                assert done.returncode == 1
                last = done.stderr.strip().split("\n")[-1]
                assert last.startswith("Error: run: another charrnn is training there")
            assert (tmp_path / "run" / "best.npz").exists()
        finally:
            first.kill()
    resumed = charrnn("train", "--resume", "--out", "run", "--steps", 1, cwd=tmp_path)
    assert "already" in resumed.stderr, "a killed run leaves no lock behind"


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
    assert runs.newest_run(tmp_path) == tmp_path / "a"
    os.utime(tmp_path / "b" / "best.npz", (60, 60))  # imported, say: none to resume
    assert runs.newest_run(tmp_path) == tmp_path / "a"
    (tmp_path / "b" / "last.npz").touch()
    assert runs.newest_run(tmp_path) == tmp_path / "b"


def test_without_any_run_the_error_says_what_to_do(tmp_path):
    for root in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(CheckpointError, match="start one with `charrnn train`"):
            runs.newest_run(root)


def test_a_checkpoint_is_found_by_file_folder_or_not_at_all(tmp_path, monkeypatch):
    folder = tmp_path / "checkpoints" / "run"
    folder.mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match=r"no checkpoint in this folder"):
        runs.find_checkpoint(folder)
    (folder / "last.npz").touch()
    assert runs.find_checkpoint(folder) == folder / "last.npz"
    (folder / "best.npz").touch()
    assert runs.find_checkpoint(str(folder)) == folder / "best.npz"
    assert runs.find_checkpoint(folder / "last.npz") == folder / "last.npz"
    assert runs.find_checkpoint().resolve() == folder / "best.npz"
    nowhere = tmp_path / "nowhere.npz"
    assert runs.find_checkpoint(nowhere) == nowhere
    with pytest.raises(CheckpointError, match="no such file"):
        load(nowhere)


def test_starting_from_other_weights_keeps_them_and_adds_new_characters(tmp_path):
    folder = folder_of(tmp_path, "run", shape={"layers": 2})
    old = load(folder / "best.npz")
    text = sentences(30).replace("a", "é") + "ü" * 20
    run, growth = runs.start(from_text(text), small_config(), init_from=old)
    model, vocab = run.checkpoint.model, run.checkpoint.vocab
    assert set(vocab.characters) == {*old.vocab.characters, "é", "ü"}
    assert growth.added == 2
    assert growth.kept + growth.unused == len(old.vocab)
    assert model.config.hidden == old.model.config.hidden
    known = vocab.encode("".join(old.vocab.characters))
    for name, weights in old.model.params.items():
        grown = model.params[name]
        if name == "layer0.Wx":
            grown = grown[known]
        elif name.startswith("output"):
            grown = grown[..., known]
        np.testing.assert_array_equal(grown, weights)
    assert [*run.events()][-1] == Finished(40, "done")


def test_one_distinct_character_is_nothing_to_learn():
    with pytest.raises(TextError, match=r"every character is 'a'"):
        runs.start(from_text("a" * 500), small_config())


@pytest.mark.parametrize("length", range(2, 60))
def test_a_very_short_text_trains_or_says_why_not(length):
    text = ("It rains, it pours; the old man is snoring. He went to bed " * 2)[:length]
    if length < 11:  # the last tenth must hold two characters
        with pytest.raises(TextError, match="at least 2 of each"):
            runs.start(from_text(text), small_config(steps=3), {"hidden": 4})
        return
    run, _ = runs.start(from_text(text), small_config(steps=3), {"hidden": 4})
    assert [*run.events()][-1] == Finished(3, "done")


def test_the_checkpoint_records_text_split_configuration_and_plan(tmp_path):
    path = tmp_path / "lines.txt"
    path.write_text(sentences(), encoding="utf-8")
    corpus = read_corpus([path])
    run, _ = runs.start(corpus, small_config(seed=7), {"hidden": 8}, folder=tmp_path)
    train(run)
    checkpoint = load(tmp_path / "last.npz")
    assert checkpoint.corpus == {
        "name": "lines",
        "sha256": corpus.sha256,
        "characters": len(corpus.text),
        "encoding": "utf-8",
        "files": [str(path)],
    }
    n = len(corpus.text)
    assert checkpoint.split == {
        "val_fraction": 0.1,
        "train": int(n * 0.9),
        "val": n - int(n * 0.9),
    }
    assert checkpoint.train == asdict(small_config(seed=7)) | {
        "plan": run.plan.to_json()
    }


def test_a_folder_that_vanishes_during_a_run_is_one_line(tmp_path):
    folder = tmp_path / "run"
    runs.make_folder(folder)
    run = small_run(folder=folder)
    shutil.rmtree(folder)
    with pytest.raises(CheckpointError, match=r"history\.jsonl: cannot be written"):
        train(run)
