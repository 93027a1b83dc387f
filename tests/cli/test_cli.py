"""The command as a whole: help, next, eval, and how mistakes look."""

import errno
import importlib
import json
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from places import ROOT
from runner import CliRunner
from terminal import on_terminal
from texts import (
    TINY,
    charrnn,
    command,
    environment,
    save_trained,
    sentences,
    trained,
)

from charrnn import __version__, cli
from charrnn.cli import main
from charrnn.config import CELLS

COMMANDS = (
    *("download", "train", "sample", "compare", "next", "eval"),
    *("surprise", "novelty", "neurons", "plot", "serve"),
    *("cache", "bench", "ensemble", "export", "import", "gradcheck"),
)


@pytest.fixture(autouse=True)
def run(tmp_path, monkeypatch):
    """Work in a folder whose newest run is the trained model."""
    monkeypatch.chdir(tmp_path)
    return save_trained(Path("checkpoints/lines").absolute())


def invoke(*arguments, status=0, **settings):
    result = CliRunner().invoke(main, [*map(str, arguments)], **settings)
    assert result.exit_code == status, (result.output, result.exception)
    assert isinstance(result.exception, SystemExit | None), result.exception
    return result


def refused(*arguments, status=1):
    result = invoke(*arguments, status=status)
    assert result.stdout == ""
    error = result.stderr.strip().split("\n")[-1]
    assert error.startswith("Error: ")
    return error


def test_help_lists_every_command():
    text = invoke("--help").stdout
    lines = text.split("Commands:\n")[1].split("\n\n")[0].splitlines()
    assert tuple(line.split()[0] for line in lines) == COMMANDS
    assert invoke("-h").stdout == text


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself_on_a_narrow_terminal(name):
    text = invoke(name, "--help", terminal_width=60).stdout
    assert text.startswith(f"Usage: main {name} ")
    assert max(map(len, text.split("\n"))) <= 60


def test_the_version():
    assert invoke("--version").stdout == f"charrnn, version {__version__}\n"


def test_python_m_charrnn_is_the_command(tmp_path):
    done = charrnn("--help", cwd=tmp_path)
    assert done.returncode == 0
    assert done.stdout.startswith("Usage: charrnn ")


def test_mistyped_commands_and_options_are_usage_errors():
    found = refused("trian", status=2)
    assert found == "Error: No such command 'trian'. Did you mean 'train'?"
    assert refused("xyz", status=2) == "Error: No such command 'xyz'."
    assert "No such option" in refused("sample", "--tempreature", 1, status=2)
    assert "Missing argument 'PREFIX'" in refused("next", status=2)


@pytest.mark.parametrize("command", ["eval", "export", "neurons"])
def test_a_mistyped_run_is_recognised(command):
    more = ("--out", "a.npz") if command == "export" else ()
    for name, run in (("linse", "lines"), ("shakespere", "shakespeare")):
        error = refused(command, name, *more)
        assert error == f"Error: {name}: no such file or run; did you mean {run}?"
    error = refused(command, "unlike", *more)
    assert error.startswith("Error: unlike: no such file or run; expected a checkpoint")


def test_a_mistyped_run_may_be_a_prime():
    assert refused("sample", "linse", status=2) == (
        "Error: linse: no such file or run; did you mean lines? To start a text with "
        "it, use `charrnn sample --prime linse`"
    )


def test_errors_name_options_and_not_arguments_of_python(tmp_path):
    assert refused("sample", "--top-p", 2).startswith("Error: --top-p is 2; expected")
    assert refused("sample", "--length", -1).startswith("Error: --length is -1; ")
    error = refused("sample", "--prime", "★")
    assert error.startswith("Error: the prime: the model has never seen '★'")
    assert error.endswith("; leave them out, or set --on-unknown to skip or map")
    # Names of files stay as they are.
    for path in ("on_unknown", "top_p/on_unknown.npz", "val_text"):
        assert refused("eval", path).startswith(f"Error: {path}: no such file")


@pytest.mark.parametrize("url", ["http://[abc/x.txt", "http://a..b/x.txt"])
def test_an_address_that_is_none_is_one_line(url):
    result = CliRunner().invoke(main, ["download", "--url", url])
    assert result.exit_code in (1, 2)
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.stderr.strip().split("\n")[-1].startswith("Error: ")
    assert url in result.stderr
    assert not Path("data").exists()


