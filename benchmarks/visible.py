"""From a worker's `register` to the router that is handed the event, 100 times a second."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import raw
from figures import Figure
from harness import child, daemon, in_child, quantile
from load import pace
from routers import hearers, watch
from workers import register

import discovery

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from scale import Scale

_PER_S = 100


def visible(scale: Scale) -> list[Figure]:
    """Worker, daemon and router are a process each; both ends use the public client."""
    count = scale.of(1_000)
    ours: list[list[float]] = []
    calls: list[list[float]] = []
    theirs: list[list[float]] = []
    for _ in range(scale.rounds):
        with daemon() as d, hearers(watch, d.url, 1) as router:
            router.synced()
            router.expect(count)
            sent, answered = in_child(work, d.url, count)
            ours.append(delays_ms(sent, router.arrivals()))
            calls.append([(b - a) / 1e6 for a, b in zip(sent.values(), answered, strict=True)])
        theirs.append(_raw_ms(count))
    return [
        _figure("register → event, p50", ours, 0.5, theirs, 1.5),
        _figure("register → event, p99", ours, 0.99, theirs, 10),
        _figure("register → answer, p50", calls, 0.5),
    ]


def work(url: str, count: int) -> tuple[Mapping[int, int], list[int]]:
    """Register `count` endpoints, one a tick; return when each was called, by number, and done."""
    return asyncio.run(_work(url, count))


async def _work(url: str, count: int) -> tuple[Mapping[int, int], list[int]]:
    called: dict[int, int] = {}
    done: list[int] = []
    async with discovery.connect(url) as d:
        started = time.monotonic()
        for number in range(1, count + 1):
            await asyncio.sleep(started + number / _PER_S - time.monotonic())
            spec = discovery.EndpointSpec(
                namespace="bench",
                component="vllm",
                endpoint=f"generate{number}",
                transport={"tcp": f"10.0.0.7:9000/{number}/generate"},
            )
            called[number] = time.monotonic_ns()
            await d.register(spec)
            done.append(time.monotonic_ns())
    return called, done


def delays_ms(sent: Mapping[int, int], arrivals: Iterable[tuple[int, int]]) -> list[float]:
    """Return how long each message took, by when each number was sent."""
    return [(at - sent[number]) / 1e6 for number, at in arrivals]


def _raw_ms(count: int) -> list[float]:
    requests = [register(number) for number in range(count)]
    with child(raw.hub, 1) as hub:
        to, events = hub.recv()
        with hearers(raw.hear, events, 1) as router:
            hub.recv()
            router.expect(count)
            sent = in_child(pace, to, requests, _PER_S)
            return delays_ms(dict(enumerate(sent)), router.arrivals())


def _figure(
    name: str,
    rounds: list[list[float]],
    q: float,
    raw: Iterable[list[float]] = (),
    aim: float | None = None,
) -> Figure:
    return Figure(
        name=name,
        unit="ms",
        rounds=[quantile(delays, q) for delays in rounds],
        ceiling=[quantile(delays, q) for delays in raw],
        aim=aim,
    )
