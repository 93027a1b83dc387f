"""A page as a file: written whole or not at all, and never over another."""

from collections.abc import Callable
from pathlib import Path

from charrnn.atomic import replacing
from charrnn.errors import ConfigError


def check_is_free(path: Path, *, force: bool = False) -> None:
    """Raise ConfigError if there is a file, unless it is to be replaced."""
    if path.is_dir():
        raise ConfigError(f"{path}: is a folder; expected the name of a file to write")
    if path.exists() and not force:
        raise ConfigError(
            f"{path}: already exists; give another name, or replace it with --force "
            "(force=True)"
        )


def save_page(path: Path, make: Callable[[], str], *, force: bool = False) -> Path:
    """Write the page that `make` returns, and return its path. Raises ConfigError."""
    check_is_free(path, force=force)
    page = make()
    with replacing(path, ConfigError) as file:
        file.write(page.encode("utf-8"))
    return path
