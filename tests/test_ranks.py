"""Ranks that MPI has started: they compute what one process does, and end together."""

import json
import os
import re
import signal
import struct
import subprocess
import sys
import time
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from ranks import finished, mpiexec, needs_mpi
from texts import TINY, sentences

from charrnn.exchange import lengthened, shorten
from charrnn.ranks import (
    STOP,
    Ranks,
    is_other_rank,
    started_by_mpi,
)
from charrnn.storage.checkpoint import load
from charrnn.storage.run_folder import load_last, read_history

pytestmark = needs_mpi
COUNTS = (1, 2, 3, 4)  # of ranks
BATCH = (*TINY, "--batch", "7")  # which neither of them divides, except 1
NAMES = "\n".join(f"{a}{b}{c}" for a in "bdgkl" for b in "aeiou" for c in "lmnr")

# Trains several networks for 50 steps each; prints the losses of all steps.
LOSSES = """
import json, sys
from charrnn.config import TextConfig, TrainConfig
from charrnn.ranks import _MpiGroup, world
from charrnn.run import start_run
from charrnn.text.reading import from_text
from charrnn.training.events import Step, Validation

if len(sys.argv) > 2:  # compute as if the ranks were on several machines
    _MpiGroup.is_spread = property(lambda self: True, lambda self, value: None)
ranks, found = world(), {}
for name, (text, documents, settings) in json.load(open(sys.argv[1])).items():
    corpus = from_text(text, TextConfig(documents=documents))
    run = start_run(corpus, settings, ranks=ranks)
    losses = []
    for event in run.events():
        if isinstance(event, Step):
            losses.append(event.loss)
        elif isinstance(event, Validation):
            losses.append(event.val_loss)
    state = run.trainer.snapshot().state
    losses.append(float(sum(abs(part).sum() for layer in state for part in layer)))
    found[name] = losses
    weights = ranks.gather(lambda: run.model.params.flat.tobytes())
    assert all(each == weights[0] for each in weights)
if ranks.is_first:
    print(json.dumps(found))
ranks.finish()
"""
BASE = {"batch": 7, "window": 8, "hidden": 8, "steps": 50, "eval_every": 10}
BASE |= {"threads": 1, "kernels": "numpy", "lr": 1e-2}
NETWORKS = {
    "rnn": (sentences(), "", BASE | {"cell": "rnn", "clip_mode": "value"}),
    "gru": (
        sentences(),
        "",
        BASE | {"dropout": 0.2, "recurrent_dropout": 0.2, "average": 0.9},
    ),
    "lstm": (
        sentences(),
        "",
        BASE | {"cell": "lstm", "layers": 2, "dropout": 0.3, "threads": 2},
    ),
    "ensemble": (
        sentences(),
        "",
        BASE | {"members": 3, "dropout": 0.2, "average": 0.9, "threads": 2},
    ),
    "bfloat16": (sentences(), "", BASE | {"cell": "gru", "exchange": "bfloat16"}),
    "documents": (NAMES, "lines", BASE | {"batch": 5}),
    "many characters": (
        "".join(chr(0x4E00 + n * 7919 % 10_100) for n in range(12_000)),
        "",
        BASE | {"hidden": 3, "steps": 3},
    ),
}


@pytest.fixture(scope="module")
def losses(tmp_path_factory):
    """Return the losses of each network by the number of ranks that trained it."""
    folder = tmp_path_factory.mktemp("losses")
    (folder / "networks.json").write_text(json.dumps(NETWORKS))
    (folder / "losses.py").write_text(LOSSES)
    script = folder / "losses.py", folder / "networks.json"
    spread = {n: ("spread",) * (n > 1) for n in COUNTS}
    return {n: json.loads(finished(mpiexec(n, *script, *spread[n]))[0]) for n in COUNTS}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("count", COUNTS[1:])
def test_ranks_have_the_losses_of_one_process(losses, name, count):
    assert len(losses[1][name]) > 3
    # Numbers of 8 bits are exact to 1 / 512, twice.
    tolerance = 1e-2 if name == "bfloat16" else 1e-4
    np.testing.assert_allclose(losses[count][name], losses[1][name], rtol=tolerance)


