"""Runs that go on elsewhere: without Numba, on other cores, after an upgrade, longer.

And texts that have changed since: the advice of the error is followed to the letter.
"""

import json
import os
import shlex
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from extras import needs_numba
from runner import CliRunner
from texts import TINY, charrnn, sentences

from charrnn.cli import main
from charrnn.storage.checkpoint import load
from charrnn.storage.run_folder import load_last

PLAIN = tuple(option for option in TINY if option not in ("--kernels", "numpy"))
RESUME = ("train", "--resume", "--out", "run")
# What an interpreter does at its start: it finds no Numba, as if it were not there.
NO_NUMBA = """
from importlib.machinery import PathFinder
found = PathFinder.find_spec
def find_spec(cls, name, path=None, target=None):
    missing = name.partition(".")[0] in ("numba", "llvmlite")
    return None if missing else found(name, path, target)
PathFinder.find_spec = classmethod(find_spec)
"""
ONE_CORE = "import os; os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])"
needs_affinity = pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity"), reason="needs the affinity of Linux"
)


@pytest.fixture(autouse=True)
def text(tmp_path, monkeypatch):
    """Work in an empty folder that holds one text."""
    monkeypatch.chdir(tmp_path)
    path = Path("lines.txt")
    path.write_text(sentences(), encoding="utf-8")
    return path


@pytest.fixture
def python_path(tmp_path, monkeypatch):
    """Return a function that puts a module in front of all others, in new processes."""

    def put(name, code):
        folder = tmp_path / f"with {name}"
        module = folder / name
        module.parent.mkdir(parents=True)
        module.write_text(code, encoding="utf-8")
        paths = (str(folder), os.environ.get("PYTHONPATH"))
        return {"PYTHONPATH": os.pathsep.join(filter(None, paths))}

    return put


def done(*arguments, status=0, input=None, **environ):
    """Run charrnn in this folder and return what it prints to standard error.

    With an environment, it is a new process.
    """
    if environ:
        process = charrnn(*arguments, cwd=".", **environ)
        assert process.returncode == status, process.stderr
        assert "Traceback" not in process.stderr
        return process.stderr
    result = CliRunner().invoke(main, [*map(str, arguments)], input=input)
    assert result.exit_code == status, result.output
    assert isinstance(result.exception, SystemExit | None), result.exception
    return result.stderr


def plan(folder="run"):
    return load(Path(folder) / "last.npz").train["plan"]


def losses(folder="run"):
    return [line[2] for line in load(Path(folder) / "last.npz").history]


def edit_header(path, change):
    with np.load(path) as file:
        members = {name: file[name] for name in file.files}
    header = json.loads(members["header"].tobytes())
    change(header)
    members["header"] = np.frombuffer(json.dumps(header).encode(), np.uint8)
    np.savez(path, **members)


def weights(folder):
    return load_last(Path(folder)).model.params.flat


@needs_numba
def test_a_compiled_run_goes_on_without_numba_and_back(python_path):
    compiled = (*PLAIN, "--kernels", "auto", "--eval-every", 20)
    done("train", "lines.txt", *compiled, "--steps", 40, "--out", "run")
    shutil.copytree("run", "stays")
    without = python_path("sitecustomize.py", NO_NUMBA)
    said = done(*RESUME, "--steps", 80, **without)
    assert (
        "the run was computed with Numba, which is not installed here; it goes on with "
        "NumPy, which is slower, and from here on, results differ by rounding\n" in said
    )
    assert "compiled kernels" not in said
    assert plan()["kernels"] == "numpy"
    assert "computed with Numba" not in done(*RESUME, **without), "only once"
    done(*RESUME[:-1], "stays", "--steps", 80)
    assert plan("stays")["kernels"] == "numba"
    np.testing.assert_allclose(losses(), losses("stays"), rtol=1e-3)

    said = done(*RESUME, "--steps", 90)
    assert "Numba is installed now, but the run goes on with NumPy" in said
    assert plan()["kernels"] == "numpy"
    error = done(*RESUME, "--steps", 95, "--kernels", "numba", status=1, **without)
    assert "choose --kernels numpy" in error
    done(*RESUME, "--steps", 95, "--kernels", "numpy", **without)
    said = done(*RESUME, "--steps", 100, "--kernels", "numba")
    assert "Numba instead of NumPy: from here on, results differ by rounding" in said
    assert plan()["kernels"] == "numba"


@needs_numba
def test_a_compiled_run_goes_on_where_numba_is_broken(python_path):
    done(
        "train", "lines.txt", *PLAIN, "--kernels", "numba", "--steps", 9, "--out", "run"
    )
    broken = python_path("numba/__init__.py", "raise ImportError('needs NumPy 1.0')")
    said = done(*RESUME, "--steps", 12, **broken)
    assert "with Numba, which does not work here (needs NumPy 1.0); it goes on" in said
    assert plan()["kernels"] == "numpy"


