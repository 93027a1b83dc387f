"""The compiled steps against the plain ones, and the switch between them."""

import os
import re

import numpy as np
import pytest
from extras import HAVE_NUMBA, PLAIN_AND_COMPILED, needs_numba
from texts import TINY, charrnn, sentences, small_run

from charrnn.config import CELLS, ModelConfig, TrainConfig
from charrnn.errors import ConfigError, MissingExtraError
from charrnn.nn import kernels
from charrnn.nn.model import Model
from charrnn.training.events import Rollback
from charrnn.training.optimizers import make_optimizer

needs_none = pytest.mark.skipif(HAVE_NUMBA, reason="Numba is installed")

T, N, H, V = 7, 5, 24, 11


def passes(kind, name, dtype=np.float32):
    """Return logits and gradients of a two-layer model with the named steps."""
    model = Model(ModelConfig(V, H, 2, kind), dtype, name)
    rng = np.random.default_rng(4)
    model.params.flat[:] = rng.normal(0, 0.4, model.params.flat.shape)
    ids = rng.integers(0, V, (T + 1, N)).astype(np.uint8)
    workspace, state = model.workspace(T, N), model.zero_state(N)
    logits, _ = model.forward(ids[:-1], state, workspace)
    logits = logits.copy()
    loss, grads, after = model.loss_and_grads(ids[:-1], ids[1:], state, workspace)
    return loss, logits, grads.flat.copy(), after


@needs_numba
@pytest.mark.parametrize("kind", CELLS)
def test_compiled_steps_agree_to_rounding(kind):
    plain, compiled = passes(kind, "numpy"), passes(kind, "numba")
    assert compiled[0] == pytest.approx(plain[0], rel=1e-6)
    np.testing.assert_allclose(compiled[1], plain[1], rtol=1e-5, atol=5e-6)
    largest = np.abs(plain[2]).max()
    np.testing.assert_allclose(compiled[2], plain[2], atol=1e-5 * max(largest, 1))
    for mine, theirs in zip(compiled[3], plain[3], strict=True):
        for a, b in zip(mine, theirs, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-5)
            assert a.dtype == np.float32


@needs_numba
def test_what_was_compiled_before_a_change_is_dropped(tmp_path):
    from charrnn.nn.compiled.jit import drop_stale

    (tmp_path / "__pycache__").mkdir()
    for name, time in (
        ("gru.py", 10),
        ("product.py", 30),
        ("__pycache__/gru.f-1.py312.nbi", 20),
        ("__pycache__/gru.f-1.py312.1.nbc", 20),
        ("__pycache__/gru.g-1.py312.nbi", 40),
        ("__pycache__/gru.g-1.py312.1.nbc", 40),
        ("__pycache__/gru.g-1.py312.2.nbc", 40),
        ("__pycache__/gru.moved-1.py312.1.nbc", 20),
        ("__pycache__/gru.cpython-312.pyc", 5),
    ):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (time, time))
    drop_stale(tmp_path)
    left = sorted(path.name for path in (tmp_path / "__pycache__").iterdir())
    code = ["gru.g-1.py312.1.nbc", "gru.g-1.py312.2.nbc", "gru.g-1.py312.nbi"]
    assert left == ["gru.cpython-312.pyc", *code]


@needs_numba
def test_compiled_tanh_is_right_everywhere():
    from charrnn.nn.compiled.product import pack, panels
    from charrnn.nn.compiled.rnn import forward_loop
    from charrnn.nn.compiled.scales import arrays_of
    from charrnn.nn.compiled.starts import or_empty

    exponents = np.arange(-40, 40, dtype=np.float32)
    x = np.concatenate([np.linspace(-12, 12, 200_001, dtype=np.float32), 2**exponents])
    x = np.concatenate([x, -x]).astype(np.float32)
    Wh = pack(np.zeros((1, 1), np.float32), panels(1, 1))
    h, u = np.zeros((2, x.size, 1), np.float32), np.empty((x.size, 1), np.float32)
    forward_loop(Wh, h, x.reshape(1, -1, 1), u, or_empty(None), *arrays_of(None, 1))
    found, true = h[1, :, 0], np.tanh(x.astype(np.float64))
    assert np.abs(found - true).max() < 3e-7
    tiny = np.abs(x) < 1e-3
    np.testing.assert_allclose(found[tiny], true[tiny], rtol=1e-6)


