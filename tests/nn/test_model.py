"""The stacked network: gradients, a case by hand, and what it refuses."""

import tracemalloc
from math import exp, log, tanh

import numpy as np
import pytest
from extras import PLAIN_AND_COMPILED

from charrnn.config import CELLS, ModelConfig
from charrnn.errors import ShapeError
from charrnn.nn import model as model_module
from charrnn.nn.gradcheck import numeric_gradient, relative_error
from charrnn.nn.model import Model

T, N, V, H = 2, 3, 5, 4

every_cell = pytest.mark.parametrize("kind", CELLS)


def random_model(kind, layers, *, dtype=np.float64, V=V, H=H):
    rng = np.random.default_rng(layers)
    model = Model(ModelConfig(V, H, layers, kind), dtype)
    model.params.flat[:] = rng.normal(0, 0.7, model.params.flat.shape)
    return model


def random_ids(T=T, N=N, V=V, seed=0):
    return np.random.default_rng(seed).integers(0, V, (T + 1, N)).astype(np.uint8)


def random_state(model, N=N):
    rng = np.random.default_rng(7)
    return tuple(
        tuple(rng.normal(0, 0.7, part.shape).astype(part.dtype) for part in layer)
        for layer in model.zero_state(N)
    )


def random_masks(model, longest=T):
    rng = np.random.default_rng(3)
    kept = rng.random((model.config.layers, longest, N, H)) < 0.6
    return (kept / 0.6).astype(model.dtype)


@every_cell
@pytest.mark.parametrize("layers", [1, 2])
def test_gradients_under_masks_are_the_numeric_ones(kind, layers):
    model = random_model(kind, layers)
    ids, state, masks = random_ids(), random_state(model), random_masks(model, T + 3)
    workspace = model.workspace(T + 3, N)

    def loss():
        return model.loss_and_grads(ids[:-1], ids[1:], state, workspace, masks)[0]

    loss()
    derived = workspace.grads.copy()
    for name, values in model.params.items():
        error = relative_error(derived[name], numeric_gradient(loss, values))
        assert error < 1e-6, name


@every_cell
def test_masks_of_one_change_nothing(kind):
    model = random_model(kind, layers=2)
    ids, state = random_ids(), random_state(model)
    loss, grads, _ = model.loss_and_grads(
        ids[:-1], ids[1:], state, model.workspace(T, N)
    )
    masked_loss, masked_grads, _ = model.loss_and_grads(
        ids[:-1], ids[1:], state, model.workspace(T, N), np.ones((2, T, N, H))
    )
    assert masked_loss == loss
    np.testing.assert_array_equal(masked_grads.flat, grads.flat)


@every_cell
def test_masks_act_upwards_and_never_on_what_goes_to_the_next_step(kind):
    model = random_model(kind, layers=1)
    ids, state, masks = random_ids()[:-1], random_state(model), random_masks(model)
    workspace = model.workspace(T, N)
    _, whole = model.forward(ids, state, workspace)
    h = workspace.outputs.copy()
    logits, after = model.forward(ids, state, workspace, masks)
    expected = (h * masks[0]) @ model.params["output.W"] + model.params["output.b"]
    np.testing.assert_allclose(logits, expected, rtol=1e-12)
    np.testing.assert_array_equal(after, whole)


@every_cell
@pytest.mark.parametrize("layers", [1, 2, 3])
def test_gradients_of_all_parameters_are_the_numeric_ones(kind, layers):
    model = random_model(kind, layers)
    ids, state = random_ids(), random_state(model)
    workspace = model.workspace(T + 3, N)

    def loss():
        return model.loss_and_grads(ids[:-1], ids[1:], state, workspace)[0]

    loss()
    derived = workspace.grads.copy()
    assert set(derived) == set(model.params)
    for name, values in model.params.items():
        error = relative_error(derived[name], numeric_gradient(loss, values))
        assert error < 1e-6, name


@pytest.mark.parametrize("kernels", PLAIN_AND_COMPILED)
@pytest.mark.parametrize("rows", [1, 4, T * N - 1, T * N])
def test_logits_in_blocks_give_the_loss_and_gradients_of_the_whole(
    monkeypatch, kernels, rows
):
    dtype = np.float32 if kernels == "numba" else np.float64
    found = []
    for limit in (10**6, rows * V + 1):
        monkeypatch.setattr(model_module, "_LOGITS", limit)
        monkeypatch.setattr(model_module, "_PRODUCT", 2 * H)
        model = random_model("gru", layers=2, dtype=dtype)
        model = copied_with(model, kernels)
        ids, state, masks = random_ids(), random_state(model), random_masks(model)
        workspace = model.workspace(T, N)
        loss, grads, _ = model.loss_and_grads(
            ids[:-1], ids[1:], state, workspace, masks
        )
        found.append((loss, grads.flat.copy()))
    (whole_loss, whole), (loss, grads) = found
    rounding = 1e-13 if dtype is np.float64 else 1e-6
    assert loss == pytest.approx(whole_loss, rel=rounding)
    np.testing.assert_allclose(grads, whole, atol=rounding)


