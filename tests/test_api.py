"""What `import charrnn` offers: train, resume, load and compare."""

import doctest
import inspect
import re
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from places import ROOT
from texts import SMALL, save_trained, sentences, trained

import charrnn
from charrnn.atomic import LOCK
from charrnn.config import ModelConfig, TextConfig, TrainConfig
from charrnn.errors import CharRNNError, CheckpointError, ConfigError, TextError
from charrnn.training.events import Finished, Step, Validation
from charrnn.views.neurons import rank

# Settings that a preset would adapt to a short text are given, so that none is.
BRIEF = SMALL | {"hidden": 8, "steps": 20, "patience": 0}
BRIEF |= {"layers": 1, "dropout": 0.0, "recurrent_dropout": 0.0}


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
    assert charrnn.load().corpus.name == "tinyshakespeare"


def test_every_event_is_passed_on(text):
    events = []
    charrnn.train(text, on_event=events.append, eval_every=10, **BRIEF)
    assert [e.step for e in events if isinstance(e, Step)] == [*range(1, 21)]
    assert [e.step for e in events if isinstance(e, Validation)] == [10, 20]
    assert events[-1] == Finished(20, "done")


@pytest.mark.parametrize("kind", [list, tuple])
def test_several_paths_are_joined(text, kind):
    Path("more.txt").write_text("zzz ZZZ\n" * 9, encoding="utf-8")
    model = charrnn.train(kind(["lines.txt", Path("more.txt")]), **BRIEF)
    assert {"z", "Z"} <= {*model.vocab.characters}
    joined = "joined 2 files, in this order: lines.txt, more.txt"
    assert model.notes == [joined]
    assert [Path(file).name for file in model.corpus.files] == ["lines.txt", "more.txt"]


def test_a_text_itself_is_the_same_as_its_file(text):
    of_file = charrnn.train(text, **BRIEF)
    of_text = charrnn.train(text=sentences(), **BRIEF)
    np.testing.assert_array_equal(of_text.model.params.flat, of_file.model.params.flat)
    assert of_text.corpus.sha256 == of_file.corpus.sha256
    assert of_text.corpus.files == ()


@pytest.mark.parametrize("kind", [list, tuple])
def test_several_texts_are_joined_line_by_line(text, kind):
    documents = kind([sentences(40, seed=1).strip(), sentences(40, seed=2)])
    model = charrnn.train(text=documents, **BRIEF)
    assert model.corpus.characters == len(documents[0]) + 1 + len(documents[1])


@pytest.mark.parametrize(
    ("paths", "given", "error", "said"),
    [
        (None, None, ConfigError, "give the path of a file or folder, or the text"),
        ("lines.txt", "Ann", ConfigError, "paths and text exclude each other"),
        (None, "", TextError, "text is empty"),
        (None, [], TextError, "text is empty"),
        (None, [b"Ann"], TextError, "text holds a bytes; expected a str"),
        (None, "lines.txt", TextError, "the name of a file; give the file as paths"),
        ([], None, TextError, "an empty list of paths"),
        ([5], None, TextError, "int is not a path"),
        ("none.txt", None, TextError, "none.txt: no such file"),
        ("To be,\nor not to be", None, TextError, "no such file.*text="),
        ("To be, or not to be. " * 50, None, TextError, "no such file.*text="),
    ],
)
def test_what_is_not_a_text(text, paths, given, error, said):
    with pytest.raises(error, match=said) as found:
        charrnn.train(paths, text=given, out="run", **BRIEF)
    assert "\n" not in str(found.value)
    assert len(str(found.value)) < 200
    assert not Path("run").exists()


def test_a_text_has_no_encoding_of_its_own():
    with pytest.raises(ConfigError, match="'bytes' but text is a string"):
        charrnn.train(text=sentences(), encoding="bytes", **BRIEF)


def test_settings_reach_the_run(text):
    model = charrnn.train(text, cell="lstm", seed=9, **BRIEF | {"layers": 2})
    assert model.model.config.cell == "lstm"
    assert model.model.config.layers == 2
    recorded = model.training
    assert recorded["seed"] == 9
    assert recorded["plan"]["steps"] == 20


def test_a_preset_gives_way_to_what_is_chosen(text):
    model = charrnn.train(text, preset="quick", **BRIEF | {"hidden": 9})
    assert model.model.config.hidden == 9
    recorded = model.training
    assert (recorded["lr"], recorded["minutes"], recorded["steps"]) == (2e-2, 0, 20)


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
    brief = {k: v for k, v in BRIEF.items() if k not in ("hidden", "layers")}
    assert charrnn.train(text, init_from="first", **brief).model.config == shape
    with pytest.raises(ConfigError, match="hidden is 300, but the model to start"):
        charrnn.train(text, init_from="first", **brief, hidden=300)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
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
            BRIEF | {"optimizer": "adam", "weight_decay": 0.1},
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


