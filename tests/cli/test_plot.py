"""`charrnn plot` and `charrnn train --tensorboard`, as a user runs them."""

import json
import re
import sys
from pathlib import Path

import pytest
from extras import needs_matplotlib, needs_plotext, needs_tensorboard
from histories import validation, write_history
from runner import CliRunner
from terminal import on_terminal
from texts import TINY, charrnn, sentences

from charrnn.cli import main
from charrnn.cli.plot import command
from charrnn.views.curves import AXES, MEASURES

# Runs `charrnn` where some packages cannot be imported.
WITHOUT = (
    "import sys\n"
    "for name in sys.argv.pop(1).split(','): sys.modules[name] = None\n"
    "from charrnn.__main__ import run\n"
    "run()"
)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("lines.txt").write_text(sentences(), encoding="utf-8")
    losses = (2.0, 1.7, 1.6, 1.65)
    events = [validation(10 * i, loss) for i, loss in enumerate(losses, 1)]
    write_history(Path("checkpoints", "a run"), *events)
    return tmp_path


def plot(*arguments):
    result = CliRunner().invoke(main, ["plot", *map(str, arguments)])
    assert "Traceback" not in result.output
    return result


def train(*arguments, **options):
    brief = (*TINY, "--steps", 20, "--eval-every", 10)
    return charrnn("train", "lines.txt", *brief, *arguments, cwd=".", **options)


def test_the_options_are_those_of_the_library():
    choices = {
        p.name: p.type.choices
        for p in command.params
        if p.name != "run" and hasattr(p.type, "choices")
    }
    assert tuple(choices["axis"]) == AXES
    assert tuple(choices["show"]) == tuple(MEASURES)


@needs_matplotlib
def test_the_newest_run_is_drawn_into_a_file_of_its_name():
    assert train().returncode == 0
    done = charrnn("plot", cwd=".")
    assert done.stdout == "lines.png\n"
    assert done.stderr == f"run {Path('checkpoints', 'lines')}\n"
    assert Path("lines.png").read_bytes().startswith(b"\x89PNG")
    done = charrnn("plot", cwd=".")
    assert done.returncode == 1
    assert "lines.png: already exists; give another name, or replace" in done.stderr
    assert charrnn("plot", "--force", cwd=".").returncode == 0


@needs_matplotlib
def test_the_scoreboard_of_a_run_is_in_its_history_and_plot():
    done = train("--out", "run")
    *_, board = map(json.loads, Path("run/history.jsonl").read_text().splitlines())
    assert board["event"] == "scoreboard"
    order, nats = board["ngram_order"], board["ngram"]["nats"]
    assert re.search(rf"{order}-gram, validation +{nats:.4f}", done.stdout)
    plot("run", "--out", "run.svg")
    assert f"{order}-gram  {nats:.3f}" in Path("run.svg").read_text()


@needs_matplotlib
def test_several_runs_in_one_figure():
    result = plot("a run", "shakespeare", "a run", "--out", "x.svg", "--x", "steps")
    assert result.output == "x.svg\n"
    svg = Path("x.svg").read_text()
    assert svg.count(">a run  1.600<") == 1
    assert "shakespeare" in svg


@needs_matplotlib
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nowhere",), "nowhere"),
        (("a run", "--out", "x.gif"), "ends in .png, .svg or .pdf"),
        (("shakespeare", "--x", "minutes"), "shakespeare: no minutes recorded"),
        (("shakespeare", "--show", "lr"), "shakespeare: no lr recorded"),
        (("a run", "--x", "hours"), "'hours' is not one of"),
        (("a run", "--terminal", "--dark"), "--terminal writes no file"),
        (("lines.txt",), "lines.txt"),
        (("a run", "--out", "lines.txt/x.png"), "cannot be written"),
    ],
)
def test_what_cannot_be_drawn_is_one_line(arguments, message, folder):
    before = sorted(folder.rglob("*"))
    result = plot(*arguments)
    assert result.exit_code != 0
    assert message in result.stderr.splitlines()[-1]
    assert sorted(folder.rglob("*")) == before


@needs_matplotlib
def test_wrong_values_are_left_out_with_a_note():
    events = validation(10), validation(20, float("nan"), 1.0), "what"
    write_history(Path("odd"), *events, validation(30))
    result = plot("odd")
    assert result.exit_code == 0
    assert "odd: 2 lines or values of its history cannot be right" in result.stderr