def copied_with(model, kernels):
    other = Model(model.config, model.dtype, kernels)
    other.params.flat[:] = model.params.flat
    return other


def test_a_large_vocabulary_needs_no_logits_of_the_whole_window():
    T, N, V = 16, 16, 40_000
    model = Model(ModelConfig(V, 4))
    model.init(rng=np.random.default_rng(0))
    ids = np.random.default_rng(1).integers(0, V, (T + 1, N)).astype(np.uint32)
    tracemalloc.start()
    model.loss_and_grads(ids[:-1], ids[1:], model.zero_state(N), model.workspace(T, N))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < T * N * V * 4 / 2


def test_logits_of_one_tanh_unit_are_those_worked_out_by_hand():
    model = Model(ModelConfig(2, hidden=1), np.float64)
    for name, values in {
        "layer0.Wx": [[0.5], [-1.0]],
        "layer0.Wh": [[2.0]],
        "layer0.b": [0.1],
        "output.W": [[1.0, -3.0]],
        "output.b": [0.0, 0.5],
    }.items():
        model.params[name][:] = values
    h1 = tanh(0.5 + 2.0 * 0.3 + 0.1)
    h2 = tanh(-1.0 + 2.0 * h1 + 0.1)
    ids = np.array([[0], [1], [1]], np.uint8)
    state, workspace = ((np.array([[0.3]]),),), model.workspace(2, 1)
    logits, ((after,),) = model.forward(ids[:-1], state, workspace)
    np.testing.assert_allclose(
        logits[:, 0], [[h1, 0.5 - 3 * h1], [h2, 0.5 - 3 * h2]], rtol=1e-15
    )
    assert after == pytest.approx(h2, rel=1e-15)
    # Both targets are character 1; its rival's logit is higher by 4 h - 1/2.
    loss, _, _ = model.loss_and_grads(ids[:-1], ids[1:], state, workspace)
    losses = [log(1 + exp(4 * h - 0.5)) for h in (h1, h2)]
    assert loss == pytest.approx(sum(losses) / 2, rel=1e-14)


def test_layers_are_stacked_each_reading_the_one_below():
    model = random_model("rnn", layers=2)
    p, ids, state = model.params, random_ids()[:-1], random_state(model)
    logits, after = model.forward(ids, state, model.workspace(T, N))
    (low,), (high,) = state
    for t in range(T):
        one_hot = np.eye(V)[ids[t]]
        low = np.tanh(one_hot @ p["layer0.Wx"] + low @ p["layer0.Wh"] + p["layer0.b"])
        high = np.tanh(low @ p["layer1.Wx"] + high @ p["layer1.Wh"] + p["layer1.b"])
        expected = high @ p["output.W"] + p["output.b"]
        np.testing.assert_allclose(logits[t], expected, rtol=1e-12)
    np.testing.assert_allclose(after[0][0], low, rtol=1e-12)
    np.testing.assert_allclose(after[1][0], high, rtol=1e-12)


@every_cell
def test_parameters_have_the_names_and_shapes_of_the_checkpoint_schema(kind):
    shapes = Model(ModelConfig(V, H, 2, kind)).params.shapes
    plain = kind.removeprefix("m")
    G = {"rnn": 1, "gru": 3, "lstm": 4}[plain]
    expected = {}
    for layer, D in (("layer0", V), ("layer1", H)):
        expected |= {
            f"{layer}.Wx": (D, G * H),
            f"{layer}.Wh": (H, G * H),
            f"{layer}.b": (G * H,),
        }
        if plain == "gru":
            expected[f"{layer}.c"] = (H,)
        if kind != plain:
            expected[f"{layer}.Q"] = (D, H)
    assert shapes == expected | {"output.W": (H, V), "output.b": (V,)}


@every_cell
def test_fresh_network_loses_about_log_v(kind):
    V, T, N = 50, 20, 30
    model = Model(ModelConfig(V, hidden=64, layers=2, cell=kind))
    model.init(rng=np.random.default_rng(0))
    ids = random_ids(T, N, V)
    loss, _, _ = model.loss_and_grads(
        ids[:-1], ids[1:], model.zero_state(N), model.workspace(T, N)
    )
    assert loss == pytest.approx(log(V), rel=0.05)


