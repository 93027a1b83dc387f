"""A stream is written no faster than it is read, and not after the reader has left."""

import asyncio
import itertools

import pytest
from playground import awaited, events

from charrnn.errors import TextError
from charrnn.views.playground.limits import Limits
from charrnn.views.playground.pool import Pool
from charrnn.views.playground.stream import EventStream


@pytest.fixture
def pool():
    pool = Pool(Limits())
    yield pool
    pool.close()


def endless():
    """Yield events for ever."""
    for number in itertools.count():
        yield "text", {"number": number}


def sent_to(pool, rest, reads):
    """Stream to a client that reads so many messages and then leaves."""
    sent, ended = [], []

    async def run():
        left = asyncio.Event()

        async def send(message):
            sent.append(message)
            if len(sent) == reads:
                left.set()
            await asyncio.sleep(0)

        async def receive():
            await left.wait()
            return {"type": "http.disconnect"}

        stream = EventStream(next(rest), rest, pool, lambda: ended.append(True))
        await asyncio.wait_for(stream({}, receive, send), 60)

    awaited(run())
    assert ended == [True]
    return sent


def test_the_work_stops_when_the_client_leaves(pool):
    work = endless()
    sent = sent_to(pool, work, reads=5)
    _, data = next(work)
    assert len(sent) <= 6
    assert data["number"] <= len(sent)  # no more was written than was read


def test_a_stream_ends_by_itself(pool):
    sent = sent_to(pool, itertools.islice(endless(), 3), reads=99)
    body = b"".join(message.get("body", b"") for message in sent)
    assert [data["number"] for _, data in events(body)] == [0, 1, 2]
    assert sent[-1] == {"type": "http.response.body", "body": b"", "more_body": False}


def test_an_error_in_the_middle_is_an_event(pool):
    def failing():
        yield "start", {}
        raise TextError("no more")

    sent = sent_to(pool, failing(), reads=99)
    body = b"".join(message.get("body", b"") for message in sent)
    assert events(body) == [("start", {}), ("error", {"error": "no more"})]
