"""The n-gram against a naive twin that counts in dicts, and against known numbers."""

import math
import tracemalloc
from collections import Counter, defaultdict

import numpy as np
import pytest

from charrnn.errors import ConfigError, ShapeError, TextError
from charrnn.evaluation import ngram
from charrnn.evaluation.ngram import WittenBell

PROSE = (
    "the quick brown fox jumps over the lazy dog; the dog sleeps on. "
    "then the fox, quick as ever, jumps over the brown dog again! "
) * 3


def naive_losses(fitted, ids, vocab_size, order):
    """Predict one character at a time, straight from the published formula."""
    followers = defaultdict(Counter)
    for end in range(len(fitted)):
        for start in range(max(0, end - order + 1), end + 1):
            followers[tuple(fitted[start:end])][fitted[end]] += 1

    def probability(context, character):
        shorter = probability(context[1:], character) if context else 1 / vocab_size
        seen = followers.get(context)
        if not seen:
            return shorter
        return (seen[character] + len(seen) * shorter) / (seen.total() + len(seen))

    return [
        -math.log(probability(tuple(ids[max(0, t - order + 1) : t]), ids[t]))
        for t in range(1, len(ids))
    ]


def random_ids(size, vocab_size, dtype, seed):
    rng = np.random.default_rng(seed)
    return np.minimum(rng.geometric(0.2, size) - 1, vocab_size - 1).astype(dtype)


def prose_ids():
    codes = np.frombuffer(PROSE.encode(), np.uint8)
    return np.unique(codes, return_inverse=True)[1].astype(np.uint8)


@pytest.mark.parametrize("order", [1, 2, 3, 6])
@pytest.mark.parametrize(
    ("vocab_size", "dtype"),
    [
        (2, np.uint8),
        (7, np.uint8),
        (256, np.uint8),
        (300, np.uint16),
        (9999, np.uint32),
    ],
)
def test_equals_the_naive_twin_on_random_ids(vocab_size, dtype, order):
    fitted = random_ids(211, vocab_size, dtype, seed=1)
    ids = random_ids(83, vocab_size, dtype, seed=2)
    model = WittenBell.fit(fitted, vocab_size, order=order)
    expected = naive_losses(fitted.tolist(), ids.tolist(), vocab_size, order)
    np.testing.assert_allclose(model.losses(ids), expected, rtol=1e-12)


@pytest.mark.parametrize("order", [1, 4, 8])
def test_equals_the_naive_twin_on_prose(order):
    ids = prose_ids()
    fitted, held_out = ids[:200], ids[200:]
    vocab_size = int(ids.max()) + 1
    losses = WittenBell.fit(fitted, vocab_size, order=order).losses(held_out)
    expected = naive_losses(fitted.tolist(), held_out.tolist(), vocab_size, order)
    np.testing.assert_allclose(losses, expected, rtol=1e-12)


def test_handles_thousands_of_characters():
    rng = np.random.default_rng(3)
    fitted, ids = rng.integers(0, 70_000, (2, 400)).astype(np.uint32)
    ids[100:200] = fitted[50:150]
    model = WittenBell.fit(fitted, 70_000, order=5)
    expected = naive_losses(fitted.tolist(), ids.tolist(), 70_000, 5)
    np.testing.assert_allclose(model.losses(ids), expected, rtol=1e-12)


def test_equals_the_formula_by_hand():
    model = WittenBell.fit(np.array([0, 1, 0, 1, 0], np.uint8), 2, order=2)
    unigram = (2 + 2 * (1 / 2)) / (5 + 2)  # 1 stands twice among 5; 2 kinds
    bigram = (2 + 1 * unigram) / (2 + 1)  # 0 was followed twice, by 1 only
    assert model.losses(np.array([0, 1], np.uint8)) == pytest.approx(-math.log(bigram))


@pytest.mark.parametrize("context", [[], [2], [1, 0, 2], [3, 3, 3, 3], [0, 1, 2, 1, 0]])
def test_probabilities_sum_to_one(context):
    fitted = random_ids(100, 5, np.uint8, seed=4)
    model = WittenBell.fit(np.minimum(fitted, 2), 5, order=4)
    last = [model.losses(np.array([4, *context, c], np.uint8))[-1] for c in range(5)]
    assert np.exp(-np.array(last)).sum() == pytest.approx(1, abs=1e-14)


