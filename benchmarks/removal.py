"""From a worker's end to "gone" at a router in another process, for every kind of end, on etcd."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from contextlib import contextmanager
from statistics import median
from typing import TYPE_CHECKING

import peer_ends
from ends import AWAY_S, KINDS, STOPPED, Ends, Side, ends
from figures import Figure
from harness import daemon

import discovery

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.connection import Connection

    from ends import Changes
    from scale import Scale

_EACH = 4
_LOOK_S = 0.1
_PLACE = {"namespace": "bench", "component": "vllm", "endpoint": "generate"}


def removal(scale: Scale) -> list[Figure]:
    """All kinds at once, some workers of each, a process each: ours and the peer's in turn."""
    each = 1 if scale.is_quick else _EACH
    rounds = [(ends(_OURS, each), ends(peer_ends.SIDE, each)) for _ in range(scale.rounds)]
    ours, theirs = ([one[side] for one in rounds] for side in (0, 1))
    return [
        *(
            Figure(
                name=f"{kind.name} → gone",
                unit="s",
                rounds=[median(found.gone_s[kind]) for found in ours],
                ceiling=[median(found.gone_s[kind]) for found in theirs],
                beside="the peer",
            )
            for kind in KINDS
        ),
        *_figures_of_stopped(ours, theirs, each),
        Figure(
            name="said to be gone, and were not",
            unit="workers",
            rounds=[found.falsely for found in ours],
            ceiling=[found.falsely for found in theirs],
            beside="the peer",
        ),
    ]


def _figures_of_stopped(ours: list[Ends], theirs: list[Ends], each: int) -> list[Figure]:
    back = [found.back_s for found in theirs if found.back_s]
    name = f"{STOPPED.name} past its TTL of {STOPPED.ttl_s:g} s, continued"
    return [
        Figure(
            name=f"{name} → listed again",
            unit="s",
            rounds=[median(found.back_s) for found in ours],
            ceiling=[median(found) for found in back],
            beside="the peer",
        ),
        Figure(
            name=f"{name}: listed again within {AWAY_S:g} s",
            unit="%",
            rounds=[100 * len(found.back_s) / each for found in ours],
            ceiling=[100 * len(found.back_s) / each for found in theirs],
            beside="the peer",
        ),
    ]


@contextmanager
def _serve(url: str) -> Iterator[str]:
    with daemon("--store", url) as d:
        yield d.url


def _watch(pipe: Connection, url: str) -> None:
    asyncio.run(_tell(pipe, url))


async def _tell(pipe: Connection, url: str) -> None:
    changes: Changes = []
    async with discovery.connect(url) as d, d.watch(discovery.EndpointQuery()) as stream:
        await stream.synced()
        while (await d.status())["recovering"]:  # it has just started: no lease's end is believed
            await asyncio.sleep(_LOOK_S)
        pipe.send(None)
        asking = asyncio.create_task(_answer(pipe, changes))
        async for event in stream:
            match event:
                case discovery.Added(instance=instance):
                    changes.append((time.monotonic_ns(), instance.instance_id, True))
                case discovery.Removed(id=gone):
                    changes.append((time.monotonic_ns(), gone.instance_id, False))
        await asking


async def _answer(pipe: Connection, changes: Changes) -> None:
    while True:
        await asyncio.to_thread(pipe.recv)
        pipe.send(changes)
        changes.clear()


def _work(pipe: Connection, url: str, ttl_s: float | None) -> None:
    asyncio.run(_serve_until_told(pipe, url, ttl_s))


async def _serve_until_told(pipe: Connection, url: str, ttl_s: float | None) -> None:
    """Do what examples/worker.py does."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    loop.add_signal_handler(signal.SIGINT, stop.set)
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_reader(pipe.fileno(), stop.set)
    ttl = {} if ttl_s is None else {"lease_ttl_s": ttl_s}
    async with discovery.connect(url, **ttl) as d:
        address = f"10.0.0.7:9000/{d.instance_id:x}/generate"
        await d.register(discovery.EndpointSpec(**_PLACE, transport={"tcp": address}))
        pipe.send((d.instance_id, os.getpid()))
        await stop.wait()
        loop.remove_reader(pipe.fileno())


_OURS = Side(_serve, _watch, _work)
