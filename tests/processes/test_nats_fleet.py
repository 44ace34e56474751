"""A fleet that is reached through NATS, and what happens to the NATS server."""

from __future__ import annotations

import asyncio
import signal
import time
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import pytest

import discovery
from discovery import EndpointQuery, EndpointSpec, Removed, StreamState
from tests.support.nats import Nats, nats_server
from tests.support.processes import DISCOVERYD, PATIENCE_S, daemon, free_ports, program, script
from transports.scope import running

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator
    from pathlib import Path

    from discovery import Discovery, Event, Instance, InstanceId, WatchStream
    from tests.support.etcd import Etcd

FLEET = EndpointQuery(namespace="fleet")


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Nats]:
    with nats_server(tmp_path) as server:
        yield server


class Fleet:
    """Workers and routers of daemons that are only reached through NATS."""

    def __init__(self, url: str, ttl_s: float, stack: AsyncExitStack) -> None:
        self.url, self.ttl_s, self._stack = url, ttl_s, stack
        self.workers: list[Discovery] = []
        self.streams: list[WatchStream] = []
        self.removals: list[Removed] = []
        self.wrong: list[Event] = []
        self.told: dict[WatchStream, dict[InstanceId, Instance]] = {}

    async def add_worker(self) -> Discovery:
        way_in = discovery.connect(self.url, lease_ttl_s=self.ttl_s, request_timeout_s=30.0)
        worker = await self._stack.enter_async_context(way_in)
        number = len(self.workers)
        place = {"namespace": "fleet", "component": "c", "endpoint": f"e{number}"}
        await worker.register(EndpointSpec(**place, transport={"tcp": f"10.0.0.1:{number}/x"}))
        self.workers.append(worker)
        return worker

    async def add_router(self) -> None:
        d = await self._stack.enter_async_context(discovery.connect(self.url))
        stream = await self._stack.enter_async_context(d.watch(FLEET))
        await stream.synced()
        await self._stack.enter_async_context(running(self._note_events(stream)))
        self.streams.append(stream)

    async def _note_events(self, stream: WatchStream) -> None:
        """What a router is told adds up: nothing comes twice, nothing goes that was not there."""
        told = self.told.setdefault(stream, {})
        async for event in stream:
            if isinstance(event, Removed):
                self.removals.append(event)
                self.wrong += [] if told.pop(event.id, None) else [event]
            else:
                before = told.get(event.instance.id)
                is_right = event.is_update == (before is not None) and before != event.instance
                self.wrong += [] if is_right else [event]
                told[event.instance.id] = event.instance

    async def settle(self) -> None:
        """Wait until every view is right, and proven after this was called."""
        since = time.monotonic()
        living = {worker.instance_id for worker in self.workers}
        async with asyncio.timeout(PATIENCE_S):
            for stream in self.streams:
                while not (
                    stream.state in {StreamState.LIVE, StreamState.RECOVERING}
                    and time.monotonic() - stream.staleness_s > since
                    and {one.instance_id for one in stream.instances.values()} == living
                    and self.told[stream] == stream.instances
                ):
                    await asyncio.sleep(0.05)
        assert self.wrong == []


@asynccontextmanager
async def fleet(nats: Nats, *flags: str, ttl_s: float, daemons: int = 1) -> AsyncGenerator[Fleet]:
    async with AsyncExitStack() as stack:
        for _ in range(daemons):
            reached = ("--listen", nats.url, *flags)
            await stack.enter_async_context(daemon(free_ports(), *reached))
        one = Fleet(nats.url, ttl_s, stack)
        for _ in range(5):
            await one.add_worker()
        for _ in range(3):
            await one.add_router()
        await one.settle()
        yield one


async def test_a_nats_server_that_is_killed_and_comes_back_removes_nobody(own):
    async with fleet(own, ttl_s=10.0) as f:
        await asyncio.to_thread(own.kill)
        await asyncio.sleep(3.5)
        assert {stream.state for stream in f.streams} == {StreamState.STALE}
        assert all(len(stream.instances) == len(f.workers) for stream in f.streams)
        await asyncio.to_thread(own.start)
        await f.add_worker()
        await f.settle()
        assert f.removals == []


@pytest.mark.parametrize("store", ["memory", "etcd"])
async def test_a_nats_server_that_is_away_for_longer_than_the_ttl_removes_nobody(
    own, store, request
):
    """No worker could be heard, so none is taken for dead."""
    ttl_s = 3.0
    etcd: Etcd | None = request.getfixturevalue("etcd") if store == "etcd" else None
    flags = ("--store", etcd.own_url()) if etcd else ()
    async with fleet(own, *flags, ttl_s=ttl_s, daemons=2 if etcd else 1) as f:
        await asyncio.to_thread(own.kill)
        await asyncio.sleep(2 * ttl_s)
        await asyncio.to_thread(own.start)
        await f.settle()
        await asyncio.sleep(1.5 * ttl_s)
        await f.settle()
        assert f.removals == []


async def test_a_worker_that_dies_while_nats_is_away_is_removed_afterwards(own):
    ttl_s = 2.0
    async with fleet(own, "--lease-recovery-s", "2", ttl_s=ttl_s) as f:
        async with program(*script("worker", own.url, ttl_s, 9)) as worker:
            ids = (await worker.hear())["ids"]
            await asyncio.to_thread(own.kill)
            worker.send_signal(signal.SIGKILL)
            await worker.ended()
        await asyncio.sleep(2 * ttl_s)
        await asyncio.to_thread(own.start)
        await f.settle()
        assert {str(event.id) for event in f.removals} == {one for one in ids if "endpoints" in one}


async def test_two_daemons_in_memory_do_not_share_an_address(own):
    async with fleet(own, ttl_s=10.0):
        process = await asyncio.create_subprocess_exec(
            *DISCOVERYD, "--listen", own.url, "--http", "off", stderr=asyncio.subprocess.PIPE
        )
        _, stderr = await process.communicate()
    assert process.returncode == 1
    assert "a daemon answers there" in stderr.decode()
    assert "Traceback" not in stderr.decode()


async def test_a_nats_server_that_stands_still_is_waited_for(own):
    async with fleet(own, ttl_s=10.0) as f:
        own.pause()
        await asyncio.sleep(5.0)
        own.resume()
        await f.settle()
        assert f.removals == []
