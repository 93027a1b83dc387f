"""Presets: what overrides what, and how they adapt to a text."""

from dataclasses import fields

import numpy as np
import pytest

from charrnn.config import LENGTHS, ModelConfig, TrainConfig, known_settings
from charrnn.errors import ConfigError
from charrnn.presets import (
    DEFAULT_PRESET,
    PRESETS,
    Adaptation,
    adapt_to_text,
    resolve_settings,
)


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_a_valid_recipe_with_a_length(name):
    settings = resolve_settings(name, {})
    config = TrainConfig(**known_settings(TrainConfig, settings))
    shape = ModelConfig(65, **known_settings(ModelConfig, settings))
    assert config.minutes > 0
    assert vars(config) | vars(shape) | PRESETS[name].settings == (
        vars(config) | vars(shape)
    )


def test_chosen_settings_win_over_the_preset_and_it_over_the_defaults():
    settings = resolve_settings("quick", {"hidden": 7, "cell": "lstm"})
    quick = PRESETS["quick"].settings
    assert settings["hidden"] == 7 != quick["hidden"]
    assert settings["cell"] == "lstm"
    assert settings["lr"] == quick["lr"] != TrainConfig().lr
    assert settings["window"] == TrainConfig().window


@pytest.mark.parametrize("length", LENGTHS)
def test_chosen_length_takes_the_place_of_the_presets(length):
    settings = resolve_settings("quick", {length: 3})
    assert {name: settings[name] for name in LENGTHS} == {
        name: 3 if name == length else 0 for name in LENGTHS
    }


def test_another_optimizer_does_not_get_the_rate_and_the_decay_of_the_presets():
    own = resolve_settings("quick", {"optimizer": "shampoo"})
    assert own == resolve_settings("quick", {})
    assert own["weight_decay"] > 0
    settings = resolve_settings("quick", {"optimizer": "adam"})
    assert settings["weight_decay"] == 0
    assert settings["lr"] == TrainConfig().lr != own["lr"]
    assert settings["hidden"] == own["hidden"]
    chosen = {"optimizer": "adamw", "lr": 0.1, "weight_decay": 0.2}
    assert chosen.items() <= resolve_settings("quick", chosen).items()


def test_default_preset_applies_where_none_is_named():
    assert resolve_settings(None, {}) == resolve_settings(DEFAULT_PRESET, {})


def test_all_settings_are_there_except_what_the_text_determines():
    names = {
        field.name for kind in (ModelConfig, TrainConfig) for field in fields(kind)
    }
    assert set(resolve_settings(None, {})) == names - {"vocab", "end"}


def test_presets_are_not_changed_by_use():
    before = {name: dict(preset.settings) for name, preset in PRESETS.items()}
    resolve_settings("quick", {"steps": 5, "hidden": 9})
    assert {name: preset.settings for name, preset in PRESETS.items()} == before


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("value", [0, -1])
def test_chosen_length_of_nothing_is_refused(length, value):
    with pytest.raises(ConfigError, match=f"{length} is {value}; expected more than 0"):
        resolve_settings(None, {length: value})


def test_unknown_preset_is_refused_by_name():
    with pytest.raises(
        ConfigError, match="preset is 'huge'; expected one of quick, small"
    ):
        resolve_settings("huge", {})


def test_settings_are_plain_numbers_whatever_was_chosen():
    settings = resolve_settings(None, {"hidden": np.int64(64), "lr": np.float32(0.5)})
    assert (type(settings["hidden"]), settings["hidden"]) == (int, 64)
    assert (type(settings["lr"]), settings["lr"]) == (float, 0.5)


@pytest.mark.parametrize("name", PRESETS)
def test_a_text_of_a_usual_length_changes_nothing(name):
    settings = resolve_settings(name, {})
    assert adapt_to_text(settings, {}, 1_000_000) == Adaptation(settings, {}, "")


