"""Every cell against numeric gradients, a naive twin gate by gate, and its contract."""

from dataclasses import dataclass

import numpy as np
import pytest

from charrnn.config import CELLS
from charrnn.errors import ShapeError
from charrnn.nn.cell import make_cell
from charrnn.nn.gradcheck import numeric_gradient, relative_error
from charrnn.nn.init import glorot_uniform, orthogonal
from charrnn.nn.parameters import Parameters
from charrnn.nn.projection import Projection

T, N, D, H = 2, 3, 4, 5
TOLERANCE = 1e-6
EXACT = {"rtol": 1e-12, "atol": 1e-12}

every_cell = pytest.mark.parametrize("kind", CELLS)


@dataclass
class Case:
    """A cell with random parameters, inputs, state, and gradient from above."""

    cell: object
    params: Parameters
    inputs: np.ndarray
    state: tuple
    dh: np.ndarray

    def workspace(self, longest=None):
        T, N = self.inputs.shape[:2]
        D, H = len(self.params["Wx"]), len(self.params["Wh"])
        return self.cell.workspace(longest or T, N, D, H, self.params.flat.dtype)

    def run(self, workspace=None):
        """Go forward and back; return all results by name, copied."""
        workspace = workspace or self.workspace()
        grads = self.params.zeros_like()
        grads.flat.fill(np.nan)  # a gradient that is added to, not written, stays so
        h, state = self.cell.forward(self.params, self.inputs, self.state, workspace)
        results = {"h": h.copy()}
        results |= {f"state {i}": part.copy() for i, part in enumerate(state)}
        dinputs, dstate = self.cell.backward(self.params, self.dh, workspace, grads)
        results |= {f"d{name}": gradient for name, gradient in grads.items()}
        results |= {f"dstate {i}": part.copy() for i, part in enumerate(dstate)}
        if dinputs is not None:
            results["dinputs"] = dinputs.copy()
        return results

    def numeric(self, x):
        """Return the numeric gradient of sum(h * dh) in x, a part of this case."""
        workspace = self.workspace()

        def loss():
            h, _ = self.cell.forward(self.params, self.inputs, self.state, workspace)
            return float((h * self.dh).sum())

        return numeric_gradient(loss, x)


def make_case(kind, T=T, N=N, D=D, H=H, *, ids=False, dtype=np.float64, seed=0):
    rng = np.random.default_rng(seed)
    cell = make_cell(kind)
    params = Parameters(cell.shapes(D, H), dtype)
    params.flat[:] = rng.normal(0, 0.7, params.flat.shape)
    state = tuple(
        rng.normal(0, 0.7, part.shape).astype(dtype)
        for part in cell.zero_state(N, H, dtype)
    )
    dh = rng.normal(size=(T, N, H)).astype(dtype)
    inputs = rng.normal(size=(T, N, D)).astype(dtype)
    if ids:
        inputs = rng.integers(0, D, (T, N)).astype(np.uint16)
    return Case(cell, params, inputs, state, dh)


def as_one_hot(case):
    rows = np.eye(len(case.params["Wx"]), dtype=case.params.flat.dtype)[case.inputs]
    return Case(case.cell, case.params, rows, case.state, case.dh)


def assert_equal_results(found, expected, **tolerance):
    assert set(found) == set(expected)
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, **tolerance, err_msg=name)


# --- Numeric gradients

sizes = pytest.mark.parametrize(
    ("T", "N", "D", "H"), [(2, 3, 4, 5), (5, 2, 3, 4), (1, 3, 2, 4), (4, 1, 3, 2)]
)


@every_cell
@sizes
@pytest.mark.parametrize("ids", [False, True], ids=["floats", "ids"])
def test_gradients_of_parameters_are_the_numeric_ones(kind, T, N, D, H, ids):
    case = make_case(kind, T, N, D, H, ids=ids)
    results = case.run()
    for name, values in case.params.items():
        error = relative_error(results[f"d{name}"], case.numeric(values))
        assert error < TOLERANCE, name


@every_cell
@sizes
def test_gradient_of_float_inputs_is_the_numeric_one(kind, T, N, D, H):
    case = make_case(kind, T, N, D, H)
    error = relative_error(case.run()["dinputs"], case.numeric(case.inputs))
    assert error < TOLERANCE


@every_cell
@sizes
def test_gradient_of_each_state_part_is_the_numeric_one(kind, T, N, D, H):
    case = make_case(kind, T, N, D, H)
    results = case.run()
    for i, part in enumerate(case.state):
        error = relative_error(results[f"dstate {i}"], case.numeric(part))
        assert error < TOLERANCE, f"state part {i}"


# --- The published equations, one stream, one step and one gate at a time


def naive_sigmoid(a):
    return 1 / (1 + np.exp(-a))


