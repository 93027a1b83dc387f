"""Texts on the command line: escapes such as \\n, bytes, and files."""

import re
from typing import TYPE_CHECKING

import click

from charrnn.config import TextConfig
from charrnn.errors import ConfigError

if TYPE_CHECKING:
    from charrnn.generation.language_model import LanguageModel

# A stretch without a backslash, or an escape.
_PART = re.compile(
    r"[^\\]+|\\(?:x[\da-fA-F]{0,2}|u[\da-fA-F]{0,4}|U[\da-fA-F]{0,8}|.|\Z)",
    re.DOTALL | re.ASCII,
)
_NAMED = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", "'": "'", '"': '"'}
_DIGITS = {"x": 2, "u": 4, "U": 8}
_LAST_CODE_POINT = 0x10FFFF


def read_text(model: "LanguageModel", text: str, name: str) -> str:
    r"""Return an argument in the characters of the model, with its escapes replaced.

    `\xHH` is a character or, in a model of bytes, a byte. name is that of the option,
    for the error.
    """
    read = []
    for part in _PART.findall(text):
        value = _unescaped(part, name)
        raw = part.startswith("\\x")  # already a byte, if the model reads bytes
        read.append(as_bytes(value) if model.reads_bytes and not raw else value)
    return "".join(read)


def unescape(text: str, name: str) -> str:
    """Return an argument with its escapes replaced; name is that of the option."""
    return "".join(_unescaped(part, name) for part in _PART.findall(text))


def _unescaped(part: str, name: str) -> str:
    if part[0] != "\\":
        return part
    kind, digits = part[1:2], part[2:]
    if kind in _NAMED:
        return _NAMED[kind]
    if len(digits) == _DIGITS.get(kind) and int(digits, 16) <= _LAST_CODE_POINT:
        return chr(int(digits, 16))
    raise ConfigError(
        rf"{name}: {part} is not an escape; expected \n, \t, \r, \\, \xHH, \uHHHH or "
        r"\UHHHHHHHH (a backslash is written \\)"
    )


def as_bytes(text: str) -> str:
    """Return an argument in the characters of a model of bytes."""
    # Python escapes bytes of an argument that are not UTF-8.
    return text.encode("utf-8", "surrogateescape").decode("latin-1")


def resolve_prime(model: "LanguageModel", prime: str, prime_file: str | None) -> str:
    """Return the prime, perhaps read from a file, in the characters of the model."""
    if not prime_file:
        return read_text(model, prime, "--prime")
    if prime:
        raise click.UsageError("--prime and --prime-file exclude each other; give one")
    from charrnn.text.reading import read_corpus

    # The last line end belongs to the prime, and every character counts.
    config = TextConfig(model.corpus.encoding, model.corpus.normalize, max_vocab=0)
    return read_corpus([prime_file], config).text
