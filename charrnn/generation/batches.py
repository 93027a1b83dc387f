"""Any number of texts, written in batches, and only those that are wanted."""

import warnings
from collections.abc import Callable, Iterator

from charrnn.errors import CharRNNWarning

_BATCH = 256  # texts written side by side
_LEAST = 32  # and no fewer, if some of them may be left out
_PATIENCE = 100  # texts left out in a row


def in_batches(
    write: Callable[[range], list[str]],
    count: int,
    keep: Callable[[str], bool] | None = None,
) -> Iterator[str]:
    """Yield `count` texts, in the order of their numbers, leaving out what `keep` does.

    write returns the texts of a range of numbers. Gives up, with a CharRNNWarning, if
    100 texts in a row were left out.
    """
    came = left_out = start = 0
    while came < count:
        missing = count - came
        size = min(_BATCH, max(missing, _LEAST) if keep else missing)
        for text in write(range(start, start + size)):
            if keep and not keep(text):
                left_out += 1
                if left_out == _PATIENCE:
                    _give_up(came, count)
                    return
                continue
            came, left_out = came + 1, 0
            yield text
            if came == count:
                return
        start += size


def only_new(
    unique: bool, is_known: Callable[[str], bool] | None
) -> Callable[[str], bool] | None:
    """Return a function that tells whether to keep a text; None to keep all."""
    if not unique and is_known is None:
        return None
    seen = set()

    def keep(text: str) -> bool:
        if text in seen or (is_known and is_known(text)):
            return False
        if unique:
            seen.add(text)
        return True

    return keep


def _give_up(came: int, count: int) -> None:
    warnings.warn(
        f"{came} of {count} texts: the next {_PATIENCE} had all been written before or "
        "are in the text that the model was trained on; a higher temperature gives "
        "more different ones",
        CharRNNWarning,
        stacklevel=3,
    )
