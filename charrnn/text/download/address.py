"""Addresses on the web: checked, and shown without user names and passwords."""

import re
from urllib.parse import urlsplit

import requests

from charrnn.errors import ConfigError
from charrnn.text.streams import printable

_LONGEST = 200  # characters shown of what a server sent


def check_address(url: str) -> None:
    """Raise ConfigError unless an address is well-formed and of the web."""
    if not _is_valid(url):
        raise ConfigError(
            f"{shown(without_login(url))} is not a URL; expected one like "
            "https://example.org/text.txt"
        )


def _is_valid(url: str) -> bool:
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises ValueError if it is no port
        requests.Request("GET", url).prepare()
    except (ValueError, requests.RequestException):
        return False
    is_web = parts.scheme in ("http", "https") and bool(parts.hostname)
    return is_web and " " not in parts.netloc and url.isprintable()


def without_login(url: str) -> str:
    """Return an address, which may be malformed, without a user name and password."""
    try:
        parts = urlsplit(url)
        if parts.hostname and parts.port != 0:
            return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    except ValueError:
        pass
    # Where the login ends in a malformed address is a guess: hide rather too much.
    return re.sub(r"^(\w+:)?(//)?.*@", r"\1\2", url, flags=re.DOTALL)


def shown(text: str) -> str:
    """Return a string that a server sent, cut short and safe to print."""
    return printable(text[:_LONGEST] + "…" * (len(text) > _LONGEST))
