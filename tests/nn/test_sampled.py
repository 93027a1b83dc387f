"""The sampled softmax: exact with all characters, and an estimate with a sample."""

import numpy as np
import pytest
from extras import PLAIN_AND_COMPILED

from charrnn.config import CELLS, ModelConfig
from charrnn.errors import ShapeError
from charrnn.nn import model as model_module
from charrnn.nn.functional import log_softmax
from charrnn.nn.gradcheck import numeric_gradient, relative_error
from charrnn.nn.model import Model
from charrnn.nn.sampled import Sample, Sampler, frequencies, make_sampler
from charrnn.nn.workers import Layout, Workers

T, N, V, H = 3, 4, 30, 5
every_kernel = pytest.mark.parametrize("kernels", PLAIN_AND_COMPILED)


def random_model(kernels="numpy", cell="rnn", layers=1):
    dtype = np.float32 if kernels == "numba" else np.float64
    model = Model(ModelConfig(V, H, layers, cell), dtype, kernels)
    rng = np.random.default_rng(layers)
    model.params.flat[:] = rng.normal(0, 0.7, model.params.flat.shape)
    return model


def random_window(model):
    """Return inputs and targets (T, N), and a state before them."""
    rng = np.random.default_rng(2)
    ids = rng.choice(V, (T + 1, N), p=zipf()).astype(np.uint8)
    state = tuple(
        tuple(rng.normal(0, 0.7, part.shape).astype(part.dtype) for part in layer)
        for layer in model.zero_state(N)
    )
    return ids[:-1], ids[1:], state


def zipf(V=V):
    weights = 1 / np.arange(1, V + 1)
    return weights / weights.sum()


def random_sample(targets, size=6):
    return Sampler(zipf(), size).draw(targets, rng=np.random.default_rng(3))


def naive_loss(model, window, sample):
    """Return log(sum over the sample of exp(z) / q) - z[target], one by one."""
    inputs, targets, state = window
    logits, _ = model.forward(inputs, state, model.workspace(T, N))
    q = dict(zip(sample.ids.tolist(), np.exp(sample.log_q).tolist(), strict=True))
    losses = []
    for t in range(T):
        for n in range(N):
            z = logits[t, n].astype(float)
            total = sum(np.exp(z[c]) / q[c] for c in q)
            losses.append(np.log(total) - z[targets[t, n]])
    return np.mean(losses)


@every_kernel
@pytest.mark.parametrize("layers", [1, 2])
def test_a_sample_of_all_characters_gives_every_bit_of_the_full_softmax(
    kernels, layers
):
    model = random_model(kernels, "gru", layers)
    window = random_window(model)
    everything = Sample(np.arange(V), np.zeros(V))
    expected = model.loss_and_grads(*window, model.workspace(T, N))
    found = model.loss_and_grads(*window, model.workspace(T, N), sample=everything)
    assert found[0] == expected[0]
    np.testing.assert_array_equal(found[1].flat, expected[1].flat)
    np.testing.assert_array_equal(found[2], expected[2])


@every_kernel
def test_so_many_draws_that_none_is_missing_give_the_full_softmax(kernels):
    model = random_model(kernels)
    window = random_window(model)
    sample = random_sample(window[1], size=10_000)
    np.testing.assert_array_equal(sample.ids, np.arange(V))
    np.testing.assert_array_equal(sample.log_q, np.zeros(V))
    expected = model.loss_and_grads(*window, model.workspace(T, N))
    found = model.loss_and_grads(*window, model.workspace(T, N), sample=sample)
    assert found[0] == expected[0]
    np.testing.assert_array_equal(found[1].flat, expected[1].flat)


@every_kernel
@pytest.mark.parametrize("rows", [1, 5, T * N])
def test_the_loss_is_that_of_the_formula(monkeypatch, kernels, rows):
    model = random_model(kernels)
    window = random_window(model)
    sample = random_sample(window[1])
    assert len(sample.ids) < V
    monkeypatch.setattr(model_module, "_LOGITS", rows * len(sample.ids))
    loss, _, _ = model.loss_and_grads(*window, model.workspace(T, N), sample=sample)
    rounding = 1e-6 if kernels == "numba" else 1e-13
    assert loss == pytest.approx(naive_loss(model, window, sample), rel=rounding)


@pytest.mark.parametrize("kind", CELLS)
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.slow
def test_gradients_with_a_fixed_sample_are_the_numeric_ones(kind, layers):
    model = random_model(cell=kind, layers=layers)
    window = random_window(model)
    sample, workspace = random_sample(window[1]), model.workspace(T, N)
    assert len(sample.ids) < V

    def loss():
        return model.loss_and_grads(*window, workspace, sample=sample)[0]

    loss()
    derived = workspace.grads.copy()
    for name, values in model.params.items():
        error = relative_error(derived[name], numeric_gradient(loss, values))
        assert error < 1e-6, name


@every_kernel
@pytest.mark.parametrize("workers", [1, 2, 3])
def test_any_number_of_workers_gives_the_answer_of_the_whole_batch(kernels, workers):
    model = random_model(kernels, "lstm")
    window = random_window(model)
    sample = random_sample(window[1])
    masks = np.random.default_rng(5).integers(0, 2, (1, T, N, H)).astype(model.dtype)
    expected = model.loss_and_grads(*window, model.workspace(T, N), masks, sample)
    team = Workers(model, T, N, Layout(workers))
    found = team.loss_and_grads(*window, masks, sample)
    team.close()
    rounding = 1e-5 if kernels == "numba" else 1e-12
    assert found[0] == pytest.approx(expected[0], rel=rounding)
    np.testing.assert_allclose(found[1].flat, expected[1].flat, atol=rounding)