@pytest.mark.parametrize("name", ["hiden", "vocab", "end"])
def test_a_setting_that_does_not_exist(text, name):
    with pytest.raises(TypeError, match=f"unexpected keyword argument '{name}'"):
        charrnn.train(text, **{name: 8})


def test_train_has_every_setting_as_an_argument_of_its_own():
    settings = {
        field.name: field.type
        for config in (ModelConfig, TextConfig, TrainConfig)
        for field in fields(config)
        if field.name not in ("vocab", "end")
    }
    others = {"paths", "text", "progress", "out", "force", "preset"}
    others |= {"init_from", "on_event", "glob", "val", "mpi"}
    parameters = inspect.signature(charrnn.train).parameters
    assert {*parameters} == {*settings} | others
    for name, kind in settings.items():
        parameter = parameters[name]
        assert parameter.default is None
        assert parameter.kind is inspect.Parameter.KEYWORD_ONLY
        assert parameter.annotation == kind | None


def test_the_docstring_of_train_explains_every_argument():
    names = [
        name
        for line in inspect.getdoc(charrnn.train).splitlines()
        if " : " in line
        for name in line.partition(" : ")[0].split(", ")
    ]
    assert names == [*inspect.signature(charrnn.train).parameters]


def test_numpy_numbers_and_paths_are_settings(text):
    plain = charrnn.train(text, lr=0.25, **BRIEF)
    numbers = {
        name: np.array(value)[()] if isinstance(value, int | float) else value
        for name, value in BRIEF.items()
    }
    model = charrnn.train(Path(text), lr=np.float32(0.25), out=Path("run"), **numbers)
    np.testing.assert_array_equal(model.model.params.flat, plain.model.params.flat)
    assert charrnn.load(Path("run")).training == plain.training


def test_training_goes_on_from_a_model_in_memory(text):
    first = charrnn.train(text, **BRIEF)
    brief = {k: v for k, v in BRIEF.items() if k not in ("hidden", "layers")}
    grown = charrnn.train(text=sentences().replace("a", "ä"), init_from=first, **brief)
    assert "ä" in grown.vocab
    assert grown.notes == ["added 1 characters to the vocabulary"]


def test_a_finished_run_is_lengthened(text):
    charrnn.train(text, out="run", schedule="constant", **BRIEF)
    longer = charrnn.resume("run", steps=np.int64(30))
    assert longer.history[-1]["step"] == 30
    with pytest.raises(ConfigError, match="already at step 30"):
        charrnn.resume("run", steps=25)
    assert charrnn.resume("run", epochs=2.0).history[-1]["step"] > 30


def test_a_run_on_a_string_is_resumed_with_that_string(text):
    documents = [sentences(40, seed=1).strip(), sentences(40, seed=2)]
    charrnn.train(text=documents, out="run", **BRIEF)
    with pytest.raises(TextError, match=r"no file is recorded .* or text="):
        charrnn.resume("run", steps=30)
    with pytest.raises(TextError, match="SHA-256"):
        charrnn.resume("run", text=sentences(), steps=30)
    assert charrnn.resume("run", text=documents, steps=30).history[-1]["step"] == 30


def test_a_run_whose_text_has_moved_is_resumed(text):
    charrnn.train(text, out="run", **BRIEF)
    text.rename("moved.txt")
    with pytest.raises(TextError, match=r"no such file.*charrnn.resume, paths=…"):
        charrnn.resume("run", steps=30)
    assert charrnn.resume("run", "moved.txt", steps=30).history[-1]["step"] == 30


def test_a_folder_without_a_run_is_not_resumed(tmp_path):
    with pytest.raises(CheckpointError, match="no run to resume"):
        charrnn.resume(tmp_path)


def test_load_finds_a_run_by_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_trained(tmp_path / "checkpoints" / "mine")
    assert charrnn.load("mine").path == Path("checkpoints/mine/best.npz")
    with pytest.raises(CheckpointError, match="other: no such file"):
        charrnn.load("other")
    save_trained(tmp_path / "checkpoints" / "shakespeare")
    assert charrnn.load("shakespeare").corpus.name == "text"


