"""The command `charrnn`. Each command is a file here, loaded when it is asked for."""

import codecs
import importlib
import io
import os
import sys
from keyword import iskeyword
from typing import Any

import click

from charrnn import __version__
from charrnn.errors import CharRNNError

# Name, and the line that `--help` shows without loading the command.
COMMANDS = {
    "download": "Fetch a text to learn from.",
    "train": "Learn to write like a text.",
    "sample": "Write text with a trained model.",
    "compare": "Put texts at several temperatures side by side.",
    "next": "Show what comes next, and how likely.",
    "eval": "Score a model on a text, beside an n-gram.",
    "bench": "Measure how fast this machine trains.",
    "export": "Write a model's weights for PyTorch.",
    "import": "Make a checkpoint of PyTorch's weights.",
    "gradcheck": "Prove the gradients by finite differences.",
}

CTRL_C = 130  # as shells report a program that SIGINT ended
CLOSED_PIPE = 141  # and one that SIGPIPE ended


class _Commands(click.Group):
    """Loads commands lazily, and turns every expected error into one line."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        keyword = "_" if iskeyword(name) else ""  # no module is called `import`
        module = importlib.import_module(f"charrnn.cli.{name}{keyword}")
        command: click.Command = module.command
        return command

    def format_commands(
        self, ctx: click.Context, formatter: click.HelpFormatter
    ) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def invoke(self, ctx: click.Context) -> Any:
        _write_any_character()
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
            return result
        except CharRNNError as error:
            raise click.ClickException(str(error)) from error
        except MemoryError as error:
            raise click.ClickException(
                f"not enough memory: {error}; try a smaller --hidden or --batch"
            ) from error
        except BrokenPipeError:
            # Whoever read the output has gone, as `head` does; that is no error to
            # speak of. What is still buffered must not raise again at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise SystemExit(CLOSED_PIPE) from None
        except OSError as error:
            where = error.filename or "output"
            raise click.ClickException(f"{where}: {error.strerror or error}") from error
        except KeyboardInterrupt:
            click.echo("\nInterrupted.", err=True)
            raise SystemExit(CTRL_C) from None


def _write_any_character() -> None:
    """Let no character of a text end a command, whatever the locale says."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            ascii_only = codecs.lookup(stream.encoding).name == "ascii"
            stream.reconfigure(
                encoding="utf-8" if ascii_only else None, errors="replace"
            )


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 88},
    epilog="Start with `charrnn train my.txt`, then `charrnn sample`.",
)
@click.version_option(__version__, prog_name="charrnn")
def main() -> None:
    """Learn to write like a text file, one character at a time.

    Recurrent networks, written by hand in NumPy. `charrnn COMMAND --help` explains a
    command.
    """
