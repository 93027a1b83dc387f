"""Compare settings of `charrnn train` in pairs, and log every run.

    python benchmarks/search.py data/tinyshakespeare.txt --log trials.jsonl \\
        --preset small --seed 1 --seed 2 --try cell=mgru --try cell=mgru,hidden=384

Every `--try` is a list of settings that differ from the preset; the preset itself comes
first. For each text and seed, all of them are trained in turn, each for the preset's
minutes, so that a slow hour of the machine hits all alike. With `--jobs 2`, two runs of
one thread each go side by side; then give the length in steps.

Each run adds a line to the log: machine, commit, text, settings, seed, curve, the
lowest loss, and that of the calibrated model (see recipes.py), which is compared. A run
whose text, settings and seed are in the log is not made again, so an interrupted search
goes on where it was. At the end, a table shows the loss of each `--try`, and how much
lower it is than that of the preset with the same text and seed. A gain below 0.005 on
one seed is no gain: runs that differ in the seed alone differ by 0.007.

With `--test 0.05`, the last part of each text is kept out of the run, and the finished
model is scored on it: a part of the text that no choice has looked at.
"""

import argparse
import hashlib
import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any

from machine import machine
from recipes import cross_fitted, setting, trained

from charrnn.config import ModelConfig, TrainConfig
from charrnn.option import settings_of as settings_in
from charrnn.presets import DEFAULT_PRESET, PRESETS, resolve_settings

Settings = dict[str, Any]


def settings_of(text: str) -> Settings:
    """Parse "cell=mgru,hidden=384"."""
    return dict(setting(part) for part in text.split(",") if part)


def commit() -> str:
    """Return the commit of the working tree, with a + if files differ from it."""

    def git(*args: str) -> str:
        return subprocess.run(
            ["git", *args], capture_output=True, text=True, check=False
        ).stdout.strip()

    changed = "+" if git("status", "--porcelain", "--untracked-files=no") else ""
    return git("rev-parse", "--short", "HEAD") + changed


def text_of(path: Path, test: float) -> tuple[str, str]:
    """Return the text to train and validate on, and that of the test."""
    text = path.read_text(encoding="utf-8")
    end = len(text) - int(len(text) * test)
    return text[:end], text[end:]


def key_of(path: Path, preset: str, tried: Settings, seed: int, test: float) -> str:
    """Return what tells a run from all others: presets may change, so the settings."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    settings = resolve_settings(preset, tried | {"seed": seed})
    return json.dumps({"text": digest, "test": test} | settings, sort_keys=True)


def run(path: Path, preset: str, tried: Settings, seed: int, test: float) -> Settings:
    """Train once, and return the line of the log."""
    text, held_out = text_of(path, test)
    start, cpu = time.perf_counter(), time.process_time()
    settings = {"preset": preset, "seed": seed} | tried
    model, seen = trained(text=text, **settings)
    curve = [
        (event.step, round(event.train_loss, 4), round(event.val_loss, 4))
        for event in seen
    ]
    ids = model.vocab.encode(text)
    line = {
        "key": key_of(path, preset, tried, seed, test),
        "machine": machine(),
        "commit": commit(),
        "date": time.strftime("%Y-%m-%d"),
        "text": path.stem,
        "preset": preset,
        "tried": tried,
        "seed": seed,
        "steps": curve[-1][0],
        "seconds": round(time.perf_counter() - start, 1),
        "cpu_seconds": round(time.process_time() - cpu, 1),
        "loss": min(loss for _, _, loss in curve),
        "calibrated": round(cross_fitted(model, ids[-model.split.val :]), 4),
        "temperature": round(model.model.members[0].temperature, 3),
        "plan": model.training["plan"],
        "curve": curve,
    }
    if held_out:
        line["test"] = round(model.evaluate(held_out).nats, 4)
    return line


def run_apart(job: tuple[Any, ...]) -> Settings:
    """Run in a process of its own, so that several have one thread each."""
    path, preset, tried, seed, test = job
    arguments = [str(path), "--preset", preset, "--seed", str(seed)]
    arguments += ["--test", str(test), "--alone", json.dumps(tried)]
    command = [sys.executable, __file__, *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    line: Settings = json.loads(done.stdout.splitlines()[-1])
    return line


def table(lines: list[Settings], tries: list[Settings]) -> str:
    """Return a row for each text and try: losses by seed, and the gains."""
    rows = ["| text | preset | changed | losses | median | gain, by seed |", "|---" * 6]
    rows[1] += "|"
    texts = dict.fromkeys(line["text"] for line in lines)
    for text in texts:
        own = [line for line in lines if line["text"] == text]
        base = {li["seed"]: li["calibrated"] for li in own if li["tried"] == tries[0]}
        for tried in tries:
            found = {li["seed"]: li["calibrated"] for li in own if li["tried"] == tried}
            if not found:
                continue
            gains = [
                base[s] - x for s, x in found.items() if tried != tries[0] and s in base
            ]
            changed = ", ".join(f"{k} {v}" for k, v in tried.items()) or "–"
            cells = [text, own[0]["preset"], changed]
            cells += [", ".join(f"{x:.4f}" for x in found.values())]
            cells += [f"{median(found.values()):.4f}"]
            cells += [", ".join(f"{gain:+.4f}" for gain in gains) or "–"]
            rows.append("| " + " | ".join(cells) + " |")
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("text", type=Path, nargs="+")
    parser.add_argument("--log", type=Path, default=Path("trials.jsonl"))
    parser.add_argument("--preset", choices=tuple(PRESETS), default=DEFAULT_PRESET)
    parser.add_argument("--try", dest="tries", type=settings_of, action="append")
    parser.add_argument("--seed", type=int, action="append")
    parser.add_argument("--test", type=float, default=0.0, help="fraction of the text")
    parser.add_argument("--jobs", type=int, default=1, help="runs of one thread each")
    parser.add_argument("--alone", type=json.loads, help=argparse.SUPPRESS)
    args = parser.parse_args()
    seeds, tries = args.seed or [1], [{}, *(args.tries or [])]
    if args.alone is not None:
        line = run(args.text[0], args.preset, args.alone, seeds[0], args.test)
        print(json.dumps(line))
        return
    if args.jobs > 1:
        tries = [tried | {"threads": 1} for tried in tries]
    jobs = [
        (path, args.preset, tried, seed, args.test)
        for path in args.text
        for seed in seeds
        for tried in tries
    ]
    logged = read_log(args.log)
    missing = [job for job in jobs if key_of(*job) not in logged]
    with ThreadPoolExecutor(args.jobs) as pool:
        for line in pool.map(run_apart, missing):
            with args.log.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
            logged[line["key"]] = line
            changed = line["tried"] or "–"
            print(
                f"{line['calibrated']:.4f} {changed} seed {line['seed']}",
                file=sys.stderr,
            )
    print(f"{machine()}\n\n{table([logged[key_of(*job)] for job in jobs], tries)}")


def read_log(path: Path) -> dict[str, Settings]:
    """Return the lines of a log by their keys; there may be none yet."""
    if not path.exists():
        return {}
    lines = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    return {with_new_settings(line["key"]): line for line in lines}


def with_new_settings(key: str) -> str:
    """Return the key of a run with the settings that charrnn has got since then."""
    defaults = {
        each.name: each.default
        for kind in (ModelConfig, TrainConfig)
        for each, _ in settings_in(kind)
    }
    return json.dumps(defaults | json.loads(key), sort_keys=True)


if __name__ == "__main__":
    main()
