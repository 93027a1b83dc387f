"""Statistics of a generated text: variety, spelling, and copying from the corpus.

Pure functions of strings, each with a defined value for empty and short texts.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from charrnn.errors import ConfigError

_APOSTROPHES = "'\N{RIGHT SINGLE QUOTATION MARK}"
_CHUNK = 1 << 18  # characters of the corpus that `longest_copy` searches at a time
_TABLE = 1 << 22  # largest size of a look-up table; beyond it, binary search


def distinct_ngrams(text: str, n: int = 4) -> float:
    """Return the share of the text's character n-grams that are distinct, in [0, 1].

    Distinct-n of Li et al. 2016, on characters. It falls as a text grows, so compare
    texts of equal length. It is 1.0 if the text has no n-gram: nothing is repeated.
    """
    _check_positive("n", n)
    count = len(text) - n + 1
    if count < 1:
        return 1.0
    return len({text[i : i + n] for i in range(count)}) / count


def repetition(text: str, length: int = 30) -> float:
    """Return the share of the text that is repeated, in [0, 1]; about 1 for a loop.

    A character counts if it lies in a stretch of `length` characters that the text also
    has at an earlier start; the two may overlap. A loop of period P in N characters
    scores (N - P) / N, prose about 0, and a short text 0.0.
    """
    _check_positive("length", length)
    seen: set[str] = set()
    covered = end = 0  # characters that count, and where the last of them ended
    for start in range(len(text) - length + 1):
        stretch = text[start : start + length]
        if stretch in seen:
            covered += start + length - max(end, start)
            end = start + length
        seen.add(stretch)
    return covered / len(text) if text else 0.0


def words(text: str) -> Iterator[str]:
    """Yield the text's words in order: runs of letters, marks and apostrophes.

    Letters and combining marks of any script, case-folded. An apostrophe inside a word
    is kept ("don't"; both signs become "'"). At the ends of a word it is removed,
    because a quotation mark looks the same: 'tis gives "tis". Digits end a word.
    """
    alphabet = "".join(c for c in sorted(set(text)) if _in_word(c))
    for run in re.finditer(f"[{_APOSTROPHES}{alphabet}]+", text):
        word = run.group().replace(_APOSTROPHES[1], "'").strip("'").casefold()
        if any(map(str.isalpha, word)):
            yield word


def _in_word(character: str) -> bool:
    return unicodedata.category(character)[0] in "LM"


def known_words(text: str, vocabulary: AbstractSet[str]) -> float | None:
    """Return the share of the text's words that are in `vocabulary`, in [0, 1].

    vocabulary is set(words(corpus)). A repeated word counts each time. None if the text
    has no words.
    """
    known = [word in vocabulary for word in words(text)]
    return sum(known) / len(known) if known else None


def longest_copy(text: str, corpus: str) -> str:
    """Return the longest stretch of `text` that is also in `corpus`, letter for letter.

    The longest common substring: the first in `text` if there are several, "" if the
    two share no character. The time, about 0.1 s per MB of corpus, grows only slowly
    with len(text) and does not depend on the contents.
    """
    codes = _codes(text)
    best, best_start = 0, 0
    for start in range(0, len(corpus), _CHUNK):
        # Chunks overlap, so that no copy is cut in two.
        chunk = corpus[start : start + _CHUNK + len(text) - 1]
        length, at = _longest_common(codes, _codes(chunk))
        if (length, -at) > (best, -best_start):
            best, best_start = length, at
    return text[best_start : best_start + best]


def _check_positive(name: str, value: int) -> None:
    if value < 1:
        raise ConfigError(f"{name} is {value}; expected 1 or more characters")


# The longest common substring by doubling, as suffix arrays are built (Manber and Myers
# 1993): a stretch of 2 L characters is a pair of halves, represented by the rank of
# that pair among the text's own pairs. NumPy handles all positions at once.

_Ranks = npt.NDArray[np.int32]
_Keys = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True)
class _Grams:
    """All stretches of one length in the text and in the corpus, by rank."""

    length: int
    distinct: int  # number of different ones in the text
    text: _Ranks  # rank of the stretch that starts at each position of the text
    corpus: _Ranks  # the same for the corpus, -1 for a stretch that the text lacks

    @property
    def shared(self) -> bool:
        return bool(self.corpus.size) and int(self.corpus.max()) >= 0


def _longest_common(text: _Ranks, corpus: _Ranks) -> tuple[int, int]:
    """Return length and start in `text` of the longest stretch that both contain."""
    powers = [_rank(1, text, corpus)]  # stretches of 1, 2, 4, ... characters
    while powers[-1].shared:
        powers.append(_join(powers[-1], powers[-1]))
    powers.pop()
    if not powers:
        return 0, 0
    longest = powers.pop()
    while powers:  # binary digits of the length, from the highest down
        longer = _join(longest, powers.pop())
        longest = longer if longer.shared else longest
    is_shared = np.zeros(longest.distinct, np.bool_)
    is_shared[longest.corpus[longest.corpus >= 0]] = True
    return longest.length, int(is_shared[longest.text].argmax())


def _join(head: _Grams, tail: _Grams) -> _Grams:
    """Return the stretches that join one of `head` and the one of `tail` after it."""

    def pair(heads: _Ranks, tails: _Ranks) -> npt.NDArray[np.int64]:
        tails = tails[head.length :]
        heads = heads[: tails.size]
        keys = heads.astype(np.int64) * tail.distinct + tails
        keys[(heads < 0) | (tails < 0)] = -1
        return keys

    return _rank(
        head.length + tail.length,
        pair(head.text, tail.text),
        pair(head.corpus, tail.corpus),
    )


def _rank(length: int, text: _Keys, corpus: _Keys) -> _Grams:
    """Replace keys by ranks among the text's keys; -1 in the corpus if it has none."""
    known, ranks = np.unique(text, return_inverse=True)
    last = int(known.max(initial=-1))
    found = np.full(corpus.size, -1, np.int32)
    asked = np.flatnonzero((corpus >= 0) & (corpus <= last))
    if last < _TABLE:
        table = np.full(last + 1, -1, np.int32)
        table[known] = np.arange(known.size)
        found[asked] = table[corpus[asked]]
    else:
        places = np.searchsorted(known, corpus[asked])
        found[asked] = np.where(known[places] == corpus[asked], places, -1)
    return _Grams(length, known.size, ranks.astype(np.int32), found)


def _codes(text: str) -> _Ranks:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<i4")