@pytest.mark.parametrize(
    ("characters", "units"),
    [(1, 128), (99_999, 128), (100_000, 256), (299_999, 256)],
)
@pytest.mark.parametrize("name", PRESETS)
def test_a_short_text_gets_a_smaller_network_and_more_dropout(name, characters, units):
    settings = resolve_settings(name, {})
    adapted = adapt_to_text(settings, {}, characters)
    found = adapted.settings
    assert found["hidden"] == min(settings["hidden"], units)
    assert found["dropout"] >= max(settings["dropout"], 0.5)
    assert adapted.reason == (
        "the text is short, and a large network would memorise it"
    )
    changed = {key: value for key, value in found.items() if value != settings[key]}
    assert adapted.changes == changed
    config = TrainConfig(**known_settings(TrainConfig, found))
    assert config.minutes == settings["minutes"]


@pytest.mark.parametrize("characters", [300_000, 8_000_000])
def test_the_usual_lengths_include_their_limits(characters):
    assert not adapt_to_text(resolve_settings("large", {}), {}, characters).changes


def test_a_long_text_needs_no_dropout():
    adapted = adapt_to_text(resolve_settings("large", {}), {}, 8_000_001)
    assert adapted.changes == {
        **{"hidden": 512, "members": 1},
        **{"dropout": 0.0, "recurrent_dropout": 0.0},
    }
    assert adapted.settings["dropout"] == adapted.settings["recurrent_dropout"] == 0
    assert adapted.reason == (
        "the text is too long to be memorised; a longer preset learns more from it"
    )


@pytest.mark.parametrize(
    ("vocab", "units"),
    [(10_000, 288), (10_001, 96), (13_333, 96), (13_334, 64), (200_000, 64)],
)
def test_a_large_vocabulary_gets_a_narrower_network(vocab, units):
    settings = resolve_settings("large", {})
    adapted = adapt_to_text(settings, {}, 1_000_000, vocab=vocab)
    if not adapted:
        assert (adapted.settings["hidden"], vocab) == (units, 10_000)
        return
    assert adapted.settings == settings | {"hidden": units, "members": 1}
    assert str(adapted) == (
        f"with {vocab:,} distinct characters, more units or networks are slow: using "
        f"hidden {units}, members 1, unless you give them"
    )


def test_a_short_text_with_a_large_vocabulary_gets_the_narrower_network_of_both():
    adapted = adapt_to_text(resolve_settings("large", {}), {}, 50_000, vocab=10_001)
    assert adapted.changes["hidden"] == 96
    assert adapted.reason == (
        "the text is short, and a large network would memorise it; with 10,001 "
        "distinct characters, more units or networks are slow"
    )


def test_what_was_chosen_fits_every_text():
    chosen = {"hidden": 300, "dropout": 0.1, "patience": 3}
    adapted = adapt_to_text(resolve_settings("small", chosen), chosen, 50_000)
    assert adapted.settings | chosen == adapted.settings
    assert not adapted.changes.keys() & chosen.keys()
    chosen = {"dropout": 0.2, "recurrent_dropout": 0.1}
    settings = resolve_settings("small", chosen)
    assert adapt_to_text(settings, chosen, 50_000_000) == Adaptation(settings)
    chosen = {"hidden": 500}
    settings = resolve_settings("small", chosen)
    assert adapt_to_text(settings, chosen, 10**6, vocab=50_000) == Adaptation(settings)


def test_the_shape_of_other_weights_is_kept():
    settings = resolve_settings("small", {})
    shape = {"hidden": 200, "layers": 3, "cell": "lstm", "members": 2}
    found = adapt_to_text(settings, {}, 50_000, shape).settings
    assert {name: found[name] for name in shape} == shape
    with pytest.raises(ConfigError) as error:
        adapt_to_text(settings, {"layers": 2}, 50_000, shape)
    assert str(error.value) == (
        "layers is 2, but the model to start from has 3; leave it out"
    )
