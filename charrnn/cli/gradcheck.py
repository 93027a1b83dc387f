"""charrnn gradcheck: check the gradients by finite differences."""

import click

from charrnn.cli.options import Decorator, GroupedCommand, grouped
from charrnn.config import CELLS

_options = grouped("Options")


def _size(flag: str, default: int, text: str, *, minimum: int = 1) -> Decorator:
    kind = click.IntRange(minimum)
    return _options(
        flag, type=kind, default=default, default_text=str(default), help=text
    )


@click.command(cls=GroupedCommand)
@_options(
    "--cell",
    type=click.Choice(tuple(CELLS)),
    metavar="NAME",
    multiple=True,
    default_text="all",
    help=f"Cell to check: {', '.join(CELLS)}. Repeat it for several.",
)
@_size("--hidden", 6, "Units per layer.")
@_size("--layers", 2, "Number of stacked layers.")
@_size("--vocab", 7, "Number of distinct characters.", minimum=2)
@_size("--window", 5, "Number of time steps.")
@_size("--batch", 3, "Batch size.")
@_size("--seed", 1, "Seed of the random weights and characters.", minimum=0)
def command(
    cell: tuple[str, ...],
    hidden: int,
    layers: int,
    vocab: int,
    window: int,
    batch: int,
    seed: int,
) -> None:
    """Compare every hand-derived gradient with a numeric one, in float64.

    Numeric gradients are fourth-order central differences. The exit status is 1 if a
    relative error is above 0.000001.
    """
    import numpy as np

    from charrnn.cli.format import table
    from charrnn.config import ModelConfig
    from charrnn.errors import CharRNNError
    from charrnn.nn.gradcheck import TOLERANCE, check_model

    wrong = []
    rows = [("parameter", "relative error", "")]
    for kind in cell or CELLS:
        config = ModelConfig(vocab, hidden, layers, kind)
        rng = np.random.default_rng(seed)
        for name, error in check_model(config, T=window, N=batch, rng=rng).items():
            ok = error < TOLERANCE
            wrong += [] if ok else [f"{kind} {name}"]
            rows.append((f"{kind} {name}", f"{error:.1e}", "ok" if ok else "WRONG"))
    click.echo(table(rows))
    if wrong:
        raise CharRNNError(f"wrong gradients: {', '.join(wrong)}")
