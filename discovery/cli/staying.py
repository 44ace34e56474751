"""Stays with what was registered, and says when it is lost and when it is back."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from discovery.cli.notes import note
from discovery.cli.telling import tell_of_state
from discovery.events import Added, Removed
from discovery.instance import EndpointInstance, EventChannelInstance, Instance, ModelInstance
from discovery.query import EndpointQuery, EventChannelQuery, ModelQuery, Query
from transports.scope import running

if TYPE_CHECKING:
    from collections.abc import Sequence

    from discovery.client import Discovery

_LOOK_S: Final = 1.0
"""How often it is asked whether something was refused: nobody tells."""


async def stay(d: Discovery, instances: Sequence[Instance], stop: asyncio.Event) -> None:
    """Stay until `stop` is set. Raises what a registration was refused with when put back."""
    tasks = [_tell_of(d, instance) for instance in instances]
    first = _query_of(instances[0])
    away = f"no daemon answers; what is registered ends {d.lease_ttl_s:g} s after the last answer"
    async with running(*tasks, tell_of_state(d, first, away=away), _until_refused(d)):
        await stop.wait()


async def _tell_of(d: Discovery, instance: Instance) -> None:
    """Say when others cannot see `instance` any more, and when they can again."""
    revision: int | None = instance.revision
    async with d.watch(_query_of(instance)) as stream:
        async for event in stream:
            match event:
                case Removed() if event.id == instance.id:
                    why = f" ({event.detail})" if event.detail else ""
                    note(f"lost: {event.id}: {event.cause}{why}")
                    revision = None
                case Added() if event.instance.id == instance.id:
                    if revision is not None and event.instance.revision != revision:
                        note(f"lost meanwhile: {instance.id}")  # both are one change by now
                    if event.instance.revision != revision:
                        note(f"registered again: {instance.id}")
                    revision = event.instance.revision
                case _:
                    pass


async def _until_refused(d: Discovery) -> None:
    while True:
        if d.failures:
            raise d.failures[0].error
        await asyncio.sleep(_LOOK_S)


def _query_of(instance: Instance) -> Query:
    """Return the query of the scope that an instance is in."""
    match instance:
        case EndpointInstance():
            return EndpointQuery(
                namespace=instance.namespace,
                component=instance.component,
                endpoint=instance.endpoint,
            )
        case ModelInstance():
            return ModelQuery(
                namespace=instance.namespace,
                component=instance.component,
                endpoint=instance.endpoint,
            )
        case EventChannelInstance():
            return EventChannelQuery(namespace=instance.namespace, component=instance.component)
