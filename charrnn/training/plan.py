"""A run's plan: the configuration, resolved for this text and this machine.

It is made once, before the first step, and saved, so that a resumed run keeps its
number of steps and with it the schedule.
"""

from dataclasses import asdict, dataclass, field
from math import sqrt
from time import perf_counter
from typing import Any

from charrnn.config import MOST_THREADS, TrainConfig
from charrnn.errors import ConfigError
from charrnn.evaluation.loss import evaluate
from charrnn.evaluation.ngram import FIT_LIMIT
from charrnn.nn.ensemble import as_one
from charrnn.nn.parameters import Array
from charrnn.nn.predictor import Predictor
from charrnn.nn.sampled import make_sampler
from charrnn.nn.workers import Layout, blas_threads
from charrnn.option import is_count, one_of
from charrnn.presets import MANY
from charrnn.ranks import Ranks
from charrnn.text.windows import Windows
from charrnn.training.autotune import (
    candidate_layouts,
    fastest_layout,
    seconds_together,
)
from charrnn.training.schedules import learning_rate

# If eval_every is not set, validations take this share of the run's time, within limits
# on their number. The time is estimated from the lengths and not measured, so that a
# seed finds the same best weights on a slower machine.
_VALIDATION_SHARE = 0.03
_MIN_VALIDATIONS, _MAX_VALIDATIONS = 2, 25
# Time to validate a character, relative to training on one: a third, and overhead.
_VALIDATION_COST = 0.5
# The whole validation part is scored if the run trains on this many times as many
# characters, or the part has at most _SHORT. Of a longer part, or one of more than
# _LONG, as much is scored as 25 validations can afford: a multiple of _SHORT. If a slow
# network cannot afford that even twice, it is less: a multiple of _LEAST.
_WHOLE = 10
_LEAST, _SHORT, _LONG = 16_000, 128_000, 1_024_000
# With more than MANY characters, training samples the softmax, and validation does not.
# To validate on a character then costs this many times as much.
_FULL_COST = 4
# If a run's length is in minutes, it trains for this share of them at least, and makes
# this many steps at least, even if it then takes longer.
_TRAINING_SHARE = 0.5
_MIN_STEPS = 50
# A run keeps its minutes if it takes up to _LATE times as long, and _GRACE seconds.
_LATE, _GRACE = 1.15, 10.0
# Seconds to fit the scoreboard's n-gram, per character. It is short, so an estimate
# from one machine will do.
_COUNTING = 0.6e-6
# Characters, and logits, at most in the measurement of a validation.
_MEASURED, _MEASURED_LOGITS = 1 << 14, 1 << 28
# On a machine with that many cores, a batch that leaves half of them idle is reported.
_MANY_CORES = 4
# How much higher the loss was, in nats, than with 32 columns and as many characters, if
# the rate grew with the root of the batch (benchmarks/scaling.py --losses).
_BATCH_COST = {64: 0.002, 128: 0.005, 256: 0.02}
# With more than MANY characters, most of a step would go into the output layer. Then it
# is trained with a sample of this many and the targets.
_SAMPLED = 4096
_MOST_SAMPLED = 1 << 20  # accepted from a file
# A run that is measured in minutes ends after this many epochs: by then, a text this
# short is known by heart.
MOST_EPOCHS = 1000
_COUNTS = ("steps", "window", "batch", "eval_every", "ranks")  # fields of a plan


