"""Run the commands of docs/performance.md and write their output into the page.

    python benchmarks/write_page.py                     every section
    python benchmarks/write_page.py sampling memory     those with these words

The page itself says what to run: every block of commands followed by the line

    <!-- figures -->

Everything from there to the line `<!-- end of figures -->` is replaced by what the
commands print, with the date. The page is written after each block. A command that
fails ends the run, and leaves the block as it was.
"""

import argparse
import datetime
import re
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- figures -->", "<!-- end of figures -->"
BLOCK = re.compile(rf"```\n([^`]+)```\n\n{BEGIN}\n.*?{END}", re.DOTALL)


def section_of(page: str, place: int) -> str:
    """Return the heading of the section at a place of the page."""
    headings = [m for m in re.finditer(r"^## (.+)$", page, re.M) if m.start() < place]
    return headings[-1][1] if headings else ""


def output_of(command: str) -> str:
    """Return what a command prints. Its messages go to the terminal."""
    words = shlex.split(command)
    if words[0] == "python":
        words[0] = sys.executable
    print(f"$ {command}", flush=True)
    process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    lines = []
    with process:
        for line in process.stdout or ():
            print(line, end="", flush=True)
            lines.append(line)
    if process.returncode:
        sys.exit(f"{command} ended with {process.returncode}; the page has no figures")
    return "".join(lines).strip()


def figures(commands: str) -> str:
    """Return the text between the marks: machine and date, then the tables."""
    found = [
        output_of(line)
        for line in commands.splitlines()
        if line.startswith("python benchmarks/")
    ]
    about, _, first = found[0].partition("\n")
    tables = [first, *(text.partition("\n")[2] for text in found[1:])]
    today = datetime.datetime.now(datetime.timezone.utc).date()
    parts = [f"({today}; {about.rstrip('.')})", *(table.strip() for table in tables)]
    return "\n\n".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("words", nargs="*", help="of the headings; all by default")
    words = [word.lower() for word in parser.parse_args().words]
    count = len(BLOCK.findall(PAGE.read_text(encoding="utf-8")))
    done = 0
    for i in range(count):
        page = PAGE.read_text(encoding="utf-8")  # what else changed meanwhile stays
        block = [*BLOCK.finditer(page)][i]
        heading = section_of(page, block.start())
        if words and not any(word in heading.lower() for word in words):
            continue
        new = f"```\n{block[1]}```\n\n{BEGIN}\n\n{figures(block[1])}\n\n{END}"
        page = PAGE.read_text(encoding="utf-8")
        PAGE.write_text(page.replace(block[0], new), encoding="utf-8")
        done += 1
    if not done:
        sys.exit(f"no heading with figures contains {' or '.join(words)}")


if __name__ == "__main__":
    main()
