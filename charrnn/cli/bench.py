"""charrnn bench: measure how fast this machine trains."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from charrnn.cli.options import GroupedCommand, grouped
from charrnn.presets import PRESETS

if TYPE_CHECKING:
    from charrnn.nn.workers import Layout
    from charrnn.training.autotune import Speed

_options = grouped("Options")
_LABEL = 26  # characters
_FAST = 'pip install "charrnn[fast]"'


@click.command("bench", cls=GroupedCommand)
@_options(
    "--preset",
    "presets",
    type=click.Choice(tuple(PRESETS)),
    metavar="NAME",
    multiple=True,
    default_text="all",
    help=f"Preset to measure: {', '.join(PRESETS)}. Repeat it for several.",
)
@_options("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(presets: tuple[str, ...], as_json: bool) -> None:
    """Measure how fast this machine trains.

    The first table shows the speed of two matrix products: a large one, and that of one
    time step. The second shows the characters per second that each preset trains on, in
    plain NumPy and with compiled kernels, using the threads in the fastest way found.
    This takes about half a minute; close other programs first.
    """
    import numpy as np

    from charrnn.machine import available_cores
    from charrnn.nn import kernels
    from charrnn.training.autotune import preset_speed, product_rate

    cores = available_cores()
    products = {
        "1024 x 1024 by 1024 x 1024": product_rate(1024, 1024, 1024, cores),
        "32 x 256 by 256 x 768, a time step": product_rate(32, 256, 768, cores),
    }
    if not as_json:
        click.echo(f"{cores} cores, NumPy {np.__version__}\n")
        click.echo("Matrix products, GFLOP/s")
        for name, rate in products.items():
            click.echo(f"  {name:<42}{rate:>7,.0f}")
        click.echo("\nTraining, characters per second")
        label = f"{'preset':<{_LABEL}}"
        click.echo(f"  {label}{'plain':>10}{'compiled':>11}{'ratio':>7}  threads")
    compiled = kernels.resolve("auto") == "numba"
    found: dict[str, Any] = {}
    for name in presets or PRESETS:
        plain = preset_speed(name, "numpy")
        fast = preset_speed(name, "numba") if compiled else None
        found[name] = {"plain": asdict(plain)}
        if fast:
            found[name]["compiled"] = asdict(fast)
        if not as_json:
            click.echo(preset_row(name, plain, fast))
    if as_json:
        about = {"cores": cores, "numpy": np.__version__, "products": products}
        click.echo(json.dumps(about | {"presets": found}))
    elif not compiled:
        click.echo(
            f"\nNumba is not installed. With it ({_FAST}), training is\n"
            "compiled and faster; run this again afterwards to see by how much."
        )


def preset_row(name: str, plain: "Speed", fast: "Speed | None") -> str:
    """Return a preset's row of the second table: at most 80 characters."""
    settings = PRESETS[name].settings
    shape = f"{settings['cell']} {settings.get('layers', 1)} x {settings['hidden']}"
    compiled = f"{fast.characters:>11,.0f}" if fast else f"{'–':>11}"
    ratio = f"{fast.characters / plain.characters:>7.2f}" if fast else f"{'–':>7}"
    networks = settings.get("members", 1)
    label = f"{name}, {f'{networks} of ' if networks > 1 else ''}{shape}"
    threads = _threads((fast or plain).layout, networks)
    return f"  {label:<{_LABEL}}{plain.characters:>10,.0f}{compiled}{ratio}  {threads}"


def _threads(layout: "Layout", networks: int) -> str:
    """Return the number of threads and what they share, in few words."""
    if layout.workers > 1:
        return f"{layout.workers}, over the {'networks' if networks > 1 else 'batch'}"
    if layout.blas_threads > 1:
        return f"{layout.blas_threads}, inside products"
    return "1"
