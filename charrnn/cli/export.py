"""charrnn export: write a model's weights for PyTorch."""

from pathlib import Path

import click

from charrnn.cli.options import (
    GroupedCommand,
    checkpoint_argument,
    grouped,
    network_option,
    note,
    open_model,
    print_path,
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
    metavar="NAME",
    default_text="that of the suffix of --out, or safetensors",
    help="File format: safetensors, or torch for a state dict as torch.save writes it "
    "(needs PyTorch).",
)
@_options(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    default_text="the run's name, in this folder",
    help="File to write.",
)
@network_option(_options, "the only one; an ensemble needs it")
@_options("--force", is_flag=True, help="Replace an existing file.")
def command(
    checkpoint: str | None,
    kind: str | None,
    out: Path | None,
    network: int | None,
    force: bool,
) -> None:
    """Write a model's weights under PyTorch's names.

    CHECKPOINT is a file or a run folder; by default it is the newest run's best model.
    With these weights, an nn.RNN, nn.GRU or nn.LSTM on one-hot input, followed by an
    nn.Linear, computes the same numbers. The path of the file is printed on standard
    output. `charrnn import` turns the file into a checkpoint again.
    """
    from charrnn.generation.files import format_of
    from charrnn.storage.run_folder import BEST, LAST
    from charrnn.storage.torch_weights import SUFFIXES

    kind = kind or (format_of(out) if out else None) or "safetensors"
    model = open_model(checkpoint)
    if len(model.members) > 1 and not network:
        raise click.UsageError(
            f"an ensemble of {len(model.members)} networks cannot be exported as one; "
            f"choose a network: --network 1 to {len(model.members)}"
        )
    if out is None:
        assert model.path  # `open_model` has read it from there
        path = model.path.resolve()
        name = path.parent.name if path.name in (BEST, LAST) else path.stem
        number = f"-{network}" if len(model.members) > 1 else ""
        out = Path((name or path.stem) + number + SUFFIXES[kind])
    model.member(network or 1).export(out, kind, force=force)
    note(f"In PyTorch: {_LOADING[kind].format(str(out))}")
    print_path(out)
