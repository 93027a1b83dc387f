"""The command `charrnn`. Each subcommand is a module here, imported when used."""

import codecs
import errno
import importlib
import io
import os
import re
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from keyword import iskeyword
from typing import Any, NoReturn

import click

from charrnn import __version__
from charrnn.errors import CharRNNError, CharRNNWarning
from charrnn.ranks import is_other_rank
from charrnn.text.characters import escaped

# Name, and the line that `--help` shows without loading the command.
COMMANDS = {
    "download": "Download a text to learn from.",
    "train": "Learn to write like a text.",
    "sample": "Write text with a trained model.",
    "compare": "Show texts at several temperatures side by side.",
    "next": "Show which characters come next, and how likely each is.",
    "eval": "Score a model on a text, and compare it with an n-gram.",
    "surprise": "Show how surprised a model is by each character of a text.",
    "novelty": "Show how much of a text is copied from the training text.",
    "neurons": "Show what hidden units watch while a model reads a text.",
    "plot": "Draw the losses of runs.",
    "serve": "Play with the models on a page, and offer an API.",
    "cache": "List or delete the long texts that are kept encoded.",
    "bench": "Measure how fast this machine trains.",
    "ensemble": "Put trained models together as one, which predicts better.",
    "export": "Write a model's weights for PyTorch.",
    "import": "Make a checkpoint from PyTorch's weights.",
    "gradcheck": "Check the gradients by finite differences.",
}

ESCAPE = "charrnn.escape"  # how output treats characters that its encoding lacks
# Exit statuses, as shells report them for SIGINT and for SIGPIPE.
CTRL_C = 130
CLOSED_PIPE = 141
# The name of an argument in a message of the library: the word that it begins with, or
# several joined by "_", except in paths, in quotes and in Python's own spelling.
_ARGUMENT = re.compile(
    r"""^[a-z]+(?=\ is\ ) | (?<![\w./'"-])[a-z]+(_[a-z]+)+(?![\w./'"=:-])""", re.X
)
# Options to reduce if memory runs out, in the commands that have them.
_SMALLER = ("--hidden", "--batch", "--window", "--max-vocab", "--length", "--threads")


