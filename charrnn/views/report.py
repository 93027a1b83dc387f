"""How a comparison shows itself: as a page, and in a notebook."""

from collections.abc import Iterator, Sequence
from statistics import fmean, stdev

from charrnn.markup.chart import Chart, Series
from charrnn.markup.escape import escaped
from charrnn.markup.page import page
from charrnn.markup.tint import Mark, legend, tinted, tinted_inline
from charrnn.views.columns import html_columns
from charrnn.views.compared import Compared
from charrnn.views.copies import LEAST, Copy, sources
from charrnn.views.expected import STRONGEST, marks
from charrnn.views.figures import MEASURES, Column, Measure, values_of

_TINTED = 10_000  # characters of a column that are tinted on a page
_IN_NOTEBOOK = 2_000  # and in a notebook, which keeps what it shows in its file
_COPIES = 5  # copied stretches that are listed below a text
_QUOTED = 60  # characters of each that are quoted
_CHARTED = ("log_prob", "entropy", "distinct_4grams", "known_words", "longest_copy")
_NO_CORPUS = (
    "The text that the model was trained on is not available. What needs it is left "
    "out: known words, copies, and the loss of held-out text."
)


def report(comparison: Compared) -> str:
    """Return a page with the texts, tinted, and charts and a table of their figures."""
    body = [
        "<h1>Temperatures compared</h1>",
        _about(comparison),
        f'<p class="muted">{_how_to_read(comparison)}</p>',
        legend("0 bits", f"{STRONGEST:g} bits or more"),
        '<div class="columns">',
        *(_panel(comparison, i) for i in range(len(comparison.columns))),
        "</div>",
        *_figures(comparison),
    ]
    temperatures = ", ".join(f"{each.temperature:g}" for each in comparison.columns)
    return page(f"charrnn at temperatures {temperatures}", "\n".join(body))


def notebook(comparison: Compared) -> str:
    """Return the texts side by side, tinted, with figures and charts below.

    It needs neither a style sheet nor a script.
    """
    figures = comparison.figures()
    return html_columns(
        [f"temperature {column.temperature:g}" for column in comparison.columns],
        [_inline(comparison, column) for column in comparison.columns],
        {name: [each[name] for each in figures] for name in figures[0]},
        footer=comparison.last_line(),
        charts=[chart.figure() for chart in charts(comparison)],
    )


def charts(comparison: Compared) -> Iterator[Chart]:
    """Yield the charts of a comparison; some may have nothing to show."""
    samples = sorted(comparison.samples, key=lambda texts: texts[0].temperature)
    for measure in MEASURES:
        if measure.field in _CHARTED:
            yield _chart(measure, samples)
    lowest = None
    if comparison.calibrated is not None and comparison.curve:
        lowest = min(comparison.curve, key=lambda point: point[1])
    yield Chart(
        "Loss of held-out text, nats per character",
        [Series("loss", comparison.curve)],
        x_label="temperature",
        marked=lowest,
        mark_label=f"lowest at {lowest[0]:.2f}" if lowest else "",
    )


def _chart(measure: Measure, samples: Sequence[Sequence[Column]]) -> Chart:
    percent = measure.form.endswith("%")
    scale = 100 if percent else 1
    points, spread = [], []
    for texts in samples:
        values = [value * scale for value in values_of(measure, texts)]
        if values:
            points.append((texts[0].temperature, fmean(values)))
            spread.append(stdev(values) if len(values) > 1 else 0.0)
    return Chart(
        f"{measure.title}, %" if percent else measure.title,
        [Series(measure.name, points, spread if any(spread) else (), dots=True)],
        x_label="temperature",
    )


def _about(comparison: Compared) -> str:
    prime, origin = comparison.prime, comparison.origin
    rows = [("model", origin.model)] if origin else []
    if origin and origin.corpus:
        rows.append(("trained on", origin.corpus))
    rows.append(("prime", prime if prime else "none: a likely start"))
    rows.append(("seed", f"{comparison.seed}"))
    if comparison.others:
        rows.append(("texts", f"{len(comparison.samples[0])} at each temperature"))
    cells = "".join(
        f'<tr><th scope="row">{name}</th><td class="given">{escaped(value)}</td></tr>'
        for name, value in rows
    )
    return f"<table><tbody>{cells}</tbody></table>"


def _how_to_read(comparison: Compared) -> str:
    sentences = [
        "All texts use the same random numbers.",
        "The tint of a character is its surprise under the model at temperature 1, "
        "-log2 of its probability.",
        "Point at a character, tap it, or move to it with the arrow keys, to see its "
        "probability and the likeliest others.",
    ]
    if comparison.searched is not None:
        sentences.append(
            f"Stretches of {LEAST} or more characters that are copied from the "
            "training text are underlined."
        )
    return escaped(" ".join(sentences))