@needs_affinity
def test_a_run_of_many_threads_goes_on_alike_on_one_core(python_path):
    threads = (*PLAIN, "--kernels", "numpy", "--threads", 4)
    done("train", "lines.txt", *threads, "--steps", 20, "--out", "run")
    shutil.copytree("run", "here")
    one_core = python_path("sitecustomize.py", ONE_CORE)
    said = done(*RESUME, "--steps", 40, **one_core)
    assert "the run uses 4 threads, and this machine has 1 core; it keeps them" in said
    assert "batch split over 4 threads" in said
    done(*RESUME[:-1], "here", "--steps", 40)
    np.testing.assert_array_equal(weights("run"), weights("here"))

    said = done(*RESUME, "--steps", 50, "--threads", 0, **one_core)
    assert "other threads: from here on, results differ by rounding" in said
    assert plan()["layout"] == {"workers": 1, "blas_threads": 1}
    assert "threads" not in done(*RESUME, "--steps", 60, **one_core)


@needs_affinity
def test_threads_in_the_products_are_never_more_than_cores(python_path):
    done("train", "lines.txt", *TINY, "--steps", 9, "--out", "run")

    def use_many(header):
        header["train"]["plan"]["layout"] = {"workers": 1, "blas_threads": 64}

    edit_header("run/last.npz", use_many)
    said = done(*RESUME, "--steps", 12, **python_path("sitecustomize.py", ONE_CORE))
    assert (
        "used 64 threads per matrix product, and this machine has 1 core; it goes on "
        "with 1, and from here on, results differ by rounding" in said
    )
    assert plan()["layout"] == {"workers": 1, "blas_threads": 1}


@pytest.mark.parametrize(
    ("versions", "said"),
    [
        (
            {"numpy": "1.22.0", "charrnn": "0.0.9"},
            "computed with NumPy 1.22.0 and charrnn 0.0.9 so far, and this is NumPy",
        ),
        ({"numpy": "\x1b[31m1.22"}, "computed with NumPy '\\x1b[31m1.22' so far"),
        ({"numpy": ".".join(np.__version__.split(".")[:2]) + ".99"}, None),
        ({"python": "2.7", "numpy": 5}, None),
        ([], None),
        (None, None),
    ],
)
def test_a_run_of_other_versions_goes_on_and_tells_them(versions, said):
    done("train", "lines.txt", *TINY, "--steps", 9, "--out", "run")
    edit_header("run/last.npz", lambda header: header.update(versions=versions))
    printed = done(*RESUME, "--steps", 12)
    if said:
        assert said in printed
        assert "results may differ by rounding" in printed
    assert ("so far" in printed) == bool(said)
    assert "so far" not in done(*RESUME), "it was saved by this version since"


def test_a_longer_run_says_how_the_learning_rate_goes_on():
    fast = (*TINY, "--lr", 0.01, "--warmup", 5, "--eval-every", 1)
    done("train", "lines.txt", *fast, "--steps", 40, "--out", "run")
    said = done(*RESUME, "--steps", 60)
    assert (
        "60 steps instead of 40: the learning rate, 0.00022 at step 40, rises to 0.01 "
        "once more, and falls until step 60\n" in said
    )
    lines = Path("run/history.jsonl").read_text(encoding="utf-8").splitlines()
    events = [json.loads(line) for line in lines]
    assert [line["event"] for line in events].count("scoreboard") == 2
    rates = {line["step"]: line["lr"] for line in events if "lr" in line}
    assert rates[40] == pytest.approx(0.00022, rel=0.05)
    assert [rates[step] for step in (41, 42, 43)] == pytest.approx([0.005, 0.01, 0.01])
    assert rates[60] < 0.001
    assert "steps instead of" not in done(*RESUME)


def test_a_run_that_is_made_shorter_says_how_the_learning_rate_goes_on():
    slow = (*TINY, "--lr", "1e-12", "--optimizer", "sgd", "--average", 0)
    patient = ("--eval-every", 5, "--patience", 3, "--steps", 60, "--schedule", "step")
    done("train", "lines.txt", *slow, *patient, "--out", "run")
    assert load_last(Path("run")).snapshot.progress.step == 20
    said = done(*RESUME, "--steps", 25)
    assert (
        "25 steps instead of 60: the learning rate, 5e-13 at step 20, goes on at "
        "1.2e-13\n" in said
    )


CHANGES = {
    "grown": ("{file}", (), "has grown by 5 bytes"),
    "documents": ("{file}", ("--documents", "\\n"), "has grown by 5 bytes"),
    "bytes": ("{file}", ("--bytes",), "has grown by 5 bytes"),
    "latin": ("{file}", ("--encoding", "latin-1"), "has grown by 5 bytes"),
    "vocabulary": (
        "{file}",
        ("--max-vocab", 12, "--normalize", "nfd"),
        "has grown by 5 bytes",
    ),
    "several": ("{file} {other}", (), "is not that of the text"),
    "folder": ("{folder}", (), "is not that of the text"),
}


