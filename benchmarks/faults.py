"""Does to charrnn what ordinary life and strangers do, and counts what is lost.

    python benchmarks/faults.py                      every area, about an hour
    python benchmarks/faults.py killed disk          these areas
    python benchmarks/faults.py --share 0.05         a twentieth of the repetitions
    python benchmarks/faults.py --output faults.md

An area is a module in `fault_cases`; to add a case, add it to the module's CASES. The
table is Markdown. "lost" counts what had to be kept and was not, "crashed" tracebacks,
hangs and wrong exit statuses; the exit status is 1 if either is not zero.
"""

import argparse
import importlib
import pkgutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from math import ceil
from pathlib import Path
from time import perf_counter

import fault_cases
from fault_cases.case import Case, Tally
from machine import machine

HEAD = "| what was done | times | lost | crashed | seen |\n|---|--:|--:|--:|---|"


def areas() -> list[str]:
    """Return the names of the areas."""
    found = (module.name for module in pkgutil.iter_modules(fault_cases.__path__))
    return [name for name in found if name != "case"]


def run(case: Case, share: float) -> Tally:
    """Return what a case counts with this share of its repetitions."""
    with tempfile.TemporaryDirectory() as folder:
        return case.run(Path(folder), max(1, ceil(case.times * share)))


def rows(name: str, share: float) -> Iterator[tuple[str, bool]]:
    """Yield the lines of an area, and whether all is well."""
    area = importlib.import_module(f"fault_cases.{name}")
    yield f"| **{area.HEADING}** |||||", True
    for case in area.CASES:
        start = perf_counter()
        tally = run(case, share)
        for kind in ("lost", "crashed"):
            for fault in getattr(tally, kind):
                print(f"{kind}: {name}: {case.done}: {fault}", file=sys.stderr)
        took = f"{case.done}: {perf_counter() - start:.0f} s"
        print(took, file=sys.stderr, flush=True)
        lost, crashed = len(tally.lost), len(tally.crashed)
        line = f"| {case.done} | {tally.times:,} | {lost} | {crashed} | {tally.seen} |"
        yield line, not lost and not crashed


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("areas", nargs="*", metavar="AREA", help=", ".join(areas()))
    parser.add_argument("--share", type=float, default=1.0)
    parser.add_argument("--output", type=Path)
    args = parser.parse_args()
    unknown = set(args.areas) - set(areas())
    if unknown:
        parser.error(f"no area {', '.join(unknown)}; expected {', '.join(areas())}")
    # Shells start jobs in the background with SIGINT ignored, nohup ignores SIGHUP, and
    # children inherit that.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
    lines, well = [HEAD], True
    for name in args.areas or areas():
        for line, is_well in rows(name, args.share):
            lines.append(line)
            well &= is_well
    text = "\n".join([*lines, "", machine()]) + "\n"
    if args.output:
        args.output.write_text(text, encoding="utf-8")
    print(text, end="")
    raise SystemExit(not well)


if __name__ == "__main__":
    main()
