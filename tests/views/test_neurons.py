"""What hidden units watch: activations by hand, correlations as NumPy computes them."""

import numpy as np
import pytest
from texts import sentences, trained

from charrnn.config import ModelConfig
from charrnn.errors import ConfigError, TextError
from charrnn.generation.text_model import TextModel
from charrnn.nn.model import Model
from charrnn.text.vocab import Vocabulary
from charrnn.views import neurons as module
from charrnn.views.features import features
from charrnn.views.neurons import Follower, activations, rank, reads, text_of

TEXT = sentences(60)


def network(text=TEXT, *, cell="rnn", hidden=5, layers=2, seed=1, end=False):
    """Return an untrained model of a text's characters."""
    vocab = Vocabulary(Vocabulary.of(text).characters, end=end)
    config = ModelConfig(
        vocab=len(vocab), cell=cell, hidden=hidden, layers=layers, end=vocab.end
    )
    model = Model(config)
    model.init(rng=np.random.default_rng(seed))
    model.params.flat[:] += np.random.default_rng(seed).normal(
        0, 0.2, model.params.flat.size
    )
    return TextModel(model, vocab)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def step_by_hand(cell, p, x, h, c):
    """Return the next h and c of one layer, from the published equations."""
    Wx, Wh, b = p["Wx"].astype(float), p["Wh"].astype(float), p["b"].astype(float)
    H = len(h)
    a, u = x @ Wx + b, h @ Wh
    if cell == "rnn":
        return np.tanh(a + u), c
    if cell == "gru":
        r, z = (sigmoid((a + u)[k * H : (k + 1) * H]) for k in range(2))
        n = np.tanh(a[2 * H :] + r * (u[2 * H :] + p["c"]))
        return (1 - z) * n + z * h, c
    i, f, o = (sigmoid((a + u)[k * H : (k + 1) * H]) for k in range(3))
    c = f * c + i * np.tanh((a + u)[3 * H :])
    return o * np.tanh(c), c


def by_hand(model, ids):
    """Return h and c (T, L, H) after each of ids."""
    config = model.config
    h, c = np.zeros((2, config.layers, config.hidden))
    found = []
    for i in ids:
        x = np.eye(config.vocab)[i]
        if i == config.end:
            h, c = np.zeros_like(h), np.zeros_like(c)
        for layer in range(config.layers):
            p = model.model.params.scope(f"layer{layer}")
            h[layer], c[layer] = step_by_hand(config.cell, p, x, h[layer], c[layer])
            x = h[layer]
        found.append((h.copy(), c.copy()))
    return np.array(found).transpose(1, 0, 2, 3)


@pytest.mark.parametrize("end", [False, True])
@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_activations_equal_a_forward_pass_by_hand(cell, end):
    model = network(cell=cell, end=end)
    ids = model.encode(TEXT[:50])
    if end:
        ids = np.insert(ids, [0, 20], model.vocab.end_id)
    h, c = by_hand(model, ids)
    units = [(0, 3), (1, 0), (1, 4)]
    found = activations(model, ids, units)
    assert np.allclose(found, h[:, [0, 1, 1], [3, 0, 4]], atol=1e-5)
    assert np.array_equal(activations(model, ids, units, start=7), found[7:])
    if cell == "lstm":
        found = activations(model, ids, units, part=1)
        assert np.allclose(found, c[:, [0, 1, 1], [3, 0, 4]], atol=1e-5)


@pytest.mark.parametrize("part", [0, 1])
def test_correlations_are_those_of_numpy(monkeypatch, part):
    monkeypatch.setattr(module, "_BLOCK", 200)
    monkeypatch.setattr(module, "LEAD", 30)
    model = network(cell="lstm")
    ids = model.encode(TEXT)
    found = rank(model, ids, part=part)
    pieces, length = module._layout(len(ids))
    assert pieces == 8
    states, values = [], []
    for piece in range(pieces):
        start = piece * len(ids) // pieces
        first = max(0, start - 30)
        lead, stop = start - first, start - first + length
        read = by_hand(model, ids[first : start + length])[part][lead:]
        states.append(read.reshape(length, -1))
        of_text = features(TEXT[first : start + length + 30])
        values.append([of_text[name][lead:stop] for name in found.features])
    for half, correlations in ((slice(4), found.chosen), (slice(4, 8), found.checked)):
        units = np.concatenate(states[half]).T
        by_feature = np.concatenate(values[half], axis=1)
        expected = np.corrcoef(units, by_feature)[: len(units), len(units) :]
        assert np.allclose(correlations.reshape(expected.shape), expected, atol=1e-4)
    assert "digit" in found.left_out
    assert found.characters == 4 * length


