"""`charrnn train`: what it prints, what it refuses, and any odd text it is given."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from extras import needs_numba
from runner import CliRunner
from texts import TINY, charrnn, environment_of_a_full_disk, sentences
from texts import command as command_line

from charrnn.api import load as load_model
from charrnn.atomic import LOCK
from charrnn.cli import main
from charrnn.cli.options import option_rows
from charrnn.cli.train import command
from charrnn.evaluation.loss import evaluate
from charrnn.presets import DEFAULT_PRESET, PRESETS, resolve_settings
from charrnn.storage.checkpoint import load
from charrnn.storage.run_folder import load_last
from charrnn.training import plan

BRIEF = (*TINY, "--steps", "20")
LINE = re.compile(
    r"step +[\d,]+  epoch +\d+\.\d\d  train \d+\.\d{4}  val \d+\.\d{4}[* ]  \d+:\d\d"
)


@pytest.fixture(autouse=True)
def text(tmp_path, monkeypatch):
    """Work in an empty folder that holds one text."""
    monkeypatch.chdir(tmp_path)
    path = Path("lines.txt")
    path.write_text(sentences(), encoding="utf-8")
    return path


def train(*arguments, input=None):
    return CliRunner().invoke(main, ["train", *map(str, arguments)], input=input)


def refused(*arguments, status=1, **settings):
    """Return the error of a training that must not start, and see that none did."""
    before = sorted(Path().rglob("*"))
    result = train(*arguments, **settings)
    assert result.exit_code == status, result.output
    assert result.stdout == ""
    assert isinstance(result.exception, SystemExit), result.exception
    assert sorted(Path().rglob("*")) == before
    error = result.stderr.strip().split("\n")[-1]
    assert error.startswith("Error: ")
    return error


def started(*arguments, **settings):
    result = train(*arguments, **settings)
    assert result.exit_code == 0, (result.output, result.exception)
    return result


def test_a_run_says_what_it_does_and_ends_with_a_scoreboard():
    result = started("lines.txt", *BRIEF, "--eval-every", 10)
    lines = result.stderr.split("\n")
    text = sentences()
    train, val = int(len(text) * 0.9), len(text) - int(len(text) * 0.9)
    assert lines[0] == f"lines: {len(text):,} characters"
    assert lines[1] == (
        f"33 distinct characters; {train:,} characters to train on, {val} to validate "
        "on"
    )
    assert lines[2].startswith("rnn, 1 x 12 units, ")
    assert lines[3] == "20 steps of 4 x 8 characters, seed 1, 1 thread"
    assert lines[4] == "saving to checkpoints/lines"
    assert LINE.fullmatch(lines[5]), lines[5]
    assert LINE.fullmatch(lines[6]), lines[6]
    assert "charrnn sample checkpoints/lines" in result.stderr
    board = result.stdout.split("\n")
    assert board[0].split() == ["nats/char", "bits/char", "perplexity"]
    assert [line.split("  ")[0] for line in board[1:3]] == ["train", "validation"]
    assert "-gram, validation" in board[3]
    assert "Counting still beats the network" in board[4]


def test_a_sampled_softmax_is_reported(monkeypatch):
    monkeypatch.setattr(plan, "MANY", 32)
    lines = started("lines.txt", *BRIEF).stderr.split("\n")
    assert lines[3] == (
        "sampled softmax: each step uses its targets and 4,096 more characters, drawn "
        "by frequency, instead of all 33"
    )


def test_measuring_the_machine_is_announced_after_the_text():
    options = (*TINY, "--minutes", "0.001")
    lines = started("lines.txt", *options).stderr.split("\n")
    assert lines[1] == "measuring the speed of this machine..."
    assert "measuring" not in started("lines.txt", *BRIEF).stderr


def test_the_text_is_reported_before_anything_can_go_wrong():
    lines = train("lines.txt", *TINY, "--init-from", "none").stderr.split("\n")
    assert lines[0].startswith("lines: 4,")
    assert lines[-2].startswith("Error: none: no such file")


def test_a_short_text_adapts_the_preset_and_this_is_reported():
    brief = ("--steps", 1, "--threads", 1, "--kernels", "numpy", "--dropout", 0.1)
    lines = started("lines.txt", *brief).stderr.split("\n")
    assert lines[1] == (
        "the text is short, and a large network would memorise it: using hidden 128, "
        "recurrent dropout 0.3, patience 10, unless you give them"
    )
    assert any(line.startswith("mgru, 1 x 128 units") for line in lines)


@needs_numba
@pytest.mark.parametrize("cell", ["rnn", "mgru"])
@pytest.mark.slow
def test_compiling_is_announced_once(tmp_path, cell):
    brief = (*TINY, "--kernels", "numba", "--steps", "2", "--cell", cell)
    cache = str(tmp_path / "cache")
    for announced in (True, False):
        done = charrnn("train", "lines.txt", *brief, cwd=".", NUMBA_CACHE_DIR=cache)
        assert done.returncode == 0, done.stderr
        lines = done.stderr.split("\n")
        assert lines[0].startswith("lines: 4,")
        assert announced == (
            "compiling the Numba kernels, once on this machine (a few seconds)..."
            in lines
        )
    assert "compiling" not in started("lines.txt", *BRIEF).stderr


def test_the_scoreboard_is_that_of_the_best_model():
    result = started("lines.txt", *BRIEF, "--out", "run")
    model = load_model("run")
    ids = model.encode(sentences())
    nats = evaluate(model.model, ids[int(len(ids) * 0.9) :]).nats
    assert result.stdout.split("\n")[2].split()[1] == f"{nats:.4f}"


def test_quiet_leaves_only_the_scoreboard():
    result = started("lines.txt", *BRIEF, "--quiet")
    assert result.stderr == ""
    assert len(result.stdout.strip().split("\n")) == 5


def test_output_to_a_file_holds_no_progress_bar(tmp_path):
    done = charrnn("train", "lines.txt", *BRIEF, "--eval-every", 5, cwd=tmp_path)
    assert done.returncode == 0
    for stream in (done.stdout, done.stderr):
        assert not re.search(r"[\r\x1b█▏]|it/s", stream)
    assert sum(bool(LINE.fullmatch(line)) for line in done.stderr.split("\n")) == 4


def test_samples_on_the_way():
    result = started("lines.txt", *BRIEF, "--sample-every", 10)
    assert result.stderr.count("--- sample at step") == 2
    assert "--- sample at step 10\n" in result.stderr
    assert "sample" not in result.stdout


def test_samples_come_from_the_averaged_weights_that_are_saved():
    options = ("--average", "0.9", "--sample-every", 20, "--out", "run")
    result = started("lines.txt", *BRIEF, *options)
    sample = result.stderr.split("--- sample at step 20\n")[1].split("\n---")[0]
    averaged, raw = load_model("run"), load_model("run/last.npz")
    assert sample == averaged.generate(length=200, seed=20).strip()
    assert sample != raw.generate(length=200, seed=20).strip()


def test_the_same_seed_gives_the_same_weights_and_the_seed_is_said():
    for seed, out in ((5, "a"), (5, "b"), (6, "c")):
        result = started("lines.txt", *BRIEF, "--seed", seed, "--out", out)
        assert f"seed {seed}," in result.stderr
    a, b, c = (load(Path(out, "best.npz")).model.params.flat for out in "abc")
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, c)


def test_new_runs_get_new_folders():
    for name in ("lines", "lines-2", "lines-3"):
        assert f"saving to checkpoints/{name}\n" in started("lines.txt", *BRIEF).stderr
        assert Path("checkpoints", name, "last.npz").exists()


def test_a_run_is_replaced_with_force_alone():
    started("lines.txt", *BRIEF, "--out", "run")
    Path("run/notes.txt").write_text("mine")
    before = Path("run/best.npz").read_bytes()
    error = refused("lines.txt", *BRIEF, "--out", "run")
    assert error == (
        "Error: run: already holds a run; continue it with --resume "
        "(charrnn.resume), give another --out, or replace it with --force (force=True)"
    )
    started("lines.txt", *BRIEF, "--out", "run", "--force", "--seed", 2)
    assert Path("run/best.npz").read_bytes() != before
    assert Path("run/notes.txt").read_text() == "mine"


@pytest.mark.parametrize("mistake", [("--lr", "0"), ("--weight-decay", "-0.1")])
def test_a_mistake_beside_force_costs_no_run(mistake):
    started("lines.txt", *BRIEF, "--out", "run")
    before = {path: path.read_bytes() for path in Path("run").iterdir()}
    refused("lines.txt", *BRIEF, "--out", "run", "--force", *mistake)
    assert {path: path.read_bytes() for path in Path("run").iterdir()} == before


def test_resume_goes_on_with_the_newest_run():
    started("lines.txt", *BRIEF)
    started("lines.txt", *BRIEF)
    result = started("--resume", "--steps", 30)
    assert "resuming checkpoints/lines-2 at step 20" in result.stderr
    assert load(Path("checkpoints/lines-2/last.npz")).train["plan"]["steps"] == 30
    assert load(Path("checkpoints/lines/last.npz")).train["plan"]["steps"] == 20


def test_resuming_a_finished_run_says_so():
    started("lines.txt", *BRIEF, "--out", "run")
    result = started("--resume", "--out", "run")
    assert "run is finished after " in result.stderr
    assert "; to go on, give more in all, with --steps or --epochs" in result.stderr


def test_resume_by_epochs():
    started("lines.txt", *BRIEF, "--out", "run")
    started("--resume", "--out", "run", "--epochs", 0.5)
    steps = load(Path("run/last.npz")).train["plan"]["steps"]
    assert 20 < steps < 100


@pytest.mark.parametrize(
    "option",
    [
        ("--hidden", "16"),
        ("--lr", "0.1"),
        ("--batch", "8"),
        ("--seed", "2"),
        ("--optimizer", "sgd"),
        ("--minutes", "1"),
        ("--preset", "quick"),
        ("--init-from", "run"),
        ("--eval-every", "3"),
        ("--force",),
        ("--bytes",),
    ],
)
def test_a_resumed_run_refuses_to_change(option):
    started("lines.txt", *BRIEF, "--out", "run")
    error = refused("--resume", "--out", "run", *option, status=2)
    assert f"{option[0]} cannot change in a resumed run" in error


def test_resuming_needs_the_text_as_it_was(text):
    started("lines.txt", *BRIEF, "--out", "run")
    text.write_text(sentences() + "More.\n", encoding="utf-8")
    error = refused("--resume", "--out", "run", "--steps", 30)
    assert "lines.txt: has grown by 6 bytes" in error
    advised = shlex.split(error.split("these weights: charrnn ")[1])
    started(*advised[1:], *BRIEF, "--out", "longer")
    text.write_text(sentences(seed=2), encoding="utf-8")
    error = refused("--resume", "--out", "run", "--steps", 30)
    assert "lines.txt: SHA-256 " in error
    assert "name the text as it was, or learn the text as it is now" in error
    error = refused("--resume", "--out", "run", "--steps", 30, "lines.txt")
    assert "name the text as it was, or learn the text as it is now" in error
    text.unlink()
    error = refused("--resume", "--out", "run", "--steps", 30)
    assert "lines.txt: no such file" in error
    Path("moved.txt").write_text(sentences(), encoding="utf-8")
    started("--resume", "--out", "run", "--steps", 30, "moved.txt")


def test_patience_that_ended_a_run_starts_anew_with_more_steps():
    still = ("--lr", "1e-12", "--optimizer", "sgd", "--steps", "500", "--average", "0")
    options = (*TINY, *still, "--eval-every", "5", "--patience", "3", "--out", "run")
    assert "no new best in 3" in started("lines.txt", *options).stderr
    before = load_last(Path("run")).snapshot.progress.step
    assert "no new best" in started("--resume", "--out", "run").stderr
    started("--resume", "--out", "run", "--steps", "600")
    assert load_last(Path("run")).snapshot.progress.step == before + 15


@pytest.mark.skipif(sys.platform != "linux", reason="needs names of any bytes")
def test_a_text_whose_name_is_no_unicode():
    name = os.fsdecode(b"caf\xe9.txt")
    Path("lines.txt").rename(name)
    done = charrnn("train", name, *BRIEF, "--out", "run", cwd=".")
    assert done.returncode == 0, done.stderr
    done = charrnn("train", "--resume", "--out", "run", "--steps", 50, cwd=".")
    assert done.returncode == 0, done.stderr
    assert load_model("run").generate("Ann ", length=5, seed=1)


def test_resuming_where_there_is_nothing():
    assert "no run to resume in checkpoints/" in refused("--resume")
    assert "none: no run to resume here" in refused("--resume", "--out", "none")


def test_standard_input_is_a_text():
    result = started("-", *BRIEF, "--out", "run", input=sentences())
    assert result.stderr.startswith("stdin: ")
    error = refused("--resume", "--out", "run")
    assert "its text came from standard input" in error
    assert "charrnn train TEXT --resume" in error
    piped = started("--resume", "--out", "run", "--steps", 25, "-", input=sentences())
    assert "resuming run at step 20" in piped.stderr
    started("--resume", "--out", "run", "--steps", 30, "lines.txt")


def test_minutes_become_steps_that_a_resumed_run_keeps():
    started("lines.txt", *TINY, "--minutes", "0.01", "--out", "run")
    train_settings = load(Path("run/last.npz")).train
    assert train_settings["plan"]["steps"] > 1
    result = started("--resume", "--out", "run")
    assert "finished" in result.stderr
    assert load(Path("run/last.npz")).train == train_settings


def test_patience_ends_a_run_and_says_so():
    still = ("--optimizer", "sgd", "--lr", "1e-12", "--eval-every", 2, "--patience", 2)
    result = started("lines.txt", *TINY, "--steps", 500, *still)
    assert "Stopped: no new best in 2 validations." in result.stderr
    assert "nats/char" in result.stdout


def test_a_folder_is_joined_in_order_and_said():
    Path("verse").mkdir()
    Path("verse/b.txt").write_text("second\n" * 30)
    Path("verse/a.txt").write_text("first\n" * 30)
    Path("verse/.hidden").write_text("never\n")
    result = started("verse", *BRIEF)
    assert "joined 2 files, in this order: verse/a.txt, verse/b.txt" in result.stderr
    assert set(load_model("checkpoints/verse").vocab.characters) == set(
        "first\nsecond\n"
    )


def test_line_ends_and_byte_order_marks_are_said():
    data = b"\xef\xbb\xbf" + sentences().replace("\n", "\r\n").encode()
    Path("windows.txt").write_bytes(data)
    result = started("windows.txt", *BRIEF)
    assert "dropped the byte-order mark" in result.stderr
    assert "turned 120 CRLF line ends into LF" in result.stderr
    assert "\r" not in load_model("checkpoints/windows").vocab


def test_a_file_that_is_no_text_names_the_offset_and_learns_as_bytes():
    Path("image.bin").write_bytes(b"PNG" + bytes(range(256)) * 8)
    error = refused("image.bin", *BRIEF)
    assert "image.bin: binary file, not plain text" in error
    assert "--bytes" not in error
    result = started("image.bin", *BRIEF, "--bytes")
    assert "256 distinct" in result.stderr


def test_another_encoding():
    Path("old.txt").write_bytes(("Müller straße " * 50).encode("latin-1"))
    assert "offset 1 is not utf-8" in refused("old.txt", *BRIEF)
    started("old.txt", *BRIEF, "--encoding", "latin-1", "--out", "run")
    assert "ü" in load_model("run").vocab
    started("--resume", "--out", "run", "--steps", 25)


def test_starting_from_a_run_of_another_text():
    started("lines.txt", *BRIEF, "--out", "first")
    Path("new.txt").write_text(sentences(60).replace("a", "ä"), encoding="utf-8")
    result = started("new.txt", *BRIEF, "--init-from", "first", "--out", "second")
    assert "1 new ones were added" in result.stderr
    assert set(load_model("second").vocab.characters) == {*sentences(), "ä"}


@pytest.mark.parametrize("length", [*range(1, 24), 30, 41, 50, 77])
def test_a_very_short_text_learns_or_says_why_not(length):
    Path("short.txt").write_text(sentences()[100 : 100 + length])
    result = train("short.txt", *TINY, "--steps", 3, "--out", "run", "--batch", 32)
    assert isinstance(result.exception, SystemExit | None), result.exception
    if result.exit_code:
        assert length < 20
        *_, line = result.stderr.strip().split("\n")
        assert line.startswith("Error: short: ")
        assert not Path("run").exists()
    else:
        assert "the text is short: batch " in result.stderr
        assert CliRunner().invoke(main, ["sample", "run"]).exit_code == 0


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "empty.txt: empty; expected a text to learn from"),
        ("\ufeff", "empty.txt: empty"),
        ("z" * 1000, "empty: every character is 'z'"),
        ("a", "every character is 'a'"),
        ("ab", "empty: 2 characters leave 1 to train and 1 to validate"),
    ],
)
def test_a_text_with_nothing_to_learn(content, said):
    Path("empty.txt").write_text(content, encoding="utf-8")
    assert said in refused("empty.txt", *BRIEF)


def test_texts_that_are_not_there():
    Path("hollow").mkdir()
    assert "none.txt: no such file" in refused("none.txt")
    assert "hollow: no files in this folder" in refused("hollow")


@pytest.mark.parametrize(
    ("options", "status", "said"),
    [
        (("--hidden", "0"), 1, "hidden is 0; expected at least 1"),
        (("--layers", "-1"), 1, "layers is -1; expected at least 1"),
        (("--batch", "0"), 1, "batch is 0"),
        (("--window", "0"), 1, "window is 0"),
        (("--lr", "0"), 1, "lr is 0"),
        (("--lr", "nan"), 1, "lr is nan"),
        (("--clip", "-1"), 1, "clip is -1"),
        (("--steps", "-3"), 1, "steps is -3"),
        (("--val-fraction", "1"), 1, "--val-fraction is 1; expected 0 to 0.9"),
        (("--val-fraction", "0.001"), 1, "leave"),
        (("--optimizer", "sgd", "--weight-decay", "0.1", *BRIEF), 1, "expected adamw"),
        (("--steps", "5", "--minutes", "1"), 1, "exclude each other"),
        (("--steps", "5", "--epochs", "1"), 1, "exclude each other"),
        (("--hidden", "many"), 2, "'many' is not a valid integer"),
        (("--preset", "huge"), 2, "'huge' is not one of 'quick', 'small', 'medium'"),
        (("--cell", "elman"), 2, "'elman' is not one of 'rnn', 'gru', 'lstm'"),
        (("--encoding", "klingon"), 1, "encoding 'klingon' is not known"),
        (("--init-from", "none.npz"), 1, "none.npz: no such file"),
        (("--out", "lines.txt"), 2, "is a file"),
        (("--lrr", "1"), 2, "No such option"),
    ],
)
def test_an_option_that_makes_no_sense_is_one_line(options, status, said):
    if options[0] == "--val-fraction" and options[1] == "0.001":
        Path("lines.txt").write_text(sentences(2), encoding="utf-8")
    assert said in refused("lines.txt", *options, status=status)


def test_no_steps_at_all_is_an_error_and_not_the_time_of_the_preset():
    # A few steps of the preset's three minutes must not begin.
    for option in ("--steps", "--epochs", "--minutes"):
        done = train("lines.txt", *TINY, option, 0, "--init-from", "none.npz")
        assert f"{option[2:]} is 0" in done.stderr


def test_bytes_and_an_encoding_exclude_each_other():
    error = refused("lines.txt", *BRIEF, "--bytes", "--encoding", "latin-1", status=2)
    assert "--encoding" in error


# The rate rises until no network stands it, a little later after each rollback.
_EXPLODING = (
    *("--optimizer", "sgd", "--schedule", "constant", "--lr", "1e3", "--clip", "0"),
    *("--warmup", "1000", "--steps", "10000", "--eval-every", "2"),
)


def test_a_loss_that_explodes_ends_with_one_line_and_good_files():
    result = train("lines.txt", *TINY, *_EXPLODING, "--out", "run")
    assert result.exit_code == 1
    assert result.stdout == ""
    lines = result.stderr.strip().split("\n")
    assert re.fullmatch(r"Error: the loss diverged .* a lower rate, .*", lines[-1])
    assert sum("the loss diverged" in line for line in lines[:-1]) == 5
    logged = Path("run/history.jsonl").read_text().splitlines()
    scales = [json.loads(line)["lr_scale"] for line in logged if '"rollback"' in line]
    assert scales == [0.5, 0.25, 0.125, 0.0625, 0.03125]
    assert load_model("run").generate("Ann ", length=20, seed=1)
    assert load(Path("run/last.npz"), snapshot=True).snapshot


def test_a_loss_that_explodes_at_once_is_one_line_too():
    hot = ("--optimizer", "sgd", "--lr", "1e6", "--clip", "0", "--warmup", "0")
    result = train("lines.txt", *BRIEF, *hot, "--out", "run")
    assert result.exit_code == 1
    assert "Error: the loss diverged" in result.stderr
    # Nothing was learned, so nothing is in the way of another try.
    started("lines.txt", *BRIEF, "--out", "run")


def test_a_run_that_recovers_is_told_and_goes_on():
    warm = ("--optimizer", "sgd", "--lr", "40", "--clip", "0", "--warmup", "0")
    warm += ("--average", "0")
    result = started("lines.txt", *TINY, "--steps", 60, "--eval-every", 5, *warm)
    assert re.search(r"step \d+: the loss diverged \(.*\); back to step", result.stderr)
    assert "step 60 " in result.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="needs limits on file sizes")
def test_a_full_disk_ends_a_run_with_one_line(tmp_path):
    limited = ["bash", "-c", 'ulimit -f 4; exec "$@"', "-"]
    done = subprocess.run(
        [*limited, *command_line("train", "lines.txt", *BRIEF, "--out", "run")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env=environment_of_a_full_disk(),
        timeout=60,
    )
    assert done.returncode == 1
    last = done.stderr.strip().split("\n")[-1]
    assert re.match(r"Error: run/(best|last)\.npz: cannot be written", last)
    assert last.endswith("training ended at step 20, and nothing of it is saved")
    assert "Traceback" not in done.stderr
    names = {path.name for path in Path("run").iterdir()}
    assert names <= {LOCK, "best.npz", "last.npz", "history.jsonl"}


@pytest.mark.skipif(sys.platform == "win32", reason="needs limits on file sizes")
def test_a_save_that_fails_is_reported_and_training_goes_on(tmp_path):
    command = command_line("train", "lines.txt", *TINY, "--out", "run", "--quiet")
    often = ("--steps", "3000", "--eval-every", "1000", "--save-every", "0.001")
    done = subprocess.run(
        ["bash", "-c", 'ulimit -f 4; exec "$@"', "-", *command, *often],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env=environment_of_a_full_disk(),
        timeout=60,
    )
    assert done.returncode == 1
    *failed, last = done.stderr.strip().split("\n")
    assert len(failed) > 1, "with --quiet, too, and more than once"
    for line in failed:
        assert re.fullmatch(
            r"step [\d,]+: not saved: run/(best|last)\.npz: cannot be written \(File "
            r"too large\), and nothing was left behind; make room there; training goes "
            r"on and tries again",
            line,
        )
    assert last.startswith("Error: run/")


def test_how_often_a_run_is_saved_may_change_when_it_is_resumed():
    started("lines.txt", *BRIEF, "--out", "run")
    started("--resume", "--out", "run", "--steps", 30, "--save-every", 4)
    assert load(Path("run/last.npz")).train["save_every"] == 4
    done = started("--resume", "--out", "run", "--save-every", 5)
    assert "run is finished" in done.stderr


def test_a_folder_that_cannot_be_written_is_refused_before_training(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ("mount", "-t", "tmpfs", "-o", "ro,size=1m", "tmpfs", disk)
    if (
        not shutil.which("mount")
        or subprocess.run(mount, capture_output=True).returncode
    ):
        pytest.skip("mounting a small file system needs root")
    try:
        advice = "make disk writable, or give another --out"
        error = refused("lines.txt", *BRIEF, "--out", "disk")
        assert error == f"Error: disk: cannot be written; {advice}"
    finally:
        subprocess.run(["umount", disk], check=True)


def test_help_shows_every_option_with_its_default():
    result = CliRunner().invoke(main, ["train", "--help"], terminal_width=60)
    assert result.exit_code == 0
    for option in ("--hidden", "--minutes", "--resume", "--init-from", "--patience"):
        assert option in result.stdout
    for group in ("Text:", "Network:", "Learning:", "Output:"):
        assert f"\n{group}\n" in result.stdout
    assert result.stdout.count("[default:") >= 30
    assert result.stdout.isascii()
    assert max(map(len, result.stdout.split("\n"))) <= 60


def test_help_shows_the_defaults_that_are_used():
    rows = {flags.split()[0]: default for flags, default, _ in option_rows(command)}
    by_preset = {name for preset in PRESETS.values() for name in preset.settings}
    for name, value in resolve_settings(None, {}).items():
        shown = rows.pop(f"--{name.replace('_', '-')}")
        assert shown.endswith(", by preset") == (name in by_preset)
        if value:
            assert shown.partition(",")[0] == f"{value}".removesuffix(".0")
    assert rows["--preset"] == DEFAULT_PRESET


# An option for each field, with a value that is not its default.
GIVEN = {
    **{"hidden": 9, "layers": 2, "cell": "lstm", "members": 2},
    **{"epochs": 0.03, "batch": 3, "window": 7, "optimizer": "adamw", "lr": 0.003},
    **{"schedule": "step", "warmup": 3, "lr_floor": 0.5, "lr_decay": 0.25},
    **{"lr_drops": 2, "momentum": 0.5, "weight_decay": 0.01, "clip": 2.0},
    **{"clip_mode": "value", "dropout": 0.125, "recurrent_dropout": 0.25},
    **{"average": 0.5, "val_fraction": 0.25, "eval_every": 4, "patience": 7},
    **{"save_every": 0.5, "seed": 3, "threads": 2, "kernels": "numpy"},
    "exchange": "bfloat16",
}


def test_every_setting_has_an_option_that_sets_it():
    # A run has one length, so the other two are left to tests of their own.
    assert GIVEN.keys() | {"steps", "minutes"} == resolve_settings(None, {}).keys()
    options = [
        text
        for name, value in GIVEN.items()
        for text in (f"--{name.replace('_', '-')}", value)
    ]
    started("lines.txt", *options, "--out", "run")
    saved = load(Path("run/last.npz"))
    settings = vars(saved.model.members[0].config) | saved.train
    assert {name: settings[name] for name in GIVEN} == GIVEN


def test_several_networks_are_one_run():
    result = started("lines.txt", *BRIEF, "--members", 3, "--out", "run")
    assert "ensemble of 3 networks: 3 of rnn, 1 x 12 units" in result.stderr
    assert re.search(r"^validation +\d", result.stdout, re.MULTILINE)
    more = started("--resume", "--out", "run", "--steps", 30)
    assert "resuming run at step 20" in more.stderr
    assert len(load(Path("run/best.npz")).model.members) == 3
    assert len(load_model("run").generate(length=20, seed=1)) == 20
    # Training from its weights keeps their number.
    again = ("lines.txt", "--init-from", "run", "--out", "other", "--steps", "5")
    assert refused(*again, "--members", 2) == (
        "Error: --members is 2, but the model to start from has 3; leave it out"
    )
    started(*again, "--batch", "4", "--window", "8")
    assert len(load(Path("other/best.npz")).model.members) == 3


def test_the_shape_of_other_weights_is_kept_or_the_option_refused():
    started("lines.txt", *BRIEF, "--out", "run")
    again = ("lines.txt", "--init-from", "run", "--out", "other", "--steps", "5")
    error = refused(*again, "--hidden", "13")
    assert error == (
        "Error: --hidden is 13, but the model to start from has 12; leave it out"
    )
    assert "cell is gru, but the" in refused(*again, "--cell", "gru")
    started(*again, "--hidden", "12", "--batch", "4", "--window", "8")


def test_resuming_for_fewer_steps_than_were_made_is_an_error():
    started("lines.txt", *BRIEF, "--out", "run")
    error = refused("--resume", "--out", "run", "--steps", "10")
    assert "run is already at step 20; expected more than the 10 steps" in error


def test_resuming_with_a_text_that_moved_says_how():
    started("lines.txt", *BRIEF, "--out", "run")
    Path("lines.txt").rename("moved.txt")
    error = refused("--resume", "--out", "run", "--steps", "22")
    assert "if it has moved, name it: charrnn train TEXT --resume --out " in error
    started("moved.txt", "--resume", "--out", "run", "--steps", "22")


def test_documents_between_blank_lines():
    verses = "\n\n".join(f"{line}\nand {line}" for line in sentences(40).splitlines())
    Path("verses.txt").write_text(verses, encoding="utf-8")
    result = started("verses.txt", *BRIEF, "--documents", r"\n\n", "--out", "run")
    assert "verses: 40 documents, " in result.stderr
    assert load_model("run").corpus.documents == "\n\n"
    assert "one document" in refused("lines.txt", *BRIEF, "--documents", "===")
    error = refused("lines.txt", *BRIEF, "--documents", "paragraphs")
    assert "expected lines, files or a separator" in error
