"""What hidden units watch, as a page: a table, and a tinted text for each unit."""

from collections.abc import Sequence

import numpy as np

from charrnn.markup.escape import escaped
from charrnn.markup.page import page
from charrnn.markup.tint import Mark, legend, level, tinted
from charrnn.nn.parameters import Array
from charrnn.text.characters import quoted
from charrnn.views.features import DEFINITIONS
from charrnn.views.neurons import Follower, Ranking, Unit


def neurons_page(
    name: str,
    units: Sequence[Unit],
    text: str,
    values: Array,
    followers: Sequence[Follower],
    ranking: Ranking | None,
    *,
    part: int = 0,
) -> str:
    """Return a page of the activations (len(text), len(units)) of units over a text.

    name is that of the text. followers are the rows of the table; without a ranking
    there is none. part is as in `rank`.
    """
    of_unit = {(each.layer, each.unit): each for each in reversed(followers)}
    state = "cell state" if part else "hidden state"
    panels = "".join(
        _panel(unit, text, values[:, i], of_unit.get(unit), part, is_open=i < 3)
        for i, unit in enumerate(units)
    )
    low, high = ("−largest", "largest") if part else ("−1", "1")
    body = (
        f"<h1>What hidden units watch</h1><p>The {state} of units while the model "
        f"reads the first {len(text):,} characters of {escaped(name)}. The tint of a "
        "character is the activation right after it was read.</p>"
        f"{_table(followers, ranking, units) if ranking else ''}"
        f"<h2>Units</h2>{legend(low, high, both=True)}"
        f'<div class="columns wide">{panels}</div>'
        f"{_definitions(ranking) if ranking else ''}"
    )
    return page(f"Neurons: {name}", body)


def marks(text: str, values: Array, *, part: int = 0) -> list[Mark]:
    """Return a text tinted by the activations (len(text),) of a unit.

    The strongest tint is 1 for the hidden state and, for the cell state, which has no
    bounds, the largest activation in this text.
    """
    largest = largest_of(values, part)
    return [
        Mark(character, level(value, largest), f"{quoted(character)}  {value:+.3f}")
        for character, value in zip(text, values.tolist(), strict=True)
    ]


def largest_of(values: Array, part: int) -> float:
    """Return the activation of the strongest tint."""
    return (float(np.abs(values).max(initial=0)) or 1.0) if part else 1.0


def _panel(
    unit: Unit,
    text: str,
    values: Array,
    follower: Follower | None,
    part: int,
    *,
    is_open: bool,
) -> str:
    title = f"Layer {unit[0]}, unit {unit[1]}"
    about = f": {follower.feature} {_signed(follower.checked)}" if follower else ""
    largest = f", strongest tint {largest_of(values, part):.2f}" if part else ""
    name = f"unit-{unit[0]}-{unit[1]}"
    return (
        f'<details class="panel"{" open" if is_open else ""}>'
        f"<summary><strong>{title}</strong>{escaped(about)}{largest}</summary>"
        f'<div id="panel-{name}">'  # inside, so that a link to it unfolds the panel
        f"{tinted(marks(text, values, part=part), name=name, label=title)}</div>"
        "</details>"
    )


def _table(
    followers: Sequence[Follower], ranking: Ranking, units: Sequence[Unit]
) -> str:
    rows = "".join(_row(each, ranking, units) for each in followers)
    return (
        "<h2>What they follow</h2><p>Pearson’s correlation of an activation with a "
        f"feature. The feature was chosen on {ranking.characters:,} characters, and "
        f"the correlation checked on {ranking.characters:,} others; the last column is "
        "how well the best unit of an untrained network follows the feature on those."
        "</p>"
        '<div class="scroll" tabindex="0" role="region" aria-label="Correlations">'
        '<table><thead><tr><th scope="col">unit</th><th scope="col">feature</th>'
        '<th scope="col" class="number">chosen</th>'
        '<th scope="col" class="number">checked</th>'
        '<th scope="col" class="number">untrained</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _row(each: Follower, ranking: Ranking, units: Sequence[Unit]) -> str:
    name = f"{each.layer}:{each.unit}"
    if (each.layer, each.unit) in units:
        name = f'<a href="#panel-unit-{each.layer}-{each.unit}">{name}</a>'
    fails = "" if each.holds else " does not hold"
    numbers = (each.chosen, each.checked, ranking.untrained_of(each.feature))
    cells = "".join(f'<td class="number">{_signed(value)}</td>' for value in numbers)
    return f"<tr><td>{name}</td><td>{escaped(each.feature)}{fails}</td>{cells}</tr>"


def _definitions(ranking: Ranking) -> str:
    terms = "".join(
        f'<tr><th scope="row">{escaped(name)}</th>'
        f"<td>{escaped(DEFINITIONS[name])}</td></tr>"
        for name in ranking.features
    )
    left_out = ", ".join(ranking.left_out)
    rest = f"<p>Constant in this text: {escaped(left_out)}.</p>" if left_out else ""
    return f"<h2>Features</h2><table><tbody>{terms}</tbody></table>{rest}"


def _signed(value: float) -> str:
    """Return a correlation with a real minus sign."""
    return f"{round(value, 2) + 0:.2f}".replace("-", "\N{MINUS SIGN}")
