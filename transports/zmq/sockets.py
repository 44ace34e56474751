"""Make, bind, connect and end ZMQ sockets, with the options that all of ours have."""

from __future__ import annotations

import asyncio
import logging
import os
import socket as stdlib_socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import zmq

from transports.errors import UnreachableError
from transports.zmq.pump import resolve

if TYPE_CHECKING:
    from transports.address import Address

logger = logging.getLogger(__name__)

NOBLOCK: Final = int(zmq.NOBLOCK)
"""As a plain int: the enum costs more than the call."""

NOBLOCK_MORE: Final = int(zmq.NOBLOCK | zmq.SNDMORE)

MAX_MESSAGE_BYTES: Final = 4 << 20
"""A peer that sends a larger part is cut off by ZMQ; frames end far below."""

HIGH_WATER_MARK: Final = 10_000
"""How many messages may wait for one peer, on each side."""

_LINGER_MS: Final = 250
_MAX_CLIENT_SOCKETS: Final = 65_536
_LISTEN_BACKLOG: Final = 1024
_COMMON: Final[dict[int, int]] = {
    zmq.MAXMSGSIZE: MAX_MESSAGE_BYTES,
    zmq.SNDHWM: HIGH_WATER_MARK,
    zmq.RCVHWM: HIGH_WATER_MARK,
    # Peers that are gone are noticed by TCP, not by ZMQ's heartbeats: with those, one that hangs up
    # while RCVHWM of its messages wait ends our process (libzmq issues 3937, 4364, 4767).
    zmq.TCP_KEEPALIVE: 1,
    zmq.TCP_KEEPALIVE_IDLE: 3,
    zmq.TCP_KEEPALIVE_INTVL: 1,
    zmq.TCP_KEEPALIVE_CNT: 3,
    zmq.TCP_MAXRT: 5000,
}
_LISTENING: Final[dict[int, int]] = {
    **_COMMON,
    zmq.LINGER: _LINGER_MS,
    zmq.BACKLOG: _LISTEN_BACKLOG,
}
_CONNECTING: Final[dict[int, int]] = {
    **_COMMON,
    zmq.LINGER: 0,
    zmq.RECONNECT_IVL: 50,
    zmq.RECONNECT_IVL_MAX: 1000,
    zmq.CONNECT_TIMEOUT: 3000,
}


async def listen(
    kind: int, address: Address, options: dict[int, int]
) -> tuple[zmq.Socket[bytes], Address]:
    """Return a bound socket, in a context of its own, and where it listens.

    Its own context makes its end known: `end_listening` returns when the port is free.

    Raises:
        UnreachableError: the address cannot be had; the text names it and says why.
    """
    host = await _ip_of(address)
    context = zmq.Context()
    try:
        socket = context.socket(kind)
        _configure(socket, {**_LISTENING, **options}, address)
        port = address.port or "*"
        socket.bind(f"tcp://[{host}]:{port}" if ":" in host else f"tcp://{host}:{port}")
        bound = socket.getsockopt_string(zmq.LAST_ENDPOINT)
    except zmq.ZMQError as exc:
        context.destroy(linger=0)
        raise UnreachableError(f"cannot listen on {address}: {exc.strerror}") from exc
    return socket, address.with_port(int(bound.rpartition(":")[2]))


async def end_listening(socket: zmq.Socket[bytes]) -> None:
    """Close a socket made by `listen`: send what waits, for at most a quarter of a second.

    When this is cancelled, the rest of it still happens.
    """
    context = socket.context
    socket.close()
    await terminate(context)


def connect(kind: int, address: Address, options: dict[int, int]) -> zmq.Socket[bytes]:
    """Return a socket that connects, and connects again, to `address` until it is ended.

    Raises:
        UnreachableError: no socket can be had, as when the process has too many files open.
    """
    return _connecting(kind, options, address)


def connector(kind: int, options: dict[int, int]) -> zmq.Socket[bytes]:
    """Return a socket that is to connect to many addresses, of IPv4 and IPv6, and to none yet.

    Raises:
        UnreachableError: no socket can be had, as when the process has too many files open.
    """
    return _connecting(kind, {int(zmq.IPV6): 1, **options}, None)


