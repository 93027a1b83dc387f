"""Presets: settings for a given training time, and how they adapt to a text.

No NumPy here: the command line shows the presets in `--help` and must start fast.
benchmarks/recipes.md describes how they were found.
"""

from dataclasses import dataclass, field
from math import sqrt
from numbers import Real
from typing import Any

from charrnn.config import LENGTHS, ModelConfig, TrainConfig, known_settings
from charrnn.errors import ConfigError
from charrnn.option import one_of, settings_of


@dataclass(frozen=True)
class Preset:
    """Settings that work well together, and how long they take to train."""

    about: str
    settings: dict[str, Any]


PRESETS = {
    "quick": Preset(
        "half a minute",
        {
            "cell": "mgru",
            "hidden": 192,
            "batch": 32,
            "minutes": 0.5,
            "optimizer": "shampoo",
            "weight_decay": 0.1,
            "lr": 2e-2,
            "average": 0.99,
        },
    ),
    "small": Preset(
        "three minutes",
        {
            "cell": "mgru",
            "hidden": 320,
            "batch": 32,
            "minutes": 3.0,
            "optimizer": "shampoo",
            "weight_decay": 0.1,
            "lr": 1e-2,
            "recurrent_dropout": 0.05,
            "average": 0.995,
        },
    ),
    "medium": Preset(
        "a quarter of an hour",
        {
            "cell": "mgru",
            "hidden": 320,
            "members": 2,
            "batch": 32,
            "minutes": 15.0,
            "optimizer": "shampoo",
            "weight_decay": 0.1,
            "lr": 1e-2,
            "recurrent_dropout": 0.1,
            "average": 0.998,
        },
    ),
    "large": Preset(
        "an hour",
        {
            "cell": "mgru",
            "hidden": 288,
            "members": 3,
            "batch": 32,
            "minutes": 60.0,
            "optimizer": "shampoo",
            "weight_decay": 0.1,
            "lr": 1e-2,
            "dropout": 0.25,
            "recurrent_dropout": 0.1,
            "average": 0.998,
        },
    ),
}
DEFAULT_PRESET = "small"
_OF_OPTIMIZER = ("lr", "weight_decay")  # settings that fit one optimizer only


def resolve_settings(name: str | None, chosen: dict[str, Any]) -> dict[str, Any]:
    """Return all settings: those chosen, else the preset's, else the defaults.

    name is the name of a preset, or None for the default preset. If `chosen` has one of
    steps, epochs and minutes, the preset's length is left out, and if it has another
    optimizer, so are the rate and the weight decay. Raises ConfigError if a
    setting is invalid, so that a mistake is found before any text is downloaded or
    read.
    """
    defaults = {
        each.name: each.default
        for kind in (ModelConfig, TrainConfig)
        for each, _ in settings_of(kind)
    }
    name = one_of("preset", name or DEFAULT_PRESET, PRESETS)
    preset = PRESETS[name].settings
    for length in LENGTHS:
        value: Any = chosen.get(length, 1)
        if isinstance(value, Real) and not float(value) > 0:
            raise ConfigError(f"{length} is {value}; expected more than 0")
    unfit: tuple[str, ...] = ()
    if any(length in chosen for length in LENGTHS):
        unfit += LENGTHS
    optimizer = (defaults | preset)["optimizer"]
    if chosen.get("optimizer", optimizer) != optimizer:
        unfit += _OF_OPTIMIZER
    preset = {key: value for key, value in preset.items() if key not in unfit}
    settings = defaults | preset | chosen
    network = ModelConfig(vocab=1, **known_settings(ModelConfig, settings))
    training = TrainConfig(**known_settings(TrainConfig, settings))
    checked = vars(network) | vars(training)
    return {key: checked.get(key, value) for key, value in settings.items()}


