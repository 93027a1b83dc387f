"""Networks that learn side by side: each as if it were alone, on any threads."""

from dataclasses import replace

import numpy as np
import pytest
from texts import sentences, small_run

from charrnn.errors import ConfigError
from charrnn.evaluation.loss import evaluate, losses
from charrnn.nn.model import Model
from charrnn.storage.checkpoint import load, save
from charrnn.training.events import Finished, Rollback, Step, Validation
from charrnn.training.state import Snapshot

BRIEF = {"steps": 20, "eval_every": 10, "average": 0.9}
REGULAR = {"dropout": 0.3, "recurrent_dropout": 0.3}


def finished(run):
    return [*run.trainer.run()]


def test_each_network_learns_as_if_it_were_alone():
    team = small_run(members=3, **BRIEF)
    starts = [network.params.flat.copy() for network in team.model.members]
    records = [each for each in finished(team) if isinstance(each, Step)]
    found = []
    for i, start in enumerate(starts):
        single = small_run(**BRIEF)
        single.model.params.flat[:] = start
        single.trainer.averaged_model.params.flat[:] = start
        found.append([each for each in finished(single) if isinstance(each, Step)])
        for mine, own in (
            (team.model, single.model),
            (team.trainer.averaged_model, single.trainer.averaged_model),
        ):
            np.testing.assert_array_equal(mine.members[i].params.flat, own.params.flat)
    for step, own in zip(records, zip(*found, strict=True), strict=True):
        assert step.loss == pytest.approx(np.mean([each.loss for each in own]))


def test_the_networks_start_and_drop_differently():
    team = small_run(members=3, **BRIEF | REGULAR)
    first, second, third = (each.params.flat for each in team.model.members)
    assert not np.array_equal(first, second)
    second[:] = third[:] = first  # from here on, only their dropout differs
    finished(team)
    assert len({each.params.flat.tobytes() for each in team.model.members}) == 3


def test_a_team_of_one_is_the_run_that_it_always_was():
    one, team = small_run(**BRIEF | REGULAR), small_run(members=1, **BRIEF | REGULAR)
    finished(one)
    finished(team)
    assert isinstance(team.model, Model)
    np.testing.assert_array_equal(one.model.params.flat, team.model.params.flat)


@pytest.mark.parametrize("threads", [2, 3, 4, 7])
def test_the_threads_change_nothing_but_the_rounding(threads):
    settings = BRIEF | REGULAR | {"members": 3}
    expected, found = small_run(**settings), small_run(**settings, threads=threads)
    assert found.plan.layout.workers == threads
    finished(expected)
    finished(found)
    weights = [run.model.params.flat for run in (found, expected)]
    if threads == 3:  # no network is divided
        np.testing.assert_array_equal(*weights)
    np.testing.assert_allclose(*weights, atol=1e-4)


def test_one_network_that_diverges_takes_all_of_them_back():
    run = small_run(members=3, steps=30, eval_every=10)
    records, spoiled = [], False
    for event in run.trainer.run():
        records.append(event)
        if isinstance(event, Step) and event.step == 15 and not spoiled:
            spoiled = True
            # Its own loss is now implausible, and the mean of the three is not.
            run.model.members[1].params["output.W"][:] *= 60
    (rollback,) = [each for each in records if isinstance(each, Rollback)]
    assert (rollback.step, rollback.to_step) == (16, 10)
    V = run.model.vocab
    assert rollback.loss < 3 * np.log(V) + 3
    assert records[-1] == Finished(30, "done")


def test_the_mean_of_the_averages_is_validated():
    team = small_run(members=2, **BRIEF)
    validations = [each for each in finished(team) if isinstance(each, Validation)]
    mean = evaluate(team.trainer.averaged_model, team.val_ids).nats
    assert validations[-1].val_loss == pytest.approx(mean, rel=1e-6)
    each = [losses(net, team.val_ids) for net in team.trainer.averaged_model.members]
    by_hand = -np.log(np.mean(np.exp(-np.array(each)), axis=0)).mean()
    assert mean == pytest.approx(by_hand, rel=1e-5)


