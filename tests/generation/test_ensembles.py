"""Trained models as one: what they share, and that all works as with one network."""

from dataclasses import replace

import numpy as np
import pytest
from extras import PLAIN_AND_COMPILED
from texts import sentences, small_config, small_run

import charrnn
from charrnn.config import SampleConfig, TextConfig
from charrnn.errors import ConfigError
from charrnn.generation.ensembles import combine
from charrnn.generation.language_model import LanguageModel
from charrnn.generation.sampling import with_kernels
from charrnn.nn import kernels
from charrnn.run import start_run
from charrnn.storage.checkpoint import MOST_MEMBERS
from charrnn.text.reading import from_text, read_corpus
from charrnn.views.surprise import surprise


def finished(run, name=""):
    for _ in run.events():
        pass
    model = LanguageModel.from_checkpoint(run.best_checkpoint())
    model.name = name
    return model


def trained_on(text, name, reading=None, **settings):
    """Return a model trained on a text that is read with a TextConfig."""
    seed = settings.get("seed", 1)
    corpus = from_text(text, reading or TextConfig(), seed=seed)
    shape = {"hidden": settings.pop("hidden", 8), "cell": settings.pop("cell", "gru")}
    config = small_config(**{"lr": 1e-2, "seed": 1} | settings)
    return finished(start_run(corpus, config.__dict__ | shape), name)


@pytest.fixture(scope="module")
def models():
    return [
        trained_on(sentences(), "one", seed=1),
        trained_on(sentences(), "two", seed=2, cell="lstm", hidden=7),
        trained_on(sentences(), "three", seed=3),
    ]


@pytest.fixture(scope="module")
def ensemble(models):
    return combine(models)


def mean_of(functions):
    return np.mean([*functions], axis=0)


def test_the_next_characters_have_the_mean_of_the_probabilities(models, ensemble):
    found = dict(ensemble.next("Ann "))
    for character in "mwh.\n":
        expected = np.mean([dict(model.next("Ann "))[character] for model in models])
        assert found[character] == pytest.approx(expected, rel=1e-5)


def test_a_loss_is_that_of_the_mean_probability(models, ensemble):
    text = sentences(5, seed=9)
    p = mean_of(np.exp(-model.losses(text)) for model in models)
    np.testing.assert_allclose(ensemble.losses(text), -np.log(p), rtol=1e-5)
    assert ensemble.evaluate(text).nats == pytest.approx(-np.log(p).mean(), rel=1e-6)


@pytest.mark.parametrize("kernels", PLAIN_AND_COMPILED)
def test_text_i_of_many_is_the_single_one_of_its_number(ensemble, kernels):
    options = {"length": 90, "seed": 4, "kernels": kernels}
    first = ensemble.generate("Ann ", **options)
    many = ensemble.generate("Ann ", n=20, **options)
    assert len({*many}) == 20
    if kernels == "numba":  # in NumPy, one text rounds otherwise
        assert many[0] == first
    assert first.startswith("Ann ")
    assert len(first) == 94


@pytest.mark.parametrize("kernels", PLAIN_AND_COMPILED)
@pytest.mark.parametrize(
    "options",
    [
        {"temperature": 0},
        {"top_k": 3, "min_p": 0.01},
        {"top_p": 0.8, "typical": 0.9},
        {"stop": "e"},
        {"until": "line", "length": 10},
    ],
)
def test_settings_of_sampling_work_as_with_one_network(ensemble, options, kernels):
    options = {"length": 60, "seed": 3} | options
    text = ensemble.generate("Ann ", kernels=kernels, **options)
    plain = ensemble.generate("Ann ", kernels="numpy", **options)
    assert text == plain
    assert "e" not in text or "stop" not in options


def test_the_loop_penalty_works(ensemble):
    plain = ensemble.generate("Ann ", length=300, temperature=0)
    found = ensemble.generate("Ann ", length=300, temperature=0, loop_penalty=2.0)
    assert found != plain


def test_its_members_are_the_models(models, ensemble):
    for member, model in zip(ensemble.members, models, strict=True):
        assert member.name == model.name
        assert member.history == model.history
        assert member.training == model.training
        assert member.generate(seed=1, length=40) == model.generate(seed=1, length=40)
    assert models[0].members == [models[0]]


