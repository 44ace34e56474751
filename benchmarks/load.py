"""Load in raw pyzmq, of requests made beforehand: the daemon is the busy one, not the load."""

from __future__ import annotations

import itertools
import time
from typing import TYPE_CHECKING

import zmq

from transports.codec import MSGPACK
from transports.frame import pack

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

IN_FLIGHT = 64
_ACCEPTED = pack(MSGPACK, {"ok": 0})[:-1]
_CORRELATION = (7).to_bytes(8, "big")
_PATIENCE_MS = 10_000
_NOBLOCK = int(zmq.NOBLOCK)  # the enum costs more than the call


def load(port: int, requests: Sequence[bytes], in_flight: int = IN_FLIGHT, links: int = 1) -> float:
    """Send all of `requests`, so many at a time over so many connections; return the seconds."""
    waiting = iter(requests)
    answered = 0
    poller = zmq.Poller()
    with zmq.Context() as context:
        sockets = [_connected(context, port) for _ in range(links)]
        for socket in sockets:
            poller.register(socket, zmq.POLLIN)
        started = time.perf_counter()
        for socket in itertools.islice(itertools.cycle(sockets), in_flight):
            _send(socket, waiting)
        while answered < len(requests):
            for socket, _ in _ready(poller):
                for _ in _answers(socket):
                    answered += 1
                    _send(socket, waiting)
        took = time.perf_counter() - started
        for socket in sockets:
            socket.close(linger=0)
    return took


def pace(port: int, requests: Sequence[bytes], per_s: float) -> list[int]:
    """Send `requests` one after another, so many a second, whatever the answers do.

    Returns when each was sent, in ns of the monotonic clock, which all processes share.
    """
    sent: list[int] = []
    answered = 0
    with zmq.Context() as context, _connected(context, port) as socket:
        started = time.monotonic_ns()
        for number, request in enumerate(requests):
            due = started + int(number / per_s * 1e9)
            while (left := due - time.monotonic_ns()) > 0:
                if socket.poll(1 + left // 1_000_000):
                    answered += len(list(_answers(socket)))
            sent.append(time.monotonic_ns())
            _send(socket, iter((request,)))
        while answered < len(requests):
            if not socket.poll(_PATIENCE_MS):
                raise TimeoutError(f"{len(requests) - answered} requests are not answered")
            answered += len(list(_answers(socket)))
        socket.linger = 0
    return sent


def _connected(context: zmq.Context[zmq.Socket[bytes]], port: int) -> zmq.Socket[bytes]:
    socket = context.socket(zmq.DEALER)
    socket.connect(f"tcp://127.0.0.1:{port}")
    return socket


def _send(socket: zmq.Socket[bytes], waiting: Iterator[bytes]) -> None:
    for request in itertools.islice(waiting, 1):
        socket.send(_CORRELATION, zmq.SNDMORE)
        socket.send(request)


def _ready(poller: zmq.Poller) -> list[tuple[zmq.Socket[bytes], int]]:
    ready = poller.poll(_PATIENCE_MS)
    if not ready:
        raise TimeoutError("requests are not answered")
    return ready


def _answers(socket: zmq.Socket[bytes]) -> Iterator[bytes]:
    """Yield what has arrived; every answer must be one that accepts."""
    try:
        while True:
            socket.recv(_NOBLOCK)
            answer = socket.recv(_NOBLOCK)
            if not answer.startswith(_ACCEPTED):
                raise RuntimeError(f"refused: {answer!r}")
            yield answer
    except zmq.Again:
        return
