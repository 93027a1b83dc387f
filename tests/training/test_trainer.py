"""The trainer: it learns, stops, goes on exactly where it was, outlives a blow-up."""

import contextlib
import math
import re
import time
import warnings
import weakref
from collections import Counter
from dataclasses import asdict, replace

import numpy as np
import pytest
from texts import OVERFITTING, sentences, small_config, small_run

from charrnn.config import CELLS, ModelConfig
from charrnn.errors import TrainingError
from charrnn.evaluation.loss import evaluate
from charrnn.nn.model import Model
from charrnn.text.windows import Windows
from charrnn.training import plan as plan_module
from charrnn.training import trainer as trainer_module
from charrnn.training.events import Finished, Rollback, Step, Validation
from charrnn.training.optimizers import OPTIMIZERS
from charrnn.training.trainer import Trainer

BRIEF = {"steps": 24, "eval_every": 8}
STOPS = (3, 7, 8, 9, 23)  # validations are due at 8, 16 and 24
# Reaches a rate that no network stands, a little later after each rollback.
EXPLODING = {
    "optimizer": "sgd",
    "schedule": "constant",
    "lr": 1e3,
    "clip": 0.0,
    "warmup": 1000,
    "steps": 10_000,
    "eval_every": 2,
}


def finished(run):
    """Train a run to its end and return its records."""
    return [*run.trainer.run()]


def stopped_after(run, step):
    """Train a run until it has made `step` updates, and stop it there."""
    records = []
    for record in run.trainer.run():
        records.append(record)
        if isinstance(record, Step) and record.step == step:
            run.trainer.stop()
    assert records[-1] == Finished(step, "stopped")
    return records


def resumed(run, **settings):
    """Return a new run, of the same text and settings, that stands where `run` does."""
    other = small_run(**settings)
    other.trainer.restore(run.trainer.snapshot())
    return other


def timeless(record):
    return {name: v for name, v in asdict(record).items() if name != "seconds"}


def assert_equal_trainers(one, other):
    a, b = one.snapshot(), other.snapshot()
    assert replace(a.progress, seconds=0) == replace(b.progress, seconds=0)
    np.testing.assert_array_equal(a.best, b.best)
    np.testing.assert_array_equal(a.params, b.params)
    assert a.moments.keys() == b.moments.keys()
    for name in a.moments:
        np.testing.assert_array_equal(a.moments[name], b.moments[name])
    for parts, other_parts in zip(a.state, b.state, strict=True):
        for part, other_part in zip(parts, other_parts, strict=True):
            np.testing.assert_array_equal(part, other_part)
    np.testing.assert_array_equal(one.best_params, other.best_params)


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize(
    ("cell", "optimizer"),
    [(cell, "adam") for cell in CELLS]
    + [("rnn", name) for name in OPTIMIZERS if name != "adam"],
)
def test_resumed_equals_uninterrupted(cell, optimizer, layers):
    shape = {"cell": cell, "layers": layers}
    settings = BRIEF | {"shape": shape, "optimizer": optimizer}
    if optimizer == "adamw":
        settings["weight_decay"] = 0.1
    whole = small_run(**settings)
    records = finished(whole)
    for step in STOPS:
        run = small_run(**settings)
        before = stopped_after(run, step)[:-1]
        second = resumed(run, **settings)
        after = finished(second)
        assert_equal_trainers(whole.trainer, second.trainer)
        assert [*map(timeless, before + after)] == [*map(timeless, records)]


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize(
    "more",
    [
        {},
        {"dropout": 0.3, "recurrent_dropout": 0.3},
        {"average": 0.9},
        {"members": 3, "dropout": 0.3, "average": 0.9},
    ],
)
@pytest.mark.slow
def test_resumed_equals_uninterrupted_with_two_threads(cell, more):
    settings = BRIEF | {"shape": {"cell": cell, "layers": 2}, "threads": 2} | more
    whole = small_run(**settings)
    assert whole.plan.layout.workers == 2
    finished(whole)
    for step in STOPS:
        run = small_run(**settings)
        stopped_after(run, step)
        second = resumed(run, **settings)
        finished(second)
        assert_equal_trainers(whole.trainer, second.trainer)


