"""Filters of what may be drawn: closed forms, and a naive twin."""

from math import exp, log

import numpy as np
import pytest

from charrnn.nn.filters import Filters, distribution, without

P = np.array([0.5, 0.25, 0.125, 0.125])
LOGITS = np.log(P)[None]
ONE = np.ones((1, 1))


def share_of(order, p, share):
    """Return the fewest ids, in this order, that hold the share of p."""
    kept, held = [], 0.0
    for i in order:
        if held >= share * sum(p):
            break
        kept.append(i)
        held += p[i]
    return kept


def naive(logits, temperature, filters):
    """Return the distribution (V,) of one row, one filter after another."""
    p = [exp((z - max(logits)) / temperature) for z in logits]

    def keep(kept):
        for i in range(len(p)):
            if i not in kept:
                p[i] = 0.0

    def likeliest():
        return sorted(range(len(p)), key=lambda i: -p[i])

    if filters.top_k:
        keep(likeliest()[: filters.top_k])
    if filters.top_p < 1:
        keep(share_of(likeliest(), p, filters.top_p))
    if filters.min_p:
        keep([i for i in range(len(p)) if p[i] >= filters.min_p * max(p)])
    if filters.typical < 1:
        q = [each / sum(p) for each in p]
        entropy = -sum(each * log(each) for each in q if each)
        there = [i for i in range(len(p)) if p[i]]
        order = sorted(there, key=lambda i: abs(-log(q[i]) - entropy))
        keep(share_of(order, p, filters.typical))
    return np.array(p) / sum(p)


@pytest.mark.parametrize("top_k", [0, 7])
@pytest.mark.parametrize("top_p", [1.0, 0.8])
@pytest.mark.parametrize("min_p", [0.0, 0.15])
@pytest.mark.parametrize("typical", [1.0, 0.6])
def test_filters_are_applied_one_after_another(top_k, top_p, min_p, typical):
    filters = Filters(top_k, top_p, min_p, typical)
    logits = np.random.default_rng(2).normal(0, 2, (20, 12))
    temperatures = np.linspace(0.5, 1.5, 20)[:, None]
    found = distribution(logits, temperatures, filters)
    for row, z, temperature in zip(found, logits, temperatures, strict=True):
        np.testing.assert_allclose(row, naive(z, temperature[0], filters), rtol=1e-9)


@pytest.mark.parametrize(
    ("min_p", "expected"),
    [
        (0.2, P),
        (0.3, [2 / 3, 1 / 3, 0, 0]),
        (0.5, [2 / 3, 1 / 3, 0, 0]),
        (0.51, [1, 0, 0, 0]),
        (1.0, [1, 0, 0, 0]),
    ],
)
def test_min_p_keeps_what_is_likely_beside_the_likeliest(min_p, expected):
    found = distribution(LOGITS, ONE, Filters(min_p=min_p))[0]
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_typical_may_leave_out_the_likeliest():
    # The entropy is 1.40 nats. Surprisals: 0.87 and, of the others, 2.48 and 1.53.
    p = np.array([0.42, 0.0833, 0.0833, 0.0833, 0.0833, 0.0833, 0.0835, 0.08])
    p = np.array([0.42, 0.14, 0.216, 0.224])
    surprisal = -np.log(p)
    distance = abs(surprisal - (p * surprisal).sum())
    nearest = distance.argmin()
    assert nearest != p.argmax()
    found = distribution(np.log(p)[None], ONE, Filters(typical=0.1))[0]
    np.testing.assert_allclose(found, np.eye(4)[nearest], atol=1e-12)


@pytest.mark.parametrize(
    "filters", [Filters(), Filters(typical=0.5), Filters(3, 0.5, 0.1, 0.5)]
)
def test_temperature_0_takes_the_likeliest_whatever_the_filters(filters):
    found = distribution(LOGITS, 0 * ONE, filters)
    np.testing.assert_array_equal(found, [[1, 0, 0, 0]])


@pytest.mark.parametrize("filters", [Filters(), Filters(3, 0.9, 0.01, 0.9)])
@pytest.mark.parametrize("temperature", [0, 1e-300, 0.7, 100])
def test_what_is_never_drawn_has_no_probability(filters, temperature):
    logits = without(LOGITS, [0, 3])
    found = distribution(logits, temperature * ONE, filters)[0]
    assert found[0] == found[3] == 0
    assert found.sum() == pytest.approx(1)
    np.testing.assert_array_equal(LOGITS, np.log(P)[None])  # a copy was made


def test_without_nothing_is_the_same_array():
    assert without(LOGITS, ()) is LOGITS
