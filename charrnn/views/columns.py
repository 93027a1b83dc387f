"""What a notebook shows of a comparison: texts side by side."""

from collections.abc import Iterable, Mapping, Sequence

from charrnn.markup.escape import escaped

_CARD = (
    "display:inline-block;padding:10px 14px;border-radius:8px;font-size:13px;"
    "border:1px solid rgba(128,128,128,.4);font-family:system-ui,sans-serif"
)
_NAME = "padding:1px 14px 1px 0;text-align:left;border:0;opacity:.7"
_VALUE = "padding:1px 0;text-align:left;border:0"
_TEXT = (
    "padding:2px 14px 8px 0;text-align:left;vertical-align:top;border:0;min-width:9em;"
    "max-width:22em;white-space:pre-wrap;overflow-wrap:anywhere;"
    "unicode-bidi:plaintext"  # each line from its own side, right-to-left ones too
)
_CHARTS = "display:flex;flex-wrap:wrap;gap:12px;margin-top:10px"
_CHART = "width:300px;max-width:100%"


def html_columns(
    titles: Sequence[str],
    texts: Sequence[str],
    figures: Mapping[str, Sequence[str]],
    *,
    footer: str,
    charts: Sequence[str] = (),
) -> str:
    """Return texts side by side as HTML, with their figures, a last line and charts.

    texts and charts are HTML. figures has a name and one value for each text; they and
    the titles are plain text.
    """
    head = _row("", [f"<b>{escaped(title)}</b>" for title in titles], _VALUE)
    body = _row("", texts, _TEXT)
    rows = "".join(
        _row(name, [escaped(value) for value in values], _VALUE)
        for name, values in figures.items()
    )
    last = f'<div style="margin-top:6px">{escaped(footer)}</div>' if footer else ""
    return (
        f'<div style="{_CARD}"><table style="border-collapse:collapse;border:0">'
        f"{head}{body}{rows}</table>{last}{_side_by_side(charts)}</div>"
    )


def _side_by_side(charts: Sequence[str]) -> str:
    drawn = [f'<div style="{_CHART}">{chart}</div>' for chart in charts if chart]
    return f'<div style="{_CHARTS}">{"".join(drawn)}</div>' if drawn else ""


def _row(name: str, cells: Iterable[str], style: str) -> str:
    return (
        f'<tr style="background:none"><td style="{_NAME}">{escaped(name)}</td>'
        + "".join(f'<td style="{style}">{cell}</td>' for cell in cells)
        + "</tr>"
    )
