"""The progress bar of `charrnn train`: what it shows, on a terminal of its own."""

import io
import re
import time

import pytest
from terminal import on_terminal
from texts import TINY, sentences, small_run

from charrnn.cli.options import scoring_bar
from charrnn.cli.train_curve import CurveUpdater
from charrnn.cli.train_progress import ProgressDisplay, make_bar
from charrnn.training.events import Rollback, SaveFailed, Step

# Share done, bar, time spent and time left, rate, losses with a curve.
BAR = re.compile(
    r" *(\d+)% [^ ]* +\d\d:\d\d<\d\d:\d\d +[\d.]+[kM]?char/s, "
    r"loss (?:[▁-█]+ )?\d\.\d{3}( val (?:[▁-█]+ )?\d\.\d{3})?"
)


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """Return what a terminal of 70 columns shows before and after a validation."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "lines.txt").write_text(sentences(), encoding="utf-8")
    options = (*TINY, "--hidden", "64", "--steps", "6000", "--eval-every", "3000")
    status, data = on_terminal("train", "lines.txt", *options, cwd=folder, columns=70)
    assert status == 0, data
    before, line, after = data.decode().partition("step 3,000 ")
    assert line
    return before, after


def bars(shown):
    return [match for part in shown.split("\r") if (match := BAR.fullmatch(part))]


def test_the_bar_shows_share_rate_time_left_and_loss(shown):
    for part in shown:
        assert len(bars(part)) > 1
    shares = [int(bar[1]) for part in shown for bar in bars(part)]
    assert shares == sorted(shares)
    assert shares[-1] > 50


def test_the_bar_shows_the_validation_loss_once_there_is_one(shown):
    before, after = shown
    assert "nan" not in before + after
    assert not any(bar[2] for bar in bars(before))
    assert bars(after)[-1][2]


def test_the_bar_fits_its_terminal_and_leaves_nothing_behind(shown):
    widths = [len(bar[0]) for part in shown for bar in bars(part)]
    assert 60 < max(widths) <= 70
    # Blanks over the last bar, and then the results from the start of the line.
    assert re.search(r"\r {60,70}\rBest \(\*\) at step ", shown[1])


def test_the_bar_says_when_it_validates(shown):
    before, after = shown
    assert re.search(r" 50% [^\r]*char/s, validating", before)
    assert re.search(r"100% [^\r]*char/s, validating", after)


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
@pytest.mark.slow
def test_a_small_curve_shows_the_course_of_the_losses(encoding, tmp_path):
    (tmp_path / "lines.txt").write_text(sentences(), encoding="utf-8")
    options = (*TINY, "--hidden", "64", "--steps", "4000", "--eval-every", "800")
    status, data = on_terminal(
        *("train", "lines.txt", *options),
        cwd=tmp_path,
        columns=60,
        PYTHONIOENCODING=encoding,
    )
    assert status == 0, data
    text = data.decode()
    parts = [part for part in text.split("\r") if re.match(" *\\d+% ", part)]
    assert max(map(len, parts)) <= 60
    training, val = (
        re.findall(rf"{name} ([▁-█]+) \d\.\d", text) for name in ("loss", "val")
    )
    if encoding == "latin-1":
        assert not training + val
        return
    assert training
    losses = [float(loss) for loss in re.findall(r"  val (\d\.\d{4})", text)]
    curve, shown = val[-1], losses[: len(val[-1])]
    assert len(curve) >= 3
    assert curve[shown.index(min(shown))] == "▁"
    assert curve[shown.index(max(shown))] == max(curve) > "▁"
    assert {*map(len, training)} <= {*range(1, 17)}


def test_a_curve_forgets_what_a_diverged_run_made():
    run = small_run(steps=1000)
    terminal = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    with make_bar(run, file=terminal) as bar:
        updater = CurveUpdater(bar, run.trainer)
        for step in range(1, 601):
            run.trainer.progress.step = step
            updater._loss = float(step)
            points = updater._training()
        assert len(points) < 600
        assert points[-1] == (600, 600.0)
        run.trainer.progress.step = 100
        assert updater._training()[-1] == (100, 600.0)
        assert [x for x, _ in points] == sorted({x for x, _ in points})


@pytest.mark.parametrize(("seconds", "is_shown"), [(0.0, False), (1.2, True)])
def test_a_bar_shows_a_scoring_that_takes_more_than_a_second(
    seconds, is_shown, monkeypatch
):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr("sys.stderr", terminal)
    with scoring_bar() as show:
        show(10, 40)
        time.sleep(seconds)
        show(20, 40)
    assert ("scoring  50%" in terminal.getvalue()) == is_shown


def test_no_bar_shows_a_scoring_without_a_terminal(capsys):
    with scoring_bar() as show:
        show(10, 40)
        time.sleep(1.2)
        show(20, 40)
    assert capsys.readouterr() == ("", "")


def test_quiet_shows_no_bar(tmp_path):
    (tmp_path / "lines.txt").write_text(sentences(), encoding="utf-8")
    options = (*TINY, "--steps", "20", "--quiet")
    status, data = on_terminal("train", "lines.txt", *options, cwd=tmp_path)
    assert status == 0
    assert data.decode().split()[0] == "nats/char"
    assert b"%" not in data


def test_a_rollback_moves_the_bar_back_and_keeps_its_rate():
    run = small_run(steps=10_000)
    per_step = run.plan.batch * run.plan.window
    with make_bar(run, file=io.StringIO(), mininterval=0.01) as bar:
        display = ProgressDisplay(run, bar, 0, True)
        for step in range(1, 31):
            time.sleep(0.02)
            display.show(Step(step, 1.0, 0.1, per_step))
        rate = bar.format_dict["rate"]
        display.show(Rollback(30, 20, 9.0, 0.5, 1))
        assert bar.n == 20 * per_step
        for step in range(21, 24):
            time.sleep(0.02)
            display.show(Step(step, 1.0, 0.1, per_step))
        assert bar.n == 23 * per_step
        assert bar.format_dict["rate"] == pytest.approx(rate, rel=0.6)


def test_the_bar_of_a_resumed_run_starts_where_it_stopped():
    run = small_run(steps=100)
    for event in run.events():
        if isinstance(event, Step) and event.step == 25:
            break
    with make_bar(run, file=io.StringIO()) as bar:
        assert bar.n == 25 * run.plan.batch * run.plan.window
        assert bar.total == 4 * bar.n


def test_the_bar_ends_at_its_total_though_the_last_window_of_an_epoch_is_shorter():
    run = small_run(sentences(40), steps=100, batch=7, window=5)
    steps = [event for event in run.events() if isinstance(event, Step)]
    assert len({event.characters for event in steps}) == 2
    for done in (1, run.trainer.epoch_steps, 99, 100):
        characters = sum(event.characters for event in steps[:done])
        assert run.trainer.characters_in(done) == characters
    with make_bar(run, file=io.StringIO()) as bar:
        assert bar.total == characters


def test_a_failed_save_is_reported_with_quiet_and_without_control_characters(capsys):
    run = small_run(steps=100)
    with make_bar(run, disable=True) as bar:
        display = ProgressDisplay(run, bar, 0, True)
        display.show(SaveFailed(20, "\x1b]0;x\x07: cannot be written"))
    assert capsys.readouterr().err == (
        "step 20: not saved: \\x1b]0;x\\x07: cannot be written; training goes on and "
        "tries again\n"
    )