# Texts shorter than _SHORT characters are memorised by the presets' networks, so the
# hidden size is capped. _WIDEST maps a length to the cap for texts shorter than that.
_SHORT = 300_000
_WIDEST = {100_000: 128, _SHORT: 256}
# In the presets' time, a text longer than _LONG characters is read less than twice, so
# nothing is memorised and dropout is turned off. One wide network then learns more than
# several narrow ones, each of which would read even less of it.
_LONG = 8_000_000
# With more than MANY distinct characters, nearly all memory and time goes into the
# weights from and to each of them. The output layer then gets at most _WEIGHTS weights,
# and the network at least _NARROWEST units.
MANY = 10_000
_WEIGHTS = 1_280_000
_NARROWEST, _MULTIPLE = 64, 32


@dataclass(frozen=True)
class Adaptation:
    """Settings adapted to a text: all of them, those that changed, and why."""

    settings: dict[str, Any]
    changes: dict[str, Any] = field(default_factory=dict)
    reason: str = ""  # empty if nothing changed

    def __bool__(self) -> bool:
        """Whether anything changed."""
        return bool(self.changes)

    def __str__(self) -> str:
        changes = ", ".join(
            f"{name.replace('_', ' ')} {value}" for name, value in self.changes.items()
        )
        return f"{self.reason}: using {changes}, unless you give them"


def adapt_to_text(
    settings: dict[str, Any],
    chosen: dict[str, Any],
    characters: int,
    shape: dict[str, Any] | None = None,
    vocab: int = 0,
) -> Adaptation:
    """Adapt the settings of a preset to a text of this many characters.

    vocab is the number of distinct characters. chosen are the settings that the user
    gave; they never change. If training starts from the weights of another network,
    `shape` has those of its settings that are kept. Raises ConfigError if the user
    chose others.
    """
    shape = shape or {}
    for name, value in shape.items():
        if chosen.get(name, value) != value:
            raise ConfigError(
                f"{name} is {chosen[name]}, but the model to start from has {value}; "
                "leave it out"
            )
    settings = settings | shape
    changes: dict[str, Any] = {}
    reasons = []
    for rule, size in ((_for_length, characters), (_for_vocabulary, vocab)):
        wanted, reason = rule(settings, size)
        new = {
            name: value
            for name, value in wanted.items()
            if name not in chosen | shape and value != settings[name]
        }
        if new:
            settings, changes = settings | new, changes | new
            reasons.append(reason)
    return Adaptation(settings, changes, "; ".join(reasons))


def _for_vocabulary(settings: dict[str, Any], vocab: int) -> tuple[dict[str, Any], str]:
    """Return the settings that this many distinct characters need, and why."""
    if vocab <= MANY:
        return {}, ""
    units = max(_NARROWEST, _WEIGHTS // vocab // _MULTIPLE * _MULTIPLE)
    return {
        "hidden": min(settings["hidden"], units),
        "members": 1,
    }, f"with {vocab:,} distinct characters, more units or networks are slow"


def _for_length(
    settings: dict[str, Any], characters: int
) -> tuple[dict[str, Any], str]:
    """Return the settings that a text of this many characters needs, and why."""
    if characters < _SHORT:
        widest = next(units for limit, units in _WIDEST.items() if characters < limit)
        return {
            "hidden": min(settings["hidden"], widest),
            "layers": 1,
            "dropout": max(settings["dropout"], 0.5),
            "recurrent_dropout": max(settings["recurrent_dropout"], 0.3),
            "patience": 10,
        }, "the text is short, and a large network would memorise it"
    if characters > _LONG:
        units = settings["hidden"]
        if settings["members"] > 1:  # as many as take the time of all networks
            units *= sqrt(settings["members"])
            units = round(units / _MULTIPLE) * _MULTIPLE
        return {
            "hidden": units,
            "members": 1,
            "dropout": 0.0,
            "recurrent_dropout": 0.0,
        }, "the text is too long to be memorised; a longer preset learns more from it"
    return {}, ""
