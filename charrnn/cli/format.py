"""How results look on a terminal or a page: tables and columns, as plain strings."""

import unicodedata
from collections.abc import Iterable, Sequence

from charrnn.evaluation.scoreboard import Scoreboard
from charrnn.generation.compare import Column, Comparison
from charrnn.nn.workers import Layout

_GAP = "  "
_NARROWEST = 14  # characters of a text column


def table(rows: Iterable[Sequence[str]], *, heads: int = 1) -> str:
    """Return rows as aligned columns: the first `heads` to the left, others right."""
    rows = [list(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            cell.ljust(width) if i < heads else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append(_GAP.join(cells).rstrip())
    return "\n".join(lines)


def scoreboard_table(board: Scoreboard, parts: tuple[str, str]) -> str:
    """Return the scoreboard; parts are what to call the two parts of the text."""
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
        f"The network beats counting by {gain:.3f} nats a character."
        if gain > 0
        else f"Counting still beats the network by {-gain:.3f} nats a character."
    )
    return f"{table(rows)}\n{verdict}"


def describe_layout(layout: Layout) -> str:
    """Return in words how a training step uses the cores."""
    if layout.workers > 1:
        return f"batch split over {layout.workers} threads"
    if layout.blas_threads > 1:
        return f"{layout.blas_threads} threads per matrix product"
    return "1 thread"


def comparison_page(comparison: Comparison, width: int) -> str:
    """Return the texts side by side, as many as fit in `width`, figures beneath."""
    shown = comparison.columns
    fit = max(1, (width + len(_GAP)) // (_NARROWEST + len(_GAP)))
    # As many blocks as are needed, with columns spread evenly over them.
    blocks = -(-len(shown) // fit)
    fit = -(-len(shown) // blocks)
    pages = [
        _block(comparison, shown[i : i + fit], width) for i in range(0, len(shown), fit)
    ]
    if comparison.calibrated is not None:
        line = f"Held-out text is likeliest at temperature {comparison.calibrated:.2f}."
        pages.append("\n".join(wrapped(line, width)))
    return "\n\n".join(pages)


def _block(comparison: Comparison, columns: Sequence[Column], width: int) -> str:
    each = max(8, (width - len(_GAP) * (len(columns) - 1)) // len(columns))
    cells = []
    for column in columns:
        text = wrapped(comparison.prime + column.text, each)
        name = "temperature" if each > 16 else "temp"
        title = f"{name} {column.temperature:g}"[:each]
        cells.append((title, text, _figures(column, each)))
    height = max(len(text) for _, text, _ in cells)
    padded = [
        [title, "─" * each, *text, *[""] * (height - len(text)), "─" * each, *figures]
        for title, text, figures in cells
    ]
    return "\n".join(
        _GAP.join(_padded(cell, each) for cell in line).rstrip()
        for line in zip(*padded, strict=True)
    )


def wrapped(text: str, width: int) -> list[str]:
    """Return a text's lines, broken at `width`, between words where that can be."""
    lines = []
    for line in text.split("\n"):
        line = "".join(_visible(c) for c in line.expandtabs(4))
        while columns(line) > width:
            fit = _fitting(line, width)
            space = line.rfind(" ", 1, fit + 1)
            cut, skip = (space, 1) if space > 0 else (fit, 0)
            lines.append(line[:cut])
            line = line[cut + skip :]
        lines.append(line)
    return lines


def columns(line: str) -> int:
    """Return the columns that a line takes on a terminal."""
    return sum(map(_columns_of, line))


def _columns_of(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _fitting(line: str, width: int) -> int:
    """Return how many characters of a line fit in `width` columns, at least one."""
    used = 0
    for i, character in enumerate(line):
        used += _columns_of(character)
        if used > width:
            return max(1, i)
    return len(line)


def _visible(character: str) -> str:
    return character if character.isprintable() else "\N{REPLACEMENT CHARACTER}"


def _padded(line: str, width: int) -> str:
    return line + " " * (width - columns(line))


def _figures(column: Column, width: int) -> list[str]:
    rows = [
        ("log p", f"{column.log_prob:.3f}"),
        ("entropy", f"{column.entropy:.3f}"),
        ("distinct", f"{column.distinct_4grams:.0%}"),
        ("repeated", f"{column.repetition:.0%}"),
    ]
    if column.longest_copy is not None:
        known = column.known_words
        rows += [
            ("known", "none" if known is None else f"{known:.0%}"),
            ("copied", f"{len(column.longest_copy)}"),
        ]
    return [_spread(name, value, width) for name, value in rows]


def _spread(name: str, value: str, width: int) -> str:
    room = width - len(value) - 1
    return f"{name[:room]:<{room}} {value}" if room > 0 else value[:width]
