"""Characters that a model has never seen: refused, skipped, or mapped to others."""

import unicodedata

from charrnn.config import ON_UNKNOWN
from charrnn.errors import ConfigError, TextError
from charrnn.text.vocab import Vocabulary

# Typographic characters that Unicode does not decompose into plain ones.
_PLAIN = {"‘": "'", "’": "'", "“": '"', "”": '"', "–": "-", "—": "--", "\t": " "}


def known_only(text: str, vocab: Vocabulary, on_unknown: str) -> str:
    """Return a text in the characters of a vocabulary; see `LanguageModel.encode`."""
    if on_unknown not in ON_UNKNOWN:
        raise ConfigError(
            f"on_unknown is {on_unknown!r}; expected {', '.join(ON_UNKNOWN)}"
        )
    if not isinstance(text, str):
        raise TextError(f"the text is a {type(text).__name__}; expected a str")
    unknown = vocab.unknown(text)
    if not unknown:
        return text
    if on_unknown == "error":
        raise TextError(
            f"the model has never seen {' '.join(map(repr, unknown))}; leave them "
            'out, or set on_unknown (--on-unknown) to "skip" or "map"'
        )
    table = {ord(c): nearest(c, vocab) if on_unknown == "map" else "" for c in unknown}
    return text.translate(table)


def nearest(character: str, vocab: Vocabulary) -> str:
    """Return the known text closest to an unknown character, or "" if there is none."""
    plain = _PLAIN.get(character) or "".join(
        c
        for c in unicodedata.normalize("NFKD", character)
        if not unicodedata.combining(c)
    )
    for candidate in (plain, plain.swapcase()):
        if candidate and not vocab.unknown(candidate):
            return candidate
    return ""
