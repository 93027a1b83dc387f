"""Downloading one file: it is checked, and put in place whole or not at all.

A download goes to a temporary file next to its target. It is renamed only when its
length and SHA-256 are right and it is safely on disk. Proxies and certificates come
from the environment, as in requests.

A server may do what it likes: a download ends after a bounded time, takes bounded
memory, and unpacks nothing.
"""

import hashlib
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urljoin, urlsplit

import requests
from tqdm import tqdm
from urllib3.exceptions import HTTPError

from charrnn.errors import ConfigError, DownloadError
from charrnn.text.download.address import check_address, shown, without_login
from charrnn.text.download.place import is_there, writing
from charrnn.text.download.watchdog import GuardedAdapter, Watchdog

LIMIT = 1 << 30  # bytes of a text whose size is not known beforehand
CHUNK = 1 << 14  # bytes
REDIRECTS = 10
BUSY = (429, 500, 502, 503, 504)  # the statuses of a server that may recover soon
# Compressions that charrnn reads, and the ending of a file that has one.
_ENDINGS = {"gzip": ".gz", "x-gzip": ".gz", "zstd": ".zst"}


@dataclass(frozen=True)
class RetryPolicy:
    """Timeouts, and how often to try a server again."""

    connect_timeout: float = 3.0  # seconds
    read_timeout: float = 20.0  # seconds without a byte
    progress_timeout: float = 30.0  # seconds without CHUNK bytes, headers included
    retries: int = 2
    backoff: float = 0.5  # seconds before the first retry, doubled each time


DEFAULT_POLICY = RetryPolicy()


@dataclass(frozen=True)
class DownloadRequest:
    """What to download, and how."""

    target: Path
    sha256: str | None = None  # lower case; None accepts any content
    size: int | None = None  # bytes
    force: bool = False  # replace another file that has come to the target meanwhile
    quiet: bool = False  # no bar, not even on a terminal
    policy: RetryPolicy = DEFAULT_POLICY


class NoAddressError(DownloadError):
    """None of the addresses had the file."""


class _Failed(Exception):
    """Why one address did not have the file."""


class _Interrupted(_Failed):
    """A failure that may be over soon."""


def fetch(urls: Iterable[str], request: DownloadRequest) -> None:
    """Download the file to `request.target` from the first address that has it.

    Raises NoAddressError with a reason for each address, and DownloadError if the file
    cannot be written, or if another one has come to its place.
    """
    reasons = []
    for url in urls:
        try:
            return _Download(url, request).run()
        except _Failed as error:
            reasons.append(f"{without_login(url)}: {error}")
    expected = f"{request.size:,} bytes" if request.size else "a text"
    digest = f" with SHA-256 {request.sha256}" if request.sha256 else ""
    raise NoAddressError(
        f"{request.target}: cannot be downloaded; expected {expected}{digest}; tried "
        f"{'; '.join(reasons)}; check the address and the network (behind a proxy: "
        "set HTTPS_PROXY, and REQUESTS_CA_BUNDLE for its certificates)"
    )


