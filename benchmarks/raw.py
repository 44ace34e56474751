"""The ceilings: raw pyzmq doing no more than moving and decoding the same bytes."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from typing import TYPE_CHECKING

import msgpack
import zmq
from harness import child

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

_TOPIC = b"e/"
_PAYLOAD = bytes(90)
_STEP = 500
_HOW_MUCH = b"how much?"


def echo(pipe: Connection) -> None:
    """Answer requests with what they say, decoded and encoded; tell the port first."""
    with zmq.Context() as context, context.socket(zmq.ROUTER) as socket:
        pipe.send(socket.bind_to_random_port("tcp://127.0.0.1"))
        while True:
            socket.poll()
            try:
                while True:
                    client, correlation, payload = socket.recv_multipart(zmq.NOBLOCK)
                    answer = b"\x01m\x00" + msgpack.packb({"ok": msgpack.unpackb(payload[3:])})
                    socket.send_multipart([client, correlation, answer])
            except zmq.Again:
                pass


def hub(pipe: Connection, streams: int) -> None:
    """Answer each request, and publish it too; tell both ports first, then when all listen."""
    with (
        zmq.Context() as context,
        context.socket(zmq.ROUTER) as requests,
        context.socket(zmq.XPUB) as events,
    ):
        events.sndhwm = 0
        events.xpub_verbose = 1  # also of a topic that another one listens to
        ports = [socket.bind_to_random_port("tcp://127.0.0.1") for socket in (requests, events)]
        pipe.send(ports)
        for _ in range(streams):
            events.recv()
        pipe.send(None)
        while True:
            client, correlation, payload = requests.recv_multipart()
            used_s = time.process_time()  # of all threads
            if payload != _HOW_MUCH:
                events.send_multipart([_TOPIC, payload])
            answer = b"\x01m\x00" + msgpack.packb({"ok": used_s})
            requests.send_multipart([client, correlation, answer])


def used_s(port: int) -> float:
    """Return the processor time that a hub has used."""
    with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
        socket.connect(f"tcp://127.0.0.1:{port}")
        socket.send_multipart([b"", _HOW_MUCH])
        return float(msgpack.unpackb(socket.recv_multipart()[1][3:])["ok"])


def hear(pipe: Connection, port: int, streams: int) -> None:
    """Listen on so many sockets; for each count asked for, tell of that many messages.

    As (place of the message among those asked for, ns of the monotonic clock).
    """
    with zmq.Context() as context:
        context.max_sockets = 2 * streams + 16
        poller = zmq.Poller()
        for _ in range(streams):
            poller.register(_listening(context, port), zmq.POLLIN)
        while True:
            wanted = pipe.recv()
            heard: Counter[zmq.Socket[bytes]] = Counter()
            arrivals: list[tuple[int, int]] = []
            while len(arrivals) < wanted:
                for socket, _ in poller.poll():
                    socket.recv_multipart()
                    arrivals.append((heard[socket], time.monotonic_ns()))
                    heard[socket] += 1
            pipe.send(arrivals)


def publish(count: int, ahead: int) -> float:
    """Publish to a process that listens, as fast as it does; return messages a second."""
    with zmq.Context() as context, context.socket(zmq.XPUB) as events:
        events.sndhwm = events.linger = 0
        port = events.bind_to_random_port("tcp://127.0.0.1")
        with child(_listen, port) as heard:
            events.recv()
            started, sent, got = time.perf_counter(), 0, 0
            while got < count:
                while sent - got < ahead:
                    events.send(_TOPIC, zmq.SNDMORE)
                    events.send(_PAYLOAD)
                    sent += 1
                got = heard.recv()
            return got / (time.perf_counter() - started)


def _listen(pipe: Connection, port: int) -> None:
    with zmq.Context() as context, context.socket(zmq.SUB) as socket:
        socket.rcvhwm = 0
        socket.connect(f"tcp://127.0.0.1:{port}")
        socket.subscribe(_TOPIC)
        for got in itertools.count(1):
            socket.recv()
            socket.recv()
            if got % _STEP == 0:
                pipe.send(got)


def bulk(pipe: Connection) -> None:
    """Send the chunks that came through the pipe to whoever asks; tell the port first."""
    with zmq.Context() as context, context.socket(zmq.ROUTER) as socket:
        socket.sndhwm = 0
        pipe.send(socket.bind_to_random_port("tcp://127.0.0.1"))
        chunks = pipe.recv()
        while True:
            client, wanted = socket.recv_multipart()
            for chunk in chunks if wanted else [b""]:
                socket.send_multipart([client, chunk])


def fetch(port: int, chunks: int) -> float:
    """Ask once for so many chunks and decode them; return the seconds."""
    with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
        socket.rcvhwm = 0
        socket.connect(f"tcp://127.0.0.1:{port}")
        socket.send(b"")
        socket.recv()  # connected
        started = time.perf_counter()
        socket.send(b"all")
        for _ in range(chunks):
            msgpack.unpackb(socket.recv()[3:])
        return time.perf_counter() - started


def _listening(context: zmq.Context[zmq.Socket[bytes]], port: int) -> zmq.Socket[bytes]:
    socket = context.socket(zmq.SUB)
    socket.connect(f"tcp://127.0.0.1:{port}")
    socket.subscribe(_TOPIC)
    return socket
