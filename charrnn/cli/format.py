"""Formatting results as plain text: tables, and texts side by side.


How wide a text is depends on the terminal: they differ over joined emoji, over vowel
signs of India and over new characters. So columns are padded by the widths of wcwidth,
which is right for plain text and in a file; and on a terminal, each column is also put
at its place by a control sequence, which is right everywhere.
"""

import os
import re
import shutil
import sys
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Sequence

from wcwidth import iter_graphemes, wcswidth, wcwidth

from charrnn.evaluation.loss import Score
from charrnn.evaluation.scoreboard import Scoreboard
from charrnn.nn.workers import Layout
from charrnn.text.characters import is_invisible, on_circle, runs_right_to_left
from charrnn.views.compare import Comparison

_GAP = "  "
_NARROWEST = 14  # terminal columns of a text in a comparison, or more
_WIDEST = 60  # and of one in a listing, or fewer
_TAB = 4
_SPACES_OR_WORD = re.compile(r"[^\S\u00a0\u2007\u202f]+|(?:\S|[\u00a0\u2007\u202f])+")
# Invisible, but needed to show joined emoji, flags, Persian, Hindi or Korean.
_NEEDED = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200c\u200d"
    "\ufe00-\ufe0f\U000e0020-\U000e007f\U000e0100-\U000e01ef]"
)
# Signs above or below digits, which Unicode counts as format characters.
_SIGNS = re.compile("[\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd]")
# They change the order of the text around them, so they are not simply left out.
_REORDERING = re.compile("[\u202a-\u202e\u2066-\u2069]")


def on_terminal() -> bool:
    """Return whether standard output is a terminal that obeys control sequences."""
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


