"""Models saved, exported, copied, pickled, and used by several threads at once."""

import copy
import pickle
import threading

import numpy as np
import pytest
from texts import sentences, trained
from threadpoolctl import threadpool_info

import charrnn
from charrnn.atomic import LOCK
from charrnn.errors import CheckpointError, ConfigError
from charrnn.generation.language_model import LanguageModel
from charrnn.storage.run_folder import lock
from charrnn.storage.torch_weights import import_weights


def same(a, b):
    """Return whether two models and all that is known of them are equal."""
    (x, y) = a.to_checkpoint(), b.to_checkpoint()
    return (
        x.model.config == y.model.config
        and x.model.params.flat.tobytes() == y.model.params.flat.tobytes()
        and (x.vocab, x.corpus, x.split, x.train, x.history)
        == (y.vocab, y.corpus, y.split, y.train, y.history)
        and a.generate("Ann ", length=40, seed=2)
        == b.generate("Ann ", length=40, seed=2)
    )


@pytest.mark.parametrize(
    ("name", "file"),
    [("mine.npz", "mine.npz"), ("new/run", "new/run/best.npz")],
)
def test_what_is_saved_is_loaded_again(tmp_path, name, file):
    path = trained().save(tmp_path / name)
    assert path == tmp_path / file
    assert same(charrnn.load(path), trained())
    assert same(charrnn.load(str(tmp_path / name)), trained())


def test_saving_replaces_nothing_without_force(tmp_path):
    file, folder = tmp_path / "mine.npz", tmp_path / "run"
    file.write_text("mine")
    folder.mkdir()
    for name in ("best.npz", "last.npz", "history.jsonl", "notes"):
        (folder / name).write_text("mine")
    for path in (file, folder):
        with pytest.raises(CheckpointError, match="force=True"):
            trained().save(path)
    assert {path.read_text() for path in (file, *folder.iterdir())} == {"mine"}
    for path in (file, folder):
        trained().save(path, force=True)
        assert same(charrnn.load(path), trained())
    # What was left of the other run would be resumed with these weights.
    left = {path.name for path in folder.iterdir()}
    assert left - {LOCK} == {"best.npz", "notes"}


def test_a_run_that_is_training_is_not_replaced(tmp_path):
    folder = tmp_path / "run"
    path = trained().save(folder)
    before = path.read_bytes()
    with lock(folder), pytest.raises(CheckpointError, match="is training there"):
        trained().save(folder, force=True)
    assert path.read_bytes() == before
    for name in ("best.npz", "last.npz"):
        with (
            lock(folder),
            pytest.raises(CheckpointError, match="is training there"),
        ):
            trained().save(folder / name, force=True)
        with (
            lock(folder),
            pytest.raises(CheckpointError, match="is training there"),
        ):
            trained().export(folder / name, "safetensors", force=True)
    assert path.read_bytes() == before
    with lock(folder):
        trained().export(folder / "mine.safetensors")
    assert trained().save(folder, force=True) == path


def test_a_run_that_has_just_begun_is_not_replaced(tmp_path):
    with lock(tmp_path), pytest.raises(CheckpointError, match="is training there"):
        trained().save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [LOCK]


def test_saving_under_a_name_of_pytorchs_is_refused(tmp_path):
    for name in ("mine.pt", "mine.safetensors"):
        with pytest.raises(ConfigError, match=r"ends in \.npz.*export\(\)"):
            trained().save(tmp_path / name)
    assert not [*tmp_path.iterdir()]


def test_an_export_is_imported_again(tmp_path):
    path = trained().export(tmp_path / "mine.safetensors")
    assert path == tmp_path / "mine.safetensors"
    found = LanguageModel.from_checkpoint(import_weights(path))
    assert (found.vocab, found.history) == (trained().vocab, trained().history)
    # The weights contain the temperature now.
    expected = trained().losses(sentences(3))
    assert found.losses(sentences(3)) == pytest.approx(expected, abs=1e-5)
    with pytest.raises(CheckpointError, match="already exists"):
        trained().export(path)
    trained().export(path, force=True)


def test_an_export_of_no_known_format(tmp_path):
    for path, form in ((tmp_path / "mine", None), (tmp_path / "mine.pt", "onnx")):
        with pytest.raises(ConfigError, match=r"expected a name that ends in \.safe"):
            trained().export(path, form)
    trained().export(tmp_path / "mine", "safetensors")


def test_a_state_dict_has_pytorchs_names_and_copies():
    state = trained().state_dict()
    H, V = 24, trained().config.vocab
    assert {name: array.shape for name, array in state.items()} == {
        "rnn.weight_ih_l0": (H, V),
        "rnn.weight_hh_l0": (H, H),
        "rnn.bias_ih_l0": (H,),
        "rnn.bias_hh_l0": (H,),
        "output.weight": (V, H),
        "output.bias": (V,),
    }
    np.testing.assert_array_equal(
        state["output.weight"], trained().model.output_layer()[0].T
    )
    assert not any(
        np.shares_memory(array, trained().model.params.flat) for array in state.values()
    )


@pytest.mark.parametrize(
    "again", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))]
)
def test_a_copy_is_equal_and_independent(again):
    model = again(trained())
    assert same(model, trained())
    before = trained().model.params.flat.copy()
    model.model.params["output.W"][:] = 0
    assert not same(model, trained())
    np.testing.assert_array_equal(trained().model.params.flat, before)


def blas_limits():
    return [
        library["num_threads"]
        for library in threadpool_info()
        if library["user_api"] == "blas"
    ]


def test_threads_that_write_at_once_write_what_they_write_alone():
    alone = [trained().generate("Ann ", length=3000, seed=seed) for seed in range(4)]
    before, found = blas_limits(), {}
    start = threading.Barrier(4)

    def write(seed):
        start.wait()
        found[seed] = trained().generate("Ann ", length=3000, seed=seed)

    threads = [threading.Thread(target=write, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [found[seed] for seed in range(4)] == alone
    assert blas_limits() == before
