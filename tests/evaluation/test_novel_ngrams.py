"""Shares of novel n-grams, against a search for each of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charrnn.errors import ConfigError
from charrnn.evaluation import novel_ngrams as module
from charrnn.evaluation.hashes import Hashed
from charrnn.evaluation.novel_ngrams import novel_ngrams

LENGTHS = (1, 2, 3, 7)
letters = st.text(alphabet="ab\n\U0001f600\udc80", max_size=40)


def by_searching(text, corpus, n):
    grams = [text[i : i + n] for i in range(len(text) - n + 1)]
    return sum(gram not in corpus for gram in grams) / len(grams) if grams else None


def check(texts, pieces):
    found = novel_ngrams(texts, lambda: iter(pieces), LENGTHS)
    corpus = "".join(pieces)
    for text, shares in zip(texts, found, strict=True):
        assert [*shares] == [*LENGTHS]
        for n in LENGTHS:
            assert shares[n] == pytest.approx(by_searching(text, corpus, n))


@given(st.lists(letters, max_size=3), st.lists(letters, max_size=6))
def test_the_shares_are_those_of_a_search(texts, pieces):
    check(texts, pieces)


@given(letters, st.lists(letters, min_size=1, max_size=6))
def test_pieces_and_chunks_of_any_size_cut_no_ngram(text, pieces):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_CHUNK", 3)
        patch.setattr(module, "_ROOM", 50)  # the corpus is read several times
        check([text, text[::-1]], pieces)


@given(letters, letters, letters)
def test_ngrams_that_have_the_same_hash_are_told_apart(one, other, corpus):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Hashed, "of", lambda self, n: same_hashes(self.codes, n))
        check([one, other], [corpus])


def same_hashes(codes, n):
    """Return hashes of which there are only two."""
    starts = codes[: max(0, codes.size - n + 1)]
    return (starts & 1).astype(np.uint64) << np.uint64(63)


def test_an_ngram_counts_each_time_and_a_copy_has_no_novel_one():
    (shares,) = novel_ngrams(["abababx"], lambda: ["xaby"], [2, 5, 8])
    assert shares == {2: pytest.approx(3 / 6), 5: 1.0, 8: None}
    (shares,) = novel_ngrams(["long" * 100], lambda: ["long" * 200], range(1, 11))
    assert {*shares.values()} == {0.0}


def test_ngrams_of_no_character_are_refused():
    with pytest.raises(ConfigError, match="n is 0; expected 1 or more"):
        novel_ngrams(["a"], lambda: ["a"], [0, 1])
