"""Feeds what reads files with inputs that coverage guides, and reports findings.

    python benchmarks/fuzz.py TARGET                    a million inputs, or an hour
    python benchmarks/fuzz.py TARGET --inputs 50000 --minutes 5
    python benchmarks/fuzz.py TARGET --replay FILE      one input again

A finding is an input that takes more than 2 seconds or 200 MB, or raises anything
except a child of CharRNNError. It is written to `--findings`, once per place in the
code. Times are of the processor, because other programs may use it as well. Needs Linux
and atheris: pip install 'charrnn[fuzz]'.
"""

import argparse
import hashlib
import os
import random
import resource
import shutil
import sys
import tempfile
import traceback
import warnings
from importlib.util import find_spec
from pathlib import Path
from time import process_time

NAMES = ("checkpoint", "safetensors", "corpus", "cache", "history")
SECONDS, MEMORY = 2.0, 200 << 20
HANG = 60  # seconds after which libFuzzer ends the process
# Of the inputs, this share is a whole file with one change. Others have gathered many,
# because each showed something new, and are refused early.
_FRESH = 0.4
_STRUCTURED = 0.7  # of the inputs have right checksums
_PAGE = resource.getpagesize()


class Fuzzing:
    """Inputs for a target, until their number or the time is reached."""

    def __init__(self, args: argparse.Namespace, folder: Path) -> None:
        import fuzz_targets

        from charrnn.errors import CharRNNError

        self._expected = CharRNNError
        self.target = fuzz_targets.TARGETS[args.target]
        self._args, self._folder = args, folder / "use"
        self._begun = process_time()
        self._inputs = self._refused = 0
        self._found: dict[str, Path] = {}
        self._longest = 0.0
        self._highest = _peak()  # memory

    def __call__(self, data: bytes) -> None:
        """Use an input; end the process if it was the last one."""
        before = _memory()
        took = self._use(data)
        if took > SECONDS:  # or the system was busy, with the memory of others
            took = min(took, self._use(data))
        peak = _peak()
        self._longest = max(self._longest, took)
        if took > SECONDS:
            self._note(data, f"took {took:.1f} s")
        if peak > self._highest and peak - before > MEMORY:
            self._note(data, f"took {(peak - before) >> 20} MB")
        self._highest = peak
        self._inputs += 1
        minutes = (process_time() - self._begun) / 60
        if self._inputs >= self._args.inputs or minutes >= self._args.minutes:
            self.end()
        if self._inputs % 10_000 == 0:
            print(self._line(), flush=True)

    def _use(self, data: bytes) -> float:
        """Use an input; return the seconds of processor time that it took."""
        start = process_time()
        try:
            self.target.use(self._folder, data)
        except self._expected as error:
            self._refused += 1
            if not str(error).isprintable():
                self._note(data, "an error with unprintable characters")
        except Exception as error:
            self._note(data, _where(error))
        return process_time() - start

    def _note(self, data: bytes, what: str) -> None:
        if what in self._found:
            return
        name = f"{self._args.target}-{hashlib.sha256(data).hexdigest()[:12]}"
        self._args.findings.mkdir(parents=True, exist_ok=True)
        path = self._found[what] = self._args.findings / name
        path.write_bytes(data)
        print(f"finding: {path}: {what}", flush=True)

    def _line(self) -> str:
        seconds = process_time() - self._begun
        return (
            f"{self._args.target}: {self._inputs:,} inputs in {seconds:.0f} s, "
            f"{self._refused:,} refused, the slowest took {self._longest:.2f} s, "
            f"{len(self._found)} findings"
        )

    def end(self) -> None:
        """Report, and end the process: libFuzzer does not return."""
        print(self._line(), flush=True)
        shutil.rmtree(self._folder.parent, ignore_errors=True)
        os._exit(1 if self._found else 0)


def _memory() -> int:
    """Return the memory in use, in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def _where(error: Exception) -> str:
    """Return what was raised, and in which lines of charrnn."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [
        f"{Path(f.filename).name}:{f.lineno}" for f in frames if "charrnn" in f.filename
    ]
    return f"{type(error).__name__}: {error!s:.80} ({' '.join(own[-3:])})"


def fuzz(args: argparse.Namespace) -> None:
    """Run libFuzzer. Does not return."""
    import atheris

    with atheris.instrument_imports(include=["charrnn"], enable_loader_override=False):
        import fuzz_targets  # noqa: F401
    root = Path(tempfile.mkdtemp(dir="/dev/shm"))
    for name in ("seeds", "made", "use"):
        (root / name).mkdir()
    fuzzing = Fuzzing(args, root)
    seeds = fuzzing.target.seeds(root / "made")
    for i, seed in enumerate(seeds):
        (root / "seeds" / str(i)).write_bytes(seed)

    def mutate(data: bytes, largest: int, seed: int) -> bytes:
        rng = random.Random(seed)
        if rng.random() < _FRESH:
            data = rng.choice(seeds)
        if rng.random() < _STRUCTURED:
            try:
                return fuzzing.target.mutate(data, anyhow, rng)[:largest]
            except Exception:  # the input is too damaged
                pass
        return anyhow(data, largest)

    def anyhow(data: bytes, largest: int) -> bytes:
        return bytes(atheris.Mutate(data, largest))

    flags = [
        *("-max_len=65536", "-rss_limit_mb=0", f"-timeout={HANG}", "-verbosity=0"),
        f"-seed={args.seed}",
        str(root / "seeds"),
    ]
    atheris.Setup([sys.argv[0], *flags], fuzzing, custom_mutator=mutate)
    atheris.Fuzz()


def replay(args: argparse.Namespace) -> None:
    """Use one input, and show what it raises."""
    import fuzz_targets

    with tempfile.TemporaryDirectory() as folder:
        fuzz_targets.TARGETS[args.target].use(Path(folder), args.replay.read_bytes())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("target", choices=NAMES)
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--findings", type=Path, default=Path("findings"))
    parser.add_argument("--replay", type=Path, metavar="FILE")
    args = parser.parse_args()
    warnings.simplefilter("error")
    if args.replay:
        replay(args)
    elif not find_spec("atheris"):
        parser.error("atheris is missing; expected it from pip install 'charrnn[fuzz]'")
    else:
        fuzz(args)


if __name__ == "__main__":
    main()
