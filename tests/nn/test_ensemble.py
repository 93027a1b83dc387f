"""Ensembles: the mean of the members' probabilities, whatever their cells and sizes."""

import numpy as np
import pytest

from charrnn.config import ModelConfig
from charrnn.errors import ConfigError, ShapeError
from charrnn.nn.ensemble import Ensemble, log_mean_
from charrnn.nn.functional import softmax
from charrnn.nn.model import Model
from charrnn.nn.predictor import only_member, state_by_member

T, N, V = 3, 2, 5
SHAPES = (("rnn", 4, 1), ("gru", 6, 2), ("lstm", 3, 1))


def random_model(cell="gru", H=6, L=1, *, V=V, end=-1, dtype=np.float32, seed=0):
    model = Model(ModelConfig(V, H, L, cell, end), dtype)
    rng = np.random.default_rng(seed)
    model.params.flat[:] = rng.normal(0, 0.7, model.params.flat.size)
    return model


def members(**options):
    return [random_model(*shape, **options) for shape in SHAPES]


def random_ids(T=T):
    return np.random.default_rng(1).integers(0, V, (T, N)).astype(np.uint8)


def forward(model, ids, state=None):
    """Return logits (T, N, V) as a copy, and the state after."""
    T, N = ids.shape
    state = state or model.zero_state(N)
    logits, state = model.forward(ids, state, model.workspace(T, N))
    return logits.copy(), state


@pytest.mark.parametrize("end", [-1, V - 1])
def test_its_softmax_is_the_mean_of_those_of_the_members(end):
    networks, ids = members(end=end), random_ids()
    logits, _ = forward(Ensemble(networks), ids)
    each = [softmax(forward(net, ids)[0].astype(np.float64)) for net in networks]
    assert logits.dtype == np.float32
    np.testing.assert_allclose(np.exp(logits), np.mean(each, axis=0), rtol=1e-5)


def test_its_state_is_that_of_the_members_one_after_another():
    networks, ids = members(), random_ids()
    _, state = forward(Ensemble(networks), ids)
    expected = [layer for net in networks for layer in forward(net, ids)[1]]
    assert len(state) == sum(layers for _, _, layers in SHAPES)
    for found, layer in zip(state, expected, strict=True):
        for part, other in zip(found, layer, strict=True):
            np.testing.assert_array_equal(part, other)
    parts = state_by_member(Ensemble(networks), state)
    assert [len(part) for part in parts] == [layers for _, _, layers in SHAPES]


def test_windows_with_the_state_carried_equal_one_pass():
    ensemble, ids = Ensemble(members(dtype=np.float64)), random_ids(T=7)
    at_once, _ = forward(ensemble, ids)
    first, state = forward(ensemble, ids[:3])
    state = ensemble.read(ids[3:5], state, ensemble.workspace(2, N))
    last, _ = forward(ensemble, ids[5:], state)
    np.testing.assert_allclose(first, at_once[:3], rtol=1e-12)
    np.testing.assert_allclose(last, at_once[5:], rtol=1e-12)


def test_an_ensemble_of_one_is_that_network():
    network, ids = random_model(), random_ids()
    found, expected = forward(Ensemble([network]), ids), forward(network, ids)
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_array_equal(found[1][0][0], expected[1][0][0])


def test_ensembles_of_ensembles_weigh_all_networks_alike():
    networks, ids = members(), random_ids()
    nested = Ensemble([networks[0], Ensemble(networks[1:])])
    for member, network in zip(nested.members, networks, strict=True):
        np.testing.assert_array_equal(member.params.flat, network.params.flat)
    np.testing.assert_array_equal(
        forward(nested, ids)[0], forward(Ensemble(networks), ids)[0]
    )


def test_probabilities_too_small_for_a_float_keep_their_logarithm():
    first = np.array([[0.0, -300, -200], [5000, 0, -5000]], np.float32)
    second = np.array([[0.0, -310, -90], [0, 5000, -5000]], np.float32)
    found = log_mean_([first.copy(), second.copy()])
    half = np.log(0.5)
    ratio = np.log1p(np.exp(-10.0))  # e^-300 + e^-310
    expected = [[0, -300 + half + ratio, -90 + half], [half, half, -10000]]
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


def test_the_log_of_the_mean_for_several_types_and_shapes():
    rng = np.random.default_rng(4)
    for shape in ((7,), (2, 7), (3, 2, 7)):
        logits = rng.normal(0, 3, (4, *shape))
        expected = np.log(softmax(logits).mean(axis=0))
        for dtype, tolerance in ((np.float32, 2e-6), (np.float64, 1e-12)):
            found = log_mean_([*logits.astype(dtype)])
            assert found.dtype == dtype
            np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"V": 6}, "network 1 has 6 characters, no end mark, float32, network 0 5 ch"),
        ({"end": 2}, "network 1 has 5 characters, end mark 2, float32, network 0 5"),
        ({"dtype": np.float64}, "network 1 has 5 characters, no end mark, float64"),
    ],
)
def test_networks_of_other_symbols_or_types_are_refused(other, said):
    with pytest.raises(ShapeError, match=said):
        Ensemble([random_model(), random_model(**other)])


def test_an_ensemble_of_no_network_is_refused():
    with pytest.raises(ShapeError, match="no networks; expected one or more"):
        Ensemble([])


def test_only_a_single_network_does_what_an_ensemble_cannot():
    network = random_model()
    assert only_member(network, "cannot fly") is network
    with pytest.raises(ConfigError) as error:
        only_member(Ensemble([network, random_model()]), "cannot fly")
    assert str(error.value) == (
        "an ensemble of 2 networks cannot fly; use one of its networks: in Python, "
        "charrnn.load(PATH).member(1).save(FILE)"
    )