class _Download:
    """A file from one address, over several connections if some are interrupted."""

    def __init__(self, url: str, request: DownloadRequest) -> None:
        self._url, self._request = url, request
        self._size, self._digest = 0, hashlib.sha256()  # of what is in the file
        self._total: int | None = None  # bytes that the server announced
        self._version = ""  # by which the server recognises the file
        self._page = ""  # a hint, if the file is HTML

    def run(self) -> None:
        """Download the file, or raise _Failed."""
        policy = self._request.policy
        with ExitStack() as stack:
            file = None
            for attempt in range(policy.retries + 1):
                if attempt:
                    time.sleep(policy.backoff * 2 ** (attempt - 1))
                try:
                    with (
                        _watched(policy) as dog,
                        _Session(dog) as session,
                        self._connect(session) as response,
                    ):
                        self._begin(response)
                        # Only now, so that a dead server leaves no folder behind.
                        if not file:
                            place = writing(self._request.target, self._total)
                            file = stack.enter_context(place)
                        self._copy(response, file, dog)
                    break
                except _Interrupted:
                    if attempt == policy.retries:
                        raise
            self._check()

    def _connect(self, session: requests.Session) -> requests.Response:
        """Return the answer of the server, or of the one that it redirects to."""
        url, policy = self._url, self._request.policy
        for _ in range(REDIRECTS + 1):
            response = session.get(
                url,
                headers=self._headers(),
                stream=True,
                timeout=(policy.connect_timeout, policy.read_timeout),
                allow_redirects=False,
            )
            if not response.is_redirect:
                return response
            response.close()
            url = _redirected(url, response.headers["Location"])
        raise _Failed(f"more than {REDIRECTS} redirects")

    def _headers(self) -> dict[str, str]:
        headers = {"Accept-Encoding": "identity"}  # so that Content-Length is exact
        if self._size and self._version:
            headers |= {"Range": f"bytes={self._size}-", "If-Range": self._version}
        return headers

    def _begin(self, response: requests.Response) -> None:
        """Check the head of an answer. It continues the file, or starts it anew."""
        status = response.status_code
        if status == 206 and self._continues(response):
            return
        answer = f"HTTP {status} {shown(response.reason or '')}".strip()
        if status in BUSY:
            raise _Interrupted(answer)
        asked, self._size, self._digest = self._size, 0, hashlib.sha256()
        if asked and status in (206, 416):
            raise _Interrupted("the file has changed meanwhile")
        if status != 200:
            raise _Failed(answer)
        _check_encoding(response, self._request.target)
        self._total = _content_length(response)
        self._version = _version(response)
        self._page = _html_hint(response)
        self._check_size()

    def _continues(self, response: requests.Response) -> bool:
        """Return whether an answer is the rest of the file."""
        field = response.headers.get("Content-Range", "")
        found = re.fullmatch(r"bytes (\d{1,18})-\d{1,18}/(\d{1,18})", field)
        if not found or not self._size or int(found[1]) != self._size:
            return False
        total = int(found[2])
        is_same = self._total in (None, total) and self._version == _version(response)
        self._total = total
        return is_same

    def _copy(self, response: requests.Response, file: BinaryIO, dog: Watchdog) -> None:
        file.seek(self._size)
        file.truncate()
        fed = self._size
        with tqdm(
            total=self._total,
            initial=self._size,
            desc=self._request.target.name,
            unit="B",
            unit_scale=True,
            leave=False,
            # None: if stderr is not a terminal
            disable=True if self._request.quiet else None,
        ) as bar:
            while chunk := _read(response, dog):
                self._size += len(chunk)
                self._check_size()
                self._digest.update(chunk)
                file.write(chunk)
                bar.update(len(chunk))
                if self._size - fed >= CHUNK:
                    fed = self._size
                    dog.feed()
        if self._total is not None and self._size < self._total:
            raise _Interrupted(
                f"interrupted after {self._size:,} of {self._total:,} bytes"
            )

    def _check_size(self) -> None:
        limit = self._request.size or LIMIT
        if max(self._size, self._total or 0) > limit:
            raise _Failed(f"got more than {limit:,} bytes{self._page}")

    def _check(self) -> None:
        request, digest = self._request, self._digest.hexdigest()
        if self._size == 0 or digest != (request.sha256 or digest):
            raise _Failed(f"got {self._size:,} bytes with SHA-256 {digest}{self._page}")
        if self._page and request.sha256 is None:
            raise _Failed(
                f"got{self._page}; if it is what you want, add --sha256 {digest}"
            )
        is_there(request.target, digest, request.force)


