"""charrnn export: write a model's weights for PyTorch."""

from pathlib import Path

import click

from charrnn.cli.options import (
    GroupedCommand,
    checkpoint_argument,
    grouped,
    note,
    opened,
)

_options = grouped("Options")

# How PyTorch opens each format.
_LOADING = {
    "safetensors": "safetensors.torch.load_file({!r})",
    "torch": 'torch.load({!r}, weights_only=True)["state_dict"]',
}


@click.command("export", cls=GroupedCommand)
@checkpoint_argument
@_options(
    "--format",
    "kind",
    type=click.Choice(tuple(_LOADING)),
    default="safetensors",
    show_default=True,
    help="safetensors needs no other package; torch is a state dict of torch.save.",
)
@_options(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="The file to write.  [default: the run's name, here]",
)
@_options("--force", is_flag=True, help="Replace a file that is there.")
def command(checkpoint: str | None, kind: str, out: Path | None, force: bool) -> None:
    """Write a model's weights under PyTorch's names.

    CHECKPOINT is a file or a run's folder; without it, the newest run's best. In an
    nn.RNN, nn.GRU or nn.LSTM, under one-hot input, and an nn.Linear, the weights give
    the same numbers. The file's path goes to standard output. `charrnn import` makes a
    checkpoint of it again.
    """
    from charrnn.errors import CheckpointError
    from charrnn.storage.run_folder import BEST, LAST
    from charrnn.storage.torch_weights import SUFFIXES, export_weights

    model = opened(checkpoint)
    if out is None:
        assert model.path  # `opened` has read it from there
        path = model.path.resolve()
        name = path.parent.name if path.name in (BEST, LAST) else path.stem
        out = Path((name or path.stem) + SUFFIXES[kind])
    if out.exists() and not force:
        raise CheckpointError(
            f"{out}: is there already; give another --out, or replace it with --force"
        )
    export_weights(model.checkpoint, out, kind)
    note(f"In PyTorch: {_LOADING[kind].format(str(out))}")
    click.echo(out)
