"""The bar of `charrnn train`, with a small curve of the losses in it."""

from typing import Any

from charrnn.interactive import BarUpdater
from charrnn.training.trainer import Trainer
from charrnn.views.sparkline import BLOCKS, sparkline

_NARROWEST, _WIDEST = 4, 16  # columns of a curve
_MOST_POINTS = 500


class CurveUpdater(BarUpdater):
    """Moves a bar, and shows a curve before the loss that it belongs to.

    That is the validation loss after three validations, and the training loss before.
    There is none if the terminal is too narrow or its encoding has no blocks.
    """

    def __init__(self, bar: Any, trainer: Trainer) -> None:
        super().__init__(bar, trainer, "{} {:.3f}", " ")
        self._losses: list[tuple[float, float]] = []  # step and training loss
        # A bar that is not shown has no file.
        encoding = getattr(getattr(bar, "fp", None), "encoding", None)
        self._has_blocks = _can_write(BLOCKS, encoding)

    def _text(self) -> str:
        text = super()._text()
        width = self._room_beside(text) if self._has_blocks else 0
        if width < _NARROWEST:
            return text
        name, points = "val", self._validations()
        if len(points) < 3:
            name, points = "loss", self._training()
        curve = sparkline(points, width)
        return text.replace(f"{name} ", f"{name} {curve} ", 1) if curve else text

    def _validations(self) -> list[tuple[float, float]]:
        history = self._trainer.progress.history
        return [(step or 0, val) for step, _, val in history if val is not None]

    def _training(self) -> list[tuple[float, float]]:
        step = self._trainer.progress.step
        while self._losses and self._losses[-1][0] >= step:  # before a rollback
            self._losses.pop()
        if self._loss is not None:
            self._losses.append((step, self._loss))
        if len(self._losses) > _MOST_POINTS:
            del self._losses[1::2]
        return self._losses

    def _room_beside(self, text: str) -> int:
        """Return the columns for a curve: half of those that are left to the bar.

        On a narrow terminal it gets all but two. text is the rest of what is shown
        after the bar.
        """
        shown = self._bar.format_dict
        bare = shown["bar_format"].replace("{bar}", "")
        line = self._bar.format_meter(
            **{**shown, "bar_format": bare, "postfix": text, "ncols": None}
        )
        free = (shown["ncols"] or 0) - len(line)
        return min(_WIDEST, max((free - 1) // 2, min(_NARROWEST, free - 3)))


def _can_write(text: str, encoding: str | None) -> bool:
    try:
        text.encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
