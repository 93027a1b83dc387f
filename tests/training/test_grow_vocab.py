"""Growing a network's vocabulary: what it knew stays, to the last bit."""

import numpy as np
import pytest

from charrnn.config import CELLS, ModelConfig
from charrnn.nn.model import Model
from charrnn.text.vocab import Vocabulary
from charrnn.training.grow_vocab import grow

OLD = Vocabulary.of("bdfh ")
every_cell = pytest.mark.parametrize("kind", CELLS)


def old_model(kind="rnn", layers=2):
    model = Model(ModelConfig(len(OLD), 6, layers, kind))
    rng = np.random.default_rng(0)
    model.params.flat[:] = rng.normal(0, 0.5, model.params.flat.shape)
    return model


def grown(model, text, seed=1):
    return grow(model, OLD, Vocabulary.of(text), rng=np.random.default_rng(seed))


def logits_of(model, ids):
    ids = ids[:, None]
    logits, _ = model.forward(ids, model.zero_state(1), model.workspace(len(ids), 1))
    return logits[:, 0]


@every_cell
@pytest.mark.parametrize("text", ["abcdefghi", "xyz", "bd", "bdfh "])
def test_old_characters_keep_their_logits_on_old_text(kind, text):
    model = old_model(kind)
    growth = grown(model, text)
    old_ids = OLD.encode("bbd fhd")
    new_ids = growth.vocab.encode("bbd fhd")
    columns = growth.vocab.encode("".join(OLD.characters))
    np.testing.assert_allclose(
        logits_of(growth.model, new_ids)[:, columns],
        logits_of(model, old_ids),
        rtol=1e-5,
        atol=1e-6,
    )


@every_cell
def test_every_weight_of_an_old_character_is_kept_bit_for_bit(kind):
    model = old_model(kind)
    growth = grown(model, "abcdefghi")
    rows = growth.vocab.encode("".join(OLD.characters))
    for name, weights in model.params.items():
        found = growth.model.params[name]
        if name in ("layer0.Wx", "layer0.Q"):
            found = found[rows]
        elif name.startswith("output."):
            found = found[..., rows]
        np.testing.assert_array_equal(found, weights, err_msg=name)


def test_new_characters_start_with_fresh_weights_of_the_generator():
    model = old_model()
    growth, same, other = (grown(model, "ace", seed) for seed in (1, 1, 2))
    rows = growth.vocab.encode("ace")
    fresh = [g.model.params["layer0.Wx"][rows] for g in (growth, same, other)]
    np.testing.assert_array_equal(fresh[0], fresh[1])
    assert not np.any(fresh[0] == fresh[2])
    assert np.abs(fresh[0]).min() > 0


@pytest.mark.parametrize(
    ("text", "kept", "added", "unused"),
    [
        ("abcd", 2, 2, 3),
        ("xyz", 0, 3, 5),
        ("bd", 2, 0, 3),
        ("bdfh ", 5, 0, 0),
        ("bdfh !", 5, 1, 0),
    ],
)
def test_growth_counts_what_was_kept_added_and_not_used(text, kept, added, unused):
    growth = grown(old_model(), text)
    assert (growth.kept, growth.added, growth.unused) == (kept, added, unused)
    assert list(growth.vocab.characters) == sorted({*text, *"bdfh "})
    assert growth.model.config == ModelConfig(5 + added, 6, 2, "rnn")


def test_the_model_itself_is_left_as_it_was():
    model = old_model()
    before = model.params.flat.copy()
    growth = grown(model, "abcd")
    growth.model.params.flat.fill(0)
    np.testing.assert_array_equal(model.params.flat, before)
    assert model.config.vocab == len(OLD) == 5


def test_special_symbols_keep_their_weights_and_stay_last():
    old = Vocabulary("ac", end=True)
    model = Model(ModelConfig(len(old), hidden=4))
    model.init(rng=np.random.default_rng(0))
    text = Vocabulary("ab", unknown=True)
    growth = grow(model, old, text, rng=np.random.default_rng(1))
    assert growth.vocab == Vocabulary("abc", unknown=True, end=True)
    assert (growth.kept, growth.added, growth.unused) == (1, 2, 2)
    rows = growth.model.params["layer0.Wx"]
    assert (rows[[0, 2, 4]] == model.params["layer0.Wx"]).all()