def nearest_bfloat16(number):
    """Return the number that is nearest among those whose lower 16 bits are 0."""
    (bits,) = struct.unpack("<I", struct.pack("<f", number))
    below, above = (
        struct.unpack("<f", struct.pack("<I", upper << 16))[0]
        for upper in (bits >> 16, (bits >> 16) + 1)
    )
    to_below, to_above = (
        abs(Fraction(each) - Fraction(number)) for each in (below, above)
    )
    if to_below == to_above:
        return above if (bits >> 16) % 2 else below
    return below if to_below < to_above else above


def test_bfloat16_is_the_nearest_one():
    rng = np.random.default_rng(0)
    numbers = rng.standard_normal(2000) * 10.0 ** rng.integers(-30, 30, 2000)
    numbers[:6] = 0, 1, -1, 1 + 2**-8, 1 + 3 * 2**-8, -(1 + 2**-8)  # in the middle
    array = numbers.astype(np.float32)
    short, bits = np.empty(2000, np.uint16), np.empty(2000, np.uint32)
    shorten(array, short, bits)
    found = lengthened(short, bits)
    assert found.tolist() == [nearest_bfloat16(each) for each in array.tolist()]
    special = np.array([np.inf, -np.inf, np.nan, 0.0], np.float32)
    shorten(special, short[:4], bits[:4])
    np.testing.assert_array_equal(lengthened(short[:4], bits[:4]), special)


# What each rank sees when one of them fails, stops, or asks for something.
AGREEMENT = """
import json, os, sys
from charrnn.errors import TextError
from charrnn.ranks import STATE, STOP, OtherRankError, Stopped, world

ranks, seen = world(), []
size, number = ranks.size, ranks.number


def outcome(what):
    try:
        return what()
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def failing_on(who, error):
    def work():
        if number == who:
            raise error
        return (1.0, float(number))
    return work


seen.append([ranks.share(7).start, ranks.share(7).stop])
seen.append(outcome(lambda: ranks.totals(failing_on(-1, None))))
seen.append(ranks.granted)
if number == 1:
    ranks.wishes |= STATE
ranks.totals(failing_on(-1, None))
seen.append(ranks.granted)
ranks.forget(STATE)
seen.append(ranks.granted)
seen.append(outcome(lambda: ranks.totals(failing_on(2, Stopped()))))
seen.append(ranks.gather(lambda: number * 10))
seen.append(ranks.first(lambda: f"from {number}"))
seen.append(ranks.failed)


def stopped_or_failed():
    if number == 0:
        raise Stopped
    return failing_on(1, TextError("no"))()


seen.append(outcome(lambda: ranks.totals(stopped_or_failed)))
seen.append(ranks.failed)
found = ranks._comm.gather(seen)
if ranks.is_first:
    print(json.dumps(found))
"""


def test_what_one_rank_does_all_of_them_know(tmp_path):
    (tmp_path / "agreement.py").write_text(AGREEMENT)
    out, _ = finished(mpiexec(3, tmp_path / "agreement.py"))
    seen = json.loads(out)
    columns, *others = zip(*seen, strict=True)
    assert columns == ([0, 2], [2, 4], [4, 7])
    for each in others[:-2]:
        assert each[0] == each[1] == each[2]
    assert [each[0] for each in others[:-2]] == [
        [3.0, 3.0],
        *(0, 2, 0),
        "Stopped: ",
        [0, 10, 20],
        "from 0",
        False,
    ]
    first, own, last = others[-2]
    assert own == "TextError: no"
    assert re.fullmatch(r"OtherRankError: rank 1 on \S+: no", first)
    assert first == last
    assert others[-1] == (True, True, True)


