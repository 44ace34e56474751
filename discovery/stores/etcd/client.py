"""An etcd client as far as a store needs one: calls with deadlines, streams, login, TLS, failover.

Knows nothing of discovery. It talks to one member at a time, and to the next one once that does not
answer. No request is repeated by itself: when no answer came, nobody knows whether it was done.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import grpc.aio

from discovery.stores.etcd import etcd_pb2 as pb
from discovery.stores.etcd.calls import AUTHENTICATE, MemberConnection, Stream
from discovery.stores.etcd.refusals import DeniedError, UnreachableError, etcd_error

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence

    from discovery.stores.etcd.calls import A, Method, Q, Tls

_NEEDS_LEADER = ("hasleader", "true")  # a member that lost its leader ends our streams
_OLD_LOGIN = frozenset(
    {"etcdserver: invalid auth token", "etcdserver: revision of auth store is old"}
)


@dataclass(frozen=True, slots=True)
class Login:
    """A name with its password."""

    user: str
    password: str


class EtcdClient:
    """Calls to one cluster. To be used, and closed, within one event loop.

    Args:
        endpoints: "host:port" of the members, at least one.
        tls: what to encrypt with; None for no encryption.
        login: who we are; None where nobody has to say.
        within_s: how long a call may take unless it says otherwise.
    """

    def __init__(
        self,
        endpoints: Sequence[str],
        *,
        tls: Tls | None = None,
        login: Login | None = None,
        within_s: float = 2.0,
    ) -> None:
        self.on_heard: Callable[[float], None] = _ignore
        """Is told each time that etcd answers, after how many seconds."""
        self.on_lost: Callable[[], None] = lambda: None
        """Is told each time that it does not."""
        self._endpoints = tuple(endpoints)
        self._tls, self._login, self._within_s = tls, login, within_s
        self._at = 0
        self._connections: dict[str, MemberConnection] = {}
        self._token: str | None = None

    @property
    def endpoint(self) -> str:
        """The member that calls go to now."""
        return self._endpoints[self._at]

    async def call(self, method: Method[Q, A], request: Q, *, within_s: float | None = None) -> A:
        """Ask, and return the answer. Raises `EtcdError`."""
        if self._login is not None and self._token is None:
            await self._log_in()
        try:
            return await self._call(method, request, within_s)
        except DeniedError as error:
            if self._login is None or str(error) not in _OLD_LOGIN:
                raise
        self._token = None
        await self._log_in()
        return await self._call(method, request, within_s)  # what was refused was not done

    @asynccontextmanager
    async def stream(self, method: Method[Q, A]) -> AsyncGenerator[Stream[Q, A]]:
        """Open a call in both directions, which ends with the block. Raises `EtcdError`."""
        if self._login is not None and self._token is None:
            await self._log_in()
        endpoint, connection = self.endpoint, self._connection()
        async with connection.in_use():
            begin = connection.callable(method, "stream_stream")
            stream: Stream[Q, A] = Stream(
                begin(metadata=self._metadata()), connection, self.on_heard
            )
            try:
                yield stream
            except UnreachableError:
                self._lost(endpoint, connection)
                raise
            except DeniedError:
                self._token = None
                raise
            finally:
                stream.end()

    async def aclose(self) -> None:
        """Close all connections. Safe to call twice."""
        connections, self._connections = self._connections, {}
        for connection in connections.values():
            await connection.aclose()

    async def _call(self, method: Method[Q, A], request: Q, within_s: float | None) -> A:
        endpoint, connection = self.endpoint, self._connection()
        call = connection.callable(method, "unary_unary")
        within_s = within_s or self._within_s
        loop = asyncio.get_running_loop()
        asked_at = loop.time()
        async with connection.in_use():
            try:
                answer: A = await call(request, timeout=within_s, metadata=self._metadata())
            except grpc.aio.AioRpcError as error:
                found = etcd_error(error, endpoint)
                if isinstance(found, UnreachableError):
                    self._lost(endpoint, connection)
                else:
                    self.on_heard(loop.time() - asked_at)
                raise found from error.with_traceback(None)  # gRPC's frames have the call
        self.on_heard(loop.time() - asked_at)
        return answer

    def _lost(self, endpoint: str, connection: MemberConnection) -> None:
        """Go on with the next member, and come back to this one over a new connection.

        gRPC would wait for a silent one for a quarter of a minute. The new one is there before the
        old one goes: with the last one gRPC lets go of what it works with, and if that cannot be
        made anew, since no file may be opened, it ends the process.
        """
        self.on_lost()
        connection.give_up()
        if self._connections.get(endpoint) is not connection:
            return  # another call was told before: what is now there is newer
        self._connections[endpoint] = MemberConnection(endpoint, self._tls)
        if endpoint == self.endpoint:
            self._at = (self._at + 1) % len(self._endpoints)

    async def _log_in(self) -> None:
        if self._login is None:
            return
        request = pb.AuthenticateRequest(name=self._login.user, password=self._login.password)
        self._token = (await self._call(AUTHENTICATE, request, None)).token

    def _metadata(self) -> tuple[tuple[str, str], ...]:
        return (_NEEDS_LEADER, ("token", self._token)) if self._token else (_NEEDS_LEADER,)

    def _connection(self) -> MemberConnection:
        """The connection to the member that calls go to now."""
        found = self._connections.get(self.endpoint)
        if found is None:
            found = self._connections[self.endpoint] = MemberConnection(self.endpoint, self._tls)
        return found


def _ignore(_: float) -> None:
    """Tell nobody."""
