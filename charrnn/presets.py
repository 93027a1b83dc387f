"""Recipes known by the time that they take, and how they fit a text.

No NumPy here: the command line shows the presets in `--help` and must start fast. How
they were found stands in benchmarks/recipes.md.
"""

from dataclasses import MISSING, dataclass, fields
from typing import Any

from charrnn.config import (
    LENGTHS,
    SHAPE,
    ModelConfig,
    TrainConfig,
    known_settings,
    one_of,
)
from charrnn.errors import ConfigError


@dataclass(frozen=True)
class Preset:
    """A recipe known by the time it takes on two cores."""

    about: str
    settings: dict[str, Any]


PRESETS = {
    "quick": Preset(
        "half a minute",
        {
            "cell": "gru",
            "hidden": 192,
            "batch": 32,
            "minutes": 0.5,
            "lr": 7e-3,
            "average": 0.99,
        },
    ),
    "small": Preset(
        "three minutes",
        {
            "cell": "gru",
            "hidden": 320,
            "batch": 32,
            "minutes": 3.0,
            "lr": 5e-3,
            "dropout": 0.25,
            "recurrent_dropout": 0.1,
            "average": 0.995,
        },
    ),
    "medium": Preset(
        "a quarter of an hour",
        {
            "cell": "gru",
            "hidden": 448,
            "batch": 32,
            "minutes": 15.0,
            "lr": 4e-3,
            "dropout": 0.35,
            "recurrent_dropout": 0.2,
            "average": 0.998,
        },
    ),
    "large": Preset(
        "an hour",
        {
            "cell": "gru",
            "hidden": 640,
            "batch": 32,
            "minutes": 60.0,
            "lr": 3e-3,
            "dropout": 0.45,
            "recurrent_dropout": 0.25,
            "average": 0.999,
        },
    ),
}
DEFAULT_PRESET = "small"


def with_preset(name: str | None, chosen: dict[str, Any]) -> dict[str, Any]:
    """Return all settings: those chosen, else the preset's, else the defaults.

    The preset's length gives way to another kind of length that was chosen. Raises
    ConfigError for what makes no sense, before any text is fetched or read.
    """
    defaults = {
        field.name: field.default
        for kind in (ModelConfig, TrainConfig)
        for field in fields(kind)
        if field.default is not MISSING
    }
    name = name or DEFAULT_PRESET
    one_of("preset", name, tuple(PRESETS))
    preset = dict(PRESETS[name].settings)
    for length in LENGTHS:
        number = chosen.get(length, 1)
        if isinstance(number, int | float) and not number > 0:
            raise ConfigError(f"{length} is {chosen[length]}; expected more than 0")
    if any(length in chosen for length in LENGTHS):
        preset = {key: value for key, value in preset.items() if key not in LENGTHS}
    settings = defaults | preset | chosen
    ModelConfig(vocab=1, **known_settings(ModelConfig, settings))
    TrainConfig(**known_settings(TrainConfig, settings))
    return settings


# Characters below which a network of a preset's size learns a text by heart within the
# preset's time, with the most units that do not, and beyond which it does not even read
# it twice.
_SHORT, _LONG = 300_000, 8_000_000
_WIDEST = {100_000: 128, _SHORT: 256}


def fitted(
    settings: dict[str, Any],
    chosen: dict[str, Any],
    characters: int,
    network: ModelConfig | None = None,
) -> tuple[dict[str, Any], str]:
    """Return the settings as a text of this length wants them, and why, in a line.

    Training that starts from another network's weights keeps its shape. What was chosen
    stays as it is, too; the reason is empty where nothing changes. Raises ConfigError
    where the choice contradicts the network.
    """
    kept = {name: getattr(network, name) for name in SHAPE} if network else {}
    for name, value in kept.items():
        if chosen.get(name, value) != value:
            raise ConfigError(
                f"{name} {chosen[name]} does not go with the weights to start from, "
                f"whose network has {value}; leave it out"
            )
    settings = settings | kept
    if characters < _SHORT:
        widest = next(units for below, units in _WIDEST.items() if characters < below)
        wanted = {
            "hidden": min(settings["hidden"], widest),
            "layers": 1,
            "dropout": max(settings["dropout"], 0.5),
            "recurrent_dropout": max(settings["recurrent_dropout"], 0.3),
            "patience": 10,
        }
        why = "is short, and a large network would learn it by heart"
    elif characters > _LONG:
        wanted = {"dropout": 0.0, "recurrent_dropout": 0.0}
        why = "is long: nothing of it is learned by heart, a longer preset learns more"
    else:
        return settings, ""
    fixed = kept | chosen
    changes = {k: v for k, v in wanted.items() if k not in fixed and v != settings[k]}
    if not changes:
        return settings, ""
    said = ", ".join(f"{name} {value}" for name, value in changes.items())
    return settings | changes, f"the text {why}: {said.replace('_', ' ')}"