def test_unseen_contexts_leave_it_to_the_shorter_one():
    fitted = np.array([0, 0, 1, 0, 1, 1, 2], np.uint8)  # nothing follows 2, or 3
    model = WittenBell.fit(fitted, 4, order=3)
    unigram = WittenBell.fit(fitted, 4, order=1)
    for context in (2, 3):
        ids = np.array([context, context, 1], np.uint8)
        assert model.losses(ids)[-1] == unigram.losses(ids)[-1]


def test_mean_losses_are_those_of_each_order():
    fitted, ids = (random_ids(n, 6, np.uint8, seed=n) for n in (301, 97))
    means = WittenBell.fit(fitted, 6, order=4).mean_losses(ids)
    each = [WittenBell.fit(fitted, 6, order=k).losses(ids).mean() for k in (1, 2, 3, 4)]
    np.testing.assert_allclose(means, each, rtol=1e-14)


@pytest.mark.parametrize("piece", [1, 2, 7, 96, 97])
@pytest.mark.parametrize("order", [1, 5])
def test_working_in_pieces_changes_nothing(monkeypatch, piece, order):
    fitted, ids = (random_ids(n, 6, np.uint8, seed=n) for n in (301, 97))
    model = WittenBell.fit(fitted, 6, order=order)
    whole, means = model.losses(ids), model.mean_losses(ids)
    monkeypatch.setattr(ngram, "_PIECE", piece)
    np.testing.assert_array_equal(model.losses(ids), whole)
    np.testing.assert_allclose(model.mean_losses(ids), means, rtol=1e-14)


def test_a_longer_text_is_fitted_on_its_end(monkeypatch):
    ids = random_ids(150, 9, np.uint8, seed=5)
    expected = WittenBell.fit(ids[-60:], 9, order=3).losses(ids)
    monkeypatch.setattr(ngram, "FIT_LIMIT", 60)
    losses = WittenBell.fit(ids, 9, order=3).losses(ids)
    np.testing.assert_array_equal(losses, expected)


@pytest.mark.parametrize("size", [0, 1, 2, 3])
def test_short_texts(size):
    fitted = np.arange(size, dtype=np.uint8)
    ids = np.array([1, 0, 3, 1, 2], np.uint8)
    losses = WittenBell.fit(fitted, 4, order=6).losses(ids)
    expected = naive_losses(fitted.tolist(), ids.tolist(), 4, 6)
    np.testing.assert_allclose(losses, expected, rtol=1e-12)


def test_a_text_of_one_character_repeated():
    ids = np.zeros(50, np.uint8)
    model = WittenBell.fit(ids, 1, order=3)
    np.testing.assert_array_equal(model.losses(ids), np.zeros(49))
    likely = WittenBell.fit(ids, 2, order=3).mean_losses(ids)
    assert 0 < likely[2] < likely[1] < likely[0] < 0.05


@pytest.mark.parametrize("size", [0, 1])
def test_nothing_to_predict(size):
    model = WittenBell.fit(np.zeros(5, np.uint8), 2, order=2)
    assert model.losses(np.zeros(size, np.uint8)).shape == (0,)
    with pytest.raises(TextError, match=f"text of {size} characters has nothing"):
        model.mean_losses(np.zeros(size, np.uint8))


def test_inputs_are_unmodified_and_repeats_are_equal():
    fitted, ids = (random_ids(n, 6, np.uint16, seed=n) for n in (120, 40))
    fitted.flags.writeable = ids.flags.writeable = False
    first = WittenBell.fit(fitted, 6, order=4)
    again = WittenBell.fit(fitted, 6, order=4)
    np.testing.assert_array_equal(first.losses(ids), again.losses(ids))
    assert first.losses(ids).dtype == np.float64


def test_reads_memory_mapped_ids(tmp_path):
    ids = random_ids(90, 6, np.uint8, seed=6)
    ids.tofile(tmp_path / "ids")
    mapped = np.memmap(tmp_path / "ids", np.uint8, "r")
    losses = WittenBell.fit(mapped, 6).losses(mapped)
    np.testing.assert_array_equal(losses, WittenBell.fit(ids, 6).losses(ids))


def test_both_ways_to_sort_agree():
    keys = np.random.default_rng(7).integers(0, 40, 500)
    for n_keys in (40, 1 << 62):  # the second is too large to carry positions along
        ordered = keys.copy()
        positions = ngram._sort(ordered, n_keys)
        np.testing.assert_array_equal(ordered, np.sort(keys))
        np.testing.assert_array_equal(keys[positions], ordered)


