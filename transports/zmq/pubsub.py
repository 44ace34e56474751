"""Publish and subscribe over XPUB and SUB; parts: topic in UTF-8, and payload.

To know when a prefix is in effect, a subscriber then subscribes to a topic nobody else has, and the
publisher, which reads subscriptions in order, publishes an empty message there. Such a topic starts
with the byte 0xff: no UTF-8 text does, and a SUB socket that reconnects sends its subscriptions in
byte order, so that the proof still comes after the prefixes it is to prove.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Final, Self

import zmq

from transports.errors import UnreachableError
from transports.pubsub import LivePrefixes
from transports.zmq.pump import Pump, resolve
from transports.zmq.sockets import (
    NOBLOCK,
    NOBLOCK_MORE,
    connect,
    end_connecting,
    end_listening,
    listen,
    skip_parts_after,
)

if TYPE_CHECKING:
    from types import TracebackType

    from transports.address import Address
    from transports.pubsub import OnMessage, Publisher, Subscriber

MAX_PREFIX_BYTES: Final = 2048
"""A peer that subscribes to a longer one is cut off: ZMQ takes 50 bytes for each byte of it."""

_PROOF: Final = b"\xff"
_PROOF_BYTES: Final = 17
_PROOF_INTERVAL_S: Final = 1.0
"""A proof is dropped like any message when the subscriber's queue is full: ask again."""


class ZmqPublisher:
    """A Publisher on an XPUB socket: it drops at the high-water mark, per subscriber."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self.rejected = 0
        self._prefixes = LivePrefixes()
        self._socket: zmq.Socket[bytes] | None = None
        self._outgoing: list[tuple[bytes, bytes]] = []

    async def __aenter__(self) -> Self:
        """Bind."""
        options = {int(zmq.MAXMSGSIZE): MAX_PREFIX_BYTES + 1}
        socket, self.address = await listen(zmq.XPUB, self.address, options)
        self._socket = socket
        self._loop = asyncio.get_running_loop()
        self._pump = Pump(socket, partial(self._receive, socket))
        self._pump.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Let the last messages leave, for at most a quarter of a second, and free the port."""
        self._flush()
        socket, self._socket = self._socket, None
        if socket is not None:
            self._pump.stop()
            await end_listening(socket)

    def publish(self, topic: str, payload: bytes) -> None:
        """Send when this turn of the loop ends: each send alone would wake ZMQ's thread anew."""
        if self._socket is not None:
            if not self._outgoing:
                self._loop.call_soon(self._flush)
            self._outgoing.append((topic.encode(), payload))

    def has_subscribers(self, prefix: str) -> bool:
        """Whether somebody may receive it; see Publisher."""
        return self._prefixes.touch(prefix.encode())

    def _flush(self) -> None:
        outgoing, self._outgoing = self._outgoing, []
        if self._socket is not None and outgoing:
            for topic, payload in outgoing:
                self._send(self._socket, topic, payload)
            self._pump.poke()

    def _send(self, socket: zmq.Socket[bytes], topic: bytes, payload: bytes) -> None:
        socket.send(topic, NOBLOCK_MORE)
        socket.send(payload, NOBLOCK)

    def _receive(self, socket: zmq.Socket[bytes]) -> None:
        # Part by part: ZMQ takes subscriptions from amid a message of several parts too, and tells
        # of each prefix only when it is new. Whoever comes with it later is not told of.
        part = socket.recv(NOBLOCK, copy=False)
        data = part.bytes
        match data[:1]:
            case b"\x01" if data[1:2] == _PROOF:
                if len(data) == 1 + _PROOF_BYTES:
                    self._send(socket, data[1:], b"")
                else:
                    self.rejected += 1
            case b"\x01":
                self._prefixes.add(data[1:])
            case b"\x00":
                self._prefixes.discard(data[1:])
            case _:
                self.rejected += not part.more  # once for all parts of a message


class ZmqSubscriber:
    """A Subscriber on a SUB socket."""

    def __init__(self, address: Address, on_message: OnMessage) -> None:
        self.rejected = 0
        self._address = address
        self._on_message = on_message
        self._prefixes: Counter[bytes] = Counter()
        self._proofs: dict[bytes, asyncio.Future[None]] = {}
        self._socket: zmq.Socket[bytes] | None = None

    async def __aenter__(self) -> Self:
        """Begin to connect."""
        # No bound on what it sends: that is subscriptions, and they must not be dropped.
        socket = connect(zmq.SUB, self._address, {zmq.SNDHWM: 0})
        self._socket = socket
        self._pump = Pump(socket, partial(self._receive, socket))
        self._pump.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Drop the connection."""
        socket, self._socket = self._socket, None
        if socket is not None:
            self._pump.stop()
            for proof in self._proofs.values():
                resolve(proof)
            await end_connecting(socket)

    async def subscribe(self, prefix: str) -> None:
        """Hold a prefix, and wait for the proof; see Subscriber."""
        self._set(zmq.SUBSCRIBE, prefix.encode())
        self._prefixes[prefix.encode()] += 1
        try:
            while not await self._is_proven():
                pass
        except asyncio.CancelledError:
            self.unsubscribe(prefix)
            raise
        if self._socket is None:
            raise self._is_closed()

    def unsubscribe(self, prefix: str) -> None:
        """Let go of a prefix, once; see Subscriber."""
        key = prefix.encode()
        if self._prefixes[key] and self._socket is not None:
            self._prefixes[key] -= 1
            self._prefixes += Counter()  # forget those at zero
            self._set(zmq.UNSUBSCRIBE, key)

    async def _is_proven(self) -> bool:
        proof = _PROOF + secrets.token_hex(_PROOF_BYTES // 2).encode()
        self._set(zmq.SUBSCRIBE, proof)
        self._proofs[proof] = answer = asyncio.get_running_loop().create_future()
        try:
            await asyncio.wait([answer], timeout=_PROOF_INTERVAL_S)
        finally:
            del self._proofs[proof]
            if self._socket is not None:
                self._set(zmq.UNSUBSCRIBE, proof)
        return answer.done()

    def _set(self, option: int, topic: bytes) -> None:
        if self._socket is None:
            raise self._is_closed()
        self._socket.set(option, topic)
        self._pump.poke()

    def _is_closed(self) -> UnreachableError:
        return UnreachableError(f"the subscriber of {self._address} is closed")

    def _receive(self, socket: zmq.Socket[bytes]) -> None:
        topic = last = socket.recv(NOBLOCK, copy=False)
        if topic.more:
            last = socket.recv(NOBLOCK, copy=False)
        if last.more or last is topic:
            self.rejected += 1
            skip_parts_after(last, socket)
            return
        name = topic.bytes
        if name.startswith(_PROOF):
            if name in self._proofs:
                resolve(self._proofs[name])
            return
        try:
            text = name.decode()
        except UnicodeDecodeError:
            self.rejected += 1
        else:
            self._on_message(text, last.bytes)


_: type[Publisher] = ZmqPublisher
__: type[Subscriber] = ZmqSubscriber
