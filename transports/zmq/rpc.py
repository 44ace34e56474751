"""Requests over ROUTER and DEALER; parts: correlation as 8 bytes, big-endian, and payload."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Final, Self

import zmq

from transports.errors import UnreachableError
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
    from transports.rpc import Handler, OnReply, RpcClient, RpcServer

_CORRELATION_BYTES: Final = 8
_REQUESTS_WAITING: Final = 128
"""Of one client, at the server; the rest waits in the client, so that one that floods the server
with large requests fills its own memory."""
_PARTING_S: Final = 0.05
"""How long a server stays after its last reply: a client whose connection ends (IMMEDIATE) loses
what it has received and not read yet."""


class ZmqRpcServer:
    """An RpcServer on a ROUTER socket."""

    is_cut_off: Final = False

    def __init__(self, address: Address, handler: Handler) -> None:
        self.address = address
        self.rejected = 0
        self._handler = handler
        self._socket: zmq.Socket[bytes] | None = None
        self._outgoing: list[tuple[bytes, bytes, bytes]] = []
        self._is_skipping = False

    async def __aenter__(self) -> Self:
        """Bind."""
        options = {int(zmq.RCVHWM): _REQUESTS_WAITING}
        socket, self.address = await listen(zmq.ROUTER, self.address, options)
        self._socket = socket
        self._loop = asyncio.get_running_loop()
        self._replied_s = self._loop.time() - _PARTING_S
        self._pump = Pump(socket, partial(self._receive, socket))
        self._pump.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Let the last replies leave, for at most 0.3 seconds, and free the port."""
        self._flush()
        socket, self._socket = self._socket, None
        if socket is not None:
            self._pump.stop()
            try:
                await asyncio.sleep(self._replied_s + _PARTING_S - self._loop.time())
            finally:
                await end_listening(socket)

    def _receive(self, socket: zmq.Socket[bytes]) -> None:
        if self._is_skipping:  # part by part: a message may have a million of them
            self._is_skipping = socket.recv(NOBLOCK, copy=False).more
            return
        client = socket.recv(NOBLOCK)  # ROUTER puts it before the peer's own parts: one at least
        correlation = last = socket.recv(NOBLOCK, copy=False)
        if correlation.more:
            last = socket.recv(NOBLOCK, copy=False)
        self._pump.charge(len(last))
        if last.more or last is correlation or len(correlation) != _CORRELATION_BYTES:
            self.rejected += 1
            self._is_skipping = last.more
            return
        self._handler(last.bytes, partial(self._reply, client, correlation.bytes))

    def _reply(self, client: bytes, correlation: bytes, payload: bytes) -> None:
        """Send when this turn of the loop ends: each send alone would wake ZMQ's thread anew."""
        if not self._outgoing:
            self._loop.call_soon(self._flush)
        self._outgoing.append((client, correlation, payload))

    def _flush(self) -> None:
        outgoing, self._outgoing = self._outgoing, []
        socket = self._socket
        if socket is None or not outgoing:
            return
        for client, correlation, payload in outgoing:
            socket.send(client, NOBLOCK_MORE)
            socket.send(correlation, NOBLOCK_MORE)
            socket.send(payload, NOBLOCK)
        self._replied_s = self._loop.time()
        self._pump.poke()


class ZmqRpcClient:
    """An RpcClient on a DEALER socket."""

    def __init__(self, address: Address, on_reply: OnReply) -> None:
        self.rejected = 0
        self._address = address
        self._on_reply = on_reply
        self._socket: zmq.Socket[bytes] | None = None
        self._waiting: set[asyncio.Future[None]] = set()

    async def __aenter__(self) -> Self:
        """Begin to connect."""
        # IMMEDIATE: queue for established connections only, and drop their queue with them.
        socket = connect(zmq.DEALER, self._address, {zmq.IMMEDIATE: 1})
        self._socket = socket
        self._pump = Pump(socket, partial(self._receive, socket), self._look)
        self._pump.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Drop the connection."""
        socket, self._socket = self._socket, None
        if socket is not None:
            self._pump.stop()
            self._wake()
            await end_connecting(socket)

    def send(self, correlation: int, payload: bytes) -> None:
        """Send one request; see RpcClient."""
        socket = self._socket
        if socket is None:
            raise self._is_closed()
        try:
            socket.send(correlation.to_bytes(_CORRELATION_BYTES, "big"), NOBLOCK_MORE)
            socket.send(payload, NOBLOCK)
        except zmq.Again as exc:
            reason = "no connection is established, or too much waits for it"
            raise UnreachableError(f"cannot send to {self._address}: {reason}") from exc
        finally:
            self._pump.poke()

    async def ready(self) -> None:
        """Wait for a connection; see RpcClient."""
        while self._socket is not None and not self._pump.events() & zmq.POLLOUT:
            waiter = asyncio.get_running_loop().create_future()
            self._waiting.add(waiter)
            try:
                await waiter
            finally:
                self._waiting.discard(waiter)
        if self._socket is None:
            raise self._is_closed()

    def _receive(self, socket: zmq.Socket[bytes]) -> None:
        correlation = last = socket.recv(NOBLOCK, copy=False)
        if correlation.more:
            last = socket.recv(NOBLOCK, copy=False)
        if last.more or last is correlation or len(correlation) != _CORRELATION_BYTES:
            self.rejected += 1
            skip_parts_after(last, socket)
            return
        self._on_reply(int.from_bytes(correlation.bytes, "big"), last.bytes)

    def _look(self) -> None:
        if self._waiting and self._pump.events() & zmq.POLLOUT:
            self._wake()

    def _wake(self) -> None:
        for waiter in self._waiting:
            resolve(waiter)

    def _is_closed(self) -> UnreachableError:
        return UnreachableError(f"the client of {self._address} is closed")


_: type[RpcServer] = ZmqRpcServer
__: type[RpcClient] = ZmqRpcClient