def test_ensembles_of_ensembles_have_all_networks(models, ensemble):
    nested = combine([combine(models[:2]), models[2]])
    assert [each.name for each in nested.members] == ["one", "two", "three"]
    assert nested.generate(seed=1) == ensemble.generate(seed=1)


def test_it_is_saved_and_opened_like_any_model(ensemble, tmp_path):
    found = charrnn.load(ensemble.save(tmp_path / "both.npz"))
    assert found.generate(seed=2) == ensemble.generate(seed=2)
    assert [each.name for each in found.members] == ["one", "two", "three"]
    found.members[1].save(tmp_path / "two.npz")
    two = charrnn.load(tmp_path / "two.npz")
    assert two.config == ensemble.members[1].config
    assert two.history == ensemble.members[1].history
    again = charrnn.ensemble([tmp_path / "both.npz", two])
    assert len(again.members) == 4


def test_it_describes_itself_and_its_networks(models, ensemble):
    assert ensemble.parameters == sum(model.parameters for model in models)
    assert ensemble.network == (
        "ensemble of 3 networks: 2 of gru, 1 x 8 units; 1 of lstm, 1 x 7 units"
    )
    assert ensemble.describe() == f"{ensemble.network}, 33 characters"
    assert repr(ensemble) == f"LanguageModel({ensemble.describe()}, from memory)"
    card = ensemble._repr_html_()
    best = min(row["val_loss"] for row in models[1].history)
    assert f"two; lstm, 1 x 7 units; {best:.4f} nats" in card
    assert "network 3" in card


def test_what_needs_a_single_network_says_so(ensemble, tmp_path):
    text = sentences(60)
    message = "ensemble of .*networks .*; use one of its networks: in Python"
    for act in (
        lambda: ensemble.config,
        ensemble.state_dict,
        lambda: ensemble.export(tmp_path / "a.safetensors"),
        lambda: charrnn.train(text=text, init_from=ensemble, steps=2, progress=False),
        lambda: small_run_from(ensemble),
    ):
        with pytest.raises(ConfigError, match=message):
            act()


def small_run_from(model):
    settings = small_config().__dict__ | {"hidden": 8}
    corpus = from_text(sentences())
    return start_run(corpus, settings, init_from=model.to_checkpoint())


def test_views_work_with_it(ensemble):
    corpus = from_text(sentences())
    compared = charrnn.compare(ensemble, "Ann ", [0.5, 1.0], length=40, seed=1)
    assert len(compared.columns) == 2
    found = surprise(ensemble, corpus)
    assert found.score.characters == corpus.characters
    # Here, the first character is predicted too.
    expected = ensemble.evaluate(sentences()).nats
    assert found.score.nats == pytest.approx(expected, rel=1e-3)


def test_models_of_bytes_and_of_documents():
    for reading in (TextConfig("bytes"), TextConfig(documents="lines")):
        models = [
            trained_on(sentences(), name, reading, hidden=hidden)
            for name, hidden in (("a", 6), ("b", 9))
        ]
        both = combine(models)
        assert both.reads_bytes == models[0].reads_bytes
        assert both.generate(seed=1, length=30, kernels="numpy")
        p = mean_of(np.exp(-model.losses("Ann")) for model in models)
        np.testing.assert_allclose(both.losses("Ann"), -np.log(p), rtol=1e-5)


def test_a_rare_character_that_is_never_drawn_keeps_its_share_of_the_loss():
    reading = TextConfig(max_vocab=20)
    models = [trained_on(sentences(), n, reading, seed=s) for s, n in enumerate("ab")]
    both = combine(models)
    text = both.generate(length=300, seed=1, temperature=2.0, kernels="numpy")
    assert "\N{REPLACEMENT CHARACTER}" not in text
    p = mean_of(np.exp(-model.losses("Ann ß")) for model in models)
    np.testing.assert_allclose(both.losses("Ann ß"), -np.log(p), rtol=1e-5)