def table(
    rows: Iterable[Sequence[str]],
    *,
    heads: int = 1,
    right: Collection[int] = (),
    place: bool = False,
) -> str:
    """Return rows as columns: the first `heads` aligned left, the others right.

    With `right`, only the columns with these numbers are aligned right. place puts the
    columns at their places with control sequences of a terminal.
    """
    rows = [list(row) for row in rows]
    widths = [max(map(wcswidth, column)) for column in zip(*rows, strict=True)]

    def is_right(i: int) -> bool:
        return i in right if right else i >= heads

    lines = []
    for row in rows:
        cells = [
            " " * (width - wcswidth(cell)) + cell if is_right(i) else cell
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append(_line(cells, widths, place))
    return "\n".join(lines)


def file_size(size: int) -> str:
    """Return a number of bytes with the unit that suits it."""
    number, units = float(size), ["bytes", "kB", "MB", "GB"]
    while number >= 1000 and len(units) > 1:
        number /= 1000
        del units[0]
    return f"{number:.{0 if units[0] == 'bytes' else 1}f} {units[0]}"


def _line(cells: Sequence[str], widths: Sequence[int], place: bool) -> str:
    """Return cells in columns of the given widths."""
    line, start = "", 0
    for cell, width in zip(cells, widths, strict=True):
        if start and place and cell:
            line += f"\x1b[{start + 1}G"
        line += cell + " " * (width - wcswidth(cell)) + _GAP
        start += width + len(_GAP)
    return line.rstrip()


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
    notes = "".join(f"{note}\n" for note in _parts_scored(board, parts))
    gain = board.ngram.nats - board.val.nats
    verdict = (
        f"The network beats counting by {gain:.3f} nats per character."
        if gain > 0
        else f"Counting still beats the network by {-gain:.3f} nats per character."
    )
    return f"{table(rows)}\n{notes}{verdict}"


def _parts_scored(board: Scoreboard, parts: tuple[str, str]) -> list[str]:
    """Return which characters were scored and counted, if not all."""
    notes = []
    if board.is_spread:
        notes.append(
            f"Scored on {board.val.characters:,} of {board.val_part:,} characters "
            f"({parts[1]}) and\n{board.train.characters:,} of {board.train_part:,} "
            f"({parts[0]}), spread evenly."
        )
    if board.fitted < board.train_part:
        notes.append(
            f"The {board.ngram_order}-gram was fitted on the last {board.fitted:,} of "
            f"{board.train_part:,} characters."
        )
    return notes


def score_table(name: str, score: Score) -> str:
    """Return the score on a whole text as a table."""
    return table(
        [
            ("", "nats/char", "bits/char", "perplexity", "characters"),
            (
                _shown(name),
                f"{score.nats:.4f}",
                f"{score.bits:.4f}",
                f"{score.perplexity:.3f}",
                f"{score.characters:,}",
            ),
        ]
    )


def shortened(text: str, width: int) -> str:
    """Return the start of a text as a line of at most so many columns."""
    line = _shown(text.replace("\n", "⏎"))
    if wcswidth(line) <= width:
        return line
    return f"{next(_broken(line, width - 1))}…"


def listing(rows: Sequence[Sequence[str]]) -> str:
    """Return rows of figures and a text, which is shortened to fit the terminal."""
    *figures, _ = zip(*rows, strict=True)
    taken = sum(max(map(wcswidth, column)) + len(_GAP) for column in figures)
    room = shutil.get_terminal_size().columns - taken
    room = max(_NARROWEST, min(_WIDEST, room))
    fitting = [(*row[:-1], shortened(row[-1], room)) for row in rows]
    return table(fitting, right=range(len(figures)))


def describe_layout(layout: Layout, networks: int = 1, ranks: int = 1) -> str:
    """Return a description of how a training step uses the ranks and the cores."""
    what = "networks" if networks > 1 else "batch"
    if ranks > 1:
        each = describe_layout(layout, networks)
        return f"{what} split over {ranks} ranks, each with {each}"
    if layout.workers > 1:
        return f"{what} split over {layout.workers} threads"
    if layout.blas_threads > 1:
        return f"{layout.blas_threads} threads per matrix product"
    return "1 thread"


def comparison_page(comparison: Comparison, width: int, *, place: bool = False) -> str:
    """Return texts side by side with statistics below, in as many blocks as needed.

    place is as in `table`. Texts that run from right to left are one below the other:
    no terminal keeps the marks that would hold their lines apart.
    """
    shown = comparison.columns
    fit = max(1, (width + len(_GAP)) // (_NARROWEST + len(_GAP)))
    if any(runs_right_to_left(comparison.prime + column.text) for column in shown):
        fit = 1
    # Spread the texts evenly over the blocks.
    blocks = -(-len(shown) // fit)
    fit = -(-len(shown) // blocks)
    pages = [
        _block(comparison, range(i, min(i + fit, len(shown))), width, place)
        for i in range(0, len(shown), fit)
    ]
    line = comparison.last_line()
    if line:
        pages.append("\n".join(wrapped(line, width)))
    return "\n\n".join(pages)


def _block(
    comparison: Comparison, numbers: Sequence[int], width: int, place: bool
) -> str:
    each = max(8, (width - len(_GAP) * (len(numbers) - 1)) // len(numbers))
    all_figures = comparison.figures()
    cells = []
    for number in numbers:
        column = comparison.columns[number]
        text = wrapped(comparison.prime + column.text, each)
        name = "temperature" if each > 16 else "temp"
        title = f"{name} {column.temperature:g}"[:each]
        figures = [_spread(*figure, each) for figure in all_figures[number].items()]
        cells.append((title, text, figures))
    height = max(len(text) for _, text, _ in cells)
    padded = [
        [title, "─" * each, *text, *[""] * (height - len(text)), "─" * each, *figures]
        for title, text, figures in cells
    ]
    return "\n".join(
        _line(line, [each] * len(line), place) for line in zip(*padded, strict=True)
    )


def wrapped(text: str, width: int) -> list[str]:
    """Return a text's lines, broken at `width` columns, between words if possible.

    No letter is parted from its marks, nor a joined emoji. A line is at most `width`
    columns wide on every terminal, so on some it is shorter.
    """
    return [row for line in text.split("\n") for row in _broken(_shown(line), width)]


def _broken(line: str, width: int) -> Iterator[str]:
    row, used = "", 0
    for part in _SPACES_OR_WORD.findall(line):
        clusters = list(_clusters(part))
        sizes = list(map(_room, clusters))
        if used and used + sum(sizes) > width >= sum(sizes):
            yield row.rstrip()
            row, used = "", 0
            if part.isspace():
                continue
        for cluster, size in zip(clusters, sizes, strict=True):
            if used and used + size > width:
                yield row.rstrip()
                row, used = "", 0
            row, used = row + cluster, used + size
    yield row.rstrip()


def _clusters(text: str) -> Iterator[str]:
    """Yield the parts of a text that must not be parted, each with some width."""
    held = ""
    for grapheme in iter_graphemes(text):
        if held and wcswidth(grapheme) > 0:
            yield held
            held = ""
        if not held and wcswidth(grapheme) <= 0:
            grapheme = on_circle(grapheme)
        held += grapheme
    if held:
        yield held


def _room(cluster: str) -> int:
    """Return the columns that a cluster takes on a terminal that joins nothing."""
    if cluster.isascii():
        return len(cluster)
    apart = sum(
        1 if unicodedata.category(c) == "Mc" else max(0, wcwidth(c)) for c in cluster
    )
    return max(apart, wcswidth(cluster))


def _shown(line: str) -> str:
    """Return a line without control characters and without invisible ones."""
    shown = ""
    for part in re.split("(\t)", line):
        if part == "\t":
            shown += " " * (_TAB - wcswidth(shown) % _TAB)
        else:
            shown += "".join(map(_visible, part))
    return shown


def _visible(character: str) -> str:
    """Return what a terminal is to show for a character, perhaps nothing."""
    if _NEEDED.match(character) or _SIGNS.match(character):
        return character
    if _REORDERING.match(character):
        return "\N{REPLACEMENT CHARACTER}"
    if is_invisible(character):
        return ""
    shown = character.isprintable() or unicodedata.category(character) == "Zs"
    return character if shown else "\N{REPLACEMENT CHARACTER}"


def _spread(name: str, value: str, width: int) -> str:
    room = width - len(value) - 1
    return f"{name[:room]:<{room}} {value}" if room > 0 else value[:width]
