"""The naive network of examples/from_scratch.ipynb, under charrnn's names and shapes.

The functions are the notebook's own: the cells tagged `naive` are executed here. The
code below only translates names (W_xh to layer0.Wx) and one text to N streams.
"""

import json
import linecache
from pathlib import Path
from types import SimpleNamespace

import numpy as np

ROOT = next(p for p in Path(__file__).parents if (p / "pyproject.toml").is_file())
NOTEBOOK = ROOT / "examples" / "from_scratch.ipynb"
NAMES = {
    "W_xh": "layer0.Wx",
    "W_hh": "layer0.Wh",
    "b_h": "layer0.b",
    "W_hy": "output.W",
    "b_y": "output.b",
}


def load_naive(path=NOTEBOOK):
    """Return what the notebook's cells tagged `naive` define."""
    namespace = {}
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        if "naive" in cell["metadata"].get("tags", []):
            source, name = "".join(cell["source"]), f"{path}, cell {cell['id']}"
            # So that a traceback shows the line, which is in no Python file.
            linecache.cache[name] = len(source), None, source.splitlines(True), name
            exec(compile(source, name, "exec"), namespace)
    return SimpleNamespace(**namespace)


naive = load_naive()


def translated(params):
    """Return the same arrays under the notebook's names."""
    return {ours: params[theirs] for ours, theirs in NAMES.items()}


def step_forward(params, character, h):
    """Read one character from the state h (H,); return the new one, and p (V,)."""
    x = naive.one_hot(character, len(params["output.b"]))
    return naive.step_forward(translated(params), x, h)


def loss_and_grads(params, inputs, targets, h):
    """Process one window (T,) of one text; return loss, gradients and last state."""
    loss, grads, h = naive.loss_and_grads(translated(params), inputs, targets, h)
    return loss, {theirs: grads[ours] for ours, theirs in NAMES.items()}, h


def mean_over_streams(params, inputs, targets, h):
    """Do the same for N texts (T, N), one after another, and average over them."""
    N = inputs.shape[1]
    mean_loss = 0.0
    mean_grads = {name: np.zeros_like(values) for name, values in params.items()}
    states = np.empty_like(h)
    for n in range(N):
        loss, grads, states[n] = loss_and_grads(
            params, inputs[:, n], targets[:, n], h[n]
        )
        mean_loss += loss / N
        for name, gradient in grads.items():
            mean_grads[name] += gradient / N
    return mean_loss, mean_grads, states


def descend(params, grads, lr):
    """Take one step of plain gradient descent, in place."""
    # Both have charrnn's names; the naive function accepts any names.
    naive.descend(params, grads, lr)
