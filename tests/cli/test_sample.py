"""`charrnn sample`: text alone on standard output, and a word on every mistake."""

import json
import os
import re
import subprocess
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from runner import CliRunner
from texts import charrnn, command, environment, save_trained, small_config, trained

from charrnn.cli import main
from charrnn.config import TextConfig
from charrnn.run import start_run
from charrnn.storage.checkpoint import load, save
from charrnn.text.reading import from_text, read_corpus
from charrnn.text.vocab import Vocabulary

ACCENTS = "Le café où l’été dort → à côté. "


@pytest.fixture(autouse=True)
def run(tmp_path, monkeypatch):
    """Work in a folder whose newest run is the trained model."""
    monkeypatch.chdir(tmp_path)
    return save_trained(Path("checkpoints/lines").absolute())


def untrained(name, data, encoding="utf-8"):
    """Make a run of a model that has learned nothing, of these bytes."""
    folder = Path(name)
    folder.mkdir()
    (folder / "text").write_bytes(data)
    corpus = read_corpus([folder / "text"], TextConfig(encoding))
    run = start_run(corpus, asdict(small_config()) | {"hidden": 4})
    save(run.best_checkpoint(), folder / "best.npz")
    return name


def untrained_ab():
    return untrained("ab", b"ab" * 100)


@pytest.fixture
def french():
    return untrained("french", (ACCENTS * 20).encode())


@pytest.fixture
def binary():
    return untrained("binary", (ACCENTS * 20).encode(), "bytes")


def sample(*arguments):
    return CliRunner().invoke(main, ["sample", *map(str, arguments)])


def written(*arguments):
    """Return what `charrnn sample` writes, without the line end that it adds."""
    result = sample(*arguments)
    assert result.exit_code == 0, (result.output, result.exception)
    assert result.stdout.endswith("\n")
    return result.stdout[:-1]


def refused(*arguments, status=1):
    result = sample(*arguments)
    assert result.exit_code == status, result.output
    assert result.stdout == ""
    assert isinstance(result.exception, SystemExit), result.exception
    return result.stderr.strip().split("\n")[-1]


def test_standard_output_holds_the_text_and_nothing_else(run):
    result = sample(run, "--prime", "Ann ", "--length", 80, "--seed", 1)
    expected = trained().generate("Ann ", length=80, seed=1)
    assert result.stdout == expected + "\n"
    assert result.stderr == "seed 1\n"


def test_the_newest_run_is_taken_and_named():
    result = sample("--length", 10, "--seed", 1)
    assert result.stderr == "checkpoint checkpoints/lines/best.npz\nseed 1\n"


def test_a_run_goes_by_its_name():
    result = sample("lines", "--length", 10, "--seed", 1)
    assert result.stdout == sample("--length", 10, "--seed", 1).stdout
    assert result.stderr == "seed 1\n"


def test_a_seed_is_chosen_and_the_same_seed_gives_the_text_again():
    first = sample("--length", 60)
    seed = re.search(r"seed (\d+)", first.stderr)[1]
    assert sample("--length", 60, "--seed", seed).stdout == first.stdout
    assert sample("--length", 60).stdout != first.stdout


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("none.npz", "no such file"),
        ("hollow", "no checkpoint in"),
        ("text", "not a checkpoint"),
    ],
)
def test_a_checkpoint_that_is_none(name, said):
    Path("hollow").mkdir()
    Path("text").write_text("ROMEO")
    error = refused(name)
    assert error.startswith(f"Error: {name}: ")
    assert said in error


def test_length_0_writes_the_prime_alone():
    assert written("--length", 0) == ""
    assert written("--length", 0, "--prime", "Ann ") == "Ann "


def test_a_prime_from_a_file():
    Path("prime.txt").write_text("Old Joan\nmends ", encoding="utf-8")
    text = written("--prime-file", "prime.txt", "--seed", 1, "--length", 50)
    assert text == trained().generate("Old Joan\nmends ", length=50, seed=1)
    error = refused("--prime-file", "prime.txt", "--prime", "Ann", status=2)
    assert "exclude each other" in error
    assert "does not exist" in refused("--prime-file", "none.txt", status=2)
    assert "is a directory" in refused("--prime-file", ".", status=2)


