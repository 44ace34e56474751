"""An etcd client as far as a store needs one: calls with deadlines, streams, login, TLS, failover.

Knows nothing of discovery. It talks to one member at a time, and to the next one once that does not
answer. No request is repeated by itself: when no answer came, nobody knows whether it was done.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import grpc
import grpc.aio
from google.protobuf.message import Message

from discovery.stores.etcd import etcd_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator, Sequence

Q = TypeVar("Q", bound=Message)
A = TypeVar("A", bound=Message)

_OPTIONS = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.enable_retries", 0),
    ("grpc.enable_http_proxy", 0),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1000),  # also how long connecting may take
    ("grpc.max_reconnect_backoff_ms", 1000),
    # Both are needed to notice a peer that went silent: spec/etcd-clients.md, section 4.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.ping_timeout_ms", 5_000),
    ("grpc.http2.max_pings_without_data", 0),
)
_NEEDS_LEADER = ("hasleader", "true")  # a member that lost its leader ends our streams
_LAST_REASON = re.compile(r".*last error: UNKNOWN: \S+ (Failed to connect to remote host: )?")
_TOO_LARGE = "grpc: received message larger than max"
_OLD_LOGIN = frozenset(
    {"etcdserver: invalid auth token", "etcdserver: revision of auth store is old"}
)


class EtcdError(Exception):
    """etcd refused; its own words are the message."""


class UnreachableError(EtcdError):
    """No answer came: it may have been done, or not."""


class LeaseNotFoundError(EtcdError):
    """The lease has ended, or was never granted."""


class LeaseExistsError(EtcdError):
    """A lease of that id lives."""


class RevisionCompactedError(EtcdError):
    """The history at that revision is gone."""


class FutureRevisionError(EtcdError):
    """The store has not come to that revision."""


class DeniedError(EtcdError):
    """Who we are, or are not, may not do that."""


class ExhaustedError(EtcdError):
    """etcd has no room, or too much to do."""


_BY_TEXT: dict[str, type[EtcdError]] = {
    "etcdserver: requested lease not found": LeaseNotFoundError,
    "etcdserver: lease already exists": LeaseExistsError,
    "etcdserver: mvcc: required revision has been compacted": RevisionCompactedError,
    "etcdserver: mvcc: required revision is a future revision": FutureRevisionError,
    "etcdserver: authentication failed, invalid user ID or password": DeniedError,
    "etcdserver: user name is empty": DeniedError,
}
_BY_CODE: dict[grpc.StatusCode, type[EtcdError]] = {
    grpc.StatusCode.PERMISSION_DENIED: DeniedError,
    grpc.StatusCode.UNAUTHENTICATED: DeniedError,
    grpc.StatusCode.RESOURCE_EXHAUSTED: ExhaustedError,
    grpc.StatusCode.INVALID_ARGUMENT: EtcdError,
    grpc.StatusCode.FAILED_PRECONDITION: EtcdError,
    grpc.StatusCode.OUT_OF_RANGE: EtcdError,
    grpc.StatusCode.NOT_FOUND: EtcdError,
    grpc.StatusCode.UNIMPLEMENTED: EtcdError,
}


@dataclass(frozen=True, slots=True)
class Login:
    """A name with its password."""

    user: str
    password: str


@dataclass(frozen=True, slots=True)
class Method(Generic[Q, A]):
    """One of etcd's calls, by the types of what is asked and answered."""

    path: str
    question: type[Q]
    answer: type[A]


RANGE = Method("/etcdserverpb.KV/Range", pb.RangeRequest, pb.RangeResponse)
TXN = Method("/etcdserverpb.KV/Txn", pb.TxnRequest, pb.TxnResponse)
WATCH = Method("/etcdserverpb.Watch/Watch", pb.WatchRequest, pb.WatchResponse)
GRANT = Method("/etcdserverpb.Lease/LeaseGrant", pb.LeaseGrantRequest, pb.LeaseGrantResponse)
REVOKE = Method("/etcdserverpb.Lease/LeaseRevoke", pb.LeaseRevokeRequest, pb.LeaseRevokeResponse)
KEEP_ALIVE = Method(
    "/etcdserverpb.Lease/LeaseKeepAlive", pb.LeaseKeepAliveRequest, pb.LeaseKeepAliveResponse
)
LEASES = Method("/etcdserverpb.Lease/LeaseLeases", pb.LeaseLeasesRequest, pb.LeaseLeasesResponse)
STATUS = Method("/etcdserverpb.Maintenance/Status", pb.StatusRequest, pb.StatusResponse)
_AUTHENTICATE = Method(
    "/etcdserverpb.Auth/Authenticate", pb.AuthenticateRequest, pb.AuthenticateResponse
)


