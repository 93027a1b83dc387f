"""Weights under PyTorch's names: there and back, and the same numbers in PyTorch."""

import numpy as np
import pytest

from charrnn.cells import CELLS
from charrnn.config import ModelConfig
from charrnn.errors import CheckpointError
from charrnn.exchange import from_torch, to_torch
from charrnn.model import Model

T, N, H, V, L = 4, 3, 5, 7, 2

every_cell = pytest.mark.parametrize("kind", CELLS)


def random_model(kind, seed=0):
    model = Model(ModelConfig(V, H, L, kind), np.float64)
    rng = np.random.default_rng(seed)
    model.params.flat[:] = rng.normal(0, 0.5, model.params.flat.shape)
    return model


@every_cell
def test_there_and_back_is_the_same(kind):
    model, other = random_model(kind), random_model(kind, seed=1)
    from_torch(to_torch(model), other)
    np.testing.assert_allclose(other.params.flat, model.params.flat, atol=1e-15)


@every_cell
def test_pytorchs_two_biases_become_one(kind):
    model, other = random_model(kind), random_model(kind, seed=1)
    weights = to_torch(model)
    for i in range(L):
        gates = len(weights[f"rnn.bias_ih_l{i}"]) - (H if kind == "gru" else 0)
        weights[f"rnn.bias_hh_l{i}"][:gates] += 0.25
        weights[f"rnn.bias_ih_l{i}"][:gates] -= 0.25
    from_torch(weights, other)
    np.testing.assert_allclose(other.params.flat, model.params.flat, atol=1e-15)


def test_a_weight_that_is_missing_or_of_another_shape_is_named():
    model = random_model("gru")
    weights = to_torch(model)
    del weights["rnn.weight_hh_l1"]
    with pytest.raises(CheckpointError, match=r"'rnn.weight_hh_l1' is missing"):
        from_torch(weights, model)
    weights = to_torch(model) | {"output.bias": np.zeros(V + 1)}
    with pytest.raises(CheckpointError, match=r"'output.bias' is \(8,\), expected \(7"):
        from_torch(weights, model)


@every_cell
def test_pytorch_gets_the_same_logits_and_gradients(kind):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    model = random_model(kind)
    layer = {"rnn": torch.nn.RNN, "gru": torch.nn.GRU, "lstm": torch.nn.LSTM}[kind]
    net = torch.nn.ModuleDict(
        {"rnn": layer(V, H, L), "output": torch.nn.Linear(H, V)}
    ).double()
    net.load_state_dict({k: torch.from_numpy(v) for k, v in to_torch(model).items()})
    ids = np.random.default_rng(2).integers(0, V, (T + 1, N)).astype(np.uint8)
    one_hot = torch.nn.functional.one_hot(torch.from_numpy(ids[:-1].astype(int)), V)
    hidden, _ = net["rnn"](one_hot.double())
    logits = net["output"](hidden)
    loss = torch.nn.functional.cross_entropy(
        logits.reshape(-1, V), torch.from_numpy(ids[1:].astype(int)).reshape(-1)
    )
    loss.backward()
    workspace, state = model.workspace(T, N), model.zero_state(N)
    mine, _ = model.forward(ids[:-1], state, workspace)
    np.testing.assert_allclose(mine, logits.detach().numpy(), atol=1e-9)
    found, grads, _ = model.loss_and_grads(ids[:-1], ids[1:], state, workspace)
    assert found == pytest.approx(float(loss.detach()), abs=1e-12)
    expected = Model(model.config, np.float64)
    theirs = {k: p.grad.numpy().copy() for k, p in net.named_parameters()}
    for i in range(L):  # a sum of two equal gradients; the model has one bias
        gates = len(theirs[f"rnn.bias_hh_l{i}"]) - (H if kind == "gru" else 0)
        theirs[f"rnn.bias_hh_l{i}"][:gates] = 0
    from_torch(theirs, expected)
    np.testing.assert_allclose(grads.flat, expected.params.flat, atol=1e-9)
