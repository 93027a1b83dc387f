"""charrnn neurons: show what hidden units watch while a model reads a text."""

import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from charrnn.cli.colors import color_option, painted, use_color
from charrnn.cli.options import (
    GroupedCommand,
    find_corpus,
    grouped,
    network_option,
    note,
    to_json,
)
from charrnn.cli.text_to_score import (
    advancing_bar,
    note_left_out,
    open_text,
    text_arguments,
)
from charrnn.shell import quote

if TYPE_CHECKING:
    from charrnn.generation.language_model import LanguageModel
    from charrnn.markup.tint import Mark
    from charrnn.nn.parameters import Array
    from charrnn.text.corpus import Corpus
    from charrnn.views.neurons import Follower, Ranking

_SHOWN, _SHOWN_IN_TERMINAL = 2000, 600  # characters
_STRONG = 4  # level of a tint from which a sign stands for it
_options = grouped("Options")
_output = grouped("Output")


class _UnitName(click.ParamType):  # type: ignore[type-arg]  # click 8.1 takes none
    """LAYER:UNIT, both counted from 0."""

    name = "unit"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[int, int]:
        found = re.fullmatch(r"(\d{1,9}):(\d{1,9})", str(value), re.ASCII)
        if not found:
            self.fail(f"{value} is not LAYER:UNIT, such as 0:17", param, ctx)
        return int(found[1]), int(found[2])


