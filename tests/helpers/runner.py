"""click's runner of commands, which keeps standard output and errors apart.

Before click 8.2 it mixes them unless it is told not to.
"""

import inspect
from functools import partial

import click.testing

CliRunner = click.testing.CliRunner
if "mix_stderr" in inspect.signature(CliRunner).parameters:
    CliRunner = partial(CliRunner, mix_stderr=False)
