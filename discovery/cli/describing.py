"""`discoveryctl describe`: all that is known of one id."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from discovery.cli.completing import complete_id
from discovery.cli.context import Context
from discovery.cli.rows import row_of
from discovery.cli.typed import instance_id_of
from discovery.errors import NotFoundError
from discovery.ids import parse_id
from discovery.query import EndpointQuery, EventChannelQuery, ModelQuery

if TYPE_CHECKING:
    from collections.abc import Sequence

    from discovery.client import Discovery
    from discovery.ids import InstanceId
    from discovery.instance import Instance


@click.command()
@click.argument("identity", metavar="ID", shell_complete=complete_id)
@click.pass_obj
def describe(context: Context, identity: str) -> None:
    """Tell all that is known of one id.

    ID is the id of an endpoint, a model or an event channel, or an instance id in hexadecimal, for
    all that a process has registered.
    """
    if "/" in identity:
        context.run(_describe(context, parse_id(identity)))
    else:
        context.run(_describe_process(context, instance_id_of(identity)))


async def _describe(context: Context, identity: InstanceId) -> None:
    async with context.connect() as d:
        instances = await _all(d)
        found = next((one for one in instances if one.id == identity), None)
        if found is None:
            raise NotFoundError(f"{identity}: not registered")
        lease = await _lease(d, identity.instance_id)
        watchers = [row for row in await d.watchers() if _covers(row.get("scope"), identity)]
    row = row_of(found)
    about = {
        "lease": lease,
        "unit": [text for text in _of(instances, identity.instance_id) if text != row["id"]],
        "watchers": [f"{row.get('client')} at revision {row.get('revision')}" for row in watchers],
    }
    record = row.pop("record")  # the longest comes last
    context.output.one({**row, **about, "record": record})


async def _describe_process(context: Context, instance_id: int) -> None:
    async with context.connect() as d:
        lease = await _lease(d, instance_id)
        records = _of(await _all(d), instance_id)
    if lease is None and not records:
        raise NotFoundError(f"instance id {instance_id:x}: no process holds it")
    context.output.one({"id": f"{instance_id:x}", "lease": lease, "unit": records})


async def _all(d: Discovery) -> Sequence[Instance]:
    return [
        *await d.list(EndpointQuery()),
        *await d.list(ModelQuery()),
        *await d.list(EventChannelQuery()),
    ]


def _of(instances: Sequence[Instance], instance_id: int) -> list[str]:
    """Return the ids of what is registered under one instance id."""
    return [str(one.id) for one in instances if one.instance_id == instance_id]


async def _lease(d: Discovery, instance_id: int) -> dict[str, object] | None:
    """Return the lease of an instance id; an event channel has an id of its own, and none."""
    name = f"{instance_id:x}"
    return next((dict(row) for row in await d.leases() if row.get("id") == name), None)


def _covers(scope: object, identity: InstanceId) -> bool:
    return isinstance(scope, list) and tuple(scope) == identity.scope[: len(scope)]