def test_several_texts_stand_apart_and_the_first_is_that_of_one():
    texts = written("-n", 3, "--prime", "Ben ", "--seed", 4, "--length", 70)
    parts = texts.split("\n----------------\n")
    assert len(parts) == 3
    assert parts[0] == trained().generate("Ben ", length=70, seed=4)
    assert all(part.startswith("Ben ") for part in parts)


def test_lines_of_json():
    arguments = ("--json", "-n", 3, "--prime", "Ben ", "--seed", 4, "--length", 70)
    lines = written(*arguments, "--top-k", 5).split("\n")
    found = [json.loads(line) for line in lines]
    assert [line["index"] for line in found] == [0, 1, 2]
    assert {len(line["text"]) for line in found} == {70}
    for line in found:
        assert (line["prime"], line["seed"], line["top_k"]) == ("Ben ", 4, 5)
        assert (line["length"], line["temperature"], line["top_p"]) == (70, 0.8, 1.0)
    alone = trained().generate("Ben ", length=70, seed=4, top_k=5)
    assert found[0]["prime"] + found[0]["text"] == alone


def test_a_stop_ends_the_text_before_it():
    whole = written("--prime", "Ann ", "--seed", 1, "--length", 300)
    line = whole.split("\n")[0]
    for stop in ("\n", line[-2:] + "\n", line[9:14]):
        cut = whole[: whole.index(stop, 4)]
        shared = ("--prime", "Ann ", "--seed", 1, "--length", 300, "--stop", stop)
        assert written(*shared) == cut
        (about,) = written(*shared, "--json").split("\n")
        assert json.loads(about)["text"] == cut[4:]


def test_each_of_several_texts_ends_at_its_own_stop():
    whole = written("-n", 3, "--seed", 1, "--length", 300, "--json").split("\n")
    cut = written("-n", 3, "--seed", 1, "--length", 300, "--json", "--stop", ".\n")
    for before, after in zip(whole, cut.split("\n"), strict=True):
        text = json.loads(before)["text"]
        assert json.loads(after)["text"] == text.split(".\n")[0]


@pytest.mark.parametrize(
    ("escaped", "text"),
    [
        (r"\n", "\n"),
        (r".\x0a", ".\n"),
        (r"\u0065", "e"),
        (r"\U00000065", "e"),
        ("e", "e"),
    ],
)
def test_a_stop_takes_escapes(escaped, text):
    shared = ("--seed", 1, "--length", 300, "--prime", "Ann ")
    whole = written(*shared)[4:]
    assert written(*shared, "--stop", escaped) == "Ann " + whole[: whole.index(text)]


def test_the_first_of_several_stops():
    shared = ("--seed", 1, "--length", 300, "--prime", r"Ann\x20")
    whole = written(*shared)
    first = min(whole.index("!"), whole.index("?"), whole.index("."))
    stops = ("--stop", "!", "--stop", r"\x3f", "--stop", ".")
    assert written(*shared, *stops) == whole[:first]


def test_a_prime_takes_escapes():
    seeded = ("--seed", 1, "--length", 30)
    expected = trained().generate("Ann\nBen ", length=30, seed=1)
    assert written("--prime", r"Ann\nBen ", *seeded) == expected


@pytest.mark.parametrize("option", ["--prime", "--stop", "--separator"])
@pytest.mark.parametrize("escape", [r"\q", r"\x4", r"\u00e", r"\U00110000", "\\"])
def test_an_escape_that_is_none_is_an_error(option, escape):
    error = refused(option, f"a{escape}")
    assert error.startswith(f"Error: {option}: {escape} is not an escape; expected \\n")


def test_a_backslash_is_a_character_like_others():
    assert "never seen '\\\\'" in refused("--prime", r"a\\n")


def test_a_stop_of_unknown_characters_is_an_error():
    error = refused("--stop", "Ä#")
    assert "the stop 'Ä#' can never come" in error
    assert "'#', 'Ä' (nearest: 'A')" in error


def test_a_text_that_goes_on_until_the_sentence_ends():
    shared = ("--seed", 2, "--length", 50, "--prime", "Ann ")
    text = written(*shared, "--until", "sentence")
    assert text.startswith(written(*shared))
    assert re.search(r"[.!?]\Z", text)
    assert len(text) < 200