@pytest.fixture
def sampling(monkeypatch):
    """Let runs on a small text sample the softmax, as with very many characters."""
    monkeypatch.setattr(plan_module, "MANY", 20)
    monkeypatch.setattr(plan_module, "_SAMPLED", 10)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("more", [{}, {"dropout": 0.3, "recurrent_dropout": 0.3}])
def test_resumed_equals_uninterrupted_with_a_sampled_softmax(sampling, threads, more):
    settings = BRIEF | {"threads": threads} | more
    whole = small_run(**settings)
    assert whole.plan.sampled == 10
    finished(whole)
    for step in STOPS:
        run = small_run(**settings)
        stopped_after(run, step)
        second = resumed(run, **settings)
        finished(second)
        assert_equal_trainers(whole.trainer, second.trainer)


def test_a_sampled_softmax_learns_nearly_as_much_as_the_full_one(monkeypatch):
    settings = {"shape": {"hidden": 16}, "steps": 300, "eval_every": 100, "lr": 1e-2}
    full = small_run(**settings)
    finished(full)
    monkeypatch.setattr(plan_module, "MANY", 20)
    monkeypatch.setattr(plan_module, "_SAMPLED", 10)
    run = small_run(**settings)
    validations = [r for r in finished(run) if isinstance(r, Validation)]
    assert run.plan.sampled
    lost = run.trainer.progress.best_loss - full.trainer.progress.best_loss
    assert 0 < abs(lost) < 0.15
    # The training loss is an estimate, of the same quantity.
    assert abs(validations[-1].train_loss - validations[-1].val_loss) < 0.3


def test_patience_and_rollbacks_work_with_a_sampled_softmax(sampling):
    still = {"lr": 1e-12, "optimizer": "sgd", "steps": 1000, "eval_every": 5}
    assert finished(small_run(patience=3, **still))[-1].reason == "patience"
    run = small_run(**EXPLODING)
    with pytest.raises(TrainingError, match="after 5 rollbacks"):
        finished(run)
    assert np.isfinite(run.best_checkpoint().model.params.flat).all()


def test_a_closed_trainer_has_freed_its_arrays_and_keeps_the_best_weights():
    run = small_run(average=0.9, shape={"hidden": 64})
    finished(run)
    best, progress = run.best_checkpoint().model, run.trainer.progress
    (update,) = run.trainer._team._updates
    large = [weakref.ref(update), weakref.ref(update.workers._workspaces[0])]
    large += map(weakref.ref, run.trainer.snapshot().moments.values())
    del update
    run.trainer.close()
    freed = [one() is None for one in large]
    assert freed == [True, True, True, True, False]  # the average is the best model
    again = run.best_checkpoint().model
    np.testing.assert_array_equal(again.params.flat, best.params.flat)
    assert run.trainer.progress is progress


def test_resumed_equals_uninterrupted_around_the_end_of_an_epoch():
    text = sentences(12)
    whole = small_run(text)
    E = whole.trainer.epoch_steps
    assert 3 < E < 20, "the run must see several epochs"
    finished(whole)
    for step in (E - 1, E, E + 1, 2 * E):
        run = small_run(text)
        stopped_after(run, step)
        second = resumed(run, text=text)
        finished(second)
        assert_equal_trainers(whole.trainer, second.trainer)


