"""Presets, which of them wins, and how they fit a text."""

from dataclasses import fields

import pytest

from charrnn.config import LENGTHS, ModelConfig, TrainConfig, known_settings
from charrnn.errors import ConfigError
from charrnn.presets import DEFAULT_PRESET, PRESETS, fitted, with_preset


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_a_valid_recipe_with_a_length(name):
    settings = with_preset(name, {})
    config = TrainConfig(**known_settings(TrainConfig, settings))
    shape = ModelConfig(65, **known_settings(ModelConfig, settings))
    assert config.minutes > 0
    assert vars(config) | vars(shape) | PRESETS[name].settings == (
        vars(config) | vars(shape)
    )


def test_chosen_settings_win_over_the_preset_and_it_over_the_defaults():
    settings = with_preset("quick", {"hidden": 7, "cell": "lstm"})
    quick = PRESETS["quick"].settings
    assert settings["hidden"] == 7 != quick["hidden"]
    assert settings["cell"] == "lstm"
    assert settings["lr"] == quick["lr"] != TrainConfig().lr
    assert settings["window"] == TrainConfig().window


@pytest.mark.parametrize("length", LENGTHS)
def test_chosen_length_takes_the_place_of_the_presets(length):
    settings = with_preset("quick", {length: 3})
    assert {name: settings[name] for name in LENGTHS} == {
        name: 3 if name == length else 0 for name in LENGTHS
    }


def test_default_preset_applies_where_none_is_named():
    assert with_preset(None, {}) == with_preset(DEFAULT_PRESET, {})


def test_all_settings_are_there_but_the_vocabulary():
    names = {
        field.name for kind in (ModelConfig, TrainConfig) for field in fields(kind)
    }
    assert set(with_preset(None, {})) == names - {"vocab"}


def test_presets_are_not_changed_by_use():
    before = {name: dict(preset.settings) for name, preset in PRESETS.items()}
    with_preset("quick", {"steps": 5, "hidden": 9})
    assert {name: preset.settings for name, preset in PRESETS.items()} == before


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("value", [0, -1])
def test_chosen_length_of_nothing_is_refused(length, value):
    with pytest.raises(ConfigError, match=f"{length} is {value}; expected more than 0"):
        with_preset(None, {length: value})


def test_unknown_preset_is_refused_by_name():
    with pytest.raises(
        ConfigError, match="preset is 'huge'; expected one of quick, small"
    ):
        with_preset("huge", {})


@pytest.mark.parametrize("name", PRESETS)
def test_a_text_of_a_usual_length_changes_nothing(name):
    settings = with_preset(name, {})
    assert fitted(settings, {}, 1_000_000) == (settings, "")


@pytest.mark.parametrize(("characters", "units"), [(50_000, 128), (200_000, 256)])
@pytest.mark.parametrize("name", PRESETS)
def test_a_short_text_gets_a_smaller_network_and_more_dropout(name, characters, units):
    settings = with_preset(name, {})
    found, why = fitted(settings, {}, characters)
    assert found["hidden"] == min(settings["hidden"], units)
    assert found["dropout"] >= max(settings["dropout"], 0.5)
    assert why.startswith("the text is short")
    changed = {key: value for key, value in found.items() if value != settings[key]}
    for key, value in changed.items():
        assert f"{key.replace('_', ' ')} {value}" in why
    config = TrainConfig(**known_settings(TrainConfig, found))
    assert config.minutes == settings["minutes"]


def test_a_long_text_needs_no_dropout():
    found, why = fitted(with_preset("large", {}), {}, 50_000_000)
    assert found["dropout"] == found["recurrent_dropout"] == 0
    assert found["hidden"] == PRESETS["large"].settings["hidden"]
    assert why == (
        "the text is long: nothing of it is learned by heart, a longer preset learns "
        "more: dropout 0.0, recurrent dropout 0.0"
    )


def test_what_was_chosen_fits_every_text():
    chosen = {"hidden": 300, "dropout": 0.1, "patience": 3}
    found, why = fitted(with_preset("small", chosen), chosen, 50_000)
    assert found | chosen == found
    assert "hidden" not in why
    chosen = {"dropout": 0.2, "recurrent_dropout": 0.1}
    settings = with_preset("small", chosen)
    assert fitted(settings, chosen, 50_000_000) == (settings, "")
