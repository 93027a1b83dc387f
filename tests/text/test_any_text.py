"""What holds for every text: Hypothesis looks for one for which it does not."""

import unicodedata
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from charrnn.config import TextConfig
from charrnn.errors import TextError
from charrnn.text.documents import Ordered, Splitter, document_cut, unit_starts
from charrnn.text.encodings import Decoder
from charrnn.text.normalize import Normalizer
from charrnn.text.reading import from_text
from charrnn.text.vocab import Vocabulary
from charrnn.text.windows import DocumentWindows, Windows, fit_windows

AS_IT_IS = {"normalize": "none", "max_vocab": 0}
END = 9
any_text = st.text(st.characters(exclude_categories=()))  # lone surrogates as well
some_text = st.text(min_size=1)
few = st.text("ab\n-", max_size=40)


def in_pieces(data, whole):
    """Draw a division of a string or of bytes into pieces, some of them empty."""
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=6)))
    return [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]


# ---- Vocabularies ----


@given(any_text.filter(bool))
def test_a_vocabulary_gives_back_its_text(text):
    vocab = Vocabulary.of(text)
    assert vocab.decode(vocab.encode(text)) == text
    assert vocab.characters == tuple(sorted(set(text)))
    assert Vocabulary.from_json(vocab.to_json()) == vocab


@given(
    st.lists(st.text(max_size=2) | st.sampled_from(["<end>", "<unknown>"]), max_size=6)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_any_list_is_a_vocabulary_or_refused(value):
    try:
        vocab = Vocabulary.from_json(value)
    except TextError:
        return
    assert vocab.to_json() == value
    assert len(vocab) == len(value)


@given(some_text, some_text, st.booleans(), st.booleans())
def test_ids_in_another_vocabulary_are_of_the_same_symbols(text, more, unknown, end):
    one = Vocabulary(sorted({*text}), unknown=unknown, end=end)
    other = Vocabulary(sorted({*text, *more}), unknown=True, end=True)
    ids = one.ids_in(other)
    assert [other.symbols[i] for i in ids] == list(one.symbols)


# ---- Reading ----


@given(some_text)
def test_a_corpus_is_its_text(text):
    corpus = from_text(text, TextConfig(**AS_IT_IS))
    assert corpus.text == text
    assert corpus.counts.tolist() == [text.count(c) for c in corpus.vocab.characters]


@given(some_text, st.data())
def test_a_text_is_normalised_the_same_in_pieces(text, data):
    for form in ("nfc", "nfd", "nfkc"):
        normalizer = Normalizer(form)
        found = "".join(map(normalizer.feed, in_pieces(data, text)))
        found += normalizer.feed("", final=True)
        assert found == unicodedata.normalize(form.upper(), text)


@given(
    st.binary(max_size=60) | st.text(max_size=30).map(lambda t: t.encode("utf-16")),
    st.sampled_from(
        [None, "utf-8", "utf-16", "utf-32", "latin-1", "shift_jis", "bytes"]
    ),
    st.data(),
)
def test_bytes_are_decoded_the_same_in_pieces(content, encoding, data):
    def decoded(pieces):
        decoder = Decoder(encoding, "a.txt")
        return "".join(map(decoder.feed, pieces)) + decoder.feed(b"", final=True)

    pieces = in_pieces(data, content)
    try:
        expected = decoded([content])
    except TextError:
        with pytest.raises(TextError):
            decoded(pieces)
    else:
        assert decoded(pieces) == expected


# ---- Documents ----


@given(
    st.lists(few, max_size=4),
    st.sampled_from(["lines", "files", "--", "\n\n", "ab", "aab"]),
    st.data(),
)
def test_documents_are_the_same_in_pieces(files, documents, data):
    separator = {"lines": "\n", "files": ""}.get(documents, documents)
    splitter, found, current = Splitter(documents), [], ""
    for file in files:
        fed = [splitter.feed(piece) for piece in in_pieces(data, file)]
        for text, places in [*fed, splitter.end_file()]:
            bounds = [0, *places]
            for a, b in pairwise(bounds):
                found.append(current + text[a:b])
                current = ""
            current += text[bounds[-1] :]
    parts = [p for f in files for p in (f.split(separator) if separator else [f])]
    assert found == [part.strip("\n") for part in parts if part.strip("\n")]
    assert not current


documents = st.lists(st.lists(st.integers(0, 8), max_size=5), min_size=1, max_size=8)


def with_marks(documents):
    """Return the ids of documents between end marks."""
    return np.array([END, *(i for d in documents for i in (*d, END))])


def split_up(ids):
    """Return the documents that follow each other in ids; each closes with a mark."""
    ends = np.flatnonzero(ids == END) + 1
    return sorted(part.tolist() for part in np.split(ids, ends) if len(part))


@given(documents, st.integers(1, 20), st.randoms(use_true_random=False))
def test_units_in_any_order_are_the_same_documents(found, most, rng):
    ids = with_marks(found)
    starts = unit_starts(ids, END, most)
    order = [*range(len(starts) - 1)]
    rng.shuffle(order)
    read = Ordered(ids, starts, np.array(order)).read(0, len(ids))
    assert split_up(read) == split_up(ids)


@given(documents, st.data())
def test_a_cut_leaves_whole_documents(found, data):
    ids = with_marks(found)
    cut = document_cut(ids, data.draw(st.integers(0, len(ids))), END)
    assert ids[cut] == END
    assert cut < len(ids) - 1, "a document is left to validate on"
    assert split_up(np.append(ids[: cut + 1], ids[cut + 1 :])) == split_up(ids)


# ---- Windows ----

sizes = st.integers(1, 12)


@given(st.integers(2, 200), sizes, sizes)
def test_windows_predict_each_character_of_their_streams_once(characters, T, N):
    T, N = fit_windows(characters, T, N)
    ids = np.arange(characters)
    windows = Windows(ids, T, N)
    inputs = np.concatenate([x for x, _ in windows])
    targets = np.concatenate([y for _, y in windows])
    assert windows.characters == targets.size
    assert all(x.shape == (T, N) for x, _ in windows[:-1])
    np.testing.assert_array_equal(targets, inputs + 1)
    assert len(np.unique(targets)) == targets.size
    assert targets.size > characters - 3 * N


@given(documents, sizes, sizes, st.integers(0, 3))
def test_every_epoch_reads_the_same_documents(found, T, N, epoch):
    ids = with_marks(found)
    assume(len(ids) > 2)
    T, N = fit_windows(len(ids), T, N)
    windows = DocumentWindows(ids, T, N, end_id=END, seed=1).of_epoch(epoch)
    streams = np.concatenate([x for x, _ in windows] + [windows[-1][1][-1:]])
    read = streams.T.reshape(-1)
    left_out = np.sort(ids).tolist()
    for i in read.tolist():
        left_out.remove(i)  # each id as often as in the text
    assert len(left_out) < N
    if N == 1:
        assert split_up(read) == split_up(ids)
