"""`charrnn export` and `charrnn import`: to PyTorch and back, and every mistake."""

import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
from places import ROOT
from runner import CliRunner
from texts import charrnn, save_trained, sentences, small_run, trained

from charrnn.atomic import LOCK
from charrnn.cli import main
from charrnn.config import CELLS
from charrnn.storage import safetensors_file, torch_file
from charrnn.storage.checkpoint import load, save
from charrnn.storage.torch_weights import SUFFIXES
from charrnn.text.corpus_info import CorpusInfo

FORMATS = ("safetensors", "torch")


@pytest.fixture(autouse=True)
def run(tmp_path, monkeypatch):
    """Work in a folder whose newest run is the trained model."""
    monkeypatch.chdir(tmp_path)
    return save_trained(Path("checkpoints/lines").absolute())


@pytest.fixture(params=FORMATS)
def form(request):
    """Return each format that can be written here."""
    if request.param == "torch":
        pytest.importorskip("torch", reason="PyTorch is not installed")
    return request.param


def invoke(*arguments, status=0):
    result = CliRunner().invoke(main, [*map(str, arguments)])
    assert result.exit_code == status, (result.output, result.exception)
    assert isinstance(result.exception, SystemExit | None), result.exception
    return result


def refused(*arguments, status=1):
    result = invoke(*arguments, status=status)
    assert result.stdout == ""
    error = result.stderr.strip().split("\n")[-1]
    assert error.startswith("Error: ")
    return error


def plain(path):
    """Write the exported weights anew as any other program would have them."""
    invoke("export", "checkpoints/lines", "--out", path)
    path = Path(path)
    safetensors_file.save(path, safetensors_file.load(path)[0], {"format": "pt"})


def test_the_file_has_the_runs_name_and_its_path_is_all_of_standard_output(form):
    result = invoke("export", "--format", form)
    name = "lines" + SUFFIXES[form]
    assert result.stdout == f"{name}\n"
    said = result.stderr.split("\n")
    assert said[0] == "checkpoint checkpoints/lines/best.npz"
    assert said[1].startswith("In PyTorch: ")
    assert f"('{name}'" in said[1]
    assert Path(name).is_file()


def test_safetensors_is_the_default():
    assert invoke("export", "checkpoints/lines").stdout == "lines.safetensors\n"


def test_the_suffix_of_out_chooses_the_format():
    pytest.importorskip("torch", reason="PyTorch is not installed")
    invoke("export", "--out", "a.pt")
    assert zipfile.is_zipfile("a.pt")
    invoke("export", "--out", "b.pt", "--format", "safetensors")
    assert not zipfile.is_zipfile("b.pt")


@pytest.mark.parametrize(
    ("source", "name"),
    [("best.npz", "lines"), ("../lines/last.npz", "lines"), ("mine.npz", "mine")],
)
def test_a_file_is_named_after_its_run_or_itself(run, monkeypatch, source, name):
    monkeypatch.chdir(run)
    save(trained().to_checkpoint(), run / Path(source).name)
    assert invoke("export", source).stdout == f"{name}.safetensors\n"


@pytest.mark.parametrize("cell", CELLS)
def test_there_and_back_is_the_same_checkpoint(cell, form):
    model = small_run(shape={"cell": cell, "layers": 2, "hidden": 6})
    for _ in model.events():
        pass
    save(model.best_checkpoint(), Path("two.npz"))
    invoke("export", "two.npz", "--format", form, "--out", "weights")
    result = invoke("import", "weights", "--out", "back")
    assert result.stdout == "back\n"
    assert result.stderr == "Write with it: charrnn sample back\n"
    there, back = load(Path("two.npz")), load(Path("back/best.npz"))
    assert back.model.params.flat.tobytes() == there.model.params.flat.tobytes()
    assert back.model.config == there.model.config
    assert back.vocab == there.vocab
    for name in ("corpus", "split", "train", "history"):
        assert getattr(back, name) == getattr(there, name)
    sampled = ("--seed", 1, "--length", 40)
    assert (
        invoke("sample", "back", *sampled).stdout
        == invoke("sample", "two.npz", *sampled).stdout
    )


