"""Settings: their limits, with messages."""

import json
from dataclasses import asdict, fields
from fractions import Fraction
from importlib import import_module
from math import inf, nan

import numpy as np
import pytest

from charrnn.config import (
    CELLS,
    CLIP_MODES,
    OPTIMIZERS,
    SCHEDULES,
    ModelConfig,
    SampleConfig,
    TrainConfig,
    known_settings,
)
from charrnn.errors import ConfigError
from charrnn.option import options_of
from charrnn.training import optimizers, schedules, update

BY_TEXT = {"vocab", "end"}  # fields that the text determines
# Field, a value beyond its limit, and what the message says of it.
MODEL = [
    ("vocab", 0, "vocabulary size is 0; expected at least 1"),
    ("hidden", 0, "hidden is 0; expected at least 1"),
    ("layers", -2, "layers is -2; expected at least 1"),
    (
        "cell",
        "GRU",
        "cell is 'GRU'; expected one of rnn, gru, lstm, mrnn, mgru, mlstm",
    ),
    ("end", -2, "end mark is -2; expected at least -1"),
    (
        "end",
        5,
        "end mark is 5; expected -1, or an id below the vocabulary size, 5",
    ),
]
TRAIN = [
    ("members", 0, "members is 0; expected 1 to 100"),
    *[(name, 0, f"{name} is 0; expected at least 1") for name in ("batch", "window")],
    *[
        (name, -1, f"{name} is -1; expected at least 0")
        for name in (
            "steps",
            "epochs",
            "minutes",
            "warmup",
            "weight_decay",
            "clip",
            "eval_every",
            "patience",
            "lr_drops",
            "seed",
        )
    ],
    *[("threads", n, f"threads is {n}; expected 0 to 1024") for n in (-1, 1025)],
    *[
        (name, value, f"{name} is {value}; expected 0 to 1")
        for name in ("lr_floor", "lr_decay", "momentum")
        for value in (-0.1, 1.1)
    ],
    *[
        (name, value, f"{name} is {value}; expected 0 to 0.9999")
        for name in ("dropout", "recurrent_dropout", "average")
        for value in (-0.1, 1)
    ],
    ("save_every", 0, "save_every is 0; expected at least 0.001"),
    ("lr", 0, "lr is 0; expected at least 1e-12"),
    ("lr", -0.1, "lr is -0.1; expected at least 1e-12"),
    ("lr", nan, "lr is nan; expected at least 1e-12"),
    ("minutes", nan, "minutes is nan; expected at least 0"),
    ("val_fraction", -0.1, "val_fraction is -0.1; expected 0 to 0.9"),
    ("val_fraction", 0.95, "val_fraction is 0.95; expected 0 to 0.9"),
    (
        "optimizer",
        "lion",
        "optimizer is 'lion'; expected one of adam, adamw, rmsprop, adagrad, sgd, "
        "shampoo",
    ),
    (
        "schedule",
        "linear",
        "schedule is 'linear'; expected one of cosine, constant, step",
    ),
    ("clip_mode", "", "clip_mode is ''; expected one of norm, value"),
    ("kernels", "cuda", "kernels is 'cuda'; expected one of auto, numpy, numba"),
    ("exchange", "int8", "exchange is 'int8'; expected one of float32, bfloat16"),
]
SAMPLE = [
    ("length", -1, "length is -1; expected at least 0"),
    ("temperature", -0.5, "temperature is -0.5; expected 0 to 100"),
    ("temperature", 101, "temperature is 101; expected 0 to 100"),
    ("temperature", nan, "temperature is nan; expected 0 to 100"),
    ("top_k", -1, "top_k is -1; expected at least 0"),
    ("top_p", 0, "top_p is 0; expected 1e-09 to 1"),
    ("top_p", 1.5, "top_p is 1.5; expected 1e-09 to 1"),
    ("min_p", -0.1, "min_p is -0.1; expected 0 to 1"),
    ("typical", 0, "typical is 0; expected 1e-09 to 1"),
    ("loop_penalty", -1, "loop_penalty is -1; expected 0 to 100"),
    ("seed", -1, "seed is -1; expected at least 0"),
    ("kernels", "cuda", "kernels is 'cuda'; expected one of auto, numpy, numba"),
]
REFUSED = [
    *[(ModelConfig, *case) for case in MODEL],
    *[(TrainConfig, *case) for case in TRAIN],
    *[(SampleConfig, *case) for case in SAMPLE],
]


