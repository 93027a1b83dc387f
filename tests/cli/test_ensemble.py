"""`charrnn ensemble` on real runs, other commands with its file, and every mistake."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from runner import CliRunner
from texts import TINY, charrnn, sentences

from charrnn.api import load as load_model
from charrnn.cli import main
from charrnn.storage.checkpoint import load

RUNS = {
    "a": ("--hidden", "14", "--seed", "1"),
    "b": ("--hidden", "10", "--cell", "gru", "--seed", "2"),
    "c": ("--hidden", "14", "--seed", "3", "--val-fraction", "0.2"),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with three runs on the same text, two of them alike."""
    folder = tmp_path_factory.mktemp("runs")
    (folder / "lines.txt").write_text(sentences(), encoding="utf-8")
    for name, options in RUNS.items():
        out = ("--out", f"checkpoints/{name}", "--steps", "60", "--eval-every", "20")
        result = charrnn("train", "lines.txt", *TINY, *options, *out, cwd=folder)
        assert result.returncode == 0, result.stderr
    result = charrnn("ensemble", "a", "b", "--out", "both.npz", cwd=folder)
    assert result.returncode == 0, result.stderr
    return folder


@pytest.fixture(autouse=True)
def here(folder, monkeypatch):
    monkeypatch.chdir(folder)


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
    return error.removeprefix("Error: ")


def validation_loss(model):
    return float(re.search(r"validation +([0-9.]+)", invoke("eval", model).stdout)[1])


def test_the_table_has_the_losses_that_eval_prints_and_the_gain():
    result = invoke("ensemble", "a", "checkpoints/b/best.npz")
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["nats/char", "bits/char", "perplexity"]
    losses = []
    for line, name in zip(lines[1:3], "ab", strict=True):
        assert line.split()[0] == name
        losses.append(float(line.split()[-3]))
        assert losses[-1] == validation_loss(name)
    mean = float(lines[3].split()[-3])
    assert lines[3].startswith("their mean ")
    assert mean == validation_loss("both.npz")
    gain = float(re.search(r"by ([0-9.]+) nats", lines[4])[1])
    assert gain == pytest.approx(abs(min(losses) - mean), abs=2e-4)
    better = "Their mean beats" if mean < min(losses) else "The best of them beats"
    assert lines[4].startswith(better)
    assert result.stderr == "nothing was saved; --out FILE saves the ensemble\n"


def test_json_has_the_same_numbers_unrounded():
    found = json.loads(invoke("ensemble", "a", "both.npz", "--json").stdout)
    assert [each["name"] for each in found["members"]] == ["a", "a", "b"]
    assert found["members"][2]["network"] == "gru, 1 x 10 units"
    assert found["members"][0]["nats"] == found["members"][1]["nats"]
    given = [(each["name"], each["networks"]) for each in found["models"]]
    assert given == [("a", 1), ("both", 2)]
    assert found["models"][0]["nats"] == found["members"][0]["nats"]
    best = min(each["nats"] for each in found["models"])
    assert found["gain"] == best - found["mean"]["nats"]


def test_an_ensemble_among_the_models_is_compared_as_a_whole():
    result = invoke("ensemble", "both.npz", "b")
    lines = result.stdout.splitlines()
    losses = [float(line.split()[-3]) for line in lines[1:-1]]
    assert re.match("both +the mean of these 2 ", lines[3])
    assert re.match("their mean +the mean of all 3 ", lines[5])
    assert losses[2] == validation_loss("both.npz")
    gain = float(re.search(r"by ([0-9.]+) nats", lines[-1])[1])
    assert gain == pytest.approx(abs(min(losses[2:4]) - losses[4]), abs=2e-4)
    assert result.stderr.startswith("the same network counts more than once: b and b\n")


def test_it_is_saved_to_a_file_or_a_folder_and_never_over_another(tmp_path):
    out = tmp_path / "e.npz"
    result = invoke("ensemble", "a", "b", "--out", out)
    assert "their mean" in result.stdout
    assert result.stderr == f"wrote {out}\nWrite with it: charrnn sample {out}\n"
    assert "already exists" in refused("ensemble", "a", "b", "--out", out)
    invoke("ensemble", "a", "b", "a", "--out", out, "--force")
    assert len(load(out).model.members) == 3
    invoke("ensemble", "a", "b", "--out", tmp_path / "run")
    assert len(load(tmp_path / "run" / "best.npz").model.members) == 2
    error = refused("ensemble", "a", "b", "--out", tmp_path / "e.safetensors")
    assert "expected a file that ends in .npz, or a folder" in error


def test_without_a_score_nothing_is_read_but_the_models(tmp_path):
    out = tmp_path / "e.npz"
    result = invoke("ensemble", "a", "b", "--no-eval", "--out", out)
    assert result.stdout == ""
    assert out.exists()
    found = invoke("ensemble", "a", "b", "--no-eval", "--json", "--out", out, "--force")
    assert [*json.loads(found.stdout)] == ["members"]
    assert refused("ensemble", "a", "b", "--no-eval", status=2).startswith("--no-eval ")
    options = ("--no-eval", "--text", "lines.txt", "--out", out)
    error = refused("ensemble", "a", "b", *options, status=2)
    assert error == "--text is the text to score on; leave out --no-eval"


