"""Arguments in advice, as the shells of each system read them."""

import re
import subprocess
from types import SimpleNamespace

import pytest

from charrnn import shell

NAMES = (
    "plain.txt",
    "two words.txt",
    "it's.txt",
    "a&b (1).txt",
    "100%.txt",
    "größe.txt",
    "~home",
    "#1",
    "a;b,c@d",
    "$HOME",
    "`date`",
    "a “quote”",
    "’tis “so”",
    'say "x"',
)


@pytest.fixture
def windows(monkeypatch):
    monkeypatch.setattr(shell, "os", SimpleNamespace(name="nt"))


def split_by_c_runtime(line):
    """Return the arguments of a command line by the rules of Microsoft's C runtime."""
    arguments, current, quoted = [], None, False
    for slashes, sign in re.findall(r'(\\*)("|[^\\"]|$)', line):
        if sign == '"':
            current = (current or "") + "\\" * (len(slashes) // 2)
            if len(slashes) % 2:
                current += '"'
            else:
                quoted = not quoted
        elif sign in (" ", "") and not quoted:
            if current is not None or slashes:
                arguments.append((current or "") + slashes)
            current = None
        else:
            current = (current or "") + slashes + sign
    return arguments


def split_by_powershell(line):
    """Return the one argument of a line, as PowerShell's grammar has it."""
    if line[0] == "'":
        assert re.fullmatch("'([^'‘’‚‛]|['‘’‚‛]{2})*'", line)
        return re.sub("(['‘’‚‛])['‘’‚‛]", r"\1", line[1:-1])
    assert not re.search("[$`“”„]", line)
    assert line[0] == '"' or not re.search(r"[\s@#,;&|(){}<>%]", line)
    return line.strip('"')


@pytest.mark.parametrize("name", NAMES)
def test_a_posix_shell_reads_the_same_name(name):
    echo = ["sh", "-c", f"printf %s {shell.quote(name)}"]
    assert subprocess.run(echo, stdout=subprocess.PIPE).stdout.decode() == name


@pytest.mark.parametrize("name", [*NAMES, r"C:\data\x.txt", r"\\server\a share\x.txt"])
def test_powershell_reads_the_same_name(windows, name):
    assert split_by_powershell(shell.quote(name)) == name


@pytest.mark.parametrize(
    "name", [*NAMES[:9], r"C:\data\x.txt", r"C:\my data\x.txt", "C:\\my data\\"]
)
def test_a_program_started_from_cmd_gets_the_same_name(windows, name):
    quoted = shell.quote(name)
    assert split_by_c_runtime(f"charrnn train {quoted} --resume") == [
        *("charrnn", "train", name, "--resume")
    ]
    # Outside of quotes, cmd would take these for its own.
    assert quoted[0] == '"' or not re.search(r"[&|<>()^%!]", quoted)


def test_wildcards_are_expanded_as_posix_shells_do(tmp_path, monkeypatch, windows):
    monkeypatch.chdir(tmp_path)
    for name in ("b.txt", "a.txt", "c.md", "d[1].txt"):
        (tmp_path / name).touch()
    paths = ["*.md", "[ab].txt", "none*.txt", "d[1].txt", "-"]
    assert [*shell.expand(paths)] == [
        *("c.md", "a.txt", "b.txt", "none*.txt", "d[1].txt", "-")
    ]


def test_elsewhere_the_shell_has_expanded_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").touch()
    assert [*shell.expand(["*.txt"])] == ["*.txt"]


def test_a_usual_path_stays_as_it_is(windows):
    assert shell.quote(r"checkpoints\lines-2") == r"checkpoints\lines-2"
