"""What `discoveryctl doctor` asks a daemon for before it judges."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from discovery.clock import now_ms
from discovery.fields import Fields
from discovery.query import EndpointQuery, EventChannelQuery, ModelQuery

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from discovery.client import Discovery
    from discovery.instance import EndpointInstance, EventChannelInstance, ModelInstance
    from discovery.names import Scope

OWN_NAMESPACE: Final = "discoveryctl-doctor"
"""What the doctor itself watches, to see whether that works. Nothing is registered there."""

_LAG_S: Final = 1.0
_TICK_S: Final = 0.01
_TICKS_A_REQUEST: Final = 10
_GONE_AFTER_S: Final = 15.0  # a stream asks at least every 10 s, so a later one has ended


@dataclass(frozen=True, slots=True, kw_only=True)
class Watching:
    """A stream that the daemon knows of."""

    client: str
    scope: Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """A process that holds a lease: `id` in hexadecimal."""

    id: str
    records: int
    ttl_s: float
    is_draining: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """The worst of one second: how late this machine wakes a task, how long a request takes."""

    lag_s: float
    request_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known of a registry. `clock_ms` is how far the daemon's clock is before ours."""

    status: Mapping[str, object]
    clock_ms: float | None
    watching: Sequence[Watching]
    leases: Sequence[Lease]
    endpoints: Sequence[EndpointInstance]
    models: Sequence[ModelInstance]
    channels: Sequence[EventChannelInstance]
    pace: Pace


async def gather(d: Discovery) -> Facts:
    """Ask for all of it."""
    before_ms = now_ms()
    status = await d.status()
    clock = status.get("now_ms")
    middle_ms = (before_ms + now_ms()) / 2
    rows = [Fields("watchers", dict(row)) for row in await d.watchers()]
    return Facts(
        status=status,
        clock_ms=clock - middle_ms if isinstance(clock, int) else None,
        watching=[
            Watching(client=row.text("client"), scope=row.scope("scope"))
            for row in rows
            if row.number("seen_s_ago") <= _GONE_AFTER_S
        ],
        leases=[_lease(Fields("leases", dict(row))) for row in await d.leases()],
        endpoints=await d.list(EndpointQuery()),
        models=await d.list(ModelQuery()),
        channels=await d.list(EventChannelQuery()),
        pace=await _pace(d),
    )


def _lease(row: Fields) -> Lease:
    return Lease(
        id=row.text("id"),
        records=row.integer("records"),
        ttl_s=row.number("ttl_s"),
        is_draining=row.flag("draining"),
    )


async def _pace(d: Discovery) -> Pace:
    """Measure for a second, with about as many requests as there are tenths in it."""
    loop = asyncio.get_running_loop()
    lag_s = request_s = 0.0
    begun_at = loop.time()
    while (asked_at := loop.time()) < begun_at + _LAG_S:
        await d.status()
        request_s = max(request_s, loop.time() - asked_at)
        for _ in range(_TICKS_A_REQUEST):
            due_at = loop.time() + _TICK_S
            await asyncio.sleep(_TICK_S)
            lag_s = max(lag_s, loop.time() - due_at)
    return Pace(lag_s=lag_s, request_s=request_s)
