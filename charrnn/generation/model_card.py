"""What notebooks show of a model: facts, and its learning curve.

Colors are the page's own (`currentColor`) or readable on white and on black. All
strings are escaped, because a checkpoint is not trusted.
"""

from collections.abc import Iterable, Sequence
from math import nan

from charrnn.markup.chart import Chart, Series
from charrnn.markup.escape import escaped

_CARD = (
    "display:inline-block;padding:10px 14px;border-radius:8px;font-size:13px;"
    "border:1px solid rgba(128,128,128,.4);font-family:system-ui,sans-serif"
)
_NAME = "padding:1px 14px 1px 0;text-align:left;border:0;opacity:.7"
_VALUE = "padding:1px 0;text-align:left;border:0"


def html_card(
    title: str,
    facts: Iterable[tuple[str, str]],
    history: Sequence[Sequence[float | None]],
) -> str:
    """Return a card as HTML.

    facts are names and values, plain text. history has rows (step, training loss,
    validation loss); rows that are not finite are left out of the curve.
    """
    rows = "".join(_row(name, escaped(value)) for name, value in facts)
    return (
        f'<div style="{_CARD}"><div style="font-weight:600;margin-bottom:4px">'
        f"{escaped(title)}</div>"
        f'<table style="border-collapse:collapse;border:0">{rows}</table>'
        f"{loss_curve(history)}</div>"
    )


def _row(name: str, value: str) -> str:
    return (
        f'<tr style="background:none"><td style="{_NAME}">{escaped(name)}</td>'
        f'<td style="{_VALUE}">{value}</td></tr>'
    )


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
