"""charrnn serve: a page to play with the models, and an API."""

import webbrowser
from pathlib import Path
from threading import Thread

import click

from charrnn.cli.options import GroupedCommand, grouped, note
from charrnn.errors import CheckpointError, MissingExtraError
from charrnn.views.playground.limits import PORT

_options = grouped("Options")


@click.command(cls=GroupedCommand)
@click.argument("checkpoints", metavar="[CHECKPOINT]...", nargs=-1, type=click.Path())
@_options(
    "--host",
    default="127.0.0.1",
    show_default=True,
    metavar="NAME",
    help="Address to listen on. Beyond this machine, clients need the token.",
)
@_options(
    "--port",
    type=int,
    default=PORT,
    show_default=True,
    help="Port to listen on; 0 is any free one.",
)
@_options(
    "--token",
    default="",
    metavar="TEXT",
    default_text="a new one if others can reach the server",
    help="What clients have to know, at least 8 letters and digits.",
)
@_options("--open", "opens", is_flag=True, help="Open the page in a browser.")
def command(
    checkpoints: tuple[str, ...], host: str, port: int, token: str, opens: bool
) -> None:
    """Show a page to play with the models, and offer an API to other programs.

    The page writes text at several temperatures side by side, shows how surprising each
    character is and what could have come instead, and follows a running training.

    The models are the runs in checkpoints/, the one that comes with charrnn, and each
    CHECKPOINT: a file or the folder of a run. Only this machine can reach the page,
    unless you choose another --host. Ctrl-C ends it.
    """
    _require_extra()
    from charrnn.views.playground.server import listen, serve

    others = tuple(map(_checked, checkpoints))
    listening = listen(host, port, token)
    if not listening.is_local:
        note("others in the network can reach this page; it is not encrypted")

    def announce(_: object) -> None:
        click.echo(listening.address)
        note("Ctrl-C ends it.")
        if opens:
            # It may be a browser in this terminal, which ends when it is closed.
            args = (listening.address,)
            Thread(target=webbrowser.open, args=args, daemon=True).start()

    serve(listening, others, on_fault=_report, on_start=announce)


def _require_extra() -> None:
    from importlib.util import find_spec

    if not find_spec("starlette") or not find_spec("uvicorn"):
        raise MissingExtraError(
            'charrnn serve needs Starlette and uvicorn: pip install "charrnn[web]"'
        )


def _checked(name: str) -> Path:
    """Return the path of a checkpoint, or of the folder of a run."""
    from charrnn.storage.run_folder import find_checkpoint

    file = find_checkpoint(name)
    if not file.is_file():
        raise CheckpointError(f"{name}: no such file or folder")
    return Path(name) if Path(name).is_dir() else file


def _report(error: Exception) -> None:
    why = " ".join(f"{type(error).__name__}: {error}".split())
    note(f"{why}. This is a bug in charrnn; the server goes on.")