def gates(params, G, x, h):
    """Return what input and state add to each of G gates, kept apart: G pairs."""
    H = len(h)
    columns = [slice(g * H, (g + 1) * H) for g in range(G)]
    return [
        (x @ params["Wx"][:, part] + params["b"][part], h @ params["Wh"][:, part])
        for part in columns
    ]


def naive_rnn_step(params, x, h):
    ((from_x, from_h),) = gates(params, 1, x, h)
    return (np.tanh(from_x + from_h),)


def naive_gru_step(params, x, h):
    (r_x, r_h), (z_x, z_h), (n_x, n_h) = gates(params, 3, x, h)
    r = naive_sigmoid(r_x + r_h)
    z = naive_sigmoid(z_x + z_h)
    n = np.tanh(n_x + r * (n_h + params["c"]))
    return ((1 - z) * n + z * h,)


def naive_lstm_step(params, x, h, c):
    i, f, o, g = (from_x + from_h for from_x, from_h in gates(params, 4, x, h))
    c = naive_sigmoid(f) * c + naive_sigmoid(i) * np.tanh(g)
    return naive_sigmoid(o) * np.tanh(c), c


def scaled_first(step):
    """Return the step of a multiplicative cell: Wh reads the state times 1 + x Q."""

    def scaled_step(params, x, *state):
        s = 1 + x @ params["Q"]
        # h * s times Wh is h times Wh with its rows scaled.
        return step(dict(params) | {"Wh": params["Wh"] * s[:, None]}, x, *state)

    return scaled_step


NAIVE_STEPS = {"rnn": naive_rnn_step, "gru": naive_gru_step, "lstm": naive_lstm_step}
NAIVE_STEPS |= {f"m{kind}": scaled_first(step) for kind, step in NAIVE_STEPS.items()}


@every_cell
def test_forward_equals_the_equations_gate_by_gate(kind):
    case = make_case(kind, T=6)
    results = case.run()
    for n in range(N):
        state = tuple(part[n] for part in case.state)
        for t in range(6):
            state = NAIVE_STEPS[kind](case.params, case.inputs[t, n], *state)
            np.testing.assert_allclose(results["h"][t, n], state[0], **EXACT)
        for i, part in enumerate(state):
            np.testing.assert_allclose(results[f"state {i}"][n], part, **EXACT)


@every_cell
@pytest.mark.parametrize("alone", [False, True], ids=["texts", "one text"])
def test_steps_of_generation_equal_the_forward_pass(kind, alone):
    case = make_case(kind, T=6)
    results, params = case.run(), case.params
    select = 1 if alone else slice(None)  # a text alone is vectors
    state = tuple(part[select].copy() for part in case.state)
    before = [part.copy() for part in state]
    step = case.cell.stepper(params, 1 if alone else N)
    for t in range(6):
        x = case.inputs[t, select]
        s = 1 + x @ params["Q"] if "Q" in params else None
        a = x @ params["Wx"] + params["b"]
        a = np.array(np.split(a, len(params["b"]) // H, axis=-1))
        later = step(a, state, s)
        for part, kept in zip(state, before, strict=True):
            np.testing.assert_array_equal(part, kept)  # the old state is left alone
        state, before = later, [part.copy() for part in later]
        np.testing.assert_allclose(state[0], results["h"][t, select], **EXACT)
    for i, part in enumerate(state):
        np.testing.assert_allclose(part, results[f"state {i}"][select], **EXACT)


# --- Ids stand for one-hot rows


@every_cell
@pytest.mark.parametrize("vocab", [4, 256, 257, 300])
def test_ids_equal_one_hot_rows_forward_and_back(kind, vocab):
    case = make_case(kind, T=7, N=9, D=vocab, ids=True)
    expected = as_one_hot(case).run()
    del expected["dinputs"]
    assert_equal_results(case.run(), expected, **EXACT)


@pytest.mark.parametrize("vocab", [2, 255, 256, 257, 1000])
@pytest.mark.parametrize("drawn_from", [1, 2, 1000])
def test_sums_of_rows_by_id_equal_the_dense_product(vocab, drawn_from):
    rng = np.random.default_rng(vocab)
    T, N, columns = 5, 8, 3
    ids = rng.integers(0, min(vocab, drawn_from), (T, N)).astype(np.uint16)
    da = rng.normal(size=(T, N, columns))
    W, b = rng.normal(size=(vocab, columns)), rng.normal(size=columns)
    dW, db = np.full_like(W, np.nan), np.full_like(b, np.nan)
    projection = Projection(T, N, vocab, np.float64)
    projection.forward(ids, W, b, out=np.empty_like(da))
    assert projection.backward(W, da, dW, db) is None
    rows = np.eye(vocab)[ids.reshape(-1)]
    dense = rows.T @ da.reshape(-1, columns)
    np.testing.assert_allclose(dW, dense, **EXACT)
    np.testing.assert_allclose(db, da.sum(axis=(0, 1)), **EXACT)


@every_cell
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32])
def test_every_unsigned_type_of_ids_gives_the_same_answer(kind, dtype):
    case = make_case(kind, ids=True)
    expected = case.run()
    case.inputs = case.inputs.astype(dtype)
    assert_equal_results(case.run(), expected, rtol=0)


