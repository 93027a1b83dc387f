"""Speed of training steps: charrnn, PyTorch, JAX and the matrix products alone.

    python benchmarks/train_step.py                 every cell and size
    python benchmarks/train_step.py --cell rnn --batch 32 --output results.md

Each contender does the same work: one-hot input, one or two layers, softmax over 65
characters, mean cross-entropy, global-norm clipping and Adam. The state is carried from
step to step. All start from the same weights, and must have the same losses in the
first three steps. They take turns in one process; the table shows medians over the
rounds. PyTorch, JAX and Numba (for the kernels) take part if they are installed. "vs.
best" is the ratio to the faster of PyTorch and JAX.

"Products only" are the matrix products of the step alone, by NumPy's BLAS.
"""

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from machine import CELLS, machine

from charrnn.config import ModelConfig, TrainConfig
from charrnn.machine import available_cores
from charrnn.nn import kernels
from charrnn.nn.model import Model
from charrnn.nn.workers import Layout, Workers, blas_threads
from charrnn.storage.torch_weights import to_torch
from charrnn.training.update import Update

try:
    import torch
except ImportError:
    torch = None
try:
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    import jax
    import jax.numpy as jnp
except ImportError:
    jax = None

V, T = 65, 64
LR, CLIP = 2e-3, 1.0
BETAS, EPSILON = (0.9, 0.99), 1e-8

Step = Callable[[], float]  # makes one update and returns the loss before it


def new_model(config: ModelConfig) -> Model:
    model = Model(config)
    model.init(rng=np.random.default_rng(0))
    return model


def window(N: int) -> tuple[np.ndarray, np.ndarray]:
    ids = np.random.default_rng(1).integers(0, V, (T + 1, N)).astype(np.uint8)
    return ids[:-1], ids[1:]


def charrnn_step(config: ModelConfig, N: int, layout: Layout, kernels: str) -> Step:
    model = Model(config, kernels=kernels)
    model.init(rng=np.random.default_rng(0))
    inputs, targets = window(N)
    train = TrainConfig(lr=LR, clip=CLIP)
    update = Update(model, train, Workers(model, T, N, layout))
    state, rng, t = model.zero_state(N), np.random.default_rng(0), 0

    def step() -> float:
        nonlocal state, t
        loss, grads, _, state = update.gradient(inputs, targets, state, rng=rng)
        t += 1
        update.apply(grads, LR, t)
        return loss

    return step


def torch_step(config: ModelConfig, N: int, threads: int) -> Step:
    kind = {"rnn": torch.nn.RNN, "gru": torch.nn.GRU, "lstm": torch.nn.LSTM}

    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = kind[config.cell](V, config.hidden, config.layers)
            self.output = torch.nn.Linear(config.hidden, V)

        def forward(self, x: Any, state: Any) -> Any:
            h, state = self.rnn(x, state)
            return self.output(h), state

    net = Net()
    weights = to_torch(new_model(config))
    net.load_state_dict({k: torch.from_numpy(v.copy()) for k, v in weights.items()})
    # PyTorch has every bias twice, which would double its rate: only one is trained.
    for name, parameter in net.named_parameters():
        if "bias_hh" in name:
            trained = torch.zeros_like(parameter)
            if config.cell == "gru":  # except that of n, inside the reset
                trained[-config.hidden :] = 1
            parameter.register_hook(lambda grad, trained=trained: grad * trained)
    optimizer = torch.optim.Adam(net.parameters(), LR, BETAS, EPSILON)
    ids, targets = (torch.from_numpy(a.astype(np.int64)) for a in window(N))
    state = None

    def step() -> float:
        nonlocal state
        torch.set_num_threads(threads)
        x = torch.nn.functional.one_hot(ids, V).float()
        logits, after = net(x, state)
        state = (
            tuple(s.detach() for s in after)
            if config.cell == "lstm"
            else after.detach()
        )
        loss = torch.nn.functional.cross_entropy(
            logits.reshape(-1, V), targets.reshape(-1)
        )
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), CLIP)
        optimizer.step()
        return float(loss.detach())

    return step


