"""Characters to ids and back, in every plane of Unicode, and errors that say where."""

import copy
import json
import pickle
import sys
import threading

import numpy as np
import pytest

from charrnn.errors import TextError
from charrnn.text.vocab import Vocabulary

SLICE = 1 << 20  # characters that are looked up at a time

TEXTS = [
    "hello world",
    "Zürich, naïve, coöperate",
    "e\u0301 is not é",  # a combining accent is a character of its own
    "😀 and 𝔘 lie beyond 16 bits",
    "\x00\n\t\ufeff\U0010ffff",
    "\ud800 and \udc00 are halves of nothing",
    "日本語の文章",
]


@pytest.mark.parametrize("text", TEXTS)
def test_vocabulary_is_the_sorted_distinct_characters_and_id_is_rank(text):
    vocab = Vocabulary.of(text)
    assert list(vocab.characters) == sorted(set(text))
    assert len(vocab) == len(set(text))
    ids = vocab.encode(text)
    assert ids.tolist() == [sorted(set(text)).index(c) for c in text]


@pytest.mark.parametrize("text", TEXTS)
def test_decoding_gives_back_what_was_encoded(text):
    vocab = Vocabulary.of(text)
    assert vocab.decode(vocab.encode(text)) == text


def test_decode_reads_ids_of_any_kind_and_shape_in_order():
    vocab = Vocabulary.of("abc")
    assert vocab.decode([2, 0, 1]) == "cab"
    assert vocab.decode(np.array([[0, 1], [2, 2]])) == "abcc"
    assert vocab.decode(np.uint8(1)) == "b"
    assert vocab.decode([]) == ""


@pytest.mark.parametrize(
    ("characters", "dtype"),
    [
        (1, np.uint8),
        (2, np.uint8),
        (256, np.uint8),
        (257, np.uint16),
        (65_536, np.uint16),
        (65_537, np.uint32),
    ],
)
def test_ids_take_the_smallest_type_that_fits(characters, dtype):
    text = "".join(map(chr, range(characters)))
    vocab = Vocabulary.of(text)
    ids = vocab.encode(text[-3:])
    assert ids.dtype == vocab.dtype == dtype
    assert ids[-1] == characters - 1


def test_one_hot_has_a_single_one_where_the_id_says():
    vocab = Vocabulary.of("abcd")
    np.testing.assert_array_equal(
        vocab.one_hot(vocab.encode("da")), [[0, 0, 0, 1], [1, 0, 0, 0]]
    )
    assert vocab.one_hot([[0, 1, 2], [3, 3, 3]]).shape == (2, 3, 4)
    assert vocab.one_hot([0]).dtype == np.float32
    assert vocab.one_hot([0], np.float64).dtype == np.float64


def test_one_hot_times_a_matrix_picks_its_rows():
    W = np.random.default_rng(0).normal(size=(4, 3))
    vocab, ids = Vocabulary.of("abcd"), [3, 0, 3]
    np.testing.assert_array_equal(vocab.one_hot(ids, W.dtype) @ W, W[ids])


@pytest.mark.parametrize(
    ("text", "character", "position"),
    [("abxcx", "'x'", 2), ("ab😀", "'😀'", 2), ("\x00", r"'\\x00'", 0)],
)
def test_unknown_character_is_named_with_its_position(text, character, position):
    message = (
        f"^character {character} at position {position} is not among the 3 "
        "characters of the vocabulary$"
    )
    with pytest.raises(TextError, match=message):
        Vocabulary.of("abc").encode(text)


