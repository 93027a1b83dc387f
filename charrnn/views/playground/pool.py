"""Work in threads, of which only so much is accepted."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import BoundedSemaphore
from typing import TypeVar

from charrnn.machine import available_cores
from charrnn.views.playground.limits import Limits

_Result = TypeVar("_Result")


class Busy(Exception):
    """There is as much to do already as can be done at once."""


class Pool:
    """A few threads, and a count of what they have to do."""

    def __init__(self, limits: Limits) -> None:
        # One more than cores, so that reading a file does not stop the rest.
        # The name lets Ctrl-C end the process without waiting for them.
        self._threads = ThreadPoolExecutor(available_cores() + 1, "charrnn-serve")
        self._limits, self._free = limits, BoundedSemaphore(limits.jobs)
        self.streams = 0

    async def run(
        self, work: Callable[..., _Result], *args: object, promised: bool = False
    ) -> _Result:
        """Do some work in a thread. Raises Busy if there is too much to do.

        What was promised, the next step of a stream, is always done.
        """
        if not promised and not self._free.acquire(blocking=False):
            raise Busy
        try:
            future = self._threads.submit(work, *args)
        except RuntimeError:  # the server ends
            raise Busy from None
        if not promised:
            future.add_done_callback(lambda _: self._free.release())
        return await asyncio.wrap_future(future)

    def start(self, work: Callable[..., object], *args: object) -> None:
        """Begin some work whose result nobody awaits, unless the server ends."""
        with suppress(RuntimeError):
            self._threads.submit(work, *args)

    def enter_stream(self) -> None:
        """Count a stream until `leave_stream`. Raises Busy if there are too many."""
        if self.streams >= self._limits.streams:
            raise Busy
        self.streams += 1

    def leave_stream(self) -> None:
        """Make room for another stream."""
        self.streams -= 1

    def close(self) -> None:
        """Accept no more work."""
        self._threads.shutdown(wait=False, cancel_futures=True)