def test_a_run_that_rolls_back_resumes_as_if_never_interrupted():
    settings = EXPLODING | {"eval_every": 6, "steps": 4000, "lr": 60.0}
    whole = small_run(**settings)
    records = []
    for record in whole.trainer.run():
        records.append(record)
        if whole.trainer.progress.step == 60:
            whole.trainer.stop()
    jumps = [record for record in records if isinstance(record, Rollback)]
    assert jumps, "the rate must be high enough to diverge"
    diverged, good = jumps[0].step, jumps[0].to_step
    assert diverged - good > 2
    for step in range(good, diverged):
        run = small_run(**settings)
        stopped_after(run, step)
        second = resumed(run, **settings)
        for _ in second.trainer.run():
            if second.trainer.progress.step == 60:
                second.trainer.stop()
        assert_equal_trainers(whole.trainer, second.trainer)


def test_the_same_seed_gives_the_same_run_and_another_seed_another():
    one, same, other = small_run(), small_run(), small_run(seed=2)
    for run in (one, same, other):
        finished(run)
    assert_equal_trainers(one.trainer, same.trainer)
    assert not np.array_equal(one.trainer.best_params, other.trainer.best_params)


def test_validating_more_often_changes_no_weight():
    often, seldom = small_run(eval_every=1), small_run(eval_every=40)
    finished(often)
    finished(seldom)
    np.testing.assert_array_equal(
        often.checkpoint.model.params.flat, seldom.checkpoint.model.params.flat
    )


def test_a_snapshot_restores_every_bit_and_is_not_touched_by_training():
    run = small_run(shape={"cell": "lstm", "layers": 2})
    stopped_after(run, 13)
    snapshot = run.trainer.snapshot()
    twin = resumed(run, shape={"cell": "lstm", "layers": 2})
    finished(run)  # goes on where it stopped
    assert not np.array_equal(run.checkpoint.model.params.flat, snapshot.params)
    assert snapshot.progress.step == 13
    assert [entry[0] for entry in snapshot.progress.history] == [10]
    run.trainer.restore(snapshot)
    assert_equal_trainers(run.trainer, twin.trainer)


def test_a_snapshot_at_a_validation_is_not_touched_by_training():
    run = small_run(sentences(6), **OVERFITTING)
    taken = []
    for record in run.trainer.run():
        if isinstance(record, Validation):
            here = run.trainer.snapshot()
            arrays = [here.params, here.best, *here.moments.values()]
            taken.append((arrays, [array.copy() for array in arrays]))
            np.testing.assert_array_equal(here.params, run.model.params.flat)
    assert len(taken) > 2
    for arrays, copies in taken:
        for array, copy in zip(arrays, copies, strict=True):
            np.testing.assert_array_equal(array, copy)


