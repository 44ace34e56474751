"""What processes of the peer system hold: what it needs for `memory`."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import peer
from holding import Grown, watches_left

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from dynamo.runtime import Client, DistributedRuntime
    from holding import Held

_POLL_S = 0.01


def bytes_each(url: str, path: str, count: int) -> float:
    """Return the memory that an instance takes in a client of so many."""
    return asyncio.run(_bytes_each(url, path, count))


async def _bytes_each(url: str, path: str, count: int) -> float:
    endpoint = peer.begin(url).endpoint(path)
    grown = Grown()
    client = await endpoint.client()
    await _until(client, count)
    return await grown.bytes() / count


def fleet(url: str, count: int) -> Held:
    """Return what so many workers take in one process: a runtime each, for each has a lease."""
    return asyncio.run(_fleet(url, count))


async def _fleet(url: str, count: int) -> Held:
    client = await peer.begin(url).endpoint(peer.PATH).client()
    grown, started = Grown(), time.perf_counter()
    runtimes: list[DistributedRuntime] = []
    async with asyncio.TaskGroup() as group:
        for _ in range(count):
            runtimes.append(peer.begin(url))
            group.create_task(_serve(runtimes[-1]))
        await _until(client, count)
        held = await grown.held(time.perf_counter() - started)
        for runtime in runtimes:
            runtime.shutdown()
    return held


async def _serve(runtime: DistributedRuntime) -> None:
    await runtime.endpoint(peer.PATH).serve_endpoint(_echo)


async def _echo(request: object) -> AsyncGenerator[object]:
    yield request


def left(url: str, count: int) -> float:
    """Return how many watches are left in etcd by clients that were dropped."""
    return asyncio.run(_left(url, count))


async def _left(url: str, count: int) -> float:
    runtime = peer.begin(url)
    async with watches_left(url) as found:
        clients = [await runtime.endpoint(f"{peer.PATH}{n}").client() for n in range(count)]
        await asyncio.sleep(_POLL_S)
        clients.clear()
    return found.count


async def _until(client: Client, count: int) -> None:
    while len(client.instance_ids()) < count:
        await asyncio.sleep(_POLL_S)
