"""charrnn surprise and charrnn novelty: colours, totals, options and mistakes."""

import json
import re
import subprocess
from pathlib import Path

import pytest
from runner import CliRunner
from terminal import on_terminal
from texts import charrnn, command, environment, save_trained, sentences, trained

from charrnn.cli import CLOSED_PIPE, main
from charrnn.cli.colors import painted
from charrnn.markup.tint import Mark
from charrnn.text.reading import from_text
from charrnn.views.surprise import surprise

TOTALS = ("nats", "bits", "perplexity", "characters", "skipped", "replaced")
LOW = {"94": 1, "130": 2, "166": 3, "160": 4}
HIGH = {"223": 5, "215": 6, "208": 7, "202": 8}


@pytest.fixture(autouse=True)
def run(tmp_path, monkeypatch):
    """Work in a folder whose newest run is the trained model."""
    monkeypatch.chdir(tmp_path)
    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    Path("other.txt").write_text(sentences(20, seed=5), encoding="utf-8")
    return save_trained(Path("checkpoints/lines").absolute())


def invoke(*arguments, status=0, **settings):
    result = CliRunner().invoke(main, [*map(str, arguments)], **settings)
    assert result.exit_code == status, (result.output, result.exception)
    return result


def refused(*arguments, status=1):
    result = invoke(*arguments, status=status)
    assert result.stdout == ""
    return result.stderr.strip().split("\n")[-1]


def levels_of(shown):
    """Return the characters of a coloured text, and the level of each."""
    level, characters, levels = 0, "", []
    for part in re.findall(r"\x1b\[[\d;]*m|.", shown, re.DOTALL):
        if not part.startswith("\x1b"):
            characters += part
            levels.append(level)
        elif part == "\x1b[0m":
            level = 0
        else:
            ground = re.fullmatch(r"\x1b\[38;5;16;48;5;(\d+)m", part)
            letters = re.fullmatch(r"\x1b\[(?:4;)?38;5;(\d+)m", part)
            level = HIGH[ground[1]] if ground else LOW[letters[1]]
    return characters, levels


def test_colours_are_the_levels_of_the_characters():
    text = Path("other.txt").read_text()
    shown = invoke("surprise", "other.txt", "--color", "always").stdout
    characters, levels = levels_of(shown)
    marks = [*surprise(trained(), from_text(text)).marks()]
    expected = [
        (c, mark.level)
        for mark in marks
        for c in ("↵\n" if mark.character == "\n" and mark.level else mark.character)
    ]
    # The line end itself is never coloured.
    expected = [(c, 0 if c == "\n" else level) for c, level in expected]
    found = [*zip(characters, levels, strict=True)]
    assert found[: len(expected)] == expected
    assert {level for _, level in expected} >= {0, 1, 2, 3}


@pytest.mark.parametrize("level", range(9))
def test_every_level_has_a_look_of_its_own(level):
    shown = "".join(painted([Mark("x", level, ""), Mark(" ", level, "")], color=True))
    assert levels_of(shown) == ("x ", [level, level])
    assert ("\x1b[4;" in shown) == (0 < level < 5)  # a space with coloured letters


def test_marks_are_not_parted_from_their_letters():
    marks = [Mark("e", 0, ""), Mark("\u0301", 8, ""), Mark("x", 0, "")]
    shown = "".join(painted(marks, color=True))
    assert shown == "\x1b[38;5;16;48;5;202me\u0301\x1b[0mx"


def test_control_characters_are_escaped_even_in_a_pipe():
    marks = [Mark(c, 8, "") for c in "a\x1b\x07\u202e\udcff\tש漢"]
    for color in (True, False):
        text, _ = levels_of("".join(painted(marks, color=color)))
        assert text == "a\\x1b\\x07\\u202e\\xff\tש漢"


def test_colours_are_for_terminals_unless_asked_for(tmp_path):
    def is_coloured(*options, **environ):
        environ = {"TERM": "xterm-256color", "NO_COLOR": ""} | environ
        command = ("surprise", "other.txt", *options)
        status, shown = on_terminal(*command, cwd=tmp_path, **environ)
        assert status == 0
        return b"\x1b[" in shown

    assert is_coloured()
    assert not is_coloured(NO_COLOR="1")
    assert not is_coloured(TERM="dumb")
    assert not is_coloured("--color", "never")
    assert is_coloured("--color", "always", NO_COLOR="1")
    assert "\x1b" not in charrnn("surprise", "other.txt", cwd=tmp_path).stdout


@pytest.mark.parametrize(
    "text",
    [
        ("other.txt",),
        ("other.txt", "other.txt"),
        ("--text", "Ann hides."),
        ("foreign.txt", "--on-unknown", "skip"),
        ("foreign.txt", "--on-unknown", "map"),
    ],
)
def test_the_totals_are_exactly_those_of_eval(text, run):
    Path("foreign.txt").write_text("Änn hides thé moon – at dawn.\n" * 30)
    for checkpoint in ((), (run,)):
        found, expected = (
            json.loads(invoke(name, *checkpoint, *text, "--json").stdout)
            for name in ("surprise", "eval")
        )
        assert {name: found[name] for name in TOTALS} == expected
    tables = [invoke(name, *text).stdout.rstrip() for name in ("surprise", "eval")]
    assert tables[0].endswith(tables[1])