class Stream(Generic[Q, A]):
    """A call under way in both directions. One task at a time sends, one receives."""

    def __init__(
        self, call: grpc.aio.StreamStreamCall[Q, A], on_heard: Callable[[float], None]
    ) -> None:
        self._call: grpc.aio.StreamStreamCall[Q, A] | None = call
        self._on_heard = on_heard
        self._is_hung_up = False

    async def send(self, message: Q) -> None:
        """Send a message. Raises `EtcdError` when the call has ended."""
        with self._ends():
            await self._living.write(message)

    async def receive(self) -> A:
        """Return the next message. Raises `EtcdError` when the call has ended."""
        with self._ends():
            message = await self._living.read()
        if message is grpc.aio.EOF:
            raise UnreachableError("the member ended the call")
        self._on_heard(0.0)
        return message  # type: ignore[return-value] # EOF is an instance, which types cannot say

    def hang_up(self) -> None:
        """End the call from outside: whoever sends or receives is told that it has ended."""
        self._is_hung_up = True
        if self._call:
            self._call.cancel()

    def end(self) -> None:
        """End the call, and let go of it: as long as anything has it, its connection is open."""
        if self._call:
            self._call.cancel()
            self._call = None

    @property
    def _living(self) -> grpc.aio.StreamStreamCall[Q, A]:
        if self._call is None:
            raise UnreachableError("the call has ended")
        return self._call

    @contextmanager
    def _ends(self) -> Iterator[None]:
        """Say how the call ended, without gRPC's frames: they have the call."""
        try:
            yield
        except grpc.aio.AioRpcError as error:
            raise _error_of(error) from error.with_traceback(None)
        except (grpc.aio.UsageError, asyncio.InvalidStateError) as error:
            raise UnreachableError("the call has ended") from error.with_traceback(None)
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if not self._is_hung_up or (task and task.cancelling()):
                raise
            raise UnreachableError("the member was silent") from error.with_traceback(None)


class _Connection:
    """A channel to one member; given up, it is closed with the last call on it.

    Nothing else would close it: errors and frames that refer to each other keep it, and a daemon
    looks for such cycles very seldom.
    """

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._channel = channel
        self._calls: dict[str, Any] = {}
        self._under_way = 0
        self._is_given_up = False

    def callable(self, method: Method[Q, A], kind: str) -> Any:  # noqa: ANN401 - grpc's own
        """Return what makes such calls, of the kind "unary_unary" or "stream_stream"."""
        found = self._calls.get(method.path)
        if found is None:
            found = self._calls[method.path] = getattr(self._channel, kind)(
                method.path,
                request_serializer=method.question.SerializeToString,
                response_deserializer=method.answer.FromString,
            )
        return found

    @asynccontextmanager
    async def in_use(self) -> AsyncGenerator[None]:
        """Stay open while the block runs."""
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1
            if self._is_given_up and not self._under_way:
                await self.aclose()

    def give_up(self) -> None:
        """Let the calls end that are under way, of which there is one, and no other begin."""
        self._is_given_up = True

    async def aclose(self) -> None:
        """End all calls. Safe to call twice."""
        await self._channel.close()


class EtcdClient:
    """Calls to one cluster. To be used, and closed, within one event loop.

    Args:
        endpoints: "host:port" of the members, at least one.
        tls: roots, private key and certificate for encryption, in PEM; None for none.
        login: who we are; None where nobody has to say.
        within_s: how long a call may take unless it says otherwise.
    """

    def __init__(
        self,
        endpoints: Sequence[str],
        *,
        tls: tuple[bytes | None, bytes | None, bytes | None] | None = None,
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
        self._connections: dict[str, _Connection] = {}
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
            stream: Stream[Q, A] = Stream(begin(metadata=self._metadata()), self.on_heard)
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
                found = _error_of(error, endpoint)
                if isinstance(found, UnreachableError):
                    self._lost(endpoint, connection)
                else:
                    self.on_heard(loop.time() - asked_at)
                raise found from error.with_traceback(None)  # gRPC's frames have the call
        self.on_heard(loop.time() - asked_at)
        return answer

    def _lost(self, endpoint: str, connection: _Connection) -> None:
        """Go on with the next member, and come back to this one over a new connection.

        gRPC would wait for a silent one for a quarter of a minute.
        """
        self.on_lost()
        connection.give_up()
        if self._connections.get(endpoint) is connection:
            del self._connections[endpoint]
        if endpoint == self.endpoint:
            self._at = (self._at + 1) % len(self._endpoints)

    async def _log_in(self) -> None:
        if self._login is None:
            return
        request = pb.AuthenticateRequest(name=self._login.user, password=self._login.password)
        self._token = (await self._call(_AUTHENTICATE, request, None)).token

    def _metadata(self) -> tuple[tuple[str, str], ...]:
        return (_NEEDS_LEADER, ("token", self._token)) if self._token else (_NEEDS_LEADER,)

    def _connection(self) -> _Connection:
        """The connection to the member that calls go to now."""
        found = self._connections.get(self.endpoint)
        if found is None:
            found = self._connections[self.endpoint] = _Connection(self._channel())
        return found

    def _channel(self) -> grpc.aio.Channel:
        if self._tls is None:
            return grpc.aio.insecure_channel(self.endpoint, options=_OPTIONS)
        roots, key, certificate = self._tls
        credentials = grpc.ssl_channel_credentials(roots, key, certificate)
        return grpc.aio.secure_channel(self.endpoint, credentials, options=_OPTIONS)


def _error_of(error: grpc.aio.AioRpcError, endpoint: str = "") -> EtcdError:
    text, code = error.details() or "", error.code()
    found = _BY_TEXT.get(text) or _BY_CODE.get(code, UnreachableError)
    if text.startswith(_TOO_LARGE):
        found = EtcdError
    if found is UnreachableError:
        reason = _LAST_REASON.sub("", text) or code.name
        text = f"{endpoint}: {reason}" if endpoint else reason
    return found(text)


def _ignore(_: float) -> None:
    """Tell nobody."""
