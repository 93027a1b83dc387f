"""A command that several ranks run as one: the first of them reports what failed."""

from collections.abc import Iterator
from contextlib import contextmanager

from charrnn.errors import CharRNNError
from charrnn.ranks import Ranks, is_other_rank, world


def find_ranks() -> Ranks:
    """Return the ranks that `mpiexec` has started; only the first reports an error."""
    try:
        return world()
    except CharRNNError:
        if is_other_rank():
            raise SystemExit(1) from None
        raise


@contextmanager
def as_one(ranks: Ranks) -> Iterator[None]:
    """Run a block on all ranks, and end all of them if it fails on one.

    A failure that all ranks know of is reported by the first one. Any other failure is
    reported where it happens, and ends the others when this process ends.
    """
    from charrnn.cli import CTRL_C, leave

    try:
        yield
        ranks.leave()
    except (CharRNNError, MemoryError, OSError):
        if ranks.is_first or not ranks.failed:
            raise
        raise SystemExit(1) from None
    except KeyboardInterrupt:
        if ranks.is_first:
            raise
        leave(CTRL_C)
