"""What clients hold: of many instances, as many workers in one process, and when they let go."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import peer_memory
from figures import Figure
from harness import daemon, etcd, in_child
from holding import Grown, watches_left
from workers import Workers

import discovery

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from holding import Held
    from scale import Scale

_VIEWS = (1_000, 10_000)
_FLEET = 1_000
_DROPPED = 50
_AT_ONCE = 50
_PLACE = {"namespace": "bench", "component": "vllm", "endpoint": "generate"}
_PATIENCE_S = 60.0


def memory(scale: Scale) -> list[Figure]:
    """All in processes of their own, ours and the peer's in turn."""
    ours: dict[str, list[float]] = defaultdict(list)
    theirs: dict[str, list[float]] = defaultdict(list)
    for _ in range(scale.rounds):
        for size in _VIEWS:
            with etcd() as url, daemon("--store", url) as d:  # the same keys and records
                Workers(endpoints=1).come(d.port, scale.of(size))
                ours[f"{size}"].append(in_child(_bytes_each, d.url, scale.of(size)))
                path = "bench.vllm.generate0"
                theirs[f"{size}"].append(
                    in_child(peer_memory.bytes_each, url, path, scale.of(size))
                )
        count = scale.of(_FLEET)
        with etcd() as url, daemon("--store", url) as d:
            _note(ours, in_child(_fleet, d.url, count))
        with etcd() as url:
            _note(theirs, in_child(peer_memory.fleet, url, count))
        with etcd() as url:
            ours["left"].append(in_child(_left, url, _DROPPED))
        with etcd() as url:
            theirs["left"].append(in_child(peer_memory.left, url, _DROPPED))
    return _figures(scale, ours, theirs)


def _note(rounds: Mapping[str, list[float]], held: Held) -> None:
    rounds["took_s"].append(held.took_s)
    rounds["MB"].append(held.bytes / 1e6)
    rounds["threads"].append(held.threads)


def _figures(
    scale: Scale, ours: Mapping[str, Sequence[float]], theirs: Mapping[str, Sequence[float]]
) -> list[Figure]:
    fleet = f"{scale.of(_FLEET):,} workers in one process"
    rows: list[tuple[str, str, str, int | None]] = [
        *(("an instance, client memory", "B", f"{n}", scale.of(n)) for n in _VIEWS),
        (f"{fleet}, memory", "MB", "MB", None),
        (f"{fleet}, threads", "threads", "threads", None),
        (f"{fleet}, time until all are registered", "s", "took_s", None),
        (f"watches left in etcd by {_DROPPED} that were dropped", "watches", "left", None),
    ]
    return [
        Figure(
            name=name,
            unit=unit,
            rounds=ours[key],
            at=size,
            of="instances" if size else "",
            ceiling=theirs[key],
            beside="the peer",
        )
        for name, unit, key, size in rows
    ]


def _bytes_each(url: str, count: int) -> float:
    return asyncio.run(_bytes_each_of(url, count))


async def _bytes_each_of(url: str, count: int) -> float:
    async with discovery.connect(url) as d:
        grown = Grown()
        async with d.watch(discovery.EndpointQuery()) as stream:
            await stream.synced()
            assert len(stream.instances) == count
            return await grown.bytes() / count


def _fleet(url: str, count: int) -> Held:
    return asyncio.run(_workers(url, count))


async def _workers(url: str, count: int) -> Held:
    """Begin so many workers, a lease each, of one endpoint."""
    grown, started = Grown(), time.perf_counter()
    async with AsyncExitStack() as stack:
        waiting = iter(range(count))

        async def begin() -> None:
            for number in waiting:
                d = await stack.enter_async_context(
                    discovery.connect(
                        url, connect_timeout_s=_PATIENCE_S, request_timeout_s=_PATIENCE_S
                    )
                )
                address = f"10.0.0.7:9000/{number}/generate"
                await d.register(discovery.EndpointSpec(**_PLACE, transport={"tcp": address}))

        async with asyncio.TaskGroup() as group:
            for _ in range(_AT_ONCE):
                group.create_task(begin())
        return await grown.held(time.perf_counter() - started)


def _left(url: str, count: int) -> float:
    return asyncio.run(_open_and_leave(url, count))


async def _open_and_leave(url: str, count: int) -> float:
    """Watch so many endpoints without a daemon between, as the peer's clients do, and stop."""
    async with discovery.connect(url) as d:
        async with watches_left(url) as left:
            async with AsyncExitStack() as stack:
                for number in range(count):
                    query = discovery.EndpointQuery(**_PLACE | {"endpoint": f"generate{number}"})
                    stream = await stack.enter_async_context(d.watch(query))
                    await stream.synced()
        return left.count
