"""The state of a training: everything that changes from step to step."""

from dataclasses import dataclass, field
from typing import Any

from charrnn.nn.model import ModelState
from charrnn.nn.parameters import Array

# Validations that a checkpoint remembers; history.jsonl holds them all.
_HISTORY = 400


@dataclass
class Progress:
    """The part of the state that is not arrays; JSON can hold it."""

    step: int = 0
    best_loss: float = float("inf")
    best_step: int = 0
    since_best: int = 0  # validations
    lr_scale: float = 1.0
    rollbacks: int = 0
    seconds: float = 0.0
    steps_seen: int = 0  # since the last validation, as are the three sums
    loss_sum: float = 0.0
    norm_sum: float = 0.0
    clipped: int = 0
    rng: dict[str, Any] = field(default_factory=dict)  # state of dropout's generator
    # Validations as (step, train loss, validation loss), thinned out as they grow many.
    history: list[list[float]] = field(default_factory=list)

    def remember(self, train_loss: float, val_loss: float) -> None:
        """Append to the history; if it has grown long, drop every second entry."""
        self.history.append([self.step, train_loss, val_loss])
        if len(self.history) > _HISTORY:
            del self.history[1::2]  # the first and the newest stay


@dataclass(frozen=True)
class Snapshot:
    """A copy of the state: all that a resumed run needs."""

    progress: dict[str, Any]
    params: Array  # flat
    moments: dict[str, Array]  # flat, by name: of the optimizer, and the average
    state: ModelState
    best: Array | None = None  # flat, the weights of the lowest validation loss
    # The state at the last good validation, which a diverged run goes back to; None if
    # it is this one.
    last_good: "Snapshot | None" = None
