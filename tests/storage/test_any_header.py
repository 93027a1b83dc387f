"""What holds for every value in a header: it is read as it is, or refused."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from charrnn import strict_json
from charrnn.config import CELLS, ModelConfig, TrainConfig
from charrnn.errors import CharRNNError, CheckpointError, ConfigError
from charrnn.text.corpus_info import CorpusInfo, SplitInfo
from charrnn.training.plan import Plan
from charrnn.training.state import Progress, check_history

leaves = (
    st.none()
    | st.booleans()
    | st.integers(-(10**39) + 1, 10**39)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
)
anything = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=8,
)


def edited(value):
    """Return a strategy: the fields of an object, some of them changed or missing."""
    return st.fixed_dictionaries(
        {}, optional={name: st.just(v) | anything for name, v in value.items()}
    ) | st.fixed_dictionaries(
        {name: st.just(v) | anything for name, v in value.items()}
    )


CORPUS = CorpusInfo("a", "0" * 64, 5, 6, files=("a.txt",), relative=("a.txt",))
RNG = np.random.default_rng(1).bit_generator.state
PLAN = {
    **{"steps": 9, "window": 8, "batch": 4, "eval_every": 3, "kernels": "numpy"},
    **{"layout": {"workers": 1, "blas_threads": 1}, "val_characters": 0, "sampled": 0},
}


@given(edited(CORPUS.to_json()) | anything)
def test_a_text_is_described_or_refused(value):
    try:
        info = CorpusInfo.from_json(value)
    except CharRNNError as error:
        assert str(error).isprintable()  # noqa: PT017
        return
    assert info.to_json().items() >= {
        (name, entry)
        for name, entry in value.items()
        if name in info.to_json() and not isinstance(entry, list)
    }
    assert CorpusInfo.from_json(info.to_json()) == info


@given(edited(SplitInfo(0.1, 5, 6, CORPUS).to_json()) | anything)
def test_a_split_is_described_or_refused(value):
    try:
        split = SplitInfo.from_json(value)
    except CharRNNError as error:
        assert str(error).isprintable()  # noqa: PT017
        return
    assert SplitInfo.from_json(split.to_json()) == split
    assert 0 <= split.val_fraction < 1


@given(edited(Progress(rng=RNG).to_json()) | anything)
def test_progress_is_whole_or_refused(value):
    try:
        progress = Progress.from_json(value)
    except CharRNNError as error:
        assert str(error).isprintable()  # noqa: PT017
        return
    assert Progress.from_json(progress.to_json()) == progress
    json.dumps(progress.to_json(), allow_nan=False)


@given(st.lists(st.lists(leaves, max_size=4), max_size=4) | anything)
def test_a_history_is_of_numbers_or_refused(value):
    try:
        check_history(value)
    except CharRNNError:
        return
    for step, train_loss, val_loss in value:
        assert all(math.isfinite(n) for n in (step, train_loss, val_loss or 0))


@given(edited(PLAN) | anything)
def test_a_plan_has_numbers_that_a_run_can_use_or_is_refused(value):
    try:
        plan = Plan.from_json(value)
    except (ConfigError, TypeError, KeyError):  # as `Checkpoint.settings` expects
        return
    assert Plan.from_json(plan.to_json()) == plan
    for count in (plan.steps, plan.window, plan.batch, plan.eval_every):
        assert 1 <= count < 2**63
    assert 1 <= plan.layout.workers <= min(plan.batch, 1024)


@given(
    st.fixed_dictionaries(
        {"vocab": st.integers(1, 99) | anything},
        optional={
            "hidden": st.integers(1, 99) | anything,
            "layers": st.integers(1, 9) | anything,
            "cell": st.sampled_from([*CELLS]) | anything,
            "end": st.integers(-1, 99) | anything,
        },
    )
)
def test_a_model_has_a_shape_or_is_refused(value):
    try:
        config = ModelConfig(**value)
    except ConfigError:
        return
    assert min(config.vocab, config.hidden, config.layers) >= 1
    assert -1 <= config.end < config.vocab


@given(st.dictionaries(st.sampled_from([*TrainConfig.__dataclass_fields__]), anything))
def test_a_configuration_has_values_within_its_limits_or_is_refused(value):
    try:
        config = TrainConfig(**value)
    except ConfigError:
        return
    assert TrainConfig(**config.__dict__) == config
    json.dumps(config.__dict__, allow_nan=False)


@given(anything)
def test_json_comes_back_as_it_was(value):
    text = json.dumps(value, ensure_ascii=False)
    assert strict_json.parse(text) == value
    assert strict_json.parse(text.encode("utf-8", "surrogatepass")) == value


@given(st.binary(max_size=40) | st.text('[]{}":,1eE.-+ NaInfity\\u0', max_size=40))
def test_any_text_is_json_or_raises_a_value_error(text):
    try:
        value = strict_json.parse(text)
    except ValueError:
        return
    plain = text if isinstance(text, str) else text.decode("utf-8", "surrogatepass")
    assert json.loads(plain) == value
    if "Infinity" not in plain:
        json.dumps(value, allow_nan=False)


@pytest.mark.parametrize("name", ["step", "steps_seen", "clipped"])
def test_counts_fit_into_64_bits(name):
    Progress.from_json(Progress().to_json() | {name: 2**62, "rng": RNG})
    with pytest.raises(CheckpointError, match=rf"{name} is 9.*expected a whole number"):
        Progress.from_json(Progress().to_json() | {name: 2**63, "rng": RNG})


def test_a_wrong_plan_is_a_clear_error_of_the_checkpoint():
    with pytest.raises(ConfigError, match=r"window is 0; expected a whole number"):
        Plan.from_json(PLAN | {"window": 0})
