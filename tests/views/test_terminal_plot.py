"""Curves as text: they fit, and without colours there are none."""

import re

import pytest
from extras import needs_plotext
from histories import rollback, scoreboard, validation, write_history
from wcwidth import wcswidth

from charrnn.errors import ConfigError
from charrnn.views.curves import read_curves
from charrnn.views.terminal_plot import terminal_plot

pytestmark = needs_plotext

COLOR = re.compile(r"\x1b\[[\d;]*m")
NAMES = ("run", "a-long-name" * 20, "文心雕龙" * 20, "ألف ليلة")


@pytest.fixture
def runs(tmp_path):
    """Return the curves of four runs."""
    folders = [
        write_history(
            tmp_path / name,
            *(validation(10 * i, 2 + n / 10 - i / 40) for i in range(1, 31)),
            rollback(305, 300),
            scoreboard(300, 1.7, 5),
        )
        for n, name in enumerate(NAMES)
    ]
    return [read_curves(folder) for folder in folders]


@pytest.mark.parametrize("color", [False, True])
@pytest.mark.parametrize("width", [30, 60, 100])
def test_no_line_is_wider_than_the_terminal(runs, width, color):
    text = terminal_plot(runs, show=["lr", "clipped"], width=width, color=color)
    lines = COLOR.sub("", text).splitlines()
    widest = max(map(wcswidth, lines))
    assert width - 1 <= widest <= width or width == 30
    assert all(wcswidth(line) <= width for line in lines if "┌" in line)


def test_colours_only_if_asked_for(runs):
    assert "\x1b" not in terminal_plot(runs)
    colored = terminal_plot(runs, color=True)
    assert len({*COLOR.findall(colored)}) > len(runs)
    assert re.search("[\u2801-\u28ff]", colored)


def test_without_colours_lines_are_letters_that_the_legend_explains(runs):
    text = terminal_plot(runs[:1], width=60)
    plot, _, legend = text.rpartition("┘")
    assert {"v", "t", "○", "×", "-"} <= {*plot.partition("┌")[2]}
    assert "t training\n" in legend
    assert "v validation, ○ best 1.2500 at step 300\n" in legend
    assert "- 5-gram 1.7000\n" in legend
    assert "× diverged, and went back" in legend


def test_the_losses_fall_from_left_to_right(runs):
    text = terminal_plot(runs[:1], width=60)
    rows = [line for line in text.splitlines() if "v" in line and "│" in line]
    assert rows[0].index("v") < rows[-1].index("v")


def test_an_encoding_without_lines_and_dots_gets_ascii(runs):
    text = terminal_plot(runs[:1], encoding="ascii", color=True)
    assert text.isascii()
    assert "+--" in text
    assert terminal_plot(runs[:1], encoding="latin-1").encode("latin-1")


def test_a_single_validation_is_drawn(tmp_path):
    run = read_curves(write_history(tmp_path / "run", validation(10)))
    assert "best 1.5000 at step 10" in terminal_plot([run])


def test_what_is_not_recorded_is_an_error(tmp_path):
    line = {"event": "validation", "step": 10, "train_loss": 2.0}
    run = read_curves(write_history(tmp_path / "run", line))
    assert "t training" in terminal_plot([run])
    with pytest.raises(ConfigError, match="no lr recorded"):
        terminal_plot([run], show=["lr"])
    with pytest.raises(ConfigError, match="x is 'hours'"):
        terminal_plot([run], x="hours")


def test_very_many_validations_are_drawn_soon(tmp_path):
    events = (validation(step, 2 + step % 7) for step in range(1, 30_001))
    run = read_curves(write_history(tmp_path / "long", *events))
    assert "30,000" in terminal_plot([run])


def test_a_run_of_which_less_is_known_does_not_keep_others_from_being_drawn(tmp_path):
    line = {"event": "validation", "step": 10, "train_loss": 2.0}
    bare = read_curves(write_history(tmp_path / "bare", line))
    full = read_curves(write_history(tmp_path / "full", validation(10), validation(20)))
    text = terminal_plot([bare, full], x="minutes", show=["lr"])
    assert "b full, ○ best 1.5000 at step 10" in text
    assert "minutes of training" in text
