"""Ids made in one pass: the same as with a vocabulary that is known before."""

import numpy as np
import pytest

from charrnn.config import AUTOMATIC
from charrnn.text.ids import Encoder, blocks, open_ids, release_memory
from charrnn.text.vocab import Vocabulary

TEXTS = [
    "hello world",
    "Zürich, naïve, coöperate",
    "😀 and 𝔘 lie beyond 16 bits",
    "".join(map(chr, range(0x4E00, 0x4E00 + 300))) * 3 + "abc",
]


def encoded(text, size, max_vocab=0):
    """Return vocabulary, counts and ids of a text that arrives in pieces."""
    encoder = Encoder(documents=False)
    arrays = [
        ids
        for start in range(0, len(text), size)
        for ids in encoder.encode(text[start : start + size])
    ]
    vocab, counts, table = encoder.vocabulary(max_vocab)
    return vocab, counts, np.concatenate([table.take(ids) for ids in arrays])


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("size", [1, 5, 1000])
def test_ids_are_those_of_the_sorted_vocabulary(text, size):
    vocab, counts, ids = encoded(text, size)
    assert vocab == Vocabulary.of(text)
    assert ids.dtype == vocab.dtype
    np.testing.assert_array_equal(ids, vocab.encode(text))
    assert counts.tolist() == [text.count(c) for c in vocab.characters]


def test_provisional_ids_are_as_small_as_they_can_be():
    encoder = Encoder(documents=False)
    types = [
        ids.dtype
        for text in ("a", "".join(map(chr, range(256))), "\u1234")
        for ids in encoder.encode(text)
    ]
    assert types == [np.uint8, np.uint8, np.uint16]


def test_the_most_frequent_characters_are_kept_and_ties_go_to_the_first():
    vocab, counts, ids = encoded("aaaabbbccdd", 4, max_vocab=3)
    assert vocab == Vocabulary("abc", unknown=True)
    assert counts.tolist() == [4, 3, 2, 2]
    assert vocab.decode(ids) == "aaaabbbcc\ufffd\ufffd"


def test_a_limit_above_the_number_of_characters_keeps_all():
    vocab, _, _ = encoded("abc", 4, max_vocab=3)
    assert vocab == Vocabulary("abc")


def test_rare_characters_are_left_out_by_themselves_only_if_they_are_most():
    common = "".join(map(chr, range(0x4E00, 0x4E00 + 200))) * 3
    some = "".join(map(chr, range(0x6000, 0x6000 + 200)))
    most = "".join(map(chr, range(0x6000, 0x6000 + 201)))
    assert encoded(common + some, 99, AUTOMATIC)[0].unknown_id is None
    vocab, counts, _ = encoded(common + most, 99, AUTOMATIC)
    assert len(vocab) == 201
    assert counts[vocab.unknown_id] == 201
    # The number of characters that were kept gives the same vocabulary again.
    assert encoded(common + most, 99, 200)[0] == vocab
    # A small vocabulary stays whole.
    assert encoded("abcdefgh" + "x" * 9, 99, AUTOMATIC)[0].unknown_id is None


@pytest.mark.parametrize("common", ["", "aaa"])
def test_rare_characters_are_kept_if_nothing_to_learn_would_be_left(common):
    alphabet = "".join(map(chr, range(0x4E00, 0x4E00 + 300)))
    vocab = encoded(alphabet + common, 99, AUTOMATIC)[0]
    assert vocab == Vocabulary([*sorted({*common}), *alphabet])


def test_end_marks_stand_where_they_are_asked_for():
    encoder = Encoder(documents=True)
    (ids,) = encoder.encode("abc", np.array([0, 1, 3]))
    vocab, counts, table = encoder.vocabulary(0)
    assert [vocab.symbols[i] for i in table.take(ids)] == ["", "a", "", "b", "c", ""]
    assert counts.tolist() == [1, 1, 1, 3]


def test_end_marks_beyond_a_slice():
    size = (1 << 20) + 5
    encoder = Encoder(documents=True)
    ends = np.array([1 << 20, size])
    ids = np.concatenate([*encoder.encode("a" * size, ends)])
    assert np.flatnonzero(ids == 0).tolist() == [1 << 20, size + 1]


def test_mapped_ids_are_read_from_the_file_and_can_be_released(tmp_path):
    path = tmp_path / "ids"
    wanted = np.arange(100_000, dtype=np.uint16)
    path.write_bytes(wanted.tobytes())
    ids = open_ids(path, np.dtype(np.uint16))
    assert not ids.flags.writeable
    part = ids[10:].reshape(-1, 10)
    release_memory(part)
    np.testing.assert_array_equal(np.concatenate([*blocks(ids)]), wanted)
    release_memory(wanted)  # in memory: nothing happens
