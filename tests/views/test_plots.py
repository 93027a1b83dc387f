"""Figures of matplotlib: the data drawn, the labels, and the files."""

import itertools
import re
from pathlib import Path

import numpy as np
import pytest
from extras import needs_matplotlib
from histories import rollback, scoreboard, validation, write_history
from texts import trained

import charrnn
from charrnn.errors import CharRNNError, ConfigError
from charrnn.markup import page
from charrnn.views.curves import read_curves

pytestmark = needs_matplotlib

if needs_matplotlib.args[0] is False:
    from charrnn.views.plots import DARK, LIGHT, _apart, plot, save


@pytest.fixture
def runs(tmp_path):
    """Return the curves of three runs, of which one has diverged."""
    losses = {"one": (2.0, 1.6, 1.5, 1.55), "two": (2.2, 1.7, 1.75), "three": (2.1,)}
    for name, values in losses.items():
        events = [
            validation(10 * i, loss, loss - 0.1) for i, loss in enumerate(values, 1)
        ]
        events += [rollback(36, 30)] if name == "two" else []
        write_history(tmp_path / name, *events, scoreboard(40, 1.65, 5))
    return [read_curves(tmp_path / name) for name in losses]


def lines(figure, panel=0):
    """Return the data of a panel's lines by their names."""
    return {
        line.get_gid(): line.get_xydata().tolist()
        for line in figure.axes[panel].get_lines()
        if line.get_gid()
    }


def texts(figure):
    found = [text.get_text() for axes in figure.axes for text in axes.texts]
    return found + [axes.get_title(loc="left") for axes in figure.axes]


def test_the_data_drawn_are_those_of_the_history(runs):
    drawn = lines(plot(runs))
    for run in runs:
        for kind, values in (
            ("training", run.train_loss),
            ("validation", run.val_loss),
        ):
            expected = np.column_stack([run.step, values]).tolist()
            assert drawn[f"{run.name} {kind}"] == expected
    assert drawn["one best"] == [[30.0, 1.5]]
    assert drawn["two best"] == [[20.0, 1.7]]
    assert [x for x, _ in drawn["two rollbacks"]] == [36]
    assert "one rollbacks" not in drawn


@pytest.mark.parametrize("axis", ["epochs", "minutes"])
def test_losses_against_other_axes(runs, axis):
    drawn = lines(plot(runs, x=axis))
    expected = np.column_stack([runs[0].x(axis), runs[0].val_loss]).tolist()
    assert drawn["one validation"] == expected
    assert drawn["one best"] == [[runs[0].x(axis)[2], 1.5]]


def test_measures_have_panels_below(runs):
    figure = plot(runs, show=["lr", "clipped", "lr"])
    assert len(figure.axes) == 3
    for panel, measure in enumerate(("lr", "clipped"), 1):
        drawn = lines(figure, panel)
        assert list(drawn) == [f"{run.name} {measure}" for run in runs]
        expected = np.column_stack([runs[0].step, runs[0].measure(measure)])
        assert drawn[f"one {measure}"] == expected.tolist()
    assert "learning rate" in texts(figure)


def test_one_run_is_labelled_directly(runs):
    found = texts(plot(runs[:1]))
    assert {"one", "training", "validation", "5-gram  1.650"} <= {*found}
    assert any("○ best 1.5000 at step 30" in text for text in found)
    assert plot(runs[:1]).axes[0].get_legend() is None


def test_several_runs_are_told_apart_by_colour_and_by_line(runs):
    figure = plot(runs)
    found = texts(figure)
    assert {"one  1.500", "two  1.700", "three  2.100", "5-gram  1.650"} <= {*found}
    drawn = [
        line
        for line in figure.axes[0].get_lines()
        if (line.get_gid() or "").endswith("validation")
    ]
    assert len({line.get_color() for line in drawn}) == 3
    assert len({str(line._dash_pattern) for line in drawn}) == 3
    colors = {text.get_text(): text.get_color() for text in figure.axes[0].texts}
    assert colors["two  1.700"] == drawn[1].get_color()


def test_no_two_runs_of_sixteen_look_the_same(runs):
    figure = plot(runs[:1] * 16)
    looks = {
        (line.get_color(), str(line._dash_pattern))
        for line in figure.axes[0].get_lines()
        if (line.get_gid() or "").endswith("validation")
    }
    assert len(looks) == 16


def test_ngrams_of_different_texts_are_drawn_apart(runs, tmp_path):
    events = validation(10, 2.0), scoreboard(10, 1.2, 3)
    other = read_curves(write_history(tmp_path / "other", *events))
    found = texts(plot([runs[0], other]))
    assert {"5-gram of one", "3-gram of other"} <= {*found}


def test_labels_lie_apart_and_inside():
    wanted = [0.0, 0.0, 0.01, 0.5, 0.98, 1.0, 1.0]
    places = _apart(wanted, 0.1)
    assert all(b - a >= 0.1 - 1e-9 for a, b in itertools.pairwise(places))
    assert min(places) >= 0
    assert max(places) <= 1 + 1e-9
    assert places[3] == 0.5


@pytest.mark.parametrize(
    ("ending", "start"),
    [(".png", b"\x89PNG\r\n\x1a\n"), (".svg", b"<?xml"), (".PDF", b"%PDF-1.")],
)
def test_a_file_is_what_its_ending_says(ending, start, runs, tmp_path):
    paths = [tmp_path / f"{name}{ending}" for name in "ab"]
    for path in paths:
        save(plot(runs), path)
    data = paths[0].read_bytes()
    assert data.startswith(start)
    assert len(data) < 200_000
    assert paths[1].read_bytes() == data


