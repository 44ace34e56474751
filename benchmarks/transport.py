"""Our transports beside raw pyzmq, without a registry behind them."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import raw
import uvloop
from figures import Figure
from harness import child, in_child
from load import IN_FLIGHT, load
from workers import keep_alive

from transports.address import parse_url
from transports.frame import pack, unpack
from transports.opening import open_publisher, open_rpc_client, open_rpc_server, open_subscriber

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection

    from scale import Scale

_ANY = "zmq://127.0.0.1:0"
_TOPIC = "e/m/endpoints/ns/comp/ep/"
_AHEAD = 5_000  # messages on their way at most, below every high-water mark
_STEP = 500


def transport(scale: Scale) -> list[Figure]:
    """Requests and published messages a second, 64 and some thousand under way."""
    requests = [keep_alive(n) for n in range(scale.of(100_000))]
    servers: dict[str, list[float]] = {"raw": [], "ours": [], "our client": []}
    streams: dict[str, list[float]] = {"raw": [], "ours": []}
    for _ in range(scale.rounds):
        servers["raw"].append(_served(raw.echo, load, requests))
        servers["ours"].append(_served(_serve, load, requests))
        servers["our client"].append(_served(_serve, _ask, requests))
        streams["raw"].append(raw.publish(len(requests), _AHEAD))
        streams["ours"].append(_publish(len(requests)))
    return [
        _rate("requests decoded and answered by our server", servers["ours"], servers["raw"]),
        _rate("the same, asked by our client too", servers["our client"], servers["raw"]),
        _rate("messages published and heard", streams["ours"], streams["raw"]),
    ]


def _served(
    server: Callable[[Connection], None],
    ask: Callable[[int, list[bytes]], float],
    requests: list[bytes],
) -> float:
    with child(server) as pipe:
        return len(requests) / in_child(ask, pipe.recv(), requests)


def _rate(name: str, ours: list[float], theirs: list[float]) -> Figure:
    return Figure(name=name, unit="/s", rounds=ours, ceiling=theirs)


# ---- our ends


def _serve(pipe: Connection) -> None:
    async def main() -> None:
        def answer(payload: bytes, reply: Callable[[bytes], None]) -> None:
            codec, value = unpack(payload)
            reply(pack(codec, {"ok": value}))

        async with open_rpc_server(_ANY, answer) as server:
            pipe.send(server.address.port)
            await asyncio.Event().wait()

    uvloop.run(main())


def _ask(port: int, requests: list[bytes]) -> float:
    """Keep 64 requests in flight with our client; return the seconds."""

    async def main() -> float:
        waiting, answered, done = iter(requests), 0, asyncio.Event()

        def again(correlation: int, payload: bytes) -> None:
            nonlocal answered
            answered += 1
            unpack(payload)
            if answered == len(requests):
                done.set()
            if request := next(waiting, None):
                client.send(correlation, request)

        async with open_rpc_client(parse_url(f"zmq://127.0.0.1:{port}")[0], again) as client:
            await client.ready()
            started = time.perf_counter()
            for correlation in range(IN_FLIGHT):
                client.send(correlation, next(waiting))
            await done.wait()
            return time.perf_counter() - started

    return float(uvloop.run(main()))


def _publish(count: int) -> float:
    """Publish to a process that listens, as fast as it does; return messages a second."""

    async def main() -> float:
        payload = keep_alive(0)
        async with open_publisher(_ANY) as publisher:
            with child(_listen, publisher.address.port) as heard:
                await asyncio.to_thread(heard.recv)
                started, sent, got = time.perf_counter(), 0, 0
                while got < count:
                    while sent - got < _AHEAD:
                        for _ in range(_STEP):
                            publisher.publish(_TOPIC, payload)
                        sent += _STEP
                        await asyncio.sleep(0)
                    got = heard.recv()
                return got / (time.perf_counter() - started)

    return float(uvloop.run(main()))


def _listen(pipe: Connection, port: int) -> None:
    got = 0

    def count(_topic: str, payload: bytes) -> None:
        nonlocal got
        got += 1
        if got % _STEP == 0:
            pipe.send(got)

    async def main() -> None:
        async with open_subscriber(parse_url(f"zmq://127.0.0.1:{port}")[0], count) as subscriber:
            await subscriber.subscribe("e/")
            pipe.send(0)
            await asyncio.Event().wait()

    uvloop.run(main())
