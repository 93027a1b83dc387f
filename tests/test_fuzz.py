"""The fuzzing targets, without atheris: their seeds, and a few changes of them."""

import argparse
import random
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))
import fuzz  # noqa: E402
import fuzz_targets  # noqa: E402

from charrnn.errors import CharRNNError  # noqa: E402

every_target = pytest.mark.parametrize("name", fuzz.NAMES)


def some_change(rng):
    """Return a function that changes bytes somewhere, as libFuzzer does."""

    def mutate(data, largest):
        changed = bytearray(data or b"x")
        for _ in range(rng.randint(1, 4)):
            changed[rng.randrange(len(changed))] = rng.randrange(256)
        cut = rng.randrange(len(changed) + 1) if rng.random() < 0.2 else len(changed)
        return bytes(changed[:cut][:largest])

    return mutate


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("CHARRNN_CACHE", str(tmp_path / "cache"))
    (tmp_path / "made").mkdir()
    (tmp_path / "use").mkdir()
    return tmp_path


@every_target
def test_seeds_are_read_and_their_changes_read_or_refused(name, folder):
    target, rng = fuzz_targets.TARGETS[name], random.Random(name)
    seeds = target.seeds(folder / "made")
    for seed in seeds[:20]:
        target.use(folder / "use", seed)
    used = 0
    for _ in range(40):
        try:
            data = target.mutate(rng.choice(seeds), some_change(rng), rng)
        except (ValueError, LookupError):  # a change left no header to go on with
            continue
        used += 1
        try:
            target.use(folder / "use", data)
        except CharRNNError as error:
            assert str(error).isprintable()  # noqa: PT017
    assert used > 20


def test_a_finding_is_written_once_and_reported(folder, monkeypatch, capsys):
    args = argparse.Namespace(
        target="history", inputs=10**6, minutes=60, findings=folder / "findings"
    )
    fuzzing = fuzz.Fuzzing(args, folder)
    fuzzing.target = argparse.Namespace(use=lambda where, data: data[5])
    for data in (b"1234567", b"1", b"2", b"1234567"):
        fuzzing(data)
    (found,) = args.findings.iterdir()
    assert found.read_bytes() == b"1"
    assert "finding: " in capsys.readouterr().out


def test_what_takes_too_long_or_too_much_is_a_finding(folder, monkeypatch, capsys):
    args = argparse.Namespace(
        target="history", inputs=10**6, minutes=60, findings=folder / "findings"
    )
    fuzzing = fuzz.Fuzzing(args, folder)
    monkeypatch.setattr(fuzz, "SECONDS", -1.0)
    fuzzing.target = argparse.Namespace(use=lambda where, data: None)
    fuzzing(b"slow")
    monkeypatch.setattr(fuzz, "SECONDS", 1e9)
    monkeypatch.setattr(fuzz, "MEMORY", 1 << 20)
    fuzzing.target = argparse.Namespace(use=lambda where, data: bytearray(fuzz._peak()))
    fuzzing(b"large")
    out = capsys.readouterr().out
    assert {path.read_bytes() for path in args.findings.iterdir()} == {
        b"slow",
        b"large",
    }
    assert " took 0.0 s" in out
    assert " MB" in out
