"""The documents: links lead somewhere, commands parse, examples compile."""

import re
import runpy
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from charrnn.cli import main
from charrnn.views.features import DEFINITIONS

ROOT = Path(__file__).parents[1]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "SECURITY.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "benchmarks").glob("*.md")),
    ROOT / "data" / "README.md",
    ROOT / "checkpoints" / "README.md",
    ROOT / "charrnn" / "pretrained" / "README.md",
]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
CODE = re.compile(r"`([^`]+)`")
# A word in capitals stands for something that the reader fills in.
PLACEHOLDER = re.compile(
    r"…|\[[A-Z]+\]|\b(?:COMMAND|NAME|CHECKPOINT|PREFIX|FILE|HEX)\b"
)


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def prose(page: Path) -> str:
    """Return a page without its fenced blocks."""
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def blocks(page: Path) -> Iterator[tuple[str, str]]:
    """Yield the language and the text of each fenced block."""
    yield from FENCE.findall(page.read_text(encoding="utf-8"))


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives to a page's headings."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.replace(" ", "-") for heading in plain}


def links() -> Iterator[tuple[str, str]]:
    for page in PAGES:
        for target in LINK.findall(prose(page)):
            if not re.match(r"[a-z]+:", target):
                yield name_of(page), target


def commands() -> Iterator[tuple[str, str]]:
    """Yield each `charrnn …` command line of the pages, in blocks and in sentences."""
    for page in PAGES:
        text = "\n".join(block for _, block in blocks(page))
        shown = [line.strip().removeprefix("$ ") for line in text.splitlines()]
        shown += [" ".join(code.split()) for code in CODE.findall(prose(page))]
        for line in dict.fromkeys(shown):
            if re.match(r"charrnn [a-z]", line) and not PLACEHOLDER.search(line):
                yield name_of(page), line


def options() -> Iterator[tuple[str, str]]:
    """Yield each option that a page names on its own, such as `--hidden 128`."""
    for page in PAGES:
        if page.parent.name in ("benchmarks", "data"):  # other programs' options
            continue
        for code in dict.fromkeys(CODE.findall(prose(page))):
            if re.match(r"--\w|-\w\b", code):
                yield name_of(page), code


def test_links_lead_to_a_file_and_a_heading_that_exist():
    broken = []
    for page, target in links():
        path, _, anchor = target.partition("#")
        file = (ROOT / page).parent / path if path else ROOT / page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            broken.append(f"{page}: {target}")
    assert not broken


def test_readme_has_at_most_150_lines():
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 150


@pytest.mark.parametrize(("page", "line"), list(commands()))
def test_commands_parse(page, line):
    words = shlex.split(re.split(r" [|>] | && ", line)[0], comments=True)[1:]
    context = click.Context(main)
    command = main.get_command(context, words[0])
    assert command, f"{page}: there is no command {words[0]!r}"
    if not words[1:]:  # the name alone may stand for the command
        return
    try:
        command.make_context(words[0], words[1:], parent=context).close()
    except click.UsageError as error:
        pytest.fail(f"{page}: {line}: {error.format_message()}")
    except click.exceptions.Exit:  # --help
        pass


def test_options_exist():
    context = click.Context(main)
    known = {"-h", "--help", "--version"}
    for name in main.list_commands(context):
        command = main.get_command(context, name)
        known |= {flag for param in command.params for flag in param.opts}
    unknown = [
        f"{page}: {code}"
        for page, code in options()
        if code.split()[0].rstrip(",") not in known
    ]
    assert not unknown


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_python_examples_compile(page):
    for language, code in blocks(page):
        if language == "python":
            compile(code, name_of(page), "exec")


def test_the_page_on_neurons_has_the_definitions_of_the_features():
    text = (ROOT / "docs" / "neurons.md").read_text(encoding="utf-8")
    shown = text.split("<!-- features -->\n")[1].split("\n<!-- /features -->")[0]
    rows = [f"| {name} | {meaning} |" for name, meaning in DEFINITIONS.items()]
    assert shown.splitlines()[2:] == rows


def test_the_map_in_contributing_names_every_module():
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    mapped = text.split("## Map\n")[1].split("\n## ")[0]
    named = set(re.findall(r"[\w/]+\.py\b", mapped))
    package = ROOT / "charrnn"
    modules = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if path.name != "__init__.py"
    }
    assert named == modules


@pytest.mark.parametrize(
    ("page", "command"),
    [
        ("training", "train"),
        ("sampling", "sample"),
        ("neurons", "neurons"),
        ("serving", "serve"),
    ],
)
def test_option_tables_are_those_of_the_commands(page, command):
    text = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
    shown = text.split("<!-- options -->\n")[1].split("\n<!-- /options -->")[0]
    script = runpy.run_path(str(ROOT / "scripts" / "option_tables.py"))
    assert shown == script["option_table"](command)
