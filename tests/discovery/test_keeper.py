"""discovery.keeper by itself; what it does for a client is in test_client and test_resilience."""

from __future__ import annotations

import asyncio
import random
from contextlib import asynccontextmanager

import pytest

from discovery.clock import monotonic_s
from discovery.connection import ConnectionState
from discovery.errors import UnavailableError
from discovery.keeper import Keeper, Ticket
from discovery.link import Answer, NoAnswerError
from discovery.session import Session
from tests.support.specs import endpoint


class Hanging:
    """In the place of a Connection: its daemon hangs, until it goes or wakes up."""

    state = ConnectionState.CONNECTED

    def __init__(self) -> None:
        self.goes, self.is_awake = asyncio.Event(), False

    async def call(self, op: str, *_: object, **__: object) -> Answer:
        if self.is_awake:
            assert op == "revoke"
            return Answer({"revision": 1}, [])
        await self.goes.wait()
        raise NoAnswerError("the connection was closed")


@asynccontextmanager
async def closed_in_vain():
    """A keeper whose lease could not be given back, and its connection."""
    connection, session = Hanging(), Session(7, 10.0, rng=random.Random(1))
    async with asyncio.TaskGroup() as group:
        keeper = Keeper(session, connection, group)
        asking = keeper.register([endpoint()], 5.0, Ticket())
        task = asyncio.get_running_loop().create_task(asking)
        await asyncio.sleep(0)
        await keeper.close(0.1)
        with pytest.raises(UnavailableError, match="being closed"):
            await task
        yield keeper, connection
        connection.goes.set()


async def test_nothing_is_tried_any_more_by_one_that_is_closed(caplog):
    async with closed_in_vain():
        pass
    await asyncio.sleep(0.2)  # more than until the next attempt
    assert [record.levelname for record in caplog.records] == ["WARNING"]


async def test_closed_a_second_time_it_tries_a_second_time(caplog):
    async with closed_in_vain() as (keeper, connection):
        connection.is_awake = True
        connection.goes.set()
        async with asyncio.timeout(5):
            await keeper.close(60)
        assert keeper.session.is_closed
    assert len(caplog.records) == 1


class Slow:
    """In the place of a Connection: leases are granted after a while."""

    state = ConnectionState.CONNECTED

    def __init__(self) -> None:
        self.asked_at: dict[str, float] = {}

    async def call(self, op: str, *_: object, **__: object) -> Answer:
        self.asked_at[op] = monotonic_s()
        if op == "grant":
            await asyncio.sleep(0.2)
        lease = {"ttl_s": 300.0, "renew_s": 100.0, "epoch": "e", "draining": False, "since": 1}
        return Answer({**lease, "revision": 1}, [])


class Latest(random.Random):
    """Draws the upper end."""

    def uniform(self, a: float, b: float) -> float:
        return b


async def test_a_lease_counts_from_the_time_at_which_was_asked():
    connection, session = Slow(), Session(7, 300.0, rng=Latest())
    async with asyncio.TaskGroup() as group:
        keeper = Keeper(session, connection, group)
        await keeper.register([endpoint()], 5.0, Ticket())
        assert session.next_wakeup() <= connection.asked_at["grant"] + 100.0
        await keeper.close(5.0)