def test_a_note_if_no_end_came():
    # The model knows lines, but no empty ones between them.
    result = sample("--until", "paragraph", "--length", 5, "-t", 0)
    assert len(result.stdout) == 5 + 2000 + 1
    assert result.stderr.count("no paragraph ended in the 2,000 characters") == 1
    assert "knows no character that ends" in refused("--until", "line", untrained_ab())


def test_texts_of_one_line_are_written_one_per_line():
    result = sample("-n", 30, "--stop", r"\n", "--prime", "Ann ", "--seed", 1)
    lines = result.stdout.splitlines()
    assert len(lines) == 30
    assert lines == trained().generate("Ann ", n=30, stop="\n", seed=1)


@pytest.mark.parametrize(
    ("separator", "between"), [(r"\n~\n", "\n~\n"), ("", ""), (r"\x00", "\0")]
)
def test_a_separator(separator, between):
    texts = trained().generate("Ann ", n=3, length=20, seed=1)
    shared = ("-n", 3, "--prime", "Ann ", "--length", 20, "--seed", 1)
    assert written(*shared, "--separator", separator) == between.join(texts)
    error = refused("--separator", "x", "--json", status=2)
    assert "exclude each other" in error


def test_no_text_comes_twice():
    shared = (
        "-n",
        12,
        "--length",
        2,
        "--seed",
        1,
        "--separator",
        "|",
        "--prime",
        "Ann ",
    )
    assert len(set(written(*shared).split("|"))) < 12
    texts = written(*shared, "--unique", "-t", 2).split("|")
    assert len(set(texts)) == 12


def test_only_texts_that_are_not_in_the_corpus():
    shared = ("--stop", r"\n", "--seed", 1, "--length", 100, "-n", 50)
    texts = written(*shared).splitlines()
    lines = Path("checkpoints/lines/lines.txt")
    known = texts[::7]
    lines.write_text("\n".join([*known, *(text[:-1] + "#" for text in texts)]))
    corpus = from_text(lines.read_text())
    best = Path("checkpoints/lines/best.npz")
    checkpoint = load(best)
    about = replace(checkpoint.corpus, sha256=corpus.info.sha256, bytes=0)
    save(replace(checkpoint, corpus=about), best)
    novel = written(*shared, "--novel").splitlines()
    assert len(novel) == 50
    rest = [text for text in texts if text not in known]
    assert novel[: len(rest)] == rest
    assert not set(known) & set(novel)
    lines.unlink()
    assert "--novel needs the text" in refused("--novel")


def test_a_note_if_there_are_no_more_new_texts():
    result = sample("-n", 9, "-t", 0, "--unique", "--length", 20, "--json")
    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) == 1
    assert "1 of 9 texts: the next 100" in result.stderr


@pytest.mark.parametrize("options", [(), ("-n", 3), ("-n", 3, "--json")])
def test_an_output_file_holds_what_is_printed(options):
    shared = ("--seed", 1, "--length", 50, *options)
    result = sample(*shared, "--output", "out.txt")
    assert result.stdout == ""
    assert result.stderr.endswith("seed 1\nwrote out.txt\n")
    assert Path("out.txt").read_bytes().decode() == sample(*shared).stdout


def test_an_output_file_is_replaced_only_by_force():
    Path("out.txt").write_text("mine")
    error = refused("--output", "out.txt")
    assert error.startswith("Error: out.txt: already exists; replace it with --force")
    refused("--output", "out.txt", "--force", "--stop", "#")  # nothing was written yet
    assert Path("out.txt").read_text() == "mine"
    assert sample("--output", "out.txt", "--force", "--length", 5).exit_code == 0
    assert len(Path("out.txt").read_text()) == 6
    assert "No such file or directory" in refused("--output", "none/out.txt")


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-16"])
def test_an_output_file_is_utf_8_whatever_the_locale_says(french, encoding):
    arguments = (
        "sample",
        french,
        "--seed",
        "1",
        "--prime",
        "café → ",
        "--length",
        "30",
    )
    usual = charrnn(*arguments, cwd=".", text=False)
    done = charrnn(
        *(*arguments, "--output", "out.txt"), cwd=".", PYTHONIOENCODING=encoding
    )
    assert done.returncode == 0, done.stderr
    assert Path("out.txt").read_bytes() == usual.stdout


