"""charrnn gradcheck: prove the gradients by finite differences."""

import click

from charrnn.cli.options import GroupedCommand, grouped
from charrnn.config import CELLS

_options = grouped("Options")


@click.command(cls=GroupedCommand)
@_options("--cell", type=click.Choice(CELLS), multiple=True, help="[default: all]")
@_options("--hidden", type=click.IntRange(1), default=6, show_default=True)
@_options("--layers", type=click.IntRange(1), default=2, show_default=True)
@_options("--vocab", type=click.IntRange(2), default=7, show_default=True)
@_options("--window", type=click.IntRange(1), default=5, show_default=True)
@_options("--batch", type=click.IntRange(1), default=3, show_default=True)
@_options("--seed", type=click.IntRange(0), default=1, show_default=True)
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

    The numeric gradient is a central difference of fourth order. The exit status is 1
    where the two disagree by more than 1 in 1,000,000.
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
