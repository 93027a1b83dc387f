"""Running the real command on a new terminal."""

import os
import struct
import subprocess
import threading
from contextlib import contextmanager

import pytest
from texts import command, environment


def on_terminal(*arguments, cwd, columns=80, timeout=60, **environ):
    """Run `charrnn` on a new terminal; return its exit status and the bytes shown."""
    with (
        new_terminal(columns) as (terminal, inner),
        subprocess.Popen(
            command(*arguments),
            cwd=cwd,
            stdin=inner,
            stdout=inner,
            stderr=inner,
            env=environment(**environ),
        ) as process,
    ):
        os.close(inner)
        killer = threading.Timer(timeout, process.kill)
        killer.start()
        shown = b"".join(_chunks(terminal))
        killer.cancel()
    return process.returncode, shown


@contextmanager
def new_terminal(columns=80):
    """Yield the two ends of a new terminal: the user's, a file, and the command's.

    The latter is a descriptor, to be closed as soon as the command has it.
    """
    pty, fcntl, termios = map(pytest.importorskip, ("pty", "fcntl", "termios"))
    terminal, inner = pty.openpty()
    size = struct.pack("4H", 24, columns, 0, 0)
    fcntl.ioctl(inner, termios.TIOCSWINSZ, size)
    with os.fdopen(terminal, "rb", buffering=0) as user:
        yield user, inner


def _chunks(terminal):
    while True:
        try:
            data = terminal.read(4096)
        except OSError:  # how Linux reports that the other side is closed
            return
        if not data:
            return
        yield data