def test_an_output_file_of_a_model_of_bytes_holds_its_bytes(binary):
    arguments = ("--seed", 1, "--length", 300, "--prime", r"\xff\xe9é")
    assert sample(binary, *arguments, "--output", "out.bin").exit_code == 0
    found = Path("out.bin").read_bytes()
    assert found.startswith(b"\xff\xe9\xc3\xa9")
    assert len(found) == 304
    done = charrnn("sample", binary, *arguments, cwd=".", text=False)
    assert done.stdout == found


@pytest.fixture
def surrogates():
    folder = untrained_ab()
    checkpoint = load(Path(folder, "best.npz"))
    vocab = Vocabulary("b\ud800")
    save(replace(checkpoint, vocab=vocab), Path(folder, "best.npz"))
    return folder


def test_half_of_a_surrogate_pair_is_escaped_with_one_note(surrogates):
    arguments = (surrogates, "--seed", 1, "--length", 200, "--prime", "b")
    result = sample(*arguments)
    assert "\\ud800" in result.stdout
    assert result.stderr.count("utf-8 lacks the character '\\ud800'") == 1
    assert result.stderr.count("\n") == 2
    sample(*arguments, "--output", "out.txt")
    assert Path("out.txt").read_text() == result.stdout
    line = sample(*arguments, "--json")
    text = json.loads(line.stdout)["text"]
    assert set(text) == {"b", "\ud800"}
    assert line.stderr == "seed 1\n"


def test_a_text_for_a_checkpoint_is_an_error_that_shows_the_option():
    said = "to start a text with it, use `charrnn sample --prime 'O ROMEO:'`"
    assert said in refused("O ROMEO:", status=2)
    assert "--prime" in refused("To be, or not to be " * 30, status=2)


def test_a_long_text_with_a_stop_that_never_comes_is_whole():
    whole = written("--seed", 1, "--length", 3000)
    assert len(whole) == 3000
    assert written("--seed", 1, "--length", 3000, "--stop", "Ann Ann") == whole


def test_a_stop_far_into_a_long_text():
    whole = written("--seed", 1, "--length", 3000)
    stop = whole[2500:2540]
    cut = whole[: whole.index(stop)]
    assert written("--seed", 1, "--length", 3000, "--stop", stop) == cut


def test_unknown_characters_are_an_error_skipped_or_mapped():
    error = refused("--prime", "Änn# ")
    assert "'#', 'Ä' (nearest: 'A');" in error
    assert "--on-unknown" in error
    seeded = ("--seed", 1, "--length", 30)
    plain = written("--prime", "Ann ", *seeded)
    skipped = written("--prime", "A#n§n ", *seeded, "--on-unknown", "skip")
    assert skipped == "A#n§n " + plain[4:]
    mapped = written("--prime", "Änń ", *seeded, "--on-unknown", "map")
    assert mapped == "Änń " + plain[4:]


@pytest.mark.parametrize(
    ("options", "status", "said"),
    [
        (("--temperature", "-1"), 1, "temperature is -1; expected 0 to 100"),
        (("--temperature", "nan"), 1, "temperature is nan"),
        (("--temperature", "hot"), 2, "'hot' is not a valid float"),
        (("--top-p", "0"), 1, "--top-p is 0"),
        (("--top-p", "1.5"), 1, "--top-p is 1.5"),
        (("--top-k", "-1"), 1, "--top-k is -1; expected at least 0"),
        (("--length", "-1"), 1, "length is -1; expected at least 0"),
        (("--seed", "-1"), 1, "seed is -1"),
        (("-n", "0"), 2, "0 is not in the range"),
        (("--on-unknown", "drop"), 2, "'drop' is not one of"),
    ],
)
def test_an_option_that_makes_no_sense_is_one_line(options, status, said):
    error = refused(*options, status=status)
    assert error.startswith("Error: ")
    assert said in error


def test_temperature_0_and_top_k_1_need_no_luck():
    greedy = {written("-t", 0, "--seed", s, "--length", 60) for s in (1, 2)}
    narrow = {written("--top-k", 1, "--seed", s, "--length", 60) for s in (1, 2)}
    assert greedy == narrow
    assert len(greedy) == 1


