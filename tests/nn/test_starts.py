"""The state is zero where a document starts, and no gradient passes such a step."""

from itertools import pairwise

import numpy as np
import pytest
from extras import PLAIN_AND_COMPILED, needs_numba

from charrnn.config import CELLS, ModelConfig, SampleConfig
from charrnn.evaluation.loss import losses
from charrnn.generation.sampling import read_prime, sample
from charrnn.nn.gradcheck import TOLERANCE, numeric_gradient, relative_error
from charrnn.nn.model import Model
from charrnn.nn.workers import Layout, Workers

T, N, V, H = 8, 5, 6, 4
END = V - 1
# Streams side by side: no document starts; one in the middle; one at the first step;
# several, two of them in a row; one at the last step.
STREAMS = ["01234012", "0123-012", "-1234012", "0-0--032", "0123401-"]

every_cell = pytest.mark.parametrize("kind", CELLS)
one_and_two_layers = pytest.mark.parametrize("layers", [1, 2])


def ids_of(*streams):
    rows = [[END if c == "-" else int(c) for c in stream] for stream in streams]
    return np.array(rows, np.uint8).T


def random_model(kind, layers=2, *, end=END, dtype=np.float64, kernels="numpy"):
    model = Model(ModelConfig(V, H, layers, kind, end), dtype, kernels)
    rng = np.random.default_rng(layers)
    model.params.flat[:] = rng.normal(0, 0.7, model.params.flat.shape)
    return model


def batch(model):
    """Return inputs, targets and an incoming state that is not zero."""
    inputs = ids_of(*STREAMS)
    targets = np.random.default_rng(1).integers(0, V, inputs.shape).astype(np.uint8)
    return inputs, targets, random_state(model, N)


def random_state(model, N):
    rng = np.random.default_rng(7)
    return tuple(
        tuple(rng.normal(0, 0.7, part.shape).astype(part.dtype) for part in layer)
        for layer in model.zero_state(N)
    )


def loss_and_grads(model, inputs, targets, state):
    workspace = model.workspace(*inputs.shape)
    loss, grads, after = model.loss_and_grads(inputs, targets, state, workspace)
    return loss, grads.flat, after


def parts(state):
    return [part for layer in state for part in layer]


@every_cell
@one_and_two_layers
@pytest.mark.slow
def test_gradients_across_starts_are_the_numeric_ones(kind, layers):
    model = random_model(kind, layers)
    inputs, targets, state = batch(model)
    workspace = model.workspace(T + 3, N)

    def loss():
        return model.loss_and_grads(inputs, targets, state, workspace)[0]

    loss()
    derived = workspace.grads.copy()
    for name, values in model.params.items():
        error = relative_error(derived[name], numeric_gradient(loss, values))
        assert error < TOLERANCE, name


@every_cell
def test_gradients_of_inputs_and_state_are_the_numeric_ones(kind):
    model = random_model(kind, layers=2)
    cell, params = model.cell, model.params.scope("layer1")
    rng = np.random.default_rng(2)
    inputs, dh = rng.normal(size=(2, T, N, H))
    state, starts = random_state(model, N)[0], ids_of(*STREAMS) == END
    workspace = cell.workspace(T, N, H, H, np.float64)

    def loss():
        h, _ = cell.forward(params, inputs, state, workspace, starts)
        return float((h * dh).sum())

    loss()
    dinputs, dstate = cell.backward(
        params, dh, workspace, model.params.zeros_like().scope("layer1")
    )
    dinputs = dinputs.copy()
    assert relative_error(dinputs, numeric_gradient(loss, inputs)) < TOLERANCE
    for part, derived in zip(state, dstate, strict=True):
        assert relative_error(derived, numeric_gradient(loss, part)) < TOLERANCE
        assert not derived[2].any()  # this stream starts with a document
        assert derived[0].all()


@every_cell
@one_and_two_layers
@pytest.mark.parametrize("kernels", PLAIN_AND_COMPILED)
def test_a_batch_with_starts_is_every_document_alone(kind, layers, kernels):
    dtype = np.float32 if kernels == "numba" else np.float64
    model = random_model(kind, layers, dtype=dtype, kernels=kernels)
    unmarked = random_model(kind, layers, end=-1, dtype=dtype, kernels=kernels)
    inputs, targets, state = batch(model)
    loss, grads, after = loss_and_grads(model, inputs, targets, state)

    total, summed, ends = 0.0, np.zeros(grads.shape), []
    for n in range(N):
        column = slice(n, n + 1)
        carried = tuple(tuple(part[column] for part in layer) for layer in state)
        bounds = [0, *np.flatnonzero(inputs[1:, n] == END) + 1, T]
        for start, stop in pairwise(bounds):
            if inputs[start, n] == END:
                carried = unmarked.zero_state(1)
            document = inputs[start:stop, column], targets[start:stop, column]
            one, its_grads, carried = loss_and_grads(unmarked, *document, carried)
            share = (stop - start) / (T * N)
            total += one * share
            summed += its_grads * share
        ends.append(carried)

    rounding = 1e-12 if dtype is np.float64 else 2e-5
    assert loss == pytest.approx(total, rel=rounding)
    np.testing.assert_allclose(grads, summed, atol=rounding)
    for found, *expected in zip(parts(after), *map(parts, ends), strict=True):
        np.testing.assert_allclose(found, np.concatenate(expected), atol=rounding)