# --- State and windows


@every_cell
@pytest.mark.parametrize("chunks", [[3, 4], [1] * 7, [5, 2]])
def test_chunks_with_carried_state_equal_one_long_pass(kind, chunks):
    case = make_case(kind, T=sum(chunks))
    whole = case.run()
    workspace, state, start, pieces = case.workspace(max(chunks)), case.state, 0, []
    for length in chunks:
        inputs = case.inputs[start : start + length]
        h, state = case.cell.forward(case.params, inputs, state, workspace)
        pieces.append(h.copy())
        start += length
    np.testing.assert_allclose(np.concatenate(pieces), whole["h"], **EXACT)
    for i, part in enumerate(state):
        np.testing.assert_allclose(part, whole[f"state {i}"], **EXACT)


@every_cell
def test_streams_do_not_see_each_other(kind):
    case = make_case(kind, T=4)
    together = case.run()
    for n in range(N):
        alone = Case(
            case.cell,
            case.params,
            case.inputs[:, n : n + 1],
            tuple(part[n : n + 1] for part in case.state),
            case.dh[:, n : n + 1],
        ).run()
        for name in ("h", "dinputs"):
            np.testing.assert_allclose(alone[name][:, 0], together[name][:, n], **EXACT)


@every_cell
@pytest.mark.parametrize("ids", [False, True], ids=["floats", "ids"])
def test_window_shorter_than_the_workspace_gives_the_same_answer(kind, ids):
    case = make_case(kind, ids=ids)
    assert_equal_results(case.run(case.workspace(longest=T + 5)), case.run(), **EXACT)


@every_cell
@pytest.mark.parametrize("ids", [False, True], ids=["floats", "ids"])
def test_answer_does_not_depend_on_what_the_workspace_held(kind, ids):
    case = make_case(kind, ids=ids)
    expected = case.run()
    workspace = case.workspace(longest=6)
    make_case(kind, T=6, ids=ids, seed=1).run(workspace)
    for _ in range(2):
        assert_equal_results(case.run(workspace), expected, **EXACT)


@every_cell
def test_backward_uses_up_what_forward_left(kind):
    case = make_case(kind)
    workspace, grads = case.workspace(), case.params.zeros_like()
    with pytest.raises(ShapeError, match="forward left 0"):
        case.cell.backward(case.params, case.dh, workspace, grads)
    case.run(workspace)
    with pytest.raises(ShapeError, match="a forward pass before each backward pass"):
        case.cell.backward(case.params, case.dh, workspace, grads)


@every_cell
def test_returned_state_is_a_copy_that_later_passes_leave_alone(kind):
    case = make_case(kind)
    workspace = case.workspace()
    _, state = case.cell.forward(case.params, case.inputs, case.state, workspace)
    before = [part.copy() for part in state]
    other = make_case(kind, seed=1)
    other.run(workspace)
    for part, kept in zip(state, before, strict=True):
        np.testing.assert_array_equal(part, kept)


@every_cell
def test_first_part_of_the_state_is_the_last_output(kind):
    results = make_case(kind, T=4).run()
    np.testing.assert_array_equal(results["state 0"], results["h"][-1])


@every_cell
@pytest.mark.parametrize("ids", [False, True], ids=["floats", "ids"])
def test_inputs_parameters_state_and_dh_are_left_as_they_were(kind, ids):
    case = make_case(kind, ids=ids)
    arrays = [case.inputs, case.params.flat, case.dh, *case.state]
    before = [array.copy() for array in arrays]
    case.run()
    for array, kept in zip(arrays, before, strict=True):
        np.testing.assert_array_equal(array, kept)


# --- Precision


@every_cell
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("ids", [False, True], ids=["floats", "ids"])
def test_what_comes_out_has_the_precision_of_what_went_in(kind, dtype, ids):
    results = make_case(kind, dtype=dtype, ids=ids).run()
    assert {name: values.dtype for name, values in results.items()} == dict.fromkeys(
        results, np.dtype(dtype)
    )


@every_cell
def test_single_precision_is_close_to_double(kind):
    exact = make_case(kind, T=6).run()
    assert_equal_results(
        make_case(kind, T=6, dtype=np.float32).run(), exact, rtol=1e-4, atol=1e-5
    )


