"""`charrnn compare`: columns on a page or JSON, with the corpus and without."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from runner import CliRunner
from terminal import on_terminal
from texts import save_trained, sentences, trained

from charrnn.cli import main
from charrnn.storage.checkpoint import load, save
from charrnn.text.corpus_info import CorpusInfo


@pytest.fixture(autouse=True)
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return save_trained(Path("checkpoints/lines").absolute())


def compare(*arguments, status=0, **environ):
    result = CliRunner(env=environ).invoke(main, ["compare", *map(str, arguments)])
    assert result.exit_code == status, (result.output, result.exception)
    return result


def test_five_temperatures_by_default_and_the_seed_on_standard_error():
    result = compare("--length", 60)
    titles = re.findall(r"temp(?:erature)? ([\d.]+)", result.stdout)
    assert titles[:5] == ["0.2", "0.5", "0.8", "1", "1.3"]
    assert "Held-out text is likeliest at temperature" in result.stdout
    assert re.fullmatch(
        r"checkpoint checkpoints/lines/best\.npz\nseed \d+\n", result.stderr
    )


def test_columns_share_their_random_numbers():
    found = compare("-t", 0.8, "-t", 1.2, "-t", 0.8, "--seed", 1, "--json")
    first, other, same = json.loads(found.stdout)["columns"]
    assert first == same
    assert first["text"] != other["text"]


def test_json_holds_everything():
    arguments = ("--prime", "Ann ", "--seed", 3, "--length", 50, "-t", 0.5)
    found = json.loads(compare(*arguments, "--json").stdout)
    assert list(found) == ["prime", "seed", "columns", "calibrated", "searched"]
    assert found["searched"] == 1
    assert (found["prime"], found["seed"]) == ("Ann ", 3)
    assert found["calibrated"] > 0
    (column,) = found["columns"]
    assert list(column) == [
        "temperature",
        "text",
        "log_prob",
        "entropy",
        "distinct_4grams",
        "repetition",
        "known_words",
        "longest_copy",
    ]
    text = trained().generate("Ann ", length=50, temperature=0.5, seed=3)
    assert column["text"] == text[4:]


def test_a_missing_corpus_is_said_and_its_figures_left_out(run):
    (run / "lines.txt").unlink()
    result = compare("--seed", 1, "--length", 40)
    assert "lines.txt: no such file" in result.stderr
    command = "charrnn compare checkpoints/lines/best.npz --text TEXT"
    assert f"If you have the text: {command}" in result.stderr
    assert "log p" in result.stdout
    for name in ("known", "copied", "Held-out"):
        assert name not in result.stdout
    found = json.loads(compare("--seed", 1, "--json").stdout)
    assert found["calibrated"] is found["searched"] is None
    assert {column["known_words"] for column in found["columns"]} == {None}


def test_a_corpus_that_changed_is_said_and_its_figures_left_out(run):
    (run / "lines.txt").write_text(sentences(300, seed=2), encoding="utf-8")
    result = compare("--seed", 1, "--length", 40)
    assert "SHA-256 " in result.stderr
    assert "is not that of the text that this model was trained on" in result.stderr
    assert "copied" not in result.stdout


def test_another_text_than_the_model_s_is_refused(run):
    Path("other.txt").write_text(sentences(20), encoding="utf-8")
    result = compare("--text", "other.txt", status=1)
    assert "Error: other.txt: SHA-256 " in result.stderr
    assert result.stdout == ""


def test_a_model_that_knows_no_text_is_compared_with_the_one_that_is_named(run):
    checkpoint = load(run / "best.npz")
    save(replace(checkpoint, corpus=CorpusInfo()), Path("mine.npz"))
    result = compare("mine.npz", "--length", 40, "--text", run / "lines.txt")
    assert "copied" in result.stdout


def test_a_corpus_that_moved_is_named(run):
    (run / "lines.txt").rename("moved.txt")
    result = compare("--seed", 1, "--length", 40, "--text", "moved.txt")
    assert result.stderr.split("\n")[1:] == ["seed 1", ""]
    assert "copied" in result.stdout


@pytest.mark.parametrize("width", [30, 60, 100])
def test_the_page_fits_the_width_that_is_asked_for(width):
    page = compare("--seed", 1, "--length", 200, "--width", width).stdout
    assert max(map(len, page.split("\n"))) <= width


@pytest.mark.parametrize("columns", [60, 132])
def test_the_page_fits_the_terminal(columns):
    page = compare("--seed", 1, "--length", 200, COLUMNS=str(columns)).stdout
    longest = max(map(len, page.split("\n")))
    assert longest <= columns
    assert longest > columns * 0.7


def test_only_a_terminal_gets_control_sequences(run):
    short = ("--width", 60, "--length", 50, "--seed", 1)
    arguments = ("compare", run, "-t", 0.5, "-t", 1, *short)
    status, shown = on_terminal(*arguments, cwd=run, TERM="xterm")
    assert status == 0
    assert b"\x1b[32Gtemperature 1" in shown
    _, dumb = on_terminal(*arguments, cwd=run, TERM="dumb")
    assert b"\x1b" not in dumb
    plain = compare(*arguments[1:]).stdout
    assert "\x1b" not in plain
    bare = re.sub(rb"\x1b\[\d+G", b"", shown).replace(b"\r", b"")
    assert bare == b"seed 1\n" + plain.encode()


@pytest.mark.parametrize(
    ("options", "status", "said"),
    [
        (("-t", "-1"), 1, "temperature is -1"),
        (("-t", "hot"), 2, "'hot' is not a valid float"),
        (("--length", "-1"), 1, "length is -1"),
        (("--length", "0"), 1, "length is 0; expected at least 1, to compare texts"),
        (("--width", "3"), 2, "3 is not in the range"),
        (("--prime", "#"), 1, "the model has never seen '#'"),
        (("none.npz",), 1, "none.npz: no such file"),
    ],
)
def test_an_option_that_makes_no_sense_is_one_line(options, status, said):
    result = compare(*options, status=status)
    assert result.stdout == ""
    error = result.stderr.strip().split("\n")[-1]
    assert error.startswith("Error: ")
    assert said in error


def test_a_model_of_bytes_is_compared():
    Path("data.bin").write_bytes(("Le café où l’été dort. " * 40).encode())
    brief = ("--hidden", "8", "--steps", "9", "--threads", "1", "--bytes", "--quiet")
    CliRunner().invoke(main, ["train", "data.bin", *brief, "--out", "run"])
    found = json.loads(compare("run", "--length", 40, "--seed", 1, "--json").stdout)
    assert found["calibrated"] is None  # after nine steps it knows nothing
    assert {len(column["text"]) for column in found["columns"]} == {40}


def test_a_prime_takes_escapes():
    escaped = compare("--prime", r"Ann\x20", "--seed", 1, "--length", 30).stdout
    assert escaped == compare("--prime", "Ann ", "--seed", 1, "--length", 30).stdout


def test_a_text_for_a_checkpoint_is_an_error_that_shows_the_option():
    error = compare("Ann mends", status=2).stderr
    assert "use `charrnn compare --prime 'Ann mends'`" in error


def test_a_page_is_written_and_nothing_else_printed(run):
    arguments = ("--seed", 1, "--length", 40, "--prime", "Ann ", "--html", "page.html")
    result = compare(*arguments)
    assert result.stdout == ""
    assert result.stderr.endswith("seed 1\nwrote page.html\n")
    page = Path("page.html").read_text(encoding="utf-8")
    found = json.loads(compare(*arguments[:-2], "--json").stdout)
    for column in found["columns"]:
        assert f">temperature {column['temperature']:g}<" in page
        assert f'<td class="number">{column["log_prob"]:.3f}</td>' in page
    assert "copied from the training text are underlined" in page
    both = compare(*arguments, "--json", "--force")
    assert json.loads(both.stdout) == found


def test_an_existing_page_is_kept_unless_it_is_to_be_replaced():
    Path("page.html").write_text("mine")
    arguments = ("--seed", 1, "--length", 20, "--html", "page.html")
    result = compare(*arguments, status=1)
    assert "page.html: already exists; give another name, or replace" in result.stderr
    assert "seed" not in result.stderr  # it is refused before the work
    assert Path("page.html").read_text() == "mine"
    compare(*arguments, "--force")
    assert Path("page.html").read_text().startswith("<!DOCTYPE html>")
    Path("blocked").write_text("")
    result = compare(*arguments[:-1], "blocked/page.html", status=1)
    assert "blocked/page.html: cannot be written" in result.stderr


def test_several_texts_at_each_temperature():
    arguments = ("-t", 0.5, "-t", 1, "--seed", 1, "--length", 60, "--width", 60)
    result = compare(*arguments, "-n", 3)
    found = json.loads(compare(*arguments, "-n", 3, "--json").stdout)
    for column in found["columns"]:
        assert len(column["texts"]) == 3
        mean, spread = column["mean"]["log_prob"], column["spread"]["log_prob"]
        assert f"{mean:.2f}±{spread:.2f}" in result.stdout
    alone = json.loads(compare(*arguments, "--json").stdout)
    assert [each["text"] for each in alone["columns"]] == [
        each["text"] for each in found["columns"]
    ]
    assert compare(*arguments, "-n", 0, status=2).stderr


def test_without_the_text_a_page_is_written_all_the_same(run):
    (run / "lines.txt").unlink()
    result = compare("--seed", 1, "--length", 40, "--html", "page.html")
    assert "lines.txt: no such file" in result.stderr
    assert "is not available" in Path("page.html").read_text(encoding="utf-8")
