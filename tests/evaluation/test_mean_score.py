"""The scores of an ensemble and of its networks, from one pass of each."""

import numpy as np
import pytest

from charrnn.config import ModelConfig
from charrnn.evaluation.loss import evaluate
from charrnn.evaluation.mean_score import score_together
from charrnn.nn.ensemble import Ensemble
from charrnn.nn.functional import softmax
from charrnn.nn.model import Model

V = 7


def random_model(cell, H, seed):
    model = Model(ModelConfig(V, H, 1, cell))
    model.params.flat[:] = np.random.default_rng(seed).normal(
        0, 0.5, model.params.flat.size
    )
    return model


NETWORKS = [random_model("gru", 6, 1), random_model("rnn", 9, 2)]
IDS = np.random.default_rng(3).integers(0, V, 900).astype(np.uint8)


def exact_probabilities(network, ids):
    """Return the probabilities (n, V) of the characters after each, in float64."""
    exact = Model(network.config, np.float64)
    exact.params.flat[:] = network.params.flat
    logits, _ = exact.forward(
        ids[:-1, None], exact.zero_state(1), exact.workspace(len(ids) - 1, 1)
    )
    return softmax(logits[:, 0])


def test_they_are_those_of_the_networks_and_of_the_mean():
    found = score_together(NETWORKS, IDS)
    for score, network in zip(found.members, NETWORKS, strict=True):
        assert score.nats == pytest.approx(evaluate(network, IDS).nats, rel=1e-9)
    whole = evaluate(Ensemble(NETWORKS), IDS)
    assert found.mean.nats == pytest.approx(whole.nats, rel=1e-6)
    assert found.mean.characters == whole.characters == len(IDS) - 1
    assert found.models == found.members
    best = min(score.nats for score in found.members)
    assert found.gain == best - found.mean.nats


def test_a_model_of_several_networks_has_the_score_of_their_mean():
    third = random_model("lstm", 5, 3)
    found = score_together([third, Ensemble(NETWORKS)], IDS)
    alone = [evaluate(each, IDS).nats for each in (third, *NETWORKS)]
    assert [score.nats for score in found.members] == pytest.approx(alone, rel=1e-9)
    given = [evaluate(each, IDS).nats for each in (third, Ensemble(NETWORKS))]
    assert [score.nats for score in found.models] == pytest.approx(given, rel=1e-6)
    whole = evaluate(Ensemble([third, *NETWORKS]), IDS)
    assert found.mean.nats == pytest.approx(whole.nats, rel=1e-6)
    assert found.gain == min(score.nats for score in found.models) - found.mean.nats


def test_the_loss_is_that_of_the_naive_mean_in_float64():
    p = np.mean([exact_probabilities(each, IDS) for each in NETWORKS], axis=0)
    naive = -np.log(p[np.arange(len(IDS) - 1), IDS[1:]]).mean()
    # Two streams, whose second one starts without all of the text before.
    assert score_together(NETWORKS, IDS).mean.nats == pytest.approx(naive, abs=1e-4)
    assert evaluate(Ensemble(NETWORKS), IDS, streams=1).nats == pytest.approx(
        naive, rel=1e-6
    )


def test_the_mean_is_never_worse_than_the_networks_on_average():
    found = score_together(NETWORKS, IDS)
    assert found.mean.nats < np.mean([score.nats for score in found.members])


def test_progress_counts_each_network():
    seen = []
    score_together(NETWORKS, IDS, on_progress=seen.append)
    assert sum(seen) == len(NETWORKS) * (len(IDS) - 1)