def test_next_ranks_what_comes():
    result = invoke("next", "Ann mends the moon, at daw")
    lines = result.stdout.rstrip("\n").split("\n")
    assert len(lines) == 10
    ranked = trained().next("Ann mends the moon, at daw")
    for rank, (line, (character, p)) in enumerate(zip(lines, ranked, strict=False), 1):
        assert line.split()[0] == str(rank)
        assert repr(character) in line
        assert f"{p:.4f}" in line
    assert lines[0].startswith(f"  1  {ranked[0][1]:.4f}  'n'     █")
    assert "█" * 20 in lines[0]
    assert result.stderr == "checkpoint checkpoints/lines/best.npz\n"


def test_next_takes_escapes():
    assert invoke("next", r"Ann\x20").stdout == invoke("next", "Ann ").stdout
    assert invoke("next", r"\n").stdout == invoke("next", "").stdout
    assert r"PREFIX: \q is not an escape" in refused("next", r"\q")


def test_next_with_its_arguments_swapped(run):
    error = refused("next", run, "A nn", status=2)
    assert error.endswith(
        f"PREFIX comes before CHECKPOINT: `charrnn next 'A nn' {run}`"
    )


def test_next_as_json_lists_all_and_sums_to_1(run):
    result = invoke("next", "Ann ", run, "--json", "--top", 1000)
    found = [json.loads(line) for line in result.stdout.splitlines()]
    assert [line["rank"] for line in found] == [*range(1, 34)]
    assert {line["character"] for line in found} == set(trained().vocab.characters)
    chances = [line["probability"] for line in found]
    assert sum(chances) == pytest.approx(1, abs=1e-9)
    assert chances == sorted(chances, reverse=True)
    assert result.stderr == ""


def test_next_after_unknown_characters():
    assert "'#'" in refused("next", "Ann #")
    skipped = invoke("next", "Ann #", "--on-unknown", "skip").stdout
    assert skipped == invoke("next", "Ann ").stdout
    assert "Error" in refused("next", "##", "--on-unknown", "skip")


def test_eval_gives_the_scoreboard_of_the_training():
    Path("lines.txt").write_text(sentences(), encoding="utf-8")
    brief = ("--steps", 30, "--out", "run", "--quiet")
    board = invoke("train", "lines.txt", *TINY, *brief).stdout
    assert invoke("eval", "run").stdout == board
    assert invoke("eval", "run", "lines.txt").stdout == board


def test_eval_gives_the_scoreboard_of_the_training_for_bytes_too():
    Path("data.bin").write_bytes(("Le café où l’été dort. " * 60).encode())
    brief = ("--steps", 30, "--out", "run", "--quiet", "--bytes")
    board = invoke("train", "data.bin", *TINY, *brief).stdout
    assert invoke("eval", "run").stdout == board
    assert invoke("eval", "run", "data.bin").stdout == board


def test_eval_of_the_newest_run_as_json():
    result = invoke("eval", "--json")
    board = json.loads(result.stdout)
    scores, parts = ["train", "val", "ngram"], ["fitted", "train_part", "val_part"]
    assert list(board) == [*scores, "ngram_order", *parts]
    ids = trained().vocab.encode(sentences(300))
    assert board["fitted"] == board["train_part"] == int(len(ids) * 0.9)
    assert board["val_part"] == len(ids) - board["train_part"]
    assert board["val"]["characters"] == len(ids) - int(len(ids) * 0.9) - 1
    assert 0 < board["val"]["nats"] < 1


def test_eval_on_another_text_scores_all_of_it_after_a_likely_start(run):
    text = sentences(90, seed=5)
    Path("other.txt").write_text(text, encoding="utf-8")
    result = invoke("eval", run, "other.txt")
    head, row = result.stdout.splitlines()
    assert head.split() == ["nats/char", "bits/char", "perplexity", "characters"]
    expected = trained().evaluate(trained().default_prime() + text)
    name, nats, _, _, characters = row.split()
    assert (name, nats) == ("other", f"{expected.nats:.4f}")
    assert characters == f"{len(text):,}"
    as_json = json.loads(invoke("eval", run, "other.txt", "--json").stdout)
    assert as_json["nats"] == pytest.approx(expected.nats, abs=1e-6)
    assert as_json["characters"] == len(text)


def test_eval_of_a_sentence_and_of_standard_input(run):
    likely, unlikely = "Ann paints the moon, in June.", "Quietly rest, my dear."
    scores = [
        json.loads(invoke("eval", run, "--text", text, *more, "--json").stdout)
        for text, more in ((likely, ()), (unlikely, ("--on-unknown", "skip")))
    ]
    assert scores[0]["nats"] < scores[1]["nats"]
    assert scores[0]["characters"] == len(likely)
    piped = invoke("eval", run, "-", "--json", input=likely.encode())
    assert json.loads(piped.stdout) == scores[0]
    both = refused("eval", run, "x.txt", "--text", "a", status=2)
    assert "exclude each other" in both


