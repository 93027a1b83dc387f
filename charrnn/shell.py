"""What differs between the shells of Windows and the others.

Commands in advice are quoted for the user's shell, so that they can be pasted.

On Windows a command must work in cmd and in PowerShell. Both take double quotes, but
inside them PowerShell replaces `$`, and it takes typographic quotes for quotes. Such
arguments, which are rare, get single quotes, which only PowerShell knows.

On Windows, a program expands wildcards, not the shell.
"""

import os
import re
import shlex
from collections.abc import Iterator, Sequence
from glob import glob
from pathlib import Path

_PLAIN = re.compile(r"[\w.\\/:+-]+")
_SINGLE, _DOUBLE = "'\u2018\u2019\u201a\u201b", '"\u201c\u201d\u201e'  # for PowerShell


def quote(argument: str) -> str:
    """Return an argument as the shell of this system takes it."""
    return _quote_for_windows(argument) if os.name == "nt" else shlex.quote(argument)


def _quote_for_windows(argument: str) -> str:
    if _PLAIN.fullmatch(argument):
        return argument
    if re.search(f"[$`{_DOUBLE}]", argument):
        return "'" + re.sub(f"([{_SINGLE}])", r"\1\1", argument) + "'"
    # A program takes \" for a quote, so backslashes before the last one are doubled.
    return '"' + re.sub(r"(\\+)$", r"\1\1", argument) + '"'


def expand(paths: Sequence[str]) -> Iterator[str]:
    """Yield paths; on Windows, those that match if a path has wildcards.

    A pattern that nothing matches stays as it is.
    """
    for path in paths:
        if os.name == "nt" and not Path(path).exists():
            # Path.glob takes no absolute patterns.
            yield from sorted(glob(path)) or [path]  # noqa: PTH207
        else:
            yield path
