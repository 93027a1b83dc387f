"""Decoding a text piece by piece, with one kind of line end and errors that advise."""

import codecs
import difflib
import encodings.aliases
import re
from collections import Counter

from charrnn.config import BYTES
from charrnn.errors import TextError
from charrnn.text.guessing import CUT, likely_encodings, marked_encoding, wide_encoding
from charrnn.text.mojibake import better_codec, misread_before
from charrnn.text.streams import printable

_BOM = "\ufeff"
# Other line ends than LF. A CRLF is found before its CR; the last three are not ASCII.
_LINE_ENDS = {
    "CRLF": "\r\n",
    "CR": "\r",
    "NEL": "\x85",
    "LS": "\u2028",
    "PS": "\u2029",
}
# Codecs from str to bytes that are not encodings of texts; Python marks only others.
_NO_TEXT = ("idna", "punycode", "undefined", "mbcs", "oem")
_ESCAPES = ("unicode-escape", "raw-unicode-escape")
_START = 1 << 12  # bytes by which the encoding is checked
_CONTEXT = 1 << 16  # bytes after an error that are looked at for advice
_SAMPLES, _SAMPLE = 16, 1 << 14  # number, and bytes of each


class Decoder:
    """Decodes a file's bytes, given one block after another.

    encoding is a Python codec; None for UTF-8, or for UTF-16 or UTF-32 if the file
    begins with their byte-order mark; or "bytes": byte b becomes `chr(b)`, and nothing
    is changed. path names the file in errors. Otherwise a byte-order mark is dropped,
    and every line end becomes LF: CRLF, CR, NEL (U+0085), LS and PS (U+2028, U+2029).

    Raises TextError for an unknown codec.
    """

    def __init__(self, encoding: str | None, path: str) -> None:
        if encoding not in (None, BYTES):
            check_encoding(encoding)
        self.encoding = encoding  # the one that is used, once the first bytes are known
        self._name = printable(path)
        self._start: bytes | None = b""  # bytes before the encoding is known
        self._line_ends = _LineEnds()
        self._notes: list[str] = []
        self._read = 0  # bytes
        self._previous = b""  # the last block, for advice
        self._failure: _Failure | None = None
        self._samples: list[bytes] = []
        self._first = True
        self._wide = False

    def feed(self, data: bytes, final: bool = False) -> str:
        """Return the text that more bytes add; `final` tells that they are the last.

        Raises TextError, naming the byte and its offset in the file, if they are not in
        this encoding. The error may come some blocks later, with better advice.
        """
        if self.encoding == BYTES:
            return data.decode("latin-1")
        if self._start is not None:
            data = self._start = self._start + data
            if len(data) < _START and not final:
                return ""
            self._begin(data)
        return self._line_ends.feed(self._decode(data, final), final)

    def notes(self) -> list[str]:
        """Return a note for each change to the text, and for what looks wrong."""
        notes = [*self._notes]
        if self._line_ends.counts:
            notes.append(f"turned {self._line_ends} into LF")
        return notes + self._doubts()

    def _begin(self, start: bytes) -> None:
        marked, asked = marked_encoding(start), self.encoding
        self.encoding = asked or marked or "utf-8"
        if marked and not asked:
            self._notes.append(f"read as {marked}, as its byte-order mark tells")
        self._check_start(start, marked)
        self._decoder = codecs.getincrementaldecoder(self.encoding)()
        self._start = None

    def _check_start(self, start: bytes, marked: str) -> None:
        """Raise TextError if the first bytes are in, or lack, another UTF-16 or 32."""
        codec = codecs.lookup(str(self.encoding)).name
        wide = self._wide = codec.startswith(("utf-16", "utf-32"))
        if marked:
            kept = (
                codec.startswith(marked) and start.decode(codec, "ignore")[:1] == _BOM
            )
            if codec != marked and not kept:
                raise TextError(
                    f"{self._name}: the byte-order mark at the start is not that of "
                    f"{self.encoding}; {_looks_like(marked)}"
                )
        elif codec in ("utf-16", "utf-32") and start:
            orders = f"{codec}-le", f"{codec}-be"
            likely = wide_encoding(start) or next(iter(likely_encodings(start, 0)), "")
            raise TextError(
                f"{self._name}: no byte-order mark, so {codec} does not tell the order "
                f"of the bytes; {_looks_like(likely) if likely else _one_of(orders)}"
            )
        elif not wide and b"\0" in start and (likely := wide_encoding(start)):
            raise TextError(
                f"{self._name}: NUL bytes, as no text in {self.encoding} has them; "
                f"{_looks_like(likely)}"
            )

    def _decode(self, data: bytes, final: bool) -> str:
        self._read += len(data)
        if self._failure:
            self._failure.after(data, final)
            return ""
        try:
            text = self._decoder.decode(data, final)
        except UnicodeDecodeError as error:
            # Codecs hold bytes back, and some count from after the byte-order mark.
            known = self._previous + data
            at = len(known) - len(error.object) + error.start
            whole = len(known) == self._read
            offset = self._read - len(known) + at
            # Other characters beyond ASCII show that the encoding is the right one.
            if final and error.reason in CUT and not known[:at].isascii():
                raise TextError(
                    f"{self._name}: ends within a character of {self.encoding}, as if "
                    f"it was cut off; get all of the file, or drop the bytes from "
                    f"offset {offset} on"
                ) from None
            self._failure = _Failure(
                f"{self._name}: byte 0x{known[at]:02x} at offset {offset} is not "
                f"{self.encoding}",
                known,
                at,
                whole,
            )
            self._failure.after(b"", final)
            return ""
        if len(self._samples) < _SAMPLES and not (self._previous and text.isascii()):
            self._take_sample(data, text)
        self._previous = data
        return self._without_mark(text)

    def _without_mark(self, text: str) -> str:
        if self._first and text:
            self._first = False
            if text[0] == _BOM:
                text = text[1:]
                self._notes.append("dropped the byte-order mark")
        return text

    def _take_sample(self, data: bytes, text: str) -> None:
        """Keep lines that are not ASCII, to tell later whether the codec was right."""
        first = not self._previous
        beyond = re.search(rb"[\x80-\xff]", data)
        if first and (self._wide or not beyond):
            if text[:_SAMPLE] != data[:_SAMPLE].decode("latin-1"):
                self._samples.append(data[:_SAMPLE])
        elif beyond and not self._wide:
            start = data.rfind(b"\n", 0, beyond.start()) + 1
            if first or start:  # otherwise the line may begin within a character
                self._samples.append(data[start : start + _SAMPLE])

    def _doubts(self) -> list[str]:
        if not self._samples or self.encoding is None:
            return []
        if better := better_codec(self._samples, self.encoding):
            return [f"it looks like {better}, not {self.encoding}: {_try(better)}"]
        if misread := misread_before(self._samples, self.encoding):
            return [
                f"it looks like UTF-8 that was read as {misread} and saved again, as "
                '"Ã©" for "é"; to repair it: pip install ftfy && ftfy FILE -o NEW'
            ]
        return []