def test_a_text_that_has_moved_is_named_or_the_models_are_saved_unscored(tmp_path):
    moved = tmp_path / "moved.txt"
    Path("lines.txt").rename(moved)
    try:
        error = refused("ensemble", "a", "b")
        assert error.startswith("no text to score the models on; name it with --text; ")
        table = invoke("ensemble", "a", "b", "--text", moved).stdout
        assert "their mean" in table
        result = invoke("ensemble", "a", "b", "--out", tmp_path / "e.npz")
        assert "not scored: no text to score the models on" in result.stderr
        assert (tmp_path / "e.npz").exists()
    finally:
        moved.rename("lines.txt")


def test_the_commands_that_take_a_model_take_it():
    assert invoke("sample", "both.npz", "--length", 40, "--seed", 1).stdout
    lines = invoke("sample", "both.npz", "-n", 3, "--length", 9, "--json").stdout
    assert len(lines.splitlines()) == 3
    loops = ("--loop-penalty", 1, "-t", 0, "--stop", "moon", "--length", 50)
    invoke("sample", "both.npz", *loops)
    invoke("compare", "both.npz", "--length", 20)
    assert invoke("next", "Ann ", "both.npz").stdout
    assert "nats/char" in invoke("eval", "both.npz", "lines.txt").stdout
    invoke("eval", "both.npz", "--per", "line", "--text", "Ann mends the moon.")
    assert "bits/char" in invoke("surprise", "both.npz", "lines.txt").stdout
    invoke("novelty", "both.npz", "--sample", "--length", 100)


def test_the_commands_that_need_one_network_say_what_to_do(tmp_path):
    advice = (
        "use one of its networks: in Python, charrnn.load(PATH).member(1).save(FILE)"
    )
    options = (*TINY[6:], "--init-from", "both.npz", "--out", tmp_path / "run")
    error = refused("train", "lines.txt", *options)
    assert error == (
        f"an ensemble of networks of different shapes cannot be trained; {advice}"
    )
    load_model("both.npz").member(1).save("one.npz")  # as the advice says
    invoke("export", "one.npz", "--out", tmp_path / "a.safetensors")
    assert not (tmp_path / "run").exists()
    invoke("ensemble", "a", "b", "--no-eval", "--out", tmp_path / "run")
    error = refused("train", "--resume", "--out", tmp_path / "run")
    assert "no run to resume here; expected a folder with last.npz" in error


def test_models_that_do_not_fit_together_are_refused():
    error = refused("ensemble", "a", "c")
    assert error == (
        "checkpoints/c/best.npz: was validated on 0.2 of the text, checkpoints/a/"
        "best.npz on 0.1; expected models of the same characters, text and validation "
        "part"
    )
    error = refused("ensemble", "a", "shakespeare")
    assert re.match(r".*shakespeare\.npz: knows '.*' and \d+ more, which check", error)


@pytest.mark.parametrize("arguments", [(), ("a",)])
def test_one_model_is_no_ensemble(arguments):
    error = refused("ensemble", *arguments, status=2)
    assert error == "expected two or more models: charrnn ensemble A B"


def test_a_missing_model_is_named():
    assert refused("ensemble", "a", "nowhere.npz").startswith("nowhere.npz: no such fi")


def test_a_network_of_it_is_exported(tmp_path, monkeypatch):
    out = tmp_path / "a.safetensors"
    assert refused("export", "both.npz", "--out", out, status=2) == (
        "an ensemble of 2 networks cannot be exported as one; choose a network: "
        "--network 1 to 2"
    )
    assert refused("export", "both.npz", "--network", 3) == (
        "--network is 3, and the model has 2 networks"
    )
    assert not out.exists()
    invoke("export", "both.npz", "--network", 2, "--out", out)
    invoke("import", out, "--out", tmp_path / "second.npz")
    second = load(Path("both.npz")).model.members[1]
    found = load(tmp_path / "second.npz").model
    assert found.config == second.config
    np.testing.assert_array_equal(found.params.flat, second.params.flat)
    both = Path("both.npz").resolve()
    monkeypatch.chdir(tmp_path)
    assert invoke("export", both, "--network", 1).stdout == "both-1.safetensors\n"


def test_the_units_of_a_network_of_it_are_shown():
    first = invoke("neurons", "both.npz", "lines.txt", "--unit", "0:13", "--json")
    assert "an ensemble of 2 networks; these are the units of network 1" in first.stderr
    assert invoke("neurons", "both.npz").stdout  # on its own validation part
    alone = invoke("neurons", "a", "lines.txt", "--unit", "0:13", "--json")
    assert json.loads(first.stdout) == json.loads(alone.stdout)
    # Only the first network has so many units.
    error = refused(
        "neurons", "both.npz", "lines.txt", "--unit", "0:13", "--network", 2
    )
    assert "there is no unit 0:13" in error
