"""A fleet on etcd: real daemons, workers and routers, and what happens to etcd or to daemons."""

from __future__ import annotations

import asyncio
import resource
import signal
import time
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

import discovery
from discovery import EndpointQuery, EndpointSpec, ModelSpec, Removed, StreamState, UnavailableError
from tests.support.etcd import Etcd, etcd_server
from tests.support.processes import daemon, free_ports, program, script
from transports.scope import running

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator
    from pathlib import Path

    from discovery import Discovery, Event, Instance, InstanceId, WatchStream
    from tests.processes.conftest import Way
    from tests.support.processes import Program

PLACE = {"namespace": "fleet", "component": "c", "endpoint": "e"}
FLEET = EndpointQuery(namespace="fleet")
# What happens to etcd itself is between it and the daemons, however workers reach them.
OVER_ZMQ = pytest.mark.parametrize("way", ["zmq"], indirect=True)


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Etcd]:
    with etcd_server(tmp_path) as server:
        yield server


class Fleet:
    """Daemons on one etcd, workers that know all of them, a router at each and at etcd itself."""

    def __init__(self, etcd: Etcd, way: Way, stack: AsyncExitStack, ttl_s: float) -> None:
        self.etcd, self.way, self.ttl_s = etcd, way, ttl_s
        self.daemons: list[Program] = []
        self.workers: list[Discovery] = []
        self.ports: list[int] = []
        self.removals: list[Removed] = []
        self.wrong: list[Event] = []
        self.told: dict[WatchStream, dict[InstanceId, Instance]] = {}
        self.streams: list[WatchStream] = []
        self._stack = stack

    @property
    def url(self) -> str:
        return self.way.url(*self.ports)

    @property
    def living(self) -> set[int]:
        return {worker.instance_id for worker in self.workers}

    async def add_daemon(self) -> None:
        self.ports.append(free_ports())
        self.daemons.append(await self.start(self.ports[-1]))

    async def start(self, port: int) -> Program:
        return await self._stack.enter_async_context(
            daemon(port, "--store", self.etcd.url, *self.way.flags)
        )

    async def add_worker(self) -> Discovery:
        number = len(self.workers)
        way_in = discovery.connect(self.url, lease_ttl_s=self.ttl_s, request_timeout_s=60.0)
        worker = await self._stack.enter_async_context(way_in)
        place = {"namespace": "fleet", "component": "c", "endpoint": f"e{number % 7}"}
        await worker.register_all(
            [
                EndpointSpec(**place, transport={"tcp": f"10.0.0.1:{number}/x"}),
                ModelSpec(**place, card={"display_name": "m"}),
            ]
        )
        self.workers.append(worker)
        return worker

    async def add_router(self, url: str) -> WatchStream:
        d = await self._stack.enter_async_context(discovery.connect(url, request_timeout_s=60.0))
        stream = await self._stack.enter_async_context(d.watch(FLEET))
        await stream.synced()
        await self._stack.enter_async_context(running(self._note_events(stream)))
        self.streams.append(stream)
        return stream

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
        """Wait, for two TTLs at most, until every view and every list is right.

        A view counts that was proven after this was called.
        """
        since = time.monotonic()
        try:
            async with asyncio.timeout(2 * self.ttl_s):
                while not all(self._is_right(stream, since) for stream in self.streams):
                    await asyncio.sleep(0.05)
                for port in self.ports:
                    async with discovery.connect(f"zmq://127.0.0.1:{port}") as d:
                        while {one.instance_id for one in await d.list(FLEET)} != self.living:
                            await asyncio.sleep(0.05)
        except TimeoutError:
            views = [(s.state, s.staleness_s, len(s.instances)) for s in self.streams]
            raise AssertionError(f"of {len(self.living)}: {views}") from None
        assert self.wrong == []

    def _is_right(self, stream: WatchStream, since: float) -> bool:
        return (
            stream.state in {StreamState.LIVE, StreamState.RECOVERING}
            and time.monotonic() - stream.staleness_s > since
            and {one.instance_id for one in stream.instances.values()} == self.living
            and self.told[stream] == stream.instances
        )


@asynccontextmanager
async def fleet(
    etcd: Etcd, way: Way, *, ttl_s: float, daemons: int, workers: int
) -> AsyncGenerator[Fleet]:
    async with AsyncExitStack() as stack:
        one = Fleet(etcd, way, stack, ttl_s)
        for _ in range(daemons):
            await one.add_daemon()
        for _ in range(workers):
            await one.add_worker()
        for port in one.ports:
            await one.add_router(way.url(port))
        await one.add_router(one.url)
        await one.add_router(etcd.url)
        await one.settle()
        yield one


async def aside(work: object, *args: object) -> None:
    await asyncio.to_thread(work, *args)  # type: ignore[arg-type]


@OVER_ZMQ
async def test_etcd_that_is_killed_and_comes_back_after_five_seconds_removes_nobody(own, way):
    async with fleet(own, way, ttl_s=10.0, daemons=2, workers=5) as f:
        await aside(own.kill)
        with pytest.raises(discovery.UnavailableError, match="etcd"):
            async with discovery.connect(f.url, request_timeout_s=3.0) as newcomer:
                await newcomer.register(spec("newcomer"))
        await asyncio.sleep(2.0)
        assert all(stream.staleness_s > 2.0 for stream in f.streams)
        assert all(len(stream.instances) == len(f.living) for stream in f.streams)
        await aside(own.start)
        await f.settle()
        assert f.removals == []


