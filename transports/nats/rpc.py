"""Requests over NATS.

    {prefix}.rpc             "who serves?": one queue group over all servers, so that one answers
    {prefix}.rpc.{server}    requests to one server
    _INBOX.{client}.{number} its replies: the correlation in hexadecimal

A client asks one server as long as that is there: streams follow one daemon, and what a daemon has
answered is in its lists. NATS tells a sender that nobody gets what it sends; then another is found.
"""

from __future__ import annotations

import asyncio
import secrets
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final, Self

from transports.errors import UnreachableError
from transports.nats.connection import NatsConnection
from transports.nats.url import parse_nats_address

if TYPE_CHECKING:
    from types import TracebackType

    from transports.address import Address
    from transports.nats.connection import Received
    from transports.rpc import Handler, OnReply, RpcClient, RpcServer

_GROUP: Final = "servers"
_WHO: Final = "who"
_CORRELATION_DIGITS: Final = 16
_ENTER_S: Final = 5.0
_LAST_REPLIES_S: Final = 0.3
_ASK_AGAIN_S: Final = 0.3
_NOBODY_PAUSE_S: Final = 0.05
_ID_BYTES: Final = 8


class NatsRpcServer:
    """An RpcServer, one of those that share the address."""

    def __init__(self, address: Address, handler: Handler) -> None:
        self.address = address
        self.rejected = 0
        self._handler = handler
        url = parse_nats_address(address)
        self._base = f"{url.prefix}.rpc"
        self._own = f"{self._base}.{secrets.token_hex(_ID_BYTES)}"
        self._nats = NatsConnection(url)
        self._is_open = False

    @property
    def is_cut_off(self) -> bool:
        """Whether there is no connection to NATS; see RpcServer."""
        return self._is_open and not self._nats.is_up

    async def __aenter__(self) -> Self:
        """Subscribe."""
        await self._nats.__aenter__()
        try:
            await self._nats.up_within(_ENTER_S)
            self._nats.subscribe(self._own, self._receive)
            self._nats.subscribe(self._base, self._tell, queue=_GROUP)
            await self._nats.flushed(_ENTER_S)
        except UnreachableError as error:
            await self._nats.__aexit__()
            raise UnreachableError(f"cannot listen on {self.address}: {error}") from error
        except BaseException:
            await self._nats.__aexit__()
            raise
        self._is_open = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Let the last replies leave, for at most 0.3 seconds."""
        try:
            if self._is_open:
                self._is_open = False
                await self._nats.flushed(_LAST_REPLIES_S)
        finally:
            await self._nats.__aexit__()

    def _tell(self, message: Received) -> None:
        if message.reply and not message.payload:
            self._send(message.reply, self._own.encode())
        else:
            self.rejected += 1

    def _receive(self, message: Received) -> None:
        correlation = message.reply.rpartition(".")[2]
        if _number(correlation) is None:
            self.rejected += 1
        else:
            self._handler(message.payload, partial(self._reply, message.reply))

    def _reply(self, inbox: str, payload: bytes) -> None:
        if self._is_open:
            self._send(inbox, payload)

    def _send(self, subject: str, payload: bytes) -> None:
        with suppress(UnreachableError):  # as for any client that has gone, or does not keep up
            self._nats.send(subject, payload)


class NatsRpcClient:
    """An RpcClient of one of the servers that share an address."""

    def __init__(self, address: Address, on_reply: OnReply) -> None:
        self.rejected = 0
        self._address = address
        self._on_reply = on_reply
        url = parse_nats_address(address)
        self._base = f"{url.prefix}.rpc"
        self._inbox = f"_INBOX.{secrets.token_hex(_ID_BYTES)}"
        self._nats = NatsConnection(url)
        self._server: str | None = None
        self._is_open = False
        self._is_nobody = False
        self._changed = asyncio.Event()
        self._waiting: set[asyncio.Future[None]] = set()
        self._finding: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Begin to connect."""
        self._nats.subscribe(f"{self._inbox}.*", self._receive)
        await self._nats.__aenter__()
        self._is_open = True
        self._finding = asyncio.get_running_loop().create_task(self._keep_found())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Drop the connection."""
        self._is_open = False
        self._wake()
        finding, self._finding = self._finding, None
        try:
            if finding is not None:
                finding.cancel()
                await asyncio.wait([finding])
        finally:
            await self._nats.__aexit__()

    def send(self, correlation: int, payload: bytes) -> None:
        """Send one request; see RpcClient."""
        if not self._is_open:
            raise self._is_closed()
        try:
            if self._server is None:
                raise UnreachableError("nobody serves there")  # noqa: TRY301
            inbox = f"{self._inbox}.{correlation:0{_CORRELATION_DIGITS}x}"
            self._nats.send(self._server, payload, inbox)
        except UnreachableError as error:
            raise type(error)(f"cannot send to {self._address}: {error}") from None

    async def ready(self) -> None:
        """Wait for a server; see RpcClient."""
        while self._is_open and not (self._server and self._nats.is_up):
            waiter = asyncio.get_running_loop().create_future()
            self._waiting.add(waiter)
            try:
                await waiter
            finally:
                self._waiting.discard(waiter)
        if not self._is_open:
            raise self._is_closed()

    async def _keep_found(self) -> None:
        """Ask who serves, until somebody answers; again when that one is gone."""
        while True:
            await self._nats.up()
            self._wake()
            while self._server is None and self._nats.is_up:
                self._is_nobody = False
                await self._ask()
            if self._server is not None:
                self._changed.clear()
                await self._changed.wait()

    async def _ask(self) -> None:
        """Ask once: who was asked may hang, and the next one is another, by chance."""
        self._changed.clear()
        try:
            self._nats.send(self._base, b"", f"{self._inbox}.{_WHO}")
        except UnreachableError:  # also if too much waits to be sent, which takes some time
            await asyncio.sleep(_NOBODY_PAUSE_S)
            return
        try:
            async with asyncio.timeout(_ASK_AGAIN_S):
                await self._changed.wait()
        except TimeoutError:
            return
        if self._is_nobody:
            await asyncio.sleep(_NOBODY_PAUSE_S)

    def _receive(self, message: Received) -> None:
        token = message.subject.removeprefix(f"{self._inbox}.")
        if message.is_nobody:
            if token == _WHO:
                self._is_nobody = True
            else:
                self._server = None
            self._changed.set()
        elif token == _WHO:
            self._found(message.payload)
        elif (number := _number(token)) is not None:
            self._on_reply(number, message.payload)
        else:
            self.rejected += 1

    def _found(self, payload: bytes) -> None:
        server = payload.decode(errors="replace")
        if not server.startswith(f"{self._base}."):
            self.rejected += 1
        elif self._server is None:
            self._server = server
            self._changed.set()
            self._wake()

    def _wake(self) -> None:
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_result(None)

    def _is_closed(self) -> UnreachableError:
        return UnreachableError(f"the client of {self._address} is closed")


def _number(text: str) -> int | None:
    """Return the correlation that the end of an inbox says, None for another text."""
    if len(text) != _CORRELATION_DIGITS:
        return None
    try:
        return int(text, 16)
    except ValueError:
        return None


_: type[RpcServer] = NatsRpcServer
__: type[RpcClient] = NatsRpcClient
