"""The compiled steps against the plain ones, and the switch between them."""

import importlib.util

import numpy as np
import pytest
from texts import small_run

from charrnn import kernels
from charrnn.cells import CELLS
from charrnn.config import ModelConfig
from charrnn.errors import ConfigError, MissingExtraError
from charrnn.model import Model
from charrnn.records import Rollback

HAVE_NUMBA = importlib.util.find_spec("numba") is not None
needs_numba = pytest.mark.skipif(
    not HAVE_NUMBA, reason="Numba is not installed (pip install 'charrnn[fast]')"
)
needs_none = pytest.mark.skipif(HAVE_NUMBA, reason="Numba is installed")

T, N, H, V = 7, 5, 24, 11


def passes(kind, name, dtype=np.float32):
    """Return logits and gradients of a two-layer model with the named steps."""
    model = Model(ModelConfig(V, H, 2, kind), dtype)
    rng = np.random.default_rng(4)
    model.params.flat[:] = rng.normal(0, 0.4, model.params.flat.shape)
    model.steps = kernels.steps(name)
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
    np.testing.assert_allclose(compiled[2], plain[2], atol=5e-6 * max(largest, 1))
    for mine, theirs in zip(compiled[3], plain[3], strict=True):
        for a, b in zip(mine, theirs, strict=True):
            np.testing.assert_allclose(a, b, atol=2e-6)
            assert a.dtype == np.float32


@needs_numba
def test_compiled_tanh_is_right_everywhere():
    steps = kernels.steps("numba")
    exponents = np.arange(-40, 40, dtype=np.float32)
    x = np.concatenate([np.linspace(-12, 12, 200_001, dtype=np.float32), 2**exponents])
    x = np.concatenate([x, -x])[None].astype(np.float32)
    found = np.empty_like(x)
    steps.rnn_forward(np.zeros_like(x), x, found)
    true = np.tanh(x.astype(np.float64))
    assert np.abs(found - true).max() < 3e-7
    tiny = np.abs(x) < 1e-3
    np.testing.assert_allclose(found[tiny], true[tiny], rtol=1e-6)


@needs_numba
@pytest.mark.parametrize("kind", CELLS)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_shows_through_compiled_steps(kind, bad):
    model = Model(ModelConfig(V, H, 1, kind))
    model.init(rng=np.random.default_rng(0))
    model.params["layer0.b"][:] = bad
    model.params["layer0.Wh"][:] = bad
    model.steps = kernels.steps("numba")
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
    assert kernels.steps("auto") is kernels.REFERENCE


@needs_none
def test_numba_that_is_missing_says_how_to_get_it():
    with pytest.raises(MissingExtraError, match=r"pip install 'charrnn\[fast\]'"):
        kernels.steps("numba")


def test_an_unknown_name_is_refused():
    with pytest.raises(ConfigError, match="auto, numpy or numba"):
        kernels.resolve("fortran")
