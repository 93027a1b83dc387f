"""A cell that the package does not have needs one class, and everything works with it.

The minimal gated unit (Zhou et al. 2016): one gate f both resets and blends,

    f = sigmoid(a_f + h Wh_f)          n = tanh(a_n + (f * h) Wh_n)
    h' = (1 - f) * h + f * n           with a = x Wx + b, columns f n
"""

import json

import numpy as np
import pytest
from cells import register_cell
from extras import PLAIN_AND_COMPILED
from texts import TINY, sentences

import charrnn
from charrnn.cli import main
from charrnn.config import ModelConfig
from charrnn.nn.cell import Cell
from charrnn.nn.functional import sigmoid
from charrnn.nn.gradcheck import TOLERANCE, check_model
from charrnn.nn.init import glorot_uniform, orthogonal
from charrnn.nn.inputs import Inputs
from charrnn.nn.model import Model


class Workspace:
    def __init__(self, T, N, D, H, dtype):
        self.inputs = Inputs(T, N, D, H, dtype)
        self.h, self.out = np.empty((2, T, N, H), dtype)  # before and after a step
        self.a = np.empty((T, N, 2 * H), dtype)
        self.f, self.n = np.empty((2, T, N, H), dtype)


class MGU(Cell):
    def shapes(self, D, H):
        return {"Wx": (D, 2 * H), "Wh": (H, 2 * H), "b": (2 * H,)}

    def init(self, params, *, rng):
        H = len(params["Wh"])
        glorot_uniform(params["Wx"], rng=rng)
        for part in (slice(0, H), slice(H, None)):
            orthogonal(params["Wh"][:, part], rng=rng)
        params["b"].fill(0)

    def zero_state(self, N, H, dtype):
        return (np.zeros((N, H), dtype),)

    def workspace(self, T, N, D, H, dtype):
        return Workspace(T, N, D, H, dtype)

    def gates(self, params, a, h):
        H = h.shape[-1]
        f = a[..., :H] + h @ params["Wh"][:, :H]
        sigmoid(f, out=f)
        return f, np.tanh(a[..., H:] + (f * h) @ params["Wh"][:, H:])

    def stepper(self, params, texts):
        def step(a, state, s):
            (h,) = state
            f, n = self.gates(params, np.concatenate([*a], axis=-1), h)
            return ((1 - f) * h + f * n,)

        return step

    def forward(self, params, inputs, state, workspace, starts=None):
        w, T = workspace, len(inputs)
        if starts is None:
            starts = np.zeros(inputs.shape[:2], bool)
        w.carried = ~starts[..., None]
        (after,) = state
        w.inputs.forward(inputs, params, out=w.a[:T])
        for t in range(T):
            w.h[t] = after * w.carried[t]
            w.f[t], w.n[t] = self.gates(params, w.a[t], w.h[t])
            w.out[t] = after = (1 - w.f[t]) * w.h[t] + w.f[t] * w.n[t]
        return w.out[:T], (after.copy(),)

    def backward(self, params, dh, workspace, grads, gates_done=None):
        w, T, H = workspace, workspace.inputs.take_window(dh), dh.shape[-1]
        Wh_f, Wh_n = params["Wh"][:, :H], params["Wh"][:, H:]
        da, dWh = w.a[:T], grads["Wh"]
        dWh.fill(0)
        dh_next = np.zeros_like(dh[0])
        for t in reversed(range(T)):
            h, f, n = w.h[t], w.f[t], w.n[t]
            d = dh[t] + dh_next
            da_n = d * f * (1 - n**2)
            dreset = da_n @ Wh_n.T
            da_f = (d * (n - h) + dreset * h) * f * (1 - f)
            dWh[:, :H] += h.T @ da_f
            dWh[:, H:] += (f * h).T @ da_n
            dh_next = d * (1 - f) + dreset * f + da_f @ Wh_f.T
            dh_next *= w.carried[t]
            da[t, :, :H], da[t, :, H:] = da_f, da_n
        return w.inputs.backward(params, da, grads), (dh_next,)


@pytest.fixture(autouse=True)
def text(monkeypatch, tmp_path):
    register_cell(monkeypatch, "mgu", MGU)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lines.txt").write_text(sentences(), encoding="utf-8")


def test_its_gradients_are_the_numeric_ones():
    rng = np.random.default_rng(0)
    errors = check_model(ModelConfig(5, 4, 2, "mgu", end=4), T=4, N=3, rng=rng)
    assert {"layer0.Wx", "layer1.Wh", "output.b"} < set(errors)
    assert max(errors.values()) < TOLERANCE


@pytest.mark.parametrize("kernels", PLAIN_AND_COMPILED)
def test_it_trains_and_writes_and_what_it_writes_is_what_forward_says(kernels):
    model = charrnn.train(
        "lines.txt",
        **{"cell": "mgu", "hidden": 16, "layers": 2, "batch": 8, "window": 16},
        **{"steps": 150, "threads": 1, "kernels": kernels, "lr": 1e-2},
        **{"dropout": 0.1, "recurrent_dropout": 0.1, "average": 0.9, "patience": 0},
    )
    assert model.evaluate(sentences()).nats < 2.6  # 3.5 is a uniform guess
    text = model.generate("Ann ", length=40, temperature=0, kernels=kernels)
    for end in (4, 20, 43):
        assert text[end] == model.next(text[:end])[0][0]


def test_a_stopped_run_resumes_bit_for_bit():
    whole, part = charrnn_main("whole", 60), charrnn_main("part", 30)
    assert whole["steps"] == 60
    assert part["steps"] == 30
    run("train", "--resume", "--out", "part", "--steps", "60", "--quiet")
    with np.load("whole/last.npz") as a, np.load("part/last.npz") as b:
        assert set(a.files) == set(b.files)
        for name in set(a.files) - {"header"}:
            np.testing.assert_array_equal(a[name], b[name], err_msg=name)


def run(*arguments):
    with pytest.raises(SystemExit) as done:
        main([*arguments], prog_name="charrnn")
    assert done.value.code == 0


def charrnn_main(folder, steps):
    options = [*TINY, "--eval-every", "10", "--schedule", "constant", "--warmup", "0"]
    cell = ["--cell", "mgu", "--steps", str(steps), "--out", folder, "--quiet"]
    run("train", "lines.txt", *options, *cell)
    with np.load(f"{folder}/last.npz") as archive:
        header = json.loads(archive["header"].tobytes())
    assert header["model"]["cell"] == "mgu"
    return header["train"]["plan"]


def test_a_model_of_it_can_be_copied():
    model = Model(ModelConfig(5, 4, 1, "mgu"))
    model.init(rng=np.random.default_rng(0))
    twin = model.copy()
    np.testing.assert_array_equal(twin.params.flat, model.params.flat)
