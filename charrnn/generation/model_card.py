"""What notebooks show of a model: facts, and its learning curve.

Colors are the page's own (`currentColor`) or readable on white and on black. All
strings are escaped, because a checkpoint is not trusted.
"""

from collections.abc import Iterable, Sequence
from math import nan

from charrnn.markup.chart import Chart, Series
from charrnn.markup.escape import escaped
from charrnn.markup.notebook import box, row, rows_table


def html_card(
    title: str,
    facts: Iterable[tuple[str, str]],
    history: Sequence[Sequence[float | None]],
) -> str:
    """Return a card as HTML.

    facts are names and values, plain text. history has rows (step, training loss,
    validation loss); rows that are not finite are left out of the curve.
    """
    heading = f'<div style="font-weight:600;margin-bottom:4px">{escaped(title)}</div>'
    table = rows_table(row(name, [escaped(value)]) for name, value in facts)
    return box(f"{heading}{table}{loss_curve(history)}")


def loss_curve(history: Sequence[Sequence[float | None]]) -> str:
    """Return the losses over the steps as HTML, or "" for fewer than two points.

    history is that of `html_card`.
    """
    rows = [
        [nan if number is None else number for number in row]
        for row in history
        if row[2] is not None
    ]
    if len({row[0] for row in rows}) < 2:
        return ""
    training = Series("training", [(row[0], row[1]) for row in rows])
    validation = Series("validation", [(row[0], row[2]) for row in rows])
    title = "Loss in nats per character over the steps"
    chart = Chart(title, [training, validation], x_label="steps")
    if svg := chart.svg():
        return f'<div style="width:{chart.width}px;max-width:100%">{svg}</div>'
    return ""
