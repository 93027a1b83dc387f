"""Drawing characters: closed forms, exact boundaries, whose random numbers count."""

from collections import Counter
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
from extras import PLAIN_AND_COMPILED, needs_numba
from texts import trained

from charrnn.config import CELLS, ModelConfig, SampleConfig
from charrnn.errors import ConfigError, TextError
from charrnn.generation.sampling import read_prime, sample, uniforms, with_kernels
from charrnn.generation.writer import draw
from charrnn.nn import kernels
from charrnn.nn.ensemble import Ensemble
from charrnn.nn.filters import Filters, distribution
from charrnn.nn.functional import softmax
from charrnn.nn.model import Model

P = np.array([0.5, 0.25, 0.125, 0.125])
# Cells, and ensembles of networks with these cells.
KINDS = [*CELLS, "gru gru", "lstm rnn gru"]
LOGITS = np.log(P)[None]


def temperatures(*values):
    return np.array(values, float)[:, None]


def drawn(n=1, texts=None, length=80, prime="Ann ", temps=None, **settings):
    """Return the ids (length, n) that the trained model draws."""
    model = trained()
    config = SampleConfig(length=length, **{"seed": 5, "temperature": 1.0} | settings)
    ids = model.encode(prime)
    steps = sample(
        model.model, ids, config, texts=texts or range(n), temperatures=temps
    )
    return np.array([*steps]).reshape(-1, len(texts) if texts else n)


def test_temperature_1_is_the_softmax():
    np.testing.assert_allclose(distribution(LOGITS, temperatures(1))[0], P, rtol=1e-12)


@pytest.mark.parametrize("temperature", [0.1, 0.5, 0.8, 2, 7.5])
def test_a_temperature_raises_probabilities_to_its_inverse(temperature):
    p = distribution(LOGITS, temperatures(temperature))[0]
    expected = P ** (1 / temperature)
    np.testing.assert_allclose(p, expected / expected.sum(), rtol=1e-10)


def test_top_p_that_the_likeliest_hold_exactly_leaves_out_the_rest():
    found = distribution(LOGITS, temperatures(1), Filters(top_p=0.5))[0]
    np.testing.assert_allclose(found, [1, 0, 0, 0], rtol=1e-12)
    found = distribution(LOGITS, temperatures(1), Filters(top_p=0.5 + 1e-6))[0]
    np.testing.assert_allclose(found, [2 / 3, 1 / 3, 0, 0], rtol=1e-6)


def test_a_shift_of_the_logits_changes_nothing():
    shifted = distribution(LOGITS + 1000, temperatures(0.7))
    np.testing.assert_allclose(
        shifted, distribution(LOGITS, temperatures(0.7)), rtol=1e-9
    )


def test_temperature_0_takes_the_likeliest_and_of_equals_the_first():
    logits = np.array([[1.0, 3, 2, 3], [5, 5, 5, 5], [-9, -8, -7, -6]])
    p = distribution(logits, temperatures(0, 0, 0))
    np.testing.assert_array_equal(p, np.eye(4)[[1, 0, 3]])


@pytest.mark.parametrize("temperature", [1e-6, 1e-30, 1e-300])
def test_a_tiny_temperature_is_nearly_0_and_no_overflow(temperature):
    logits = np.array([[1.0, 3, 2, 2.9]], np.float32)
    p = distribution(logits, temperatures(temperature))
    np.testing.assert_allclose(p, np.eye(4)[[1]], atol=1e-12)


def test_every_row_has_its_own_temperature():
    rows = np.repeat(LOGITS, 3, axis=0)
    p = distribution(rows, temperatures(0, 0.5, 1))
    squares = P**2 / (P**2).sum()
    np.testing.assert_allclose(p, [[1, 0, 0, 0], squares, P], rtol=1e-10)


@pytest.mark.parametrize(
    ("k", "expected"),
    [
        (1, [1, 0, 0, 0]),
        (2, [2 / 3, 1 / 3, 0, 0]),
        (3, [4 / 7, 2 / 7, 1 / 7, 0]),  # of equals the first stays
        (4, P),
        (9, P),
        (0, P),
    ],
)
def test_top_k_keeps_the_k_likeliest(k, expected):
    p = distribution(LOGITS, temperatures(1), Filters(top_k=k))[0]
    np.testing.assert_allclose(p, expected, rtol=1e-10)


