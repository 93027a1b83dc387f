"""Guess the encodings that a text may be in, for the error when decoding fails."""

import codecs
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from charset_normalizer import CharsetMatch

# Common encodings. If several fit, the first is the likeliest name: a text with few
# accents is often the same in many.
_COMMON = (
    *("utf_8", "utf_16", "utf_32"),
    *("cp1252", "cp1250", "iso8859_2", "cp1251", "koi8_r"),
    *("cp1253", "cp1254", "cp1255", "cp1256", "cp874"),
    *("cp932", "euc_jp", "gb18030", "big5", "cp949"),
)
# UTF-16 and UTF-32, whose lines do not end in a byte. UTF-32 may start like UTF-16.
_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)
_SAMPLE = 1 << 16  # bytes around the first error
_SHORTEST = 80  # bytes that a guess is based on
_COHERENCE = 0.1  # the least agreement with the letter frequencies of a language
_MULTIBYTE = 0.1  # the share of bytes beyond one per character that is as good
_TIE = 0.05  # matches whose figures differ by less are equally good
_CHUNK = 1 << 20


def likely_encodings(data: bytes, offset: int) -> list[str]:
    """Return up to three encodings that a text may be in, or none if that is unclear.

    offset is where it could not be decoded. Each encoding decodes the whole text. There
    are several mostly for Latin letters with accents, whose encodings are much alike.
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
    # Western European texts are the most frequent, and easily taken for others.
    good.sort(key=lambda name: name != "cp1252")
    names = [name for name in dict.fromkeys(good) if _decodes(data, name)]
    return [name.replace("_", "-") for name in names[:3]]


def _rank(name: str) -> int:
    return _COMMON.index(name) if name in _COMMON else len(_COMMON)


def _is_clear(match: "CharsetMatch") -> bool:
    """Return whether a match is more than bytes that happen to be defined."""
    # Few sequences of several bytes per character are valid.
    return match.coherence >= _COHERENCE or match.multi_byte_usage >= _MULTIBYTE


def _sample(data: bytes, offset: int) -> bytes:
    """Return lines around an offset, those that are not ASCII if they are enough."""
    if data.startswith(_MARKS):
        return data[:_SAMPLE]
    start = max(0, offset - _SAMPLE // 2)
    around = data[start : start + _SAMPLE]
    lines = around.splitlines(keepends=True)
    # The first and the last may be cut within a character.
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