def test_the_trainer_prints_nothing_and_writes_nothing(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    finished(small_run())
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")
    assert [*tmp_path.iterdir()] == []


def test_records_come_in_order():
    records = finished(small_run(steps=25, eval_every=10))
    kinds = [type(record) for record in records]
    assert kinds == (
        [Step] * 10 + [Validation] + [Step] * 10 + [Validation]
        + [Step] * 5 + [Validation, Finished]
    )  # fmt: skip
    assert [r.step for r in records if isinstance(r, Step)] == [*range(1, 26)]
    assert [r.step for r in records if isinstance(r, Validation)] == [10, 20, 25]
    assert records[-1] == Finished(25, "done")


def test_a_validation_is_a_pass_over_all_of_the_validation_text():
    run = small_run()
    for record in run.trainer.run():
        if isinstance(record, Validation):
            now = evaluate(run.checkpoint.model, run.val_ids)
            assert record.val_loss == now.nats
            assert now.characters == len(run.val_ids) - 1


def test_a_validation_of_a_long_text_is_on_the_segments_that_are_planned():
    config, run = small_config(), small_run(steps=20)
    ids = np.tile(run.val_ids, 20)
    plan = replace(run.plan, val_characters=1024)
    assert len(ids) > 3 * 1024
    trainer = Trainer(
        run.model, Windows(run.train_ids, plan.window, plan.batch), ids, config, plan
    )
    found = []
    for event in trainer.run():
        if isinstance(event, Validation):
            found.append(event.val_loss)
            assert event.val_characters == 1024
            now = evaluate(trainer.averaged_model, ids, limit=1024)
            assert event.val_loss == now.nats
    assert len(found) == 2


def test_a_validation_sums_up_the_steps_since_the_last_one():
    run = small_run(steps=30, eval_every=10, clip=0.6)
    records = finished(run)
    losses = [r.loss for r in records if isinstance(r, Step)]
    validations = [r for r in records if isinstance(r, Validation)]
    for i, record in enumerate(validations):
        mean = math.fsum(losses[10 * i : 10 * i + 10]) / 10
        assert record.train_loss == pytest.approx(mean, rel=1e-12)
        assert record.epoch == record.step / run.trainer.epoch_steps
    seconds = [record.seconds for record in validations]
    assert seconds == sorted(seconds)
    assert seconds[0] > 0
    lowest = min(validations, key=lambda record: record.val_loss)
    assert run.trainer.progress.best_loss == lowest.val_loss
    assert run.trainer.progress.best_step == lowest.step


def test_a_validation_reports_the_gradients_and_the_rate_of_its_steps():
    settings = {"steps": 30, "clip": 0.6}
    records = finished(small_run(eval_every=1, **settings))
    each = [r for r in records if isinstance(r, Validation)]
    rates = [r.lr for r in records if isinstance(r, Step)]
    clipped = [record.grad_norm > 0.6 for record in each]
    assert 0 < sum(clipped) < len(clipped), "some steps must be clipped, not all"
    assert [record.clipped for record in each] == clipped
    assert [record.lr for record in each] == rates
    assert len(set(rates)) > 20, "the rate must change from step to step"
    seldom = finished(small_run(eval_every=10, **settings))
    for i, record in enumerate(r for r in seldom if isinstance(r, Validation)):
        ten = slice(10 * i, 10 * i + 10)
        norms = [record.grad_norm for record in each[ten]]
        assert record.grad_norm == pytest.approx(math.fsum(norms) / 10, rel=1e-12)
        assert record.clipped == sum(clipped[ten]) / 10
        assert record.lr == rates[ten][-1]


def test_the_best_weights_are_those_of_the_lowest_validation_loss():
    run = small_run(sentences(6), **OVERFITTING)
    seen = {}
    for record in run.trainer.run():
        if isinstance(record, Validation):
            seen[record.step] = run.checkpoint.model.params.flat.copy()
    progress = run.trainer.progress
    assert progress.best_step < progress.step
    np.testing.assert_array_equal(run.trainer.best_params, seen[progress.best_step])
    assert evaluate(run.best_checkpoint().model, run.val_ids).nats == progress.best_loss


def test_windows_are_read_in_order_and_start_over():
    text = sentences(12)
    run = small_run(text)
    E = len(Windows(run.train_ids, run.plan.window, run.plan.batch))
    sizes = [r.characters for r in finished(run) if isinstance(r, Step)]
    pattern = sizes[:E]
    assert pattern[:-1] == [4 * 8] * (E - 1)
    assert sizes == [pattern[i % E] for i in range(len(sizes))]


@pytest.mark.parametrize("cell", CELLS)
def test_training_learns_more_than_how_often_each_character_comes(cell):
    text = sentences()
    shape = {"cell": cell, "hidden": 16}
    run = small_run(text, shape=shape, steps=150, eval_every=150, lr=1e-2)
    finished(run)
    counts = Counter(text)
    p = np.array([*counts.values()]) / len(text)
    entropy = -float(p @ np.log(p))
    assert run.trainer.progress.best_loss < entropy - 0.3


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_learns(optimizer):
    lr = {"sgd": 0.3, "adagrad": 0.05, "shampoo": 0.01}.get(optimizer, 5e-3)
    run = small_run(optimizer=optimizer, lr=lr, steps=100, eval_every=10)
    losses = [r.val_loss for r in finished(run) if isinstance(r, Validation)]
    assert losses[-1] < losses[0] - 0.3


def test_the_average_validates_and_is_kept_as_best():
    run = small_run(average=0.95, steps=60, eval_every=10)
    best = min(r.val_loss for r in run.trainer.run() if isinstance(r, Validation))
    assert evaluate(run.best_checkpoint().model, run.val_ids).nats == best
    found = run.best_checkpoint().model.params.flat
    assert (found != run.trainer.model.params.flat).any()


def test_the_average_is_that_of_the_weights_after_each_step():
    run = small_run(average=0.9, steps=20, eval_every=20)
    mean = run.trainer.model.params.flat.astype(np.float64)
    for record in run.trainer.run():
        if isinstance(record, Step):
            decay = min(0.9, (1 + record.step) / (10 + record.step))
            mean = decay * mean + (1 - decay) * run.trainer.model.params.flat
    kept = run.trainer.snapshot().moments["average"]
    np.testing.assert_allclose(kept, mean, atol=1e-5)


def test_patience_ends_a_run_that_no_longer_improves():
    # The weights do not move: after the first validation none is better.
    run = small_run(lr=1e-12, optimizer="sgd", steps=1000, eval_every=5, patience=3)
    records = finished(run)
    steps = [r.step for r in records if isinstance(r, Validation) and not r.best]
    assert records[-1].reason == "patience"
    assert steps[-3:] == [records[-1].step - 10, records[-1].step - 5, records[-1].step]
    assert run.trainer.progress.since_best == 3


def test_a_new_best_starts_patience_anew():
    run = small_run(steps=100, eval_every=5, patience=1, lr=5e-3)
    records = finished(run)
    validations = [r for r in records if isinstance(r, Validation)]
    assert all(record.best for record in validations[:-1])
    assert len(validations) > 3


def stopped_by(run, records):
    """Return the last record of a run that something stops, after the others."""
    records += run.trainer.run()
    return records[-1]


def assert_goes_on_as_if_never_stopped(run, settings):
    whole, other = small_run(**settings), resumed(run, **settings)
    finished(whole)
    finished(other)
    assert_equal_trainers(whole.trainer, other.trainer)


@pytest.mark.parametrize("members", [1, 3])
@pytest.mark.parametrize("threads", [1, 2])
def test_a_slow_step_is_given_up_and_repeated_when_resumed(
    threads, members, monkeypatch
):
    more = {"dropout": 0.3, "recurrent_dropout": 0.3, "threads": threads}
    settings = BRIEF | more | {"members": members}
    run, records = small_run(**settings), []
    compute = Model.loss_and_grads

    def stopped_in_the_middle(*args):
        if run.trainer.progress.step == 11:
            run.trainer.stop()
            time.sleep(0.5)
        return compute(*args)

    monkeypatch.setattr(Model, "loss_and_grads", stopped_in_the_middle)
    # As after any slow step: a quick one is not worth a thread.
    monkeypatch.setattr("charrnn.nn.workers._QUICK", 0)
    assert stopped_by(run, records) == Finished(11, "stopped")
    monkeypatch.undo()
    assert_goes_on_as_if_never_stopped(run, settings)


@pytest.mark.parametrize("step", [8, 24])
def test_a_validation_is_given_up_and_made_first_when_resumed(step, monkeypatch):
    run, records = small_run(**BRIEF), []
    score = trainer_module.evaluate

    def stopped_in_the_middle(*args, **options):
        if run.trainer.progress.step == step:
            run.trainer.stop()
        return score(*args, **options)

    monkeypatch.setattr(trainer_module, "evaluate", stopped_in_the_middle)
    assert stopped_by(run, records) == Finished(step, "stopped")
    assert isinstance(records[-2], Step)
    assert not run.trainer.is_complete
    monkeypatch.undo()
    assert isinstance(next(resumed(run, **BRIEF).trainer.run()), Validation)
    assert_goes_on_as_if_never_stopped(run, BRIEF)


def test_stop_before_the_first_step_ends_at_once():
    run = small_run()
    run.trainer.stop()
    assert finished(run) == [Finished(0, "stopped")]


def test_a_loss_that_explodes_goes_back_at_half_the_rate_and_at_last_gives_up():
    run, jumps, kept = small_run(**EXPLODING), [], {}
    trainer, params = run.trainer, run.checkpoint.model.params
    records, error = iter(trainer.run()), None
    while error is None:
        try:
            record = next(records)
        except TrainingError as raised:
            error = str(raised)
        if isinstance(record, Validation):
            kept[record.step] = trainer.snapshot()
        if isinstance(record, Rollback):
            jumps.append(record)
            np.testing.assert_array_equal(params.flat, kept[record.to_step].params)
            assert trainer.progress.step == record.to_step
            record = None
    assert re.fullmatch(
        r"the loss diverged .* 5 rollbacks, .* a lower rate, such as --lr 0\.002, and "
        "with --clip-mode norm --clip 1",
        error,
    )
    assert [jump.lr_scale for jump in jumps] == [0.5, 0.25, 0.125, 0.0625, 0.03125]
    assert all(jump.to_step < jump.step for jump in jumps)
    assert all(not jump.loss < 10 for jump in jumps)
    best = run.best_checkpoint().model
    assert np.isfinite(best.params.flat).all()
    assert evaluate(best, run.val_ids).nats == trainer.progress.best_loss


def arrays_of(snapshot):
    """Return all arrays of a snapshot, those of its good state included."""
    state = [part for layer in snapshot.state for part in layer]
    good = arrays_of(snapshot.last_good) if snapshot.last_good else []
    best = [] if snapshot.best is None else [snapshot.best]
    return [snapshot.params, *snapshot.moments.values(), *state, *good, *best]


# The first update overflows; the gradient does; only its square does.
@pytest.mark.parametrize("lr", [1e300, 1e38, 1e19, 10.0])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_whenever_a_run_is_stopped_its_state_is_finite(optimizer, lr):
    run = small_run(
        optimizer=optimizer, lr=lr, clip=0, warmup=0, steps=60, eval_every=7
    )
    seen = 0
    with contextlib.suppress(TrainingError):
        for _ in run.trainer.run():
            arrays = arrays_of(run.trainer.snapshot())
            assert all(np.isfinite(array).all() for array in arrays)
            seen += 1
    assert seen > 4


def steep_run(**settings):
    """Return a run whose gradients are about 1e25, though its loss is that of a guess.

    The state stays zero, and every step back multiplies its gradient by ten.
    """
    settings = {"shape": {"cell": "rnn", "hidden": 8}, "window": 25} | settings
    run = small_run(**settings)
    run.model.params["layer0.Wx"][:] = 0
    run.model.params["layer0.Wh"][:] = 10 * np.eye(8)
    run.model.params["layer0.b"][:] = 0
    return run


def test_a_gradient_whose_square_overflows_is_clipped_like_any_other():
    run = steep_run(steps=1, optimizer="sgd", lr=1.0, warmup=0, momentum=0.0)
    before = run.model.params.flat.copy()
    records = finished(run)
    assert not any(isinstance(record, Rollback) for record in records)
    assert 1e20 < records[1].grad_norm < 1e30
    change = (run.model.params.flat - before).astype(np.float64)
    assert np.linalg.norm(change) == pytest.approx(records[0].lr, rel=1e-3)


def test_a_gradient_whose_square_overflows_diverges_if_it_is_not_clipped():
    run = steep_run(steps=5, clip=0)
    first = next(run.trainer.run())
    assert isinstance(first, Rollback)
    assert 1e20 < first.loss < 1e30
    assert all(np.isfinite(a).all() for a in arrays_of(run.trainer.snapshot()))


@pytest.mark.parametrize("V", [2, 50])
@pytest.mark.parametrize(("share", "kind"), [(0.99, Step), (1.01, Rollback)])
def test_a_loss_diverges_above_three_times_a_guess_and_3(V, share, kind):
    model = Model(ModelConfig(V, hidden=4))  # all weights are 0: biases alone decide
    loss = share * (3 * math.log(V) + 3)
    # The last id is certain, and all text is of the first.
    model.params["output.b"][-1] = loss
    ids = np.zeros(300, np.uint8)
    plan = small_run(steps=1).plan
    config = small_config(lr=1e-12, optimizer="sgd", warmup=0)
    trainer = Trainer(model, Windows(ids, 8, 4), ids[:50], config, plan)
    event = next(trainer.run())
    assert isinstance(event, kind)
    assert event.loss == pytest.approx(loss, rel=1e-2)


def test_a_validation_that_shows_an_explosion_is_not_gone_back_to():
    # With one after every step, some score weights that the last step blew up.
    run, events, losses, exploded = (
        small_run(**EXPLODING | {"eval_every": 1}),
        [],
        {},
        0,
    )
    limit = 3 * math.log(run.model.config.vocab) + 3
    with pytest.raises(TrainingError, match="diverged"):
        events.extend(run.trainer.run())
    for event in events:
        if isinstance(event, Step):
            assert event.loss < limit
        if isinstance(event, Validation):
            losses[event.step] = event.val_loss
        if isinstance(event, Rollback):
            assert not event.loss < limit
            exploded += limit < losses[event.step - 1] < math.inf
            assert losses[event.to_step] < limit
    assert exploded


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("lr", [1e3, 1e20, 1e39])
def test_a_blow_up_lets_no_numpy_warning_out(lr, threads):
    run = small_run(**EXPLODING | {"lr": lr, "warmup": 0}, threads=threads)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(TrainingError, match="diverged"):
            finished(run)


def test_a_run_that_recovers_goes_on_to_its_end_at_the_lower_rate():
    settings = EXPLODING | {"warmup": 0, "lr": 40.0, "steps": 60, "eval_every": 5}
    run, records, seconds = small_run(**settings), [], []
    for record in run.trainer.run():
        records.append(record)
        seconds.append(run.trainer.progress.seconds)
    jumps = [record for record in records if isinstance(record, Rollback)]
    assert jumps
    assert seconds == sorted(seconds), "steps that were undone took time, too"
    assert records[-1] == Finished(60, "done")
    after = [r.lr for r in records if isinstance(r, Step)][-1]
    assert after == 40.0 * jumps[-1].lr_scale
    assert run.trainer.progress.rollbacks == len(jumps)
    assert np.isfinite(run.trainer.best_params).all()


def test_a_text_that_ends_otherwise_is_no_divergence():
    # Sure of what it never saw otherwise, and wrong: the loss is high and in order.
    text = "a" * 1500 + "b" + "a" * 1500 + "b" * 330
    run = small_run(text, steps=600, eval_every=60, lr=2e-2)
    records = finished(run)
    found = [r for r in records if isinstance(r, Validation)]
    assert found[-1].val_loss > 3 * np.log(2) + 3
    assert not any(isinstance(r, Rollback) for r in records)


@pytest.mark.slow
def test_the_history_stays_short_and_ends_with_the_newest_validation():
    run = small_run(steps=830, eval_every=1, shape={"hidden": 2})
    history = run.trainer.progress.history
    for record in run.trainer.run():
        if isinstance(record, Validation):
            history = run.trainer.progress.history
            assert history[-1] == [record.step, record.train_loss, record.val_loss]
            assert len(history) <= 400
    steps = [entry[0] for entry in history]
    assert steps == sorted(set(steps))


def test_a_trainer_works_on_any_ids():
    model = small_run().checkpoint.model
    ids = np.random.default_rng(1).integers(0, 5, 300).astype(np.uint8)
    run = small_run()
    trainer = Trainer(
        model, Windows(ids[:250], 8, 4), ids[250:], small_config(), run.plan
    )
    assert [*trainer.run()][-1] == Finished(40, "done")
