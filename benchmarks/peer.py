"""Processes of the peer system, on an etcd: what it needs for what `on_etcd` asks of us."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from importlib.util import find_spec
from typing import TYPE_CHECKING

from harness import child

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from dynamo.runtime import DistributedRuntime

_PER_S = 100
_STAYS_S = 0.004
_POLL_S = 0.001
PATH = "bench.vllm.generate"
_HOSTS = (
    "DYN_TCP_RPC_HOST",
    "DYN_TCP_RESPONSE_STREAM_HOST",
    "DYN_SYSTEM_HOST",
    "DYN_EVENT_PLANE_HOST",
)


def must_be_installed() -> None:
    """End the program, and say what to do, when the peer system is not there."""
    if find_spec("dynamo") is None:
        sys.exit("the peer system is not installed: pip install 'discoveryd[peers]'")


def register_s(url: str, total: int, in_flight: int) -> float:
    """Return how long a process needs to register so many endpoints, so many at a time."""
    return asyncio.run(_register_s(url, total, in_flight))


async def _register_s(url: str, total: int, in_flight: int) -> float:
    runtime = begin(url)
    waiting = iter([runtime.endpoint(f"bench.vllm.generate{n}") for n in range(total)])

    async def work() -> None:
        for endpoint in waiting:
            await endpoint.register_endpoint_instance()

    started = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(in_flight):
            group.create_task(work())
    return time.perf_counter() - started


def visible_ms(url: str, total: int) -> tuple[list[float], list[float]]:
    """Let one process come and go 100 times a second before a client in another, all being idle.

    Returns for each coming how long it took, in ms, until the client knew, and until the call
    returned. A coming that the client has slept through is left out.
    """
    with child(_see, url) as client:
        client.recv()
        with child(_come_and_go, url, total) as worker:
            called, answered = worker.recv()
        client.send(None)
        arrivals: list[int] = client.recv()
    delays = []
    for begins, ends in zip(called, [*called[1:], time.monotonic_ns()], strict=True):
        delays += [at - begins for at in arrivals if begins <= at < ends][:1]
    if len(delays) < 0.9 * total:
        raise RuntimeError(f"the peer's client saw {len(delays)} of {total}")
    calls = [b - a for a, b in zip(called, answered, strict=True)]
    return [ns / 1e6 for ns in delays], [ns / 1e6 for ns in calls]


def _come_and_go(pipe: Connection, url: str, total: int) -> None:
    pipe.send(asyncio.run(_comings(url, total)))


async def _comings(url: str, total: int) -> tuple[list[int], list[int]]:
    endpoint = begin(url).endpoint(PATH)
    called: list[int] = []
    answered: list[int] = []
    started = time.monotonic()
    for number in range(1, total + 1):
        await asyncio.sleep(started + number / _PER_S - time.monotonic())
        called.append(time.monotonic_ns())
        await endpoint.register_endpoint_instance()
        answered.append(time.monotonic_ns())
        await asyncio.sleep(_STAYS_S)
        await endpoint.unregister_endpoint_instance()
    await asyncio.sleep(1 / _PER_S)
    return called, answered


def _see(pipe: Connection, url: str) -> None:
    asyncio.run(_arrivals(pipe, url))


async def _arrivals(pipe: Connection, url: str) -> None:
    client = await begin(url).endpoint(PATH).client()
    arrivals: list[int] = []

    async def see() -> None:
        while True:
            await client.wait_for_instances()
            arrivals.append(time.monotonic_ns())
            while client.instance_ids():
                await asyncio.sleep(_POLL_S)

    seeing = asyncio.create_task(see())
    pipe.send(None)
    await asyncio.to_thread(pipe.recv)
    seeing.cancel()
    pipe.send(arrivals)


def first_view_ms(url: str, path: str, total: int) -> float:
    """Return how long a new client needs until it has so many instances of an endpoint."""
    return asyncio.run(_first_view_ms(url, path, total))


async def _first_view_ms(url: str, path: str, total: int) -> float:
    endpoint = begin(url).endpoint(path)
    started = time.perf_counter()
    client = await endpoint.client()
    while len(client.instance_ids()) < total:
        await asyncio.sleep(_POLL_S)
    return (time.perf_counter() - started) * 1e3


def begin(url: str, nats: str | None = None, ttl_s: float | None = None) -> DistributedRuntime:
    """Begin a runtime; it lasts as long as its process. Without `ttl_s` the peer chooses."""
    os.environ |= dict.fromkeys(_HOSTS, "127.0.0.1")
    if nats is not None:
        os.environ |= {"DYN_EVENT_PLANE": "nats", "NATS_SERVER": nats}
    if ttl_s is not None:
        os.environ["ETCD_LEASE_TTL"] = f"{ttl_s:g}"
    os.environ |= {"DYN_LOG": "error", "ETCD_ENDPOINTS": url.replace("etcd://", "http://")}
    from dynamo.runtime import DistributedRuntime  # noqa: PLC0415 - reads its environment now

    return DistributedRuntime(asyncio.get_running_loop(), "etcd", "tcp")
