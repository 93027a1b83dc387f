"""Runs on disk: what they leave, going on bit for bit, never losing an older one."""

import json
import os
import shutil
import subprocess
from dataclasses import asdict

import numpy as np
import pytest
from folders import assert_equal_folders, history
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

from charrnn.atomic import LOCK
from charrnn.config import CELLS, TextConfig
from charrnn.errors import CharRNNError, CheckpointError, ConfigError, TextError
from charrnn.evaluation.calibration import calibration
from charrnn.evaluation.loss import evaluate
from charrnn.run import resume_run, start_run
from charrnn.storage.checkpoint import load, save
from charrnn.storage.run_folder import load_last
from charrnn.text.corpus_info import SplitInfo
from charrnn.text.reading import from_text, read_corpus
from charrnn.training.events import Finished, Rollback
from charrnn.training.schedules import learning_rate

STOPS = (3, 9, 10, 11, 37)  # validations are due at 10, 20, 30 and 40


def train(run, stop_after=None):
    """Train a run on disk, to its end or to a step."""
    last = None
    for event in run.events():
        last = event
        if run.trainer.progress.step == stop_after:
            run.trainer.stop()
    assert last.reason == ("done" if stop_after is None else "stopped")


def reopened(folder, text=None, **changes):
    return resume_run(folder, text=text or sentences(), changes=changes)


def rewrite(path, change):
    """Write a checkpoint anew after `change` was called with its members."""
    with np.load(path) as file:
        members = {name: file[name] for name in file.files}
    change(members)
    np.savez(path, **members)


def edit_header(path, change):
    def edit(members):
        header = json.loads(members["header"].tobytes())
        change(header)
        members["header"] = np.frombuffer(json.dumps(header).encode(), np.uint8)

    rewrite(path, edit)


def as_an_older_version(path):
    """Take the best weights out of a checkpoint, and write infinity as it was."""

    def drop_best(members):
        for name in [name for name in members if name.startswith("best/")]:
            del members[name]

    def restore(header):
        del header["digests"]
        for key in {"progress", "good_progress"} & header.keys():
            if header[key]["best_loss"] is None:
                header[key]["best_loss"] = float("inf")

    rewrite(path, drop_best)
    edit_header(path, restore)


def folder_of(tmp_path, name, *, stop_after=None, text=None, **settings):
    folder = tmp_path / name
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
    run = small_run(folder=folder)
    events = [asdict(r) for r in run.events() if type(r).__name__ == "Validation"]
    lines = (folder / "history.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [
        {"event": "validation"} | event for event in events
    ]
    assert [event["step"] for event in events] == [10, 20, 30, 40]
    thinned = load(folder / "last.npz").history
    assert thinned == [[r["step"], r["train_loss"], r["val_loss"]] for r in events]


def test_best_holds_the_weights_of_the_lowest_validation_loss(tmp_path):
    folder = tmp_path / "run"
    run = small_run(sentences(6), folder, **OVERFITTING)
    train(run)
    progress = run.trainer.progress
    assert progress.best_step < progress.step
    assert evaluate(load(folder / "best.npz").model, run.val_ids).nats == (
        progress.best_loss
    )


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.slow
def test_a_resumed_folder_equals_an_uninterrupted_one(tmp_path, cell, layers):
    settings = {"shape": {"cell": cell, "layers": layers}}
    whole = folder_of(tmp_path, "whole", **settings)
    for step in STOPS:
        folder = folder_of(tmp_path, f"to{step}", stop_after=step, **settings)
        run = reopened(folder)
        assert run.trainer.progress.step == step
        train(run)
        assert_equal_folders(whole, folder)


@pytest.mark.parametrize("optimizer", ["adamw", "rmsprop", "adagrad", "sgd", "shampoo"])
def test_every_optimizer_resumes_from_its_folder(tmp_path, optimizer):
    settings = {"optimizer": optimizer, "threads": 2, "patience": 2}
    whole = folder_of(tmp_path, "whole", **settings)
    folder = folder_of(tmp_path, "stopped", stop_after=13, **settings)
    train(reopened(folder))
    assert_equal_folders(whole, folder)


def test_a_finished_run_has_fitted_its_own_temperature(tmp_path):
    text = sentences(400)  # of which a tenth is enough to fit it
    folder = folder_of(tmp_path, "whole", text=text)
    found = load(folder / "best.npz").model
    raw = found.copy()
    raw.temperature = 1.0
    held_out = reopened(folder, text).val_ids
    assert found.temperature == calibration(raw, held_out).temperature != 1


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
    run = small_run(folder=folder, **_JUMPING)
    for event in run.events():
        if isinstance(event, Rollback) and killed:
            break  # before anything was saved after it
        if isinstance(event, Rollback):
            run.trainer.stop()
    train(reopened(folder), stop_after=60)
    assert history(folder) == events