def jax_step(config: ModelConfig, N: int) -> Step:
    model = new_model(config)
    params = {name: jnp.array(a) for name, a in model.params.items()}
    H = config.hidden

    def cell(layer: dict, x: Any, state: Any) -> Any:
        a = x @ layer["Wx"] + layer["b"]
        u = state[0] @ layer["Wh"]
        if config.cell == "rnn":
            return (jnp.tanh(a + u),)
        if config.cell == "gru":
            r, z = jnp.split(jax.nn.sigmoid(a[:, : 2 * H] + u[:, : 2 * H]), 2, axis=1)
            n = jnp.tanh(a[:, 2 * H :] + r * (u[:, 2 * H :] + layer["c"]))
            return ((1 - z) * n + z * state[0],)
        i, f, o = jnp.split(jax.nn.sigmoid((a + u)[:, : 3 * H]), 3, axis=1)
        c = f * state[1] + i * jnp.tanh((a + u)[:, 3 * H :])
        return o * jnp.tanh(c), c

    def loss_of(params: dict, ids: Any, targets: Any, state: Any) -> Any:
        x, after = jax.nn.one_hot(ids, V), []
        for i in range(config.layers):
            start = f"layer{i}."
            layer = {
                k[len(start) :]: v for k, v in params.items() if k.startswith(start)
            }

            def body(s: Any, x_t: Any, layer: dict = layer) -> Any:
                s = cell(layer, x_t, s)
                return s, s[0]

            last, x = jax.lax.scan(body, state[i], x)
            after.append(last)
        logits = x @ params["output.W"] + params["output.b"]
        logp = jax.nn.log_softmax(logits)
        picked = jnp.take_along_axis(logp, targets[..., None], axis=-1)
        return -picked.mean(), after

    @jax.jit
    def update(params: Any, m: Any, v: Any, t: Any, ids: Any, targets: Any, state: Any):
        (loss, state), g = jax.value_and_grad(loss_of, has_aux=True)(
            params, ids, targets, state
        )
        norm = jnp.sqrt(sum((x**2).sum() for x in jax.tree.leaves(g)))
        scale = jnp.minimum(1.0, CLIP / norm)
        g = jax.tree.map(lambda x: x * scale, g)
        m = jax.tree.map(lambda m, g: BETAS[0] * m + (1 - BETAS[0]) * g, m, g)
        v = jax.tree.map(lambda v, g: BETAS[1] * v + (1 - BETAS[1]) * g * g, v, g)
        mc, vc = 1 - BETAS[0] ** t, 1 - BETAS[1] ** t
        params = jax.tree.map(
            lambda p, m, v: p - LR * (m / mc) / (jnp.sqrt(v / vc) + EPSILON),
            params,
            m,
            v,
        )
        return loss, params, m, v, state

    m = jax.tree.map(jnp.zeros_like, params)
    v, t = m, 0
    ids, targets = (jnp.array(a.astype(np.int32)) for a in window(N))
    parts = 2 if config.cell == "lstm" else 1
    state = [tuple(jnp.zeros((N, H)) for _ in range(parts))] * config.layers

    def step() -> float:
        nonlocal params, m, v, t, state
        t += 1
        loss, params, m, v, state = update(params, m, v, float(t), ids, targets, state)
        return float(jax.block_until_ready(loss))

    return step


def products_step(config: ModelConfig, N: int, threads: int) -> Step:
    """Return a step of the matrix products alone, in the same shapes."""
    H = config.hidden
    GH = Model(config).params["layer0.Wh"].shape[1]
    rng = np.random.default_rng(0)

    def array(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape, dtype=np.float32)

    h, a, rows_h, rows_a = array(N, H), array(N, GH), array(T * N, H), array(T * N, GH)
    Wh, WhT, W, dlogits = array(H, GH), array(GH, H), array(H, V), array(T * N, V)
    h_out, a_out = np.empty_like(h), np.empty_like(a)

    def step() -> float:
        with blas_threads(threads):
            for i in range(config.layers):
                if i:  # the layer below: input, its gradient, and that of Wx
                    rows_h @ Wh, rows_a @ WhT, rows_h.T @ rows_a
                for _ in range(T):
                    np.matmul(h, Wh, out=a_out)
                    np.matmul(a, WhT, out=h_out)
                rows_h.T @ rows_a
            rows_h @ W, rows_h.T @ dlogits, dlogits @ W.T
        return 0.0

    return step


