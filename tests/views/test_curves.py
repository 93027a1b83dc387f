"""The curves of runs: what a history, a checkpoint or a model tells, and lies."""

import json

import numpy as np
import pytest
from histories import rollback, scoreboard, validation, write_history
from texts import save_trained, small_run, trained

from charrnn.errors import CharRNNError, CheckpointError, ConfigError
from charrnn.evaluation.scoreboard import score
from charrnn.storage.run_folder import PRETRAINED, append_scoreboard, read_history
from charrnn.views.curves import (
    MEASURES,
    check_known,
    from_model,
    loss_limits,
    read_curves,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return the folder of a real run, with its scoreboard in the history."""
    run = small_run(folder=tmp_path_factory.mktemp("runs") / "real", steps=45)
    for _ in run.events():
        pass
    board = score(run.best_checkpoint().model, run.train_ids, run.val_ids)
    append_scoreboard(run.folder, 45, board)
    run.board = board
    return run


def test_the_curves_of_a_run_are_its_history(folder):
    curves = read_curves(folder.folder)
    *events, board = read_history(folder.folder)
    assert curves.name == "real"
    for name in ("step", "epoch", "seconds", "train_loss", "val_loss", "lr"):
        assert getattr(curves, name).tolist() == [event[name] for event in events]
    assert curves.grad_norm.tolist() == [event["grad_norm"] for event in events]
    assert curves.clipped.tolist() == [event["clipped"] for event in events]
    assert curves.step.tolist() == [10, 20, 30, 40, 45]
    assert curves.characters == folder.plan.batch * folder.plan.window
    assert board["ngram"]["nats"] == curves.ngram_loss == folder.board.ngram.nats
    assert curves.ngram_order == folder.board.ngram_order
    assert curves.notes == []


def test_the_best_is_where_the_trainer_found_it(folder):
    curves = read_curves(folder.folder)
    assert curves.step[curves.best] == folder.trainer.progress.best_step
    assert curves.val_loss[curves.best] == folder.trainer.progress.best_loss


def test_axes_and_measures(tmp_path):
    curves = read_curves(
        write_history(
            tmp_path / "run",
            validation(100, seconds=60, epoch=2, lr=0.5),
            validation(300, seconds=80, epoch=6, lr=0.25, clipped=0.75),
        )
    )
    assert curves.x("steps").tolist() == [100, 300]
    assert curves.x("epochs").tolist() == [2, 6]
    assert curves.x("minutes").tolist() == [1, 80 / 60]
    assert curves.measure("lr").tolist() == [0.5, 0.25]
    assert curves.measure("clipped").tolist() == [0.25, 0.75]
    assert np.isnan(curves.measure("speed")).all()  # without a checkpoint
    with pytest.raises(ConfigError, match="x is 'hours'; expected one of steps"):
        curves.x("hours")
    with pytest.raises(ConfigError, match="show is 'loss'; expected one of lr"):
        curves.measure("loss")


def test_the_speed_is_characters_over_seconds(folder):
    curves = read_curves(folder.folder)
    per_step = folder.plan.batch * folder.plan.window
    expected = [
        per_step * (after - before) / (end - start)
        for before, after, start, end in zip(
            [0, *curves.step[:-1]],
            curves.step,
            [0, *curves.seconds[:-1]],
            curves.seconds,
            strict=True,
        )
    ]
    np.testing.assert_allclose(curves.measure("speed"), expected)


def test_what_a_diverged_run_made_in_vain_is_left_out(tmp_path):
    curves = read_curves(
        write_history(
            tmp_path / "run",
            *(validation(10, 2.0), validation(20, 1.0), rollback(25, 10)),
            *(validation(20, 1.8), validation(30, 1.7)),
        )
    )
    assert curves.step.tolist() == [10, 20, 30]
    assert curves.val_loss.tolist() == [2.0, 1.8, 1.7]
    assert curves.rollbacks == (25.0,)
    assert curves.rollback_x("steps").tolist() == [25]
    assert curves.rollback_x("epochs").tolist() == [25 / 50]
    np.testing.assert_allclose(curves.rollback_x("minutes"), [25 * 0.6 / 60])
    assert curves.best == 2


def test_a_repeated_step_replaces_the_older_one(tmp_path):
    events = validation(10, 2.0), validation(20, 1.9), validation(20, 1.8)
    curves = read_curves(write_history(tmp_path / "run", *events))
    assert curves.val_loss.tolist() == [2.0, 1.8]


def test_a_run_without_a_validation_text_has_no_best(tmp_path):
    events = validation(10, None), validation(20, None)
    curves = read_curves(write_history(tmp_path / "run", *events))
    assert curves.best is None
    assert curves.notes == []
    assert np.isnan(curves.val_loss).all()


def test_a_line_that_is_being_written_is_no_error(tmp_path):
    folder = write_history(tmp_path / "run", validation(10))
    with (folder / "history.jsonl").open("a") as file:
        file.write('{"event": "validation", "st')
    curves = read_curves(folder)
    assert curves.step.tolist() == [10]
    assert curves.notes == []


WRONG = [
    *("", "[]", "null", "3", '"event"', "{}", "not JSON", "[" * 5000, "\x00"),
    *('{"event": ["validation"]}', '{"event": "party", "step": 3}'),
    *(validation(10) | {"step": x} for x in (None, "10", True, -10, 1e300, [1])),
    validation(10) | {"step": 10**400},
    validation(10, "1.5", "1.4"),
    validation(10, None, float("nan")),
    rollback("25", 10),
    rollback(25, None),
    rollback(25, -1),
    scoreboard(20, "1.7"),
    scoreboard(20, order=0),
    {"event": "scoreboard", "ngram": 7, "ngram_order": 3},
]


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: str(wrong)[:40])
def test_a_line_that_cannot_be_right_is_left_out_and_counted(wrong, tmp_path):
    events = validation(5, 1.9), wrong, validation(20, 1.8)
    curves = read_curves(write_history(tmp_path / "run", *events))
    assert curves.step.tolist() == [5, 20]
    assert curves.val_loss.tolist() == [1.9, 1.8]
    assert curves.ngram_loss is None
    (note,) = curves.notes
    assert note.startswith("run: ")
    assert note.endswith(
        "lines or values of its history cannot be right, and are left out"
    )


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), -1.0, 1e300, 10**400, "x", [], {}, True]
)
@pytest.mark.parametrize("name", ["val_loss", "lr", "epoch", "seconds"])
def test_a_value_that_cannot_be_right_is_unknown(name, value, tmp_path):
    events = validation(5), validation(20) | {name: value}
    curves = read_curves(write_history(tmp_path / "run", *events))
    found = getattr(curves, name)
    assert np.isfinite(found[0])
    assert np.isnan(found[1])
    assert curves.notes[0].startswith("run: 1 lines or values")


def test_fields_may_be_missing(tmp_path):
    line = {"event": "validation", "step": 10, "train_loss": 2.0}
    curves = read_curves(write_history(tmp_path / "run", line))
    assert curves.train_loss.tolist() == [2.0]
    assert np.isnan(curves.lr).all()
    assert curves.notes == []
    for axis, show in (("epochs", ()), ("steps", ("lr",)), ("steps", ("speed",))):
        with pytest.raises(ConfigError, match=r"^run: no .* recorded; expected the"):
            check_known([curves], axis, show)


def test_a_line_of_any_length_takes_little_memory(tmp_path):
    import tracemalloc

    folder = write_history(tmp_path / "run", validation(10), "x" * 20_000_000)
    tracemalloc.start()
    curves = read_curves(folder)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert curves.step.tolist() == [10]
    assert peak < 2_000_000


def test_many_lines_take_little_memory(tmp_path):
    import tracemalloc

    lines = [json.dumps(validation(step)) for step in range(1, 20_001)]
    folder = write_history(tmp_path / "run", *lines)
    tracemalloc.start()
    curves = read_curves(folder)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(curves.step) == 20_000
    assert peak < 200 * 20_000


@pytest.mark.parametrize("events", [(), ("[]",), (rollback(5, 0),)])
def test_an_empty_history_is_an_error(events, tmp_path):
    with pytest.raises(CheckpointError, match="run: no validation to draw"):
        read_curves(write_history(tmp_path / "run", *events))


def test_a_folder_without_a_run_is_an_error(tmp_path):
    with pytest.raises(CheckpointError, match="no validation to draw"):
        read_curves(tmp_path)
    with pytest.raises(CharRNNError, match="nowhere"):
        read_curves(tmp_path / "nowhere")


def test_a_checkpoint_and_a_saved_model_have_losses_by_step(tmp_path):
    folder = save_trained(tmp_path / "saved")
    expected = trained().history
    for path in (folder, folder / "best.npz"):
        curves = read_curves(path)
        assert curves.name == "saved"
        assert curves.step.tolist() == [row["step"] for row in expected]
        assert curves.val_loss.tolist() == [row["val_loss"] for row in expected]
        with pytest.raises(ConfigError, match="no minutes recorded"):
            check_known([curves], "minutes", ())
    assert read_curves(PRETRAINED).name == "shakespeare"


def test_a_model_in_memory_has_its_history():
    curves = from_model(trained())
    assert curves.name == "model"
    assert curves.train_loss.tolist() == [
        row["train_loss"] for row in trained().history
    ]


def test_a_history_by_itself_can_be_named(tmp_path):
    folder = write_history(tmp_path / "run", validation(10))
    assert read_curves(folder / "history.jsonl").name == "run"
    (folder / "history.jsonl").rename(tmp_path / "old.jsonl")
    assert read_curves(tmp_path / "old.jsonl").step.tolist() == [10]


def test_limits_leave_first_losses_out_that_would_flatten_the_others(tmp_path):
    def limits(*losses, ngram=None):
        events = [validation(10 * i, loss, loss) for i, loss in enumerate(losses, 1)]
        events += [scoreboard(1, ngram)] if ngram else []
        return loss_limits([read_curves(write_history(tmp_path / "run", *events))])

    low, high = limits(9.0, *[1.5 - i / 100 for i in range(20)])
    assert 1 < low < 1.31
    assert 1.5 < high < 3
    low, high = limits(3.0, 2.0)
    assert low < 2
    assert high > 3
    low, high = limits(2.0)
    assert low < 2 < high
    low, high = limits(2.0, 1.9, ngram=1.0)
    assert low < 1


def test_every_measure_is_known_of_a_real_run(folder):
    check_known([read_curves(folder.folder)], "minutes", MEASURES)
