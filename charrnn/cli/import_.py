"""charrnn import: make a checkpoint of PyTorch's weights."""

from pathlib import Path

import click

from charrnn.cli.options import GroupedCommand, grouped, note

_options = grouped("Options")


@click.command("import", cls=GroupedCommand)
@click.argument("file", type=click.Path(path_type=Path))
@_options(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="A new folder, or a file that ends in .npz.  "
    "[default: checkpoints/ and the name of FILE]",
)
@_options(
    "--vocab",
    type=click.Path(),
    metavar="TEXT",
    help="A text with the characters of weights that charrnn did not write: sorted and "
    "distinct they are the vocabulary.",
)
@_options(
    "--encoding",
    default="utf-8",
    show_default=True,
    help="Codec of --vocab; or bytes, for a vocabulary of all 256.",
)
@_options("--force", is_flag=True, help="Replace a run or a file that is there.")
def command(
    file: Path, out: Path | None, vocab: str | None, encoding: str, force: bool
) -> None:
    """Make a checkpoint of the weights in FILE.

    FILE is what `charrnn export` wrote, or any safetensors file or PyTorch state dict
    of one nn.RNN (tanh), nn.GRU or nn.LSTM under one-hot input and one nn.Linear; then
    with --vocab. Nothing in it is executed. The checkpoint's path goes to standard
    output. Training cannot be resumed from it, but --init-from can start from it.
    """
    from charrnn.errors import CheckpointError
    from charrnn.storage.checkpoint import save
    from charrnn.storage.run_folder import BEST, HISTORY, LAST, holds_run, new_folder
    from charrnn.storage.torch_weights import import_weights
    from charrnn.text.corpus import read_corpus

    single = out is not None and out.suffix == ".npz" and not out.is_dir()
    if out and (out.exists() if single else holds_run(out)) and not force:
        held = "is there already" if single else "already holds a run"
        raise CheckpointError(
            f"{out}: {held}; give another --out, or replace it with --force"
        )
    text = read_corpus([vocab], encoding=encoding) if vocab else None
    checkpoint = import_weights(file, text)
    out = out or new_folder(file.stem)
    save(checkpoint, out if single else out / BEST)
    if not single:  # of a run that was replaced
        for name in (LAST, HISTORY):
            (out / name).unlink(missing_ok=True)
    note(f"Write with it: charrnn sample {out}")
    click.echo(out)
