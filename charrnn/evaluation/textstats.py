"""Statistics of a generated text: variety, repetition, and its words.

Pure functions of strings, each with a defined value for empty and short texts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from collections.abc import Set as AbstractSet

import numpy as np

from charrnn.errors import ConfigError
from charrnn.evaluation.stretches import ranks_of
from charrnn.text.characters import is_letter, is_mark

APOSTROPHES = "'\N{RIGHT SINGLE QUOTATION MARK}"
# Scripts that put no space between words, and how many letters count as a word there.
# Han and kana:
_PAIRS = re.compile(
    "[\u3005-\u3007\u3041-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\uff66-\uff9f\U0001aff0-\U0001b16f\U00020000-\U0003ffff]"
)
# Thai, Lao, Burmese, Khmer, and the Tai, Balinese and Javanese scripts:
_TRIPLES = re.compile(
    "[\u0e01-\u0eff\u1000-\u109f\u1780-\u17ff\u1950-\u19df\u1a20-\u1aaf\u1b00-\u1b7f"
    "\ua980-\ua9ff\uaa60-\uaadf]"
)


def distinct_ngrams(text: str, n: int = 4) -> float:
    """Return the share of the text's character n-grams that are distinct, in [0, 1].

    Distinct-n of Li et al. 2016, on characters. It falls as a text grows, so compare
    texts of equal length. It is 1.0 if the text has no n-gram: nothing is repeated.
    """
    _check_positive("n", n)
    ranks = ranks_of(text, n)
    return (int(ranks.max()) + 1) / ranks.size if ranks.size else 1.0


def repetition(text: str, length: int = 30) -> float:
    """Return the share of the text that is repeated, in [0, 1]; about 1 for a loop.

    A character counts if it lies in a stretch of `length` characters that the text also
    has at an earlier start; the two may overlap. A loop of period P in N characters
    scores (N - P) / N, prose about 0, and a short text 0.0.
    """
    _check_positive("length", length)
    ranks = ranks_of(text, length)
    if not ranks.size:
        return 0.0
    _, first = np.unique(ranks, return_index=True)
    starts = np.flatnonzero(first[ranks] < np.arange(ranks.size))
    # +1 where a repeated stretch begins and -1 behind it, so that the running sum is
    # the number of repeated stretches that a character lies in.
    steps = np.zeros(len(text) + 1, np.int32)
    steps[starts] += 1
    steps[starts + length] -= 1
    return int(np.count_nonzero(np.cumsum(steps))) / len(text)


def words(text: str) -> Iterator[str]:
    """Yield the text's words: runs of letters, marks and apostrophes, in order.

    Letters and combining marks of any script, case-folded. An apostrophe inside a word
    is kept ("don't"; both signs become "'"). At the ends of a word it is removed,
    because a quotation mark looks the same: 'tis gives "tis". Digits end a word.

    Chinese, Japanese, Thai, Lao, Khmer and Burmese have no spaces between words, and
    finding words in them takes a dictionary. There, each overlapping group of letters
    is yielded as a word: two of Han and kana, three of the others, whose letters are
    sounds; a shorter run is one word. Such n-grams find texts in these languages as
    well as words do (Nie, Gao, Zhang and Zhou 2000). Marks belong to the letter before.
    """
    folded = text.replace(APOSTROPHES[1], "'").casefold()
    letters = {c for c in {*folded} if is_letter(c)}
    marks = {c for c in letters if is_mark(c)}
    pairs = {c for c in letters if _PAIRS.match(c)}
    triples = {c for c in letters if _TRIPLES.match(c)}
    spaced = _class(letters - pairs - triples)
    pattern = f"{spaced}+(?:'+{spaced}+)*"
    for group in (pairs, triples):
        if group:
            pattern += f"|{_class(group)}{_class(group | marks)}*"
    for run in re.findall(pattern, folded):
        if run[0] in pairs:
            yield from _groups(run, marks, 2)
        elif run[0] in triples:
            yield from _groups(run, marks, 3)
        elif not marks or any(map(str.isalpha, run)):
            yield run


def _class(characters: AbstractSet[str]) -> str:
    """Return a pattern that matches one of the characters, or nothing for none."""
    return f"[{''.join(sorted(characters))}]" if characters else "(?!)"


def _groups(run: str, marks: AbstractSet[str], n: int) -> Iterator[str]:
    """Yield the overlapping groups of n letters in a run, each with its marks."""
    starts = [i for i, c in enumerate(run) if c not in marks]
    ends = [*starts[1:], len(run)]
    for start, end in zip(starts, ends[n - 1 :] or ends[-1:], strict=False):
        yield run[start:end]


def known_words(text: str, vocabulary: AbstractSet[str]) -> float | None:
    """Return the share of the text's words that are in `vocabulary`, in [0, 1].

    vocabulary is set(words(corpus)). A repeated word counts each time. None if the text
    has no words.
    """
    known = [word in vocabulary for word in words(text)]
    return sum(known) / len(known) if known else None


def _check_positive(name: str, value: int) -> None:
    if value < 1:
        raise ConfigError(f"{name} is {value}; expected 1 or more characters")
