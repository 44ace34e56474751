"""Keep a raw ZMQ socket drained by the running event loop.

A ZMQ socket's file descriptor says only that something happened since it was last looked at: it is
edge-triggered, and any call on the socket, a send too, may swallow the edge (zmq_getsockopt(3),
ZMQ_FD). So a turn ends only when a receive finds nothing, and whoever calls the socket outside of
a turn pokes the pump, which then looks once more.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

import zmq

if TYPE_CHECKING:
    from collections.abc import Callable

_BATCH: Final = 128
"""How many messages one turn takes, so that other callbacks of the loop are not starved."""

_BATCH_BYTES: Final = 128 << 10
"""Likewise: a turn ends after the message with which it has taken more. What messages cost those
who read them goes by their size, and 128 of 1 MiB are half a minute."""


class Pump:
    """Calls `receive` until it raises zmq.Again, whenever there may be something to receive.

    Args:
        socket: to be watched; whoever made it closes it, after `stop`.
        receive: takes one message from the socket, without blocking; raises zmq.Again if and only
            if the socket has none.
        on_idle: called when a turn has found the socket empty, to look at its state.
    """

    def __init__(
        self,
        socket: zmq.Socket[bytes],
        receive: Callable[[], None],
        on_idle: Callable[[], None] | None = None,
    ) -> None:
        self._socket = socket
        self._receive = receive
        self._on_idle = on_idle
        self._is_running = False
        self._is_awake = False
        self._left_bytes = 0

    def start(self) -> None:
        """Watch the socket, on the running loop."""
        self._loop = asyncio.get_running_loop()
        self._fd = int(self._socket.get(zmq.FD))
        self._loop.add_reader(self._fd, self._wake)
        self._is_running = True
        self.poke()

    def stop(self) -> None:
        """Watch no more; `receive` is not called again. To be called before the socket closes."""
        if self._is_running:
            self._is_running = False
            self._loop.remove_reader(self._fd)

    def poke(self) -> None:
        """Look at the socket soon: to be called after every call on it outside of a turn."""
        if not self._is_awake:
            self._is_awake = True
            self._loop.call_soon(self._turn)

    def charge(self, size: int) -> None:
        """Say how many bytes `receive` has taken; a turn that has taken many ends."""
        self._left_bytes -= size

    def events(self) -> int:
        """Return zmq.POLLIN and zmq.POLLOUT as they are now; looking may swallow the edge too."""
        events = int(self._socket.get(zmq.EVENTS))
        if events & zmq.POLLIN:
            self.poke()
        return events

    def _wake(self) -> None:
        if not self._is_awake:  # else a turn is on its way
            self._is_awake = True
            self._turn()

    def _turn(self) -> None:
        self._left_bytes = _BATCH_BYTES
        try:
            for _ in range(_BATCH):
                if not self._is_running:
                    return
                self._receive()
                if self._left_bytes < 0:
                    break
        except zmq.Again:
            self._is_awake = False
            if self._on_idle is not None:
                self._on_idle()
        except BaseException:
            self._loop.call_soon(self._turn)
            raise
        else:
            self._loop.call_soon(self._turn)


def resolve(waiter: asyncio.Future[None]) -> None:
    """Wake who waits, unless it was cancelled or woken already."""
    if not waiter.done():
        waiter.set_result(None)
