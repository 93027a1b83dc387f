"""Nameable properties of each character of a text, for `views/neurons.py`.

A feature is a number per character, computed from the text alone. It describes the
moment after the character was read, as the hidden state does: a text is in quotes from
the opening mark on, and no longer at the closing one.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable

import numpy as np

from charrnn.nn.parameters import Array
from charrnn.text.vocab import code_points

# What each feature means, in the order of tables; at each character, this one included.
DEFINITIONS = {
    "line position": "characters of the line before this one",
    "to line end": "characters of the line after this one; its line end is the last",
    "line start": "1 at the first character of a line",
    "line end": "1 at a line end",
    "empty line": "1 at the line end of an empty line",
    "speaker": "1 in a line that names a speaker: after an empty line or at the start "
    "of the text, 2 to 40 characters, of which the first is a capital and the last a "
    "colon",
    "capital": "1 at an upper-case letter",
    "vowel": "1 at a, e, i, o, u in either case, with or without accents",
    "digit": "1 at a decimal digit",
    "punctuation": "1 at a punctuation mark (Unicode category P)",
    "space": "1 at white space other than a line end",
    "word start": "1 at a letter that follows no letter",
    "word length": "letters of the word so far; 0 outside a word. An apostrophe ends a "
    "word",
    "sentence end": "1 from . ! or ? until the next letter",
    "after comma": "1 at the character after a comma",
    "clause length": "characters since the last of , ; : . ! ? or since the start of "
    "the text",
    "in quotes": '1 from an opening " “ „ or « until the closing one; an empty line '
    "closes it",
    "in brackets": "1 from ( or [ until the bracket that closes it; an empty line "
    "closes all",
    "brace depth": "open curly braces",
    "indentation": "columns of white space at the start of the line, so far; a tab "
    "goes to the next multiple of 8",
    "comment": "source code: 1 in a comment, from # or // until the line end, or from "
    "/* until the last character of */",
    "string": "source code: 1 from the quote that opens a string until the one that "
    "closes it",
}

_SPEAKER = re.compile(r"(?:(?<=\n\n)|\A)[^\W\d_][^\n]{0,38}:(?=\n|\Z)")
_SENTENCE_END = re.compile(r"[.!?][\W\d_]*")
_QUOTES = {'"': '"', "“": "”", "„": "“", "«": "»"}
_BRACKETS = {"(": ")", "[": "]"}
_STRINGS = r'"(?:\\.|[^"\\\n])*"?' + r"|'(?:\\.|[^'\\\n])*'?"
_LONG_STRINGS = r'"""(?:\\.|[^\\])*?(?:"""|\Z)' + r"|'''(?:\\.|[^\\])*?(?:'''|\Z)"
# Comments and strings by the kind of source code. What comes first in the text wins, so
# that a # in a string opens no comment.
_CODE = {
    "braces": re.compile(rf"//[^\n]*|/\*.*?(?:\*/|\Z)|{_STRINGS}", re.DOTALL),
    "indented": re.compile(rf"#[^\n]*|{_LONG_STRINGS}|{_STRINGS}", re.DOTALL),
}
_LINE_COMMENTS = ("//", "#")
_BRACE_LINE = re.compile(r"[{}];?[ \t]*$", re.MULTILINE)
_BLOCK_LINE = re.compile(r":[ \t]*\n(?:[ \t]*\n)*[ \t]+\S")
_FEW = 0.02  # share of lines that make a text source code
_TAB = 8


def kind_of_code(text: str) -> str:
    """Return "braces", "indented" or, if a text seems to be no source code, "".

    It is code with braces (C, Java, JavaScript) if 2 % of the lines end with one, and
    indented (Python) if an indented line follows a colon at the end of 2 % of them.
    """
    few = _FEW * (text.count("\n") + 1)
    if sum(1 for _ in _BRACE_LINE.finditer(text)) >= few:
        return "braces"
    return "indented" if sum(1 for _ in _BLOCK_LINE.finditer(text)) >= few else ""


def features(text: str, kind: str = "") -> dict[str, Array]:
    """Return the features of a text, each (len(text),), by the names in DEFINITIONS.

    kind is that of its source code; without one, "comment" and "string" are 0.
    """
    points = code_points(text)
    at = np.arange(len(text))
    is_end = points == ord("\n")
    is_first = _shifted(is_end, True)
    starts = np.maximum.accumulate(np.where(is_first, at, 0))
    is_letter = _matching(text, str.isalpha)
    clause = _one_of(points, ",;:.!?")
    comment, string = _comments_and_strings(text, kind)
    found = {
        "line position": at - starts,
        "to line end": _to_line_end(is_end),
        "line start": is_first,
        "line end": is_end,
        "empty line": is_end & is_first,
        "speaker": _speakers(text),
        "capital": _matching(text, str.isupper),
        "vowel": _matching(text, _is_vowel),
        "digit": _matching(text, str.isdecimal),
        "punctuation": _matching(text, lambda c: unicodedata.category(c)[0] == "P"),
        "space": _matching(text, str.isspace) & ~is_end,
        "word start": is_letter & ~_shifted(is_letter, False),
        "word length": _run_length(is_letter),
        "sentence end": _covered(text, _SENTENCE_END.finditer(text)),
        "after comma": _shifted(points == ord(","), False),
        "clause length": at - np.maximum.accumulate(np.where(clause, at, 0)),
        "in quotes": _inside(text, _QUOTES),
        "in brackets": _inside(text, _BRACKETS),
        "brace depth": _brace_depth(points),
        "indentation": _indentation(text),
        "comment": comment,
        "string": string,
    }
    return {name: values.astype(np.float32) for name, values in found.items()}


def _shifted(values: Array, first: bool) -> Array:
    """Return the value of the character before each."""
    return np.concatenate([[first], values[:-1]]) if len(values) else values


def _matching(text: str, test: Callable[[str], bool]) -> Array:
    """Return at which characters a test of one character is true."""
    chosen = [ord(c) for c in {*text} if test(c)]
    return np.isin(code_points(text), chosen)


def _one_of(points: Array, characters: str) -> Array:
    return np.isin(points, [*map(ord, characters)])


def _is_vowel(character: str) -> bool:
    return unicodedata.normalize("NFD", character)[0] in "aeiouAEIOU"


def _to_line_end(is_end: Array) -> Array:
    """Return the distance to the next line end; after the last, to the end."""
    n = len(is_end)
    at = np.arange(n)
    next_ends = np.where(is_end, at, max(0, n - 1))
    ends: Array = np.minimum.accumulate(next_ends[::-1])[::-1]
    return ends - at


def _run_length(values: Array) -> Array:
    """Return how many values in a row have been true."""
    at = np.arange(1, len(values) + 1)
    return at - np.maximum.accumulate(np.where(values, 0, at))


def _speakers(text: str) -> Array:
    names = [m for m in _SPEAKER.finditer(text) if m[0][0].isupper()]
    return _covered(text, names)


def _covered(text: str, matches: Iterable[re.Match[str]]) -> Array:
    """Return at which characters there is a match."""
    inside = np.zeros(len(text), bool)
    for match in matches:
        inside[match.start() : match.end()] = True
    return inside


def _inside(text: str, pairs: dict[str, str]) -> Array:
    """Return what is between pairs of marks, the opening one included."""
    marks = re.escape("".join([*pairs, *pairs.values()]))
    inside = np.zeros(len(text), bool)
    open_marks: list[str] = []
    begin = 0
    for match in re.finditer(rf"[{marks}]|(?<=\n)\n", text):
        mark, place = match[0], match.start()
        was_open = bool(open_marks)
        if mark == "\n":
            open_marks.clear()
        elif open_marks and mark == pairs[open_marks[-1]]:
            open_marks.pop()
        elif mark in pairs:
            open_marks.append(mark)
        if was_open and not open_marks:
            inside[begin:place] = True
        elif open_marks and not was_open:
            begin = place
    if open_marks:
        inside[begin:] = True
    return inside


def _brace_depth(points: Array) -> Array:
    """Return the number of open braces; one that closes nothing does not count."""
    change = (points == ord("{")).astype(np.int64) - (points == ord("}"))
    depth = np.cumsum(change)
    return depth - np.minimum(0, np.minimum.accumulate(depth))


def _indentation(text: str) -> Array:
    found = np.zeros(len(text))
    for match in re.finditer(r"^[ \t]+", text, re.MULTILINE):
        column = 0
        for place, character in enumerate(match[0], match.start()):
            column += _TAB - column % _TAB if character == "\t" else 1
            found[place] = column
        end = text.find("\n", match.end())
        found[match.end() : len(text) if end < 0 else end + 1] = column
    return found


def _comments_and_strings(text: str, kind: str) -> tuple[Array, Array]:
    comment, string = np.zeros((2, len(text)), bool)
    for match in _CODE[kind].finditer(text) if kind else ():
        to_line_end = match[0].startswith(_LINE_COMMENTS)
        is_comment = to_line_end or match[0].startswith("/*")
        # At the end of the last mark, it is over; without one, it goes on.
        ends = not to_line_end and match.end() < len(text)
        inside = comment if is_comment else string
        inside[match.start() : match.end() - ends] = True
    return comment, string