def test_eval_per_line_adds_up_to_the_whole(run):
    text = sentences(5, seed=7)
    Path("other.txt").write_text(text, encoding="utf-8")
    *lines, whole = map(
        json.loads,
        invoke("eval", run, "other.txt", "--per", "line", "--json").stdout.splitlines(),
    )
    assert [line["text"] for line in lines] == text.splitlines()
    assert [line["number"] for line in lines] == [1, 2, 3, 4, 5]
    total = sum(line["nats"] * line["characters"] for line in lines)
    assert total / len(text) == pytest.approx(whole["nats"], rel=1e-6)
    shown = invoke("eval", run, "other.txt", "--per", "line").stdout.splitlines()
    assert shown[0].endswith(text.splitlines()[0])
    error = refused("eval", run, "other.txt", "--per", "document")
    assert "expected --per line" in error


def test_eval_dynamic_lets_the_model_follow_the_text(run):
    text = sentences(90, seed=5)
    Path("other.txt").write_text(text, encoding="utf-8")
    found = json.loads(invoke("eval", run, "other.txt", "--dynamic", "--json").stdout)
    model = trained()
    expected = model.evaluate(model.default_prime() + text, dynamic=True)
    assert found["nats"] == pytest.approx(expected.nats, abs=1e-6)
    assert (found["characters"], found["dynamic"]) == (len(text), True)
    assert found["nats"] < model.evaluate(model.default_prime() + text).nats
    row = invoke("eval", run, "other.txt", "--dynamic").stdout.splitlines()[1]
    assert row.split()[:3] == ["other,", "dynamic", f"{expected.nats:.4f}"]
    *lines, whole = invoke(
        *("eval", run, "other.txt", "--dynamic", "--per", "line", "--json")
    ).stdout.splitlines()
    assert len(lines) == 90
    assert json.loads(whole) == found


def test_eval_dynamic_without_a_text_scores_the_validation_part():
    found = json.loads(invoke("eval", "--dynamic", "--json").stdout)
    static = json.loads(invoke("eval", "--json").stdout)["val"]
    assert found["characters"] == static["characters"]
    assert found["nats"] != static["nats"]
    row = invoke("eval", "--dynamic").stdout.splitlines()[1]
    assert row.split()[:3] == ["validation,", "dynamic", f"{found['nats']:.4f}"]


def test_eval_counts_what_it_left_out_and_replaced(run):
    Path("other.txt").write_text("Ännä, Ben Ж.\n", encoding="utf-8")
    skipped = invoke("eval", run, "other.txt", "--on-unknown", "skip", "--json")
    left_out = json.loads(skipped.stdout)
    assert (left_out["skipped"], left_out["replaced"]) == (3, 0)
    mapped = json.loads(
        invoke("eval", run, "other.txt", "--on-unknown", "map", "--json").stdout
    )
    assert (mapped["skipped"], mapped["replaced"]) == (1, 2)
    assert mapped["characters"] == len("Anna, Ben .\n")
    assert "3 characters that the model does not know were left out" in skipped.stderr


def test_a_text_before_a_checkpoint_is_an_error_that_shows_the_order(run):
    Path("other.txt").write_text("Ann", encoding="utf-8")
    best = str(run / "best.npz")
    error = refused("eval", "other.txt", best, status=2)
    assert f"charrnn eval {best} other.txt" in error


def test_eval_of_a_text_alone_scores_the_newest_run_on_it(run):
    Path("other.txt").write_text(sentences(90, seed=5), encoding="utf-8")
    Path("texts").mkdir()
    Path("texts/other.txt").write_text(sentences(90, seed=5), encoding="utf-8")
    expected = invoke("eval", run, "other.txt").stdout
    for text in ("other.txt", "texts"):
        result = invoke("eval", text)
        assert result.stdout.split()[5:] == expected.split()[5:]
        assert result.stderr == "checkpoint checkpoints/lines/best.npz\n"
    both = invoke("eval", "other.txt", "other.txt").stdout
    assert both == invoke("eval", run, "other.txt", "other.txt").stdout


def test_eval_of_a_checkpoint_that_is_damaged_or_missing_takes_it_for_no_text(run):
    Path("best.npz").write_bytes((run / "best.npz").read_bytes()[:900])
    assert "best.npz: not a readable .npz archive" in refused("eval", "best.npz")
    assert "none: no such file" in refused("eval", "none")