def test_names_are_text_and_no_markup(tmp_path):
    name = "$x_1$ <script>"
    run = read_curves(write_history(tmp_path / name, validation(10), validation(20)))
    save(plot([run]), tmp_path / "plot.svg")
    svg = (tmp_path / "plot.svg").read_text(encoding="utf-8")
    assert "$x_1$ &lt;script&gt;" in svg
    assert "<script" not in svg


@pytest.mark.parametrize(
    "name", ["文心雕龙", "ألف ليلة وليلة", "\x1b[31m", "🎭", "a" * 99]
)
def test_names_of_any_script_are_drawn_without_warnings(name, runs, tmp_path, recwarn):
    run = read_curves(write_history(tmp_path / name, validation(10), validation(20)))
    figure = plot([run, *runs])
    save(figure, tmp_path / "plot.png")
    assert not [str(warning.message) for warning in recwarn]
    label = figure.axes[0].texts[0].get_text()
    assert label.isprintable()
    assert len(label) < 50


def test_characters_that_no_font_has_become_escapes_with_a_note(runs, tmp_path):
    name = "run \U00013000"  # a hieroglyph
    run = read_curves(write_history(tmp_path / name, validation(10)))
    figure = plot([run])
    assert r"run \U00013000" in texts(figure)
    assert any(note.startswith("no font for") for note in figure.notes)


def test_an_existing_file_is_kept(runs, tmp_path):
    path = tmp_path / "plot.png"
    path.write_text("mine")
    with pytest.raises(ConfigError, match=r"plot.png: already exists; .*--force"):
        save(plot(runs), path)
    assert path.read_text() == "mine"
    save(plot(runs), path, force=True)
    assert path.read_bytes().startswith(b"\x89PNG")


def test_other_endings_and_places_are_refused(runs, tmp_path):
    with pytest.raises(ConfigError, match=r"ends in .png, .svg or .pdf"):
        save(plot(runs), tmp_path / "plot.gif")
    (tmp_path / "file").touch()
    with pytest.raises(CharRNNError, match="cannot be written"):
        save(plot(runs), tmp_path / "file" / "plot.png")


def test_no_more_runs_than_can_be_told_apart(runs):
    with pytest.raises(ConfigError, match="41 runs; expected 1 to 40"):
        plot(runs[:1] * 41)


def test_light_and_dark_are_the_colours_of_the_pages():
    css = (Path(page.__file__).parent / "page.css").read_text(encoding="utf-8")
    light, dark = re.findall(r":root \{(.*?)\}", css, re.DOTALL)[:2]
    for text, theme in ((light, LIGHT), (dark, DARK)):
        found = dict(re.findall(r"--([\w-]+): (#\w+);", text))
        assert found["page"] == theme.page
        assert (found["ink"], found["muted"]) == (theme.ink, theme.muted)
        assert found["rule"] == theme.rule
        assert tuple(found[f"series-{i}"] for i in range(1, 5)) == theme.series


def test_dark_is_dark(runs):
    assert plot(runs, dark=True).get_facecolor()[:3] < (0.2, 0.2, 0.2)


def test_the_settings_of_the_user_do_not_change_a_figure(runs, tmp_path):
    import matplotlib

    save(plot(runs), tmp_path / "a.png")
    with matplotlib.rc_context({"font.size": 40, "lines.linewidth": 9}):
        save(plot(runs), tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_very_many_validations_can_be_drawn(tmp_path):
    events = (validation(step, 2 + step % 7) for step in range(1, 60_001))
    run = read_curves(write_history(tmp_path / "long", *events))
    figure = plot([run])
    assert len(lines(figure)["long validation"]) == 60_000
    save(figure, tmp_path / "long.png")


def test_from_python_a_figure_of_folders_and_models(runs, tmp_path):
    figure = charrnn.plot(
        [tmp_path / "one", trained()], tmp_path / "out.svg", x="steps", show=()
    )
    assert {"one validation", "model validation"} <= lines(figure).keys()
    assert figure._repr_png_().startswith(b"\x89PNG")
    assert (tmp_path / "out.svg").read_bytes().startswith(b"<?xml")
    single = charrnn.plot(tmp_path / "one", show="lr")
    assert len(single.axes) == 2
    assert "model validation" in lines(charrnn.plot(trained()))
    with pytest.raises(ConfigError, match="already exists"):
        charrnn.plot(tmp_path / "one", tmp_path / "out.svg")


def test_a_rollback_after_the_last_validation_lies_inside(tmp_path):
    events = validation(10), rollback(19, 10)
    figure = plot([read_curves(write_history(tmp_path / "run", *events))])
    assert lines(figure)["run rollbacks"][0][0] == 19
    assert figure.axes[0].get_xlim()[1] > 19


def test_a_run_of_which_less_is_known_does_not_keep_others_from_being_drawn(
    runs, tmp_path
):
    line = {"event": "validation", "step": 10, "train_loss": 2.0}
    bare = read_curves(write_history(tmp_path / "bare", line))
    figure = plot([bare, *runs], x="minutes", show=["lr"])
    save(figure, tmp_path / "plot.png")
    assert "one  1.500" in texts(figure)
