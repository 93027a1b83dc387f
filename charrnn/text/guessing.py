"""Guesses of a text's encoding, for advice; none decides how a text is read."""

import codecs
import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from charset_normalizer import CharsetMatch

# Byte-order marks and the codecs that they belong to. That of little-endian UTF-32
# begins with that of UTF-16.
MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# Common encodings. If several fit, the first is the likeliest name: a text with few
# accents is often the same in many.
_COMMON = (
    *("utf_8", "utf_16", "utf_32"),
    *("cp1252", "cp1250", "iso8859_2", "cp1251", "koi8_r"),
    *("cp1253", "cp1254", "cp1255", "cp1256", "cp874"),
    *("cp932", "euc_jp", "gb18030", "big5", "cp949"),
)
_SAMPLE = 1 << 16  # bytes around the first error
_SHORTEST = 80  # bytes: shorter texts are not guessed
_COHERENCE = 0.1  # least agreement with the letter frequencies of a language
_MULTIBYTE = 0.1  # or the least share of bytes beyond one per character
_TIE = 0.05  # matches whose scores differ by less are equally good


def likely_encodings(data: bytes, offset: int) -> list[str]:
    """Return up to three encodings that a text may be in, or none if that is unclear.

    offset is where it could not be decoded. Each encoding decodes all of `data`.
    Several are returned mostly for accented Latin letters, whose encodings are similar.
    """
    known = marked_encoding(data) or wide_encoding(data[: 1 << 13])
    if known:
        return [known] if _decodes(data, known) else []
    sample = _sample(data, offset)
    if len(sample) < _SHORTEST:
        return []
    return [name for name in _guesses(sample) if _decodes(data, name)][:3]


def _guesses(sample: bytes) -> list[str]:
    """Return the encodings that a sample may be in, the likeliest first."""
    from charset_normalizer import from_bytes

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
    return [name.replace("_", "-") for name in dict.fromkeys(good)]


def _rank(name: str) -> int:
    return _COMMON.index(name) if name in _COMMON else len(_COMMON)


def _is_clear(match: "CharsetMatch") -> bool:
    """Return whether a match is more than chance."""
    # Most byte sequences are not valid in a multi-byte encoding.
    return match.coherence >= _COHERENCE or match.multi_byte_usage >= _MULTIBYTE


def _sample(data: bytes, offset: int) -> bytes:
    """Return lines around an offset: only those that are not ASCII, if long enough."""
    start = max(0, offset - _SAMPLE // 2)
    around = data[start : start + _SAMPLE]
    lines = around.splitlines(keepends=True)
    # The first and the last line may be cut in the middle of a character.
    lines = lines[start > 0 : len(lines) - (start + _SAMPLE < len(data))] or [around]
    telling = b"".join(line for line in lines if not line.isascii())
    return telling if len(telling) >= _SHORTEST else b"".join(lines)


def _decodes(data: bytes, encoding: str) -> bool:
    try:
        data.decode(encoding)
    except UnicodeError as error:
        return getattr(error, "reason", "") in CUT
    return True


# What codecs report if data end within a character.
CUT = ("unexpected end of data", "truncated data", "incomplete multibyte sequence")


def is_utf8(data: bytes) -> bool:
    """Return whether bytes are UTF-8; they may end within a character."""
    return _decodes(data, "utf-8")


def marked_encoding(data: bytes) -> str:
    """Return the codec of the UTF-16 or UTF-32 mark that data begin with, or ""."""
    return next((codec for mark, codec in MARKS if data.startswith(mark)), "")


_WIDE = ("utf-32-le", "utf-32-be", "utf-16-le", "utf-16-be")
_MOST_STRANGE = 0.02  # share of characters that no text has
_LEAST_FAMILIAR = 0.01
# At least one of these is frequent in any script.
_FAMILIAR = frozenset("\n\r ,.\u3000\u3001\u3002\uff0c")


def wide_encoding(data: bytes) -> str:
    """Return the codec of UTF-16 or UTF-32 data without a byte-order mark.

    It names the order of the bytes. Returns "" if the data are something else.
    """
    scores = {codec: _familiarity(data, codec) for codec in _WIDE}
    best = max(_WIDE, key=lambda codec: scores[codec])
    return best if scores[best] >= _LEAST_FAMILIAR else ""


def _familiarity(data: bytes, codec: str) -> float:
    """Return the share of familiar characters, or 0 if the data are no text."""
    width = 4 if codec.startswith("utf-32") else 2
    whole = data[: len(data) - len(data) % width]
    try:
        text = whole.decode(codec)
    except UnicodeDecodeError as error:
        if error.reason not in CUT:
            return 0.0
        text = whole[: error.start].decode(codec)
    if not text or sum(map(_is_strange, text)) > _MOST_STRANGE * len(text):
        return 0.0
    return sum(character in _FAMILIAR for character in text) / len(text)


def _is_strange(character: str) -> bool:
    if character in "\n\r\t\f\ufeff":
        return False
    return unicodedata.category(character) in ("Cc", "Cn", "Co", "Cs")