class _Commands(click.Group):
    """Loads each command when used, and turns every expected error into one line."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        keyword = "_" if iskeyword(name) else ""  # no module is called `import`
        module = importlib.import_module(f"charrnn.cli.{name}{keyword}")
        command: click.Command = module.command
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            from difflib import get_close_matches  # only for errors

            near = get_close_matches(args[0], COMMANDS, 1)
            if not near or "Did you mean" in error.message:
                raise
            message = f"{error.message} Did you mean {near[0]!r}?"
            raise click.UsageError(message, ctx) from None

    def format_commands(
        self, ctx: click.Context, formatter: click.HelpFormatter
    ) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def _out_of_memory(self, ctx: click.Context, error: Exception) -> str:
        """Return the message for a command that ran out of memory."""
        from charrnn.machine import address_space_limit

        command = self.get_command(ctx, ctx.invoked_subcommand or "")
        params = command.params if command else []
        flags = [flag for param in params for flag in param.opts]
        smaller = [flag for flag in _SMALLER if flag in flags]
        advice = [f"try a smaller {' or '.join(smaller)}"] if smaller else []
        limit = address_space_limit()
        if limit is not None:
            advice.append(f"raise the limit of {limit >> 20:,} MB (ulimit -v)")
        elif not smaller:
            advice.append("close other programs")
        why = f": {error}" if str(error) else ""
        return f"not enough memory{why}; {', or '.join(advice)}"

    def _with_options(self, ctx: click.Context, message: str) -> str:
        """Return a message of the library with options for the names of arguments."""
        command = self.get_command(ctx, ctx.invoked_subcommand or "")
        flags = [
            flag for each in (command.params if command else ()) for flag in each.opts
        ]
        options = {flag[2:].replace("-", "_"): flag for flag in flags}
        return _ARGUMENT.sub(lambda found: options.get(found[0], found[0]), message)

    def main(self, *args: Any, **settings: Any) -> Any:
        # On Windows, click would expand `*`, `~` and `%NAME%` in a prime as well.
        return super().main(*args, **{"windows_expand_args": False} | settings)

    def make_context(self, *args: Any, **options: Any) -> click.Context:
        with _escaped_errors():
            return super().make_context(*args, **options)

    def invoke(self, ctx: click.Context) -> Any:
        with _escaped_errors():
            return self._invoke(ctx)

    def _invoke(self, ctx: click.Context) -> Any:
        from charrnn.machine import limit_to_available, require_numpy

        _print_any_character()
        limit_to_available()
        try:
            if not _asks_for_help(ctx):
                require_numpy()
            with warnings.catch_warnings():
                _print_warnings()
                result = super().invoke(ctx)
            sys.stdout.flush()
            return result
        except CharRNNError as error:
            message = self._with_options(ctx, str(error))
            raise click.ClickException(_one_line(message)) from error
        except MemoryError as error:
            raise click.ClickException(self._out_of_memory(ctx, error)) from error
        except OSError as error:
            if not _is_closed_pipe(error):
                where = error.filename or "output"
                why = error.strerror or error
                raise click.ClickException(_one_line(f"{where}: {why}")) from error
            # The reader has closed the pipe, as `head` does. This is not an error.
            # Flushing what is still buffered must not raise again at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise SystemExit(CLOSED_PIPE) from None
        except KeyboardInterrupt:
            with suppress(OSError):  # the terminal may be gone
                click.echo("\nInterrupted.", err=True)
            leave(CTRL_C)
        except (click.ClickException, click.Abort, click.exceptions.Exit):
            raise
        except Exception as error:
            if _lacks_memory(error):
                raise click.ClickException(self._out_of_memory(ctx, error)) from error
            _print_bug(error)
            raise SystemExit(1) from error


def leave(status: int) -> NoReturn:
    """Exit, without waiting for a thread that may be in the middle of long work."""
    if not any(thread.name.startswith("charrnn") for thread in threading.enumerate()):
        raise SystemExit(status)
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            stream.flush()
    os._exit(status)


def _one_line(message: str) -> str:
    return message.replace("\n", r"\n")  # a file's name may have a line end


@contextmanager
def _escaped_errors() -> Iterator[None]:
    """Keep strings from files, or from the command line, from steering a terminal."""
    try:
        yield
    except click.ClickException as error:
        if isinstance(error, click.UsageError) and is_other_rank():
            raise SystemExit(error.exit_code) from None  # the first one reports it
        vars(error)["message"] = escaped(error.message)
        raise


def _asks_for_help(ctx: click.Context) -> bool:
    return not {*ctx.help_option_names}.isdisjoint(ctx.args)


def _is_closed_pipe(error: OSError) -> bool:
    """Return whether a pipe was closed by its reader; on Windows this is EINVAL."""
    on_windows = os.name == "nt" and error.errno == errno.EINVAL and not error.filename
    return isinstance(error, BrokenPipeError) or on_windows


def _lacks_memory(error: BaseException | None) -> bool:
    """Return whether there was no memory for a thread or for loading a library."""
    while error:
        if isinstance(error, MemoryError) or re.search(
            "can't start new thread|failed to map|cannot allocate", str(error), re.I
        ):
            return True
        error = error.__cause__ or error.__context__
    return False


def _print_bug(error: Exception) -> None:
    """Print an error that nobody expected, the traceback first and the words last."""
    traceback.print_exception(error)
    name = type(error).__name__
    why = f"{name}: {error}".splitlines()[0]
    click.echo(
        f"Error: {escaped(why)}\nThis is a bug in charrnn, or a library of it is "
        "broken. Please report it with the lines above.",
        err=True,
    )


def _print_any_character() -> None:
    """Make every character printable, whatever the locale's encoding is.

    Files and pipes get UTF-8. A terminal keeps its encoding, and characters that it
    cannot show become escapes such as \\u2192, which a note announces.
    """
    codecs.register_error(ESCAPE, _Escape())
    for stream, errors in ((sys.stdout, ESCAPE), (sys.stderr, "backslashreplace")):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal that claims ASCII has no locale set.
            ascii_only = codecs.lookup(stream.encoding).name == "ascii"
            keep = stream.isatty() and not ascii_only
            stream.reconfigure(encoding=None if keep else "utf-8", errors=errors)


class _Escape:
    """Escapes what an encoding lacks, and prints a note the first time."""

    def __init__(self) -> None:
        self._noted = False

    def __call__(self, error: UnicodeError) -> tuple[str | bytes, int]:
        if not self._noted and isinstance(error, UnicodeEncodeError):
            self._noted = True
            character = ascii(error.object[error.start])
            # Python calls every code page "charmap". Only a terminal has one.
            page = error.encoding == "charmap"
            encoding = sys.stdout.encoding if page else error.encoding
            click.echo(
                f"{encoding} lacks the character {character}; it and others are "
                "written as such escapes",
                err=True,
            )
        return codecs.backslashreplace_errors(error)


def _print_warnings() -> None:
    """Print each of the library's warnings as a note, once."""
    noted = set()

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        if str(message) not in noted:
            noted.add(str(message))
            click.echo(escaped(str(message)), err=True)

    warnings.simplefilter("always", CharRNNWarning)
    warnings.showwarning = show


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
