"""Peers that keep no rules: what they send is bytes of the test's choice, over ZMQ or past it."""

from __future__ import annotations

import socket
import struct
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import zmq

from tests.support.processes import PATIENCE_S
from transports.codec import JSON, MSGPACK
from transports.frame import pack, unpack

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator

CORRELATION = b"\0\0\0\0\0\0\0\7"
LONGEST_REFUSAL = 2048
"""Bytes of an answer to something wrong, however long that was."""

_GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)


class RawClient:
    """A DEALER socket that sends any bytes as a request, and waits for the answer to it."""

    def __init__(self, dealer: zmq.Socket[bytes]) -> None:
        self.dealer = dealer

    def send(self, *parts: bytes) -> None:
        self.dealer.send_multipart(parts)

    def raw(self, frame: bytes) -> list[Any]:
        """Send a frame; return what came back, the last of it an answer or a refusal."""
        self.send(CORRELATION, frame)
        answers = []
        while not answers or "chunk" in answers[-1]:
            correlation, payload = self.received()
            assert correlation == CORRELATION
            answers.append(unpack(payload)[1])
        return answers

    def received(self) -> list[bytes]:
        assert self.dealer.poll(PATIENCE_S * 1000), "no answer"
        return self.dealer.recv_multipart()

    def ask(self, op: str, **fields: object) -> dict:
        """Ask something right; return the result."""
        *_, last = self.raw(pack(MSGPACK, {"op": op, **fields}))
        assert "ok" in last, last
        return last["ok"]

    def refused(self, frame: bytes) -> dict:
        """Send something wrong; return the error that says so."""
        self.send(CORRELATION, frame)
        _, payload = self.received()
        assert len(payload) <= LONGEST_REFUSAL
        assert b"Traceback" not in payload
        error = unpack(payload)[1]["error"]
        assert error["code"] != "internal", error
        return error


@contextmanager
def raw_client(port: int) -> Iterator[RawClient]:
    """Connect a `RawClient`."""
    with raw_socket(zmq.DEALER, port) as dealer:
        yield RawClient(dealer)


@contextmanager
def raw_socket(kind: int, port: int) -> Iterator[zmq.Socket[bytes]]:
    """Connect a bare ZMQ socket."""
    with zmq.Context() as context, context.socket(kind) as raw:
        raw.linger = 0
        raw.connect(f"tcp://127.0.0.1:{port}")
        yield raw


@contextmanager
def tcp(port: int, kind: bytes | None = None) -> Iterator[socket.socket]:
    """Connect without ZMQ; with a `kind` such as b"DEALER" after its handshake (ZMTP 3.0)."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as stream:
        if kind is not None:
            body = b"\x05READY\x0bSocket-Type" + struct.pack(">I", len(kind)) + kind
            stream.sendall(_GREETING + bytes([4, len(body)]) + body)
            length = 0
            while length < len(_GREETING) + len(body):  # theirs has more in it, never less
                length += len(stream.recv(1 << 12))
        yield stream


def zmtp(body: bytes, *, more: bool = False) -> bytes:
    """Return a part of a ZMQ message as it is on the wire."""
    return struct.pack(">BQ", 2 | more, len(body)) + body


def nonsense(rng: random.Random) -> bytes:
    """Return some parts and commands of ZMTP, with anything in them."""
    said = b""
    for _ in range(rng.randrange(30)):
        name = rng.choice(
            [b"\4PING", b"\4PONG", b"\6CANCEL", b"\5ERROR", b"\5READY", b"\x09SUBSCRIBE"]
        )
        content = name * rng.randrange(2) + rng.randbytes(rng.randrange(40))
        flags = rng.choice([0, 1, 4, 4, 5, rng.randrange(256)])  # 1: more follows; 4: a command
        said += bytes([flags, rng.choice([len(content)] * 9 + [rng.randrange(256)])]) + content
    return said


def cut_off(stream: socket.socket) -> bool:
    """Wait until the other side hangs up; what it says before is of no interest."""
    try:
        while stream.recv(1 << 12):
            pass
    except ConnectionResetError:
        pass
    return True


def json_frame(text: str | bytes) -> bytes:
    return pack(JSON, None)[:3] + (text if isinstance(text, bytes) else text.encode())


def msgpack_frame(body: bytes) -> bytes:
    return pack(MSGPACK, None)[:3] + body