class _LineEnds:
    """Turns every line end into LF, and counts them."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._held = ""  # a CR, which may be the first half of a CRLF

    def feed(self, text: str, final: bool) -> str:
        text = self._held + text if self._held else text
        self._held = ""
        if text.endswith("\r") and not final:
            self._held, text = "\r", text[:-1]
        for name, end in _LINE_ENDS.items():
            if end[0] in text:  # much faster to find than two characters
                self.counts[name] += text.count(end)
                text = text.replace(end, "\n")
        return text

    def __str__(self) -> str:
        found = [name for name in _LINE_ENDS if self.counts[name]]
        *first, last = (f"{self.counts[name]:,} {name}" for name in found)
        listed = f"{', '.join(first)} and {last}" if first else last
        return f"{listed} line end{'s' * (self.counts.total() > 1)}"


class _Failure:
    """Bytes that cannot be decoded, with those around them, for advice."""

    def __init__(self, what: str, data: bytes, at: int, whole: bool) -> None:
        self._what, self._data, self._at = what, data, at
        self._whole = whole  # whether data begin where the file does

    def after(self, data: bytes, final: bool) -> None:
        """Add the bytes that follow, and raise the TextError once they suffice."""
        self._data += data
        if final or len(self._data) - self._at >= _CONTEXT:
            raise TextError(f"{self._what}; {_advice(self._likely())}") from None

    def _likely(self) -> list[str]:
        # The first line may be cut in the middle of a character.
        start = 0 if self._whole else self._data.rfind(b"\n", 0, self._at // 2) + 1
        return likely_encodings(self._data[start:], self._at - start)


def check_encoding(encoding: str) -> None:
    """Raise TextError if a name is not that of a codec for texts."""
    try:
        codec = codecs.lookup(encoding)
    except (LookupError, ValueError):
        near = difflib.get_close_matches(encoding.lower(), _known_names(), n=1)
        raise TextError(
            f"encoding {encoding!r} is not known; expected a name such as utf-8, "
            f"latin-1 or utf-16{f'; did you mean {near[0]}?' if near else ''}"
        ) from None
    name = codec.name.replace("_", "-")
    if not codec._is_text_encoding or name in (*_NO_TEXT, *_ESCAPES):
        raise TextError(
            f"encoding {encoding!r} is not one of texts; expected a name such as "
            "utf-8, latin-1 or utf-16"
        )


def _known_names() -> list[str]:
    aliases = encodings.aliases.aliases
    return [name.replace("_", "-") for name in {*aliases, *aliases.values()}]


def _try(encoding: str) -> str:
    return f'try --encoding {encoding} (in Python: encoding="{encoding}")'


def _looks_like(encoding: str) -> str:
    return f"it looks like {encoding}: {_try(encoding)}"


def _one_of(names: tuple[str, str]) -> str:
    return f"try --encoding {names[0]} or {names[1]}"


def _advice(likely: list[str]) -> str:
    if not likely:
        return (
            "expected a text in that encoding; name the right one with --encoding "
            '(latin-1, cp1252, utf-16 …; in Python: encoding="latin-1"), or read bytes '
            'instead of characters with --bytes (encoding="bytes")'
        )
    first = likely[0]
    if len(likely) == 1:
        return _looks_like(first)
    return f"it may be {' or '.join(likely)} (check the letters): {_try(first)}"