def test_standard_input_and_a_stretch():
    text = Path("other.txt").read_text()
    result = invoke("surprise", "-", "--from", 3, "--length", 60, input=text)
    start = len("".join(text.splitlines(keepends=True)[:2]))
    assert result.stdout.startswith(f"{text[start : start + 60]}\n")
    assert f"Shown are 60 of {len(text)} characters, from line 3 on." in result.stdout


def test_lines_are_listed_with_their_numbers():
    shown = invoke("surprise", "other.txt", "--lines", 2).stdout
    rows = shown.split("the most surprising lines\n")[1].splitlines()[:3]
    assert rows[2] == ""
    for row in rows[:2]:
        number, bits, characters, text = row.split(maxsplit=3)
        assert Path("other.txt").read_text().splitlines()[int(number) - 1] == text
        assert len(text) + 1 == int(characters)
        assert 0 < float(bits) < 20
    assert "most surprising" not in invoke("surprise", "other.txt", "--lines", 0).stdout


def test_values_of_each_character_as_json():
    first, *lines = invoke(
        "surprise", "other.txt", "--json", "--characters"
    ).stdout.splitlines()
    each = [*map(json.loads, lines)]
    text = Path("other.txt").read_text()
    assert "".join(one["character"] for one in each) == text
    totals = json.loads(first)
    assert sum(one["bits"] for one in each) / len(each) == pytest.approx(totals["bits"])
    assert all(len(one["alternatives"]) == 3 for one in each)


def test_a_page_is_written_and_never_over_another_file():
    invoke("surprise", "other.txt", "--html", "page.html")
    page = Path("page.html").read_text(encoding="utf-8")
    assert page.startswith("<!DOCTYPE html>")
    assert "already exists" in refused("surprise", "other.txt", "--html", "page.html")
    invoke("surprise", "other.txt", "--html", "page.html", "--force")
    assert Path("page.html").read_text(encoding="utf-8") == page


def test_a_reader_that_has_seen_enough_ends_it_quietly(tmp_path):
    Path("long.txt").write_text(sentences(3000))
    with subprocess.Popen(
        command("surprise", "long.txt", "--color", "always"),
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    ) as process:
        assert process.stdout.readline()
        process.stdout.close()
        assert b"Traceback" not in process.stderr.read()
    assert process.returncode == CLOSED_PIPE


def test_mistakes_in_surprise(run):
    assert "no text; name a file" in refused("surprise", status=2)
    assert "no text; name a file" in refused("surprise", run, status=2)
    error = refused("surprise", run, "Hello there", status=2)
    assert f"`charrnn surprise {run} --text 'Hello there'`" in error
    both = refused("surprise", "other.txt", "--text", "a", status=2)
    assert "exclude each other" in both
    only = refused("surprise", "other.txt", "--characters", status=2)
    assert "--characters is for --json" in only
    assert "no line 21" in refused("surprise", "other.txt", "--from", 21)


def test_novelty_of_a_copy_and_of_a_sample():
    text = Path("checkpoints/lines/lines.txt").read_text()
    Path("copy.txt").write_text(text[:500])
    found = json.loads(invoke("novelty", "copy.txt", "--json").stdout)
    assert found["text"]["copied"] == {"20": 1.0, "30": 1.0, "50": 1.0}
    assert found["held_out"]["characters"] == 500
    shown = invoke("novelty", "copy.txt").stdout
    assert re.search(r"in copies of 50 or more +100.00%", shown)
    assert re.search(r"\n +1 +1 +500  Ann|\n +1 +1 +500  ", shown)
    sample = ("novelty", "--sample", "--length", 300, "--json", "--prime", "Ann ")
    one = invoke(*sample, "--seed", 7)
    assert one.stderr.splitlines()[-1] == "seed 7"
    assert one.stdout == invoke(*sample, "--seed", 7).stdout
    assert one.stdout != invoke(*sample, "--seed", 8).stdout
    written = invoke("sample", "--length", 300, "--prime", "Ann ", "--seed", 7).stdout
    Path("sample.txt").write_text(written[len("Ann ") : -1])
    from_file = json.loads(invoke("novelty", "sample.txt", "--json").stdout)
    assert json.loads(one.stdout) == from_file


def test_novelty_of_a_text_in_standard_input_and_a_short_one():
    shown = invoke("novelty", "-", input="Ann").stdout
    assert re.search(r"in copies of 20 or more +- +-", shown)
    assert "the longest copies" not in shown


def test_novelty_without_the_text_of_the_training_and_its_advice(run):
    lines = run / "lines.txt"
    lines.rename("moved.txt")
    error = refused("novelty", "other.txt")
    advice = re.search("charrnn (novelty .*) --text PATH", error)[1]
    expected = invoke(*advice.split(), "--text", "moved.txt").stdout
    Path("moved.txt").rename(lines)
    assert invoke("novelty", "other.txt").stdout == expected


def test_mistakes_in_novelty(run):
    for arguments in ((), ("other.txt", "--sample")):
        error = refused("novelty", *arguments, status=2)
        assert "expected either TEXT, a file, or --sample" in error
    error = refused("novelty", "other.txt", "--seed", 3, status=2)
    assert "--seed is for --sample" in error
    error = refused("novelty", run, "Hello there", status=2)
    assert f"pipe it to `charrnn novelty {run} -`" in error
