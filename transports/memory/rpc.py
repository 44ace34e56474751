"""Requests and replies inside one event loop."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Final, Self

from transports.errors import BacklogFullError, UnreachableError
from transports.memory.hub import MAX_BACKLOG, Hub

if TYPE_CHECKING:
    from types import TracebackType

    from transports.address import Address
    from transports.rpc import Handler, OnReply, RpcClient, RpcServer


class MemoryRpcServer:
    """An RpcServer reached by its name; nothing is ever rejected."""

    is_cut_off: Final = False

    def __init__(self, address: Address, handler: Handler) -> None:
        self.address: Final = address
        self.rejected: Final = 0
        self._handler = handler
        self._is_open = False

    async def __aenter__(self) -> Self:
        """Take the name."""
        _servers.enter(self.address, self)
        self._is_open = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Give the name back; what was not handled yet is dropped."""
        self._is_open = False
        _servers.leave(self.address, self)

    def take(self, client: MemoryRpcClient, correlation: int, payload: bytes) -> None:
        """Handle one request, if still open."""
        if self._is_open:
            self._handler(payload, partial(self._reply, client, correlation))

    def _reply(self, client: MemoryRpcClient, correlation: int, payload: bytes) -> None:
        if self._is_open:
            client.take(correlation, payload)


class MemoryRpcClient:
    """An RpcClient of a name."""

    def __init__(self, address: Address, on_reply: OnReply) -> None:
        self.rejected: Final = 0
        self._address = address
        self._on_reply = on_reply
        self._requests = 0
        self._replies = 0
        self._is_open = False

    async def __aenter__(self) -> Self:
        """Be ready to ask."""
        self._is_open = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Drop requests and replies on their way."""
        self._is_open = False
        _servers.wake(self._address.host)

    def send(self, correlation: int, payload: bytes) -> None:
        """Send one request; see RpcClient."""
        server = _servers.find(self._address) if self._is_open else None
        if server is None:
            raise UnreachableError(_nobody(self._address, is_open=self._is_open))
        if self._requests >= MAX_BACKLOG:
            raise BacklogFullError(f"{MAX_BACKLOG} requests wait for {self._address} already")
        self._requests += 1
        asyncio.get_running_loop().call_soon(self._arrive, server, correlation, payload)

    async def ready(self) -> None:
        """Wait until somebody listens; see RpcClient."""
        while self._is_open and _servers.find(self._address) is None:
            await _servers.change(self._address)
        if not self._is_open:
            raise UnreachableError(_nobody(self._address, is_open=False))

    def take(self, correlation: int, payload: bytes) -> None:
        """Let one reply arrive, soon; drop it when too many are on their way."""
        if self._is_open and self._replies < MAX_BACKLOG:
            self._replies += 1
            asyncio.get_running_loop().call_soon(self._answer, correlation, payload)

    def _arrive(self, server: MemoryRpcServer, correlation: int, payload: bytes) -> None:
        self._requests -= 1
        if self._is_open:
            server.take(self, correlation, payload)

    def _answer(self, correlation: int, payload: bytes) -> None:
        self._replies -= 1
        if self._is_open:
            self._on_reply(correlation, payload)


def _nobody(address: Address, *, is_open: bool) -> str:
    return f"nobody listens at {address}" if is_open else f"the client of {address} is closed"


_servers: Final[Hub[MemoryRpcServer]] = Hub()

_: type[RpcServer] = MemoryRpcServer
__: type[RpcClient] = MemoryRpcClient