@every_cell
def test_init_draws_every_weight_from_the_generator_it_is_given(kind):
    def drawn(seed):
        model = Model(ModelConfig(V, H, 2, kind))
        model.params.flat.fill(np.nan)
        model.init(rng=np.random.default_rng(seed))
        return model.params

    first, other = drawn(0), drawn(1)
    np.testing.assert_array_equal(first.flat, drawn(0).flat)
    for name, values in first.items():
        if values.ndim > 1 and not name.endswith(".Q"):
            assert not np.any(values == other[name]), name
    assert not np.array_equal(first["layer0.Wh"], first["layer1.Wh"])


@every_cell
def test_chunks_with_carried_state_give_the_logits_of_one_pass(kind):
    model = random_model(kind, layers=2)
    ids, state = random_ids(T=7), random_state(model)
    whole, end = model.forward(ids, state, model.workspace(8, N))
    workspace, start = model.workspace(5, N), 0
    for length in (3, 5):
        logits, state = model.forward(ids[start : start + length], state, workspace)
        np.testing.assert_allclose(logits, whole[start : start + length], rtol=1e-11)
        start += length
    for layer, expected in zip(state, end, strict=True):
        for part, other in zip(layer, expected, strict=True):
            np.testing.assert_allclose(part, other, rtol=1e-11)


@every_cell
def test_gradient_is_the_mean_over_streams(kind):
    model = random_model(kind, layers=2)
    ids, state = random_ids(), random_state(model)
    loss, grads, _ = model.loss_and_grads(
        ids[:-1], ids[1:], state, model.workspace(T, N)
    )
    mean_loss, mean_grads = 0.0, np.zeros_like(grads.flat)
    for n in range(N):
        column = slice(n, n + 1)
        alone = tuple(tuple(part[column] for part in layer) for layer in state)
        found = model.loss_and_grads(
            ids[:-1, column], ids[1:, column], alone, model.workspace(T, 1)
        )
        mean_loss += found[0] / N
        mean_grads += found[1].flat / N
    assert loss == pytest.approx(mean_loss, rel=1e-12)
    np.testing.assert_allclose(grads.flat, mean_grads, rtol=1e-10, atol=1e-14)


@every_cell
def test_a_second_pass_repeats_the_first_bit_for_bit(kind):
    model = random_model(kind, layers=2, dtype=np.float32)
    ids, state, workspace = random_ids(), random_state(model), model.workspace(T, N)
    loss, grads, after = model.loss_and_grads(ids[:-1], ids[1:], state, workspace)
    kept = grads.flat.copy()
    again, grads, after_again = model.loss_and_grads(
        ids[:-1], ids[1:], state, workspace
    )
    assert again == loss
    np.testing.assert_array_equal(grads.flat, kept)
    np.testing.assert_array_equal(after_again, after)


@every_cell
def test_parameters_ids_and_state_are_left_as_they_were(kind):
    model = random_model(kind, layers=2)
    ids, state = random_ids(), random_state(model)
    arrays = [model.params.flat, ids, *(part for layer in state for part in layer)]
    before = [array.copy() for array in arrays]
    model.loss_and_grads(ids[:-1], ids[1:], state, model.workspace(T, N))
    for array, kept in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(array, kept)


@every_cell
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_precision_is_the_models_throughout(kind, dtype):
    model = random_model(kind, layers=2, dtype=dtype)
    ids, workspace = random_ids(), model.workspace(T, N)
    logits, _ = model.forward(ids[:-1], model.zero_state(N), workspace)
    _, grads, after = model.loss_and_grads(
        ids[:-1], ids[1:], model.zero_state(N), workspace
    )
    parts = [part for layer in after for part in layer]
    assert {array.dtype for array in (logits, grads.flat, *parts)} == {np.dtype(dtype)}


@pytest.mark.parametrize(
    ("ids", "said"),
    [
        (np.zeros((2, 3), np.int64), r"ids are int64 \(2, 3\)"),
        (np.zeros((2, 3)), r"ids are float64 \(2, 3\)"),
        (np.zeros(3, np.uint8), r"ids are uint8 \(3,\)"),
        (np.zeros((2, 3, 5), np.uint8), r"ids are uint8 \(2, 3, 5\)"),
    ],
)
def test_ids_of_another_type_or_shape_are_refused(ids, said):
    model = random_model("rnn", layers=1)
    with pytest.raises(ShapeError, match=f"{said}; expected unsigned integers"):
        model.forward(ids, model.zero_state(3), model.workspace(2, 3))


def test_ids_beyond_the_vocabulary_are_refused():
    model = random_model("rnn", layers=1)
    ids = np.array([[0, V - 1], [1, V]], np.uint8)
    with pytest.raises(ShapeError):
        model.forward(ids, model.zero_state(2), model.workspace(2, 2))
