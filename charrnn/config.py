"""What can be set, with defaults and limits, as frozen dataclasses.

No NumPy here: the command line shows these defaults in `--help` and must start fast.
"""

from dataclasses import dataclass, fields
from math import inf, isfinite
from typing import Any

from charrnn.errors import ConfigError

# Cell name -> its class. Adding a cell is one file and one line here.
CELLS = {
    "rnn": "charrnn.nn.rnn:RNN",
    "gru": "charrnn.nn.gru:GRU",
    "lstm": "charrnn.nn.lstm:LSTM",
}
OPTIMIZERS = ("adam", "adamw", "rmsprop", "adagrad", "sgd")
SCHEDULES = ("cosine", "constant", "step")
CLIP_MODES = ("norm", "value")
KERNELS = ("auto", "numpy", "numba")
LENGTHS = ("steps", "epochs", "minutes")
SHAPE = ("cell", "hidden", "layers")  # of a network, whatever its vocabulary


def _whole(what: str, value: object, low: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ConfigError(f"{what} is {value!r}; expected a whole number")
    _within(what, value, low)


def one_of(what: str, value: str, choices: tuple[str, ...]) -> None:
    """Raise ConfigError for a value that is not among the choices."""
    if value not in choices:
        raise ConfigError(f"{what} is {value!r}; expected one of {', '.join(choices)}")


def _within(what: str, value: float, low: float, high: float = inf) -> None:
    if not isinstance(value, int | float):
        raise ConfigError(f"{what} is {value!r}; expected a number")
    if not (low <= value <= high and isfinite(value)):  # refuses NaN as well
        limits = f"at least {low:g}" if high == inf else f"{low:g} to {high:g}"
        raise ConfigError(f"{what} is {value:g}; expected {limits}")


@dataclass(frozen=True)
class ModelConfig:
    """The shape of a network."""

    vocab: int  # V, distinct characters
    hidden: int = 256  # H, units in each layer
    layers: int = 1  # L, cells stacked
    cell: str = "rnn"  # one of CELLS

    def __post_init__(self) -> None:
        _whole("vocabulary size", self.vocab, 1)
        _whole("hidden", self.hidden, 1)
        _whole("layers", self.layers, 1)
        one_of("cell", self.cell, tuple(CELLS))


@dataclass(frozen=True)
class TrainConfig:
    """How a network is trained. Exactly one of steps, epochs, minutes is the length."""

    batch: int = 32  # N, parallel streams
    window: int = 64  # T, characters of backpropagation through time
    steps: int = 0  # updates; 0 where epochs or minutes say it
    epochs: float = 0.0  # passes over the training text
    minutes: float = 0.0  # wall time, turned into steps at the start
    optimizer: str = "adam"  # one of OPTIMIZERS
    lr: float = 2e-3  # learning rate at its highest
    schedule: str = "cosine"  # one of SCHEDULES
    warmup: int = 50  # steps of linear rise to lr
    lr_floor: float = 0.02  # cosine ends at this share of lr
    lr_decay: float = 0.5  # step schedule: factor at each drop
    lr_drops: int = 4  # step schedule: drops, evenly spaced
    momentum: float = 0.9  # of SGD
    weight_decay: float = 0.0  # decoupled, of AdamW, on matrices only
    dropout: float = 0.0  # share of each layer's outputs left out, upwards
    recurrent_dropout: float = 0.0  # share of the recurrent weights left out
    average: float = 0.0  # decay of the weights' running average; 0 is none
    clip: float = 1.0  # limit of the gradient; 0 is none
    clip_mode: str = "norm"  # one of CLIP_MODES
    eval_every: int = 0  # steps between validations; 0 chooses
    patience: int = 0  # validations without a new best before stopping; 0 never
    val_fraction: float = 0.1  # of the text, its end
    seed: int = 1  # of initialisation and dropout
    threads: int = 0  # workers that share the batch; 0 chooses
    kernels: str = "auto"  # one of KERNELS

    def __post_init__(self) -> None:
        for name in ("batch", "window"):
            _whole(name, getattr(self, name), 1)
        for name in ("steps", "warmup", "eval_every", "patience", "lr_drops"):
            _whole(name, getattr(self, name), 0)
        for name in ("threads", "seed"):
            _whole(name, getattr(self, name), 0)
        for name in ("epochs", "minutes", "weight_decay", "clip"):
            _within(name, getattr(self, name), 0)
        for name in ("lr_floor", "lr_decay", "momentum"):
            _within(name, getattr(self, name), 0, 1)
        for name in ("dropout", "recurrent_dropout", "average"):
            _within(name, getattr(self, name), 0, 0.9999)
        _within("lr", self.lr, 1e-12)
        _within("val_fraction", self.val_fraction, 0.001, 0.9)
        one_of("optimizer", self.optimizer, OPTIMIZERS)
        one_of("schedule", self.schedule, SCHEDULES)
        one_of("clip_mode", self.clip_mode, CLIP_MODES)
        one_of("kernels", self.kernels, KERNELS)
        if sum(bool(n) for n in (self.steps, self.epochs, self.minutes)) > 1:
            raise ConfigError("steps, epochs and minutes exclude each other; give one")
        if self.weight_decay and self.optimizer != "adamw":
            raise ConfigError(
                f"weight_decay is {self.weight_decay:g} but the optimizer is "
                f"{self.optimizer}; expected adamw, or no weight decay"
            )


@dataclass(frozen=True)
class SampleConfig:
    """How characters are drawn."""

    length: int = 500  # characters
    temperature: float = 0.8  # divides the logits; 0 takes the likeliest
    top_k: int = 0  # only the k likeliest; 0 is all
    top_p: float = 1.0  # only the likeliest that together hold this share
    seed: int = 0
    kernels: str = "auto"  # one of KERNELS; auto compiles only what is long

    def __post_init__(self) -> None:
        _whole("length", self.length, 0)
        _within("temperature", self.temperature, 0, 100)
        _whole("top_k", self.top_k, 0)
        _within("top_p", self.top_p, 1e-9, 1)
        _whole("seed", self.seed, 0)
        one_of("kernels", self.kernels, KERNELS)


def known_settings(kind: type, settings: dict[str, Any]) -> dict[str, Any]:
    """Return the settings that are fields of the dataclass `kind`."""
    names = {field.name for field in fields(kind)}
    return {name: value for name, value in settings.items() if name in names}
