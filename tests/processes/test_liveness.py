"""Promise 3 with real processes: death is seen in time, a restart is nobody's death."""

from __future__ import annotations

import asyncio
import signal
from contextlib import AsyncExitStack

import discovery
from tests.support.processes import PATIENCE_S, daemon, free_ports, program, script

TTL_S = 2.0


async def removed(stream: discovery.WatchStream, identity: str) -> discovery.Removed:
    """Read events until `identity` is removed."""
    async with asyncio.timeout(PATIENCE_S):
        async for event in stream:
            if isinstance(event, discovery.Removed) and str(event.id) == identity:
                return event
    raise AssertionError("the stream ended")


async def test_a_killed_worker_is_removed_within_its_ttl_and_a_second(way):
    port = free_ports()
    url = way.url(port)
    query = discovery.EndpointQuery(namespace="fleet")
    async with daemon(port, *way.flags), discovery.connect(url) as d, d.watch(query) as stream:
        async with program(*script("worker", url, TTL_S, 1)) as worker:
            endpoint = (await worker.hear())["ids"][0]
            killed_at = asyncio.get_running_loop().time()
            worker.send_signal(signal.SIGKILL)
            event = await removed(stream, endpoint)
            took_s = asyncio.get_running_loop().time() - killed_at
    assert event.cause is discovery.Cause.LEASE_EXPIRED
    assert took_s <= TTL_S + 1


async def test_a_worker_told_to_stop_is_removed_at_once_not_when_its_lease_ends(way):
    port = free_ports()
    url = way.url(port)
    query = discovery.EndpointQuery(namespace="fleet")
    async with daemon(port, *way.flags), discovery.connect(url) as d, d.watch(query) as stream:
        async with program(*script("worker", url, 600, 1)) as worker:
            endpoint = (await worker.hear())["ids"][0]
            worker.send_signal(signal.SIGTERM)
            event = await removed(stream, endpoint)
            assert await worker.ended() == 0
    assert event.cause is discovery.Cause.UNREGISTERED


async def test_a_worker_stopped_beyond_its_ttl_comes_back_under_its_old_id(way):
    port = free_ports()
    url = way.url(port)
    query = discovery.EndpointQuery(namespace="fleet")
    async with daemon(port, *way.flags), discovery.connect(url) as d, d.watch(query) as stream:
        async with program(*script("worker", url, 1, 1)) as worker:
            endpoint = (await worker.hear())["ids"][0]
            worker.send_signal(signal.SIGSTOP)
            await removed(stream, endpoint)
            worker.send_signal(signal.SIGCONT)
            async with asyncio.timeout(PATIENCE_S):
                async for event in stream:
                    if isinstance(event, discovery.Added):
                        break
    assert str(event.instance.id) == endpoint


async def test_a_stopped_daemon_takes_nobody_for_dead_when_it_goes_on(way):
    port = free_ports()
    url = way.url(port)
    query = discovery.EndpointQuery(namespace="fleet")
    async with (
        daemon(port, *way.flags) as running,
        discovery.connect(url) as d,
        d.watch(query) as stream,
    ):
        async with program(*script("worker", url, 1, 1)) as worker:
            endpoint = (await worker.hear())["ids"][0]
            await stream.synced()
            running.send_signal(signal.SIGSTOP)
            while stream.staleness_s < 3:  # three TTLs of the worker
                await asyncio.sleep(0.1)
            running.send_signal(signal.SIGCONT)
            while stream.staleness_s > 1:
                await asyncio.sleep(0.1)
            begun = asyncio.get_running_loop().time()
            while asyncio.get_running_loop().time() < begun + 2:
                assert [str(identity) for identity in stream.instances] == [endpoint]
                await asyncio.sleep(0.1)


async def test_a_daemon_restarted_under_a_fleet_removes_nobody_who_lives(way):
    port, ttl_s = free_ports(), 3.0
    url = way.url(port)
    async with AsyncExitStack() as fleet, AsyncExitStack() as first_life:
        first = await first_life.enter_async_context(daemon(port, *way.flags))
        workers = [
            await fleet.enter_async_context(program(*script("worker", url, ttl_s, number)))
            for number in range(20)
        ]
        expected = sorted([one for worker in workers for one in (await worker.hear())["ids"]])
        routers = [
            await fleet.enter_async_context(program(*script("router", url))) for _ in range(5)
        ]
        for router in routers:
            while await view(router) != expected:
                await asyncio.sleep(0.05)
        first.send_signal(signal.SIGKILL)
        await first.ended()
        async with daemon(port, *way.flags):
            restarted = asyncio.get_running_loop().time()
            while (now := asyncio.get_running_loop().time()) < restarted + 2 * ttl_s:
                for router in routers:
                    seen = await view(router)
                    assert seen == expected, f"{now - restarted:.1f} s after the restart"
                await asyncio.sleep(0.2)
            async with discovery.connect(url) as d:
                endpoints = await d.list(discovery.EndpointQuery(namespace="fleet"))
                models = await d.list(discovery.ModelQuery())
            assert sorted(str(one.id) for one in (*endpoints, *models)) == expected
            for router in routers:
                assert await view(router) == expected
                assert not [line for line in router.said if line.get("event") == "removed"]
                updates = [line for line in router.said if line.get("update")]
                assert not updates, "the same registration again is no change"


async def view(router) -> list[str]:
    """What a router shows now; the events it says meanwhile are kept."""
    router.tell("view")
    while "view" not in (line := await router.hear()):
        pass
    return line["view"]
