"""Decoding a text and, if that fails, guessing its encoding for the error message."""

import codecs
from collections.abc import Iterator
from typing import TYPE_CHECKING

from charrnn.errors import TextError

if TYPE_CHECKING:
    from charset_normalizer import CharsetMatch

BYTES = "bytes"  # the "encoding" of a file that is read as a sequence of 256 symbols
_BOM = "\ufeff"
# Common encodings. If several fit, the first is the likeliest name: a text with few
# accents is often the same in many.
_COMMON = (
    *("utf_8", "utf_16", "utf_32"),
    *("cp1252", "cp1250", "iso8859_2", "cp1251", "koi8_r"),
    *("cp1253", "cp1254", "cp1255", "cp1256", "cp874"),
    *("cp932", "euc_jp", "gb18030", "big5", "cp949"),
)
# Byte-order marks of texts that cannot be split into lines before they are decoded.
# That of little-endian UTF-32 begins with that of UTF-16.
_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)
_SAMPLE = 1 << 16  # bytes around the first error
_SHORTEST = 80  # bytes: shorter texts are not guessed
_COHERENCE = 0.1  # least agreement with the letter frequencies of a language
_MULTIBYTE = 0.1  # or the least share of bytes beyond one per character
_TIE = 0.05  # matches whose scores differ by less are equally good
_CHUNK = 1 << 20


def decode(data: bytes, encoding: str, path: str) -> tuple[str, list[str]]:
    """Return a file's text, and a note for each change that was made to it.

    A byte-order mark is dropped, and CRLF line ends become LF. With "bytes", byte b
    becomes `chr(b)`. Raises TextError, naming `path` and the offset, if the file is
    not in this encoding.
    """
    if encoding == BYTES:
        return data.decode("latin-1"), []
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        # Some codecs count from after the byte-order mark.
        offset = error.start + len(data) - len(error.object)
        raise TextError(
            f"{path}: byte 0x{data[offset]:02x} at offset {offset} is not {encoding}; "
            f"{_advice(likely_encodings(data, offset))}"
        ) from None
    except (LookupError, ValueError):
        raise TextError(
            f"encoding {encoding!r} is not known; expected a name such as utf-8, "
            "latin-1 or utf-16"
        ) from None
    notes = []
    if text.startswith(_BOM):
        text = text[1:]
        notes.append("dropped the byte-order mark")
    line_ends = text.count("\r\n")
    if line_ends:
        text = text.replace("\r\n", "\n")
        notes.append(f"turned {line_ends:,} CRLF line ends into LF")
    return text, notes


def _advice(encodings: list[str]) -> str:
    if not encodings:
        return (
            "expected a text in that encoding; name the right one with --encoding "
            '(latin-1, cp1252, utf-16 …; in Python: encoding="latin-1"), or read bytes '
            'instead of characters with --bytes (encoding="bytes")'
        )
    first = encodings[0]
    option = f'--encoding {first} (in Python: encoding="{first}")'
    if len(encodings) == 1:
        return f"it looks like {first}: try {option}"
    return f"it may be {' or '.join(encodings)} (check the letters): try {option}"


def likely_encodings(data: bytes, offset: int) -> list[str]:
    """Return up to three encodings that a text may be in, or none if that is unclear.

    offset is where it could not be decoded. Each encoding decodes the whole text.
    Several are returned mostly for accented Latin letters, whose encodings are similar.
    """
    from charset_normalizer import from_bytes

    sample = _sample(data, offset)
    if len(sample) < _SHORTEST:
        return []
    matches = from_bytes(sample, cp_isolation=[*_COMMON])
    best = matches.best()
    if best is None or not _is_clear(best):
        return []
    good = [
        min(match.could_be_from_charset, key=_rank)
        for match in matches
        if match.chaos - best.chaos < _TIE
        and best.coherence - match.coherence < _TIE
        and _is_clear(match)
    ]
    # Western European texts are the most common, and easily mistaken for others.
    good.sort(key=lambda name: name != "cp1252")
    names = [name for name in dict.fromkeys(good) if _decodes(data, name)]
    return [name.replace("_", "-") for name in names[:3]]


def _rank(name: str) -> int:
    return _COMMON.index(name) if name in _COMMON else len(_COMMON)


def _is_clear(match: "CharsetMatch") -> bool:
    """Return whether a match is more than chance."""
    # Most byte sequences are not valid in a multi-byte encoding.
    return match.coherence >= _COHERENCE or match.multi_byte_usage >= _MULTIBYTE


def _sample(data: bytes, offset: int) -> bytes:
    """Return lines around an offset: only those that are not ASCII, if long enough."""
    if data.startswith(_MARKS):
        return data[:_SAMPLE]
    start = max(0, offset - _SAMPLE // 2)
    around = data[start : start + _SAMPLE]
    lines = around.splitlines(keepends=True)
    # The first and the last line may be cut in the middle of a character.
    lines = lines[start > 0 : len(lines) - (start + _SAMPLE < len(data))] or [around]
    telling = b"".join(line for line in lines if not line.isascii())
    return telling if len(telling) >= _SHORTEST else b"".join(lines)


def _decodes(data: bytes, encoding: str) -> bool:
    try:
        for _ in codecs.iterdecode(_chunks(data), encoding):
            pass
    except UnicodeError:
        return False
    return True


def _chunks(data: bytes) -> Iterator[bytes]:
    for start in range(0, len(data), _CHUNK):
        yield data[start : start + _CHUNK]