@needs_plotext
def test_a_terminal_of_60_columns_shows_colours_and_a_pipe_none():
    status, data = on_terminal(
        *("plot", "a run", "--terminal"),
        cwd=".",
        columns=60,
        COLUMNS="",  # whatever it is where the tests run
    )
    assert status == 0, data
    text = data.decode()
    assert "\x1b[38;5;32m" in text
    plain = re.sub(r"\x1b\[[\d;]*m", "", text)
    assert max(map(len, plain.splitlines())) == 60
    assert "best 1.6000 at step 30" in plain
    _, data = on_terminal("plot", "a run", "--terminal", cwd=".", NO_COLOR="1")
    assert b"\x1b" not in data
    piped = charrnn("plot", "a run", "--terminal", cwd=".")
    assert "\x1b" not in piped.stdout
    assert "v validation" in piped.stdout
    assert piped.stderr == ""


@needs_plotext
@pytest.mark.skipif(sys.platform == "win32", reason="needs a terminal")
def test_no_name_of_a_run_steers_a_terminal():
    name = "\x1b]0;x\x07\u202e"
    write_history(Path("checkpoints", name), validation(10), validation(20))
    for arguments in (("plot", name, "--terminal"), ("plot", name, "a run")):
        _, data = on_terminal(*arguments, cwd=".", NO_COLOR="1")
        assert b"\x1b" not in data, data
        assert "\u202e" not in data.decode()


def without(packages, *arguments):
    import subprocess

    from texts import environment

    return subprocess.run(
        [sys.executable, "-c", WITHOUT, packages, *map(str, arguments)],
        capture_output=True,
        text=True,
        env=environment(),
    )


@pytest.mark.parametrize(
    ("packages", "arguments", "message"),
    [
        ("matplotlib", ("plot", "a run"), "plots need matplotlib"),
        ("plotext", ("plot", "a run", "--terminal"), "--terminal needs plotext"),
        (
            "tensorboardX",
            ("train", "nowhere.txt", "--tensorboard", "logs"),
            "--tensorboard needs tensorboardX",
        ),
    ],
)
def test_a_missing_extra_is_named(packages, arguments, message):
    done = without(packages, *arguments)
    extra = "tensorboard" if "tensorboardX" in packages else "plot"
    assert done.stderr == f'Error: {message}: pip install "charrnn[{extra}]"\n'
    assert done.returncode == 1
    assert not Path("logs").exists()


def test_without_any_extra_training_shows_its_losses():
    brief = (*TINY, "--steps", 20)
    done = without("matplotlib,plotext,tensorboardX", "train", "lines.txt", *brief)
    assert done.returncode == 0, done.stderr


@needs_tensorboard
@pytest.mark.slow
def test_training_writes_event_files_that_a_resumed_run_continues():
    assert train("--out", "run", "--tensorboard", "logs").returncode == 0
    (first,) = Path("logs").iterdir()
    size = first.stat().st_size
    done = train("--out", "run2", "--tensorboard", "logs")
    assert done.returncode == 1
    assert done.stderr.startswith("Error: logs: already has the event files of a run")
    assert not Path("run2").exists()
    resume = ("train", "--resume", "--out", "run", "--steps", 40)
    done = charrnn(*resume, "--tensorboard", "logs", cwd=".")
    assert done.returncode == 0, done.stderr
    assert len([*Path("logs").iterdir()]) == 2
    assert first.stat().st_size == size
    again = ("--out", "run", "--tensorboard", "logs", "--force")
    assert train(*again).returncode == 0
    assert len([*Path("logs").iterdir()]) == 1


@needs_tensorboard
def test_event_files_that_cannot_be_written_do_not_end_the_training(monkeypatch):
    from charrnn.views.event_files import EventFiles

    def full(self, event):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(EventFiles, "show", full)
    arguments = ("lines.txt", *TINY, "--steps", 20, "--tensorboard", "logs")
    result = CliRunner().invoke(main, ["train", *map(str, arguments)])
    assert result.exit_code == 0, result.output
    note = "event files for TensorBoard: No space left on device; training goes on"
    assert result.stderr.count(note) == 1
