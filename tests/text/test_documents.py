"""Documents: separators that become end marks, whole units, other orders."""

import random

import numpy as np
import pytest
from texts import sentences

from charrnn.config import TextConfig
from charrnn.text.documents import (
    Ordered,
    Splitter,
    document_cut,
    looks_like_a_list,
    unit_starts,
)
from charrnn.text.reading import from_text, read_corpus

END = 9


def by_hand(text, separator):
    """Return the documents of a whole file."""
    parts = text.split(separator) if separator else [text]
    return [part.strip("\n") for part in parts if part.strip("\n")]


def documents_of(files, documents, rng):
    """Return the documents that a Splitter finds in files that arrive in pieces."""
    splitter, found, current = Splitter(documents), [], ""

    def take(text, places):
        nonlocal current
        before = 0
        for place in places:
            found.append(current + text[before:place])
            current, before = "", place
        current += text[before:]

    for text in files:
        while text:
            size = rng.choice([1, 2, 3, 7])
            take(*splitter.feed(text[:size]))
            text = text[size:]
        take(*splitter.end_file())
    assert current == ""
    return found


@pytest.mark.parametrize(
    ("documents", "separator"),
    [
        ("lines", "\n"),
        ("files", ""),
        ("--", "--"),
        ("\n\n", "\n\n"),
        ("<|e|>", "<|e|>"),
        ("%\n", "%\n"),
        ("aa", "aa"),
        ("aab", "aab"),
    ],
)
def test_pieces_of_any_size_make_the_documents_of_the_whole(documents, separator):
    rng = random.Random(0)
    tokens = ["a", "b", "\n", "\n", "--", "<|e|>", "<|", "%\n", "-"]
    for _ in range(2000):
        files = [
            "".join(rng.choices(tokens, k=rng.randrange(12)))
            for _ in range(rng.randrange(1, 3))
        ]
        wanted = [part for text in files for part in by_hand(text, separator)]
        assert documents_of(files, documents, rng) == wanted, files


def test_units_are_documents_and_in_long_texts_runs_of_them():
    ids = np.array([END, 1, END, 2, 3, END, 4, END, 5, END], np.uint8)
    assert unit_starts(ids, END).tolist() == [1, 3, 6, 8, 10]
    starts = unit_starts(ids, END, most=3)  # units of at least 3 ids, about
    assert starts[0] == 1
    assert starts[-1] == len(ids)
    assert 2 <= len(starts) - 1 <= 4
    assert all(ids[start - 1] == END for start in starts)


def test_units_are_found_across_the_blocks_that_are_searched():
    size = (1 << 22) + 50
    ids = np.ones(size, np.uint8)
    ends = [0, 7, (1 << 22) - 1, 1 << 22, (1 << 22) + 20, size - 1]
    ids[ends] = END
    assert unit_starts(ids, END, most=size).tolist() == [end + 1 for end in ends]


def test_ordered_reads_the_units_in_their_order_from_any_place():
    rng = np.random.default_rng(0)
    ids = rng.integers(0, 9, 200).astype(np.uint8)
    ids[[0, -1]] = END
    ids[rng.integers(1, 199, 40)] = END
    starts = unit_starts(ids, END)
    order = rng.permutation(len(starts) - 1)
    units = [ids[starts[i] : starts[i + 1]] for i in order]
    whole = np.concatenate([ids[:1], *units])
    assert len(whole) == len(ids)
    ordered = Ordered(ids, starts, order)
    for start in range(len(ids)):
        stop = min(start + 17, len(ids))
        np.testing.assert_array_equal(ordered.read(start, stop), whole[start:stop])


def test_a_cut_falls_on_the_next_end_mark():
    ids = np.array([END, 1, END, 2, 3, END, 4, END], np.uint8)
    assert [document_cut(ids, cut, END) for cut in range(6)] == [0, 2, 2, 5, 5, 5]


def test_a_cut_leaves_the_last_document_to_validate_on():
    ids = np.array([END, 1, END, 2, 3, END], np.uint8)
    assert [document_cut(ids, cut, END) for cut in range(3, 7)] == [2, 2, 2, 2]


def test_one_document_cannot_be_cut():
    ids = np.array([END, 1, 2, END], np.uint8)
    assert [document_cut(ids, cut, END) for cut in range(1, 4)] == [0, 0, 0]


NAMES = [f"{a}{b}{c}" for a in "bdg" for b in "aeiou" for c in "lmnr"]


def test_documents_are_shuffled_by_the_seed_and_split_whole():
    config = TextConfig(documents="lines")
    corpus = from_text("\n".join(NAMES), config, seed=1)
    end = corpus.vocab.end_id
    assert corpus.documents == len(NAMES)
    found = corpus.text.split("\n")[:-1]
    assert found != NAMES
    assert sorted(found) == sorted(NAMES)
    assert corpus.text == from_text("\n".join(NAMES), config, seed=1).text
    assert corpus.text != from_text("\n".join(NAMES), config, seed=2).text
    train, val = corpus.split(corpus.ids, 0.2)
    assert train[0] == train[-1] == val[0] == val[-1] == end
    decoded = [corpus.vocab.decode(part) for part in (train, val)]
    assert "".join(decoded) == "".join(found)
    assert len(val) == pytest.approx(0.2 * len(corpus.ids), abs=4)
    # A sorted list is validated on all letters, not only on the last.
    assert {name[0] for name in decoded[1].split() if name} <= set("bdg")
    assert len(set(decoded[1]) & set("bdg")) == 3


def test_every_file_is_a_document(tmp_path):
    for name, text in (("a", "one\n\ntwo\n"), ("b", "\n"), ("c", "three")):
        (tmp_path / f"{name}.txt").write_text(text)
    corpus = read_corpus([tmp_path], TextConfig(documents="files"))
    assert corpus.documents == 2
    assert sorted(corpus.text.rstrip("\n").split("\n")) == ["", "one", "three", "two"]


def test_a_text_that_is_all_separators_is_empty():
    with pytest.raises(Exception, match="empty; expected a text"):
        from_text("\n\n\n", TextConfig(documents="lines"))


@pytest.mark.parametrize(
    ("text", "is_list"),
    [
        ("\n".join(NAMES * 1 + [f"{n}a" for n in NAMES]), True),
        ("\n".join(NAMES[:50]), False),  # too few to tell
        ("\n".join(NAMES[:2] * 100), False),  # mostly the same lines
        (sentences(300), False),
        ("a line of a text that is long enough to be prose or verse\n" * 300, False),
        ("".join(f"{name}\n\n" for name in NAMES * 3), False),
    ],
)
def test_a_list_is_recognised(text, is_list):
    assert looks_like_a_list(text) == is_list