def test_the_history_is_json_whatever_the_loss_was(tmp_path):
    folder = tmp_path / "run"
    run = small_run(folder=folder)
    for event in run.events():
        if event.step == 12 and not run.trainer.progress.rollbacks:
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
    run = reopened(folder, steps=60)
    train(run)
    assert run.trainer.progress.step == 60
    assert [line["step"] for line in history(folder)] == [10, 20, 30, 40, 50, 60]
    assert load(folder / "last.npz").train["plan"]["steps"] == 60


def test_a_constant_rate_makes_a_lengthened_run_equal_to_a_long_one(tmp_path):
    settings = {"schedule": "constant", "warmup": 0}
    whole = folder_of(tmp_path, "whole", steps=60, **settings)
    folder = folder_of(tmp_path, "short", steps=40, **settings)
    train(reopened(folder, steps=60))
    with np.load(whole / "last.npz") as a, np.load(folder / "last.npz") as b:
        for name in a.files:
            if name != "header":
                np.testing.assert_array_equal(a[name], b[name])


@pytest.mark.parametrize("stopped", [20, 40], ids=["on its way", "finished"])
def test_a_lengthened_run_resumes_bit_for_bit(tmp_path, stopped):
    whole = folder_of(tmp_path, "whole", stop_after=stopped if stopped < 40 else None)
    shutil.copytree(whole, tmp_path / "often")
    train(reopened(whole, steps=70))
    train(reopened(tmp_path / "often", steps=70), stop_after=stopped + 1)
    for stop in (stopped + 7, 60, None):
        train(reopened(tmp_path / "often"), stop)
    assert_equal_folders(whole, tmp_path / "often")
    plan = load(whole / "last.npz").train["plan"]
    assert (plan["steps"], plan["schedule_start"]) == (70, stopped)


def test_a_run_that_an_older_version_lengthened_keeps_its_schedule(tmp_path):
    """Its steps were set to 40 at step 20, and the schedule was that of 40 steps."""
    folder = folder_of(tmp_path, "run", steps=20)

    def lengthen(header):
        header["train"]["plan"]["steps"] = 40
        del header["train"]["plan"]["schedule_start"]

    edit_header(folder / "last.npz", lengthen)
    train(reopened(folder))
    rates = [line["lr"] for line in history(folder)][2:]
    config = small_config()
    assert rates == [learning_rate(step - 1, 40, config) for step in (30, 40)]


def test_minutes_are_recorded_as_steps_and_kept(tmp_path):
    folder = tmp_path / "run"
    run = small_run(folder=folder, steps=0, minutes=0.01, eval_every=50)
    train(run, stop_after=1)
    recorded = load(folder / "last.npz").train
    assert recorded["minutes"] == 0.01
    assert recorded["plan"]["steps"] == run.plan.steps
    assert reopened(folder).plan == run.plan


def test_resuming_needs_the_same_text(tmp_path):
    folder = folder_of(tmp_path, "run", stop_after=5)
    with pytest.raises(
        TextError, match=r"cannot be resumed: .*is not that of the text"
    ):
        reopened(folder, sentences() + "One more line.\n")


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
        ("progress", {}),
        ("progress", {"rng": {"bit_generator": "MT19937"}}),
        ("good_progress", {}),
        ("corpus", {"encoding": 5}),
        ("corpus", {"files": "lines.txt"}),
        ("corpus", {"characters": -1}),
        ("split", {"val_fraction": "0.1"}),
        ("history", [[1, 2]]),
        ("train", {"plan": {"batch": 4}}),
        ("train", {"plan": {"batch": "four"}}),
        ("train", {"plan": {"batch": 10**12}}),
        ("train", None),
    ],
)
def test_resuming_from_an_edited_header_is_one_line(tmp_path, key, value):
    folder = folder_of(tmp_path, "run", stop_after=5)
    edit_header(folder / "last.npz", lambda header: header.update({key: value}))
    with pytest.raises(CharRNNError, match=r"last\.npz") as error:
        reopened(folder)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("progress", {"step": -1}),
        ("progress", {"step": 5.5}),
        ("progress", {"step": 10**400, "lr_scale": 10**400}),
        ("progress", {"best_loss": "low"}),
        ("progress", {"lr_scale": float("nan")}),
        ("progress", {"rng": {}}),
        ("progress", {"rng": None}),
        ("progress", {"history": [["a", 1, 2]]}),
        ("train", {"lr": 10**400}),
        ("train", {"plan": None}),
        ("plan", {"window": 0}),
        ("plan", {"window": 10**9}),
        ("plan", {"batch": True}),
        ("plan", {"steps": "many"}),
        ("plan", {"eval_every": 0}),
        ("plan", {"kernels": "cuda"}),
        ("plan", {"val_characters": -1}),
        ("plan", {"val_characters": 0.5}),
        ("plan", {"layout": {}, "steps": 0}),
        ("plan", {"layout": {"workers": 0}}),
        ("plan", {"layout": {"workers": 1000}}),
        ("plan", {"layout": {"blas_threads": None}}),
        ("plan", {"layout": 3}),
    ],
)
def test_resuming_with_an_edited_number_is_one_line(tmp_path, part, change):
    folder = folder_of(tmp_path, "run", stop_after=5)

    def edit(header):
        found = header["train"]["plan"] if part == "plan" else header[part]
        found.update(change)

    edit_header(folder / "last.npz", edit)
    with pytest.raises(CheckpointError, match=r"last\.npz") as error:
        reopened(folder)
    assert "\n" not in str(error.value)


