"""How the costs grow with the number of instances: 1,000, 10,000 and 100,000 in one daemon."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import raw
from figures import Figure
from harness import child, daemon, in_child
from load import load, pace
from routers import hearers, sync_ms, watch
from workers import Workers, keep_alive

from transports.codec import MSGPACK
from transports.frame import pack

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness import DaemonProcess
    from scale import Scale

_CHANGES_PER_S = 1_000
_SECONDS = 2
_EVENT = "an event at 1,000/s, daemon CPU"
_KEEP_ALIVES = 20_000
_AIM_SYNC_MS = {10_000: 500, 100_000: 6_000}
_AIM_BYTES = 2_048
_MANY = 10_000  # instances, beside which the daemon's own memory does not count
_RECORDS_A_CHUNK = 750
_FLAT = 1.25
_VALUE = (
    '{"type":"Endpoint","component":"vllm","endpoint":"generate17","namespace":"bench",'
    '"instance_id":7919191919,"transport":{"tcp":"10.0.0.7:9000/17/1d80b5e2f"},'
    '"device_type":"cuda"}'
)


@dataclass
class _At:
    """What was measured at one number of instances."""

    instances: int
    bytes_each: float
    cold_ms: list[float] = field(default_factory=list)
    warm_ms: list[float] = field(default_factory=list)
    raw_ms: list[float] = field(default_factory=list)
    event_us: list[float] = field(default_factory=list)
    raw_event_us: list[float] = field(default_factory=list)
    keep_alive_us: list[float] = field(default_factory=list)

    def figures(self) -> list[Figure]:
        def figure(name: str, unit: str, rounds: Sequence[float], **more: object) -> Figure:
            return Figure(
                name=name, unit=unit, rounds=rounds, at=self.instances, of="instances", **more
            )

        aim = _AIM_SYNC_MS.get(self.instances)
        aim_bytes = _AIM_BYTES if self.instances >= _MANY else None
        return [
            figure(
                "first view, of what just changed", "ms", self.cold_ms, aim=aim, ceiling=self.raw_ms
            ),
            figure("first view, like the one before", "ms", self.warm_ms, ceiling=self.raw_ms),
            figure("an endpoint, daemon memory", "B", [self.bytes_each], aim=aim_bytes),
            figure(_EVENT, "us", self.event_us, ceiling=self.raw_event_us),
            figure("a keep-alive, daemon CPU", "us", self.keep_alive_us),
        ]


def growth(scale: Scale) -> list[Figure]:
    """Return costs at each size, in a daemon each, and what an event costs at the largest."""
    found = [_measured(size, scale) for size in scale.sizes]
    first, last = found[0], found[-1]
    grown = [b / a for a, b in zip(first.event_us, last.event_us, strict=True)]
    name = f"cost of an event, {last.instances:,} instances : {first.instances:,}"
    return [
        *(figure for at in found for figure in at.figures()),
        Figure(name=name, unit="times", rounds=grown, aim=_FLAT),
    ]


def _measured(size: int, scale: Scale) -> _At:
    workers = Workers()
    with daemon() as d:
        empty = d.memory_bytes()
        workers.come(d.port, size)
        at = _At(size, (d.memory_bytes() - empty) / size)
        with child(raw.bulk) as bulk:
            port, chunks = bulk.recv(), _chunks(size)
            bulk.send(chunks)
            for _ in range(scale.rounds):
                load(d.port, workers.changes(1))  # so that what was encoded is out of date
                at.cold_ms.append(_first_view_ms(d, size))
                at.warm_ms.append(_first_view_ms(d, size))
                at.raw_ms.append(in_child(raw.fetch, port, len(chunks)) * 1e3)
        with hearers(watch, d.url, 1) as router:
            router.synced()
            for _ in range(scale.rounds):
                _costs(at, d, workers, scale)
    requests = workers.changes(scale.of(_CHANGES_PER_S * _SECONDS))
    for _ in range(scale.rounds):
        at.raw_event_us.append(_raw_event_us(requests))
    return at


def _first_view_ms(d: DaemonProcess, size: int) -> float:
    took_ms, seen = in_child(sync_ms, d.url)
    if seen != size:
        raise RuntimeError(f"a router saw {seen} instances of {size}")
    return float(took_ms)


def _costs(at: _At, d: DaemonProcess, workers: Workers, scale: Scale) -> None:
    """Add a round: one router listens, events come at a fixed rate, then keep-alives."""
    count = scale.of(_CHANGES_PER_S * _SECONDS)
    requests, before_s = workers.changes(count), d.cpu_s()
    in_child(pace, d.port, requests, _CHANGES_PER_S)
    at.event_us.append((d.cpu_s() - before_s) / count * 1e6)
    count = scale.of(_KEEP_ALIVES)
    requests, before_s = [keep_alive(n % at.instances) for n in range(count)], d.cpu_s()
    in_child(load, d.port, requests)
    at.keep_alive_us.append((d.cpu_s() - before_s) / count * 1e6)


def _raw_event_us(requests: Sequence[bytes]) -> float:
    """Return what raw pyzmq takes to answer such a request and publish it."""
    with child(raw.hub, 1) as hub:
        port, events = hub.recv()
        with hearers(raw.hear, events, 1) as router:
            hub.recv()
            router.expect(len(requests))
            before_s = raw.used_s(port)
            in_child(pace, port, requests, _CHANGES_PER_S)
            router.arrivals()
            return (raw.used_s(port) - before_s) / len(requests) * 1e6


def _chunks(size: int) -> list[bytes]:
    """Return messages like those of a first view of `size` endpoints."""
    records = [
        [f"v1/instances/bench/vllm/generate{n % 50}/{n + 7_919_191_919:x}", n, _VALUE, None]
        for n in range(size)
    ]
    starts = range(0, size, _RECORDS_A_CHUNK)
    return [
        pack(MSGPACK, {"chunk": [0, 1], "records": records[at : at + _RECORDS_A_CHUNK]})
        for at in starts
    ]