class _Session(requests.Session):
    """Follows no redirects: requests would read their bodies, of any size, whole."""

    def __init__(self, dog: Watchdog) -> None:
        super().__init__()
        for scheme in ("http://", "https://"):
            self.mount(scheme, GuardedAdapter(dog))

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Return None, for no redirect."""


@contextmanager
def _watched(policy: RetryPolicy) -> Iterator[Watchdog]:
    """Guard connections during the block, and turn its errors into _Failed."""
    with Watchdog(policy.progress_timeout) as dog:
        try:
            yield dog
        except (_Failed, requests.RequestException, HTTPError, ValueError) as error:
            if dog.has_bitten:
                kind = _Interrupted if dog.was_fed else _Failed
                reason = f"less than {CHUNK:,} bytes in {policy.progress_timeout:g} s"
                raise kind(reason) from error
            if isinstance(error, _Failed):
                raise
            kind = _Interrupted if _is_reset(error) else _Failed
            raise kind(_reason(error)) from error


def _read(response: requests.Response, dog: Watchdog) -> bytes:
    """Return the next bytes of the body, as they were sent, or b"" at its end."""
    try:
        data: bytes = response.raw.read(CHUNK, decode_content=False)
    except (HTTPError, ValueError) as error:
        raise _Interrupted(f"interrupted: {_reason(error)}") from error
    if not data and dog.has_bitten:  # which looks like the end
        raise _Interrupted("too slow")
    return data


def _redirected(url: str, location: str) -> str:
    """Return the address that a server redirects to, or raise _Failed."""
    try:
        # http.client decodes headers as Latin-1; addresses in them are UTF-8.
        location = location.encode("latin-1").decode()
        target = urljoin(url, location)
        check_address(target)
    except (ValueError, ConfigError):
        raise _Failed(
            f"redirected to {shown(without_login(location))}, which is no address of "
            "the web"
        ) from None
    old, new = urlsplit(url), urlsplit(target)
    if (old.scheme, new.scheme) == ("https", "http"):
        raise _Failed(
            f"redirected from https to {shown(without_login(target))}; if you trust "
            "that address, give it instead"
        )
    # The login stays with its server, and goes nowhere else.
    places = [(each.scheme, each.hostname, each.port) for each in (old, new)]
    if places[0] == places[1] and "@" not in new.netloc:
        new = new._replace(netloc=old.netloc)
    return new.geturl()


def _check_encoding(response: requests.Response, target: Path) -> None:
    """Raise _Failed if a file is compressed on the way, and its name does not tell."""
    encoding = response.headers.get("Content-Encoding", "").strip().lower()
    ending = _ENDINGS.get(encoding)
    if encoding in ("", "identity") or (ending and target.suffix == ending):
        return
    advice = (
        f"save it as it is with --out {target.name}{ending}"
        if ending
        else "download it with another program"
    )
    raise _Failed(
        f"compressed ({shown(encoding)}), although it was asked not to be; {advice}"
    )


def _content_length(response: requests.Response) -> int | None:
    """Return the size that a server announced in bytes. Raises _Failed for garbage."""
    length = response.headers.get("Content-Length")
    if length is None or "Transfer-Encoding" in response.headers:
        return None
    if not re.fullmatch("[0-9]{1,18}", length):
        raise _Failed(f"Content-Length is {shown(length)}; expected one number")
    return int(length)


def _version(response: requests.Response) -> str:
    """Return what marks a version of a file: a strong ETag or a date, or ''."""
    tag: str = response.headers.get("ETag", "")
    is_strong = re.fullmatch('"[!#-~]*"', tag)
    return tag if is_strong else response.headers.get("Last-Modified", "")


def _html_hint(response: requests.Response) -> str:
    kind = response.headers.get("Content-Type", "")
    return ", a page of HTML (of a proxy?)" if "html" in kind.lower() else ""


def _is_reset(error: BaseException) -> bool:
    """Return whether a server closed a connection, which it may not do again."""
    return isinstance(_innermost(error), ConnectionError)


def _innermost(error: BaseException) -> BaseException:
    """Return the cause; the outer ones only report that something failed."""
    for inner in (getattr(error, "reason", None), *error.args):
        if isinstance(inner, BaseException):
            return _innermost(inner)
    return error


def _reason(error: BaseException) -> str:
    """Return the cause of an error in a few words."""
    cause = _innermost(error)
    # urllib3's messages begin with an object: "HTTPConnection(host='a', port=80): ".
    text = str(cause).rpartition("): ")[2].rpartition(">: ")[2] or type(cause).__name__
    return shown(re.sub(r"//[^/\s]*@", "//", text))