@every_cell
def test_steep_preactivations_neither_overflow_nor_warn(kind):
    case = make_case(kind, dtype=np.float32)
    case.params.flat *= 1e4
    assert all(np.isfinite(values).all() for values in case.run().values())


# --- Shapes and starting values


@every_cell
def test_zero_state_is_zero_and_its_parts_are_separate(kind):
    state = make_cell(kind).zero_state(N, H, np.float32)
    assert [part.shape for part in state] == [(N, H)] * len(state)
    assert all(part.dtype == np.float32 and not part.any() for part in state)
    assert len({id(part) for part in state}) == len(state)


@pytest.mark.parametrize(
    ("kind", "shapes"),
    [
        ("rnn", {"Wx": (D, H), "Wh": (H, H), "b": (H,)}),
        ("gru", {"Wx": (D, 3 * H), "Wh": (H, 3 * H), "b": (3 * H,), "c": (H,)}),
        ("lstm", {"Wx": (D, 4 * H), "Wh": (H, 4 * H), "b": (4 * H,)}),
        ("mrnn", {"Wx": (D, H), "Wh": (H, H), "b": (H,), "Q": (D, H)}),
    ],
)
def test_shapes_are_those_of_the_checkpoint_schema(kind, shapes):
    assert make_cell(kind).shapes(D, H) == shapes


def started(kind, D=D, H=H, *, seed=0, dtype=np.float64):
    params = Parameters(make_cell(kind).shapes(D, H), dtype)
    params.flat.fill(np.nan)
    make_cell(kind).init(params, rng=np.random.default_rng(seed))
    return params


def blocks(W, H):
    return np.split(W, W.shape[1] // H, axis=1)


@every_cell
def test_recurrent_matrix_of_every_gate_starts_orthogonal(kind):
    Q = blocks(started(kind)["Wh"], H)
    for gate in Q:
        np.testing.assert_allclose(gate.T @ gate, np.eye(H), atol=1e-12)
    assert len({gate.tobytes() for gate in Q}) == len(Q)


@every_cell
def test_input_matrix_of_every_gate_starts_within_glorots_limit(kind):
    large_D, large_H = 40, 50
    limit = np.sqrt(6 / (large_D + large_H))
    for gate in blocks(started(kind, large_D, large_H)["Wx"], large_H):
        assert 0.99 * limit < np.abs(gate).max() <= limit
        assert abs(gate.mean()) < 0.05 * limit


@every_cell
def test_biases_start_at_zero_but_for_an_open_forget_gate(kind):
    expected = np.zeros(started(kind)["b"].shape)
    if kind.endswith("lstm"):
        expected[H : 2 * H] = 1
    for name, values in started(kind).items():
        if name == "b":
            np.testing.assert_array_equal(values, expected)
        elif values.ndim == 1:
            assert not values.any(), name


@pytest.mark.parametrize("kind", ["rnn", "gru", "lstm"])
def test_a_multiplicative_cell_starts_as_the_plain_one(kind):
    plain, cell = started(kind), started(f"m{kind}")
    assert not cell["Q"].any()
    for name, values in plain.items():
        np.testing.assert_array_equal(cell[name], values)
    case = make_case(f"m{kind}", T=6)
    case.params["Q"].fill(0)
    found = case.run()
    own = Parameters(make_cell(kind).shapes(D, H), np.float64)
    for name, values in own.items():
        values[:] = case.params[name]
    expected = Case(make_cell(kind), own, case.inputs, case.state, case.dh).run()
    assert_equal_results({name: found[name] for name in expected}, expected, **EXACT)


@every_cell
def test_same_seed_starts_the_same_and_another_does_not(kind):
    first, again, other = started(kind), started(kind), started(kind, seed=1)
    np.testing.assert_array_equal(first.flat, again.flat)
    for name in ("Wx", "Wh"):
        assert not np.any(first[name] == other[name])


@every_cell
def test_same_seed_starts_the_same_network_in_every_precision(kind):
    double, single = started(kind), started(kind, dtype=np.float32)
    np.testing.assert_array_equal(single.flat, double.flat.astype(np.float32))


def test_orthogonal_draws_have_no_preferred_sign():
    W, rng = np.empty((3, 3)), np.random.default_rng(0)
    total = np.zeros((3, 3))
    for _ in range(2000):
        orthogonal(W, rng=rng)
        total += W
    # Entries have variance 1/3; five standard errors of the mean.
    assert np.abs(total / 2000).max() < 5 * np.sqrt(1 / 3 / 2000)


def test_uniform_draws_stay_within_their_limit():
    W = np.empty((20, 30))
    glorot_uniform(W, rng=np.random.default_rng(0))
    assert 0.98 * np.sqrt(6 / 50) < np.abs(W).max() <= np.sqrt(6 / 50)
