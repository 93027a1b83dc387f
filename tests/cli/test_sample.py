"""`charrnn sample`: text alone on standard output, and a word on every mistake."""

import json
import os
import re
import subprocess
from dataclasses import asdict
from pathlib import Path

import pytest
from click.testing import CliRunner
from texts import charrnn, command, environment, save_trained, small_config, trained

from charrnn.cli import main
from charrnn.run import start_run
from charrnn.storage.checkpoint import save
from charrnn.text.corpus import read_corpus

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
    corpus = read_corpus([folder / "text"], encoding=encoding)
    run = start_run(corpus, asdict(small_config()) | {"hidden": 4})
    save(run.best_checkpoint(), folder / "best.npz")
    return name


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
    [("none.npz", "no such file"), ("hollow", "no checkpoint in"), ("text", "archive")],
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


def test_a_long_text_with_a_stop_that_never_comes_is_whole():
    whole = written("--seed", 1, "--length", 3000)
    assert len(whole) == 3000
    assert written("--seed", 1, "--length", 3000, "--stop", "XYZZY") == whole


def test_a_stop_far_into_a_long_text():
    whole = written("--seed", 1, "--length", 3000)
    stop = whole[2500:2540]
    cut = whole[: whole.index(stop)]
    assert written("--seed", 1, "--length", 3000, "--stop", stop) == cut


def test_unknown_characters_are_an_error_skipped_or_mapped():
    error = refused("--prime", "Änn# ")
    assert "'#' 'Ä'" in error
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
        (("--top-p", "0"), 1, "top_p is 0"),
        (("--top-p", "1.5"), 1, "top_p is 1.5"),
        (("--top-k", "-1"), 1, "top_k is -1; expected at least 0"),
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
