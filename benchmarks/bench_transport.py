"""Requests and messages per second over our transports, with raw pyzmq in the same run.

    python benchmarks/bench_transport.py [--seconds 2] [--loop uvloop|asyncio] [--rounds 3]

A load generator in raw pyzmq keeps 64 requests in flight towards a server in another process, so
the first rows compare servers. The last rpc row has our client as generator. Rates are the best of
the rounds, for the noise of a shared machine only takes away. JSON on stdout, a table on stderr.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import sys
import time
from typing import TYPE_CHECKING, Any

import msgpack
import uvloop
import zmq

from transports.address import parse_url
from transports.codec import MSGPACK
from transports.frame import pack, unpack
from transports.opening import open_publisher, open_rpc_client, open_rpc_server, open_subscriber

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from multiprocessing.connection import Connection

IN_FLIGHT = 64
TOPIC = "e/m/endpoints/ns/comp/ep/"
REQUEST = {
    "call": "keep_alive",
    "lease": 0x1A2B3C4D5E,
    "token": "0123456789abcdef" * 2,
    "ttl_s": 10,
}
ANY = "zmq://127.0.0.1:0"
SPAWN = multiprocessing.get_context("spawn")


def run(kind: str, main: Coroutine[Any, Any, None]) -> None:
    factory = uvloop.new_event_loop if kind == "uvloop" else asyncio.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main)


# --- servers: each runs in a process of its own, says its port, and ends with it -----------------


def raw_server(pipe: Connection, echo: Callable[[bytes], bytes]) -> None:
    socket = zmq.Context().socket(zmq.ROUTER)
    pipe.send(socket.bind_to_random_port("tcp://127.0.0.1"))
    while True:
        socket.poll()
        try:
            while True:
                client, correlation, payload = socket.recv_multipart(zmq.NOBLOCK)
                socket.send_multipart([client, correlation, echo(payload)])
        except zmq.Again:
            pass


def raw_bytes_server(pipe: Connection, _: str) -> None:
    raw_server(pipe, lambda payload: payload)


def raw_msgpack_server(pipe: Connection, _: str) -> None:
    raw_server(pipe, lambda payload: b"\x01m\x00" + msgpack.packb(msgpack.unpackb(payload[3:])))


async def serve(pipe: Connection, echo: Callable[[bytes], bytes]) -> None:
    async with open_rpc_server(ANY, lambda payload, reply: reply(echo(payload))) as server:
        pipe.send(server.address.port)
        await asyncio.Event().wait()


def our_bytes_server(pipe: Connection, loop: str) -> None:
    run(loop, serve(pipe, lambda payload: payload))


def our_frame_server(pipe: Connection, loop: str) -> None:
    run(loop, serve(pipe, lambda payload: pack(*unpack(payload))))


# --- load: returns requests per second -----------------------------------------------------------


def raw_load(port: int, seconds: float, _: str) -> float:
    with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
        socket.connect(f"tcp://127.0.0.1:{port}")
        request = [(7).to_bytes(8, "big"), pack(MSGPACK, REQUEST)]
        for _ in range(IN_FLIGHT):
            socket.send_multipart(request)
        count, start = 0, time.perf_counter()
        while time.perf_counter() - start < seconds:
            for _ in range(1000):
                socket.recv()
                socket.recv()
                socket.send(request[0], zmq.SNDMORE)
                socket.send(request[1])
            count += 1000
        rate = count / (time.perf_counter() - start)
        socket.linger = 0
    return rate


def our_load(port: int, seconds: float, loop: str) -> float:
    count = 0

    async def main() -> None:
        nonlocal count
        request = pack(MSGPACK, REQUEST)

        def again(correlation: int, payload: bytes) -> None:
            nonlocal count
            count += 1
            unpack(payload)
            client.send(correlation, request)

        (address,) = parse_url(f"zmq://127.0.0.1:{port}")
        async with open_rpc_client(address, again) as client:
            await client.ready()
            for correlation in range(IN_FLIGHT):
                client.send(correlation, request)
            await asyncio.sleep(seconds)

    run(loop, main())
    return count / seconds


def rpc(
    server: Callable[..., None], load: Callable[..., float], seconds: float, loop: str
) -> float:
    ours, theirs = SPAWN.Pipe()
    process = SPAWN.Process(target=server, args=(theirs, loop), daemon=True)
    process.start()
    try:
        return load(ours.recv(), seconds, loop)
    finally:
        process.kill()
        process.join()


# --- publish and subscribe: the publisher paces itself by the count that the subscriber reports --


def raw_subscriber(pipe: Connection, port: int, _: str) -> None:
    socket = zmq.Context().socket(zmq.SUB)
    socket.rcvhwm = 0
    socket.connect(f"tcp://127.0.0.1:{port}")
    socket.subscribe(b"e/")
    got = 0
    while True:
        socket.recv_multipart()
        got += 1
        if got % 1000 == 0:
            pipe.send(got)


def our_subscriber(pipe: Connection, port: int, loop: str) -> None:
    got = 0

    def count(_topic: str, _payload: bytes) -> None:
        nonlocal got
        got += 1
        if got % 1000 == 0:
            pipe.send(got)

    async def main() -> None:
        (address,) = parse_url(f"zmq://127.0.0.1:{port}")
        async with open_subscriber(address, count) as subscriber:
            await subscriber.subscribe("e/")
            pipe.send(0)
            await asyncio.Event().wait()

    run(loop, main())


async def publish(send: Callable[[], None], pipe: Connection, seconds: float) -> float:
    """Keep at most 5,000 messages on their way, below every high-water mark."""
    sent = got = 0
    start = time.perf_counter()
    while time.perf_counter() - start < seconds:
        while sent - got < 5000:
            for _ in range(100):
                send()
            sent += 100
            await asyncio.sleep(0)
        got = pipe.recv()
        while pipe.poll():
            got = pipe.recv()
    return got / (time.perf_counter() - start)


def raw_pubsub(seconds: float, loop: str) -> float:
    ours, theirs = SPAWN.Pipe()
    with zmq.Context() as context, context.socket(zmq.XPUB) as socket:
        socket.sndhwm = 0
        socket.linger = 0
        port = socket.bind_to_random_port("tcp://127.0.0.1")
        process = SPAWN.Process(target=raw_subscriber, args=(theirs, port, loop), daemon=True)
        process.start()
        socket.recv()
        message = [TOPIC.encode(), pack(MSGPACK, REQUEST)]
        try:
            return asyncio.run(publish(lambda: socket.send_multipart(message), ours, seconds))
        finally:
            process.kill()
            process.join()


def our_pubsub(seconds: float, loop: str) -> float:
    ours, theirs = SPAWN.Pipe()
    rate = 0.0

    async def main() -> None:
        nonlocal rate
        async with open_publisher(ANY) as publisher:
            port = publisher.address.port
            process = SPAWN.Process(target=our_subscriber, args=(theirs, port, loop), daemon=True)
            process.start()
            try:
                await asyncio.to_thread(ours.recv)
                payload = pack(MSGPACK, REQUEST)
                rate = await publish(lambda: publisher.publish(TOPIC, payload), ours, seconds)
            finally:
                process.kill()
                process.join()

    run(loop, main())
    return rate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--loop", choices=["uvloop", "asyncio"], default="uvloop")
    options = parser.parse_args()
    seconds, loop = options.seconds, options.loop
    cases: dict[str, Callable[[], float]] = {
        "rpc raw pyzmq, bytes": lambda: rpc(raw_bytes_server, raw_load, seconds, loop),
        "rpc raw pyzmq, msgpack": lambda: rpc(raw_msgpack_server, raw_load, seconds, loop),
        "rpc ours, bytes": lambda: rpc(our_bytes_server, raw_load, seconds, loop),
        "rpc ours, frames decoded": lambda: rpc(our_frame_server, raw_load, seconds, loop),
        "rpc ours, our client too": lambda: rpc(our_frame_server, our_load, seconds, loop),
        "pubsub raw pyzmq": lambda: raw_pubsub(seconds, loop),
        "pubsub ours": lambda: our_pubsub(seconds, loop),
    }
    rates = dict.fromkeys(cases, 0.0)
    for _ in range(options.rounds):  # interleaved, so that a slow moment hits all alike
        for name, case in cases.items():
            rates[name] = max(rates[name], case())
    for name, rate in rates.items():
        raw = rates["pubsub raw pyzmq" if name.startswith("pubsub") else "rpc raw pyzmq, bytes"]
        print(f"{name:<28}{rate:>10,.0f}/s{rate / raw:>8.2f}", file=sys.stderr)
    print(json.dumps({"loop": loop, "seconds": seconds, "per_second": rates}))


if __name__ == "__main__":
    main()
