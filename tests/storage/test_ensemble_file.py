"""Ensembles in files: nothing is lost, an older charrnn refuses, damage is found."""

from dataclasses import replace

import hostile
import numpy as np
import pytest
from texts import sentences, small_run

from charrnn.errors import CheckpointError, ConfigError
from charrnn.generation.ensembles import combine
from charrnn.generation.language_model import LanguageModel
from charrnn.run import resume_run
from charrnn.storage.checkpoint import MOST_MEMBERS, Member, load, save
from charrnn.storage.run_folder import load_last, weights_in
from charrnn.storage.torch_weights import export_weights


def model_of(cell, hidden, name, seed):
    shape = {"cell": cell, "hidden": hidden}
    run = small_run(shape=shape, steps=10, eval_every=5, seed=seed)
    for _ in run.events():
        pass
    found = LanguageModel.from_checkpoint(run.best_checkpoint())
    found.name = name
    return found


@pytest.fixture(scope="module")
def made():
    """Return an ensemble of three networks, two of which are of the same shape."""
    shapes = ("gru", 6, "one"), ("lstm", 5, "two"), ("gru", 6, "three")
    return combine([model_of(*shape, seed) for seed, shape in enumerate(shapes)])


@pytest.fixture
def path(made, tmp_path):
    save(made.to_checkpoint(), tmp_path / "made.npz")
    return tmp_path / "made.npz"


def test_everything_comes_back(made, path):
    found, expected = load(path), made.to_checkpoint()
    for network, other in zip(found.model.members, made.model.members, strict=True):
        assert network.config == other.config
        np.testing.assert_array_equal(network.params.flat, other.params.flat)
    assert replace(found, model=None) == replace(expected, model=None)
    assert [member.name for member in found.members] == ["one", "two", "three"]
    assert all(len(member.history) == 2 for member in found.members)
    save(found, path)
    assert replace(load(path), model=None) == replace(expected, model=None)


def test_the_file_has_the_documented_names(path):
    parts = hostile.members(path)
    header = hostile.header_of(parts)
    assert header["version"] == 2
    assert [*header] == [
        *("format", "version", "vocab", "split", "corpus", "members", "versions"),
        "digests",
    ]
    assert [*header["digests"]] == ["members/0", "members/1", "members/2"]
    for member in header["members"]:
        assert [*member] == ["model", "name", "train", "history"]
    folders = {name.rpartition("/")[0] for name in parts if "/" in name}
    assert folders == {*header["digests"]}
    gru = {"layer0.Wx", "layer0.Wh", "layer0.b", "layer0.c", "output.W", "output.b"}
    expected = {f"members/0/{name}.npy" for name in gru}
    assert {name for name in parts if name.startswith("members/0/")} == expected


def test_half_precision_is_read_as_float32(made, tmp_path):
    save(made.to_checkpoint(), tmp_path / "half.npz", half=True)
    found = load(tmp_path / "half.npz").model
    assert found.dtype == np.float32
    for network, other in zip(found.members, made.model.members, strict=True):
        np.testing.assert_allclose(network.params.flat, other.params.flat, atol=2e-3)


def test_weights_of_networks_that_were_exchanged_are_found(path, tmp_path):
    parts = hostile.members(path)
    one, other = "members/0/output.W.npy", "members/2/output.W.npy"
    swapped = parts | {one: parts[other], other: parts[one]}
    hostile.write_members(tmp_path / "swapped.npz", swapped)
    with pytest.raises(CheckpointError, match="'members/0' does not hold the arrays"):
        load(tmp_path / "swapped.npz")


def test_a_network_without_weights_is_named(path, tmp_path):
    parts = hostile.members(path)
    del parts["members/1/layer0.Wh.npy"]
    hostile.write_members(tmp_path / "less.npz", parts)
    with pytest.raises(CheckpointError, match=r"no member 'members/1/layer0\.Wh'; exp"):
        load(tmp_path / "less.npz")


def test_networks_that_the_header_does_not_name_are_ignored(path, tmp_path):
    parts = hostile.members(path)
    header = hostile.header_of(parts)
    del header["members"][2]
    hostile.write_members(tmp_path / "two.npz", hostile.with_header(parts, header))
    assert len(load(tmp_path / "two.npz").model.members) == 2


@pytest.mark.parametrize("value", hostile.WRONG)
@pytest.mark.slow
def test_a_wrong_value_in_any_field_is_refused_or_harmless(path, tmp_path, value):
    parts = hostile.members(path)
    header = hostile.header_of(parts)
    edited = tmp_path / "edited.npz"
    for place in [("members",), *hostile.places(header["members"][:1], ("members",))]:
        changed = hostile.replaced(header, place, value)
        hostile.write_members(edited, hostile.with_header(parts, changed))
        try:
            found = load(edited)
        except CheckpointError as error:
            assert str(error).startswith(f"{edited}: ")  # noqa: PT017
            assert str(error).isprintable()  # noqa: PT017
            continue
        model = LanguageModel.from_checkpoint(found)
        assert model.generate("Ann", length=3, kernels="numpy", seed=1)
        assert model._repr_html_()
        save(found, edited)
        load(edited)


@pytest.mark.parametrize("count", [0, 1, MOST_MEMBERS + 1])
def test_too_few_or_too_many_networks_are_refused(path, tmp_path, count):
    parts = hostile.members(path)
    header = hostile.header_of(parts)
    header["members"] = (header["members"] * MOST_MEMBERS)[:count]
    hostile.write_members(tmp_path / "n.npz", hostile.with_header(parts, header))
    with pytest.raises(CheckpointError, match="expected a list of 2 to 100; the file"):
        load(tmp_path / "n.npz")


def test_a_network_cannot_bring_a_vocabulary_of_its_own(path, tmp_path):
    parts = hostile.members(path)
    header = hostile.header_of(parts)
    header["members"][1]["vocab"] = header["vocab"][::-1]
    hostile.write_members(tmp_path / "v.npz", hostile.with_header(parts, header))
    assert load(tmp_path / "v.npz").vocab.to_json() == header["vocab"]
    header["members"][1]["model"]["vocab"] -= 1
    hostile.write_members(tmp_path / "v.npz", hostile.with_header(parts, header))
    with pytest.raises(CheckpointError, match="33 characters for a model of 32"):
        load(tmp_path / "v.npz")


def test_an_ensemble_is_not_resumed(path):
    path.rename(path.with_name("last.npz"))
    with pytest.raises(CheckpointError, match="one by one cannot be resumed; resume"):
        load_last(path.parent)


def test_an_ensemble_in_place_of_a_runs_best_model_is_not_taken_for_it(path):
    folder = path.parent / "run"
    # Nothing is learned, so the first validation stays the best one.
    run = small_run(folder=folder, steps=20, lr=1e-12)
    for _ in run.events():
        pass
    path.rename(folder / "best.npz")
    resumed = resume_run(folder, text=sentences(), changes={"steps": 30})
    for _ in resumed.events():
        pass
    np.testing.assert_array_equal(
        weights_in(folder / "best.npz"), run.trainer.best_params
    )


def test_an_ensemble_is_not_exported(made, tmp_path):
    with pytest.raises(ConfigError, match="ensemble of 3 networks cannot be exported"):
        export_weights(made.to_checkpoint(), tmp_path / "made.safetensors")
    assert not any(tmp_path.iterdir())


def test_facts_that_nobody_knows_are_left_empty(made):
    bare = LanguageModel(made.model, made.vocab)
    assert bare.to_checkpoint().members == (Member(), Member(), Member())