SHAPES = [
    (8, 4, 32),
    (1, 1, 1),
    (1, 9, 200),
    (3, 5, 7),
    (16, 64, 96),
    (17, 33, 65),
    (40, 3, 31),
]


@needs_numba
@pytest.mark.parametrize(("M", "K", "N"), SHAPES)
def test_product_of_one_step_is_the_product(M, K, N):
    from charrnn.nn.compiled.product import pack, panels, product

    rng = np.random.default_rng(0)
    A, W = (rng.standard_normal(s, dtype=np.float32) for s in ((M, K), (K, N)))
    C = np.full((M + 2, N + 3), 7, np.float32)  # what lies around it stays
    inner = np.ascontiguousarray(C[1:-1, 1:-2])
    for right in (W, np.asfortranarray(W)):
        product(A, pack(right, panels(K, N)), inner)
        np.testing.assert_allclose(inner, A @ W, atol=1e-5 * K)
    product(A, pack(W, panels(K, N)), C[1:-1, 1:-2])
    np.testing.assert_array_equal(C[1:-1, 1:-2], inner)
    C[1:-1, 1:-2] = 7
    assert (C == 7).all()


# Blocks that are full, several of them, parts of one, and both.
@pytest.mark.parametrize("M", [1, 13, 64, 300])
@pytest.mark.parametrize("K", [1, 70, 1024, 2500])
@pytest.mark.parametrize("N", [1, 31, 128, 300])
@pytest.mark.parametrize("name", PLAIN_AND_COMPILED)
def test_products_of_any_layout(name, M, K, N):
    multiply, rng = kernels.functions(name).multiply, np.random.default_rng(0)
    A = rng.standard_normal((M, K), dtype=np.float32)
    W = rng.standard_normal((K, 2 * N), dtype=np.float32)[:, N:]  # part of a wider one
    out = np.empty((M, N + 1), np.float32)
    results = []
    for left in (A, np.asfortranarray(A)):
        for right in (W, np.asfortranarray(W)):
            out.fill(np.nan)
            multiply(left, right, out[:, :-1])
            assert np.isnan(out[:, -1]).all()
            results.append(out[:, :-1].copy())
    np.testing.assert_allclose(results[0], A @ W, atol=1e-3)
    if name == "numba":  # the same order of sums, whatever the layout
        assert (np.array(results) == results[0]).all()


@needs_numba
@pytest.mark.parametrize(("K", "N"), [(40, 120), (7, 100), (33, 3)])
def test_a_matrix_and_its_transpose_take_turns_in_the_same_memory(K, N):
    from charrnn.nn.compiled.product import pack, product, shared_panels

    rng = np.random.default_rng(0)
    W = rng.standard_normal((K, N), dtype=np.float32)
    panels = shared_panels(K, N)
    assert np.shares_memory(*panels)
    for right, packed in ((W, panels[0]), (W.T, panels[1]), (W, panels[0])):
        A = rng.standard_normal((9, len(right)), dtype=np.float32)
        C = np.empty((9, right.shape[1]), np.float32)
        product(A, pack(right, packed), C)
        np.testing.assert_allclose(C, A @ right, atol=1e-4)


@needs_numba
@pytest.mark.parametrize("width", [4, 8, 16])
@pytest.mark.parametrize(("rows", "panels"), [(1, 1), (4, 1), (8, 1), (1, 4)])
@pytest.mark.parametrize("dtype", [np.float32, np.int16])
def test_tile_of_every_machine_is_a_product(rows, width, panels, dtype):
    import numba

    from charrnn.nn.compiled.product import VECTORS, tile

    part, K = tile(rows, width, panels), 9
    columns = panels * VECTORS * width

    @numba.njit
    def multiply(A, P, C, add):
        row, column = A.strides[0] // 4, A.strides[1] // 4
        a, c, first = A.ctypes.data, C.ctypes.data, panels * K * VECTORS * width
        part(a, row, column, P, first, K, c, columns, add)

    rng = np.random.default_rng(0)
    A = rng.standard_normal((rows, K), dtype=np.float32)
    W = rng.integers(-32768, 32768, (K, columns)).astype(dtype)
    P = np.stack([np.zeros_like(W), W])  # what stands before `first` is not read
    P = np.stack(np.split(P, panels, axis=2), axis=1).reshape(-1, K, VECTORS * width)
    C = np.full((rows, columns), np.nan, np.float32)
    expected = A.astype(float) @ W
    multiply(A, P, C, 0)
    np.testing.assert_allclose(C, expected, atol=0.5)
    multiply(np.asfortranarray(A), P, C, 1)
    np.testing.assert_allclose(C, 2 * expected, atol=0.5)