@pytest.mark.parametrize(("kind", "name", "value", "message"), REFUSED)
def test_value_beyond_its_limit_is_refused_with_the_limit(kind, name, value, message):
    needed = {"vocab": 5} if kind is ModelConfig else {}
    with pytest.raises(ConfigError) as error:
        kind(**needed | {name: value})
    assert str(error.value) == message


@pytest.mark.parametrize("kind", [ModelConfig, TrainConfig, SampleConfig])
def test_every_field_has_a_limit_that_is_tested(kind):
    tested = {name for other, name, _, _ in REFUSED if other is kind}
    assert tested == {field.name for field in fields(kind)}


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        (ModelConfig, {"vocab": 1, "hidden": 1, "layers": 1, "end": -1}),
        (ModelConfig, {"vocab": 2, "end": 1}),
        (
            TrainConfig,
            {"batch": 1, "window": 1, "lr_floor": 0, "lr_decay": 1, "clip": 0},
        ),
        (
            TrainConfig,
            {"val_fraction": 0.001, "warmup": 0, "lr_drops": 0, "momentum": 0},
        ),
        (SampleConfig, {"length": 0, "temperature": 0, "top_p": 1e-9}),
        (SampleConfig, {"temperature": 100, "top_p": 1}),
    ],
)
def test_values_at_their_limits_are_accepted(kind, settings):
    config = kind(**settings)
    assert {name: getattr(config, name) for name in settings} == settings


@pytest.mark.parametrize("name", ["lr", "minutes", "epochs"])
def test_infinity_is_refused(name):
    with pytest.raises(ConfigError):
        TrainConfig(**{name: inf})


WHOLE = [
    (kind, field.name)
    for kind in (ModelConfig, TrainConfig, SampleConfig)
    for field in fields(kind)
    if field.type is int
]


@pytest.mark.parametrize(("kind", "name"), WHOLE)
@pytest.mark.parametrize("value", [2.5, 2.0, "2", True, None, nan])
def test_whole_numbers_may_be_nothing_else(kind, name, value):
    needed = {"vocab": 5} if kind is ModelConfig else {}
    with pytest.raises(ConfigError, match=f"is {value!r}; expected a whole number"):
        kind(**needed | {name: value})


@pytest.mark.parametrize("name", ["adam", "rmsprop", "adagrad", "sgd"])
def test_weight_decay_with_an_optimizer_that_has_none_is_refused(name):
    with pytest.raises(ConfigError) as error:
        TrainConfig(optimizer=name, weight_decay=0.01)
    assert str(error.value) == (
        f"weight_decay is 0.01 but the optimizer is {name}; expected adamw or shampoo, "
        "or no weight decay"
    )
    assert TrainConfig(optimizer=name, weight_decay=0).weight_decay == 0
    for one in ("adamw", "shampoo"):
        assert TrainConfig(optimizer=one, weight_decay=0.01).weight_decay == 0.01


@pytest.mark.parametrize(
    "lengths",
    [
        {"steps": 10, "epochs": 1.0},
        {"steps": 10, "minutes": 1.0},
        {"epochs": 0.5, "minutes": 1.0},
        {"steps": 10, "epochs": 1.0, "minutes": 1.0},
    ],
)
def test_two_lengths_of_training_exclude_each_other(lengths):
    with pytest.raises(ConfigError) as error:
        TrainConfig(**lengths)
    assert str(error.value) == (
        "steps, epochs and minutes exclude each other; give one"
    )


