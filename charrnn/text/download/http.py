"""Downloading one file: it is checked, and put in place whole or not at all.

A download goes to a temporary file next to its target. It is renamed only when its
length and SHA-256 are right and it is safely on disk. Proxies and certificates come
from the environment, as in requests.
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

LIMIT = 1 << 30  # bytes of a text whose size is not known beforehand
CHUNK = 1 << 16  # bytes


@dataclass(frozen=True)
class RetryPolicy:
    """Timeouts, and how often to try a server again."""

    connect_timeout: float = 3.0  # seconds
    read_timeout: float = 20.0  # seconds without a byte
    retries: int = 2
    backoff: float = 0.5  # seconds before the first retry, doubled each time


DEFAULT_POLICY = RetryPolicy()


@dataclass(frozen=True)
class DownloadRequest:
    """What to download, and how."""

    target: Path
    sha256: str | None = None  # lower case; None accepts any content
    size: int | None = None  # bytes
    quiet: bool = False  # no bar, not even on a terminal
    policy: RetryPolicy = DEFAULT_POLICY


class NoAddressError(DownloadError):
    """None of the addresses had the file."""


class _Failed(Exception):
    """Why one address did not have the file."""


def fetch(urls: Iterable[str], request: DownloadRequest) -> None:
    """Download the file to `request.target` from the first address that has it.

    Raises NoAddressError with a reason for each address, and DownloadError if the file
    cannot be written.
    """
    reasons = []
    with _session(request.policy) as session:
        for url in urls:
            try:
                return _download(session, url, request)
            except _Failed as error:
                reasons.append(f"{_without_login(url)}: {error}")
    expected = f"{request.size:,} bytes" if request.size else "a text"
    digest = f" with SHA-256 {request.sha256}" if request.sha256 else ""
    raise NoAddressError(
        f"{request.target}: cannot be downloaded; expected {expected}{digest}; tried "
        f"{'; '.join(reasons)}; check the address and the network (behind a proxy: "
        "set HTTPS_PROXY, and REQUESTS_CA_BUNDLE for its certificates)"
    )


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hex."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
    except OSError as error:
        raise DownloadError(f"{path}: cannot be read: {error.strerror}") from error
    return digest.hexdigest()


def _session(policy: RetryPolicy) -> requests.Session:
    # Retry only what may be temporary: a busy or broken server, a reset connection. An
    # unknown host is not retried, so that a machine without network need not wait.
    retry = Retry(
        total=policy.retries,
        connect=0,
        read=min(1, policy.retries),
        status_forcelist=(429, 500, 502, 503, 504),
        backoff_factor=policy.backoff,
        raise_on_status=False,
        respect_retry_after_header=False,  # it may ask for hours
    )
    session = requests.Session()
    session.mount("http://", HTTPAdapter(max_retries=retry))
    session.mount("https://", HTTPAdapter(max_retries=retry))
    session.headers["Accept-Encoding"] = "identity"  # so that Content-Length is exact
    return session


def _download(session: requests.Session, url: str, request: DownloadRequest) -> None:
    timeout = (request.policy.connect_timeout, request.policy.read_timeout)
    try:
        response = session.get(url, stream=True, timeout=timeout)
    except (requests.RequestException, HTTPError, ValueError) as error:
        raise _Failed(_reason(error)) from error
    with response:
        if response.status_code != 200:
            raise _Failed(f"HTTP {response.status_code} {response.reason}".strip())
        with replacing(request.target, DownloadError) as file:
            size, digest = _copy(response, file, request)
            _check(response, size, digest, request)


def _copy(
    response: requests.Response, file: BinaryIO, request: DownloadRequest
) -> tuple[int, str]:
    announced, limit = _content_length(response), request.size or LIMIT
    size, digest = 0, hashlib.sha256()
    with tqdm(
        total=announced,
        desc=request.target.name,
        unit="B",
        unit_scale=True,
        leave=False,
        disable=True if request.quiet else None,  # None: if stderr is not a terminal
    ) as bar:
        for chunk in _chunks(response):
            size += len(chunk)
            if max(size, announced or 0) > limit:
                raise _Failed(f"got more than {limit:,} bytes{_html_hint(response)}")
            digest.update(chunk)
            file.write(chunk)
            bar.update(len(chunk))
    if announced is not None and size < announced:
        raise _Failed(f"interrupted after {size:,} of {announced:,} bytes")
    return size, digest.hexdigest()


def _chunks(response: requests.Response) -> Iterator[bytes]:
    try:
        yield from response.iter_content(CHUNK)
    except requests.RequestException as error:
        raise _Failed(f"interrupted: {_reason(error)}") from error


def _check(
    response: requests.Response, size: int, digest: str, request: DownloadRequest
) -> None:
    page = _html_hint(response)
    if size == 0 or digest != (request.sha256 or digest):
        raise _Failed(f"got {size:,} bytes with SHA-256 {digest}{page}")
    if page and request.sha256 is None:
        raise _Failed(f"got{page}; if it is what you want, add --sha256 {digest}")


def _content_length(response: requests.Response) -> int | None:
    length = response.headers.get("Content-Length", "")
    plain = "Content-Encoding" not in response.headers
    return int(length) if plain and length.isdecimal() else None


def _html_hint(response: requests.Response) -> str:
    kind = response.headers.get("Content-Type", "")
    return ", a page of HTML (of a proxy?)" if "html" in kind.lower() else ""


def _reason(error: BaseException) -> str:
    """Return the innermost reason; the outer ones only report that something failed."""
    for inner in (getattr(error, "reason", None), *error.args):
        if isinstance(inner, BaseException):
            return _reason(inner)
    # urllib3's messages begin with an object: "HTTPConnection(host='a', port=80): ".
    return str(error).rpartition("): ")[2].rpartition(">: ")[2] or type(error).__name__


def _without_login(url: str) -> str:
    """Return an address without a user name and password."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
