"""Texts as results: as they are for a file, and harmless on a terminal."""

import codecs
from typing import TextIO

from charrnn.text.characters import escaped


class TextWriter:
    """Writes pieces of texts, of characters or of bytes.

    On a terminal, which obeys control characters, they are shown as escapes such as
    \\x1b, unless `raw`. Bytes are decoded in the terminal's encoding.
    """

    def __init__(self, out: TextIO, *, reads_bytes: bool, raw: bool = False) -> None:
        self.on_terminal = out.isatty()
        self.has_escaped = False  # whether there was a control character
        self._out = out
        self.reads_bytes = reads_bytes
        self._shows = self.on_terminal and not raw
        decoder = codecs.getincrementaldecoder(out.encoding or "utf-8")
        self._decoder = decoder("backslashreplace")

    def write(self, text: str) -> None:
        """Write a piece of a text; `chr(b)` is byte b in a text of bytes."""
        if self._shows:
            self._show(self._decoded(text) if self.reads_bytes else text)
        elif self.reads_bytes:
            self._out.buffer.write(text.encode("latin-1"))
        else:
            self._out.write(text)

    def flush(self) -> None:
        """Show what was written so far."""
        self._out.flush()

    def end(self) -> None:
        """Write what is left of the last character of a text of bytes."""
        if self._shows and self.reads_bytes:
            self._show(self._decoded("", final=True))

    def _decoded(self, text: str, final: bool = False) -> str:
        return self._decoder.decode(text.encode("latin-1"), final)

    def _show(self, text: str) -> None:
        shown = escaped(text)
        self.has_escaped |= shown != text
        self._out.write(shown)