@pytest.mark.parametrize(
    ("names", "known"),
    [
        (OPTIMIZERS, optimizers.OPTIMIZERS),
        (SCHEDULES, schedules.SHAPES),
        (CLIP_MODES, update.CLIPPERS),
    ],
)
def test_names_that_can_be_chosen_are_those_that_exist(names, known):
    assert sorted(names) == sorted(known)


@pytest.mark.parametrize("name", CELLS)
def test_every_cell_is_a_class_that_exists(name):
    module, _, cell = CELLS[name].partition(":")
    assert getattr(import_module(module), cell).__name__ == cell
    plain = name.removeprefix("m")
    assert cell == ("Multiplicative" if name != plain else "") + plain.upper()


def test_a_new_cell_can_be_chosen_once_it_is_in_the_table(monkeypatch):
    with pytest.raises(ConfigError):
        ModelConfig(5, cell="mgu")
    monkeypatch.setitem(CELLS, "mgu", "somewhere.else:MGU")
    assert ModelConfig(5, cell="mgu").cell == "mgu"
    with pytest.raises(ConfigError, match="lstm, mrnn, mgru, mlstm, mgu"):
        ModelConfig(5, cell="MGU")


@pytest.mark.parametrize(
    "value", [np.int8(64), np.int64(64), np.uint16(64), np.array([64])[0]]
)
def test_numpy_whole_numbers_become_python_ones(value):
    config = ModelConfig(vocab=value, hidden=value)
    assert (type(config.vocab), config.vocab) == (int, 64)
    assert json.loads(json.dumps(asdict(config)))["hidden"] == 64


@pytest.mark.parametrize(
    "value", [np.float32(0.5), np.float64(0.5), np.float16(0.5), Fraction(1, 2)]
)
def test_numbers_of_other_kinds_become_floats(value):
    config = TrainConfig(lr=value, dropout=value)
    assert (type(config.lr), config.lr) == (float, 0.5)
    assert json.loads(json.dumps(asdict(config)))["dropout"] == 0.5
    whole = TrainConfig(minutes=np.int32(3)).minutes
    assert (type(whole), whole) == (float, 3.0)


REAL = [
    (kind, field.name)
    for kind in (TrainConfig, SampleConfig)
    for field in fields(kind)
    if field.type is float
]


@pytest.mark.parametrize(("kind", "name"), REAL)
@pytest.mark.parametrize("value", [True, np.True_, "0.5", None, 1j, [0.5]])
def test_numbers_may_be_nothing_else(kind, name, value):
    with pytest.raises(ConfigError) as error:
        kind(**{name: value})
    assert str(error.value) == f"{name} is {value!r}; expected a number"


@pytest.mark.parametrize("value", [5, None, [], ("gru",), b"gru"])
def test_a_choice_is_a_string(value):
    with pytest.raises(ConfigError, match="expected one of rnn, gru, lstm"):
        ModelConfig(5, cell=value)


@pytest.mark.parametrize("value", [10**400, -(10**400)])
@pytest.mark.parametrize("name", ["lr", "clip", "minutes"])
def test_whole_numbers_beyond_every_float_are_refused(name, value):
    with pytest.raises(ConfigError, match=f"{name} is .*expected at least"):
        TrainConfig(**{name: value})


@pytest.mark.parametrize("kind", [ModelConfig, TrainConfig, SampleConfig])
def test_every_field_explains_itself(kind):
    for field, option in options_of(kind):
        assert option.help[0].isupper(), field.name
        assert option.help.endswith("."), field.name
        assert "{" not in option.help
        assert all(choice in option.help for choice in option.choices), field.name
        assert bool(option.group) == (field.name not in BY_TEXT)


def test_known_settings_are_the_fields_of_the_kind():
    settings = {"hidden": 3, "lr": 0.1, "colour": "red", "vocab": 5, "end": 1}
    assert known_settings(ModelConfig, settings) == {"hidden": 3}
    assert known_settings(TrainConfig, settings) == {"lr": 0.1}