def _connecting(kind: int, options: dict[int, int], address: Address | None) -> zmq.Socket[bytes]:
    context = _client_contexts.borrow()
    socket = None
    try:
        socket = context.socket(kind)
        if address is None:
            _set_all(socket, {**_CONNECTING, **options})
        else:
            _configure(socket, {**_CONNECTING, **options}, address)
            socket.connect(f"tcp://{address.netloc}")
    except zmq.ZMQError as exc:
        if socket is not None:
            socket.close()
        if _client_contexts.give_back(context):
            context.term()
        where = "" if address is None else f" to {address}"
        raise UnreachableError(f"cannot connect{where}: {exc.strerror}") from exc
    return socket


async def end_connecting(socket: zmq.Socket[bytes]) -> None:
    """Close a socket made by `connect`; what it has not sent is dropped."""
    context = socket.context
    socket.close()
    if _client_contexts.give_back(context):
        await terminate(context)


def skip_parts_after(part: zmq.Frame, socket: zmq.Socket[bytes]) -> None:
    """Receive and forget what is left of the message that `part` belongs to."""
    while part.more:
        part = socket.recv(NOBLOCK, copy=False)


_TERMINATING_S: Final = 2.0


class _ClientContexts:
    """One context, thus one I/O thread, for all clients of a process; it ends with the last."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users: dict[zmq.Context[zmq.Socket[bytes]], int] = {}
        self._of_process: dict[int, zmq.Context[zmq.Socket[bytes]]] = {}

    def borrow(self) -> zmq.Context[zmq.Socket[bytes]]:
        """Return the context of this process; a forked child has none of its parent's threads."""
        with self._lock:
            context = self._of_process.get(os.getpid())
            if context is None:
                context = zmq.Context()
                context.set(zmq.MAX_SOCKETS, _MAX_CLIENT_SOCKETS)
                self._of_process[os.getpid()] = context
            self._users[context] = self._users.get(context, 0) + 1
            return context

    def give_back(self, context: zmq.Context[zmq.Socket[bytes]]) -> bool:
        """Count one user less; True when that was the last, who has to terminate it."""
        with self._lock:
            self._users[context] -= 1
            if self._users[context]:
                return False
            del self._users[context]
            del self._of_process[os.getpid()]
            return True


_client_contexts: Final = _ClientContexts()


async def terminate(context: zmq.Context[zmq.Socket[bytes]]) -> None:
    """Wait for the end of a context whose sockets are closed, but not for ever.

    In a thread of its own: the loop's executor would forget the work when this is cancelled early.
    Terminating waits inside ZMQ, where nothing can interrupt it; nobody's exit may hang on that.
    """
    loop = asyncio.get_running_loop()
    ended = loop.create_future()

    def work() -> None:
        context.term()
        with suppress(RuntimeError):  # the loop may be closed by now
            loop.call_soon_threadsafe(resolve, ended)

    threading.Thread(target=work, name="zmq-term", daemon=True).start()
    try:
        async with asyncio.timeout(_TERMINATING_S):
            await ended
    except TimeoutError:
        logger.warning("a ZMQ context does not end within %g s, left behind", _TERMINATING_S)


def _set_all(socket: zmq.Socket[bytes], options: dict[int, int]) -> None:
    for option, value in options.items():
        socket.set(option, value)


def _configure(socket: zmq.Socket[bytes], options: dict[int, int], address: Address) -> None:
    _set_all(socket, options)
    socket.set(zmq.IPV6, int(":" in address.host))


async def _ip_of(address: Address) -> str:
    """Return the IP address to bind: ZMQ looks up names for connecting only."""
    host = address.host
    if host == "*" or ":" in host or host.replace(".", "").isdigit():
        return host
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, None, family=stdlib_socket.AF_INET)
    except OSError as exc:
        raise UnreachableError(f"cannot listen on {address}: {exc.strerror}") from exc
    return str(found[0][4][0])
