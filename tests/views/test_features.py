"""Features of a text, next to naive ones that go from character to character."""

import random
import unicodedata

import numpy as np
import pytest

from charrnn.views.features import DEFINITIONS, features, kind_of_code

PLAY = """Ann:
I say, "Go (now)!" It's 12 o'clock.

Old Ben:
Éa, (what [he] said.

note: no speaker
\tfour\t  x
"""
C_CODE = """int f(char *s) { // it's "one"
  /* two
     " lines */ if (*s == '\\'') {
    return "a // b";  }
}
"""
PYTHON = '''def f(x):
    """Doc # no comment.

    "quoted" text."""
    if x: # it's
        return '#' + "it\\"s"
'''


def random_text(seed):
    rng = random.Random(seed)
    return "".join(rng.choices('aEx é,.:;!?19\n\n\t "“”«»()[]{}', k=400))


def line_of(text, i):
    """Return the line of character i, without its end, and its place there."""
    start = text.rfind("\n", 0, i) + 1
    end = text.find("\n", i)
    return text[start : len(text) if end < 0 else end], i - start


def naive_position(text, i):
    return line_of(text, i)[1]


def naive_to_line_end(text, i):
    line, place = line_of(text, i)
    end = i - place + len(line)
    return (end if end < len(text) else len(text) - 1) - i


def naive_speaker(text, i):
    line, place = line_of(text, i)
    before = text[: i - place]
    return (
        place < len(line)
        and 2 <= len(line) <= 40
        and line[0].isupper()
        and line[-1] == ":"
        and (before == "" or before.endswith("\n\n"))
    )


def letters(text, i):
    count = 0
    while i >= count and text[i - count].isalpha():
        count += 1
    return count


def naive_vowel(text, i):
    return unicodedata.normalize("NFD", text[i])[0].lower() in set("aeiou")


def naive_sentence_end(text, i):
    while i >= 0 and not text[i].isalpha():
        if text[i] in ".!?":
            return True
        i -= 1
    return False


def naive_clause(text, i):
    last = max([0, *(k for k in range(i + 1) if text[k] in ",;:.!?")])
    return i - last


def naive_inside(pairs):
    def inside(text, i):
        waiting = []
        for k in range(i + 1):
            if text[k] == "\n" and k and text[k - 1] == "\n":
                waiting = []
            elif waiting and text[k] == waiting[-1]:
                del waiting[-1]
            elif text[k] in pairs:
                waiting.append(pairs[text[k]])
        return bool(waiting)

    return inside


def naive_depth(text, i):
    depth = 0
    for c in text[: i + 1]:
        depth = max(0, depth + (c == "{") - (c == "}"))
    return depth


def naive_indentation(text, i):
    line, place = line_of(text, i)
    white = line[: place + 1]
    white = white[: len(white) - len(white.lstrip(" \t"))]
    return len(white.expandtabs(8))


NAIVE = {
    "line position": naive_position,
    "to line end": naive_to_line_end,
    "line start": lambda text, i: naive_position(text, i) == 0,
    "line end": lambda text, i: text[i] == "\n",
    "empty line": lambda text, i: text[i] == "\n" and naive_position(text, i) == 0,
    "speaker": naive_speaker,
    "capital": lambda text, i: text[i].isupper(),
    "vowel": naive_vowel,
    "digit": lambda text, i: text[i].isdecimal(),
    "punctuation": lambda text, i: unicodedata.category(text[i]).startswith("P"),
    "space": lambda text, i: text[i].isspace() and text[i] != "\n",
    "word start": lambda text, i: letters(text, i) == 1,
    "word length": letters,
    "sentence end": naive_sentence_end,
    "after comma": lambda text, i: i > 0 and text[i - 1] == ",",
    "clause length": naive_clause,
    "in quotes": naive_inside({'"': '"', "“": "”", "„": "“", "«": "»"}),
    "in brackets": naive_inside({"(": ")", "[": "]"}),
    "brace depth": naive_depth,
    "indentation": naive_indentation,
}


@pytest.mark.parametrize("name", NAIVE)
@pytest.mark.parametrize(
    "text", [PLAY, C_CODE, PYTHON, "\n", "a", *map(random_text, range(3))]
)
def test_every_feature_equals_its_naive_twin(name, text):
    expected = [float(NAIVE[name](text, i)) for i in range(len(text))]
    assert features(text)[name].tolist() == expected


def test_the_play_has_what_a_reader_sees():
    found = features(PLAY)

    def shown(name):
        return "".join(c for c, value in zip(PLAY, found[name], strict=True) if value)

    assert shown("speaker") == "Ann:Old Ben:"
    assert shown("in quotes") == '"Go (now)!'
    assert shown("in brackets") == "(now(what [he] said.\n"
    assert shown("digit") == "12"


@pytest.mark.parametrize(
    ("code", "kind", "comments", "strings"),
    [
        (
            C_CODE,
            "braces",
            ['// it\'s "one"', '/* two\n     " lines *'],
            ["'\\'", '"a // b'],
        ),
        (
            PYTHON,
            "indented",
            ["# it's"],
            ['"""Doc # no comment.\n\n    "quoted" text.""', "'#", '"it\\"s'],
        ),
    ],
)
def test_comments_and_strings_of_source_code(code, kind, comments, strings):
    assert kind_of_code(code) == kind
    found = features(code, kind)
    for name, expected in (("comment", comments), ("string", strings)):
        inside = np.concatenate([[0], found[name], [0]])
        starts, ends = (np.flatnonzero(np.diff(inside) == s).tolist() for s in (1, -1))
        assert [code[a:b] for a, b in zip(starts, ends, strict=True)] == expected


def test_prose_has_no_comments_and_no_strings():
    assert kind_of_code(PLAY) == ""
    found = features(PLAY)
    assert not found["comment"].any()
    assert not found["string"].any()


def test_every_feature_is_defined_and_empty_texts_have_none():
    assert [*features("a")] == [*DEFINITIONS]
    assert {*NAIVE} == {*DEFINITIONS} - {"comment", "string"}
    assert all(len(values) == 0 for values in features("").values())
