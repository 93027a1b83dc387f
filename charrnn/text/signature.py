"""Signatures, by which charrnn knows again what this user's own runs recorded.

A checkpoint names the files of its text. They are opened without being asked for only
if the checkpoint is one's own, and that is what the signature of their paths shows: an
HMAC (RFC 2104) with a key that never leaves this user's data folder.
"""

import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

FOLDER_VARIABLE = "CHARRNN_DATA"  # names another folder than the system's
_KEY = "key"
_KEY_SIZE = 32  # bytes


def data_folder() -> Path:
    """Return the folder of this user's key, which need not exist."""
    chosen = os.environ.get(FOLDER_VARIABLE)
    if chosen:
        return Path(chosen)
    from platformdirs import user_data_path

    return user_data_path("charrnn", appauthor=False)


def sign(values: Sequence[object]) -> str:
    """Return the signature of values that JSON can hold.

    The first one creates the key. If the folder cannot be written, the signature is
    valid only in this process.
    """
    return _hmac(_read_key() or _make_key() or _key_of_process(), values)


def is_signed(values: Sequence[object], signature: str) -> bool:
    """Return whether this is the signature that `sign` gives to these values."""
    key = _read_key() or _key_of_process()
    # As bytes: `compare_digest` raises TypeError for strings that are not ASCII.
    found = signature.encode("utf-8", "surrogatepass")
    return hmac.compare_digest(found, _hmac(key, values).encode())


def _hmac(key: bytes, values: Sequence[object]) -> str:
    message = json.dumps([*values]).encode("ascii")
    return hmac.new(key, message, hashlib.sha256).hexdigest()


def _read_key() -> bytes:
    """Return the key, or b"" if there is none."""
    try:
        key = (data_folder() / _KEY).read_bytes()
    except (OSError, RuntimeError):  # RuntimeError: the home folder is unknown
        return b""
    return key if len(key) == _KEY_SIZE else b""


@cache
def _key_of_process() -> bytes:
    return secrets.token_bytes(_KEY_SIZE)


def _make_key() -> bytes:
    """Return a new key, or that of another process that was faster; b"" if neither."""
    try:
        folder = data_folder()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        part = folder / f".{_KEY}.{secrets.token_hex(4)}"
        part.touch(mode=0o600, exist_ok=False)
        try:
            part.write_bytes(secrets.token_bytes(_KEY_SIZE))
            _rename_new(part, folder / _KEY)
        finally:
            part.unlink(missing_ok=True)
    except (OSError, RuntimeError):
        return b""
    return _read_key()


def _rename_new(part: Path, key: Path) -> None:
    """Give a file its name, unless there is a key, with which runs were signed."""
    with suppress(OSError):  # it is there, or the disk has no hard links
        key.hardlink_to(part)  # unlike a rename, it replaces nothing
    if not _read_key():
        part.replace(key)