# What a rank has after arrays, one of them not contiguous, were added in several ways.
ADDITIONS = """
import json
import numpy as np
from charrnn.errors import TextError
from charrnn.ranks import Stopped, world

ranks, seen = world(), []
ranks.is_spread = True
arrays = [np.zeros((3, 4), np.float32)[:, 1:], np.zeros(5, np.float32)]


def fill():
    for place, array in enumerate(arrays):
        # As bfloat16, these are exact on all ranks, and not all sums are.
        first = 240 // ranks.size * place
        array[:] = np.arange(first, first + array.size).reshape(array.shape)
        array *= 1 + ranks.number


def added(sent, error=None, short=False):
    def work():
        with ranks.adding(arrays, short=short) as send:
            fill()
            for count in sent:
                send(count)
            if error:
                raise error
        late.append(send)
        return (1.0,)

    try:
        return ranks.totals(work)
    except Exception as error:
        return f"{type(error).__name__}: {error}"


late = []
for short in (False, True):
    for sent in ([], [1], [2], [1, 1, 2]):
        seen.append([added(sent, short=short), [each.tolist() for each in arrays]])
is_second = ranks.number == 1
seen.append(added([1] if is_second else [1, 2], Stopped() if is_second else None))
seen.append(added([1]))
late[0](2)  # too late to send anything
seen.append([added([2]), [each.tolist() for each in arrays]])
seen.append(added([] if is_second else [1], TextError("no") if is_second else None))
found = ranks._comm.gather(seen)
if ranks.is_first:
    print(json.dumps(found))
"""