@pytest.mark.parametrize(
    ("ids", "vocab_size", "order", "error", "message"),
    [
        ([0], 2, 0, ConfigError, "order is 0; expected 1 or more; try 6$"),
        ([0], 0, 6, ConfigError, r"vocab_size is 0; expected 1 to 2\*\*32"),
        ([0.5], 2, 6, ShapeError, r"ids are float64 of shape \(1,\); expected one row"),
        ([[0, 1]], 2, 6, ShapeError, r"ids are int64 of shape \(1, 2\); expected one"),
        ([0, 5, 1], 5, 6, TextError, r"ids\[1\] is 5; expected 0 to 4; encode"),
        ([0, 1, -1], 5, 6, TextError, r"ids\[2\] is -1; expected 0 to 4; encode"),
    ],
)
def test_errors_say_what_was_expected(ids, vocab_size, order, error, message):
    ids = np.array(ids, None if isinstance(ids[0], float) else np.int64)
    with pytest.raises(error, match=message):
        WittenBell.fit(ids, vocab_size, order=order)


def test_evaluating_characters_outside_the_vocabulary_is_an_error():
    model = WittenBell.fit(np.zeros(5, np.uint8), 3)
    for evaluate in (model.losses, model.mean_losses):
        with pytest.raises(TextError, match=r"ids\[1\] is 3; expected 0 to 2"):
            evaluate(np.array([0, 3], np.uint8))


def test_tiny_shakespeare_scores_what_it_should(tinyshakespeare):
    codes = np.frombuffer(tinyshakespeare.read_bytes(), np.uint8)
    characters, ids = np.unique(codes, return_inverse=True)
    fitted, held_out = np.split(ids.astype(np.uint8), [1_003_854])
    means = WittenBell.fit(fitted, characters.size, order=6).mean_losses(held_out)
    expected = [3.3473, 2.4857, 2.0492, 1.7738, 1.6688, 1.6980]
    np.testing.assert_allclose(means, expected, atol=5e-5)


def test_spans_are_predicted_with_what_comes_before_them():
    fitted, ids = (random_ids(n, 6, np.uint8, seed=n) for n in (301, 97))
    model = WittenBell.fit(fitted, 6, order=4)
    spans = [(0, 5), (11, 12), (50, 96)]
    each = np.concatenate([model.losses(ids)[start:stop] for start, stop in spans])
    means = model.mean_losses(ids, spans)
    assert means[-1] == pytest.approx(each.mean(), rel=1e-12)
    assert means.shape == (4,)


def test_progress_counts_the_fitted_and_the_predicted_characters_once():
    ids, fitted, predicted = random_ids(301, 6, np.uint8, seed=1), [], []
    model = WittenBell.fit(ids, 6, order=4, on_progress=fitted.append)
    model.mean_losses(ids, [(0, 5), (11, 12)], on_progress=predicted.append)
    assert sum(fitted) == 301
    assert len(fitted) == 4
    assert predicted == [5, 1]


def test_the_longest_kgrams_are_left_out_if_there_are_too_many(monkeypatch):
    fitted, ids = (random_ids(n, 6, np.uint8, seed=n) for n in (301, 97))
    shorter = WittenBell.fit(fitted, 6, order=3)
    distinct = sum(counted.unseen for counted in shorter.orders)
    monkeypatch.setattr(ngram, "_GRAMS_LIMIT", distinct)
    model = WittenBell.fit(fitted, 6, order=5)
    assert model.order == 3
    np.testing.assert_array_equal(model.mean_losses(ids), shorter.mean_losses(ids))


@pytest.mark.parametrize("vocab_size", [4, 256, 20_000])
def test_fitting_takes_little_memory_on_any_text(vocab_size):
    dtype = np.uint8 if vocab_size <= 256 else np.uint16
    ids = np.random.default_rng(8).integers(0, vocab_size, 200_000).astype(dtype)
    tracemalloc.start()
    model = WittenBell.fit(ids, vocab_size, order=2)
    kept, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert model.order == 2
    grams = sum(counted.unseen for counted in model.orders)
    assert kept < 20 * grams + 10_000
    assert peak < 45 * len(ids)


def test_an_unknown_character_is_named_by_its_place_in_the_text():
    model = WittenBell.fit(np.zeros(5, np.uint8), 3)
    ids = np.zeros(200_000, np.uint8)
    ids[150_000] = 3
    with pytest.raises(TextError, match=r"ids\[150000\] is 3; expected 0 to 2"):
        model.mean_losses(ids)
