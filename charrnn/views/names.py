"""Names of runs as labels: visible, short, and different from each other."""

from collections import Counter
from collections.abc import Sequence

from wcwidth import iter_graphemes, wcswidth

_WIDEST = 32  # columns of a terminal


def short_names(names: Sequence[str], widest: int = _WIDEST) -> list[str]:
    """Return names without control characters, and with "…" inside if they are long.

    Equal ones get a number.
    """
    shown = [_shorten(_visible(name) or "?", widest) for name in names]
    totals, so_far = Counter(shown), Counter[str]()
    for i, name in enumerate(shown):
        if totals[name] > 1:
            so_far[name] += 1
            shown[i] = f"{name} ({so_far[name]})"
    return shown


def _visible(name: str) -> str:
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in name)


def _shorten(name: str, widest: int) -> str:
    """Return a name with its middle left out, if it is wider than that."""
    if max(0, wcswidth(name)) <= widest:
        return name
    letters = [*iter_graphemes(name)]
    head, tail = "", ""
    while letters and wcswidth(head + letters[0]) <= (widest - 1) * 2 // 3:
        head += letters.pop(0)
    while letters and wcswidth(letters[-1] + tail) <= (widest - 1) // 3:
        tail = letters.pop() + tail
    return f"{head}…{tail}"
