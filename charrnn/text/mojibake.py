"""Texts that decode without an error and are nonsense: read with the wrong codec.

Every rule looks for what texts in the right encoding practically never have. A text
that was misread and is not found here is no reason to trust it.
"""

import codecs
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

from charrnn.text.guessing import is_utf8, likely_encodings

# Codecs in which UTF-8 is often misread and then saved again.
_MISREAD_AS = ("cp1252", "latin-1", "cp1251", "cp1250", "cp437", "cp850", "mac-roman")
_MISREAD_SHARE = 0.5  # least share of the words with letters beyond ASCII
_FEW = 3  # what occurs less often may be meant
_MOST_RUNS = 5000

_CYRILLIC = ("cp1251", "koi8-r", "iso8859-5", "cp866", "mac-cyrillic")
_FREQUENT = frozenset("оеаинтсрвлкмдпу")  # three quarters of the letters of a text
_MOST_WRONG, _LEAST_RIGHT = 0.45, 0.6  # their share in a wrong, and in the right codec
_ENOUGH = 60  # letters beyond ASCII

_ACCENTED_SHARE = 0.8  # of the letters of words that have one beyond ASCII
_SYMBOL_IN_WORD = re.compile(r"[^\W\d_][¹³¶±¿¼£¥¢©®¾½²¦][^\W\d_]")
_OTHER_LETTERS = r"[\u0370-\u06ff]"  # Greek, Cyrillic, Hebrew, Arabic
_BESIDE_LATIN = re.compile(
    rf"(?<=[A-Za-z]){_OTHER_LETTERS}|{_OTHER_LETTERS}(?=[A-Za-z])"
)
_CENTRAL_EUROPEAN = ("cp1250", "iso8859-2")
# The codec of Windows that puts characters where its ISO sibling has controls.
_WINDOWS = {
    "iso8859-1": "cp1252",
    "iso8859-15": "cp1252",
    "iso8859-2": "cp1250",
    "iso8859-7": "cp1253",
    "iso8859-9": "cp1254",
}
_MULTIBYTE = ("cp932", "euc-jp", "gb18030", "big5", "cp949")
_LATIN = ("cp1252", "cp1250", "cp1254", *_WINDOWS)


def better_codec(samples: Sequence[bytes], codec: str) -> str:
    """Return the codec that a text is likely to be in, or "" if `codec` may be right.

    samples are parts of the file, of whole lines that are not ASCII.
    """
    codec = codecs.lookup(codec).name
    joined = b"\n".join(samples)
    if not codec.startswith("utf-8") and _is_surely_utf8(samples, codec):
        return "utf-8"
    text = joined.decode(codec, "ignore")
    if codec in _WINDOWS and _has_controls(text):
        return _better_than_iso(joined, codec)
    if codec in _CYRILLIC and (better := _better_cyrillic(joined, codec)):
        return better
    if not codec.startswith("utf-") and _looks_wrong(text, codec):
        return _one_that_looks_right(joined, codec)
    return ""


def misread_before(samples: Sequence[bytes], codec: str) -> str:
    """Return the codec as which a UTF-8 text was once misread and then saved, or ""."""
    if not codecs.lookup(codec).name.startswith("utf-"):
        return ""
    text = "\n".join(sample.decode(codec, "ignore") for sample in samples)
    runs = re.findall(r"[^\x00-\x7f]+", text)[:_MOST_RUNS]
    found = {name: sum(_is_misread(run, name) for run in runs) for name in _MISREAD_AS}
    best = max(found, key=lambda name: found[name])
    enough = found[best] >= max(_FEW, _MISREAD_SHARE * len(runs))
    return best if enough else ""


def _is_surely_utf8(samples: Sequence[bytes], codec: str) -> bool:
    if not all(map(is_utf8, samples)):
        return False
    if _is_ascii_compatible(codec):
        characters = re.findall(rb"[\xc2-\xf4][\x80-\xbf]+", b"\n".join(samples))
        return len(characters) >= _FEW
    return not any(b"\0" in sample for sample in samples)


