"""Formatting results as plain text: tables, and texts side by side."""

from collections.abc import Iterable, Sequence

from wcwidth import ljust, rjust, wcswidth, wrap

from charrnn.evaluation.scoreboard import Scoreboard
from charrnn.generation.compare import Column, Comparison
from charrnn.nn.workers import Layout

_GAP = "  "
_NARROWEST = 14  # terminal columns of a text in a comparison, or more
# Invisible, but needed to show joined emoji, and Persian or Hindi words.
_JOINERS = "\N{ZERO WIDTH JOINER}\N{ZERO WIDTH NON-JOINER}"


def table(rows: Iterable[Sequence[str]], *, heads: int = 1) -> str:
    """Return rows as columns: the first `heads` aligned left, the others right."""
    rows = [list(row) for row in rows]
    widths = [max(map(wcswidth, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            ljust(cell, width) if i < heads else rjust(cell, width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append(_GAP.join(cells).rstrip())
    return "\n".join(lines)


def scoreboard_table(board: Scoreboard, parts: tuple[str, str]) -> str:
    """Return the scoreboard; `parts` names the two parts of the text."""
    rows = [("", "nats/char", "bits/char", "perplexity")]
    for name, score in (
        (parts[0], board.train),
        (parts[1], board.val),
        (f"{board.ngram_order}-gram, {parts[1]}", board.ngram),
    ):
        rows.append(
            (name, f"{score.nats:.4f}", f"{score.bits:.4f}", f"{score.perplexity:.3f}")
        )
    gain = board.ngram.nats - board.val.nats
    verdict = (
        f"The network beats counting by {gain:.3f} nats per character."
        if gain > 0
        else f"Counting still beats the network by {-gain:.3f} nats per character."
    )
    return f"{table(rows)}\n{verdict}"


def describe_layout(layout: Layout) -> str:
    """Return a description of how a training step uses the cores."""
    if layout.workers > 1:
        return f"batch split over {layout.workers} threads"
    if layout.blas_threads > 1:
        return f"{layout.blas_threads} threads per matrix product"
    return "1 thread"


def comparison_page(comparison: Comparison, width: int) -> str:
    """Return texts side by side with statistics below, in as many blocks as needed."""
    shown = comparison.columns
    fit = max(1, (width + len(_GAP)) // (_NARROWEST + len(_GAP)))
    # Spread the texts evenly over the blocks.
    blocks = -(-len(shown) // fit)
    fit = -(-len(shown) // blocks)
    pages = [
        _block(comparison, shown[i : i + fit], width) for i in range(0, len(shown), fit)
    ]
    line = comparison.last_line()
    if line:
        pages.append("\n".join(wrapped(line, width)))
    return "\n\n".join(pages)


def _block(comparison: Comparison, columns: Sequence[Column], width: int) -> str:
    each = max(8, (width - len(_GAP) * (len(columns) - 1)) // len(columns))
    cells = []
    for column in columns:
        text = wrapped(comparison.prime + column.text, each)
        name = "temperature" if each > 16 else "temp"
        title = f"{name} {column.temperature:g}"[:each]
        figures = [_spread(*figure, each) for figure in column.figures().items()]
        cells.append((title, text, figures))
    height = max(len(text) for _, text, _ in cells)
    padded = [
        [title, "─" * each, *text, *[""] * (height - len(text)), "─" * each, *figures]
        for title, text, figures in cells
    ]
    return "\n".join(
        _GAP.join(ljust(cell, each) for cell in line).rstrip()
        for line in zip(*padded, strict=True)
    )


def wrapped(text: str, width: int) -> list[str]:
    """Return a text's lines, broken at `width` columns, between words if possible."""
    lines = []
    for line in text.split("\n"):
        line = "".join(_visible(c) for c in line.expandtabs(4))
        lines += wrap(line, width) or [""]
    return lines


def _visible(character: str) -> str:
    shown = character.isprintable() or character in _JOINERS
    return character if shown else "\N{REPLACEMENT CHARACTER}"


def _spread(name: str, value: str, width: int) -> str:
    room = width - len(value) - 1
    return f"{name[:room]:<{room}} {value}" if room > 0 else value[:width]
