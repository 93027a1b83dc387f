"""The compiled twins have the functions and the signatures of what they stand for."""

import copy
import inspect
import pickle

import numpy as np
import pytest
from extras import PLAIN_AND_COMPILED, needs_numba

from charrnn.config import CELLS, ModelConfig
from charrnn.nn import functional
from charrnn.nn.cell import Cell, make_cell
from charrnn.nn.compiled import TWINS
from charrnn.nn.kernels import Functions, cell
from charrnn.nn.model import Model

FUNCTIONS = [name for name in vars(Functions) if not name.startswith("_")]
METHODS = [name for name in vars(Cell) if not name.startswith("_")]


def unpickled(model):
    return pickle.loads(pickle.dumps(model))


def parameters(function):
    return list(inspect.signature(function).parameters.items())


def test_the_functions_of_the_protocol_are_those_that_numpy_has():
    assert FUNCTIONS == [
        "cross_entropy_",
        "multiply",
        "sum_rows",
        "adam_update",
    ]
    for name in FUNCTIONS:
        protocol = parameters(vars(Functions)[name])
        assert protocol[1:] == parameters(getattr(functional, name))  # without self


@needs_numba
def test_compiled_functions_have_the_signatures_of_the_numpy_ones():
    from charrnn.nn.compiled import functional as compiled

    assert set(compiled.__all__) == set(FUNCTIONS)
    for name in FUNCTIONS:
        twin = getattr(compiled, name)
        twin = getattr(twin, "py_func", twin)
        assert inspect.signature(twin) == inspect.signature(getattr(functional, name))


def test_every_twin_is_of_a_cell_that_there_is():
    assert set(TWINS) <= set(CELLS)


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("kernels", PLAIN_AND_COMPILED)
def test_cells_have_the_methods_and_parameters_of_the_contract(name, kernels):
    found = cell(name, kernels)
    for method in METHODS:
        own = getattr(type(found), method)
        assert own is not getattr(Cell, method), f"{name} has no {method}"
        expected = [parameter for parameter, _ in parameters(getattr(Cell, method))]
        assert [parameter for parameter, _ in parameters(own)] == expected


@needs_numba
@pytest.mark.parametrize("name", TWINS)
def test_a_twin_replaces_the_loops_and_the_workspace_alone(name):
    plain, twin = type(make_cell(name)), type(cell(name, "numba"))
    assert issubclass(twin, plain)
    # A multiplicative twin has nothing of its own: all is in that of the plain cell.
    own = [kind for kind in twin.__mro__ if "compiled" in kind.__module__]
    replaced = {n for kind in own for n in vars(kind) if not n.startswith("_")}
    assert replaced == {
        "workspace",
        "forward_loop",
        "backward_loop",
        "generation_weights",
    }
    for method in ("forward_loop", "backward_loop"):
        names = [name for name, _ in parameters(getattr(plain, method))]
        assert [name for name, _ in parameters(getattr(twin, method))] == names


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("kernels", PLAIN_AND_COMPILED)
@pytest.mark.parametrize("copied", [copy.deepcopy, copy.copy, Model.copy, unpickled])
def test_a_copied_model_is_whole_and_independent(name, kernels, copied):
    model = Model(ModelConfig(7, 5, 2, name), kernels=kernels)
    model.init(rng=np.random.default_rng(0))
    twin = copied(model)
    assert (twin.config, twin.kernels) == (model.config, kernels)
    ids = np.array([[1, 2], [3, 4], [5, 6]], np.uint8)

    def logits(model):
        found, _ = model.forward(ids, model.zero_state(2), model.workspace(3, 2))
        return found.copy()

    before = logits(model)
    np.testing.assert_array_equal(logits(twin), before)
    twin.params.flat[:] *= 2  # the views follow the vector
    assert not np.allclose(logits(twin), before)
    np.testing.assert_array_equal(logits(model), before)
