"""Routers in processes of their own: streams that tell when they were handed what."""

from __future__ import annotations

import asyncio
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from harness import child
from workers import change_of

import discovery

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing.connection import Connection

PROCESSES = 4
"""That the streams are spread over, when there are so many."""


class Hearers:
    """Processes that listen, each with a share of the streams."""

    def __init__(self, pipes: list[Connection], shares: list[int]) -> None:
        self._pipes, self._shares = pipes, shares

    def synced(self) -> None:
        """Wait until every stream has its first view."""
        for pipe in self._pipes:
            pipe.recv()

    def expect(self, changes: int) -> None:
        """Begin to listen for so many changes on every stream."""
        for pipe, share in zip(self._pipes, self._shares, strict=True):
            pipe.send(changes * share)

    def arrivals(self) -> list[tuple[int, int]]:
        """Wait until all have come; return (number of the change, ns) for every stream."""
        return [arrival for pipe in self._pipes for arrival in pipe.recv()]


@contextmanager
def hearers(listen: Callable[..., None], where: object, streams: int) -> Iterator[Hearers]:
    """Run `listen(pipe, where, share)` in processes with `streams` streams between them.

    A pipe takes numbers of messages, and gives the (number, ns) of each once so many have come.
    """
    processes = min(streams, PROCESSES)
    shares = [len(range(first, streams, processes)) for first in range(processes)]
    with ExitStack() as stack:
        yield Hearers([stack.enter_context(child(listen, where, n)) for n in shares], shares)


def watch(pipe: Connection, url: str, streams: int) -> None:
    """Open a connection and a stream so often, say when they are synced, then tell arrivals."""
    asyncio.run(_watch(pipe, url, streams))


async def _watch(pipe: Connection, url: str, streams: int) -> None:
    arrivals: asyncio.Queue[tuple[int, int]] = asyncio.Queue()
    synced = asyncio.Barrier(streams + 1)

    async def follow() -> None:
        async with discovery.connect(url, connect_timeout_s=60) as d:
            async with d.watch(discovery.EndpointQuery()) as stream:
                await stream.synced()
                await synced.wait()
                async for event in stream:
                    if isinstance(event, discovery.Added) and (number := change_of(event.instance)):
                        arrivals.put_nowait((number, time.monotonic_ns()))

    async with asyncio.TaskGroup() as group:
        for _ in range(streams):
            group.create_task(follow())
        await synced.wait()
        pipe.send(None)
        while True:
            wanted = await asyncio.to_thread(pipe.recv)
            pipe.send([await arrivals.get() for _ in range(wanted)])


def sync_ms(url: str) -> tuple[float, int]:
    """Return how long a fresh router needs for its first view, connected before, and its size."""
    return asyncio.run(_sync_ms(url))


async def _sync_ms(url: str) -> tuple[float, int]:
    async with discovery.connect(url) as d:
        started = time.perf_counter()
        async with d.watch(discovery.EndpointQuery()) as stream:
            await stream.synced()
            return (time.perf_counter() - started) * 1e3, len(stream.instances)