@needs_numba
def test_products_with_rounded_weights_of_any_number_of_texts():
    import numba

    from charrnn.nn.compiled.product import ROWS
    from charrnn.nn.compiled.rounding import multiply_rounded, pack_rounded
    from charrnn.nn.rounding import rounded

    @numba.njit
    def multiply(A, W, i, out):
        multiply_rounded(A, W, i, out)

    rng = np.random.default_rng(0)
    matrices = rng.standard_normal((2, 60, 45), dtype=np.float32)
    matrices *= 10.0 ** rng.integers(-20, 30, (2, 1, 45))
    few, many = (pack_rounded([*matrices], n) for n in (ROWS - 1, ROWS))
    assert (few.panels.dtype, many.panels.dtype) == (np.int16, np.float32)
    eye, found = np.eye(60, dtype=np.float32), np.empty((60, 45), np.float32)
    for i, W in enumerate(matrices):
        multiply(eye, few, i, found)
        np.testing.assert_array_equal(found, rounded(W))
        A = rng.standard_normal((11, 60), dtype=np.float32)
        products = np.empty((3, 11, 45), np.float32)
        multiply(A, few, i, products[0])
        multiply(A, many, i, products[1])
        for one, row in zip(A, products[2], strict=True):
            multiply(one[None], few, i, row[None])
        assert (products == products[0]).all()
        exact = A.astype(float) @ found
        np.testing.assert_allclose(products[0] - exact, 0, atol=np.abs(W).max() * 1e-4)


@needs_numba
def test_no_matrices_can_be_rounded():
    from charrnn.nn.compiled.rounding import pack_rounded

    assert pack_rounded([], 1).panels.size == pack_rounded([], 100).scales.size == 0


@needs_numba
def test_compiled_steps_refuse_what_is_not_float32():
    with pytest.raises(ConfigError, match="dtype is float64; expected float32"):
        passes("gru", "numba", np.float64)


@needs_numba
@pytest.mark.parametrize("scale", [0.1, 1, 10, 300])
def test_compiled_cross_entropy_is_the_plain_one(scale):
    rng = np.random.default_rng(2)
    logits = (scale * rng.standard_normal((50, V))).astype(np.float32)
    targets = rng.integers(0, V, 50).astype(np.uint8)
    true_loss, true = kernels.NUMPY.cross_entropy_(logits.astype(float), targets)
    loss, found = kernels.functions("numba").cross_entropy_(logits, targets)
    assert loss == pytest.approx(true_loss, rel=1e-6)
    np.testing.assert_allclose(found, true, atol=1e-8)
    assert found is logits


@needs_numba
def test_compiled_cross_entropy_shows_what_is_not_finite():
    cross_entropy_ = kernels.functions("numba").cross_entropy_
    for bad in (np.nan, np.inf):
        logits = np.zeros((3, V), np.float32)
        logits[1, 2] = bad
        loss, _ = cross_entropy_(logits, np.zeros(3, np.uint8))
        assert not np.isfinite(loss)


@pytest.mark.parametrize("vocab", [V, 300])
@pytest.mark.parametrize("name", PLAIN_AND_COMPILED)
def test_rows_are_added_up_by_id(name, vocab):
    rng = np.random.default_rng(3)
    ids = rng.integers(0, vocab, 70).astype(np.uint16)
    rows = rng.standard_normal((70, 6), dtype=np.float32)
    out = np.full((vocab, 6), 9, np.float32)
    kernels.functions(name).sum_rows(ids, rows, out)
    for i in range(vocab):
        expected = rows[ids == i].sum(axis=0)
        np.testing.assert_allclose(out[i], expected, atol=1e-5)


@needs_numba
@pytest.mark.parametrize("optimizer", ["adam", "adamw"])
def test_compiled_update_is_the_plain_one(optimizer):
    ends = []
    for name in ("numpy", "numba"):
        model = Model(ModelConfig(V, H))
        model.init(rng=np.random.default_rng(0))
        config = TrainConfig(optimizer=optimizer)
        update = make_optimizer(model.params, config, kernels.functions(name)).update
        rng = np.random.default_rng(1)
        for t in range(1, 20):
            g = rng.standard_normal(model.params.flat.size, dtype=np.float32) ** 3
            update(model.params.flat, g, 0.01, t)
        ends.append(model.params.flat)
    np.testing.assert_allclose(*ends, atol=1e-6)


