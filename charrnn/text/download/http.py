"""One file off the web: checked, and put in place whole or not at all.

A download goes to a temporary file beside its target and takes the target's name only
when its length and SHA-256 are right and it is safe on disk. Proxies and certificates
come from the environment, as requests reads it.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from tqdm import tqdm
from urllib3.exceptions import HTTPError
from urllib3.util import Retry

from charrnn.atomic import replacing
from charrnn.errors import DownloadError

LIMIT = 1 << 30  # bytes of a text whose size nobody knows beforehand
CHUNK = 1 << 16  # bytes


@dataclass(frozen=True)
class Patience:
    """How long to wait for a server, and how often to ask it again."""

    connect: float = 3.0  # seconds
    read: float = 20.0  # seconds without a byte
    retries: int = 2
    backoff: float = 0.5  # seconds, doubled from one retry to the next


PATIENCE = Patience()


@dataclass(frozen=True)
class Order:
    """What to fetch, and how."""

    target: Path
    sha256: str | None = None  # lower case; None takes any content
    size: int | None = None  # bytes
    quiet: bool = False  # no bar, not even on a terminal
    patience: Patience = PATIENCE


class NoAddressError(DownloadError):
    """No address had the file; another file may do."""


class _Refused(Exception):
    """Why one address did not give what was asked of it."""


def fetch(urls: Iterable[str], order: Order) -> None:
    """Put the file at `order.target` from the first of the addresses that has it.

    Raises NoAddressError with the reason of each, DownloadError for a full disk.
    """
    reasons = []
    with _session(order.patience) as session:
        for url in urls:
            try:
                return _get(session, url, order)
            except _Refused as error:
                reasons.append(f"{_public(url)}: {error}")
    expected = f"{order.size:,} bytes" if order.size else "a text"
    digest = f" with SHA-256 {order.sha256}" if order.sha256 else ""
    raise NoAddressError(
        f"{order.target}: expected {expected}{digest}, and no address gave that: "
        f"{'; '.join(reasons)}; check the address and the network (behind a proxy: "
        "set HTTPS_PROXY, and REQUESTS_CA_BUNDLE for its certificates)."
    )


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hex."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
    except OSError as error:
        raise DownloadError(f"{path}: cannot be read ({error.strerror}).") from error
    return digest.hexdigest()


def _session(patience: Patience) -> requests.Session:
    # Only what may pass is worth asking for again: a busy or broken server, a reset.
    # An unknown or refusing host is not, or a machine without network would wait.
    retry = Retry(
        total=patience.retries,
        connect=0,
        read=min(1, patience.retries),
        status_forcelist=(429, 500, 502, 503, 504),
        backoff_factor=patience.backoff,
        raise_on_status=False,
        respect_retry_after_header=False,  # it may say hours
    )
    session = requests.Session()
    session.mount("http://", HTTPAdapter(max_retries=retry))
    session.mount("https://", HTTPAdapter(max_retries=retry))
    session.headers["Accept-Encoding"] = "identity"  # so that Content-Length is exact
    return session


def _get(session: requests.Session, url: str, order: Order) -> None:
    timeout = (order.patience.connect, order.patience.read)
    try:
        response = session.get(url, stream=True, timeout=timeout)
    except (requests.RequestException, HTTPError, ValueError) as error:
        raise _Refused(_why(error)) from error
    with response:
        if response.status_code != 200:
            raise _Refused(f"HTTP {response.status_code} {response.reason}".strip())
        with replacing(order.target, DownloadError) as file:
            size, digest = _copy(response, file, order)
            _check(response, size, digest, order)


def _copy(response: requests.Response, file: BinaryIO, order: Order) -> tuple[int, str]:
    promised, limit = _promised(response), order.size or LIMIT
    size, digest = 0, hashlib.sha256()
    with tqdm(
        total=promised,
        desc=order.target.name,
        unit="B",
        unit_scale=True,
        leave=False,
        disable=True if order.quiet else None,  # None: where stderr is no terminal
    ) as bar:
        for chunk in _body(response):
            size += len(chunk)
            if max(size, promised or 0) > limit:
                raise _Refused(f"got more than {limit:,} bytes{_guess(response)}")
            digest.update(chunk)
            file.write(chunk)
            bar.update(len(chunk))
    if promised is not None and size < promised:
        raise _Refused(f"broke off after {size:,} of {promised:,} bytes")
    return size, digest.hexdigest()


def _body(response: requests.Response) -> Iterator[bytes]:
    try:
        yield from response.iter_content(CHUNK)
    except requests.RequestException as error:
        raise _Refused(f"broke off: {_why(error)}") from error


def _check(response: requests.Response, size: int, digest: str, order: Order) -> None:
    page = _guess(response)
    if size == 0 or digest != (order.sha256 or digest):
        raise _Refused(f"got {size:,} bytes with SHA-256 {digest}{page}")
    if page and order.sha256 is None:
        raise _Refused(f"got{page}; if it is what you want, add --sha256 {digest}")


def _promised(response: requests.Response) -> int | None:
    length = response.headers.get("Content-Length", "")
    plain = "Content-Encoding" not in response.headers
    return int(length) if plain and length.isdecimal() else None


def _guess(response: requests.Response) -> str:
    kind = response.headers.get("Content-Type", "")
    return ", a page of HTML (of a proxy?)" if "html" in kind.lower() else ""


def _why(error: BaseException) -> str:
    """Return the innermost reason: the outer ones only say that something failed."""
    for inner in (getattr(error, "reason", None), *error.args):
        if isinstance(inner, BaseException):
            return _why(inner)
    # urllib3 begins with its own object, as in "HTTPConnection(host='a', port=80): ".
    return str(error).rpartition("): ")[2].rpartition(">: ")[2] or type(error).__name__


def _public(url: str) -> str:
    """Return an address without the user name and password that may be in it."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
