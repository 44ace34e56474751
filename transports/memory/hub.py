"""Who listens under which name, in this process."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from transports.errors import UnreachableError

if TYPE_CHECKING:
    from transports.address import Address

MAX_BACKLOG: Final = 10_000
"""How many messages may wait for one receiver."""


T = TypeVar("T")


class Hub(Generic[T]):
    """Names to listeners; whoever waits for a name is told when somebody listens there."""

    def __init__(self) -> None:
        self._listeners: dict[str, tuple[T, asyncio.AbstractEventLoop]] = {}
        self._waiting: dict[str, set[asyncio.Future[None]]] = {}

    def enter(self, address: Address, listener: T) -> None:
        """Let `listener` have the name; UnreachableError when it is taken."""
        if address.host in self._listeners:
            raise UnreachableError(f"cannot listen on {address}: the name is already in use")
        self._listeners[address.host] = (listener, asyncio.get_running_loop())
        self.wake(address.host)

    def leave(self, address: Address, listener: T) -> None:
        """Free the name, if `listener` has it."""
        held = self._listeners.get(address.host)
        if held is not None and held[0] is listener:
            del self._listeners[address.host]

    def find(self, address: Address) -> T | None:
        """Return who listens there now, on the running loop."""
        held = self._listeners.get(address.host)
        if held is None:
            return None
        listener, loop = held
        if loop is not asyncio.get_running_loop():
            raise UnreachableError(f"{address} belongs to another event loop of this process")
        return listener

    def wake(self, name: str) -> None:
        """Let everyone who waits for a name look again."""
        for waiter in tuple(self._waiting.get(name, ())):
            waiter.get_loop().call_soon_threadsafe(_resolve, waiter)

    async def change(self, address: Address) -> None:
        """Wait until `wake` is called for the name."""
        waiter = asyncio.get_running_loop().create_future()
        waiters = self._waiting.setdefault(address.host, set())
        waiters.add(waiter)
        try:
            await waiter
        finally:
            waiters.discard(waiter)
            if not waiters:
                self._waiting.pop(address.host, None)


def _resolve(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