def test_the_compiled_kernels_agree_with_numpy():
    pytest.importorskip("numba")
    plain, fast = random_model(), random_model("numba")
    window = random_window(plain)
    sample = random_sample(window[1])
    found = [
        model.loss_and_grads(
            *window[:2], model.zero_state(N), model.workspace(T, N), sample=sample
        )
        for model in (plain, fast)
    ]
    assert found[1][0] == pytest.approx(found[0][0], rel=1e-6)
    np.testing.assert_allclose(found[1][1].flat, found[0][1].flat, atol=1e-6)


def test_characters_outside_the_sample_have_no_gradient():
    model = random_model()
    window = random_window(model)
    sample, workspace = random_sample(window[1]), model.workspace(T, N)
    workspace.grads.flat.fill(np.nan)  # as if another step had left something
    _, grads, _ = model.loss_and_grads(*window, workspace, sample=sample)
    others = np.setdiff1d(np.arange(V), sample.ids)
    assert len(others) > 5
    assert not grads["output.W"][:, others].any()
    assert not grads["output.b"][others].any()
    assert grads["output.W"][:, sample.ids].all()


def test_the_probabilities_are_how_often_each_character_is_in_a_sample():
    p, size, R, rounds = zipf(), 5, 7, 20_000
    rng = np.random.default_rng(4)
    counts, q = np.zeros(V), np.full(V, np.nan)
    sampler = Sampler(p, size)
    for _ in range(rounds):
        sample = sampler.draw(sampler.characters(R, rng=rng), rng=rng)
        counts[sample.ids] += 1
        q[sample.ids] = np.exp(sample.log_q)
    deviation = np.sqrt(q * (1 - q) / rounds)
    assert np.abs(counts / rounds - q).max() < 4 * deviation.max()
    assert q.min() < 0.1 < 0.9 < q.max()


def test_the_sum_over_samples_has_the_mean_of_the_sum_over_all_characters():
    p, rng = zipf(), np.random.default_rng(6)
    sampler, exp_z = Sampler(p, 8), np.exp(rng.normal(0, 1, V))
    sums = []
    for _ in range(5000):
        sample = sampler.draw(sampler.characters(4, rng=rng), rng=rng)
        sums.append((exp_z[sample.ids] / np.exp(sample.log_q)).sum())
    error = np.std(sums) / np.sqrt(len(sums))
    assert abs(np.mean(sums) - exp_z.sum()) < 3 * error
    assert error < 0.02 * exp_z.sum()


def test_the_mean_gradient_comes_nearer_to_the_full_one_with_every_draw():
    model = random_model()
    window = random_window(model)
    expected = model.loss_and_grads(*window, model.workspace(T, N))[1].flat.copy()
    rng, workspace, errors = np.random.default_rng(8), model.workspace(T, N), []
    for size in (5, 50, 500):
        sampler, mean = Sampler(zipf(), size), np.zeros_like(expected)
        for _ in range(300):
            sample = sampler.draw(window[1], rng=rng)
            grads = model.loss_and_grads(*window, workspace, sample=sample)[1]
            mean += grads.flat / 300
        errors.append(np.linalg.norm(mean - expected) / np.linalg.norm(expected))
    assert errors[0] > 3 * errors[1] > 9 * errors[2]
    assert errors[2] < 0.02


def test_training_with_samples_finds_the_distribution_of_the_text():
    p, rng, R, steps = zipf(), np.random.default_rng(9), 16, 3000
    model = Model(ModelConfig(V, 1), np.float64)  # zeros, apart from what is learned
    sampler, workspace = Sampler(p, 16), model.workspace(1, R)
    ids, bias, mean = np.zeros((1, R), np.uint8), model.params["output.b"], 0
    for step in range(steps):
        targets = sampler.characters(R, rng=rng).reshape(1, R)
        sample = sampler.draw(targets, rng=rng)
        _, grads, _ = model.loss_and_grads(
            ids, targets, model.zero_state(R), workspace, sample=sample
        )
        bias -= 4 / (1 + step / 300) * grads["output.b"]
        mean = mean + bias / (steps / 2) * (step >= steps / 2)
    learned = np.exp(log_softmax(mean))
    assert (p * np.log(p / learned)).sum() < 0.002
    np.testing.assert_allclose(learned[:5], p[:5], rtol=0.04)


def test_a_sample_is_ascending_has_all_targets_and_repeats_with_its_generator():
    targets = np.array([[29, 3], [29, 28]], np.uint8)
    sample, same = random_sample(targets), random_sample(targets)
    assert (np.diff(sample.ids.astype(int)) > 0).all()
    assert np.isin(targets, sample.ids).all()
    np.testing.assert_array_equal(sample.ids[sample.places(targets)], targets)
    for one, other in zip(sample, same, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("missing", [0, 10, 29])
def test_a_sample_without_a_target_is_refused(missing):
    sample = Sample(np.array([1, 5, 20]), np.zeros(3))
    with pytest.raises(ShapeError, match="lacks a target"):
        sample.places(np.array([5, missing, 20]))


def test_frequencies_are_shares_of_the_text_and_never_zero():
    ids = np.array([3, 0, 3, 3], np.uint16)
    expected = np.array([1.5, 0.5, 0.5, 3.5]) / 6
    np.testing.assert_allclose(frequencies(ids, 4), expected, rtol=1e-15)


def test_no_draws_mean_no_sampler():
    assert make_sampler(np.array([0, 1]), 2, 0) is None
    sampler = make_sampler(np.array([0, 1, 1]), 2, 5)
    assert sampler.size == 5
    assert set(sampler.characters(50, rng=np.random.default_rng(0))) == {0, 1}
