"""Boxes and rows for notebooks, which have no style sheet of ours."""

from collections.abc import Iterable

from charrnn.markup.escape import escaped

_BOX = (
    "display:inline-block;padding:10px 14px;border-radius:8px;font-size:13px;"
    "border:1px solid rgba(128,128,128,.4);font-family:system-ui,sans-serif"
)
_NAME = "padding:1px 14px 1px 0;text-align:left;border:0;opacity:.7"
_VALUE = "padding:1px 0;text-align:left;border:0"


def box(body: str) -> str:
    """Return HTML in a box."""
    return f'<div style="{_BOX}">{body}</div>'


def rows_table(rows: Iterable[str]) -> str:
    """Return rows as a table."""
    return f'<table style="border-collapse:collapse;border:0">{"".join(rows)}</table>'


def row(name: str, cells: Iterable[str], style: str = _VALUE) -> str:
    """Return a row: a name, plain text, and cells, which are HTML."""
    return (
        f'<tr style="background:none"><td style="{_NAME}">{escaped(name)}</td>'
        + "".join(f'<td style="{style}">{cell}</td>' for cell in cells)
        + "</tr>"
    )
