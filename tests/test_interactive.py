"""A training run driven from Python: notes and warnings, Ctrl-C, the progress bar."""

import contextlib
import logging
import os
import re
import signal
import struct
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from texts import SMALL, environment, sentences

import charrnn
from charrnn.storage.checkpoint import load as load_checkpoint
from charrnn.training.events import Step, Validation

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


def same_weights(a, b):
    return a.model.params.flat.tobytes() == b.model.params.flat.tobytes()


def test_a_recipe_that_is_adapted_is_a_warning_and_a_note(text):
    with pytest.warns(charrnn.CharRNNWarning, match="the text is short") as caught:
        model = charrnn.train(text, **SMALL, hidden=8, steps=5)
    assert [str(warning.message) for warning in caught] == model.notes
    assert caught[0].filename == __file__
    assert model.training["dropout"] == 0.5


def test_a_batch_that_does_not_fit_is_a_warning_and_a_note():
    settings = BRIEF | {"batch": 500, "window": 100}
    with pytest.warns(charrnn.CharRNNWarning, match="instead of 500 and 100"):
        model = charrnn.train(text=sentences(), **settings)
    assert "batch " in model.notes[0]
    assert model.training["plan"]["batch"] < 500


def test_what_was_done_to_a_file_is_logged_and_noted(text, caplog):
    Path("dos.txt").write_bytes(
        b"\xef\xbb\xbf" + sentences().replace("\n", "\r\n").encode()
    )
    with caplog.at_level(logging.INFO, logger="charrnn"):
        model = charrnn.train("dos.txt", **BRIEF)
    assert [record.getMessage() for record in caplog.records] == model.notes
    assert model.notes == [
        "dos.txt: dropped the byte-order mark",
        "dos.txt: turned 120 CRLF line ends into LF",
    ]


class Interrupting:
    """Interrupts a training when it gets to a step, as Ctrl-C does."""

    def __init__(self, step, act):
        self.step, self.act = step, act

    def __call__(self, event):
        if isinstance(event, Step) and event.step == self.step:
            self.act()


def raising():
    raise KeyboardInterrupt


INTERRUPTED = BRIEF | {"steps": 40, "eval_every": 10}


@pytest.mark.parametrize("act", [signal.raise_signal, raising])
def test_an_interrupted_training_returns_the_best_so_far_and_can_go_on(text, act):
    act = partial(act, signal.SIGINT) if act is not raising else act
    whole = charrnn.train(text, **INTERRUPTED)
    with pytest.warns(charrnn.CharRNNWarning, match="interrupted at step 25 of 40"):
        model = charrnn.train(
            text, out="run", on_event=Interrupting(25, act), **INTERRUPTED
        )
    assert [row["step"] for row in model.history] == [10, 20]
    assert "from step 20; charrnn.resume('run') continues" in model.notes[-1]
    assert same_weights(charrnn.load("run"), model)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    resumed = charrnn.resume("run")
    assert same_weights(resumed, whole)
    assert [row["step"] for row in resumed.history] == [10, 20, 30, 40]


def test_an_error_in_a_callback_leaves_the_folder_unlocked(text):
    def fail():
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine") as error:
        charrnn.train(text, out="run", on_event=Interrupting(25, fail), **INTERRUPTED)
    assert error.traceback, "it keeps the frames of the training"
    assert [row["step"] for row in charrnn.resume("run").history] == [10, 20, 30, 40]


def test_a_model_that_cannot_be_saved_is_returned(text, caplog):
    def block(event):
        if isinstance(event, Validation) and event.step == 10:
            for name in ("best.npz", "last.npz"):
                Path("run", name).unlink()
                Path("run", name).mkdir()

    whole = charrnn.train(text, **INTERRUPTED)
    with pytest.warns(charrnn.CharRNNWarning, match="can be saved elsewhere") as caught:
        model = charrnn.train(text, out="run", on_event=block, **INTERRUPTED)
    assert same_weights(model, whole)
    assert model.path is None
    warning = str(caught[-1].message)
    assert warning == model.notes[-1]
    assert "no regular file" in warning
    assert "training ended at step 40, and step 10 is saved" in warning
    assert same_weights(charrnn.load(model.save("elsewhere")), whole)


@pytest.mark.parametrize("average", [0.0, 0.9])
def test_a_training_interrupted_before_its_first_validation(text, average):
    settings = INTERRUPTED | {"average": average, "out": "run"}
    act = partial(signal.raise_signal, signal.SIGINT)
    with pytest.warns(charrnn.CharRNNWarning, match="have not been validated"):
        model = charrnn.train(text, on_event=Interrupting(5, act), **settings)
    assert model.history == []
    last = load_checkpoint(Path("run/last.npz"), snapshot=True).snapshot
    newest = last.moments["average"] if average else last.params
    assert model.model.params.flat.tobytes() == newest.tobytes()
    assert model.evaluate(sentences()).nats < np.log(33)
    assert [row["step"] for row in charrnn.resume("run").history] == [10, 20, 30, 40]


def test_a_second_interrupt_is_raised_at_once(text):
    def twice():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        charrnn.train(text, on_event=Interrupting(5, twice), **INTERRUPTED)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_program_keeps_its_own_handler_of_interrupts(text):
    caught = []
    before = signal.signal(signal.SIGINT, lambda *args: caught.append(args[0]))
    try:
        act = partial(signal.raise_signal, signal.SIGINT)
        model = charrnn.train(text, on_event=Interrupting(5, act), **INTERRUPTED)
    finally:
        signal.signal(signal.SIGINT, before)
    assert caught == [signal.SIGINT]
    assert [row["step"] for row in model.history] == [10, 20, 30, 40]


def test_training_in_another_thread(text):
    found = []
    thread = threading.Thread(target=lambda: found.append(charrnn.train(text, **BRIEF)))
    thread.start()
    thread.join()
    assert same_weights(found[0], charrnn.train(text, **BRIEF))


@pytest.mark.skipif(os.name == "nt", reason="needs a pseudo-terminal")
def test_a_terminal_shows_a_bar_with_the_losses(text):
    pty = pytest.importorskip("pty")
    script = (
        "import charrnn\n"
        f"charrnn.train('lines.txt', eval_every=10, **{BRIEF})\n"
        f"charrnn.train('lines.txt', progress=False, **{BRIEF})\n"
    )
    master, slave = pty.openpty()
    fcntl = pytest.importorskip("fcntl")
    size = struct.pack("HHHH", 24, 120, 0, 0)  # rows, columns
    fcntl.ioctl(slave, pytest.importorskip("termios").TIOCSWINSZ, size)
    with subprocess.Popen(
        [sys.executable, "-c", script],
        stderr=slave,
        stdout=subprocess.PIPE,
        env=environment(),
    ) as process:
        os.close(slave)
        seen = b""
        with contextlib.suppress(OSError):  # the terminal closes with the process
            while data := os.read(master, 1000):
                seen += data
        assert process.stdout.read() == b""
    os.close(master)
    assert process.returncode == 0, seen
    shown = seen.decode()
    assert re.search(r"training: +100%", shown)
    assert re.search(r"char/s, loss=\d\.\d{3}, val=\d\.\d{3}\]", shown)
    assert shown.count(" 0%|") == 1  # and no bar for the second training


def test_nothing_is_shown_where_nobody_sees_it(text, capfd):
    charrnn.train(text, **BRIEF)
    assert capfd.readouterr() == ("", "")