def contenders(config: ModelConfig, N: int) -> dict[str, Step]:
    cores = available_cores()
    found: dict[str, Step] = {}
    for layout in dict.fromkeys(
        (Layout(1, 1), Layout(1, cores), Layout(min(cores, N), 1))
    ):
        shown = f"{layout.workers} x {layout.blas_threads}"
        found[f"plain {shown}"] = charrnn_step(config, N, layout, "numpy")
        if kernels.resolve("auto") == "numba":
            found[f"kernels {shown}"] = charrnn_step(config, N, layout, "numba")
    for threads in dict.fromkeys((1, cores)):
        if torch:
            found[f"torch {threads}"] = torch_step(config, N, threads)
    if jax:
        found["jax"] = jax_step(config, N)
    found["products"] = products_step(config, N, cores)
    return found


def check_losses(steps: dict[str, Step]) -> None:
    """Exit if the losses of the contenders differ."""
    losses = {name: [step() for _ in range(3)] for name, step in steps.items()}
    expected = next(iter(losses.values()))
    for name, found in losses.items():
        if name != "products" and not np.allclose(found, expected, atol=1e-4):
            sys.exit(f"{name} has losses {found}; expected {expected}")


def measure(steps: dict[str, Step], rounds: int, seconds: float) -> dict[str, list]:
    """Return the seconds per step, by contender and round."""
    repeats = {}
    for name, step in steps.items():
        start = time.perf_counter()
        step()
        repeats[name] = max(1, round(seconds / (time.perf_counter() - start)))
    found: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            time.sleep(0.25)  # until the threads of the last one stop spinning
            step()  # brings back what the others pushed out of the caches
            start = time.perf_counter()
            for _ in range(repeats[name]):
                step()
            found[name].append((time.perf_counter() - start) / repeats[name])
    return found


def row(config: ModelConfig, N: int, rounds: int, seconds: float) -> str:
    steps = contenders(config, N)
    check_losses(steps)
    speeds = {
        name: T * N / statistics.median(times)
        for name, times in measure(steps, rounds, seconds).items()
    }

    def best(*kinds: str) -> float:
        return max((v for k, v in speeds.items() if k.startswith(kinds)), default=0.0)

    def shown(speed: float) -> str:
        return f"{speed:,.0f}" if speed else "not installed"

    def layout(kind: str) -> str:
        mine = [name for name in speeds if name.startswith(kind)]
        return max(mine, key=speeds.__getitem__).removeprefix(kind).strip()

    cells = [config.cell, f"{config.layers} x {config.hidden}", str(N)]
    cells += [shown(best(kind)) for kind in ("torch", "jax", "products")]
    other = best("torch", "jax")
    for kind in ("plain", "kernels"):
        mine = best(kind)
        cells += [f"{mine:,.0f} ({layout(kind)})" if mine else "not installed"]
        cells += [f"{mine / other:.2f}" if mine and other else ""]
        cells += [f"{mine / best('products'):.0%}" if mine else ""]
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cell", choices=CELLS, action="append")
    parser.add_argument("--hidden", type=int, action="append")
    parser.add_argument("--batch", type=int, action="append")
    parser.add_argument("--layers", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument(
        "--seconds", type=float, default=0.5, help="per contender and round"
    )
    parser.add_argument("--output", type=Path, help="also write the table here")
    args = parser.parse_args()
    lines = [
        f"{machine(PyTorch=torch, JAX=jax)}; "
        f"{args.rounds} rounds of {args.seconds:g} s each, medians; "
        "characters per second (and workers x BLAS threads).",
        "",
        "| cell | layers x units | batch | PyTorch | JAX | products only "
        "| NumPy | vs. best | vs. products | compiled | vs. best | vs. products |",
        "|---" * 12 + "|",
    ]
    print("\n".join(lines), flush=True)
    for cell in args.cell or CELLS:
        for hidden in args.hidden or (128, 256, 512):
            for N in args.batch or (32, 64):
                config = ModelConfig(V, hidden, args.layers, cell)
                lines.append(row(config, N, args.rounds, args.seconds))
                print(lines[-1], flush=True)
    if args.output:
        args.output.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
