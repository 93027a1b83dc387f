"""Texts as users bring them: documents, validation texts, texts for checkpoints."""

import json
import os
from pathlib import Path

import pytest
from runner import CliRunner
from texts import TINY, sentences

from charrnn.api import load
from charrnn.cli import main

BRIEF = (*TINY, "--steps", "4")
STEPS = ("--steps", "60", "--lr", "0.02")  # enough for a calibrated temperature
NAMES = [f"{a}{b}{c}" for a in "bdgkl" for b in "aeiou" for c in "lmnr"]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Work in an empty folder that holds a text and a list."""
    monkeypatch.chdir(tmp_path)
    Path("lines.txt").write_text(sentences())
    Path("names.txt").write_text("\n".join(NAMES) + "\n")


def invoke(*arguments, status=0, input=None):
    result = CliRunner().invoke(main, [*map(str, arguments)], input=input)
    assert result.exit_code == status, (result.output, result.exception)
    assert isinstance(result.exception, SystemExit | None), result.exception
    return result


def train(*arguments, status=0):
    return invoke("train", *arguments, *BRIEF, status=status)


def refused(*arguments, status=1):
    return invoke(*arguments, status=status).stderr.strip().split("\n")[-1]


def scores(*arguments):
    return json.loads(invoke("eval", *arguments, "--json").stdout)


def test_a_separator_may_have_escapes():
    Path("verses.txt").write_text("one\nfish\n\ntwo\nfish\n\nred fish\n\n" * 9)
    result = train("verses.txt", "--documents", r"\n\n", "--out", "run")
    assert "verses: 27 documents, " in result.stderr
    assert "does not occur" not in result.stderr
    assert load("run").corpus.documents == "\n\n"


def test_a_separator_that_does_not_occur_is_noted():
    result = train("names.txt", "--documents", "%%", "--val-fraction", 0)
    assert "the separator '%%' does not occur: every file is one document" in (
        result.stderr
    )
    result = train("names.txt", "--documents", "lines")
    assert "does not occur" not in result.stderr


def test_one_document_is_learned_without_a_validation_part():
    Path("one.txt").write_text("one fish\n")
    error = invoke("train", "one.txt", "--documents", "lines", *BRIEF, status=1).stderr
    assert "one: 1 document, 9 characters" not in error  # the marks count
    assert "one document, which is never divided" in error
    assert "--val-fraction 0" in error
    train("one.txt", "--documents", "lines", "--val-fraction", 0, "--out", "run")
    assert invoke("sample", "run", "-n", 3, "--seed", 1).stdout.count("\n") == 3


def test_of_two_documents_one_is_held_out():
    Path("two.txt").write_text("one fish\ntwo fish\n")
    train("two.txt", "--documents", "lines", "--out", "run")
    assert "validation" in invoke("eval", "run").stdout


def test_the_list_of_a_run_is_split_as_the_run_split_it():
    train("names.txt", "--documents", "lines", "--seed", 7, "--out", "run")
    assert scores("run") == scores("run", "names.txt")


def test_documents_are_scored_in_the_order_of_their_file():
    train("names.txt", "--documents", "lines", "--out", "run")
    scored = "eval", "run", "names.txt", "--per", "document", "--json"
    *each, whole = map(json.loads, invoke(*scored).stdout.splitlines())
    assert [(one["number"], one["text"]) for one in each] == [*enumerate(NAMES, 1)]
    total = sum(one["nats"] * one["characters"] for one in each)
    assert total / whole["characters"] == pytest.approx(whole["nats"], rel=1e-6)
    for one in each[::33]:
        alone = invoke("eval", "run", "--text", one["text"], "--json").stdout
        assert json.loads(alone)["nats"] == pytest.approx(one["nats"], rel=1e-5)


def test_a_resumed_run_names_as_many_documents_as_before():
    train("names.txt", "--documents", "lines", "--out", "run")
    result = invoke("train", "--resume", "--out", "run", "--steps", 6)
    assert "names: 100 documents, 401 characters" in result.stderr


def test_weights_that_learned_documents_need_documents():
    train("names.txt", "--documents", "lines", "--out", "run")
    new = ("--init-from", "run", "--steps", 3, "--threads", 1, "--kernels", "numpy")
    error = refused("train", "lines.txt", *new)
    assert "learned documents, and lines is read as one long text" in error
    assert "--documents" in error
    invoke("train", "lines.txt", *new, "--documents", "lines")


def test_a_run_without_validation_scores_its_text_if_it_is_named():
    train("lines.txt", "--val-fraction", 0, "--out", "run")
    assert "trained on all of it" in refused("eval", "run")
    assert scores("run", "lines.txt")["characters"] == len(sentences())


@pytest.fixture
def validated():
    """Train a run that is validated on another text."""
    Path("val.txt").write_text(sentences(20, seed=5))
    invoke("train", "lines.txt", "--val", "val.txt", "--out", "run", *TINY, *STEPS)


@pytest.mark.usefixtures("validated")
def test_a_validation_text_that_has_moved_is_named_with_val():
    Path("val.txt").rename("moved.txt")
    resume = ("train", "--resume", "--out", "run", "--steps", 61)
    assert "val.txt: no such file; it is validated on that text; if it has moved" in (
        refused(*resume)
    )
    assert "is not that of the text" in refused(*resume, "--val", "names.txt")
    invoke(*resume, "--val", "moved.txt")
    assert load("run/last.npz").history[-1]["step"] == 61


@pytest.mark.usefixtures("validated")
def test_without_the_validation_text_compare_leaves_out_its_figure():
    columns = ("compare", "run", "-t", 1, "--length", 200, "--json")
    assert json.loads(invoke(*columns).stdout)["calibrated"] is not None
    Path("val.txt").unlink()
    result = invoke(*columns)
    assert "the text that this model was validated on is missing: " in result.stderr
    assert json.loads(result.stdout)["calibrated"] is None
    assert "validated on is missing" in refused("eval", "run")


def test_a_run_that_validates_on_its_own_text_takes_no_other():
    train("lines.txt", "--out", "run")
    again = ("train", "--resume", "--out", "run", "--steps", 6, "--val", "names.txt")
    assert "run is not validated on another text; leave out --val" in refused(*again)


@pytest.mark.parametrize(
    ("options", "status", "said"),
    [
        (("--val", "names.txt", "--val-fraction", 0.2), 2, "exclude each other"),
        (("--max-vocab", 1), 1, "--max-vocab is 1; expected at least 2"),
        (("--bytes", "--max-vocab", 9), 1, "expected no --max-vocab with bytes"),
        (("--bytes", "--normalize", "nfd"), 1, "expected no --normalize with bytes"),
        (("--bytes", "--documents", "lines"), 1, "expected no --documents with bytes"),
        (("--documents", r"\q"), 1, r"--documents: \q is not an escape"),
    ],
)
def test_options_that_do_not_go_together(options, status, said):
    assert said in refused("train", "lines.txt", *options, *BRIEF, status=status)


@pytest.mark.parametrize(
    "arguments",
    [
        ("sample", "my text.txt"),
        ("compare", "my text.txt"),
        ("export", "my text.txt"),
        ("next", "A", "my text.txt"),
        ("train", "lines.txt", "--init-from", "my text.txt", *BRIEF),
    ],
)
def test_a_text_for_a_checkpoint_is_one_to_learn_from(arguments):
    Path("my text.txt").write_text(sentences())
    error = refused(*arguments)
    assert "my text.txt: not a checkpoint; expected best.npz" in error
    assert "`charrnn train 'my text.txt'`" in error


def test_a_sentence_for_a_text_is_scored_with_an_option():
    train("lines.txt", "--out", "run")
    error = refused("eval", "run", "Ann paints", status=2)
    assert error.endswith("use `charrnn eval run --text 'Ann paints'`")
    assert scores("run", "--text", "Ann paints")["characters"] == 10


@pytest.mark.skipif(os.name != "posix", reason="process substitution is POSIX")
def test_a_pipe_of_the_shell_is_called_one_and_is_not_looked_for_again():
    read, write = os.pipe()
    with os.fdopen(write, "w") as file:
        file.write(sentences())
    result = train(f"/dev/fd/{read}", "--out", "run")
    os.close(read)
    assert "\npipe: 4,577 characters\n" in result.stderr
    assert load("run").corpus.files == ("-",)
    result = invoke("compare", "run", "-t", 1, "--length", 9)
    assert "came from standard input or a pipe" in result.stderr