def test_eval_on_unknown_characters(run):
    Path("other.txt").write_text(sentences(90).replace("a", "ä"), encoding="utf-8")
    assert "the model has never seen 'ä'" in refused("eval", run, "other.txt")
    mapped = invoke("eval", run, "other.txt", "--on-unknown", "map").stdout
    Path("other.txt").write_text(sentences(90), encoding="utf-8")
    assert mapped == invoke("eval", run, "other.txt").stdout
    Path("foreign.txt").write_text("漢字" * 100, encoding="utf-8")
    error = refused("eval", run, "foreign.txt", "--on-unknown", "skip")
    assert "Error" in error


@pytest.mark.parametrize("length", [1, 2, 25])
def test_eval_on_a_very_short_text(run, length):
    Path("short.txt").write_text(sentences()[:length], encoding="utf-8")
    assert invoke("eval", run, "short.txt").stdout.split()[-1] == str(length)


def test_eval_without_the_text_of_the_training(run):
    (run / "lines.txt").unlink()
    error = refused("eval")
    command = "charrnn eval checkpoints/lines/best.npz TEXT"
    assert error == f"Error: no text to score; name one: {command}"


def test_gradcheck_proves_the_gradients():
    result = invoke("gradcheck", "--hidden", 3, "--window", 3, "--layers", 1)
    assert "WRONG" not in result.stdout
    for cell in ("rnn", "gru", "lstm"):
        assert f"{cell} layer0.Wh" in result.stdout


def test_a_damaged_checkpoint_is_one_line_for_every_command(run):
    data = (run / "best.npz").read_bytes()
    (run / "best.npz").write_bytes(data[:-400])
    for arguments in (("sample",), ("compare",), ("next", "A"), ("eval",)):
        error = refused(*arguments)
        assert "best.npz: not a readable .npz archive" in error


def test_help_into_a_closed_pipe_is_quiet():
    for arguments in (("--help",), ("train", "--help")):
        with subprocess.Popen(
            command(*arguments),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(),
        ) as process:
            process.stdout.close()
            assert process.stderr.read() == b""


RUSSIAN = "Привет, мир! Как дела.\n"


@pytest.fixture(scope="module")
def russian(tmp_path_factory):
    """Return a folder with a model that knows Cyrillic letters."""
    folder = tmp_path_factory.mktemp("russian")
    (folder / "text.txt").write_text(RUSSIAN * 40, encoding="utf-8")
    brief = ("--steps", "5", "--out", "run", "--quiet")
    done = charrnn("train", "text.txt", *TINY, *brief, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8", "latin-1:strict"])
def test_files_and_pipes_receive_every_character(russian, encoding):
    def output(*arguments):
        done = charrnn(*arguments, cwd=russian, PYTHONIOENCODING=encoding)
        assert done.returncode == 0, done.stderr
        return done.stdout

    text = output("sample", "run", "--prime", "Привет", "--seed", "1", "--length", "40")
    assert text.startswith("Привет")
    assert len(text) == 6 + 40 + 1
    assert set(text) <= set(RUSSIAN)
    lines = output("next", "Как", "run", "--json", "--top", "100").splitlines()
    assert {json.loads(line)["character"] for line in lines} == set(RUSSIAN)


def test_an_error_shows_characters_that_a_narrow_encoding_lacks(russian):
    done = charrnn("eval", "нет.npz", cwd=russian, PYTHONIOENCODING="cp1252")
    assert done.returncode == 1
    assert done.stderr.startswith("Error: нет.npz: no such file")


@pytest.mark.parametrize(
    ("encoding", "shown"),
    [
        ("utf-8", "Привет"),
        ("ascii", "Привет"),  # what a locale that was never set claims
        ("cp1251", "Привет"),
        ("cp1252", r"\u041f\u0440\u0438\u0432\u0435\u0442"),
    ],
)
def test_a_terminal_shows_what_it_can_and_escapes_the_rest(russian, encoding, shown):
    arguments = ("sample", "run", "--prime", "Привет", "--seed", "1", "--length", "5")
    status, data = on_terminal(*arguments, cwd=russian, PYTHONIOENCODING=encoding)
    assert status == 0
    text = data.decode("cp1251" if encoding == "cp1251" else "utf-8")
    assert f"\n{shown}" in text
    assert "?" not in text
    lost = encoding == "cp1252"
    assert text.count(r"cp1252 lacks the character '\u041f'") == lost


@pytest.mark.parametrize("encoding", ["utf-8", "cp1251", "cp1252"])
@pytest.mark.parametrize(
    "arguments", [("sample", "run", "--prime", "Привет"), ("next", "Привет", "run")]
)
def test_json_on_a_terminal_needs_no_note(russian, arguments, encoding):
    status, data = on_terminal(
        *arguments, "--json", cwd=russian, PYTHONIOENCODING=encoding
    )
    assert status == 0
    text = data.decode(encoding)
    line = json.loads(text.splitlines()[-1])
    assert set(line.get("text", line.get("character"))) <= set(RUSSIAN)
    assert "lacks" not in text
    assert text.isascii() == (encoding == "cp1252")


@pytest.mark.skipif(sys.platform != "linux", reason="needs a limit on memory")
@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        (
            ("train", "lines.txt", "--hidden", 10**7),
            "--hidden or --batch or --window or --max-vocab or --threads",
        ),
        (("gradcheck", "--hidden", 10**8), "--hidden or --batch or --window"),
    ],
)
def test_too_little_memory_names_options_that_the_command_has(arguments, advice):
    Path("lines.txt").write_text(sentences(), encoding="utf-8")
    limited = ["bash", "-c", 'ulimit -v 8000000; exec "$@"', "-"]
    done = subprocess.run(
        [*limited, *command(*arguments)],
        capture_output=True,
        text=True,
        env=environment(OPENBLAS_NUM_THREADS="1"),
        timeout=60,
    )
    assert done.returncode == 1
    error = done.stderr.strip().split("\n")[-1]
    assert error.startswith("Error: not enough memory")
    assert f"; try a smaller {advice}, or raise the limit of 7,812 MB" in error