@pytest.mark.parametrize(
    ("share", "expected"),
    [
        (1e-9, [1, 0, 0, 0]),
        (0.49, [1, 0, 0, 0]),
        (0.51, [2 / 3, 1 / 3, 0, 0]),
        (0.74, [2 / 3, 1 / 3, 0, 0]),
        (0.76, [4 / 7, 2 / 7, 1 / 7, 0]),
        (0.88, P),
        (1.0, P),
    ],
)
def test_top_p_keeps_the_fewest_that_hold_the_share(share, expected):
    p = distribution(LOGITS, temperatures(1), Filters(top_p=share))[0]
    np.testing.assert_allclose(p, expected, rtol=1e-10)


def test_top_p_counts_what_top_k_left():
    # Of the three that top_k leaves, the first holds 4/7 and the first two 6/7.
    p = distribution(LOGITS, temperatures(1), Filters(top_k=3, top_p=0.6))[0]
    np.testing.assert_allclose(p, [2 / 3, 1 / 3, 0, 0], rtol=1e-10)


def test_filters_work_on_every_row_whatever_its_order():
    logits = np.log([P, P[::-1], P[[2, 0, 3, 1]]])
    p = distribution(logits, temperatures(1, 1, 1), Filters(top_k=2))
    third = [0, 2 / 3, 0, 1 / 3]
    np.testing.assert_allclose(
        p, [[2 / 3, 1 / 3, 0, 0], [0, 0, 1 / 3, 2 / 3], third], rtol=1e-10
    )


def test_distributions_sum_to_1_and_leave_the_logits_alone():
    logits = np.random.default_rng(1).normal(size=(5, 40)).astype(np.float32) * 10
    before = logits.copy()
    for settings in ({}, {"top_k": 3}, {"top_p": 0.9}, {"top_k": 7, "top_p": 0.5}):
        p = distribution(logits, temperatures(0, 0.3, 1, 2, 50), Filters(**settings))
        assert p.dtype == np.float64
        np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-12)
    np.testing.assert_array_equal(logits, before)


def test_a_draw_is_where_the_cumulated_probability_passes_u():
    cases = {0.0: 0, 0.499: 0, 0.5: 1, 0.749: 1, 0.75: 2, 0.875: 3, 0.999: 3}
    p = np.repeat(P[None], len(cases), axis=0)
    u = np.array([*cases])[:, None]
    np.testing.assert_array_equal(draw(p, u), [*cases.values()])
    np.testing.assert_array_equal(draw(p * 3, u), [*cases.values()])


def test_a_draw_never_takes_what_has_no_probability():
    p = np.array([[0, 0.5, 0, 0.5, 0], [0, 0, 1, 0, 0], [0.1, 0.2, 0.7, 0, 0]])
    largest = np.nextafter(1, 0)
    np.testing.assert_array_equal(draw(p, np.zeros((3, 1))), [1, 2, 0])
    np.testing.assert_array_equal(draw(p, np.full((3, 1), largest)), [3, 2, 2])


def test_draws_come_as_often_as_their_probabilities_say():
    n = 20_000
    u = np.random.default_rng(3).random(n)
    found = np.bincount(draw(np.repeat(P[None], n, axis=0), u[:, None]), minlength=4)
    chi_square = ((found - n * P) ** 2 / (n * P)).sum()
    assert chi_square < 11.3  # 1 % of chance, 3 degrees of freedom


def test_the_model_is_sampled_as_often_as_it_says():
    n = 4000
    model = trained()
    first = drawn(n, length=1, prime="Ann mends ")[0]
    expected = dict(model.next("Ann mends "))
    found = Counter(model.vocab.characters[i] for i in first)
    likely = {c: p for c, p in expected.items() if n * p >= 5}
    assert len(likely) >= 3
    chi_square = sum((found[c] - n * p) ** 2 / (n * p) for c, p in likely.items())
    assert chi_square < 2 * len(likely) + 12


def test_uniform_numbers_belong_to_a_seed_and_a_number():
    def numbers(seed, texts):
        return np.concatenate([*islice(uniforms(seed, texts), 5)])[:600]

    one = numbers(7, [3])[:, 0]
    many = numbers(7, [0, 3, 1, 3])
    np.testing.assert_array_equal(many[:, 1], one)
    np.testing.assert_array_equal(many[:, 3], one)
    assert len({*many[:, [0, 1, 2]].ravel()}) == 3 * 600
    other = numbers(8, [3])[:, 0]
    assert not np.isin(other, one).any()
    assert (many >= 0).all()
    assert (many < 1).all()