def other(model, **parts):
    """Return a model with changes in its corpus or its split."""
    return LanguageModel(
        model.model,
        model.vocab,
        corpus=replace(model.corpus, **parts.get("corpus", {})),
        split=replace(model.split, **parts.get("split", {})),
        name="other",
    )


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"corpus": {"sha256": "0" * 64}}, "was trained on another text than one; e"),
        ({"corpus": {"encoding": "bytes"}}, "reads bytes, unlike one; expected model"),
        ({"corpus": {"documents": "lines"}}, "was trained on other documents"),
        (
            {"split": {"val_fraction": 0.25}},
            "was validated on 0.25 of the text, one on 0.1; expected models",
        ),
    ],
)
def test_models_of_another_text_are_refused(models, parts, said):
    with pytest.raises(ConfigError, match=f"^other: {said}"):
        combine([models[0], models[1], other(models[2], **parts)])


def test_models_that_were_validated_on_other_texts_are_refused(models):
    texts = [replace(models[0].corpus, sha256=digit * 64) for digit in "12"]
    one, same = (other(models[i], split={"val_text": texts[0]}) for i in (0, 1))
    assert len(combine([one, same]).members) == 2
    for another in (models[1], other(models[1], split={"val_text": texts[1]})):
        with pytest.raises(ConfigError, match=r"was validated on another text \(--val"):
            combine([one, another])


def test_documents_in_another_order_are_refused_if_some_are_held_out():
    reading = TextConfig(documents="lines")
    one, two = (
        trained_on(sentences(), n, reading, seed=s) for s, n in ((1, "a"), (2, "b"))
    )
    with pytest.raises(ConfigError) as error:
        combine([one, two])
    assert str(error.value) == (
        "b: was validated on other documents than a, because its --seed is 2 and not "
        "1; expected models of the same characters, text and validation part"
    )
    nothing = {"split": {"val_fraction": 0.0}}
    assert len(combine([other(each, **nothing) for each in (one, two)]).members) == 2


def test_models_of_other_characters_are_refused_by_name(models):
    text = sentences().replace("!", "\x1b")
    odd = trained_on(text, "odd")
    with pytest.raises(ConfigError) as error:
        combine([models[0], odd])
    expected = (
        r"odd: knows '\x1b', which one does not, and does not know '!', which one"
    )
    assert str(error.value).startswith(expected)
    rare = trained_on(sentences(), "rare", TextConfig(max_vocab=32))
    assert rare.vocab.unknown_id is not None
    with pytest.raises(ConfigError, match="rare: does not know"):
        combine([models[0], rare])


def test_too_few_and_too_many_networks_are_refused(models):
    with pytest.raises(ConfigError, match="1 networks; expected 2 to 100"):
        combine(models[:1])
    with pytest.raises(ConfigError, match="101 networks; expected 2 to 100"):
        combine([models[0]] * (MOST_MEMBERS + 1))


def test_the_text_is_that_of_a_model_that_knows_where_it_is(tmp_path):
    path = tmp_path / "text.txt"
    path.write_text(sentences(), encoding="utf-8")
    own = finished(
        start_run(
            read_corpus([path]),
            small_config().__dict__ | {"hidden": 6},
            folder=tmp_path,
        )
    )
    elsewhere = other(own, corpus={"files": ("/nowhere",), "signature": ""})
    both = combine([elsewhere, own])
    assert both.corpus == own.corpus
    assert both.read_corpus().characters == len(sentences())


def test_kernels_are_compiled_sooner_because_each_character_takes_longer(ensemble):
    for length, expected in ((16_666, "numpy"), (16_667, kernels.resolve("auto"))):
        config = SampleConfig(length=length)
        assert with_kernels(config, ensemble.model, 1).kernels == expected


def test_a_run_of_its_own_is_no_ensemble():
    model = finished(small_run(steps=10))
    assert model.members == [model]
    assert model.to_checkpoint().members == ()


def test_each_network_of_it_is_a_model_of_its_own(ensemble):
    text = sentences(60)
    for number, member in enumerate(ensemble.members, 1):
        found = charrnn.neurons(ensemble, text, network=number)
        alone = charrnn.neurons(member, text)
        np.testing.assert_array_equal(found.chosen, alone.chosen)
        assert ensemble.member(number).model is member.model
        assert member.member(1) is member
    for number in (0, 4):
        with pytest.raises(ConfigError, match=f"is {number}, and the model has 3 net"):
            ensemble.member(number)
    with pytest.raises(ConfigError, match="is 2, and the model has 1 network"):
        ensemble.members[0].member(2)
