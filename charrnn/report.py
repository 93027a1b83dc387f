"""How results look on a terminal or a page: tables and columns, as plain strings."""

from collections.abc import Iterable, Sequence

from charrnn.compare import Column, Comparison
from charrnn.scoreboard import Scoreboard

_GAP = "  "
_NARROWEST = 18  # characters of a text column


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


def comparison_page(comparison: Comparison, width: int) -> str:
    """Return the texts side by side, as many as fit in `width`, figures beneath."""
    columns = comparison.columns
    fit = max(1, (width + len(_GAP)) // (_NARROWEST + len(_GAP)))
    # As many blocks as are needed, with columns spread evenly over them.
    blocks = -(-len(columns) // fit)
    fit = -(-len(columns) // blocks)
    pages = [
        _block(comparison, columns[i : i + fit], width)
        for i in range(0, len(columns), fit)
    ]
    if comparison.calibrated is not None:
        pages.append(
            f"Held-out text is likeliest at temperature {comparison.calibrated:.2f}."
        )
    return "\n\n".join(pages)


def _block(comparison: Comparison, columns: Sequence[Column], width: int) -> str:
    each = max(8, (width - len(_GAP) * (len(columns) - 1)) // len(columns))
    cells = []
    for column in columns:
        text = wrapped(comparison.prime + column.text, each)
        title = f"temperature {column.temperature:g}"
        cells.append((title[-each:], text, _figures(column, each)))
    height = max(len(text) for _, text, _ in cells)
    padded = [
        [title, "─" * each, *text, *[""] * (height - len(text)), "─" * each, *figures]
        for title, text, figures in cells
    ]
    return "\n".join(
        _GAP.join(cell.ljust(each) for cell in line).rstrip()
        for line in zip(*padded, strict=True)
    )


def wrapped(text: str, width: int) -> list[str]:
    """Return a text's lines, broken at `width`, between words where that can be."""
    lines = []
    for line in text.split("\n"):
        line = "".join(
            c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in line
        )
        while len(line) > width:
            cut = line.rfind(" ", 1, width + 1)
            lines.append(line[: cut if cut > 0 else width])
            line = line[cut + 1 if cut > 0 else width :]
        lines.append(line)
    return lines


def _figures(column: Column, width: int) -> list[str]:
    rows = [
        ("log-prob", f"{column.log_prob:.3f}"),
        ("entropy", f"{column.entropy:.3f}"),
        ("distinct-4", f"{column.distinct_4grams:.0%}"),
        ("repeated", f"{column.repetition:.0%}"),
    ]
    if column.longest_copy is not None:
        known = column.known_words
        rows += [
            ("known words", "none" if known is None else f"{known:.0%}"),
            ("longest copy", f"{len(column.longest_copy)}"),
        ]
    return [_spread(name, value, width) for name, value in rows]


def _spread(name: str, value: str, width: int) -> str:
    room = width - len(value) - 1
    return f"{name[:room]:<{room}} {value}" if room > 0 else value[:width]
