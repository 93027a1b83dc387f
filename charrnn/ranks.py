"""Processes that train one model together: the ranks of MPI.

`mpiexec -n 4 charrnn train` starts four processes, the ranks 0 to 3. Each computes the
gradient of its share of the columns of a batch, and all of them make the same update
with the sum. Or each computes its share of the networks of an ensemble. Rank 0 alone
prints and writes files. A process by itself is the only rank, and MPI is then neither
imported nor needed.

What several ranks do together, all of them do in the same order, and each waits for the
others. So a rank that fails must tell them before they wait for it: work that may fail
is given to `totals`, `gather` and `together`, after which all ranks know. A rank that
ends in any other way ends them all.
"""

import atexit
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from time import sleep
from typing import TYPE_CHECKING, Any, TypeVar

from charrnn.errors import CharRNNError, ConfigError, MissingExtraError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from charrnn.exchange import Exchange

_T = TypeVar("_T")
# The number of ranks and that of this one, as MPICH, Open MPI and srun set them.
_SIZES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE")
_RANKS = ("PMI_RANK", "OMPI_COMM_WORLD_RANK", "PMIX_RANK")
# Requests of one rank, of which all ranks learn in the next call of `totals`.
STOP, STATE = 1, 2
_GIVEN_UP, _FAILED = 1, 2  # a rank whose work raised; 0 if it did not
_PAUSE = 0.005  # seconds between two looks, so that waiting takes no processor time
_NUMBERS = 4  # that `totals` can sum, at most


class Stopped(Exception):
    """Work was given up because its caller no longer wants the result."""


class OtherRankError(CharRNNError):
    """A failure on another rank, which reports it."""


