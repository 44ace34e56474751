"""What tasks are said to wait for."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager

from discovery.waits import waiting_places


@asynccontextmanager
async def room(door: asyncio.Event):
    yield
    await door.wait()


async def leaving(door: asyncio.Event) -> None:
    async with room(door):
        pass


async def test_a_task_is_said_with_every_coroutine_down_to_what_it_waits_for():
    door = asyncio.Event()
    task = asyncio.create_task(leaving(door), name="leaving")
    await asyncio.sleep(0)
    loop = asyncio.get_running_loop()
    (place,) = (place for place in waiting_places(loop) if place.startswith("leaving"))
    names, _, line = place.rpartition(":")
    assert names == "leaving > _AsyncGeneratorContextManager.__aexit__ > room > Event.wait"
    assert int(line) > 0
    door.set()
    await task
    assert not any(place.startswith("leaving") for place in waiting_places(loop))


async def test_a_task_that_has_not_begun_and_one_that_waits_for_a_future_have_places_too():
    loop = asyncio.get_running_loop()
    future = loop.create_future()

    async def bare() -> None:
        await future

    task = asyncio.create_task(bare())
    before = waiting_places(loop)
    await asyncio.sleep(0)
    (place,) = (place for place in waiting_places(loop) if "bare" in place)
    assert any("bare" in place for place in before)
    assert " > " not in place
    future.set_result(None)
    await task
