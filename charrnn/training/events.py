"""The events of a run. The trainer yields all but the last two, on its files."""

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
    """A validation, with averages over the steps since the previous one."""

    step: int
    epoch: float  # passes over the training text so far
    train_loss: float  # mean over those steps, nats per character
    val_loss: float | None  # None without a validation text
    best: bool  # whether the loss is the lowest so far
    lr: float
    grad_norm: float  # mean before clipping
    clipped: float  # share of steps that were clipped
    seconds: float  # of training so far, over all resumes
    val_characters: int  # in val_loss


@dataclass(frozen=True)
class Rollback:
    """The loss diverged, and training returned to an earlier state."""

    step: int  # at which the loss diverged
    to_step: int  # from which training continues
    loss: float
    lr_scale: float  # factor on the schedule's learning rate from now on
    number: int  # of rollbacks so far, this one included


@dataclass(frozen=True)
class Finished:
    """The last event. reason: "done", "patience" or "stopped"."""

    step: int
    reason: str


@dataclass(frozen=True)
class SaveFailed:
    """The run could not be saved. It goes on, and is saved again later."""

    step: int
    reason: str  # a sentence for the user


@dataclass(frozen=True)
class Note:
    """Something that a user should know about a run that goes on as it should."""

    step: int
    text: str


Event: TypeAlias = Step | Validation | Rollback | Finished | SaveFailed | Note