def test_what_a_header_lacks_of_its_text_has_a_default(tmp_path):
    folder = folder_of(tmp_path, "run", stop_after=5)
    edit_header(folder / "last.npz", lambda header: header.update(corpus={}, split={}))
    train(reopened(folder))
    as_before = TextConfig("utf-8", normalize="none", max_vocab=0)
    assert load(folder / "last.npz").corpus == from_text(sentences(), as_before).info


@pytest.mark.slow
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
    steps = load_last(tmp_path / "killed").snapshot.progress.step
    assert 50 <= steps < 2000, "it must have been killed on its way"
    resumed = charrnn("train", "--resume", "--out", "killed", cwd=tmp_path)
    assert resumed.returncode == 0, resumed.stderr
    assert_equal_folders(tmp_path / "whole", tmp_path / "killed")
    assert resumed.stdout == whole.stdout


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


def test_starting_from_other_weights_keeps_them_and_adds_new_characters(tmp_path):
    folder = folder_of(tmp_path, "run", shape={"layers": 2})
    old = load(folder / "best.npz")
    text = sentences(30).replace("a", "é") + "ü" * 20
    run = start_run(from_text(text), asdict(small_config()), init_from=old)
    model, vocab, growth = run.model, run.vocab, run.growth
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
        start_run(from_text("a" * 500), asdict(small_config()))


@pytest.mark.parametrize("length", range(2, 60))
def test_a_very_short_text_trains_or_says_why_not(length):
    text = ("It rains, it pours; the old man is snoring. He went to bed " * 2)[:length]
    settings = asdict(small_config(steps=3)) | {"hidden": 4}
    if length < 11:  # the last tenth must hold two characters
        with pytest.raises(TextError, match="at least 2 of each"):
            start_run(from_text(text), settings)
        return
    run = start_run(from_text(text), settings)
    assert [*run.events()][-1] == Finished(3, "done")


def test_the_checkpoint_events_text_split_configuration_and_plan(tmp_path):
    path = tmp_path / "lines.txt"
    path.write_text(sentences(), encoding="utf-8")
    corpus = read_corpus([path])
    settings = asdict(small_config(seed=7)) | {"hidden": 8}
    run = start_run(corpus, settings, folder=tmp_path)
    train(run)
    checkpoint = load(tmp_path / "last.npz")
    n = len(corpus.text)
    assert checkpoint.corpus == corpus.info.relative_to(tmp_path)
    assert checkpoint.corpus.relative == ("lines.txt",)
    assert checkpoint.corpus.files == (str(path),)
    assert checkpoint.split == SplitInfo(0.1, int(n * 0.9), n - int(n * 0.9))
    assert checkpoint.train == asdict(small_config(seed=7)) | {
        "plan": run.plan.to_json()
    }


# ---- the best weights of a resumed run


@pytest.fixture(scope="module")
def overfitted(tmp_path_factory):
    """Return the folder of a run that found its best long before its end."""
    folder = folder_of(tmp_path_factory.mktemp("whole"), "run", **PAST_THE_BEST)
    progress = load(folder / "last.npz", snapshot=True).snapshot.progress
    assert 0 < progress.best_step < STOPPED < progress.step
    return folder