def test_a_model_of_bytes_writes_bytes(binary):
    arguments = ("sample", binary, "--seed", 1, "--length", 300, "--prime", "Le ")
    done = charrnn(*arguments, cwd=".", text=False)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout) == 3 + 300
    assert len(set(done.stdout)) > 100  # of 256, and not only those of UTF-8


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("prime", ["café ", "→ "])
def test_a_model_of_bytes_gives_its_prime_back_as_it_was(binary, prime, count):
    arguments = ("--seed", 1, "--length", 5, "--prime", prime, "-n", count)
    done = charrnn("sample", binary, *arguments, cwd=".", text=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(prime.encode())
    if count == 1:
        assert len(done.stdout) == len(prime.encode()) + 5


@pytest.mark.skipif(os.name == "nt", reason="arguments are Unicode there")
def test_a_model_of_bytes_takes_any_bytes_as_its_prime(binary):
    prime = os.fsdecode(b"\xff\xfeLe")
    done = charrnn(
        *("sample", binary, "--seed", 1, "--length", 5, "--prime", prime),
        cwd=".",
        text=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(b"\xff\xfeLe")


def test_a_model_of_bytes_takes_any_file_as_its_prime(binary):
    Path("prime").write_bytes(b"\xff\xfe\x00Le")
    arguments = ("--prime-file", "prime", "--seed", 1, "--length", 5)
    done = charrnn("sample", binary, *arguments, cwd=".", text=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(b"\xff\xfe\x00Le")


@pytest.mark.skipif(os.name == "nt", reason="pipes of another kind")
@pytest.mark.parametrize("options", [(), ("-n", "30"), ("-n", "30", "--json")])
def test_a_reader_that_has_enough_ends_it_quietly(options):
    with subprocess.Popen(
        command("sample", "--length", 5000, "--seed", 1, *options),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    ) as process:
        assert len(process.stdout.read(10)) == 10
        process.stdout.close()
        said = process.stderr.read().decode()
    assert process.returncode == 141
    assert said == "checkpoint checkpoints/lines/best.npz\nseed 1\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("options", [(), ("--length", "20000"), ("--json",)])
def test_a_full_disk_is_one_line(options):
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            command("sample", "--seed", 1, *options),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(),
            timeout=60,
        )
    assert done.returncode == 1
    assert done.stderr.split("\n")[2:] == [
        "Error: output: No space left on device",
        "",
    ]


@pytest.mark.parametrize(
    "environ",
    [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "LANG": "C"}, {"PYTHONUTF8": "0"}],
)
@pytest.mark.parametrize(
    "arguments",
    [
        ("sample", "french", "--seed", "1", "--prime", "café → "),
        ("sample", "french", "--seed", "1", "--json", "-n", "2"),
        ("compare", "french", "--seed", "1", "--length", "30"),
        ("next", "café ", "french"),
    ],
)
@pytest.mark.slow
def test_any_character_is_written_whatever_the_locale_says(french, arguments, environ):
    done = charrnn(*arguments, cwd=".", text=False, **environ)
    assert done.returncode == 0, done.stderr
    assert b"Traceback" not in done.stderr
    usual = charrnn(*arguments, cwd=".", text=False, PYTHONIOENCODING="utf-8")
    assert done.stdout == usual.stdout
    assert not done.stdout.isascii()
    assert "\N{REPLACEMENT CHARACTER}" not in done.stdout.decode("utf-8")


def test_text_reaches_a_terminal_as_it_is_made(run):
    pty = pytest.importorskip("pty")
    master, slave = pty.openpty()
    with subprocess.Popen(
        command("sample", run, "--seed", 1, "--prime", "Ann ", "--length", 10**8),
        stdout=slave,
        stderr=subprocess.DEVNULL,
        env=environment(),
    ) as process:
        os.close(slave)
        seen = b""
        while len(seen) < 60:  # long before the text is done
            seen += os.read(master, 100)
        process.terminate()
    os.close(master)
    text = seen.decode().replace("\r\n", "\n")
    assert trained().generate("Ann ", length=200, seed=1).startswith(text[:50])