@click.command(cls=GroupedCommand)
@text_arguments(verb="Read")
@_options(
    "--unit",
    type=_UnitName(),
    metavar="LAYER:UNIT",
    help="Show this unit over the text. Layers and units are counted from 0.",
)
@_options(
    "--per",
    type=click.Choice(("feature", "unit")),
    metavar="NAME",
    default="feature",
    default_text="feature",
    help="List the best unit for each feature, or each unit with its best feature.",
)
@_options(
    "--top",
    type=click.IntRange(1),
    default_text="10, and 12 on a page",
    help="Number of units to show.",
)
@_options(
    "--length",
    type=click.IntRange(1),
    default_text=f"{_SHOWN:,}, and {_SHOWN_IN_TERMINAL} on a terminal",
    help="Number of characters to show, from the start of the text.",
)
@_options(
    "--cell-state",
    is_flag=True,
    help="Look at the cell state c of an LSTM instead of the hidden state h.",
)
@network_option(_options, "the first")
@color_option(_output)
@_output(
    "--html",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write a page instead: the text tinted by each unit.",
)
@_output("--force", is_flag=True, help="Replace an existing --html.")
@_output("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(
    checkpoint: str | None,
    text: tuple[str, ...],
    sentence: str | None,
    encoding: str | None,
    on_unknown: str,
    unit: tuple[int, int] | None,
    per: str,
    top: int | None,
    length: int | None,
    cell_state: bool,
    network: int | None,
    color: str,
    html: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    """Show what hidden units watch while a model reads a text.

    Each unit's activation is correlated with nameable features: the position in the
    line, a speaker's name, quotes, indentation and others. The feature is chosen on the
    first half of the text and the correlation checked on the other half, next to that
    of an untrained network. TEXT is a file, a folder, several of them, or - for
    standard input; by default it is the validation part of the text that the model was
    trained on. CHECKPOINT is a file or a run folder; by default it is the newest run's
    best model.
    """
    from charrnn.views.neurons import FEWEST, activations, network_of, text_of
    from charrnn.views.page_file import check_is_free

    if html:
        check_is_free(html, force=force)
    opened, corpus = open_text("neurons", checkpoint, text, sentence, encoding)
    model, part = _one_of(opened, network), int(cell_state)
    network_of(model, part)  # raises before the text is read
    name, ids, start = _text_to_read(opened, corpus, on_unknown)
    length = length or (_SHOWN if html or as_json else _SHOWN_IN_TERMINAL)
    shown = text_of(model.vocab, ids[start : start + length])

    def values_of(units: "Sequence[tuple[int, int]]") -> "Array":
        return activations(model, ids[: start + length], units, start=start, part=part)

    if unit:
        values = values_of([unit])[:, 0]
    ranking = None
    if not unit or len(ids) - start >= FEWEST:
        ranking = _ranked(model, ids, start, part)
    if html:
        _write_page(html, force, name, shown, values_of, ranking, unit, per, top, part)
    elif unit and as_json:
        click.echo(to_json(_unit_as_json(unit, shown, values, ranking), _encoding()))
    elif unit:
        _print_unit(shown, values, part, use_color(color))
        if ranking:
            _print_table(ranking.of_unit(unit)[: top or 10], ranking)
    elif ranking and as_json:
        click.echo(to_json({"text": name} | ranking.to_dict(), _encoding()))
    elif ranking:
        _print_table(_followers(ranking, per)[: top or 10], ranking)


def _one_of(model: "LanguageModel", number: int | None) -> "LanguageModel":
    """Return the network of a model to look at, and note which it is."""
    networks = len(model.members)
    if networks > 1:
        note(
            f"the model is an ensemble of {networks} networks; these are the units of "
            f"network {number or 1} (--network chooses another)"
        )
    return model.member(number or 1)


def _text_to_read(
    model: "LanguageModel", corpus: "Corpus | None", on_unknown: str
) -> "tuple[str, Array, int]":
    """Return the name of the text, its ids, and how many of them come before it."""
    from charrnn.errors import TextError
    from charrnn.generation.text_score import read_text
    from charrnn.text.streams import printable
    from charrnn.views.neurons import FEWEST

    if corpus is not None:
        text = read_text(model, corpus, on_unknown)
        note_left_out(text)
        return printable(corpus.name), text.ids, text.start
    corpus = find_corpus(model)
    if corpus is None:
        named = f"charrnn neurons {quote(str(model.path))} TEXT"
        raise TextError(f"no text to read; name one: {named}")
    train, val = model.parts_of(corpus)
    if len(val) < FEWEST:
        note("no validation part; reading the text that the model was trained on")
        return printable(corpus.name), train, 0
    return f"{printable(corpus.name)}, validation part", val, 0


def _ranked(model: "LanguageModel", ids: "Array", start: int, part: int) -> "Ranking":
    from charrnn.views.neurons import rank, reads

    with advancing_bar(reads(len(ids) - start)) as on_progress:
        return rank(model, ids, start=start, part=part, on_progress=on_progress)


def _followers(ranking: "Ranking", per: str) -> "list[Follower]":
    return ranking.of_features() if per == "feature" else ranking.followers


def _encoding() -> str:
    return sys.stdout.encoding


def _unit_as_json(
    unit: tuple[int, int], text: str, values: "Array", ranking: "Ranking | None"
) -> dict[str, Any]:
    from charrnn.views.neurons import as_dict

    return {
        "layer": unit[0],
        "unit": unit[1],
        "text": text,
        "activations": values.tolist(),
        "features": [*map(as_dict, ranking.of_unit(unit))] if ranking else [],
    }


def _print_table(followers: "Sequence[Follower]", ranking: "Ranking") -> None:
    from charrnn.cli.format import table, wrapped

    rows = [("unit", "feature", "chosen", "checked", "untrained", "")]
    rows += [
        (
            f"{each.layer}:{each.unit}",
            each.feature,
            _rounded(each.chosen),
            _rounded(each.checked),
            _rounded(ranking.untrained_of(each.feature)),
            "" if each.holds else "?",
        )
        for each in followers
    ]
    click.echo(table(rows, right=(2, 3, 4)))
    about = (
        f"\nCorrelations: chosen on {ranking.characters:,} characters, checked on "
        f"{ranking.characters:,} others of {ranking.length:,}; untrained is the best "
        "unit of an untrained network on the latter."
    )
    if not all(each.holds for each in followers):
        about += "\n? does not hold: the checked one is below half of the chosen one."
    width = min(88, shutil.get_terminal_size().columns)
    click.echo("\n".join(wrapped(about, width)))


def _rounded(value: float) -> str:
    return f"{round(value, 2) + 0:.2f}"  # never -0.00


def _print_unit(text: str, values: "Array", part: int, color: bool) -> None:
    """Print a text tinted by a unit or, without colours, with signs below its lines."""
    from charrnn.views.neurons_page import largest_of, marks

    found = marks(text, values, part=part)
    largest = largest_of(values, part)
    if color:
        click.echo("".join(painted(found, color=True)), color=True)
        click.echo(f"\nblue: below 0, orange: above 0, strongest at {largest:.2f}\n")
        return
    width = shutil.get_terminal_size().columns
    click.echo("\n".join(_with_signs(found, width)))
    click.echo(f"\n+ from {largest / 2:.2f}, - from {-largest / 2:.2f}\n")


def _with_signs(marks: "Sequence[Mark]", width: int) -> Iterator[str]:
    """Yield lines of a text, each with a line below that has a + or - for strong tints.

    A tab is an arrow, and a line end has a sign.
    """
    from wcwidth import wcswidth

    from charrnn.markup.tint import clusters
    from charrnn.text.characters import escaped

    line, signs, used = "", "", 0
    for mark in clusters(marks):
        shown = {"\n": "↵", "\t": "→"}.get(mark.character) or escaped(mark.character)
        room = max(0, wcswidth(shown))
        if used + room > width:
            yield from (line, signs.rstrip())
            line, signs, used = "", "", 0
        is_strong = abs(mark.level) >= _STRONG
        signs += (("+" if mark.level > 0 else "-") if is_strong else " ") * room
        line, used = line + shown, used + room
        if mark.character == "\n":
            yield from (line, signs.rstrip())
            line, signs, used = "", "", 0
    if line:
        yield from (line, signs.rstrip())


def _write_page(
    path: Path,
    force: bool,
    name: str,
    text: str,
    values_of: "Any",
    ranking: "Ranking | None",
    unit: tuple[int, int] | None,
    per: str,
    top: int | None,
    part: int,
) -> None:
    from charrnn.views.neurons_page import neurons_page
    from charrnn.views.page_file import save_page

    followers: list[Follower] = []
    if ranking:
        found = ranking.of_unit(unit) if unit else _followers(ranking, per)
        followers = found if unit or per == "feature" else found[: top or 12]
    best = [unit] if unit else [(each.layer, each.unit) for each in followers]
    units = [*dict.fromkeys(best)][: top or 12]
    values = values_of(units)

    def make() -> str:
        return neurons_page(name, units, text, values, followers, ranking, part=part)

    note(f"wrote {save_page(path, make, force=force)}")
