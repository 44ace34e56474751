"""Events from one process to another: as many as can be, and one each millisecond.

By ZMQ and by NATS, beside the peer system's own on an etcd of its own.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import peer_events
import raw
from figures import Figure
from harness import child, daemon, etcd, nats, quantile

import discovery
from discovery import Ended, EventPublisher, EventSubscriber, Lost, Message

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from scale import Scale

_PLACE = {"topic": "load", "namespace": "bench", "component": "c"}
_PAYLOAD_BYTES = 100
_PER_S = 1_000
_RAW_AHEAD = 5_000
_PEERS_BURST = 20_000
_AIMS = {"zmq": 50_000, "nats": 40_000}
_NAMES = {"zmq": "ZMQ", "nats": "NATS"}
_QUANTILES = ((0.5, 0.3), (0.99, None))


def events(scale: Scale) -> list[Figure]:
    """A burst, and a steady rate; publisher and subscriber are a process each."""
    found: dict[str, dict[str, list[float]]] = {way: {} for way in _AIMS}
    for _ in range(scale.rounds):
        for way, into in found.items():
            for name, value in _round(scale, way).items():
                into.setdefault(name, []).append(value)
    return [figure for way, rounds in found.items() for figure in _figures(way, rounds)]


def _figures(way: str, rounds: dict[str, list[float]]) -> list[Figure]:
    on = f"events on {_NAMES[way]}"
    return [
        Figure(
            name=f"{on}: received of a burst",
            unit="/s",
            rounds=rounds["per_s"],
            aim=_AIMS[way],
            ceiling=rounds["peer_per_s"],
            beside="the peer",
        ),
        Figure(
            name=f"{on}: lost of a burst, of 1,000",
            unit="events",
            rounds=rounds["lost"],
            ceiling=rounds["peer_lost"],
            beside="the peer",
        ),
        *(
            Figure(
                name=f"{on}: publish → event at {_PER_S:,}/s, p{share * 100:g}",
                unit="ms",
                rounds=rounds[f"p{share}"],
                aim=aim,
                ceiling=rounds[f"peer_p{share}"],
                beside="the peer",
            )
            for share, aim in _QUANTILES
        ),
        *(
            [Figure(name=f"{on}: by raw pyzmq", unit="/s", rounds=rounds["raw"])]
            if "raw" in rounds
            else []
        ),
    ]


def _round(scale: Scale, way: str) -> dict[str, float]:
    burst, steady = scale.of(100_000), scale.of(5_000)
    got: dict[str, float] = {}
    with ExitStack() as stack:
        servers = stack.enter_context(nats()) if way == "nats" else None
        with daemon() as d:
            heard = _heard(d.url, burst, 0, servers)
            got["per_s"], got["lost"] = heard["per_s"], 1000 * heard["lost"] / burst
            assert heard["got"] + heard["lost"] == burst
            delays = _heard(d.url, steady, _PER_S, servers)["delays_ms"]
        for share, _ in _QUANTILES:
            got[f"p{share}"] = quantile(delays, share)
        if way == "zmq":
            got["raw"] = raw.publish(burst, _RAW_AHEAD)
        with etcd() as url:
            theirs = scale.of(_PEERS_BURST)
            got["peer_per_s"], received = peer_events.heard(url, servers, theirs)
            got["peer_lost"] = 1000 * (1 - len(received) / theirs)
            _, delays = peer_events.heard(url, servers, steady, _PER_S)
        for share, _ in _QUANTILES:
            got[f"peer_p{share}"] = quantile(delays, share)
    return got


def _heard(url: str, count: int, per_s: int, servers: str | None) -> dict[str, object]:
    with child(_read, url, servers) as reader:
        reader.recv()  # it has subscribed where it can before a publisher is known
        with child(_write, url, count, per_s, servers):
            return reader.recv()


def _write(pipe: Connection, url: str, count: int, per_s: int, servers: str | None) -> None:
    asyncio.run(_publish(url, count, per_s, servers))
    pipe.recv()  # stays until it is ended


async def _publish(url: str, count: int, per_s: int, servers: str | None) -> None:
    filling = bytes(_PAYLOAD_BYTES - 8)
    way = {"transport": "nats" if servers else "zmq", "codec": "msgpack", "nats": servers}
    async with discovery.connect(url) as d, EventPublisher(d, **_PLACE, **way) as publisher:
        if servers is None:
            await publisher.subscribed()
        started = time.monotonic()
        for number in range(count):
            if per_s:
                await asyncio.sleep(started + number / per_s - time.monotonic())
            await publisher.publish(time.monotonic_ns().to_bytes(8, "big") + filling)


def _read(pipe: Connection, url: str, servers: str | None) -> None:
    pipe.send(asyncio.run(_subscribe(pipe, url, servers)))


async def _subscribe(pipe: Connection, url: str, servers: str | None) -> dict[str, object]:
    sent, arrived, lost = [], [], 0
    async with (
        discovery.connect(url) as d,
        EventSubscriber(d, **_PLACE, nats=servers) as subscriber,
    ):
        await subscriber.synced()
        pipe.send(None)
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