@pytest.mark.parametrize("count", COUNTS[1:])
def test_arrays_are_added_in_any_number_of_pieces(tmp_path, count):
    (tmp_path / "additions.py").write_text(ADDITIONS)
    out, _ = finished(mpiexec(count, tmp_path / "additions.py"))
    factor = count * (count + 1) // 2
    matrix = (np.arange(9.0).reshape(3, 3) * factor).tolist()
    sums = [matrix, ((np.arange(5.0) + 240 // count) * factor).tolist()]
    short = [[nearest_bfloat16(each) for each in row] for row in (*matrix, sums[1])]
    for number, seen in enumerate(json.loads(out)):
        total, found = [float(count)], seen[:4] + seen[10:11]
        assert found == [[total, sums]] * 5
        for each in seen[4:8]:
            assert each == [total, [short[:3], short[3]]]
        assert seen[8:10] == ["Stopped: ", total]
        if number == 1:
            assert seen[11] == "TextError: no"
        else:
            assert re.fullmatch(r"OtherRankError: rank 1 on \S+: no", seen[11])


def test_a_process_by_itself_is_the_only_rank():
    ranks = Ranks()
    assert ranks.is_first
    assert ranks.share(5) == slice(0, 5)
    assert ranks.totals(lambda: (2.0, 3.0)) == (2.0, 3.0)
    assert ranks.gather(lambda: 1) == [1]
    ranks.wishes |= STOP
    assert ranks.granted == STOP


@pytest.mark.parametrize(
    ("variables", "number"),
    [
        ({}, None),
        ({"PMI_RANK": "0", "PMI_SIZE": "1"}, None),
        ({"PMI_RANK": "0", "PMI_SIZE": "2"}, 0),
        ({"PMI_RANK": "1", "PMI_SIZE": "2"}, 1),
        ({"OMPI_COMM_WORLD_RANK": "3", "OMPI_COMM_WORLD_SIZE": "4"}, 3),
        ({"PMIX_RANK": "2"}, None),
        ({"PMIX_RANK": "0", "SLURM_STEP_NUM_TASKS": "1"}, None),
        ({"PMIX_RANK": "2", "SLURM_STEP_NUM_TASKS": "8"}, 2),
        ({"SLURM_STEP_NUM_TASKS": "8"}, None),  # not started by srun
    ],
)
def test_what_started_this_process(monkeypatch, variables, number):
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert started_by_mpi() == (number is not None)
    assert is_other_rank() == bool(number)


@pytest.fixture
def text(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("lines.txt").write_text(sentences(300))
    return "lines.txt"


def train(ranks, *arguments, batch=BATCH, **settings):
    command = ("-m", "charrnn", "train", *arguments, *batch)
    return mpiexec(ranks, *command, **settings)


@pytest.mark.parametrize("members", ["1", "2"])
@pytest.mark.slow
def test_a_run_goes_on_with_any_number_of_ranks(text, members):
    how = "--average", "0.9", "--dropout", "0.2", "--eval-every", "20"
    how += "--members", members
    for run, counts in ("one", (1, 1, 1)), ("many", (3, 2, 1)):
        finished(train(counts[0], text, "--steps", 20, "--out", run, *how))
        for before, ranks, steps in zip(counts, counts[1:], (40, 60), strict=False):
            more = "train", "--resume", "--out", run, "--steps", steps
            _, err = finished(mpiexec(ranks, "-m", "charrnn", *more))
            note = f"{ranks} rank{'s' * (ranks > 1)} instead of {before}: from here on"
            assert (note in err) == (ranks != before)
        assert load_last(Path(run)).settings()[1].ranks == 1
    one, many = (
        [each for each in read_history(Path(run)) if each["event"] == "validation"]
        for run in ("one", "many")
    )
    assert [each["step"] for each in many] == [20, 40, 60]
    for own, other in zip(one, many, strict=True):
        assert own["val_loss"] == pytest.approx(other["val_loss"], rel=1e-4)
        assert own["train_loss"] == pytest.approx(other["train_loss"], rel=1e-4)


def test_the_first_rank_alone_prints_and_writes(text):
    out, err = finished(train(2, text, "--steps", "12", "--out", "run"))
    assert out.count("5-gram, validation") <= 1
    assert out.count("validation ") >= 1
    assert err.count("saving to run") == 1
    assert "batch split over 2 ranks, each with 1 thread" in err
    assert {path.name for path in Path("run").iterdir()} == {
        *("best.npz", "last.npz", "history.jsonl", ".lock")
    }


def test_networks_are_divided_among_the_ranks(text):
    _, err = finished(train(2, text, "--steps", "12", "--members", "3", "--out", "run"))
    assert "networks split over 2 ranks, each with 1 thread" in err
    for name in ("best.npz", "last.npz"):
        assert len(load(Path("run", name)).model.members) == 3
    for network in load(Path("run/last.npz")).model.members:
        assert network.params.flat.any()


def test_ranks_with_different_shares_of_the_networks_keep_the_minutes(text):
    # Rank 2 has the second network for itself, and the others share the first one.
    how = "--members", "2", "--minutes", "0.03", "--exchange", "bfloat16"
    finished(train(3, text, *how, "--out", "run"))
    assert load_last(Path("run")).settings()[1].ranks == 3


def wait_for_training(process, steps=3):
    """Wait until the ranks train."""
    for line in process.stderr:
        if line.startswith("step"):
            steps -= 1
            if not steps:
                return
    raise AssertionError("training did not start")


def numbers_of_ranks():
    """Return the process ids of the ranks, in the order in which they started."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        is_rank = b"train" in words and b"lines.txt" in words and b"-n" not in words
        if is_rank and (entry / "cwd").readlink() == Path.cwd():
            found.append(int(entry.name))
    return sorted(found)


def wait_for_the_end(ranks):
    """Wait until the processes have ended, ten seconds at most."""
    start = time.monotonic()
    while any(Path(f"/proc/{each}").exists() for each in ranks):
        assert time.monotonic() - start < 10
        time.sleep(0.05)


def steps_saved():
    return load_last(Path("run")).snapshot.progress.step


FOREVER = ("--steps", "1000000", "--eval-every", "50", "--out", "run")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_one_rank_stops_all_with_everything_saved(text, number):
    process = train(2, text, *FOREVER)
    wait_for_training(process)
    os.kill(numbers_of_ranks()[-1], number)
    _, err = finished(process, 128 + number)
    (step,) = re.findall(r"Stopped at step ([\d,]+) of 1,000,000, all saved", err)
    assert steps_saved() == int(step.replace(",", ""))


def test_ctrl_c_stops_all_with_everything_saved(text):
    process = train(2, text, *FOREVER, start_new_session=True)
    wait_for_training(process)
    ranks = numbers_of_ranks()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    wait_for_the_end(ranks)
    assert steps_saved() >= 150
    if process.returncode != 1:  # Open MPI ends with that, and passes no more output on
        assert process.returncode == 130
        assert "all saved. Continue with: charrnn train --resume --out run" in err


def test_a_killed_rank_ends_the_others_and_the_run_resumes(text):
    process = train(3, text, *FOREVER, "--save-every", "0.001")
    wait_for_training(process)
    ranks = numbers_of_ranks()
    assert len(ranks) == 3
    os.kill(ranks[1], signal.SIGKILL)
    wait_for_the_end(ranks)
    process.communicate(timeout=60)
    assert process.returncode != 0
    step = steps_saved()
    more = ("-m", "charrnn", "train", "--resume", "--out", "run", "--steps", step + 5)
    finished(mpiexec(2, *more))
    assert steps_saved() == step + 5


def test_a_full_disk_ends_all_and_keeps_what_was_saved(text, small_disk):
    run = small_disk / "run"
    there = (text, *FOREVER[:-1], run, "--save-every", "0.001")
    _, err = finished(train(2, *there), 1)
    assert err.count("Error: ") == 1
    assert "make room" in err
    subprocess.run(["mount", "-o", "remount,size=1m", small_disk], check=True)
    process = train(2, *there)
    wait_for_training(process)
    with suppress(OSError), (small_disk / "others").open("wb", 0) as file:
        while True:
            file.write(bytes(1024))
    assert any("not saved" in line for line in process.stderr)
    os.kill(numbers_of_ranks()[-1], signal.SIGTERM)
    _, err = finished(process, 1)
    assert err.count("Error: ") == 1
    assert "No space left on device" in err
    assert load_last(run).snapshot.progress.step > 0


def test_an_error_is_reported_once(text):
    for wrong, status, words in (
        (["nothing.txt"], 1, "nothing.txt: no such file"),
        ([text, "--hidden", "0"], 1, "hidden is 0; expected at least 1"),
        ([text, "--stepz", "3"], 2, "No such option '--stepz'"),
        (["-"], 1, "standard input reaches one rank only"),
        ([text, "--batch", "1"], 1, "2 ranks cannot share 1 columns"),
    ):
        _, err = finished(train(2, *wrong, batch=()), status)
        assert err.count("Error: ") == 1, err
        assert words in err
        assert "Traceback" not in err


def test_ranks_with_different_texts_or_settings_do_not_train(text):
    Path("other.txt").write_text(sentences(300, seed=5))
    python = (sys.executable, "-m", "charrnn", "train")
    for other in (["other.txt"], [text, "--lr", "0.5"]):
        process = mpiexec(
            *(1, "-m", "charrnn", "train", text, *BATCH, "--out", "run"),
            *(":", "-n", 1, *python, *other, *BATCH, "--out", "run"),
        )
        _, err = finished(process, 1)
        assert "rank 1 has other settings or another text than rank 0" in err
        assert err.count("Error: ") == 1
        assert not Path("run").exists()


def test_a_rank_that_lacks_the_text_ends_all(text):
    python = (sys.executable, "-m", "charrnn", "train")
    process = mpiexec(
        *(1, "-m", "charrnn", "train", text, *BATCH),
        *(":", "-n", 1, *python, "gone.txt", *BATCH),
    )
    _, err = finished(process, 1)
    assert re.search(r"Error: rank 1 on \S+: gone.txt: no such file", err)
    assert err.count("Error: ") == 1


def test_a_folder_that_is_in_use_is_refused(text):
    process = train(2, text, *FOREVER)
    wait_for_training(process)
    _, err = finished(train(2, text, *FOREVER, "--force"), 1)
    assert err.count("run: another charrnn is training there") == 1
    process.terminate()
    process.communicate(timeout=60)


def test_without_mpi_nothing_of_it_is_imported(text):
    code = (
        "import sys\nfrom charrnn.cli import main\n"
        f"main({['train', text, *BATCH, '--steps', '2']}, standalone_mode=False)\n"
        "assert 'mpi4py' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


IN_PYTHON = """
import sys
import charrnn

settings = {"hidden": 8, "batch": 4, "window": 8, "threads": 1, "kernels": "numpy"}
how = {"mpi": True, "progress": False}
model = charrnn.train("lines.txt", steps=9, out="run", **settings, **how)
again = charrnn.resume("run", steps=12, **how)
print(again.generate("Ann", length=20, seed=1).encode(), again.path, flush=True)
"""


def test_the_library_trains_on_all_ranks(text):
    Path("train.py").write_text(IN_PYTHON)
    out, _ = finished(mpiexec(2, "-W", "ignore", "train.py"))
    first, second = sorted(out.splitlines(), key=len)
    assert second.startswith(first.rpartition(" ")[0])
    assert {first.rpartition(" ")[2], second.rpartition(" ")[2]} == {
        *("None", "run/best.npz")
    }
    assert steps_saved() == 12