def test_a_cell_that_was_added_can_be_named(monkeypatch):
    error = refused("train", "none.txt", "--cell", "mgu", status=2)
    assert error.endswith("not one of 'rnn', 'gru', 'lstm', 'mrnn', 'mgru', 'mlstm'.")
    monkeypatch.setitem(CELLS, "mgu", "somewhere.else:MGU")
    assert "none.txt: no such file" in refused("train", "none.txt", "--cell", "mgu")


def test_the_tables_of_options_have_every_option():
    script = ROOT / "scripts" / "option_tables.py"
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, check=True
    )
    names = ("train", "sample", "serve", "neurons")
    for name, table in zip(names, done.stdout.split("\n\n"), strict=True):
        params = importlib.import_module(f"charrnn.cli.{name}").command.params
        flags = {param.opts[0] for param in params if param.opts[0].startswith("-")}
        rows = [line.split(" | ") for line in table.splitlines()[2:]]
        assert {
            re.search(r"(--?[\w-]+)( [\w|:]+)?`$", row[0])[1] for row in rows
        } == flags
        assert all(len(row) == 3 and row[2].endswith(". |") for row in rows)


@pytest.mark.parametrize("error", [KeyError("x"), RecursionError("too deep")])
def test_an_error_that_nobody_expected_ends_with_words(monkeypatch, error):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr("charrnn.cli.next.command.callback", fail)
    result = CliRunner().invoke(main, ["next", "the"])
    *lines, words = result.stderr.strip().split("\n")
    assert result.exit_code == 1
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[-1] == f"Error: {type(error).__name__}: {error}"
    assert words.startswith("This is a bug in charrnn")


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("can't start new thread"),
        ImportError("numpy/x.so: failed to map segment from shared object"),
    ],
)
def test_no_memory_for_a_thread_or_a_library_is_one_line(monkeypatch, error):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr("charrnn.cli.sample.command.callback", fail)
    line = refused("sample")
    assert line.startswith(f"Error: not enough memory: {error}; try a smaller --length")


def test_arguments_are_not_expanded_on_windows(monkeypatch):
    """Click would replace `*` by the files of the folder, in a prime as well."""
    monkeypatch.setattr("click.core.os.name", "nt", raising=False)
    monkeypatch.setattr("sys.argv", ["charrnn", "next", "~*", "--top", "1"])
    seen = []
    monkeypatch.setattr(
        "charrnn.cli.next.command.callback", lambda **given: seen.append(given)
    )
    with pytest.raises(SystemExit):
        main()
    assert seen[0]["prefix"] == "~*"


@pytest.mark.parametrize(
    ("name", "error", "closed"),
    [
        ("posix", BrokenPipeError(errno.EPIPE, "closed"), True),
        ("nt", BrokenPipeError(errno.EPIPE, "closed"), True),
        ("nt", OSError(errno.EINVAL, "invalid"), True),
        ("nt", OSError(errno.EINVAL, "invalid", "a?.txt"), False),
        ("posix", OSError(errno.EINVAL, "invalid"), False),
        ("nt", OSError(errno.ENOSPC, "full"), False),
    ],
)
def test_a_closed_pipe_is_recognised(monkeypatch, name, error, closed):
    monkeypatch.setattr(cli, "os", SimpleNamespace(name=name))
    assert cli._is_closed_pipe(error) == closed
