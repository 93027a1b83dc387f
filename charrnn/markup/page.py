"""A page in one file that fetches nothing."""

import hashlib
from base64 import b64encode
from importlib.resources import files

from charrnn.markup.escape import escaped

# The browser refuses everything else, even if a string were not escaped.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src {}"


def page(title: str, body: str, *, scripts: tuple[str, ...] = ("inspect",)) -> str:
    """Return a whole page.

    title is plain text; body is HTML. scripts are the names of the JavaScript files of
    this folder that the page needs.
    """
    sources = [asset(f"{name}.js") for name in scripts]
    allowed = " ".join(map(_hash, sources)) or "'none'"
    code = "".join(f"<script>{source}</script>" for source in sources)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        '<meta http-equiv="Content-Security-Policy" '
        f'content="{_POLICY.format(allowed)}">\n'
        f"<title>{escaped(title)}</title>\n<style>\n{asset('page.css')}</style>\n"
        f"</head>\n<body>\n<main>\n{body}\n</main>\n{code}\n</body>\n</html>\n"
    )


def asset(name: str) -> str:
    """Return a style sheet or a script of this folder."""
    return (files("charrnn.markup") / name).read_text(encoding="utf-8")


def _hash(source: str) -> str:
    digest = hashlib.sha256(source.encode()).digest()
    return f"'sha256-{b64encode(digest).decode()}'"
