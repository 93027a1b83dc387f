"""Arguments quoted for the user's shell, so that the commands in advice can be pasted.

On Windows a command must work in cmd and in PowerShell. Both take double quotes, but
inside them PowerShell replaces `$`, and it takes typographic quotes for quotes. Such
arguments, which are rare, get single quotes, which only PowerShell knows.
"""

import os
import re
import shlex

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