def test_text_i_depends_on_the_seed_and_i_alone():
    five = drawn(5, length=300)
    for i in range(5):
        np.testing.assert_array_equal(drawn(texts=[i], length=300)[:, 0], five[:, i])
    assert len({column.tobytes() for column in five.T}) == 5


def test_the_same_seed_gives_the_same_text_and_another_seed_another():
    np.testing.assert_array_equal(drawn(seed=1), drawn(seed=1))
    assert not np.array_equal(drawn(seed=1), drawn(seed=2))


def test_a_longer_text_starts_with_the_shorter_one():
    np.testing.assert_array_equal(drawn(2, length=700)[:300], drawn(2, length=300))


def test_length_0_draws_nothing():
    assert len(drawn(length=0)) == 0


def test_temperature_0_needs_no_random_numbers():
    np.testing.assert_array_equal(
        drawn(temperature=0, seed=1), drawn(temperature=0, seed=2)
    )


def test_texts_with_shared_numbers_and_equal_temperatures_are_equal():
    ids = drawn(texts=[0, 0, 0], temps=[0.5, 1.0, 0.5], length=200)
    np.testing.assert_array_equal(ids[:, 0], ids[:, 2])
    assert not np.array_equal(ids[:, 0], ids[:, 1])
    alone = drawn(texts=[0], length=200, temperature=0.5)
    np.testing.assert_array_equal(ids[:, 0], alone[:, 0])


@pytest.mark.parametrize("kernels", PLAIN_AND_COMPILED)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "filters",
    [
        {},
        pytest.param({"top_k": 5, "top_p": 0.8}, marks=pytest.mark.slow),
        pytest.param({"min_p": 0.2, "typical": 0.7}, marks=pytest.mark.slow),
        {"top_k": 30, "top_p": 0.95, "min_p": 0.05, "typical": 0.9},
    ],
)
def test_characters_are_those_of_one_forward_pass_after_another(kind, kernels, filters):
    model, prime = random_model(kind), np.array([3, 1, 4], np.uint8)
    config = SampleConfig(
        length=300, temperature=0.9, seed=2, kernels=kernels, **filters
    )
    found = np.array([*sample(model, prime, config, texts=[0, 1])])
    unrounded = Ensemble([in_float64(member) for member in model.members])
    exact = as_read(unrounded)
    for i in (0, 1):
        u = np.concatenate([*islice(uniforms(2, [i]), 3)])[:, 0]
        logits, state = read_prime(unrounded, prime)
        for t, id_ in enumerate(found[:, i]):
            p = distribution(logits, temperatures(0.9), Filters(**filters))[0]
            cumulated = np.cumsum(p)
            # The random number falls into the character's part, but for rounding.
            assert cumulated[id_] > u[t] - 1e-5
            assert cumulated[id_] - p[id_] < u[t] + 1e-5
            ids = found[t : t + 1, i : i + 1]
            (logits,), state = exact.forward(ids, state, exact.workspace(1, 1))


@needs_numba
@pytest.mark.parametrize("kind", KINDS)
def test_compiled_text_is_the_same_whatever_is_written_beside_it(kind):
    model, prime = random_model(kind), np.array([3], np.uint8)
    config = SampleConfig(length=200, kernels="numba", temperature=1.0)
    many = np.array([*sample(model, prime, config, texts=range(19))])
    for i in (0, 7, 18):
        alone = np.array([*sample(model, prime, config, texts=[i])])
        np.testing.assert_array_equal(alone[:, 0], many[:, i])


@needs_numba
@pytest.mark.parametrize("kind", ["rnn", "rnn lstm"])
@pytest.mark.parametrize("temperature", [0.0, 1e-300, 0.5, 100.0])
def test_compiled_draws_at_any_temperature_are_the_plain_ones(kind, temperature):
    model, prime = random_model(kind), np.array([3], np.uint8)
    texts = []
    for name in ("numpy", "numba"):
        config = SampleConfig(length=50, kernels=name, temperature=temperature)
        texts.append(np.array([*sample(model, prime, config)]))
    np.testing.assert_array_equal(*texts)


def random_model(kind):
    """Return a model whose every weight counts, but without chaos.

    It has two layers, or is an ensemble of networks of several sizes, if kind names
    several cells.
    """
    models = []
    for number, cell in enumerate(kind.split()):
        model = Model(ModelConfig(41, 36 - 8 * number, 2 - number % 2, cell))
        rng = np.random.default_rng(8 + number)
        model.params.flat[:] = rng.normal(0, 0.15, model.params.flat.size)
        model.temperature = 1.2 - 0.3 * number
        models.append(model)
    return Ensemble(models) if len(models) > 1 else models[0]


