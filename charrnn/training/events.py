"""Events of a training, which the trainer yields."""

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True)
class Step:
    """One update of the weights."""

    step: int  # updates so far
    loss: float  # nats per character in this window
    lr: float
    characters: int  # in this window


@dataclass(frozen=True)
class Validation:
    """A pass over the validation text, and what the steps since the last one did."""

    step: int
    epoch: float  # passes over the training text so far
    train_loss: float  # mean over the steps, nats per character
    val_loss: float
    best: bool  # whether it is the lowest so far
    lr: float
    grad_norm: float  # mean before clipping
    clipped: float  # share of steps that were clipped
    seconds: float  # of training so far, over all sessions


@dataclass(frozen=True)
class Rollback:
    """The loss diverged; training went back."""

    step: int  # where it diverged
    to_step: int
    loss: float
    lr_scale: float  # what the schedule's rate is multiplied by from now on
    number: int  # of rollbacks so far, this one included


@dataclass(frozen=True)
class Finished:
    """The last event. reason: "done", "patience" or "stopped"."""

    step: int
    reason: str


Event: TypeAlias = Step | Validation | Rollback | Finished