def test_unknown_character_is_found_beyond_the_first_slice():
    text = "ab" * (SLICE // 2) + "aab?b?"
    with pytest.raises(TextError, match=rf"'\?' at position {SLICE + 3} "):
        Vocabulary.of("ab").encode(text)


def test_text_longer_than_a_slice_is_encoded_as_a_short_one_is():
    text = "no\nyes" * (SLICE // 6 + 9) + "z"
    vocab = Vocabulary.of(text)
    assert vocab.characters == tuple("\nenosyz")
    ids = vocab.encode(text)
    assert len(ids) == len(text) > SLICE
    line = vocab.encode("no\nyes")
    np.testing.assert_array_equal(ids[:-1], np.tile(line, len(ids) // 6))
    assert vocab.decode(ids[SLICE - 3 : SLICE + 3]) == text[SLICE - 3 : SLICE + 3]
    assert vocab.decode(ids[-1:]) == "z"


def test_empty_text_encodes_to_no_ids():
    ids = Vocabulary.of("abc").encode("")
    assert ids.shape == (0,)
    assert ids.dtype == np.uint8


def test_unknown_lists_the_distinct_strangers_in_order():
    vocab = Vocabulary.of("abc")
    assert vocab.unknown("cabbage, beef") == [" ", ",", "e", "f", "g"]
    assert vocab.unknown("abc") == []


def test_bytes_are_256_symbols_each_its_own_id():
    vocab = Vocabulary.of_bytes()
    assert len(vocab) == 256
    data = bytes(range(255, -1, -1))
    ids = vocab.encode(data.decode("latin-1"))
    assert ids.dtype == np.uint8
    assert ids.tobytes() == data


def test_membership_and_equality_are_by_characters():
    vocab = Vocabulary.of("abc")
    assert "b" in vocab
    assert "d" not in vocab
    assert vocab == Vocabulary("abc")
    assert vocab != Vocabulary.of("abd")
    assert vocab != Vocabulary("cba")
    assert vocab != ("a", "b", "c")


@pytest.mark.parametrize("text", TEXTS)
def test_json_gives_back_the_same_vocabulary(text):
    vocab = Vocabulary.of(text)
    again = Vocabulary.from_json(json.loads(json.dumps(vocab.to_json())))
    assert again == vocab
    assert again.encode(text).tolist() == vocab.encode(text).tolist()


@pytest.mark.parametrize("value", [None, "abc", {"a": 0}, [1, 2], ["a", None]])
def test_json_of_another_kind_is_refused(value):
    with pytest.raises(TextError, match="expected a list of one-character strings"):
        Vocabulary.from_json(value)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (["a", "bc"], "every entry must be exactly one character"),
        (["a", ""], "every entry must be exactly one character"),
        (["a", "b", "a"], "a character occurs twice"),
        ([], "no characters; expected at least one"),
    ],
)
def test_lists_that_are_no_vocabulary_are_refused(value, said):
    with pytest.raises(TextError, match=said):
        Vocabulary.from_json(value)


def test_empty_text_has_no_vocabulary():
    with pytest.raises(TextError, match="no characters"):
        Vocabulary.of("")


def test_tiny_shakespeare_has_its_well_known_65_characters(tinyshakespeare):
    text = tinyshakespeare.read_text(encoding="utf-8")
    vocab = Vocabulary.of(text)
    assert "".join(vocab.characters) == (
        "\n !$&',-.3:;?ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    )
    assert vocab.encode("First Citizen:").tolist() == (
        [18, 47, 56, 57, 58, 1, 15, 47, 58, 47, 64, 43, 52, 10]
    )


def test_threads_may_share_a_new_vocabulary():
    found, before = [], sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(40):
            vocab, start = Vocabulary(map(chr, range(32, 2000))), threading.Barrier(8)

            def encode(vocab=vocab, start=start):
                start.wait()
                found.append(vocab.encode("Ann").tolist())

            threads = [threading.Thread(target=encode) for _ in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    finally:
        sys.setswitchinterval(before)
    assert found == [[33, 78, 78]] * 320


def test_a_pickled_vocabulary_is_small_and_equal():
    vocab = Vocabulary.of("abc漢")
    vocab.encode("abc")
    data = pickle.dumps(vocab)
    assert len(data) < 1000
    assert pickle.loads(data) == vocab
    np.testing.assert_array_equal(copy.deepcopy(vocab).encode("c漢"), [2, 3])


def test_special_symbols_come_after_the_characters():
    vocab = Vocabulary("ab", unknown=True, end=True)
    assert (vocab.unknown_id, vocab.end_id, len(vocab)) == (2, 3, 4)
    assert vocab.characters == ("a", "b")
    assert vocab.encode("abc").tolist() == [0, 1, 2]
    assert vocab.decode([3, 0, 2, 1, 3]) == "a\ufffdb"
    assert vocab.unknown("abc") == ["c"]
    plain = Vocabulary("ab")
    assert (plain.unknown_id, plain.end_id) == (None, None)


@pytest.mark.parametrize("unknown", [False, True])
@pytest.mark.parametrize("end", [False, True])
def test_special_symbols_survive_json_pickle_and_comparison(unknown, end):
    vocab = Vocabulary("ab", unknown=unknown, end=end)
    assert Vocabulary.from_json(json.loads(json.dumps(vocab.to_json()))) == vocab
    assert pickle.loads(pickle.dumps(vocab)) == vocab
    assert (vocab == Vocabulary("ab")) == (not unknown and not end)


@pytest.mark.parametrize(
    "value",
    [["<end>"], ["a", "<end>", "<unknown>"], ["<unknown>", "a"], ["a", "<other>"]],
)
def test_special_symbols_in_the_wrong_place_are_refused(value):
    with pytest.raises(TextError, match="vocabulary"):
        Vocabulary.from_json(value)