@pytest.mark.parametrize("sources", CHANGES)
def test_the_advice_for_a_text_that_has_grown_works(sources):
    """Names have spaces, quotes and letters beyond ASCII."""
    folder = Path("it's a réal folder")
    folder.mkdir()
    for name in ("a b.txt", "c d.txt"):
        encoding = "latin-1" if sources == "latin" else "utf-8"
        (folder / name).write_text(sentences() + "café\n", encoding=encoding)
    where, options, said = CHANGES[sources]
    names = {"file": "a b.txt", "other": "c d.txt"}
    paths = [
        str(folder / names[word.strip("{}")]) if word != "{folder}" else str(folder)
        for word in where.split()
    ]
    out = "a run"
    done("train", *paths, *TINY, *options, "--steps", 9, "--out", out)
    with (folder / "a b.txt").open("ab") as file:
        file.write(b"More\n")
    error = done("train", "--resume", "--out", out, status=1)
    assert said in error
    follow(error)


def follow(error):
    """Run the command that an error advises, for some steps."""
    (line,) = [line for line in error.splitlines() if line.startswith("Error: ")]
    program, *arguments = shlex.split(line.split("from these weights: ")[1])
    assert program == "charrnn"
    said = done(*arguments, *TINY[4:], "--steps", 5, "--out", "new run")
    assert "starting from" in said


@pytest.mark.parametrize("changed", ["lines.txt", "val/b.txt"])
def test_the_advice_names_both_texts(changed):
    Path("val").mkdir()
    for name in ("a", "b"):
        Path(f"val/{name}.txt").write_text(sentences(20, seed=3), encoding="utf-8")
    done("train", "lines.txt", "--val", "val", *TINY, "--steps", 9, "--out", "run")
    with Path(changed).open("a", encoding="utf-8") as file:
        file.write("More.\n")
    follow(done(*RESUME, status=1))
    assert load(Path("new run/last.npz")).split.val_text


def test_the_advice_for_a_text_of_many_files_names_their_folder():
    Path("many").mkdir()
    for number in range(7):
        Path(f"many/{number}.txt").write_text(sentences(20, number), encoding="utf-8")
    done("train", "many", *TINY, "--steps", 9, "--out", "run")
    Path("many/3.txt").write_text("Other words.\n", encoding="utf-8")
    error = done(*RESUME, status=1)
    assert error.rstrip().endswith("many --init-from run")
    follow(error)


def test_the_advice_for_a_text_that_has_moved_works(text):
    """Two runs, of which the one that was not saved last is meant."""
    for out in ("a run", "checkpoints/newest"):
        done("train", "lines.txt", *TINY, "--steps", 9, "--out", out)
    text.rename("moved.txt")
    error = done("train", "--resume", "--out", "a run", "--steps", 12, status=1)
    command = error.split("name it: charrnn ")[1].split(" (charrnn.resume")[0]
    arguments = shlex.split(command.replace("TEXT", "moved.txt"))
    assert "resuming a run at step 9" in done(*arguments, "--steps", 12)


def test_without_files_the_advice_is_a_new_run():
    new = (*TINY, "--steps", 9, "--out", "run")
    done("train", "-", *new, input=sentences())
    Path("other.txt").write_text(sentences(seed=9), encoding="utf-8")
    error = done("train", "other.txt", *RESUME[1:], status=1)
    assert error.rstrip().endswith(
        "from these weights: charrnn train other.txt --init-from run"
    )
    follow(error)


def cut(path):
    path.write_bytes(path.read_bytes()[:-10])


def other_letter(path):
    path.write_text(sentences().replace("A", "B", 1), encoding="utf-8")


def a_pipe(path):
    path.unlink()
    os.mkfifo(path)


def a_folder(path):
    path.unlink()
    path.mkdir()


def a_device(path):
    path.unlink()
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (cut, "SHA-256 "),
        (other_letter, "SHA-256 "),
        (Path.unlink, "no such file"),
        (lambda path: path.write_bytes(b""), "empty; expected a text"),
        (a_folder, "not a regular file; it is not opened"),
        pytest.param(
            a_pipe,
            "not a regular file; it is not opened",
            marks=pytest.mark.skipif(sys.platform == "win32", reason="needs FIFOs"),
        ),
        pytest.param(
            a_device,
            "not a regular file; it is not opened",
            marks=pytest.mark.skipif(sys.platform == "win32", reason="needs devices"),
        ),
    ],
)
def test_what_became_of_a_text_is_one_line(text, change, said):
    done("train", "lines.txt", *TINY, "--steps", 9, "--out", "run")
    before = Path("run/last.npz").read_bytes()
    change(text)
    error = done(*RESUME, "--steps", 12, status=1)
    assert error.count("\n") == 1
    assert error.startswith("Error: run cannot be resumed: ")
    assert said in error
    assert Path("run/last.npz").read_bytes() == before
