"""One process's part in a registry: connection, lease and views, all on the I/O thread."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from discovery.connection import Connection
from discovery.embedded import embedded
from discovery.errors import UnavailableError
from discovery.fields import Fields
from discovery.follower import FollowerLimits
from discovery.keeper import Keeper
from discovery.reading import answer_from_wire, rows_from_wire
from discovery.session import Session
from discovery.upstream import Upstreams
from transports.address import parse_url
from transports.scope import running, task_group

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping, Sequence

    from discovery.background import Background
    from discovery.events import Cause
    from discovery.instance import Instance
    from discovery.link import Link
    from discovery.query import Query
    from transports.address import Address
    from transports.codec import Codec

_SYNC_TIMEOUT_S = 3.0  # without a single chunk
_FOLLOWER_PATIENCE_S = 600.0  # its driver always reports, in much less
_CLOSE_S = 1.0
_TICKS_PER_BEAT = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class ParticipantSettings:
    """How a process takes part. Times in seconds; `embedded` is the URL of a store to run here."""

    url: str
    is_embedded: bool
    codec: Codec
    client: str
    instance_id: int
    lease_ttl_s: float
    connect_timeout_s: float
    request_timeout_s: float
    tenant: str | None = None


class Participant:
    """Everything a `Discovery` has on the I/O thread. Enter and leave it there, in one task."""

    upstreams: Upstreams
    connection: Connection
    keeper: Keeper

    def __init__(
        self, settings: ParticipantSettings, background: Background, *, rng: random.Random
    ) -> None:
        self.settings = settings
        self.session = Session(
            settings.instance_id, settings.lease_ttl_s, rng=rng, tenant=settings.tenant
        )
        self._background = background
        self._rng = rng
        self._stack = AsyncExitStack()
        self._beat_interval_s = 1.0

    async def __aenter__(self) -> Self:
        settings = self.settings
        async with AsyncExitStack() as stack:
            if settings.is_embedded:
                place = embedded(settings.url, self._background)
                addresses = [await stack.enter_async_context(place)]
            else:
                addresses = list(parse_url(settings.url))
            self._build(addresses, await stack.enter_async_context(task_group()))
            await stack.enter_async_context(self.connection)
            await stack.enter_async_context(running(self._tick()))
            stack.push_async_callback(self.keeper.close, _CLOSE_S)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *exc: object) -> None:
        try:
            await self._stack.aclose()
        finally:
            self.upstreams.close(UnavailableError("the connection has ended"))

    def _build(self, addresses: Sequence[Address], group: asyncio.TaskGroup) -> None:
        settings = self.settings
        self.upstreams = Upstreams(
            client=settings.client,
            codec=settings.codec.name,
            sync_timeout_s=_SYNC_TIMEOUT_S,
            rng=self._rng,
            group=group,
            tenant=settings.tenant,
        )
        self.connection = Connection(
            addresses,
            codec=settings.codec,
            client=settings.client,
            connect_timeout_s=settings.connect_timeout_s,
            rng=self._rng,
            on_up=self._on_up,
            on_down=self.upstreams.on_down,
            on_message=self.upstreams.on_message,
        )
        self.upstreams.use(self.connection)
        self.keeper = Keeper(self.session, self.connection, group)

    async def revoke(self, cause: Cause, detail: str | None) -> None:
        """Give the lease back now, and tell watchers why."""
        await self.keeper.close(_CLOSE_S, cause, detail)

    async def list(self, query: Query, min_revision: int) -> tuple[Sequence[Instance], int, str]:
        """Return the instances of `query` with the revision and epoch they are from."""
        fields = {"scope": [*query.scope], "min_revision": min_revision}
        answer = await self.connection.call_patiently(
            "list", fields, self.settings.request_timeout_s
        )
        read = answer_from_wire(0, answer)
        instances = [
            change.item.instance
            for change in read.snapshot or ()
            if change.item and change.item.instance
        ]
        wanted = [instance for instance in instances if query.matches(instance.id)]
        return wanted, read.revision, read.epoch

    async def ask(self, op: str, **fields: object) -> Mapping[str, object]:
        """Return the daemon's answer to a request that may be repeated."""
        within_s = self.settings.request_timeout_s
        return (await self.connection.call_patiently(op, fields, within_s)).result

    async def ask_rows(self, op: str, **fields: object) -> Sequence[Mapping[str, object]]:
        """Return the rows of the daemon's answer to a request for a table."""
        answer = await self.connection.call_patiently(op, fields, self.settings.request_timeout_s)
        return rows_from_wire(answer)

    def _on_up(self, link: Link, greeting: Mapping[str, object]) -> None:
        read = Fields(f"greeting of {link.address}", dict(greeting))
        interval_s, daemon = read.seconds("beat_interval_s"), read.text("daemon")
        self._beat_interval_s = interval_s
        limits = FollowerLimits(beat_interval_s=interval_s, sync_timeout_s=_FOLLOWER_PATIENCE_S)
        self.upstreams.on_up(link, daemon, limits)
        self.keeper.hurry()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(self._beat_interval_s / _TICKS_PER_BEAT)
            self.upstreams.tick()