class Ranks:
    """The only process, or one of several that train together (`MpiRanks`).

    Attributes
    ----------
    number : int
        The rank of this process, from 0.
    size : int
        The number of ranks.
    is_spread : bool
        Whether they are on several machines.
    wishes : int
        The requests of this rank: STOP, STATE, their sum, or 0.
    """

    number, size, is_spread = 0, 1, False

    def __init__(self) -> None:
        self.wishes = 0

    @property
    def is_first(self) -> bool:
        """Whether this is rank 0."""
        return self.number == 0

    @property
    def granted(self) -> int:
        """The requests of all ranks, as of the last call of `totals`."""
        return self.wishes

    @property
    def failed(self) -> bool:
        """Whether all ranks know that one of them has failed."""
        return False

    def forget(self, wishes: int) -> None:
        """Drop requests; all ranks do so at the same time."""
        self.wishes &= ~wishes

    def share(self, n: int) -> slice:
        """Return which of n columns this rank computes."""
        return slice(n * self.number // self.size, n * (self.number + 1) // self.size)

    def totals(self, work: Callable[[], tuple[float, ...]]) -> tuple[float, ...]:
        """Return the sums over all ranks of the numbers that work() returns.

        If it raises Stopped on any rank, so it does on all. If it fails on any, it
        fails on all: with its error there, and with OtherRankError elsewhere.
        """
        return work()

    @contextmanager
    def adding(
        self, arrays: "Sequence[NDArray[Any]]", *, short: bool = False
    ) -> "Iterator[Callable[[int], None] | None]":
        """Replace float32 arrays by their sums over all ranks, in place.

        The block computes them. It may get a function to call with the number of
        arrays, from the first, that are final: they are added while it computes the
        others. It gets None if that is of no use. All sums are there after the block.
        If the block fails, they are made as well, because the other ranks wait for
        them. The sums are the same on all ranks.

        If `short`, numbers are sent as bfloat16: the upper half of a float32, which has
        8 bits of the 24 that tell numbers apart.
        """
        yield None

    def divide(self, n: int) -> "tuple[range, Ranks]":
        """Return which of n networks this rank computes, and the ranks that share them.

        If there are at least as many networks as ranks, each rank computes its own
        networks alone. Otherwise, several ranks share the columns of one network.
        """
        return range(n), self

    def copy_from(self, rank: int, array: "NDArray[Any]") -> None:
        """Replace an array by that of another rank, in place; all ranks call this."""

    def gather(self, work: Callable[[], _T]) -> list[_T]:
        """Return what work() returns on each rank; it fails on all or on none."""
        return [work()]

    def first(self, work: Callable[[], _T]) -> _T:
        """Return what work() returns on rank 0, where alone it is called."""
        return work()

    @contextmanager
    def together(self) -> Iterator[None]:
        """Do a block that fails on all ranks if it fails on one."""
        yield

    @contextmanager
    def one_before_others(self) -> Iterator[None]:
        """Do a block on rank 0, and then, if it did not fail, on the others.

        What rank 0 has stored, the others find.
        """
        yield

    def finish(self) -> None:
        """Wait until all ranks are done; they do nothing together any more."""

    def leave(self) -> None:
        """Do the same, before the process ends."""


class _MpiGroup(Ranks):
    """Some of the processes of `mpiexec`, or all of them."""

    def __init__(self, mpi: Any, communicator: Any) -> None:
        super().__init__()
        import numpy as np

        self._mpi, self._comm = mpi, communicator
        self.number, self.size = self._comm.Get_rank(), self._comm.Get_size()
        self._granted = 0
        self._failed = False
        self._host = mpi.Get_processor_name()
        self.is_spread = len({*communicator.allgather(self._host)}) > 1
        self._row = np.zeros(2 + _NUMBERS)
        self._rows = np.zeros((self.size, 2 + _NUMBERS))
        self._exchanges: dict[bool, Exchange] = {}  # of `adding`
        self._groups: dict[int, tuple[int, Ranks]] = {}  # of `divide`

    @property
    def granted(self) -> int:
        return self._granted

    @property
    def failed(self) -> bool:
        return self._failed

    def forget(self, wishes: int) -> None:
        super().forget(wishes)
        self._granted &= ~wishes

    def totals(self, work: Callable[[], tuple[float, ...]]) -> tuple[float, ...]:
        error: Exception | None = None
        numbers: tuple[float, ...] = ()
        try:
            numbers = work()
        except Exception as caught:
            error = caught
        self._row[:] = 0
        if error:
            self._row[0] = _GIVEN_UP if isinstance(error, Stopped) else _FAILED
        self._row[1] = self.wishes
        self._row[2 : 2 + len(numbers)] = numbers
        self._comm.Allgather(self._row, self._rows)
        for wishes in self._rows[:, 1]:
            self._granted |= int(wishes)
        status = self._rows[:, 0].max()
        if status == _FAILED:
            is_own = error and not isinstance(error, (Stopped, OtherRankError))
            self._fail(error if is_own else None)
        if status == _GIVEN_UP:
            raise Stopped
        # In the order of the ranks, so that the sum is the same on all of them.
        sums = self._rows[:, 2:].sum(axis=0).tolist()
        return tuple(sums[: len(numbers)])

    @contextmanager
    def adding(
        self, arrays: "Sequence[NDArray[Any]]", *, short: bool = False
    ) -> "Iterator[Callable[[int], None] | None]":
        if short not in self._exchanges:
            from charrnn import exchange

            kind = exchange.BFloat16Exchange if short else exchange.Float32Exchange
            self._exchanges[short] = kind(self._mpi, self._comm)
        sums, error = self._exchanges[short], None
        send = sums.begin(arrays)
        try:
            # Within a machine, sums are fast, and computing in pieces costs more.
            yield send if self.is_spread else None
        except Exception as caught:  # which the other ranks do not know of yet
            error = caught
        sums.end()
        if error:
            raise error

    def divide(self, n: int) -> tuple[range, Ranks]:
        if n == 1:
            return range(1), self
        if n >= self.size:
            return range(n)[self.share(n)], Ranks()
        if n not in self._groups:
            with self.together():  # not if a rank has failed before
                pass
            mine = self.number * n // self.size
            communicator = self._comm.Split(mine, self.number)
            group = _MpiGroup(self._mpi, communicator)
            self._groups[n] = mine, group if group.size > 1 else Ranks()
        mine, ranks = self._groups[n]
        return range(mine, mine + 1), ranks

    def copy_from(self, rank: int, array: "NDArray[Any]") -> None:
        self._comm.Bcast(array, root=rank)

    def gather(self, work: Callable[[], _T]) -> list[_T]:
        value: Any = None
        with self.together():
            value = work()
        found: list[_T] = self._comm.allgather(value)
        return found

    def first(self, work: Callable[[], _T]) -> _T:
        value: Any = None
        with self.together():
            if self.is_first:
                value = work()
        found: _T = self._comm.bcast(value)
        return found

    @contextmanager
    def together(self) -> Iterator[None]:
        error: Exception | None = None
        try:
            yield
        except Exception as caught:
            if self._failed:  # which all ranks know, and raise
                raise
            error = caught
        self._wait()
        if any(self._comm.allgather(error is not None)):
            self._fail(error)

    @contextmanager
    def one_before_others(self) -> Iterator[None]:
        if not self.is_first:
            with self.together():  # rank 0 does the block
                pass
        with self.together():
            yield
        if self.is_first:
            with self.together():  # the others do it
                pass

    def _fail(self, error: Exception | None) -> None:
        """Raise an error that all ranks know of, on all of them."""
        about = f"rank {self.number} on {self._host}: {error}"
        known = self._comm.allgather(about if error else "")
        self._failed = True
        who = next(number for number, each in enumerate(known) if each)
        if error and who == self.number:
            raise error
        raise OtherRankError(known[who])

    def _wait(self) -> None:
        """Wait for the other ranks without taking their processor time."""
        request = self._comm.Ibarrier()
        while not request.Test():
            sleep(_PAUSE)


class MpiRanks(_MpiGroup):
    """The processes of `mpiexec`."""

    def __init__(self) -> None:
        try:
            import mpi4py

            mpi4py.rc.thread_level = "serialized"  # only one thread at a time calls MPI
            from mpi4py import MPI
        except ImportError as error:
            raise MissingExtraError(
                "mpiexec started several processes, and mpi4py, with which they work "
                'together, is missing: pip install "charrnn[mpi]"'
            ) from error
        except RuntimeError as error:  # mpi4py finds no MPI library
            raise MissingExtraError(
                f"mpi4py cannot use MPI ({str(error).splitlines()[0]}); install MPI: "
                "from your system, or with pip install mpich"
            ) from error
        super().__init__(MPI, MPI.COMM_WORLD)
        if self.size == 1:
            raise ConfigError(
                "mpiexec started several processes, and mpi4py sees only this one; "
                "they belong to different installations of MPI: use the mpiexec of "
                f"{MPI.Get_library_version().splitlines()[0].strip()}"
            )
        self._is_finished = False
        atexit.register(self._at_exit)  # before mpi4py waits for the others
        self._share_cores()

    def finish(self) -> None:
        self._wait()
        self._is_finished = True

    def leave(self) -> None:
        self.finish()
        self._mpi.Finalize()

    def _at_exit(self) -> None:
        """End the others if this process ends and they do not know why."""
        if not (self._failed or self._is_finished):
            self._comm.Abort(1)

    def _share_cores(self) -> None:
        """Divide the cores among the ranks that may use the same ones."""
        from charrnn.machine import share_cores, usable_cores

        here = self._host, usable_cores()
        share_cores(self._comm.allgather(here).count(here))


def started_by_mpi() -> bool:
    """Return whether this process is one of several that MPI has started."""
    sizes = [os.environ.get(name, "") for name in _SIZES]
    if "PMIX_RANK" in os.environ:  # srun, which sets the size under a name of its own
        sizes.append(os.environ.get("SLURM_STEP_NUM_TASKS", ""))
    return any(size.isdecimal() and int(size) > 1 for size in sizes)


def is_other_rank() -> bool:
    """Return whether this process is a rank other than 0, before MPI is used."""
    numbers = [os.environ.get(name, "") for name in _RANKS]
    return started_by_mpi() and any(number not in ("", "0") for number in numbers)


def world() -> Ranks:
    """Return the ranks that were started together with this process."""
    return MpiRanks() if started_by_mpi() else Ranks()
