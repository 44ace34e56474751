"""Discovery for an application: register, list, watch, over a daemon or embedded, all alike."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Self, cast, overload

from discovery.arguments import (
    check_seconds,
    checked_id,
    checked_query,
    client_name,
    codec_of,
    is_embedded,
    minted_id,
)
from discovery.background import Hosted, background_io, forked
from discovery.bookkeys import BookQuery
from discovery.errors import (
    FailedPreconditionError,
    InvalidArgumentError,
    PermissionDeniedError,
    UnavailableError,
)
from discovery.events import Cause, check_last_words
from discovery.fields import Fields
from discovery.ids import EventChannelId
from discovery.keeper import Ticket
from discovery.listing import Listing
from discovery.modelname import check_tenant
from discovery.models.asking import Asking
from discovery.models.catalog import Catalog
from discovery.models.claims import Claims
from discovery.models.daemonartifacts import DaemonArtifacts
from discovery.names import check_instance_id, shown
from discovery.participant import Participant, ParticipantSettings
from discovery.spec import EndpointSpec, EventChannelSpec, ModelSpec, Spec
from discovery.watch import WatchStream

if TYPE_CHECKING:
    from collections.abc import Mapping

    from discovery.background import Background
    from discovery.connection import ConnectionState
    from discovery.ids import InstanceId
    from discovery.instance import (
        EndpointInstance,
        EventChannelInstance,
        Instance,
        ModelInstance,
    )
    from discovery.names import Scope
    from discovery.query import EndpointQuery, EventChannelQuery, ModelQuery, Query
    from discovery.registrations import Failure

_MIN_TTL_S, _MAX_TTL_S = 1.0, 3600.0
_MAX_TIMEOUT_S = 86_400.0


class Discovery:
    """One process's way into a registry; made by `connect`, used inside `async with`.

    Leaving the block takes back all that was registered, at once. Methods that ask a daemon raise
    `UnavailableError` or `DeadlineExceededError` when none answers within `request_timeout_s`.
    """

    def __init__(self, settings: ParticipantSettings, *, rng: random.Random) -> None:
        self._settings = settings
        self._rng = rng
        self._background: Background | None = None
        self._participant: Participant | None = None
        self._is_left = False
        self._streams: set[WatchStream] = set()
        here, io = (lambda: self._here), (lambda: self._io)
        tenant = settings.tenant
        self._claims = Claims(Asking(here, io), self._follow)
        asking = Asking(here, io, tenant)  # whoever pulls sees what was just registered
        self._catalog = Catalog(asking, self._follow, tenant)
        self._artifacts = DaemonArtifacts(asking)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        if self._background is not None:
            raise FailedPreconditionError(
                "entered already: each `async with` takes its own connect"
            )
        async with AsyncExitStack() as stack:
            self._background = background = await stack.enter_async_context(background_io())
            participant = Participant(self._settings, background, rng=self._rng)
            hosted = Hosted(background, participant)
            stack.push_async_callback(hosted.aclose)
            self._participant = await hosted.enter()
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._is_left = True
        for stream in list(self._streams):
            await stream.aclose()
        await self._stack.aclose()

    # ---- about this process

    @property
    def url(self) -> str:
        """Where the registry is, as `connect` was told."""
        return self._settings.url

    @property
    def instance_id(self) -> int:
        """Under which this process registers endpoints and models; also the id of its lease."""
        return self._settings.instance_id

    @property
    def lease_ttl_s(self) -> float:
        """Seconds our registrations outlive this process; after the first one, what was granted."""
        return self._here.session.ttl_s

    @property
    def state(self) -> ConnectionState:
        """Whether a daemon answers: `connecting`, `connected`, `disconnected` or `closed`."""
        return self._here.connection.state

    @property
    def failures(self) -> Sequence[Failure]:
        """What was registered and is no more: refused when put back after a loss, or drained."""
        return tuple(self._here.session.failures)

    # ---- registering

    @overload
    async def register(self, spec: EndpointSpec) -> EndpointInstance: ...
    @overload
    async def register(self, spec: ModelSpec) -> ModelInstance: ...
    @overload
    async def register(self, spec: EventChannelSpec) -> EventChannelInstance: ...
    async def register(self, spec: Spec) -> Instance:
        """Register one spec, or replace what this process registered under the same id.

        Raises `ModelConflictError` when the endpoint serves another model, `AlreadyExistsError`,
        `InvalidArgumentError`.
        """
        return (await self.register_all([spec]))[0]

    async def register_all(self, specs: Sequence[Spec]) -> Sequence[Instance]:
        """Register `specs` as one atomic unit: all at one revision, or none. Instances in order."""
        if not isinstance(specs, Sequence) or not specs:
            raise InvalidArgumentError(f"specs: expected a list of one or more, got {shown(specs)}")
        named = [self._named(spec) for spec in specs]
        within_s = self._settings.request_timeout_s
        io, keeper, ticket = self._io, self._here.keeper, Ticket()
        try:
            revision = await io.run(keeper.register(named, within_s, ticket))
        except asyncio.CancelledError:
            io.call(keeper.retract, ticket)  # it may be done, and only word of it be on its way
            raise
        # A copy: what the caller does with its instances must not change what is registered again.
        return [replace(spec).instance(self.instance_id, revision) for spec in named]

    async def unregister(self, what: Instance | InstanceId, detail: str | None = None) -> None:
        """Remove what this process registered. Removing it twice is no error.

        Watchers are told `detail`: at most 200 printable characters. Raises `PermissionDeniedError`
        for what another process registered.
        """
        identity = checked_id(what)
        if not isinstance(identity, EventChannelId) and identity.instance_id != self.instance_id:
            raise PermissionDeniedError(f"{identity}: registered by another process")
        within_s = self._settings.request_timeout_s
        check_last_words("unregister", Cause.UNREGISTERED, detail)
        await self._io.run(self._here.keeper.unregister([identity], within_s, detail))

    async def revoke(self, cause: Cause = Cause.UNREGISTERED, detail: str | None = None) -> None:
        """Take back all that is registered, at once, and tell watchers why.

        This process can register nothing more through this connection. If no daemon takes the lease
        back within a second, it ends with its TTL. Leaving the block does the same, without a word.

        Args:
            cause: `UNREGISTERED`, or `CRASHED` for whoever watches over the process that serves.
            detail: evidence, such as an exit status; at most 200 printable characters.
        """
        why = check_last_words("revoke", cause, detail)
        await self._io.run(self._here.revoke(why, detail))

    # ---- models

    @property
    def catalog(self) -> Catalog:
        """Which models exist, as the tenant of this connection sees them."""
        return self._catalog

    @property
    def claims(self) -> Claims:
        """Who downloads which model."""
        return self._claims

    @property
    def artifacts(self) -> DaemonArtifacts:
        """The files of models on the node of the daemon that answers."""
        return self._artifacts

    # ---- looking

    @overload
    async def list(
        self, query: EndpointQuery, *, min_revision: int = 0
    ) -> Listing[EndpointInstance]: ...
    @overload
    async def list(self, query: ModelQuery, *, min_revision: int = 0) -> Listing[ModelInstance]: ...
    @overload
    async def list(
        self, query: EventChannelQuery, *, min_revision: int = 0
    ) -> Listing[EventChannelInstance]: ...
    async def list(self, query: Query, *, min_revision: int = 0) -> Listing[Instance]:
        """Return what is registered now, at a revision that is not below `min_revision`."""
        here = self._here
        found, revision, epoch = await self._io.run(here.list(checked_query(query), min_revision))
        return Listing(found, revision=revision, epoch=epoch)

    def watch(self, query: Query) -> WatchStream:
        """Return a stream of what `query` asks for: enter it, then read, wait or iterate."""
        return WatchStream(checked_query(query), self._here.upstreams, self._io, self._streams)

    list_and_watch = watch

    async def status(self) -> Mapping[str, object]:
        """Return what the daemon tells about itself."""
        return await self._io.run(self._here.ask("status"))

    async def watchers(self) -> Sequence[Mapping[str, object]]:
        """Return who watches what, as far as the daemon has heard of them lately."""
        return await self._io.run(self._here.ask_rows("watchers"))

    async def leases(self) -> Sequence[Mapping[str, object]]:
        """Return the processes that hold a lease: id, TTL in seconds, number of records."""
        return await self._io.run(self._here.ask_rows("leases"))

    # ---- for operators

    async def remove(self, what: Instance | InstanceId) -> None:
        """Remove a record, whoever registered it; watchers are told `Cause.REVOKED`.

        Its owner, if it lives, is not told, and puts it back when it next has to register again:
        `drain` is for owners that live. Raises `NotFoundError` when nothing is registered there.
        """
        await self._io.run(self._here.ask("remove", id=str(checked_id(what))))

    async def drain(self, instance_id: int) -> int:
        """Take a process out of service; return how many records it had.

        They all go at one revision, with `Cause.REVOKED`, and what it tries to register from then
        on is refused with `FailedPreconditionError` until it takes a new lease. Raises
        `NotFoundError` when it holds none.
        """
        check_instance_id("instance_id", instance_id)
        answer = await self._io.run(self._here.ask("drain", instance_id=instance_id))
        return Fields("answer", dict(answer)).integer("removed")

    # ---- inside

    @property
    def _here(self) -> Participant:
        if self._background is not None and self._background.is_elsewhere:
            raise forked()
        if self._participant is None:
            raise UnavailableError("not connected: use `async with discovery.connect(…) as d`")
        return self._participant

    @property
    def _io(self) -> Background:
        if self._background is None or self._is_left:
            raise UnavailableError("not connected: use `async with discovery.connect(…) as d`")
        return self._background

    def _follow(self, scope: Scope) -> WatchStream:
        """Return a stream of records of catalog or claims."""
        query = cast("Query", BookQuery(scope))  # it is asked for scope and matches only
        return WatchStream(query, self._here.upstreams, self._io, self._streams)

    def _named(self, spec: Spec) -> Spec:
        """Return a copy of the spec; an event channel without an id gets one of its own."""
        if isinstance(spec, EventChannelSpec) and spec.instance_id is None:
            return replace(spec, instance_id=minted_id(self._rng))
        if not isinstance(spec, EndpointSpec | ModelSpec | EventChannelSpec):
            raise InvalidArgumentError(
                f"spec: expected EndpointSpec, ModelSpec or EventChannelSpec, got {shown(spec)}"
            )
        return replace(spec)


def connect(
    url: str,
    *,
    lease_ttl_s: float = 10.0,
    instance_id: int | None = None,
    connect_timeout_s: float = 5.0,
    request_timeout_s: float = 5.0,
    codec: str | None = None,
    tenant: str | None = None,
) -> Discovery:
    """Return a way into the registry at `url`; connects when entered with `async with`.

    Args:
        url: `zmq://host:port[,host:port]` for daemons of one registry; `nats://host:port[,…]` for
            those that are reached through a NATS server; `memory://[name]` for one inside this
            process, shared by its name; `etcd://host:port[,host:port]` for the one that is kept
            there, without a daemon.
        lease_ttl_s: seconds, 1 to 3600, that registrations outlive this process when it dies.
        instance_id: 1 to 2^64 - 1; None mints one below 2^53. Keep it to come back as the same.
        connect_timeout_s: seconds within which a daemon must answer.
        request_timeout_s: seconds within which a request must be answered, retries included.
        codec: `msgpack` or `json`; None is JSON over NATS, MsgPack otherwise.
        tenant: whose models of the catalog are seen and registered, besides those of everybody; at
            most 64 bytes, without "::". It keeps apart those who mean well: nobody proves it.

    Raises:
        InvalidArgumentError: an argument is out of its range, or the URL's backend does not exist.
    """
    check_tenant(tenant)
    check_seconds("lease_ttl_s", lease_ttl_s, _MIN_TTL_S, _MAX_TTL_S)
    check_seconds("connect_timeout_s", connect_timeout_s, 0.0, _MAX_TIMEOUT_S)
    check_seconds("request_timeout_s", request_timeout_s, 0.0, _MAX_TIMEOUT_S)
    rng = random.SystemRandom()
    if instance_id is None:
        instance_id = minted_id(rng)
    if check_instance_id("instance_id", instance_id) == 0:
        raise InvalidArgumentError("instance_id 0: expected 1 to 2^64 - 1")
    settings = ParticipantSettings(
        url=url,
        is_embedded=is_embedded(url),
        codec=codec_of(codec, url),
        client=client_name(),
        instance_id=instance_id,
        lease_ttl_s=float(lease_ttl_s),
        connect_timeout_s=connect_timeout_s,
        request_timeout_s=request_timeout_s,
        tenant=tenant,
    )
    return Discovery(settings, rng=rng)