def test_what_resuming_needs_survives_the_disk(tmp_path):
    run = small_run(members=2, optimizer="shampoo", folder=tmp_path, **BRIEF | REGULAR)
    [*run.events()]
    for name in ("best.npz", "last.npz"):
        assert len(load(tmp_path / name).model.members) == 2
    found = load(tmp_path / "last.npz", snapshot=True)
    expected = run.trainer.snapshot()
    assert found.snapshot.progress == expected.progress
    assert_equal(found.snapshot, expected)
    assert found.train == run.last_checkpoint().train
    assert found.members == run.last_checkpoint().members
    save(found, tmp_path / "again.npz")
    assert_equal(load(tmp_path / "again.npz", snapshot=True).snapshot, expected)


def assert_equal(one: Snapshot, other: Snapshot):
    np.testing.assert_array_equal(one.params, other.params)
    np.testing.assert_array_equal(one.best, other.best)
    assert one.moments.keys() == other.moments.keys()
    for name, moment in one.moments.items():
        np.testing.assert_array_equal(moment, other.moments[name])
    assert len(one.state) == len(other.state)
    for layer, same in zip(one.state, other.state, strict=True):
        np.testing.assert_array_equal(layer, same)


def test_the_parts_of_a_snapshot_make_it_again():
    run = small_run(members=3, steps=15, eval_every=10, average=0.9)
    for event in run.trainer.run():
        if isinstance(event, Step) and event.step == 13:
            run.trainer.stop()
    whole = run.trainer.snapshot()
    assert whole.last_good
    again = Snapshot.joined(whole.parts(3))
    assert_equal(again, whole)
    assert_equal(
        replace(again.last_good, best=whole.best),
        replace(whole.last_good, best=whole.best),
    )


def test_one_temperature_fits_the_mean():
    run = small_run(sentences(400), members=2, steps=60, eval_every=20, lr=1e-2)
    [*run.events()]
    assert run.temperature != 1
    model = run.best_checkpoint().model
    assert {each.temperature for each in model.members} == {run.temperature}
    best = evaluate(model, run.val_ids).nats
    for factor in (0.9, 1.1):
        other = model.copy()
        for network in other.members:
            network.temperature *= factor
        assert evaluate(other, run.val_ids).nats > best


def test_training_goes_on_from_an_ensemble(tmp_path):
    run = small_run(members=2, folder=tmp_path / "first", **BRIEF)
    [*run.events()]
    text = sentences(seed=3) + "éü"
    again = small_run(text, members=2, init_from=tmp_path / "first", **BRIEF)
    assert again.config.members == 2
    assert again.growth.added == 2
    old, new = run.best_checkpoint(), again.checkpoint
    rows = old.vocab.ids_in(new.vocab)
    for before, after in zip(old.model.members, new.model.members, strict=True):
        weights = after.params["output.W"][:, rows]
        np.testing.assert_array_equal(weights, before.params["output.W"])
    finished(again)


def test_a_run_takes_the_number_of_networks_from_the_weights_it_starts_from(tmp_path):
    [*small_run(members=2, folder=tmp_path / "first", **BRIEF).events()]
    one = small_run(init_from=tmp_path / "first", **BRIEF)
    assert len(one.model.members) == one.config.members == 2


def test_networks_of_different_shapes_are_not_trained_together(tmp_path):
    from charrnn.generation.ensembles import combine
    from charrnn.generation.language_model import LanguageModel

    models = []
    for hidden in (8, 9):
        run = small_run(shape={"hidden": hidden}, **BRIEF)
        finished(run)
        models.append(LanguageModel.from_checkpoint(run.best_checkpoint()))
    both = combine(models).to_checkpoint()
    with pytest.raises(ConfigError, match="of different shapes cannot be trained"):
        small_run(init_from=both, **BRIEF)