def _panel(comparison: Compared, number: int) -> str:
    first, *others = comparison.samples[number]
    title = f"temperature {first.temperature:g}"
    parts = [
        f'<section class="panel"><h2 class="column">{title}</h2>',
        tinted(
            [*_marks(comparison, first, _TINTED)],
            name=f"details-{number}",
            label=f"Text at {title}; the arrow keys move through it",
            before=comparison.prime,
        ),
    ]
    if len(first.text) > _TINTED:
        parts.append(
            f'<div class="text">{escaped(first.text[_TINTED:])}</div>'
            f'<p class="small muted">Only the first {_TINTED:,} characters are '
            "tinted.</p>"
        )
    if first.longest_copy is not None:
        parts.append(_copies(first))
    if others:
        parts.append(_others(comparison, others))
    return "".join([*parts, "</section>"])


def _marks(comparison: Compared, column: Column, most: int) -> Iterator[Mark]:
    """Yield the first characters of a text as marks; without details, untinted."""
    text, origin = column.text[:most], comparison.origin
    if column.expected is None or origin is None:
        yield from (Mark(character, 0, "") for character in text)
        return
    yield from marks(
        [*column.expected.characters(text, origin.symbols)],
        sources(column.copies, len(column.text))[:most],
        are_bytes=origin.reads_bytes,
    )


def _inline(comparison: Compared, column: Column) -> str:
    shown = [*_marks(comparison, column, _IN_NOTEBOOK)]
    rest = column.text[_IN_NOTEBOOK:]
    return tinted_inline(shown, before=comparison.prime) + escaped(rest)


def _copies(column: Column) -> str:
    """Return the longest copied stretches of a text as a list."""
    longest = sorted(column.copies, key=lambda copy: copy.start - copy.end)
    if not longest:
        return f'<p class="small muted">No {LEAST} characters in a row are copied.</p>'
    items = "".join(f"<li>{_copy(column, copy)}</li>" for copy in longest[:_COPIES])
    more = len(longest) - _COPIES
    rest = f'<p class="small muted">and {more:,} more</p>' if more > 0 else ""
    return f'<h3>Copied</h3><ul class="small copies">{items}</ul>{rest}'


def _copy(column: Column, copy: Copy) -> str:
    text = column.text[copy.start : copy.end]
    quote = f"{text[:_QUOTED]}…" if len(text) > _QUOTED else text
    return (
        f"{len(text):,} characters, {escaped(copy.source)}: "
        f"<q>{escaped(' '.join(quote.split()))}</q>"
    )


def _others(comparison: Compared, others: Sequence[Column]) -> str:
    """Return the other texts of a temperature, folded away."""
    texts = "".join(
        f'<div class="text other"><span class="prime">{escaped(comparison.prime)}'
        f"</span>{escaped(other.text)}</div>"
        for other in others
    )
    more = f"{len(others):,} more text{'s' * (len(others) > 1)}"
    return f"<details><summary>{more}</summary>{texts}</details>"


def _figures(comparison: Compared) -> Iterator[str]:
    """Yield charts and a table of the figures."""
    several = bool(comparison.others)
    yield "<h2>Figures</h2>"
    if comparison.searched is None:
        yield f"<p>{_NO_CORPUS}</p>"
    if comparison.last_line():
        yield f"<p>{escaped(comparison.last_line())}</p>"
    drawn = [figure for chart in charts(comparison) if (figure := chart.figure())]
    if drawn and several:
        yield "<p>Bands are one standard deviation below and above the mean.</p>"
    if drawn:
        yield f'<div class="columns charts">{"".join(drawn)}</div>'
    yield _table(comparison, several)


def _table(comparison: Compared, several: bool) -> str:
    figures = comparison.figures()
    names = "".join(
        f'<th scope="col" class="number">{escaped(measure.title)}</th>'
        for measure in MEASURES
        if measure.name in figures[0]
    )
    rows = "".join(
        f'<tr><th scope="row">{column.temperature:g}</th>'
        + "".join(f'<td class="number">{value}</td>' for value in each.values())
        + "</tr>"
        for column, each in zip(comparison.columns, figures, strict=True)
    )
    count = len(comparison.samples[0])
    caption = f"Mean ± standard deviation of {count} texts" if several else "Figures"
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="Table of figures">'
        f"<table><caption>{caption}</caption><thead>"
        f'<tr><th scope="col">Temperature</th>{names}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )
