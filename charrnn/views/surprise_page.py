"""A page of a text that is tinted by the surprise of a model."""

from charrnn.markup.escape import escaped
from charrnn.markup.page import page
from charrnn.markup.tint import legend, tinted
from charrnn.views.expected import STRONGEST
from charrnn.views.surprise import Line, Surprise


def surprise_page(found: Surprise, lines: int = 10) -> str:
    """Return a page with what is shown of a text, and its most surprising lines."""
    score = found.score
    title = f"Surprise in {found.name}"
    summary = (
        f"{score.characters:,} characters: {score.nats:.4f} nats or {score.bits:.4f} "
        f"bits per character, perplexity {score.perplexity:.3f}."
    )
    parts = [
        f"<h1>{escaped(title)}</h1>",
        f"<p>{escaped(summary)}</p>",
        '<p class="small muted">The surprise of a character is &minus;log<sub>2</sub> '
        "of the probability that the model gave it. Point at a character, tap it or "
        "move to it with the arrow keys: then you see what the model expected.</p>",
        legend("0 bits", f"{STRONGEST:g} bits or more"),
    ]
    if found.left_out:
        parts.append(f"<p>{escaped(found.left_out.capitalize())}.</p>")
    worst = found.lines(lines)
    if worst:
        parts.append(f"<h2>The most surprising lines</h2>{_table(worst)}")
    parts.append("<h2>The text</h2>")
    marks = [*found.marks(details=True)]
    text = tinted(marks, name="surprise", label=f"The text, tinted: {found.name}")
    parts.append(f'<div class="panel">{text}</div>')
    return page(title, "\n".join(parts))


def _table(lines: list[Line]) -> str:
    rows = "".join(
        f'<tr><td class="number">{line.number:,}</td>'
        f'<td class="number">{line.bits:.3f}</td>'
        f'<td class="number">{line.characters:,}</td>'
        f'<td class="text">{escaped(line.text)}</td></tr>'
        for line in lines
    )
    heads = "".join(
        f'<th scope="col" class="number">{name}</th>'
        for name in ("line", "bits per character", "characters")
    )
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="Lines"><table>'
        f"<thead><tr>{heads}<th scope='col'>text</th></tr></thead>"
        f"<tbody>{rows}</tbody></table></div>"
    )
