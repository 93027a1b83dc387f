"""Only so much work is accepted, and what was promised is done."""

import asyncio
import threading

import pytest
from playground import awaited

from charrnn.views.playground.limits import Limits
from charrnn.views.playground.pool import Busy, Pool


def test_only_so_many_jobs_are_accepted():
    pool, gate = Pool(Limits(jobs=1)), threading.Event()

    async def run():
        first = asyncio.ensure_future(pool.run(gate.wait, 60))
        await asyncio.sleep(0)
        with pytest.raises(Busy):
            await pool.run(int)
        assert await pool.run(int, promised=True) == 0
        gate.set()
        assert await first
        assert await pool.run(int) == 0

    awaited(run())
    pool.close()
    with pytest.raises(Busy):
        awaited(pool.run(int))