def planted():
    """Return a model whose unit 2 is 1 after a comma and else 0, and nearly so."""
    model = network(hidden=6, layers=1)
    Wx, Wh, b = (model.model.params[f"layer0.{name}"] for name in ("Wx", "Wh", "b"))
    Wx[:, [1, 2]], Wh[:, [1, 2]], b[[1, 2]] = 0, 0, 0
    Wx[int(model.encode(",")[0]), 1] = 10  # unit 1 is 1 at a comma
    Wh[1, 2] = 10  # unit 2 is what unit 1 was
    return model


def test_a_planted_unit_is_found_and_comes_first():
    model = planted()
    found = rank(model, model.encode(TEXT))
    first = found.followers[0]
    assert (first.layer, first.unit, first.feature) == (0, 2, "after comma")
    assert first.chosen > 0.999
    assert first.checked > 0.999
    assert first.holds
    assert found.of_features()[0] == first
    assert found.of_unit((0, 2))[0] == first
    assert found.untrained_of("after comma") < 0.9


def test_the_best_of_many_units_that_follow_nothing_drops_on_other_text():
    beyond = []
    for seed in range(4):
        rng = np.random.default_rng(seed)
        text = "".join(rng.choice([*'abcdefghijklmno ,."()\n'], 1200))
        model = network(text, hidden=150, layers=1)
        found = rank(model, model.encode(text)).of_features()
        # What depends on the character alone, an untrained unit may follow.
        own = [each for each in found if each.feature in ("in quotes", "in brackets")]
        assert own
        beyond += own
    chosen, checked = (
        sum(abs(getattr(each, name)) for each in beyond)
        for name in ("chosen", "checked")
    )
    assert chosen > 2 * checked
    assert not all(each.holds for each in beyond)


def test_of_a_long_text_pieces_spread_over_it_are_read(monkeypatch):
    monkeypatch.setattr(module, "MOST", 1000)
    model = network(hidden=4, layers=1)
    ids = model.encode(sentences(200))
    seen = []
    found = rank(model, ids, on_progress=seen.append)
    assert sum(seen) == reads(len(ids)) == 2 * 30 * (200 + 33)
    assert (found.characters, found.length) == (15 * 33, len(ids))


def test_the_same_text_gives_the_same_ranking():
    model = trained()
    ids = model.encode(TEXT)
    assert rank(model, ids).to_dict() == rank(model, ids).to_dict()


def test_a_unit_that_is_constant_follows_nothing():
    model = planted()
    for name in ("Wx", "Wh"):
        model.model.params[f"layer0.{name}"][:, 4] = 0
    found = rank(model, model.encode(TEXT))
    assert not found.chosen[0, 4].any()
    (last,) = (each for each in found.followers if each.unit == 4)
    assert not last.holds


def test_what_holds():
    def held(chosen, checked):
        return Follower(0, 0, "digit", chosen, checked).holds

    assert held(-0.6, -0.3)
    assert held(0.3, 0.9)
    assert not held(0.6, 0.29)
    assert not held(0.6, -0.6)


def test_an_end_mark_is_read_as_a_line_end():
    model = network(end=True)
    ids = np.concatenate([model.encode("Ann"), [model.vocab.end_id]])
    assert text_of(model.vocab, ids.astype(model.vocab.dtype)) == "Ann\n"


def test_mistakes():
    model = network()
    ids = model.encode(TEXT)
    with pytest.raises(TextError, match=r"999 characters are too few .* 1,000 or more"):
        rank(model, ids[:1001], start=2)
    with pytest.raises(ConfigError, match="no unit 2:0; expected a layer from 0 to 1"):
        activations(model, ids, [(2, 0)])
    with pytest.raises(ConfigError, match="is a rnn, which has no cell state"):
        rank(model, ids, part=1)


def test_untrained_is_what_an_untrained_network_of_the_same_shape_holds():
    model = trained()
    ids = model.encode(TEXT)
    network = Model(model.config)
    network.init(rng=np.random.default_rng(0))
    best = rank(TextModel(network, model.vocab), ids).of_features()
    found = rank(model, ids)
    for each in best:
        same_sign = each.checked * np.sign(each.chosen)
        assert found.untrained_of(each.feature) == pytest.approx(same_sign)
    assert any(each.chosen < 0 for each in best)
