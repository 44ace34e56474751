"""What runs on the thread that does the I/O, when that thread ends or its caller gives up."""

from __future__ import annotations

import asyncio

import pytest

from discovery.background import Background
from discovery.errors import UnavailableError


@pytest.fixture
async def thread():
    background = Background()
    background.start()
    await background.started()
    yield background
    await background.stop()


async def test_what_a_coroutine_returns_or_raises_comes_back(thread):
    async def gives(value):
        return value

    async def fails():
        raise ValueError("no")

    assert await thread.run(gives(5)) == 5
    with pytest.raises(ValueError, match="no"):
        await thread.run(fails())


async def test_who_waits_for_a_thread_that_ends_is_told_so_and_not_cancelled(thread):
    begun = asyncio.Event()
    loop = asyncio.get_running_loop()

    async def lasts():
        loop.call_soon_threadsafe(begun.set)
        await asyncio.Event().wait()

    waiting = asyncio.create_task(thread.run(lasts()))
    await begun.wait()
    await thread.stop()
    with pytest.raises(UnavailableError, match="the connection has ended"):
        await waiting
    with pytest.raises(UnavailableError, match="the connection has ended"):
        await thread.run(lasts())


async def test_who_gives_up_waiting_ends_what_runs(thread):
    begun, ended = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    async def lasts():
        loop.call_soon_threadsafe(begun.set)
        try:
            await asyncio.Event().wait()
        finally:
            loop.call_soon_threadsafe(ended.set)

    waiting = asyncio.create_task(thread.run(lasts()))
    await begun.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await ended.wait()