@needs_numba
@every_cell
@one_and_two_layers
def test_compiled_loops_reset_as_numpy_does(kind, layers):
    found, expected = (
        loss_and_grads(model, *batch(model))
        for kernels in ("numba", "numpy")
        for model in [random_model(kind, layers, dtype=np.float32, kernels=kernels)]
    )
    assert found[0] == pytest.approx(expected[0], rel=1e-5)
    np.testing.assert_allclose(found[1], expected[1], atol=1e-5)
    for a, b in zip(parts(found[2]), parts(expected[2]), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


@every_cell
@pytest.mark.parametrize("kernels", PLAIN_AND_COMPILED)
def test_a_window_without_starts_is_computed_as_if_there_was_no_end_mark(kind, kernels):
    marked, unmarked = (
        random_model(kind, end=end, dtype=np.float32, kernels=kernels)
        for end in (END, -1)
    )
    inputs, targets, state = batch(marked)
    workspace = marked.workspace(T, N)
    marked.loss_and_grads(inputs, targets, state, workspace)  # must leave no trace
    inputs = np.minimum(inputs, END - 1)
    loss, grads, _ = marked.loss_and_grads(inputs, targets, state, workspace)
    expected = loss_and_grads(unmarked, inputs, targets, state)
    assert loss == expected[0]
    np.testing.assert_array_equal(grads.flat, expected[1])


@every_cell
@pytest.mark.parametrize("kernels", PLAIN_AND_COMPILED)
def test_two_workers_reset_as_one_does(kind, kernels):
    dtype = np.float32 if kernels == "numba" else np.float64
    model = random_model(kind, dtype=dtype, kernels=kernels)
    inputs, targets, state = batch(model)
    loss, grads, after = loss_and_grads(model, inputs, targets, state)
    workers = Workers(model, T, N, Layout(2))
    found_loss, found_grads, found_after = workers.loss_and_grads(
        inputs, targets, state
    )
    workers.close()
    rounding = 1e-12 if dtype is np.float64 else 1e-5
    assert found_loss == pytest.approx(loss, rel=rounding)
    np.testing.assert_allclose(found_grads.flat, grads, atol=rounding)
    for found, expected in zip(parts(found_after), parts(after), strict=True):
        np.testing.assert_allclose(found, expected, atol=rounding)


@every_cell
@pytest.mark.parametrize("streams", [1, 4])
def test_every_document_is_scored_as_if_it_was_alone(kind, streams):
    model, unmarked = random_model(kind), random_model(kind, end=-1)
    rng = np.random.default_rng(3)
    documents = [rng.integers(0, END, length) for length in rng.integers(0, 90, 60)]
    ids = [END, *(i for document in documents for i in [*document, END])]
    alone = [
        losses(unmarked, np.array([END, *document, END], np.uint8), streams=1)
        for document in documents
    ]
    found = losses(model, np.array(ids, np.uint8), streams=streams)
    np.testing.assert_allclose(found, np.concatenate(alone), rtol=1e-9)


@every_cell
@pytest.mark.parametrize("kernels", PLAIN_AND_COMPILED)
def test_what_is_written_after_an_end_mark_depends_on_nothing_before_it(kind, kernels):
    model = random_model(kind, dtype=np.float32)
    config = SampleConfig(length=20, seed=1, kernels=kernels)

    def read_and_written(prime):
        ids = ids_of(prime)[:, 0]
        written = np.stack([*sample(model, ids, config, texts=[0, 1])])
        return read_prime(model, ids)[0], written

    expected = read_and_written("-3")
    for longer in ("012-3", "4" * 70 + "--3"):
        for found, wanted in zip(read_and_written(longer), expected, strict=True):
            np.testing.assert_array_equal(found, wanted)
    assert not np.allclose(read_prime(model, ids_of("0123")[:, 0])[0], expected[0])
