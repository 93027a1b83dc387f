"""The model that comes with the package: its file, its card, and when it is used."""

import hashlib
import json
import re
import shutil
import zipfile

import numpy as np
import pytest
from runner import CliRunner
from texts import charrnn, save_trained

from charrnn.cli import main
from charrnn.errors import CheckpointError
from charrnn.evaluation.loss import evaluate
from charrnn.nn.kernels import resolve
from charrnn.storage.checkpoint import load
from charrnn.storage.run_folder import PRETRAINED, find_checkpoint, newest_run
from charrnn.text.download.registry import CORPORA
from charrnn.text.reading import read_corpus

CARD = PRETRAINED.with_name("README.md")
SAID = "using the Shakespeare model that comes with charrnn"


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def run(*arguments):
    result = CliRunner().invoke(main, [*map(str, arguments)])
    assert result.exit_code == 0, (result.output, result.exception)
    return result


def figure(name):
    """Return a number of the card's table by the name of its row."""
    row = re.search(rf"^\| {name} \| ([\d.,]+)", CARD.read_text("utf-8"), re.MULTILINE)
    return float(row[1].replace(",", ""))


def test_it_is_small_half_precise_and_safe_to_open():
    assert PRETRAINED.stat().st_size <= 4_000_000
    with np.load(PRETRAINED, allow_pickle=False) as arrays:
        kinds = {name: arrays[name].dtype for name in arrays.files if name != "header"}
    assert set(kinds.values()) == {np.dtype(np.float16)}


def test_it_says_what_it_learned_and_names_no_place_of_its_makers():
    checkpoint = load(PRETRAINED)
    assert checkpoint.corpus.sha256 == CORPORA["tinyshakespeare"].sha256
    assert checkpoint.corpus.files == ("data/tinyshakespeare.txt",)
    with zipfile.ZipFile(PRETRAINED) as archive:
        header = archive.read("header.npy")
    assert b'"/' not in header


def test_its_card_has_its_digest_and_figures():
    card = CARD.read_text("utf-8")
    assert hashlib.sha256(PRETRAINED.read_bytes()).hexdigest() in card
    assert CORPORA["tinyshakespeare"].sha256 in card
    checkpoint = load(PRETRAINED)
    assert figure("parameters") == checkpoint.model.params.flat.size
    best = min(val for _, _, val in checkpoint.history)
    # Validations know no temperature.
    assert figure("the same, otherwise calibrated") == pytest.approx(best, abs=2e-4)
    assert figure("own temperature") == pytest.approx(
        checkpoint.model.members[0].temperature, abs=0.005
    )


@pytest.mark.slow
def test_its_loss_is_what_the_card_says(tinyshakespeare):
    checkpoint = load(PRETRAINED)
    corpus = read_corpus([tinyshakespeare])
    _, val = corpus.split(
        corpus.ids_in(checkpoint.vocab), checkpoint.split.val_fraction
    )
    found = evaluate(checkpoint.model.copy(resolve("auto")), val).nats
    assert found == pytest.approx(figure("validation loss"), abs=2e-4)


def test_it_writes_shakespeare_in_an_empty_folder(tmp_path):
    result = charrnn(
        "sample", "--prime", "ROMEO:", "--length", 300, "--seed", 1, cwd=tmp_path
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("ROMEO:\n")
    assert result.stderr == f"no run in checkpoints/; {SAID}\nseed 1\n"
    known = {"the", "and", "to", "of", "you", "my", "that", "not", "is", "a"}
    words = result.stdout.lower().split()
    assert sum(word in known for word in words) > len(words) / 10
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "arguments",
    [
        ("next", "ROME"),
        ("compare", "--length", 20, "--seed", 1),
        ("sample", "--length", 20, "--seed", 1),
    ],
)
def test_every_command_uses_it_where_there_is_no_run(arguments):
    assert f"no run in checkpoints/; {SAID}" in run(*arguments).stderr


def test_it_knows_how_romeo_goes_on():
    assert run("next", "ROME", "--top", 1).stdout.split()[2] == "'O'"


def test_it_scores_another_text(tmp_path):
    text = tmp_path / "mine.txt"
    text.write_text("What light through yonder window breaks?\n" * 60, "utf-8")
    result = run("eval", "shakespeare", text, "--json")
    assert SAID in result.stderr
    assert 0 < json.loads(result.stdout)["nats"] < 4


def test_a_run_comes_first_and_its_name_still_finds_it(tmp_path):
    folder = save_trained(tmp_path / "checkpoints" / "mine")
    result = run("sample", "--length", 5, "--seed", 1)
    assert SAID not in result.stderr
    assert find_checkpoint().resolve() == folder / "best.npz"
    result = run("sample", "shakespeare", "--length", 5, "--seed", 1)
    assert f"{SAID}\nseed 1\n" == result.stderr


def test_a_folder_of_that_name_is_that_folder(tmp_path):
    shutil.move(save_trained(tmp_path / "checkpoints" / "mine"), "shakespeare")
    assert find_checkpoint("shakespeare").resolve() == tmp_path / "shakespeare/best.npz"


def test_it_is_no_run_to_resume():
    with pytest.raises(CheckpointError, match="no run to resume in checkpoints/"):
        newest_run()
