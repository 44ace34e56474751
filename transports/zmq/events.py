"""Send and receive events: XPUB and SUB sockets, each of which serves many peers.

What is sent goes out when the loop's turn ends, or when enough of it waits: each send alone would
wake ZMQ's thread anew. Neither side ever waits for the other. What a subscriber does not take in
time is dropped at the high-water mark, and shows as a gap in its publisher's sequence.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Final, Self

import zmq

from transports.address import parse_url
from transports.envelope import MAX_ENVELOPE_BYTES
from transports.errors import AddressError, FrameError, UnreachableError
from transports.eventframe import PARTS, EventFrame, decode_frame, encode_frame
from transports.zmq.pump import Pump, resolve
from transports.zmq.sockets import (
    NOBLOCK,
    NOBLOCK_MORE,
    connector,
    end_connecting,
    end_listening,
    listen,
    skip_parts_after,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import TracebackType

    from transports.address import Address

HIGH_WATER_MARK: Final = 100_000
"""How many events may wait for one peer, on each side; the peer's too (spec/discovery.md §5.5)."""

LAST_WORDS_MS: Final = 1_000
"""For how long a publisher that ends waits for what it has sent to leave."""

_FLUSH_AT: Final = 128
_MAX_PREFIX_BYTES: Final = 2048
_EVENTS: Final[dict[int, int]] = {
    int(zmq.SNDHWM): HIGH_WATER_MARK,
    int(zmq.RCVHWM): HIGH_WATER_MARK,
}
_PUBLISHING: Final[dict[int, int]] = {
    **_EVENTS,
    int(zmq.LINGER): LAST_WORDS_MS,
    int(zmq.MAXMSGSIZE): _MAX_PREFIX_BYTES + 1,
    int(zmq.XPUB_VERBOSER): 1,
}
_SUBSCRIBING: Final[dict[int, int]] = {
    **_EVENTS,
    int(zmq.SNDHWM): 0,  # that is subscriptions, and they must not be dropped
    int(zmq.MAXMSGSIZE): MAX_ENVELOPE_BYTES + 64,
}


def event_address(endpoint: str) -> Address:
    """Return the address that a record's endpoint names, "tcp://host:port".

    Raises:
        AddressError: nobody can connect to it.
    """
    addresses = parse_url(endpoint)
    first = addresses[0]
    if len(addresses) != 1 or first.scheme != "tcp" or first.path or first.is_wildcard:
        raise AddressError(f"endpoint {endpoint!r:.120} cannot be used: expected tcp://host:port")
    if not first.port:
        raise AddressError(f"endpoint {endpoint!r:.120} cannot be used: expected a port above 0")
    return first


