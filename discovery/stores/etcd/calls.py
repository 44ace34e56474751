"""Calls to one member of etcd: what they are, streams, and the connection that carries them."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import grpc
import grpc.aio
from google.protobuf.message import Message

from discovery.stores.etcd import etcd_pb2 as pb
from discovery.stores.etcd.refusals import UnreachableError, etcd_error

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator

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
    # Both are needed to notice a peer that went silent.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.ping_timeout_ms", 5_000),
    ("grpc.http2.max_pings_without_data", 0),
)


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
AUTHENTICATE = Method(
    "/etcdserverpb.Auth/Authenticate", pb.AuthenticateRequest, pb.AuthenticateResponse
)


class Stream(Generic[Q, A]):
    """A call under way in both directions. One task at a time sends, one receives."""

    def __init__(
        self,
        call: grpc.aio.StreamStreamCall[Q, A],
        connection: MemberConnection,
        on_heard: Callable[[float], None],
    ) -> None:
        self._call: grpc.aio.StreamStreamCall[Q, A] | None = call
        self._connection, self._on_heard = connection, on_heard
        self._is_hung_up = False

    @property
    def is_left_behind(self) -> bool:
        """Other calls go elsewhere by now; this one may go on, and should follow when it can."""
        return self._connection.is_given_up

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
            raise etcd_error(error) from error.with_traceback(None)
        except (grpc.aio.UsageError, asyncio.InvalidStateError) as error:
            raise UnreachableError("the call has ended") from error.with_traceback(None)
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if not self._is_hung_up or (task and task.cancelling()):
                raise
            raise UnreachableError("the member was silent") from error.with_traceback(None)


@dataclass(frozen=True, slots=True)
class Tls:
    """Roots, private key and certificate for encryption, in PEM; None is gRPC's default."""

    roots: bytes | None
    key: bytes | None
    certificate: bytes | None


class MemberConnection:
    """A channel to one member; given up, it is closed with the last call on it.

    Nothing else would close it: errors and frames that refer to each other keep it, and a daemon
    looks for such cycles very seldom.
    """

    def __init__(self, endpoint: str, tls: Tls | None) -> None:
        if tls is None:
            self._channel = grpc.aio.insecure_channel(endpoint, options=_OPTIONS)
        else:
            credentials = grpc.ssl_channel_credentials(tls.roots, tls.key, tls.certificate)
            self._channel = grpc.aio.secure_channel(endpoint, credentials, options=_OPTIONS)
        self._calls: dict[str, Any] = {}
        self._under_way = 0
        self.is_given_up = False

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
            if self.is_given_up and not self._under_way:
                await self.aclose()

    def give_up(self) -> None:
        """Let the calls end that are under way, of which there is one, and no other begin."""
        self.is_given_up = True

    async def aclose(self) -> None:
        """End all calls. Safe to call twice."""
        await self._channel.close()