PAST_THE_BEST = OVERFITTING | {"text": sentences(6)}
STOPPED = 253  # after the best step, and between two validations


def stopped_past_the_best(tmp_path, **settings):
    settings = PAST_THE_BEST | settings
    return folder_of(tmp_path, "run", stop_after=STOPPED, **settings)


def damage(path):
    path.write_bytes(path.read_bytes()[:1000])


def foreign(path):
    """Put the best weights of another run in a place."""
    run = small_run(sentences(6), **OVERFITTING | {"seed": 2, "steps": 10})
    for _ in run.events():
        pass
    save(run.best_checkpoint(), path)


@pytest.mark.parametrize("happens", [lambda path: None, os.remove, damage, foreign])
def test_a_run_past_its_best_resumes_whatever_happens_to_best(
    tmp_path, overfitted, happens
):
    folder = stopped_past_the_best(tmp_path)
    happens(folder / "best.npz")
    run = reopened(folder, sentences(6))
    assert run.notes == []
    train(run)
    assert_equal_folders(overfitted, folder)
    best, expected = run.best_checkpoint(), load(overfitted / "best.npz")
    np.testing.assert_array_equal(best.model.params.flat, expected.model.params.flat)
    assert best.history == expected.history
    assert evaluate(best.model, run.val_ids).nats == run.trainer.progress.best_loss


def test_best_is_written_again_when_a_resumed_run_is_stopped(tmp_path, overfitted):
    folder = stopped_past_the_best(tmp_path)
    (folder / "best.npz").unlink()
    train(reopened(folder, sentences(6)), STOPPED + 1)
    np.testing.assert_array_equal(
        load(folder / "best.npz").model.params.flat,
        load(overfitted / "best.npz").model.params.flat,
    )


def test_a_best_that_is_as_it_should_be_is_not_written_again(tmp_path):
    folder = stopped_past_the_best(tmp_path)
    before = (folder / "best.npz").stat()
    train(reopened(folder, sentences(6)))
    assert (folder / "best.npz").stat().st_mtime_ns == before.st_mtime_ns


@pytest.mark.parametrize("average", [0.0, 0.9])
def test_an_older_checkpoint_takes_its_best_weights_from_best(tmp_path, average):
    settings = PAST_THE_BEST | {"average": average}
    whole = folder_of(tmp_path, "whole", **settings)
    folder = stopped_past_the_best(tmp_path, average=average)
    as_an_older_version(folder / "last.npz")
    run = reopened(folder, sentences(6))
    assert run.notes == []
    train(run)
    assert_equal_folders(whole, folder)


@pytest.mark.parametrize("happens", [os.remove, damage, foreign])
def test_an_older_checkpoint_without_its_best_starts_the_search_anew(tmp_path, happens):
    folder = stopped_past_the_best(tmp_path)
    as_an_older_version(folder / "last.npz")
    happens(folder / "best.npz")
    run = reopened(folder, sentences(6))
    (note,) = run.notes
    assert "best.npz is missing or comes from another run" in note
    assert run.trainer.progress.best_loss == float("inf")
    assert run.trainer.snapshot().last_good.progress.best_loss == float("inf")
    train(run)
    progress = run.trainer.progress
    assert progress.best_step > STOPPED
    best = load(folder / "best.npz")
    assert evaluate(best.model, run.val_ids).nats == progress.best_loss
    assert [step for step, *_ in best.history][-1] == progress.best_step


def test_a_best_that_is_unknown_is_the_average_that_would_be_validated(tmp_path):
    folder = stopped_past_the_best(tmp_path, average=0.9)
    as_an_older_version(folder / "last.npz")
    (folder / "best.npz").unlink()
    run = reopened(folder, sentences(6))
    average = run.trainer.snapshot().moments["average"]
    assert not np.array_equal(average, run.model.params.flat)
    np.testing.assert_array_equal(run.best_checkpoint().model.params.flat, average)


def test_an_older_checkpoint_that_was_never_validated_resumes(tmp_path):
    whole = folder_of(tmp_path, "whole")
    folder = folder_of(tmp_path, "run", stop_after=3)
    as_an_older_version(folder / "last.npz")
    run = reopened(folder)
    assert run.notes == []
    train(run)
    assert_equal_folders(whole, folder)


def many_characters():
    rng = np.random.default_rng(0)
    common = "".join(chr(0x4E00 + i) for i in rng.integers(0, 50, 20_000))
    return "".join(map(chr, range(0x5000, 0x5000 + 10_000))), common


