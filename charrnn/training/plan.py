"""A run's plan: the configuration, resolved for this text and this machine.

It is made once, before the first step, and saved, so that a resumed run keeps its
number of steps and with it the schedule.
"""

from dataclasses import asdict, dataclass, replace
from time import perf_counter
from typing import Any

from charrnn.config import TrainConfig
from charrnn.errors import ConfigError
from charrnn.evaluation.loss import evaluate
from charrnn.nn.model import Model
from charrnn.nn.parameters import Array
from charrnn.nn.workers import Layout, blas_threads
from charrnn.option import is_count, one_of
from charrnn.text.windows import Windows
from charrnn.training.autotune import candidate_layouts, fastest_layout

# If eval_every is not set, validations take this share of the run's time, within limits
# on their number. The time is estimated from the lengths and not measured, so that a
# seed finds the same best weights on a slower machine.
_VALIDATION_SHARE = 0.03
_MIN_VALIDATIONS, _MAX_VALIDATIONS = 2, 25
# Time to validate a character, relative to training on one: a third, and overhead.
_VALIDATION_COST = 0.5
_COUNTS = ("steps", "window", "batch", "eval_every")  # fields of a plan


@dataclass(frozen=True)
class Plan:
    """The numbers that a run keeps from its first step to its last."""

    steps: int
    window: int  # T, at most the configuration's
    batch: int  # N, at most the configuration's
    eval_every: int  # steps between validations
    layout: Layout
    kernels: str  # "numpy" or "numba"

    def __post_init__(self) -> None:
        counts = {name: getattr(self, name) for name in _COUNTS} | asdict(self.layout)
        for name, value in counts.items():
            if not is_count(value, 1):
                raise ConfigError(
                    f"{name} is {value!r}; expected a whole number of at least 1"
                )
        if self.layout.workers > self.batch:
            raise ConfigError(
                f"workers is {self.layout.workers}; expected at most the batch, "
                f"{self.batch}"
            )
        one_of("kernels", self.kernels, ("numpy", "numba"))

    def to_json(self) -> dict[str, Any]:
        """Return the plan as a JSON object."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Plan":
        """Return the plan of a JSON object from `to_json`."""
        return cls(**value | {"layout": Layout(**value["layout"])})

    def lengthen(self, config: TrainConfig, epoch_steps: int) -> "Plan":
        """Return the plan with its number of steps changed to that of `config`."""
        if config.minutes:
            raise ConfigError(
                "a resumed run keeps its steps; to change their number give --steps "
                "or --epochs, not --minutes"
            )
        return replace(self, steps=_requested_steps(config, epoch_steps))


def _requested_steps(config: TrainConfig, epoch_steps: int) -> int:
    return config.steps or round(config.epochs * epoch_steps)


def make_plan(model: Model, windows: Windows, val: Array, config: TrainConfig) -> Plan:
    """Return a plan; measure this machine briefly if the plan depends on its speed.

    windows are those of the training text, fitted to it; val are the ids to validate
    on. Measuring does not change the model. Minutes are converted to steps at the
    measured speed, with time for the validations.
    """
    T, N = windows.T, windows.N
    layouts = candidate_layouts(config.threads, N)
    layout, step_seconds = layouts[0], 0.0
    if config.minutes or len(layouts) > 1:
        layout, step_seconds = fastest_layout(model, config, T, N, layouts)
    if config.minutes:
        val_seconds = _validation_seconds(model, val, layout)
        steps = _affordable_steps(config, T * N, len(val), step_seconds, val_seconds)
    else:
        steps = _requested_steps(config, len(windows))
    return Plan(
        steps=max(1, steps),
        window=T,
        batch=N,
        eval_every=config.eval_every
        or max(1, -(-steps // _validations(steps * T * N, len(val)))),
        layout=layout,
        kernels=model.kernels,
    )


def _validations(trained: float, validated: int) -> int:
    """Return the number of validations of a run; both lengths in characters."""
    affordable = _VALIDATION_SHARE * trained / (_VALIDATION_COST * validated)
    return round(min(max(affordable, _MIN_VALIDATIONS), _MAX_VALIDATIONS))


def _affordable_steps(
    config: TrainConfig,
    step_characters: int,
    val_characters: int,
    step_seconds: float,
    val_seconds: float,
) -> int:
    budget = config.minutes * 60
    if config.eval_every:
        return int(budget / (step_seconds + val_seconds / config.eval_every))
    trained = budget / step_seconds * step_characters
    return int(
        (budget - _validations(trained, val_characters) * val_seconds) / step_seconds
    )


def _validation_seconds(model: Model, val: Array, layout: Layout) -> float:
    with blas_threads(layout.blas_threads):
        start = perf_counter()
        evaluate(model, val, threads=layout.workers)
        return perf_counter() - start