def test_what_is_imported_is_scored_on_its_own_text_if_it_is_named():
    # What is exported may be published, so it does not tell where the text is.
    expected = invoke("eval", "checkpoints/lines").stdout
    invoke("export")
    assert bytes(Path.cwd()) not in Path("lines.safetensors").read_bytes()
    invoke("import", "lines.safetensors", "--out", "back")
    assert invoke("eval", "back", "checkpoints/lines/lines.txt").stdout == expected


def test_without_out_an_import_is_the_newest_run():
    invoke("export", "--out", "other.safetensors")
    assert invoke("import", "other.safetensors").stdout == "checkpoints/other\n"
    said = invoke("sample", "--seed", 1, "--length", 5).stderr
    assert said == "checkpoint checkpoints/other/best.npz\nseed 1\n"
    again = invoke("import", "other.safetensors")
    assert again.stdout == "checkpoints/other-2\n"


def test_an_import_into_a_file():
    invoke("export")
    assert invoke("import", "lines.safetensors", "--out", "a/b.npz").stdout == (
        "a/b.npz\n"
    )
    found, exported = load(Path("a/b.npz")).model, trained().model
    assert exported.temperature != 1 == found.temperature
    for name, weights in exported.params.items():
        if not name.startswith("output."):
            np.testing.assert_array_equal(found.params[name], weights)
    pairs = zip(found.output_layer(), exported.output_layer(), strict=True)
    for weights, expected in pairs:  # the weights contain the temperature
        np.testing.assert_array_equal(weights, expected)


def test_the_content_tells_the_format_and_the_suffix_does_not(form):
    invoke("export", "--format", form, "--out", "weights.bin")
    for name in ("weights.pt", "weights.safetensors"):
        Path("weights.bin").replace(name)
        invoke("import", name, "--out", name.replace(".", "-"))
        Path(name).replace("weights.bin")


def test_nothing_is_overwritten_without_force(form, run):
    out = Path("lines" + SUFFIXES[form])
    out.write_text("mine")
    error = refused("export", "--format", form)
    assert f"{out}: already exists" in error
    assert "--force" in error
    assert out.read_text() == "mine"
    invoke("export", "--format", form, "--force")

    for taken in (run, "taken.npz"):
        Path("taken.npz").write_text("mine")
        before = (run / "best.npz").read_bytes()
        error = refused("import", out, "--out", taken)
        assert f"{taken}: " in error
        assert "replace it with --force" in error
        assert Path("taken.npz").read_text() == "mine"
        assert (run / "best.npz").read_bytes() == before
        assert invoke("import", out, "--out", taken, "--force").stdout == f"{taken}\n"
    assert load(Path("taken.npz")).vocab == trained().vocab


def test_force_leaves_nothing_of_the_run_that_was_there(run):
    (run / "last.npz").write_text("old")
    (run / "history.jsonl").write_text("old")
    (run / "notes").write_text("mine")
    invoke("export")
    invoke("import", "lines.safetensors", "--out", run, "--force")
    left = {p.name for p in run.iterdir()}
    assert left - {LOCK} == {"best.npz", "notes", "lines.txt"}


def test_an_import_that_fails_leaves_what_was_there(run):
    before = (run / "best.npz").read_bytes()
    Path("bad").write_bytes(b"\x08\0\0\0\0\0\0\0{")
    refused("import", "bad", "--out", run, "--force")
    refused("import", "bad", "--out", "new")
    assert (run / "best.npz").read_bytes() == before
    assert not Path("new").exists()


def test_an_empty_folder_is_not_in_the_way():
    Path("new").mkdir()
    invoke("export")
    invoke("import", "lines.safetensors", "--out", "new")


def test_weights_without_a_vocabulary_take_one_from_a_text(run):
    plain("plain.safetensors")
    assert "--vocab" in refused("import", "plain.safetensors", "--out", "back")
    text = ("--vocab", run / "lines.txt")
    invoke("import", "plain.safetensors", *text, "--out", "back")
    sampled = ("--prime", "Ann ", "--seed", 1, "--length", 60)
    expected = invoke("sample", run, *sampled).stdout
    assert invoke("sample", "back", *sampled).stdout == expected
    assert load(Path("back/best.npz")).corpus == CorpusInfo()