def unused_run(text):
    settings = asdict(small_config(steps=1)) | {"hidden": 2}
    return start_run(from_text(text, TextConfig(max_vocab=0)), settings)


def test_with_very_many_characters_the_first_guess_is_how_often_each_occurs():
    rare, common = many_characters()
    run = unused_run(rare + common)
    guess = np.exp(run.model.params["output.b"].astype(float))
    counts = np.bincount(run.train_ids, minlength=len(run.vocab))
    assert guess.sum() == pytest.approx(1, rel=1e-5)
    assert (counts.max() > 300, counts.min()) == (True, 1)
    np.testing.assert_allclose(guess / guess[-1], (counts + 0.5) / 1.5, rtol=1e-5)


def test_with_fewer_characters_the_first_guess_is_uniform():
    rare, common = many_characters()
    run = unused_run(rare[:9_950] + common)
    assert len(run.vocab) == 10_000
    assert not run.model.params["output.b"].any()


def test_a_run_that_samples_the_softmax_resumes_from_its_files_bit_for_bit(tmp_path):
    rare, common = many_characters()
    text = 3 * rare + common  # what occurs only twice would be left out
    settings = {"shape": {"hidden": 2}, "steps": 6, "eval_every": 3}
    whole = folder_of(tmp_path, "whole", text=text, **settings)
    folder = folder_of(tmp_path, "run", text=text, stop_after=4, **settings)
    run = reopened(folder, text)
    assert run.plan.sampled == 4096
    train(run)
    assert_equal_folders(whole, folder)


def test_a_header_holds_no_infinity(tmp_path):
    folder = folder_of(tmp_path, "run", stop_after=3)
    with np.load(folder / "last.npz") as file:
        text = file["header"].tobytes()
    header = json.loads(text, parse_constant=pytest.fail)
    assert header["progress"]["best_loss"] is None
    assert reopened(folder).trainer.progress.best_loss == float("inf")


def test_a_run_that_another_process_trained_meanwhile_is_not_overwritten(tmp_path):
    folder = folder_of(tmp_path, "run", stop_after=5)
    late = reopened(folder)
    train(late, stop_after=9)
    train(reopened(folder))
    before = (folder / "last.npz").read_bytes()
    with pytest.raises(CheckpointError, match=r"last\.npz: has changed since"):
        train(late)
    assert (folder / "last.npz").read_bytes() == before


def test_a_run_that_was_stopped_goes_on_in_the_same_process(tmp_path):
    whole = folder_of(tmp_path, "whole")
    run = small_run(folder=tmp_path / "run")
    for event in run.events():
        if event == Finished(13, "stopped"):
            break
        if event.step == 13:
            run.trainer.stop()
    train(run)
    assert_equal_folders(whole, tmp_path / "run")


# ---- starting


def test_force_replaces_a_run_only_after_its_settings_were_accepted(tmp_path):
    folder = folder_of(tmp_path, "run")
    before = (folder / "last.npz").read_bytes()
    corpus, settings = from_text(sentences()), asdict(small_config())
    with pytest.raises(CheckpointError, match="already holds a run"):
        start_run(corpus, settings, folder=folder)
    with pytest.raises(ConfigError):
        start_run(corpus, settings | {"lr": -1.0}, folder=folder, force=True)
    with pytest.raises(CheckpointError, match="no such file"):
        start_run(corpus, settings, folder=folder, force=True, init_from="none.npz")
    assert (folder / "last.npz").read_bytes() == before
    start_run(corpus, settings, folder=folder, force=True)
    assert {path.name for path in folder.iterdir()} <= {LOCK}


def test_a_run_may_have_a_new_folder_named_after_its_text(tmp_path):
    corpus, settings = from_text(sentences(), name="lines"), asdict(small_config())
    assert start_run(corpus, settings).folder is None
    assert start_run(corpus, settings, root=tmp_path).folder == tmp_path / "lines"
    assert start_run(corpus, settings, root=tmp_path).folder == tmp_path / "lines-2"


def test_only_settings_that_were_not_chosen_are_fitted_to_the_text():
    corpus, settings = from_text(sentences()), asdict(small_config()) | {"hidden": 300}
    settings |= {"layers": 1, "patience": 10}
    fitted = start_run(corpus, settings, {"dropout": 0.0})
    assert fitted.model.config.hidden < 300
    assert fitted.config.dropout == 0
    assert "hidden" in fitted.adaptation.changes
    assert start_run(corpus, settings).model.config.hidden == 300
    assert start_run(corpus, settings).adaptation is None
