"""The characters that may come next, as a list that a notebook shows as bars."""

from charrnn.markup.escape import escaped
from charrnn.text.characters import quoted

_TABLE = "border-collapse:collapse;border:0;font-size:13px"
_CELL = "padding:1px 12px 1px 0;text-align:left;border:0"
_TRACK = "display:inline-block;width:200px"
_BAR = "height:0.8em;background:#3b82c4;min-width:1px"


class Choices(list[tuple[str, float]]):
    """Characters and their probabilities, the likeliest first.

    "" stands for the end of a document.
    """

    def _repr_html_(self) -> str:
        """Return the table with bars that notebooks show."""
        rows = "".join(
            f'<tr style="background:none"><td style="{_CELL};font-family:monospace">'
            f"{escaped(quoted(character) if character else 'end')}</td>"
            f'<td style="{_CELL}">{p:.4f}</td><td style="{_CELL}">'
            f'<div style="{_TRACK}"><div style="{_BAR};width:{p:.2%}"></div></div>'
            "</td></tr>"
            for character, p in self
        )
        return f'<table style="{_TABLE}">{rows}</table>'