def _is_ascii_compatible(codec: str) -> bool:
    return "az AZ 09\n".encode(codec) == b"az AZ 09\n"


def _has_controls(text: str) -> bool:
    """Return whether a text has the control characters U+0080 to U+009F.

    U+0085 is the line end of some systems, and nothing else if there are no others.
    """
    pattern = r"[\x80-\x9f]" if "\n" in text else r"[\x80-\x84\x86-\x9f]"
    return len(re.findall(pattern, text)) >= _FEW


def _better_than_iso(data: bytes, codec: str) -> str:
    guesses = [name for name in likely_encodings(data, 0) if name in _MULTIBYTE]
    names = (*guesses, _WINDOWS[codec], "cp1250")
    return next((name for name in names if _fits(data, name)), "")


def _fits(data: bytes, codec: str) -> bool:
    """Return whether data can be decoded, and then do not look wrong."""
    try:
        return not _looks_wrong(data.decode(codec), codec)
    except UnicodeDecodeError:
        return False


def _better_cyrillic(data: bytes, codec: str) -> str:
    scores = {name: _frequent_share(data, name) for name in {codec, *_CYRILLIC}}
    best = max(_CYRILLIC, key=lambda name: scores[name])
    clear = scores[codec] < _MOST_WRONG and scores[best] > _LEAST_RIGHT
    return best if clear else ""


def _frequent_share(data: bytes, codec: str) -> float:
    beyond = re.findall(r"[^\x00-\x7f]", data.decode(codec, "ignore"))
    if len(beyond) < _ENOUGH:
        return 0.0
    return sum(character in _FREQUENT for character in beyond) / len(beyond)


def _mostly_accented(text: str) -> bool:
    """Return whether words have hardly a letter that is not accented.

    That is how an alphabet that is not Latin looks in a codec for Latin letters.
    """
    words = [word for word in _words(text) if not word.isascii()]
    letters = "".join(words)
    accented = sum("\x80" <= letter < "\u0250" for letter in letters)
    return accented >= max(_ENOUGH, _ACCENTED_SHARE * len(letters))


def _words(text: str) -> Iterator[str]:
    return (found[0] for found in re.finditer(r"[^\W\d_]{3,}", text))


def _symbols_in_words(text: str) -> bool:
    return len(_SYMBOL_IN_WORD.findall(text)) >= 2 * _FEW


def _mixes_alphabets(text: str) -> bool:
    """Return whether most letters of another alphabet stand beside a Latin one."""
    beside = len(_BESIDE_LATIN.findall(text))
    return beside >= max(_FEW, len(re.findall(_OTHER_LETTERS, text)) // 2)


def _looks_wrong(text: str, codec: str) -> bool:
    in_latin = codec in _LATIN and (_mostly_accented(text) or _symbols_in_words(text))
    return in_latin or _mixes_alphabets(text)


def _one_that_looks_right(data: bytes, codec: str) -> str:
    for name in (*likely_encodings(data, 0), *_CENTRAL_EUROPEAN):
        if name != codec and not _looks_wrong(data.decode(name, "ignore"), name):
            return name
    return ""


def _is_misread(run: str, codec: str) -> bool:
    """Return whether characters beyond ASCII, encoded with `codec`, are UTF-8."""
    table = _bytes_of(codec)
    if not all(character in table for character in run):
        return False
    data = bytes(table[character] for character in run)
    try:
        return data.decode().isprintable() or "\u00a0" in data.decode()
    except UnicodeDecodeError:
        return False


@lru_cache
def _bytes_of(codec: str) -> dict[str, int]:
    """Return the bytes above 127 of a codec; undefined ones are control characters."""
    return {
        bytes([byte]).decode(codec, "ignore") or chr(byte): byte
        for byte in range(128, 256)
    }
