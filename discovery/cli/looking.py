"""Commands that look and change nothing."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeAlias

import click

from discovery.errors import InvalidArgumentError
from discovery.events import Added, Event, Removed
from discovery.instance import EndpointInstance, EventChannelInstance, Instance, ModelInstance
from discovery.query import EndpointQuery, EventChannelQuery, ModelQuery, Query
from discovery.recordfields import record_fields

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from discovery.cli.output import Output
    from discovery.client import Discovery
    from discovery.names import Generation

Opened: TypeAlias = "Discovery"

QUERIES: Mapping[str, tuple[Callable[..., Query], tuple[str, ...]]] = {
    "endpoints": (EndpointQuery, ("namespace", "component", "endpoint")),
    "models": (ModelQuery, ("namespace", "component", "endpoint")),
    "channels": (EventChannelQuery, ("namespace", "component", "topic")),
}
"""Kind to its query and the names of its levels."""

_COLUMNS: Mapping[str, Sequence[str]] = {
    "endpoints": ("id", "address", "device", "+revision"),
    "models": ("id", "model", "source", "lora", "+revision"),
    "channels": ("id", "transport", "address", "+revision"),
    "leases": ("id", "records", "ttl_s"),
    "watchers": ("client", "scope", "revision", "seen_s_ago"),
}


def query_of(kind: str, scope: str) -> Query:
    """Return the query of "NS/COMP/EP" or less. Raises `InvalidArgumentError` for more."""
    make, levels = QUERIES[kind]
    names = scope.strip("/").split("/") if scope.strip("/") else []
    if len(names) > len(levels):
        raise InvalidArgumentError(
            f"scope {scope!r}: {len(names)} names, expected {'/'.join(levels)} or less"
        )
    return make(**dict(zip(levels, names, strict=False)))


async def get(
    connect: Callable[[], Opened], output: Output, kind: str, scope: str, *, follow: bool
) -> None:
    """List the instances of a scope; with `follow`, then every change until interrupted."""
    query = query_of(kind, scope)
    async with connect() as d:
        if follow:
            await _follow(d, output, kind, query)
            return
        rows = [row_of(instance) for instance in await d.list(query)]
        if not rows and sys.stdout.isatty():
            click.echo(f"no {kind}{f' in {scope}' if scope else ''}", err=True)
            return
        output.many(rows, _COLUMNS[kind])


async def watch(connect: Callable[[], Opened], output: Output, kind: str, scope: str) -> None:
    """Follow a scope until interrupted."""
    query = query_of(kind, scope)
    async with connect() as d:
        await _follow(d, output, kind, query)


async def ask(connect: Callable[[], Opened], output: Output, kind: str) -> None:
    """List leases or watchers."""
    async with connect() as d:
        rows = await (d.watchers() if kind == "watchers" else d.leases())
        shown = [
            {**row, "scope": "/".join(map(str, scope))}
            if isinstance(scope := row.get("scope"), list)
            else row
            for row in rows
        ]
        output.many(shown, _COLUMNS[kind])


async def status(connect: Callable[[], Opened], output: Output) -> None:
    """Show what the daemon tells of itself."""
    async with connect() as d:
        answer = dict(await d.status())
    started_ms = answer.pop("started_ms", None)
    if isinstance(started_ms, int):
        answer["started"] = f"{datetime.fromtimestamp(started_ms / 1000, UTC):%Y-%m-%dT%H:%M:%SZ}"
    output.one(answer)


async def version(connect: Callable[[], Opened], output: Output, own: str) -> None:
    """Show our version and the daemon's."""
    async with connect() as d:
        answer = await d.status()
    output.one({"client": own, "daemon": answer.get("version")})


async def _follow(d: Discovery, output: Output, kind: str, query: Query) -> None:
    columns = ("event", *_COLUMNS[kind], "cause")
    async with d.watch(query) as stream:
        async for event in stream:
            output.row({**_event_row(event), "revision": event.revision}, columns)


def _event_row(event: Event) -> dict[str, Any]:
    match event:
        case Added():
            word = "updated" if event.is_update else "added"
            return {"event": word, **row_of(event.instance)}
        case Removed():
            return {"event": "removed", "id": str(event.id), "cause": str(event.cause)}


def row_of(instance: Instance) -> dict[str, Any]:
    """Return an instance as a row: what tables show, and the whole record under "record"."""
    row: dict[str, Any] = {"id": str(instance.id), "revision": instance.revision}
    match instance:
        case EndpointInstance():
            row |= {"address": next(iter(instance.transport.values()), None)}
            row |= {"device": instance.device_type}
        case ModelInstance():
            row |= {"model": instance.display_name, "source": instance.card.get("source_path")}
            row |= {"lora": instance.suffix}
        case EventChannelInstance():
            row |= {"transport": str(instance.transport.kind)}
            row |= {"address": instance.transport.address}
    return {**row, "record": record_fields(instance, _generation_of(instance))}


def _generation_of(instance: Instance) -> Generation:
    """Return the form of the record that an instance was read from; only channels have two."""
    return (isinstance(instance, EventChannelInstance) and instance.generation) or "a"