def in_float64(model):
    exact = Model(model.config, np.float64)
    exact.params.flat[:] = model.params.flat
    exact.temperature = model.temperature
    return exact


def as_read(ensemble):
    """Return copies with the weights of 16 bits with which texts are written."""
    copies = [member.copy() for member in ensemble.members]
    for copied in copies:
        for name, W in copied.params.items():
            τ = copied.temperature if name == "output.W" else 1
            is_looked_up = name in ("layer0.Wx", "layer0.Q")
            if W.ndim == 2 and not is_looked_up:
                read = W.astype(np.float32) / np.float32(τ)
                scale = 2.0 ** (np.floor(np.log2(np.abs(read).max(axis=0))) - 14)
                W[:] = np.rint(read / scale) * scale * τ
    return Ensemble(copies)


def test_ids_are_of_the_smallest_type_that_fits():
    assert drawn().dtype == np.uint8


@pytest.mark.parametrize("length", [1, 63, 64, 65, 128, 200])
def test_a_prime_longer_than_a_window_is_read_as_if_at_once(length):
    language_model = trained()
    model = language_model.model
    prime = language_model.encode(("Ann mends the moon, at dawn.\n" * 9)[:length])
    logits, state = read_prime(model, prime, 3)
    at_once, after = model.forward(
        prime[:, None], model.zero_state(1), model.workspace(length, 1)
    )
    assert logits.shape == (3, len(language_model.vocab))
    for row in range(3):
        np.testing.assert_allclose(logits[row], at_once[-1, 0], rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(state[0][0][row], after[0][0][0], atol=1e-5)


def test_the_prime_steers_what_comes():
    language_model = trained()
    chances = softmax(
        read_prime(
            language_model.model,
            language_model.encode("Ann mends the moon, at daw"),
            1,
        )[0]
    )[0]
    assert language_model.vocab.characters[chances.argmax()] == "n"


def test_an_empty_prime_is_an_error():
    with pytest.raises(TextError, match="the prime is empty"):
        drawn(prime="")


@pytest.mark.parametrize(
    "setting",
    [
        {"temperature": -0.1},
        {"temperature": float("nan")},
        {"temperature": float("inf")},
        {"top_k": -1},
        {"top_p": 0},
        {"top_p": 1.1},
        {"length": -1},
        {"seed": -1},
    ],
)
def test_settings_that_make_no_sense_are_refused(setting):
    (name,) = setting
    with pytest.raises(ConfigError, match=rf"{name} is .*; expected"):
        SampleConfig(**setting)


@pytest.mark.parametrize("kernels", PLAIN_AND_COMPILED)
@pytest.mark.parametrize("kind", ["rnn", "rnn lstm"])
@pytest.mark.parametrize("temperature", [0.0, 1.0, 100.0])
def test_ids_that_are_never_drawn(kernels, kind, temperature):
    model, prime = random_model(kind), np.array([3], np.uint8)
    config = SampleConfig(length=300, kernels=kernels, temperature=temperature)

    def ids(**options):
        return np.array([*sample(model, prime, config, texts=range(3), **options)])

    free = ids()
    likely = np.bincount(free.ravel(), minlength=41).argmax()
    never = [int(likely), 40]
    kept = ids(never=never)
    assert not np.isin(kept, never).any()
    # The random numbers are the same, so most texts begin alike until then.
    not_first = [int(id_) for id_ in free[0]]
    other = ids(not_first=not_first)
    assert not np.isin(other[0], not_first).any()


@needs_numba
@pytest.mark.parametrize("kind", ["gru", "gru gru lstm"])
@pytest.mark.parametrize("never", [(), (40,), (0, 7, 40)])
def test_compiled_draws_without_some_ids_are_the_plain_ones(kind, never):
    model, prime = random_model(kind), np.array([3], np.uint8)
    texts = []
    for name in ("numpy", "numba"):
        config = SampleConfig(length=80, kernels=name, temperature=2.0)
        texts.append(np.array([*sample(model, prime, config, never=never)]))
    np.testing.assert_array_equal(*texts)


def test_the_kernels_for_a_number_of_texts_are_those_for_all_of_them_together():
    model = random_model("rnn")
    config = SampleConfig(length=500)
    assert with_kernels(config, model, 1).kernels == "numpy"
    assert with_kernels(config, model, 100).kernels == kernels.resolve("auto")
    looping = replace(config, loop_penalty=0.5)
    assert with_kernels(looping, model, 100).kernels == "numpy"
