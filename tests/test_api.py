"""What `import charrnn` offers, as the README shows it."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from texts import SMALL, environment, save_trained, sentences, trained

import charrnn
from charrnn.atomic import LOCK
from charrnn.errors import CharRNNError, CheckpointError, ConfigError, TextError
from charrnn.training.events import Finished, Step, Validation

BRIEF = SMALL | {"hidden": 8, "steps": 20}


@pytest.fixture
def text(tmp_path, monkeypatch):
    """Return the path of a text, in the working directory."""
    monkeypatch.chdir(tmp_path)
    path = Path("lines.txt")
    path.write_text(sentences(), encoding="utf-8")
    return path


def test_three_lines_train_and_write(text):
    model = charrnn.train("lines.txt", **BRIEF)
    written = model.generate("Ann ", length=30, temperature=0.8, seed=1)
    assert len(written) == 34
    assert [path.name for path in Path().iterdir()] == ["lines.txt"]


def test_a_folder_keeps_the_run_and_load_gives_it_back(text):
    model = charrnn.train(text, out="kept/run", **BRIEF)
    files = {path.name for path in Path("kept/run").iterdir()}
    assert files - {LOCK} == {"best.npz", "history.jsonl", "last.npz"}
    loaded = charrnn.load("kept/run")
    np.testing.assert_array_equal(loaded.model.params.flat, model.model.params.flat)
    assert loaded.path == Path("kept/run/best.npz")
    again = charrnn.load("kept/run/best.npz").generate("Ann ", seed=1)
    assert again == model.generate("Ann ", seed=1)


def test_load_without_a_path_takes_the_newest_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_trained(tmp_path / "checkpoints" / "lines")
    assert charrnn.load().generate("Ann ", seed=1) == trained().generate("Ann ", seed=1)


def test_load_without_any_run_is_the_shipped_model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert charrnn.load().checkpoint.corpus.name == "tinyshakespeare"


def test_every_record_is_passed_on(text):
    records = []
    charrnn.train(text, on_event=records.append, eval_every=10, **BRIEF)
    assert [r.step for r in records if isinstance(r, Step)] == [*range(1, 21)]
    assert [r.step for r in records if isinstance(r, Validation)] == [10, 20]
    assert records[-1] == Finished(20, "done")


def test_several_sources_are_joined(text):
    Path("more.txt").write_text("zzz ZZZ\n" * 9, encoding="utf-8")
    model = charrnn.train([text, Path("more.txt")], **BRIEF)
    assert "z" in model.vocab
    assert "Z" in model.vocab


def test_settings_reach_the_run(text):
    model = charrnn.train(text, cell="lstm", layers=2, seed=9, **BRIEF)
    assert model.model.config.cell == "lstm"
    assert model.model.config.layers == 2
    recorded = model.checkpoint.train
    assert recorded["seed"] == 9
    assert recorded["plan"]["steps"] == 20


def test_a_preset_gives_way_to_what_is_chosen(text):
    model = charrnn.train(text, preset="quick", **BRIEF | {"hidden": 9})
    assert model.model.config.hidden == 9
    recorded = model.checkpoint.train
    assert (recorded["lr"], recorded["minutes"], recorded["steps"]) == (7e-3, 0, 20)


def test_training_goes_on_from_other_weights(text):
    charrnn.train(text, out="first", **BRIEF)
    Path("new.txt").write_text(sentences().replace("a", "ä"), encoding="utf-8")
    grown = charrnn.train("new.txt", init_from="first", **BRIEF)
    assert set(grown.vocab.characters) == {*sentences(), "ä"}


def test_characters_and_bytes_do_not_mix(text):
    charrnn.train(text, out="characters", **BRIEF)
    charrnn.train(text, out="bytes", encoding="bytes", **BRIEF)
    with pytest.raises(ConfigError, match=r"read characters, .* as bytes; leave out"):
        charrnn.train(text, init_from="characters", encoding="bytes", **BRIEF)
    with pytest.raises(
        ConfigError, match=r"read bytes, .* as characters; give --bytes"
    ):
        charrnn.train(text, init_from="bytes", **BRIEF)
    again = charrnn.train(text, init_from="bytes", encoding="bytes", **BRIEF)
    assert len(again.vocab) == 256


def test_weights_to_start_from_keep_their_shape_or_the_setting_is_refused(text):
    charrnn.train(text, out="first", **BRIEF)
    shape = charrnn.load("first").model.config
    brief = {k: v for k, v in BRIEF.items() if k != "hidden"}
    assert charrnn.train(text, init_from="first", **brief).model.config == shape
    with pytest.raises(ConfigError, match="hidden is 300, but the network to start"):
        charrnn.train(text, init_from="first", **brief, hidden=300)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"hiden": 8}, "unknown settings: hiden"),
        ({"vocab": 5}, "vocab"),
        ({"preset": "huge"}, "huge"),
        ({"hidden": 0}, "hidden is 0; expected at least 1"),
        ({"hidden": 8.5}, "hidden"),
        ({"cell": "elman"}, "cell is 'elman'; expected one of rnn, gru, lstm"),
        ({"optimizer": "adma"}, "optimizer is 'adma'; expected one of adam"),
        ({"steps": 5, "epochs": 2}, "exclude each other"),
        ({"steps": "5"}, "steps is '5'; expected a whole number"),
        ({"hidden": "64"}, "hidden is '64'; expected a whole number"),
        ({"lr": -1.0}, "lr is -1"),
        ({"lr": float("nan")}, "lr is nan"),
        ({"val_fraction": 0.95}, "val_fraction"),
        (
            BRIEF | {"weight_decay": 0.1},
            "weight_decay is 0.1 but the optimizer is adam",
        ),
    ],
)
def test_a_setting_that_makes_no_sense_is_one_line(text, settings, said):
    with pytest.raises(ConfigError, match=said) as error:
        charrnn.train(text, out="run", **settings)
    assert "\n" not in str(error.value)
    assert not Path("run").exists()


def test_a_run_is_not_overwritten_without_force(text):
    charrnn.train(text, out="run", **BRIEF)
    before = Path("run/best.npz").read_bytes()
    with pytest.raises(CheckpointError, match="already holds a run"):
        charrnn.train(text, out="run", **BRIEF)
    assert Path("run/best.npz").read_bytes() == before
    charrnn.train(text, out="run", force=True, seed=2, **BRIEF)
    assert Path("run/best.npz").read_bytes() != before


@pytest.mark.parametrize(
    "source", ["none.txt", "To be, or not to be: that is the question. " * 20]
)
def test_a_text_that_is_not_there(text, source):
    with pytest.raises(TextError, match="no such file"):
        charrnn.train(source)


def test_every_error_has_one_base():
    for kind in (CheckpointError, ConfigError, TextError):
        assert issubclass(kind, CharRNNError)


def test_an_unknown_name_of_the_package():
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        charrnn.trian  # noqa: B018


def test_importing_the_package_loads_no_numpy():
    script = "import charrnn, sys, json; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        env=environment(),
    )
    loaded = json.loads(done.stdout)
    assert "charrnn" in loaded
    assert not {"numpy", "click", "tqdm", "requests"} & {*loaded}
