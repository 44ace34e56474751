"""Events from one process to another: as many as can be, and one each millisecond.

Not among the benchmarks of `run.py`; run it alone: `python benchmarks/events.py [--quick]`.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import TYPE_CHECKING

import raw
from figures import Figure
from harness import child, daemon, quantile
from scale import Scale

import discovery
from discovery import Ended, EventPublisher, EventSubscriber, Lost, Message

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

_PLACE = {"topic": "load", "namespace": "bench", "component": "c"}
_PAYLOAD_BYTES = 100
_PER_S = 1_000
_RAW_AHEAD = 5_000


def events(scale: Scale) -> list[Figure]:
    """A burst, and a steady rate; publisher and subscriber are a process each."""
    burst, steady = scale.of(100_000), scale.of(10_000)
    rates: list[float] = []
    delays: list[list[float]] = []
    lost: list[float] = []
    beside: list[float] = []
    for _ in range(scale.rounds):
        with daemon() as d:
            heard = _heard(d.url, burst, 0)
            rates.append(heard["per_s"])
            lost.append(heard["lost"])
            assert heard["got"] + heard["lost"] == burst
            delays.append(_heard(d.url, steady, _PER_S)["delays_ms"])
        beside.append(raw.publish(burst, _RAW_AHEAD))
    return [
        Figure(
            name="events of 100 bytes received in a burst",
            unit="/s",
            rounds=rates,
            aim=50_000,
            ceiling=beside,
        ),
        Figure(name="of these not received, all of them told", unit="events", rounds=lost),
        *(
            Figure(
                name=f"publish → event, {_PER_S} a second, p{share * 100:g}",
                unit="ms",
                rounds=[quantile(each, share) for each in delays],
                aim=aim,
            )
            for share, aim in ((0.5, 0.3), (0.99, None))
        ),
    ]


def _heard(url: str, count: int, per_s: int) -> dict[str, object]:
    with child(_read, url) as reader, child(_write, url, count, per_s):
        return reader.recv()


def _write(pipe: Connection, url: str, count: int, per_s: int) -> None:
    asyncio.run(_publish(url, count, per_s))
    pipe.recv()  # stays until it is ended


async def _publish(url: str, count: int, per_s: int) -> None:
    filling = bytes(_PAYLOAD_BYTES - 8)
    async with discovery.connect(url) as d, EventPublisher(d, **_PLACE) as publisher:
        await publisher.subscribed()
        started = time.monotonic()
        for number in range(count):
            if per_s:
                await asyncio.sleep(started + number / per_s - time.monotonic())
            await publisher.publish(time.monotonic_ns().to_bytes(8, "big") + filling)


def _read(pipe: Connection, url: str) -> None:
    pipe.send(asyncio.run(_subscribe(url)))


async def _subscribe(url: str) -> dict[str, object]:
    sent, arrived, lost = [], [], 0
    async with discovery.connect(url) as d, EventSubscriber(d, **_PLACE) as subscriber:
        async for item in subscriber:
            match item:
                case Message():
                    arrived.append(time.monotonic_ns())
                    sent.append(int.from_bytes(item.payload[:8], "big"))
                case Lost():
                    lost += item.last - item.first + 1
                case Ended():
                    break
    return {
        "got": len(arrived),
        "lost": lost,
        "per_s": len(arrived) / (arrived[-1] - sent[0]) * 1e9,
        "delays_ms": [(b - a) / 1e6 for a, b in zip(sent, arrived, strict=True)],
    }


if __name__ == "__main__":
    for figure in events(Scale(is_quick="--quick" in sys.argv)):
        print(json.dumps(figure.as_json()))
