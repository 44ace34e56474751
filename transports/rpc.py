"""The request seam: one request, any number of replies, matched by a correlation number."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, Self, TypeAlias

if TYPE_CHECKING:
    from types import TracebackType

    from transports.address import Address

Reply: TypeAlias = Callable[[bytes], None]
"""Sends one reply. May be called many times, and later, on the server's loop."""

Handler: TypeAlias = Callable[[bytes, Reply], None]
"""Takes one request. It neither raises nor blocks, and runs on the server's loop."""

OnReply: TypeAlias = Callable[[int, bytes], None]
"""Takes the correlation and the payload of one reply, on the client's loop; as a Handler does."""


class RpcServer(Protocol):
    """Answers requests at one address, from `async with` until its end.

    Requests of one client reach the handler in the order they were sent.
    A reply reaches the client that asked, with the correlation it asked with.
    Several replies to one request arrive in the order they were made.
    Payloads are not altered, whatever their bytes.
    For a client that does not keep up replies are dropped, and memory stays bounded.
    A reply made after its client or the server has gone does nothing.
    Garbage from one client is counted in `rejected` and does not hurt another.
    Entering at an address that is taken raises UnreachableError naming it; where several servers
    can share one, as on NATS, each client asks one of them as long as that is there.
    Replies made before the end of the block reach clients that read them at once.
    After the block the address is free, and closing again does nothing.
    A server entered after another one left, at the same address, is reached by the same clients.
    `is_cut_off` is False from its entering to its end, as long as clients can reach it.
    """

    @property
    def address(self) -> Address:
        """Where it listens; a port given as 0 is the port found, once entered."""
        ...

    @property
    def rejected(self) -> int:
        """How many messages were dropped because they are not requests."""
        ...

    @property
    def is_cut_off(self) -> bool:
        """Whether nobody can reach it now, as while the NATS server between is away."""
        ...

    async def __aenter__(self) -> Self:
        """Start to listen."""
        ...

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Stop, and give everything back."""
        ...


class RpcClient(Protocol):
    """Asks one server, from `async with` until its end.

    `send` never blocks.
    `send` raises UnreachableError while no connection is established.
    `send` raises UnreachableError when too much waits to be sent.
    What `send` refused is never delivered.
    Replies arrive in the order in which the server made them, never from inside `send`.
    `ready` returns once a connection is established, also when the server comes later.
    `ready` raises UnreachableError when the client is closed meanwhile.
    After the block no reply arrives, `send` raises UnreachableError, closing again does nothing.
    """

    @property
    def rejected(self) -> int:
        """How many messages were dropped because they are not replies."""
        ...

    async def __aenter__(self) -> Self:
        """Start to connect; returns before a connection is established."""
        ...

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Drop what was not sent, and give everything back."""
        ...

    def send(self, correlation: int, payload: bytes) -> None:
        """Send one request.

        Args:
            correlation: 0 to 2^64-1, chosen by the caller; its replies carry it.
            payload: any bytes; transports of several processes carry at least 1 MiB.

        Raises:
            UnreachableError: it was not sent, and will not be.
        """
        ...

    async def ready(self) -> None:
        """Wait until a connection is established."""
        ...
