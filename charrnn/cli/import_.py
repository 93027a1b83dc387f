"""charrnn import: make a checkpoint from PyTorch's weights."""

from pathlib import Path

import click

from charrnn.cli.options import GroupedCommand, grouped, note, print_path
from charrnn.shell import quote

_options = grouped("Options")


@click.command("import", cls=GroupedCommand)
@click.argument("file", type=click.Path(path_type=Path))
@_options(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    default_text="a new one in checkpoints/",
    help="Folder of the checkpoint, or a file that ends in .npz.",
)
@_options(
    "--vocab",
    type=click.Path(),
    metavar="TEXT",
    help="Text that the weights were trained on, if charrnn did not write FILE. Its "
    "distinct characters, sorted, become the vocabulary.",
)
@_options(
    "--encoding",
    metavar="NAME",
    default="utf-8",
    default_text="utf-8",
    help="Encoding of --vocab, or bytes for a vocabulary of all 256 bytes.",
)
@_options("--force", is_flag=True, help="Replace an existing run or file.")
def command(
    file: Path, out: Path | None, vocab: str | None, encoding: str, force: bool
) -> None:
    """Make a checkpoint from the weights in FILE.

    FILE is a file from `charrnn export`. With --vocab, it can also be a safetensors
    file or a PyTorch state dict of one nn.RNN (tanh), nn.GRU or nn.LSTM with one-hot
    input, and one nn.Linear. Nothing in FILE is executed. The path of the checkpoint is
    printed on standard output. The checkpoint has no training state to resume from, but
    `charrnn train --init-from` can start from it.
    """
    from charrnn.config import TextConfig
    from charrnn.generation.files import check_free, save
    from charrnn.storage.run_folder import new_folder
    from charrnn.storage.torch_weights import import_weights
    from charrnn.text.reading import read_corpus

    if out:
        check_free(out, force=force)
    as_it_is = TextConfig(encoding, normalize="none", max_vocab=0)
    text = read_corpus([vocab], as_it_is) if vocab else None
    checkpoint = import_weights(file, text)
    out = out or new_folder(file.stem)
    save(checkpoint, out, force=force)
    note(f"Write with it: charrnn sample {quote(str(out))}")
    print_path(out)
