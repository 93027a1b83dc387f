"""Add arrays over the ranks of MPI while the next arrays are being computed.

MPI adds an array on its own while this process computes, but it mostly proceeds during
calls of MPI. So each new array also moves those before it along.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from threading import Lock
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class Exchange(ABC):
    """Replaces float32 arrays by their sums over all ranks, again and again.

    All ranks call `begin` and `end`, and have arrays of the same shapes.
    """

    def __init__(self, mpi: Any, communicator: Any) -> None:
        self._mpi, self._comm = mpi, communicator
        self._lock, self._round = Lock(), 0
        self._arrays: Sequence[Array] = ()
        self._started = 0
        self._requests: list[Any] = []
        self._memory: dict[tuple[int, int], Any] = {}  # by array and its size

    def begin(self, arrays: Sequence[Array]) -> Callable[[int], None]:
        """Take these arrays, whose numbers may not be there yet.

        Returns a function that is called with a number of arrays, from the first, and
        starts to add these. After `end` it does nothing: a thread whose work was given
        up may still call it.
        """
        self._arrays, self._started = arrays, 0
        mine = self._round

        def send(count: int) -> None:
            with self._lock:
                if self._round == mine:
                    self._send(count)

        return send

    def end(self) -> None:
        """Send the rest; return when all sums are in the arrays."""
        with self._lock:
            self._send(len(self._arrays))
            self._round += 1
        self._finish()
        self._requests.clear()

    def _send(self, count: int) -> None:
        for i in range(self._started, count):
            self._requests.append(self._start(i, self._arrays[i]))
        self._started = max(self._started, count)
        self._mpi.Request.Testall(self._requests)

    @abstractmethod
    def _start(self, i: int, array: Array) -> Any:
        """Send array i; return the request of MPI."""

    @abstractmethod
    def _finish(self) -> None:
        """Complete the requests, and write the sums into the arrays."""


class Float32Exchange(Exchange):
    """Sends all 32 bits of each number."""

    def _start(self, i: int, array: Array) -> Any:
        if array.flags.c_contiguous:
            return self._comm.Iallreduce(self._mpi.IN_PLACE, array)
        key = i, array.size
        if key not in self._memory:
            self._memory[key] = np.empty(array.shape, np.float32)
        self._memory[key][:] = array
        return self._comm.Iallreduce(self._mpi.IN_PLACE, self._memory[key])

    def _finish(self) -> None:
        self._mpi.Request.Waitall(self._requests)
        for i, array in enumerate(self._arrays):
            if not array.flags.c_contiguous:
                array[:] = self._memory[i, array.size]


class _ShortMemory:
    """The arrays of one rank, of R, for the sum of n numbers as bfloat16."""

    def __init__(self, n: int, R: int) -> None:
        piece = -(-n // R)
        self.whole = np.empty(n, np.float32)
        self.sent = np.zeros((R, piece), np.uint16)
        self.received = np.empty((R, piece), np.uint16)
        self.own = np.empty(piece, np.uint16)
        self.total = np.empty(piece, np.float32)
        self.bits = np.empty(R * piece, np.uint32)


class BFloat16Exchange(Exchange):
    """Sends the upper half of each float32, in two rounds.

    Each rank gets one piece of an array from all others, adds it in float32, and sends
    the sum to all: a reduce-scatter and an allgather.
    """

    def _start(self, i: int, array: Array) -> Any:
        key = i, array.size
        if key not in self._memory:
            self._memory[key] = _ShortMemory(array.size, self._comm.Get_size())
        memory, n = self._memory[key], array.size
        memory.whole.reshape(array.shape)[:] = array
        shorten(memory.whole, memory.sent.reshape(-1)[:n], memory.bits[:n])
        return self._comm.Ialltoall(memory.sent, memory.received)

    def _finish(self) -> None:
        again = []
        for i, array in enumerate(self._arrays):
            memory = self._memory[i, array.size]
            bits = memory.bits[: len(memory.own)]
            self._requests[i].Wait()
            memory.total.fill(0)
            for row in memory.received:  # in the same order on all ranks
                memory.total += lengthened(row, bits)
            shorten(memory.total, memory.own, bits)
            again.append(self._comm.Iallgather(memory.own, memory.sent))
        for i, array in enumerate(self._arrays):
            memory, n = self._memory[i, array.size], array.size
            again[i].Wait()
            numbers = lengthened(memory.sent.reshape(-1)[:n], memory.bits[:n])
            array[:] = numbers.reshape(array.shape)


def shorten(array: Array, out: Array, bits: Array) -> None:
    """Write the nearest bfloat16 of each float32 to out, as uint16; all (n,).

    bits is uint32, and is overwritten.
    """
    # Just under half a unit of the upper half is added, and 1 more if that is odd. So a
    # number halfway between two others is rounded to the even one.
    whole = array.view(np.uint32)
    np.right_shift(whole, 16, out=bits)
    bits &= 1
    bits += 0x7FFF
    bits += whole
    bits >>= 16
    out[:] = bits


def lengthened(short: Array, bits: Array) -> Array:
    """Return the float32 of each bfloat16, in the memory of bits; all (n,)."""
    bits[:] = short
    bits <<= 16
    found: Array = bits.view(np.float32)
    return found
