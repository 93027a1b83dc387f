"""What reaches a terminal: no control character of a text, a file or a name."""

import os
import re
import shlex
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from terminal import on_terminal
from texts import TINY, charrnn, save_trained, sentences

from charrnn.config import ModelConfig
from charrnn.nn.model import Model
from charrnn.storage.checkpoint import Checkpoint, save
from charrnn.text.characters import escaped
from charrnn.text.corpus_info import CorpusInfo, SplitInfo
from charrnn.text.vocab import Vocabulary

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs a terminal")

# The title of a window, a color, a return, orders of text, and DEL.
EVIL = "\x1b]0;x\x07\x9b31m\r\u202e\u2066\x7f"
CHARACTERS = sorted({*EVIL, *"ab\n \u200f"})
# What a terminal adds to line ends, and the jumps to the columns of a table.
OWN = re.compile(r"\r\n|\x1b\[\d+G")
OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
BRIEF = ("--seed", 1, "--length", 60)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def evil(kind):
    """Write a checkpoint in which every string is hostile, and return its name."""
    vocab = Vocabulary(CHARACTERS, end=kind == "documents")
    if kind == "bytes":
        vocab = Vocabulary.of_bytes()
    model = Model(ModelConfig(len(vocab), hidden=8, end=vocab.end))
    model.init(rng=np.random.default_rng(1))
    info = CorpusInfo(
        name=EVIL,
        sha256=EVIL,
        encoding="bytes" if kind == "bytes" else "utf-8",
        documents=EVIL if kind == "documents" else "",
        start=EVIL,
        files=(EVIL,),
        relative=(EVIL,),
        signature=EVIL,
    )
    split = SplitInfo(val_text=info)
    save(Checkpoint(model, vocab, info, split, {EVIL: EVIL}), Path("evil.npz"))
    return "evil.npz"


def shown(*arguments, **options):
    """Return what a terminal shows, without line ends and columns."""
    _, data = on_terminal(*map(str, arguments), cwd=Path.cwd(), **options)
    return OWN.sub("\n", data.decode())


def is_harmless(text):
    return not OBEYED.search(text.replace("\n", ""))


@pytest.mark.parametrize("kind", ["characters", "bytes", "documents"])
@pytest.mark.parametrize(
    "arguments",
    [
        ("sample", "CHECKPOINT", *BRIEF),
        ("sample", "CHECKPOINT", *BRIEF, "-n", 2, "--separator", EVIL),
        ("sample", "CHECKPOINT", *BRIEF, "--json"),
        ("sample", "CHECKPOINT", *BRIEF, "--prime", "a\x1b]0;x\x07"),
        ("compare", "CHECKPOINT", *BRIEF),
        ("compare", "CHECKPOINT", *BRIEF, "--json"),
        ("next", "\x1b]0;x\x07\x9b", "CHECKPOINT", "--top", 20),
        ("next", "a", "CHECKPOINT", "--top", 20, "--json"),
        ("eval", "CHECKPOINT", "--text", "a\x1b\nb\x9b\r\u202e", "--per", "line"),
        ("eval", "CHECKPOINT", "--text", "a\x1b\x9b\n", "--per", "line", "--json"),
    ],
    ids=str,
)
@pytest.mark.slow
def test_no_string_of_a_checkpoint_steers_a_terminal(kind, arguments):
    checkpoint = evil(kind)
    arguments = [checkpoint if a == "CHECKPOINT" else a for a in arguments]
    text = shown(*arguments)
    assert is_harmless(text), text
    assert "Traceback" not in text


@pytest.mark.parametrize(
    "arguments",
    [
        ("sample", "NAME.npz", *BRIEF),
        ("sample", "NAME.npz", *BRIEF, "--output", "NAME.txt"),
        ("sample", "NAME"),
        ("sample", "--NAME"),
        ("NAME",),
        ("eval", "NAME.npz"),
        ("eval", "NAME.npz", "NAME"),
        ("export", "NAME.npz"),
        ("export", "NAME.npz", "--out", "NAME.bin"),
        ("import", "NAME"),
        ("train", "NAME"),
        ("train", "NAME.npz"),
        ("train", "--resume", "--out", "NAME"),
        ("download", "NAME"),
        ("gradcheck", "--cell", "NAME"),
    ],
    ids=str,
)
@pytest.mark.slow
def test_no_name_steers_a_terminal(arguments):
    Path(evil("characters")).rename(f"{EVIL}.npz")
    text = shown(*(str(a).replace("NAME", EVIL) for a in arguments))
    assert is_harmless(text), text
    assert "Traceback" not in text


@pytest.mark.parametrize("command", [("train",), ("sample",), ("import",)])
def test_an_error_is_one_line_whatever_the_name(command):
    error = charrnn(*command, "a\nb.npz", cwd=".").stderr
    assert error.startswith("Error: ")
    assert error.index("\n") == len(error) - 1
    assert r"a\nb" in error


def test_training_shows_its_names_and_samples_escaped():
    name = "\x1b]0;x\x07\u202e"
    Path(f"{name}.txt").write_text("ab\x1b[31m\x9bab\u202e\n" * 200)
    text = shown(
        *("train", f"{name}.txt", "--out", name, *TINY, "--steps", 20),
        *("--sample-every", 10),
    )
    assert "--- sample at step 20" in text
    assert r"\x9b" in text.partition("--- sample")[2]
    assert is_harmless(text.replace("\r", "")), text  # of the progress bar


