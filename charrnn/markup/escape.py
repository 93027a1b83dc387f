"""Any string as text of a page. Nothing from a file or a model is trusted."""

import json
import re
from html import escape as escape_markup
from typing import Any

# What no page can hold: control characters, half characters and non-characters.
_NO_CHARACTER = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
# What could end a script element, or start a comment in it.
_IN_SCRIPT = {ord(c): f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"}


def escaped(text: str) -> str:
    """Return a text as HTML, with U+FFFD for what a page cannot hold.

    It may stand in an element or in an attribute between quotes.
    """
    return escape_markup(_NO_CHARACTER.sub("\N{REPLACEMENT CHARACTER}", text))


def data(value: Any) -> str:
    """Return a value as JSON that may stand in a script element."""
    found = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    found = _NO_CHARACTER.sub("\N{REPLACEMENT CHARACTER}", found)
    return found.translate(_IN_SCRIPT)
