"""Streams and windows: the design's picture, and every character predicted once."""

import numpy as np
import pytest

from charrnn.config import TextConfig
from charrnn.errors import TextError
from charrnn.text.reading import from_text
from charrnn.text.windows import DocumentWindows, Windows, fit_windows


def letters(ids):
    return ["".join(chr(i) for i in row) for row in ids]


def numbered(characters):
    return np.arange(characters, dtype=np.uint16)


def test_windows_are_those_of_the_picture():
    ids = np.frombuffer(b"abcdefghijkl", np.uint8)
    windows = Windows(ids, T=2, N=2)
    found = [(letters(x), letters(y)) for x, y in (windows[i] for i in range(3))]
    assert found == [
        (["ag", "bh"], ["bh", "ci"]),
        (["ci", "dj"], ["dj", "ek"]),
        (["ek"], ["fl"]),  # the streams' ends: f and l have nothing after them
    ]
    assert len(windows) == 3
    assert windows.characters == 10


SIZES = [
    (12, 2, 2),
    (13, 2, 2),
    (24, 5, 3),
    (26, 5, 3),
    (6, 1, 3),
    (40, 100, 4),
    (41, 3, 1),
    (2, 1, 1),
]


@pytest.mark.parametrize(("characters", "T", "N"), SIZES)
def test_every_character_of_a_stream_is_predicted_once_from_the_one_before(
    characters, T, N
):
    windows = Windows(numbered(characters), T, N)
    pairs = [windows[i] for i in range(len(windows))]
    inputs = np.concatenate([x for x, _ in pairs])
    targets = np.concatenate([y for _, y in pairs])
    L = characters // N
    for n in range(N):
        start = n * L
        np.testing.assert_array_equal(inputs[:, n], np.arange(start, start + L - 1))
        np.testing.assert_array_equal(targets[:, n], inputs[:, n] + 1)
    assert windows.characters == targets.size


@pytest.mark.parametrize(("characters", "T", "N"), SIZES)
def test_all_windows_but_the_last_have_t_steps(characters, T, N):
    windows = Windows(numbered(characters), T, N)
    shapes = [windows[i][0].shape for i in range(len(windows))]
    assert all(shape == (T, N) for shape in shapes[:-1])
    assert 1 <= shapes[-1][0] <= T


def test_windows_keep_the_type_of_the_ids():
    inputs, targets = Windows(numbered(12).astype(np.uint8), 2, 2)[0]
    assert inputs.dtype == targets.dtype == np.uint8


@pytest.mark.parametrize(("characters", "N"), [(0, 1), (1, 1), (3, 2), (63, 32)])
def test_streams_without_a_prediction_are_refused(characters, N):
    with pytest.raises(TextError) as error:
        Windows(numbered(characters), 4, N)
    assert str(error.value) == (
        f"{characters} characters cannot make {N} streams; expected {2 * N}"
    )


@pytest.mark.parametrize(
    ("characters", "fitted"),
    [
        (1_000_000, (64, 32)),
        (65 * 32, (64, 32)),
        (65 * 32 - 1, (64, 31)),  # the batch gives way first
        (130, (64, 2)),
        (129, (64, 1)),
        (65, (64, 1)),
        (64, (63, 1)),  # then the window
        (3, (2, 1)),
        (2, (1, 1)),
    ],
)
def test_window_and_batch_shrink_to_the_text(characters, fitted):
    assert fit_windows(characters, 64, 32) == fitted


def test_what_fits_always_makes_whole_windows():
    for characters in range(2, 60):
        for T in range(1, 9):
            for N in range(1, 8):
                fitted = fit_windows(characters, T, N)
                assert fitted <= (T, N)
                assert fitted[1] <= N
                inputs, _ = Windows(numbered(characters), *fitted)[0]
                assert inputs.shape == fitted


@pytest.mark.parametrize("characters", [0, 1])
def test_text_with_nothing_to_predict_is_refused(characters):
    with pytest.raises(TextError, match=f"has {characters} characters; expected at"):
        fit_windows(characters, 64, 32)


def test_windows_of_documents_are_shuffled_anew_for_each_epoch():
    rng = np.random.default_rng(0)
    documents = [
        "".join(rng.choice(list("abcdef"), rng.integers(1, 9))) for _ in range(500)
    ]
    corpus = from_text("\n".join(documents), TextConfig(documents="lines"))
    windows = DocumentWindows(corpus.ids, 7, 4, end_id=corpus.vocab.end_id, seed=1)
    length = len(corpus.ids) // 4
    epochs = []
    for epoch in range(3):
        inputs, targets = zip(*windows.of_epoch(epoch), strict=True)
        rows = np.concatenate([*inputs, targets[-1][-1:]])
        np.testing.assert_array_equal(rows[1:], np.concatenate(targets))
        assert rows.shape == (length, 4)
        read = "".join(corpus.vocab.symbols[i] or "\n" for i in rows.T.reshape(-1))
        assert read[0] == "\n"
        found = read[1:].split("\n")
        # At most a stream's end is cut off.
        assert len(documents) - 4 <= len(found) <= len(documents) + 1
        assert set(found[:-1]) <= set(documents)
        epochs.append(read)
    assert len(set(epochs)) == 3
    again = DocumentWindows(corpus.ids, 7, 4, end_id=corpus.vocab.end_id, seed=1)
    for index in (5, 0, len(again) - 1):  # in any order
        for one, other in zip(again.of_epoch(2)[index], windows[index], strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("columns", [slice(0, 2), slice(2, 5), slice(4, 5)])
def test_some_columns_are_those_of_the_whole_windows(columns):
    names = "\n".join(f"{i * 7919 % 1000} bottles" for i in range(60))
    end_id = from_text(names, TextConfig(documents="lines")).vocab.end_id
    ids = from_text(names, TextConfig(documents="lines")).ids
    for kind, options in (
        (Windows, {}),
        (DocumentWindows, {"end_id": end_id, "seed": 3}),
    ):
        whole, some = (
            kind(ids, 8, 5, **options, columns=which)
            for which in (slice(None), columns)
        )
        assert (len(some), some.characters) == (len(whole), whole.characters)
        for epoch in (0, 1):
            for own, every in zip(
                some.of_epoch(epoch), whole.of_epoch(epoch), strict=True
            ):
                for found, expected in zip(own, every, strict=True):
                    np.testing.assert_array_equal(found, expected[:, columns])