@OVER_ZMQ
async def test_etcd_that_stands_still_for_five_seconds_removes_nobody(own, way):
    async with fleet(own, way, ttl_s=10.0, daemons=2, workers=5) as f:
        own.pause()
        await asyncio.sleep(5.0)
        own.resume()
        await f.settle()
        assert f.removals == []


async def test_a_compaction_while_a_daemon_stands_still_removes_nobody(own, way):
    # Whoever renews at that daemon has two thirds of the TTL to find the other one, and to ask it.
    async with fleet(own, way, ttl_s=6.0, daemons=2, workers=5) as f:
        f.daemons[0].send_signal(signal.SIGSTOP)
        for _ in range(3):
            await f.add_worker()
        await aside(own.compact)
        await asyncio.sleep(1.5 * f.ttl_s)
        f.daemons[0].send_signal(signal.SIGCONT)
        await f.settle()
        assert f.removals == []
        assert [worker._participant.session.losses for worker in f.workers] == [0] * 8


async def test_daemons_that_were_all_away_for_longer_than_the_ttl_remove_nobody(own, way):
    async with AsyncExitStack() as stack:
        f = Fleet(own, way, stack, 4.0)
        for _ in range(2):
            await f.add_daemon()
        for _ in range(5):
            await f.add_worker()
        for port in f.ports:
            await f.add_router(way.url(port))
        await f.settle()
        for one in f.daemons:
            one.send_signal(signal.SIGKILL)
            await one.ended()
        await asyncio.sleep(1.5 * f.ttl_s)
        for port in f.ports:
            await f.start(port)
        await f.settle()
        assert f.removals == []


@OVER_ZMQ
async def test_an_etcd_that_lost_everything_is_filled_again(own, way):
    async with fleet(own, way, ttl_s=4.0, daemons=2, workers=5) as f:
        await aside(own.kill)
        own.wipe()
        await aside(own.start)
        await f.settle()


@OVER_ZMQ
async def test_an_etcd_restored_from_an_older_backup_is_put_right(own, way):
    async with fleet(own, way, ttl_s=10.0, daemons=2, workers=5) as f:
        gone = f.workers.pop()
        backup = await asyncio.to_thread(own.back_up)
        await gone.revoke()
        await f.add_worker()
        await f.settle()
        await aside(own.kill)
        own.restore(backup)
        await aside(own.start)
        await f.settle()


async def test_one_of_three_daemons_is_killed_under_a_fleet(own, way):
    async with AsyncExitStack() as stack:
        f = Fleet(own, way, stack, 4.0)
        for _ in range(3):
            await f.add_daemon()
        for _ in range(50):
            await f.add_worker()
        for _ in range(20):
            await f.add_router(f.url)
        await f.settle()
        f.daemons[0].send_signal(signal.SIGKILL)
        await f.daemons[0].ended()
        del f.ports[0]
        await f.add_worker()
        await f.settle()
        await asyncio.sleep(1.5 * f.ttl_s)  # long enough for whoever was not taken over to be gone
        await f.settle()
        assert f.removals == []


async def test_an_old_process_that_goes_on_leaves_its_successor_alone(own, way):
    ttl_s, instance_id = 2.0, 0xDEAD
    async with AsyncExitStack() as stack:
        f = Fleet(own, way, stack, ttl_s)
        for _ in range(2):
            await f.add_daemon()
        stream = await f.add_router(f.url)
        old = await stack.enter_async_context(program(*script("worker", f.url, ttl_s, 1, 0xDEAD)))
        await old.hear()
        async with asyncio.timeout(30):
            while not stream.instances:  # it may come after the answer
                await asyncio.sleep(0.05)
            old.send_signal(signal.SIGSTOP)
            while stream.instances:
                await asyncio.sleep(0.05)
        way_in = discovery.connect(f.url, lease_ttl_s=ttl_s, instance_id=instance_id)
        successor = await stack.enter_async_context(way_in)
        made = await successor.register(spec("successor"))
        old.send_signal(signal.SIGCONT)
        await asyncio.sleep(2 * ttl_s)
        old.send_signal(signal.SIGTERM)
        assert await old.ended() == 0
        await asyncio.sleep(2 * ttl_s)
        assert list(stream.instances) == [made.id]
        assert [one.id for one in await successor.list(FLEET)] == [made.id]
        assert successor.failures == ()


def spec(name: str) -> EndpointSpec:
    return EndpointSpec(
        namespace="fleet", component="c", endpoint=name, transport={"tcp": "10.0.0.1:1/x"}
    )


async def test_a_daemon_that_may_open_nothing_more_survives_an_outage_of_etcd(own: Etcd) -> None:
    """gRPC ends the process that has let go of all connections and can make no new one."""
    port, spec = free_ports(), EndpointSpec(**PLACE, transport={"tcp": "10.0.0.1:1/x"})
    url = f"zmq://127.0.0.1:{port}"
    async with (
        daemon(port, "--store", own.url) as one,
        discovery.connect(url, request_timeout_s=2.0) as d,
        discovery.connect(url, request_timeout_s=60.0) as patient,
    ):
        await d.register(spec)
        limits = resource.prlimit(one.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(one.pid, resource.RLIMIT_NOFILE, (3, limits[1]))
        own.kill()
        for name in "abc":
            with pytest.raises(UnavailableError):
                await d.register(replace(spec, endpoint=name))
        own.start()
        resource.prlimit(one.pid, resource.RLIMIT_NOFILE, limits)
        await patient.register(spec)
        assert one.process.returncode is None