@needs_numba
@pytest.mark.parametrize("kind", CELLS)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_shows_through_compiled_steps(kind, bad):
    model = Model(ModelConfig(V, H, 1, kind), kernels="numba")
    model.init(rng=np.random.default_rng(0))
    model.params["layer0.b"][:] = bad
    model.params["layer0.Wh"][:] = bad
    ids = np.zeros((T, N), np.uint8)
    with np.errstate(invalid="ignore", over="ignore"):
        logits, _ = model.forward(ids, model.zero_state(N), model.workspace(T, N))
    assert not np.isfinite(logits).all()


@needs_numba
@pytest.mark.parametrize("kind", CELLS)
def test_a_run_with_compiled_steps_learns_the_same(kind):
    shape = {"cell": kind}
    losses = []
    for name in ("numpy", "numba"):
        run = small_run(shape=shape, steps=40, eval_every=40, kernels=name)
        assert run.plan.kernels == name
        for _ in run.trainer.run():
            pass
        losses.append(run.trainer.progress.best_loss)
    assert losses[1] == pytest.approx(losses[0], abs=1e-3)


@needs_numba
@pytest.mark.parametrize("kind", CELLS)
def test_a_run_with_compiled_steps_resumes_bit_for_bit(kind):
    dropout = {"dropout": 0.2, "recurrent_dropout": 0.1, "average": 0.9}
    settings = {"shape": {"cell": kind, "layers": 2}, "kernels": "numba"} | dropout
    whole, run, second = (small_run(**settings) for _ in range(3))
    for _ in whole.trainer.run():
        pass
    for _ in run.trainer.run():
        if run.trainer.progress.step == 17:
            run.trainer.stop()
    second.trainer.restore(run.trainer.snapshot())
    for _ in second.trainer.run():
        pass
    for trainer in (second.trainer, whole.trainer):
        assert trainer.progress.step == 40
    mine, theirs = second.trainer.snapshot(), whole.trainer.snapshot()
    np.testing.assert_array_equal(mine.params, theirs.params)
    for name, moment in theirs.moments.items():
        np.testing.assert_array_equal(mine.moments[name], moment)


# A Numba that is there and does not load, as one older than the NumPy beside it.
_BROKEN = "raise ImportError('Numba needs NumPy 2.2 or less. Got NumPy 2.4.')\n"


def test_a_numba_that_does_not_work_is_done_without_and_said(tmp_path):
    (tmp_path / "numba").mkdir()
    (tmp_path / "numba" / "__init__.py").write_text(_BROKEN)
    (tmp_path / "lines.txt").write_text(sentences(), encoding="utf-8")
    tiny = [option for option in TINY if option not in ("--kernels", "numpy")]
    options = ("lines.txt", *tiny, "--steps", 5)
    fake = str(tmp_path)
    done = charrnn("train", *options, cwd=tmp_path, PYTHONPATH=fake)
    assert done.returncode == 0, done.stderr
    assert (
        "Numba is installed but does not work (Numba needs NumPy 2.2 or less. Got "
        "NumPy 2.4.); using NumPy\n"
    ) in done.stderr
    asked = (*options, "--kernels", "numba")
    done = charrnn("train", *asked, cwd=tmp_path, PYTHONPATH=fake)
    assert done.returncode == 1
    assert re.search(
        r"\nError: Numba is installed but does not work \(.*\); choose .*\n$",
        done.stderr,
    )


@needs_numba
def test_a_run_with_compiled_steps_that_explodes_goes_back():
    settings = {"optimizer": "sgd", "lr": 1e3, "clip": 0.0, "warmup": 0}
    run = small_run(steps=40, eval_every=5, kernels="numba", **settings)
    record = next(r for r in run.trainer.run() if isinstance(r, Rollback))
    assert not record.loss < 10


@needs_numba
def test_auto_is_numba_where_it_is():
    assert kernels.resolve("auto") == "numba"


@needs_none
def test_auto_is_numpy_where_numba_is_not():
    assert kernels.resolve("auto") == "numpy"


@needs_none
def test_numba_that_is_missing_says_how_to_get_it():
    with pytest.raises(MissingExtraError, match=r'pip install "charrnn\[fast\]"'):
        kernels.resolve("numba")


def test_an_unknown_name_is_refused():
    with pytest.raises(ConfigError, match="auto, numpy or numba"):
        kernels.resolve("fortran")