def test_what_was_imported_without_its_text_can_be_scored_and_compared(run):
    plain("plain.safetensors")
    text = ("--vocab", run / "lines.txt")
    invoke("import", "plain.safetensors", *text, "--out", "back")
    assert "nats/char" in invoke("eval", "back", run / "lines.txt").stdout
    assert "temp 0.8" in invoke("compare", "back", "--length", 20, "--seed", 1).stdout
    assert "name one" in refused("eval", "back")


def test_a_vocabulary_in_another_encoding(run):
    plain("plain.safetensors")
    Path("lines16.txt").write_text(sentences(300), encoding="utf-16")
    text = ("--vocab", "lines16.txt")
    assert "--encoding" in refused("import", "plain.safetensors", *text, "--out", "b")
    invoke("import", "plain.safetensors", *text, "--encoding", "utf-16", "--out", "b")
    assert load(Path("b/best.npz")).vocab == trained().vocab


def test_mistakes_are_one_line():
    assert "no such file" in refused("import", "none.safetensors", "--out", "b")
    assert "is a directory" in refused("export", "--out", ".", status=2)
    assert "'onnx' is not one of" in refused("export", "--format", "onnx", status=2)
    assert "no such file" in refused("export", "none.npz")
    assert "needs no import" in refused(
        "import", "checkpoints/lines/best.npz", "--out", "b"
    )
    invoke("export")
    assert "leave out --vocab" in refused(
        *("import", "lines.safetensors", "--out", "b"),
        *("--vocab", "checkpoints/lines/lines.txt"),
    )
    Path("short.txt").write_text("abc")
    plain("plain.safetensors")
    error = refused("import", "plain.safetensors", "--vocab", "short.txt", "--out", "b")
    assert "weights for 33 characters, but short has 3 distinct ones" in error
    assert "no such file" in refused(
        "import", "plain.safetensors", "--vocab", "none.txt", "--out", "b"
    )
    assert "cannot be written" in refused("export", "--out", "short.txt/a")
    assert "cannot be written" in refused(
        "import", "lines.safetensors", "--out", "short.txt"
    )


def test_a_damaged_file_is_one_line_and_no_traceback(tmp_path):
    invoke("export")
    data = Path("lines.safetensors").read_bytes()
    Path("lines.safetensors").write_bytes(data[:-5])
    done = charrnn("import", "lines.safetensors", "--out", "b", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("Error: lines.safetensors: not a whole safetensors")
    assert done.stderr.count("\n") == 1
    assert not Path("b").exists()


def test_without_pytorch_its_format_says_what_to_install(monkeypatch):
    monkeypatch.setattr(torch_file, "find_spec", lambda name: None)
    error = refused("export", "--format", "torch")
    assert 'pip install "charrnn[torch]"' in error
    assert "--format safetensors" in error
    assert not Path("lines.pt").exists()


@pytest.mark.parametrize("form", FORMATS)
def test_the_lines_in_the_documents_give_the_same_logits_in_pytorch(form):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    page = (ROOT / "docs" / "pytorch.md").read_text(encoding="utf-8")
    section = page.split("## Use the weights in PyTorch")[1].split("\n## ")[0]
    code = re.search(r"```python\n(.*?)```", section, re.DOTALL)[1]
    loading = 'load_file("my.safetensors")'
    assert loading in code
    if form == "torch":
        result = invoke("export", "--format", form, "--out", "my.pt")
        said = result.stderr.strip().split("In PyTorch: ")[1]
        code = code.replace("from safetensors.torch import load_file\n", "")
        code = code.replace(loading, said)
    else:
        invoke("export", "--out", "my.safetensors")
    T, N = 9, 3
    model = trained().model
    ids = np.random.default_rng(1).integers(0, model.config.vocab, (T, N))
    names = {"ids": torch.from_numpy(ids)}
    exec(code, names)  # our own page
    mine, _ = model.forward(
        ids.astype(np.uint8), model.zero_state(N), model.workspace(T, N)
    )
    assert names["logits"].shape == (T, N, model.config.vocab)
    np.testing.assert_allclose(names["logits"].detach().numpy(), mine, atol=1e-5)