@dataclass(frozen=True)
class Plan:
    """The numbers that a run keeps from its first step to its last."""

    steps: int
    window: int  # T, at most the configuration's
    batch: int  # N, at most the configuration's
    eval_every: int  # steps between validations
    layout: Layout
    kernels: str  # "numpy" or "numba"
    # Characters in a validation, spread evenly over the validation part; 0 for all.
    val_characters: int = 0
    # Characters drawn at each step for the sampled softmax; 0 for the full softmax.
    sampled: int = 0
    # Processes that divide the networks or the batch, each with the same layout.
    ranks: int = 1
    # The step at which the schedule of the learning rate begins: 0, or the one at which
    # the run was made longer.
    schedule_start: int = 0
    # How long the whole run is expected to take, from its start to the scoreboard, if
    # its length is in minutes. It is measured, and so it is not saved.
    seconds: float = field(default=0.0, compare=False)

    def __post_init__(self) -> None:
        counts = {name: getattr(self, name) for name in _COUNTS} | asdict(self.layout)
        for name, value in counts.items():
            if not is_count(value, 1):
                raise ConfigError(
                    f"{name} is {value!r}; expected a whole number of at least 1"
                )
        for name in ("val_characters", "sampled", "schedule_start"):
            value = getattr(self, name)
            if not is_count(value):
                raise ConfigError(f"{name} is {value!r}; expected a whole number")
        limits = [(*threads, MOST_THREADS) for threads in asdict(self.layout).items()]
        for name, value, most in [*limits, ("sampled", self.sampled, _MOST_SAMPLED)]:
            if value > most:
                raise ConfigError(f"{name} is {value}; expected at most {most:,}")
        if self.schedule_start >= self.steps:
            raise ConfigError(
                f"schedule_start is {self.schedule_start}; expected less than the "
                f"{self.steps} steps"
            )
        one_of("kernels", self.kernels, ("numpy", "numba"))

    def check_division(self, networks: int) -> None:
        """Raise ConfigError if there are more ranks or threads than columns."""
        columns = self.batch * networks
        check_ranks(self.ranks, columns)
        if self.layout.workers > columns:
            raise ConfigError(
                f"workers is {self.layout.workers}; expected at most one per column, "
                f"{columns}"
            )

    def to_json(self) -> dict[str, Any]:
        """Return the plan as a JSON object."""
        return {name: v for name, v in asdict(self).items() if name != "seconds"}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Plan":
        """Return the plan of a JSON object from `to_json`."""
        return cls(**value | {"layout": Layout(**value["layout"]), "seconds": 0.0})

    def learning_rate(self, step: int, config: TrainConfig) -> float:
        """Return the rate of update number `step` (from 0)."""
        start = self.schedule_start
        # A lengthened run may roll back to a step before its schedule began.
        return learning_rate(max(step - start, 0), self.steps - start, config)

    def overtime(self, minutes: float) -> str:
        """Return a warning if the run will take longer than its minutes, or ""."""
        if self.seconds <= _LATE * 60 * minutes + _GRACE:
            return ""
        return (
            f"this will take about {self.seconds / 60:.1f} minutes instead of "
            f"{minutes:g}: besides reading, measuring and validating, too little time "
            "would be left to learn in"
        )

    def idle_cores(self, cores: int, config: TrainConfig) -> str:
        """Return advice if most cores have no columns to compute, or ""."""
        busy = max(self.layout.workers, self.layout.blas_threads)
        largest = max(_BATCH_COST)
        factor = min(cores // busy, largest // self.batch)
        if config.threads or cores < _MANY_CORES or factor < 2:
            return ""
        batch, columns = factor * self.batch, config.members * self.batch
        cost = min(cost for size, cost in _BATCH_COST.items() if size >= batch)
        threads = f"{busy} thread{'s' if busy > 1 else ''}"
        return (
            f"{cores - busy} of {cores} cores are idle: {columns} columns are too "
            f"few for more than {threads}; --batch {batch} "
            f"--lr {config.lr * sqrt(factor):.2g} would use more of them (for "
            "the same number of characters, a batch of that size cost about "
            f"{cost:g} nats)"
        )


def check_ranks(ranks: int, columns: int) -> None:
    """Raise ConfigError if there are more ranks than columns of all networks."""
    if ranks > columns:
        raise ConfigError(
            f"{ranks} ranks cannot share {columns} columns; expected at least one "
            "column per rank: start fewer, or give a larger --batch"
        )


def requested_steps(config: TrainConfig, epoch_steps: int) -> int:
    """Return the number of steps that a configuration asks for, in steps or epochs."""
    return config.steps or round(config.epochs * epoch_steps)


def make_plan(
    model: Predictor,
    windows: Windows,
    val: Array,
    config: TrainConfig,
    *,
    spent: float = 0.0,
    ranks: Ranks | None = None,
) -> Plan:
    """Return a plan; measure this machine briefly if the plan depends on its speed.

    windows are those of the training text, fitted to it; val are the ids to validate
    on. Measuring does not change the model. Minutes are converted to steps at the
    measured speed, with time for the validations and the scoreboard; they include the
    seconds `spent` before this call. All ranks make the plan of the first one, at the
    speed at which they update together.
    """
    ranks = ranks or Ranks()
    begun = perf_counter() - spent
    T, N = windows.T, windows.N
    check_ranks(ranks.size, N * len(model.members))
    sampled, cost = (_SAMPLED, _FULL_COST) if model.vocab > MANY else (0, 1)
    measured = ranks.gather(
        lambda: measured_layout(model, windows, config, config.threads, sampled, ranks)
    )
    layout = measured[0][0]
    seconds = 0.0
    if config.minutes:
        step_seconds = measured[0][1]
        if ranks.size > 1:
            step_seconds = seconds_together(
                *(model, config, T, N, layout, ranks),
                sampler=make_sampler(windows.ids, model.vocab, sampled),
            )
        trained = config.minutes * 60 / step_seconds * T * N  # at most
        validated = _validated(trained, len(val), cost)
        times = _Times(
            step=step_seconds,
            validation=_validation_seconds(model, val, layout, validated, ranks),
            counting=_COUNTING * min(windows.characters, FIT_LIMIT),
            spent=perf_counter() - begun,
        )
        validations = _validations(trained, cost * (validated or len(val)))
        steps = min(
            times.affordable_steps(config, validations), MOST_EPOCHS * len(windows)
        )
        seconds = times.total(steps, config.eval_every, validations)
    else:
        steps = max(1, requested_steps(config, len(windows)))
        trained = steps * T * N
        validated = _validated(trained, len(val), cost)
        validations = _validations(trained, cost * (validated or len(val)))
    plan = Plan(
        steps=steps,
        window=T,
        batch=N,
        eval_every=config.eval_every or -(-steps // validations),
        layout=layout,
        kernels=model.kernels,
        val_characters=validated,
        sampled=sampled,
        ranks=ranks.size,
        seconds=seconds,
    )
    return ranks.first(lambda: plan)


def measured_layout(
    model: Predictor,
    windows: Windows,
    config: TrainConfig,
    threads: int,
    sampled: int,
    ranks: Ranks,
) -> tuple[Layout, float]:
    """Return the fastest layout for this rank's part, and its seconds per update.

    It has so many threads, or as many as are fastest if that is 0. The time is 0 if
    nothing needs to be measured.
    """
    own, group = ranks.divide(len(model.members))
    columns = group.share(windows.N)
    width, networks = columns.stop - columns.start, [model.members[i] for i in own]
    layouts = candidate_layouts(threads, len(networks) * width, model.kernels)
    if len(layouts) == 1 and not config.minutes:
        return layouts[0], 0.0
    sampler = make_sampler(windows.ids, model.vocab, sampled)
    return fastest_layout(
        as_one(networks), config, windows.T, width, layouts, sampler=sampler
    )


def validated_characters(trained: float, part: int) -> int:
    """Return the number of characters to score at a validation; 0 means all.

    trained is the number of characters that the run trains on, and part that of the
    validation part. It depends on nothing else, so that a seed finds the same best
    weights on any machine.
    """
    if part <= min(max(trained / _WHOLE, _SHORT), _LONG):
        return 0
    affordable = _VALIDATION_SHARE * trained / _VALIDATION_COST  # in the whole run
    few, many = affordable / _MIN_VALIDATIONS, affordable / _MAX_VALIDATIONS
    size = min(max(many, min(_SHORT, few), _LEAST), _LONG)
    step = _SHORT if size >= _SHORT else _LEAST
    return step * int(size // step)


def _validated(trained: float, part: int, cost: int) -> int:
    """Return the same if a character of the part costs as much as several others."""
    size = validated_characters(trained, cost * part)
    return max(size // cost, _LEAST) if size else 0


def _validations(trained: float, validated: int) -> int:
    """Return the number of validations of a run; both lengths in characters.

    Without a validation text, this is how often the run is saved.
    """
    if not validated:
        return _MAX_VALIDATIONS
    affordable = _VALIDATION_SHARE * trained / (_VALIDATION_COST * validated)
    return round(min(max(affordable, _MIN_VALIDATIONS), _MAX_VALIDATIONS))


@dataclass(frozen=True)
class _Times:
    """How long the parts of a run take, in seconds."""

    step: float
    validation: float
    counting: float  # fitting the scoreboard's n-gram
    spent: float  # before the first step

    @property
    def around(self) -> float:
        """The time outside training: before it, and for the scoreboard."""
        return self.spent + 2 * self.validation + self.counting

    def affordable_steps(self, config: TrainConfig, validations: int) -> int:
        """Return the number of steps that fit into a run's minutes, or the minimum."""
        budget = config.minutes * 60
        left, each = budget - self.around, self.step
        if config.eval_every:
            each += self.validation / config.eval_every
        else:
            left -= validations * self.validation
        return max(int(max(left, _TRAINING_SHARE * budget) / each), _MIN_STEPS)

    def total(self, steps: int, eval_every: int, validations: int) -> float:
        """Return the time of the whole run."""
        if eval_every:
            validations = -(-steps // eval_every)
        return self.around + steps * self.step + validations * self.validation


def _validation_seconds(
    model: Predictor, val: Array, layout: Layout, validated: int, ranks: Ranks
) -> float:
    """Return the time of a validation, from that of a part of one."""
    characters = validated or len(val)
    if not characters:
        return 0.0
    measured = min(characters, _MEASURED, max(1, _MEASURED_LOGITS // model.vocab))
    with blas_threads(layout.blas_threads):
        start = perf_counter()
        evaluate(model, val, limit=measured, threads=layout.workers, ranks=ranks)
        return (perf_counter() - start) * characters / measured