def test_a_terminal_shows_what_a_pipe_gets_as_it_is():
    checkpoint = evil("characters")
    arguments = ("sample", checkpoint, *BRIEF)
    piped = charrnn(*arguments, cwd=".", text=False).stdout.decode()
    assert OBEYED.search(piped)
    text = shown(*arguments)
    assert escaped(piped).strip() in text
    note = r"control characters are shown as escapes such as \x1b; --raw writes them"
    assert text.count(note) == 1
    Path("out.txt").unlink(missing_ok=True)
    assert note not in shown(*arguments, "--output", "out.txt")
    assert Path("out.txt").read_bytes().decode() == piped


def test_raw_writes_control_characters_to_a_terminal():
    text = shown("sample", evil("characters"), *BRIEF, "--raw")
    assert {"\x1b", "\x9b", "\u202e"} <= {*text}
    assert "--raw" not in text


def test_harmless_text_is_shown_without_a_note():
    save_trained(Path("run"))
    text = shown("sample", "run", *BRIEF)
    assert "--raw" not in text


def test_bytes_are_shown_in_the_encoding_of_the_terminal():
    evil("bytes")
    prime = ("--prime", r"na\xc3\xafve \xe2\x82", "--length", 0)
    assert "naïve \\xe2\\x82\n" in shown("sample", "evil.npz", *prime)
    assert "naïve \\xe2\\x82\n" in shown(
        "sample", "evil.npz", *prime, "-n", 1, "--unique"
    )


def test_json_is_the_same_after_its_escapes():
    import json

    done = charrnn("sample", evil("characters"), *BRIEF, "--json", cwd=".")
    assert not OBEYED.search(done.stdout.replace("\n", ""))
    piped = charrnn("sample", "evil.npz", *BRIEF, cwd=".", text=False).stdout.decode()
    found = json.loads(done.stdout)
    assert found["prime"] + found["text"] + "\n" == piped


# ---- advice for the text of a stranger's checkpoint can be followed


def advised(error):
    return shlex.split(re.search("charrnn (eval|compare|train) [^(\n]*", error)[0])[1:]


def followed(error):
    arguments = [os.fspath("mine.txt") if a == "TEXT" else a for a in advised(error)]
    done = charrnn(*arguments, cwd=".")
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture
def foreign():
    """Make a run whose text is elsewhere, as another user would have made it."""
    Path("mine.txt").write_text(sentences(), encoding="utf-8")
    run = ("train", "mine.txt", "--out", "a run", *TINY, "--steps", 20)
    assert charrnn(*run, cwd=".", CHARRNN_DATA=str(Path("theirs"))).returncode == 0
    return "a run"


def test_the_text_of_a_strangers_checkpoint_is_not_opened_and_can_be_named(foreign):
    for command in (("eval", foreign), ("compare", foreign, *BRIEF)):
        done = charrnn(*command, cwd=".")
        assert "mine.txt: not opened, because somebody else" in done.stderr
        done = followed(done.stderr)
        assert "validation" in done.stdout or "copied" in done.stdout
    done = charrnn("sample", foreign, "--novel", cwd=".")
    assert "name it with --text" in done.stderr
    done = charrnn("sample", foreign, "--novel", *BRIEF, "--text", "mine.txt", cwd=".")
    assert done.returncode == 0


def test_a_strangers_run_is_resumed_with_a_named_text_and_is_then_ones_own(foreign):
    resume = ("train", "--resume", "--out", foreign, "--steps", 30)
    done = charrnn(*resume, cwd=".")
    assert "mine.txt: not opened" in done.stderr
    arguments = ["mine.txt" if a == "TEXT" else a for a in advised(done.stderr)]
    done = charrnn(*arguments, "--steps", 30, cwd=".")
    assert done.returncode == 0, done.stderr
    assert charrnn("eval", foreign, cwd=".").returncode == 0


def test_resuming_signs_no_path_that_only_the_checkpoint_names(tmp_path):
    Path("mine.txt").write_text(sentences(), encoding="utf-8")
    Path("val.txt").write_text(sentences(30, seed=2), encoding="utf-8")
    shutil.copy("val.txt", "secret.txt")
    run = ("train", "mine.txt", "--val", "val.txt", "--out", "run", *TINY)
    assert charrnn(*run, "--steps", 20, cwd=".").returncode == 0
    from charrnn.storage.checkpoint import load

    last = load(Path("run/last.npz"), snapshot=True)
    stolen = replace(
        last.split.val_text, files=(str(tmp_path / "secret.txt"),), relative=()
    )
    split = replace(last.split, val_text=stolen)
    save(replace(last, split=split), Path("run/last.npz"))
    resume = ("train", "--resume", "--out", "run", "--steps", 30)
    assert "secret.txt: not opened" in charrnn(*resume, cwd=".").stderr
    assert charrnn(*resume, "--val", "val.txt", cwd=".").returncode == 0
    found = load(Path("run/last.npz")).split.val_text
    assert found.is_own
    assert found.files == (str(tmp_path / "val.txt"),)
