"""The gradient checker itself: exact where it can be, and strict."""

import numpy as np
import pytest
from cells import register_cell
from runner import CliRunner

from charrnn.cli import main
from charrnn.config import CELLS, ModelConfig
from charrnn.nn.cell import make_cell
from charrnn.nn.gradcheck import (
    TOLERANCE,
    check_model,
    numeric_gradient,
    relative_error,
)

WRONG_BY = 1.001
PARAMETERS = [(kind, name) for kind in CELLS for name in make_cell(kind).shapes(1, 1)]


def with_wrong_gradient(kind, name):
    """Return the real cell with the gradient of one parameter off by 0.1 %."""

    class SlightlyWrong(type(make_cell(kind))):
        def backward(self, params, dh, workspace, grads, gates_done=None):
            results = super().backward(params, dh, workspace, grads)
            grads[name][...] *= WRONG_BY
            return results

    return SlightlyWrong


def with_wrong_input_gradient(kind):
    class SlightlyWrong(type(make_cell(kind))):
        def backward(self, params, dh, workspace, grads, gates_done=None):
            dinputs, dstate = super().backward(params, dh, workspace, grads)
            return None if dinputs is None else dinputs * WRONG_BY, dstate

    return SlightlyWrong


def checked(kind, layers=2):
    rng = np.random.default_rng(0)
    return check_model(ModelConfig(5, 3, layers, kind), T=3, N=2, rng=rng)


def wrong_ones(errors):
    return {name for name, error in errors.items() if not error < TOLERANCE}


@pytest.mark.parametrize("kind", CELLS)
def test_real_cells_pass_with_room(kind):
    errors = checked(kind)
    assert max(errors.values()) < TOLERANCE / 10
    assert {"layer0.Wx", "layer1.Wh", "output.W", "output.b"} < set(errors)


@pytest.mark.parametrize(("kind", "name"), PARAMETERS)
def test_planted_wrong_parameter_gradient_is_caught_and_named(kind, name, monkeypatch):
    register_cell(monkeypatch, kind, with_wrong_gradient(kind, name))
    errors = checked(kind)
    assert wrong_ones(errors) == {f"layer0.{name}", f"layer1.{name}"}
    assert min(errors[f"layer{i}.{name}"] for i in (0, 1)) > 100 * TOLERANCE


@pytest.mark.parametrize("kind", CELLS)
def test_planted_wrong_input_gradient_shows_in_the_layer_below(kind, monkeypatch):
    register_cell(monkeypatch, kind, with_wrong_input_gradient(kind))
    below = {f"layer0.{name}" for name in make_cell(kind).shapes(1, 1)}
    assert wrong_ones(checked(kind)) == below


def test_numeric_gradient_of_a_quartic_is_exact_to_rounding():
    x = np.array([[-1.5, 0.0, 0.3], [1.0, 2.0, 0.7]])
    weights = np.arange(1.0, 7.0).reshape(2, 3)
    gradient = numeric_gradient(lambda: float((weights * x**4).sum()), x)
    np.testing.assert_allclose(gradient, 4 * weights * x**3, rtol=1e-10, atol=1e-10)


def test_numeric_gradient_of_a_smooth_function_is_close():
    x = np.linspace(-1, 1, 7)
    gradient = numeric_gradient(lambda: float(np.sin(3 * x).sum()), x)
    np.testing.assert_allclose(gradient, 3 * np.cos(3 * x), rtol=1e-9)


def test_numeric_gradient_puts_x_back_bit_for_bit():
    x = np.random.default_rng(0).normal(size=(3, 4))
    before = x.copy()
    numeric_gradient(lambda: float((x**2).sum()), x)
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize(
    ("a", "b", "error"),
    [
        ([1.0, -2.0], [1.0, -2.0], 0.0),
        ([1.0, 2.0], [1.0, 2.002], 0.002 / 4.002),
        ([1.0], [-1.0], 1.0),  # over |a| + |b|: opposite signs do not cancel
        ([0.0], [0.5], 1.0),
        ([0.0, 0.0], [0.0, 0.0], 0.0),
        ([1.0, 0.0], [1.0, 1e-17], 1e-17 / 2e-3),  # rounding is not a mistake
        ([], [], 0.0),
    ],
)
def test_relative_error_in_closed_form(a, b, error):
    assert relative_error(np.array(a), np.array(b)) == pytest.approx(error, rel=1e-9)


def test_gradient_that_is_not_a_number_is_not_within_tolerance():
    assert not relative_error(np.array([1.0, np.nan]), np.ones(2)) < TOLERANCE


SMALL = ["gradcheck", "--hidden", "2", "--vocab", "3", "--window", "3", "--batch", "2"]


def test_command_shows_every_parameter_of_every_cell_and_succeeds():
    result = CliRunner().invoke(main, [*SMALL, "--layers", "2"])
    assert result.exit_code == 0, result.output
    for kind, name in PARAMETERS:
        for layer in ("layer0", "layer1"):
            assert f"{kind} {layer}.{name} " in result.stdout
    assert "WRONG" not in result.stdout


def test_command_checks_only_the_cells_asked_for():
    result = CliRunner().invoke(main, [*SMALL, "--layers", "1", "--cell", "rnn"])
    assert result.exit_code == 0, result.output
    assert "rnn layer0.Wx" in result.stdout
    assert "gru" not in result.stdout
    assert "lstm" not in result.stdout


def test_command_fails_and_names_what_is_wrong(monkeypatch):
    register_cell(monkeypatch, "rnn", with_wrong_gradient("rnn", "Wh"))
    result = CliRunner().invoke(main, [*SMALL, "--layers", "1"])
    assert result.exit_code == 1
    assert "wrong gradients: rnn layer0.Wh\n" in result.stderr
    (marked,) = [line for line in result.stdout.splitlines() if "WRONG" in line]
    assert marked.startswith("rnn layer0.Wh ")