class EventSender:
    """Publishes events, at an address of its own or to brokers that it connects to.

    Args:
        name: what its events are called.
        address: where to listen, port 0 for any; None to listen nowhere.
    """

    def __init__(self, name: bytes, address: Address | None) -> None:
        self.address = address
        """Where it listens; once entered, with the port that was found."""
        self.subscribers = 0
        """How many subscriptions to its events there are."""
        self._name = name
        self._socket: zmq.Socket[bytes] | None = None
        self._outgoing: list[EventFrame] = []
        self._waiters: set[asyncio.Future[None]] = set()
        self._brokers: set[Address] = set()

    async def __aenter__(self) -> Self:
        """Listen, if it is to. Raises `UnreachableError` when the address cannot be had."""
        if self.address is None:
            self._socket = socket = connector(zmq.XPUB, _PUBLISHING)
        else:
            socket, self.address = await listen(zmq.XPUB, self.address, _PUBLISHING)
            self._socket = socket
        self._loop = asyncio.get_running_loop()
        self._pump = Pump(socket, partial(self._receive, socket))
        self._pump.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Let what was sent leave, for at most a second, and give everything back."""
        self.flush()
        socket, self._socket = self._socket, None
        if socket is None:
            return
        self._pump.stop()
        for waiter in self._waiters:
            resolve(waiter)
        await (end_connecting(socket) if self.address is None else end_listening(socket))

    def connect(self, brokers: Iterable[Address]) -> None:
        """Be connected to these and no others."""
        wanted = set(brokers)
        if self._socket is not None:
            for address in self._brokers - wanted:
                self._socket.disconnect(f"tcp://{address.netloc}")
            for address in wanted - self._brokers:
                self._socket.connect(f"tcp://{address.netloc}")
            self._brokers = wanted
            self._pump.poke()

    def send(self, frame: EventFrame) -> None:
        """Send an event, soon."""
        if self._socket is None:
            return
        if not self._outgoing:
            self._loop.call_soon(self.flush)
        self._outgoing.append(frame)
        if len(self._outgoing) >= _FLUSH_AT:
            self.flush()

    def flush(self) -> None:
        """Send what waits, now."""
        outgoing, self._outgoing = self._outgoing, []
        if self._socket is None or not outgoing:
            return
        send = self._socket.send
        for frame in outgoing:
            name, publisher_id, sequence, body = encode_frame(frame)
            send(name, NOBLOCK_MORE)
            send(publisher_id, NOBLOCK_MORE)
            send(sequence, NOBLOCK_MORE)
            send(body, NOBLOCK)
        self._pump.poke()

    async def subscribed(self, count: int) -> None:
        """Wait until at least `count` subscriptions are in effect.

        Raises:
            UnreachableError: it ends before that.
        """
        while self.subscribers < count:
            if self._socket is None:
                raise UnreachableError(f"nobody subscribed to {self._name!r:.60}: it is closed")
            waiter = self._loop.create_future()
            self._waiters.add(waiter)
            try:
                await waiter
            finally:
                self._waiters.discard(waiter)

    def _receive(self, socket: zmq.Socket[bytes]) -> None:
        part = socket.recv(NOBLOCK, copy=False)
        data = part.bytes
        if not self._name.startswith(data[1:]):
            return
        match data[:1]:
            case b"\x01":
                self.subscribers += 1
                for waiter in self._waiters:
                    resolve(waiter)
            case b"\x00":
                self.subscribers -= 1
            case _:
                pass  # whoever sends it is nobody's subscriber


class EventReceiver:
    """Receives events from all publishers and brokers that it is connected to.

    Args:
        on_event: takes each event, on the loop it was entered on; neither raises nor blocks.
        on_reject: likewise, takes the reason why a message was none.
    """

    def __init__(
        self, on_event: Callable[[EventFrame], None], on_reject: Callable[[FrameError], None]
    ) -> None:
        self._on_event, self._on_reject = on_event, on_reject
        self._socket: zmq.Socket[bytes] | None = None
        self._connected: Counter[Address] = Counter()
        self._names: Counter[bytes] = Counter()

    async def __aenter__(self) -> Self:
        """Begin, connected to nobody."""
        self._socket = socket = connector(zmq.SUB, _SUBSCRIBING)
        self._pump = Pump(socket, partial(self._receive, socket))
        self._pump.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Drop all connections."""
        socket, self._socket = self._socket, None
        if socket is not None:
            self._pump.stop()
            await end_connecting(socket)

    def subscribe(self, name: bytes) -> None:
        """Receive events whose names begin so; counts, until `unsubscribe` is called as often."""
        self._names[name] += 1
        if self._names[name] == 1 and self._socket is not None:
            self._socket.set(zmq.SUBSCRIBE, name)
            self._pump.poke()

    def unsubscribe(self, name: bytes) -> None:
        """Let go of a name, once."""
        self._names[name] -= 1
        if self._names[name] == 0 and self._socket is not None:
            self._socket.set(zmq.UNSUBSCRIBE, name)
            self._pump.poke()

    def connect(self, address: Address) -> None:
        """Connect, and connect again; counts, until `disconnect` is called as often.

        Raises:
            UnreachableError: ZMQ does not take the address.
        """
        if not self._connected[address] and self._socket is not None:
            try:
                self._socket.connect(f"tcp://{address.netloc}")
            except zmq.ZMQError as exc:
                raise UnreachableError(f"cannot connect to {address}: {exc.strerror}") from exc
            self._pump.poke()
        self._connected[address] += 1

    def disconnect(self, address: Address) -> None:
        """Let go of an address, once; what has arrived from there and was not read is dropped."""
        self._connected[address] -= 1
        if self._connected[address]:
            return
        del self._connected[address]
        if self._socket is not None:
            self._socket.disconnect(f"tcp://{address.netloc}")
            self._pump.poke()

    def _receive(self, socket: zmq.Socket[bytes]) -> None:
        part = socket.recv(NOBLOCK, copy=False)
        parts = [part.bytes]
        while part.more and len(parts) <= PARTS:
            part = socket.recv(NOBLOCK, copy=False)
            parts.append(part.bytes)
        skip_parts_after(part, socket)
        self._pump.charge(len(parts[-1]))
        try:
            frame = decode_frame(parts)
        except FrameError as error:
            self._on_reject(error)
        else:
            self._on_event(frame)