def test_compare_is_what_its_columns_are_alone():
    found = charrnn.compare(trained(), "Ann ", (0.3, 0.9), length=50, seed=3)
    for column in found.columns:
        alone = trained().generate(
            "Ann ", length=50, seed=3, temperature=column.temperature
        )
        assert "Ann " + column.text == alone
    assert found.calibrated is None  # no text to be had


def test_compare_takes_an_array_and_a_text():
    found = charrnn.compare(
        trained(), "Ann ", np.linspace(0.5, 1, 3), length=50, text=sentences(300)
    )
    assert [column.temperature for column in found.columns] == [0.5, 0.75, 1.0]
    assert all(0 <= column.known_words <= 1 for column in found.columns)
    assert found.calibrated > 0
    with pytest.raises(TextError, match="SHA-256"):
        charrnn.compare(trained(), text=sentences(20), length=5)


def test_compare_writes_several_texts_and_a_page(tmp_path):
    found = charrnn.compare(trained(), "Ann ", (0.3, 0.9), length=20, n=2, seed=1)
    texts = trained().generate("Ann ", length=20, n=2, seed=1, temperature=0.9)
    assert ["Ann " + each.text for each in found.samples[1]] == texts
    path = found.save_html(tmp_path / "page.html")
    assert texts[1][4:] in path.read_text(encoding="utf-8")


def test_compare_reads_the_text_of_a_checkpoint(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = save_trained(tmp_path / "checkpoints" / "mine")
    assert charrnn.compare(length=20).calibrated > 0
    (folder / "lines.txt").rename("moved.txt")
    assert charrnn.compare("mine", length=20).calibrated is None
    assert charrnn.compare("mine", length=20, paths="moved.txt").calibrated > 0
    with pytest.raises(TextError, match="no such file"):
        charrnn.compare("mine", length=20, paths="lines.txt")


def test_compare_without_a_seed_has_another_each_time():
    seeds = {charrnn.compare(trained(), length=1).seed for _ in range(4)}
    assert len(seeds) == 4


def test_every_error_has_one_base():
    for kind in (CheckpointError, ConfigError, TextError):
        assert issubclass(kind, CharRNNError)


def test_an_unknown_name_of_the_package():
    with pytest.raises(AttributeError, match="no attribute 'trian'"):
        charrnn.trian  # noqa: B018


def test_every_name_is_there_and_listed():
    assert dir(charrnn) == sorted(charrnn.__all__)
    for name in charrnn.__all__:
        assert getattr(charrnn, name) is not None
    for name in ("train", "resume", "load", "compare"):
        assert inspect.getdoc(getattr(charrnn, name))
    errors = [kind for kind in vars(charrnn.errors).values() if inspect.isclass(kind)]
    assert {kind.__name__ for kind in errors} <= {*charrnn.__all__}


def quick(monkeypatch):
    """Let `train` take a moment, whatever it is asked for."""
    train = charrnn.train

    def brief(*args, minutes=None, steps=None, **settings):
        return train(*args, **BRIEF | settings)

    monkeypatch.setattr(charrnn, "train", brief)


def test_the_lines_of_the_module_s_docstring_run(text, monkeypatch, capsys):
    Path("my.txt").write_text(sentences() + "ROMEO:\n", encoding="utf-8")
    quick(monkeypatch)
    lines = [
        line.removeprefix(">>> ")
        for line in charrnn.__doc__.splitlines()
        if line.startswith(">>> ")
    ]
    names = {}
    exec("\n".join(lines), names)  # our own docstring
    assert capsys.readouterr().out.startswith("ROMEO:")
    assert names["model"].path == Path("checkpoints/my/best.npz")


def test_the_readmes_lines_run(text, monkeypatch, capsys):
    Path("my.txt").write_text(sentences() + "ROMEO:\n", encoding="utf-8")
    quick(monkeypatch)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    (code,) = [block for block in blocks if "charrnn.train(" in block]
    exec(code, {})  # our own README
    assert "ROMEO:" in capsys.readouterr().out


def test_the_example_of_a_language_model_is_true(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    found = doctest.DocTestFinder(recurse=False).find(charrnn.LanguageModel)
    (example,) = [test for test in found if test.examples]
    assert doctest.DocTestRunner().run(example).failed == 0


def test_neurons_follow_what_the_ranking_of_the_view_finds():
    text = sentences(60)
    found = charrnn.neurons(trained(), text)
    prime = trained().encode_prime("")
    ids = np.concatenate([prime, trained().encode(text)])
    assert found.to_dict() == rank(trained(), ids, start=len(prime)).to_dict()
    with pytest.raises(ConfigError, match="no cell state"):
        charrnn.neurons(trained(), text, cell_state=True)
