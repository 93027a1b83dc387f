"""What a notebook shows of a comparison: texts side by side."""

from collections.abc import Mapping, Sequence

from charrnn.markup.chart import Chart
from charrnn.markup.escape import escaped
from charrnn.markup.notebook import box, row, rows_table

_TEXT = (
    "padding:2px 14px 8px 0;text-align:left;vertical-align:top;border:0;min-width:9em;"
    "max-width:22em;white-space:pre-wrap;overflow-wrap:anywhere;"
    "unicode-bidi:plaintext"  # each line from its own side, right-to-left ones too
)
_CHARTS = "display:flex;flex-wrap:wrap;gap:12px;margin-top:10px"
_CHART = "width:380px;max-width:100%"


def html_columns(
    titles: Sequence[str],
    texts: Sequence[str],
    figures: Mapping[str, Sequence[str]],
    *,
    footer: str,
    charts: Sequence[Chart] = (),
) -> str:
    """Return texts side by side as HTML, with their figures, a last line and charts.

    texts are HTML. figures has a name and one value for each text; they and
    the titles are plain text.
    """
    rows = [
        row("", [f"<b>{escaped(title)}</b>" for title in titles]),
        row("", texts, _TEXT),
        *(row(name, map(escaped, values)) for name, values in figures.items()),
    ]
    last = f'<div style="margin-top:6px">{escaped(footer)}</div>' if footer else ""
    return box(f"{rows_table(rows)}{last}{_side_by_side(charts)}")


def _side_by_side(charts: Sequence[Chart]) -> str:
    drawn = [
        f'<div style="{_CHART}"><b>{escaped(chart.title)}</b>{svg}</div>'
        for chart in charts
        if (svg := chart.svg())
    ]
    return f'<div style="{_CHARTS}">{"".join(drawn)}</div>' if drawn else ""
