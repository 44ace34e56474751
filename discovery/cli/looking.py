"""Commands that list and follow what is registered."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from discovery.cli.completing import complete_kind, complete_scope, complete_scoped_kind
from discovery.cli.context import Context
from discovery.cli.kinds import LEVELS, TABLES, kind_of, query_of, split_scope
from discovery.cli.notes import note
from discovery.cli.rows import COLUMNS, event_row, row_of
from discovery.cli.telling import tell_of_state
from transports.scope import running

if TYPE_CHECKING:
    from collections.abc import Mapping

    from discovery.events import Event
    from discovery.query import Query


@click.command()
@click.argument("kind", shell_complete=complete_kind)
@click.argument("scope", default="", metavar="[NS[/COMP[/EP]]]", shell_complete=complete_scope)
@click.option("-w", "--watch", "is_watching", is_flag=True, help="Then follow the changes.")
@click.pass_obj
def get(context: Context, kind: str, scope: str, *, is_watching: bool) -> None:
    """List what is registered, or who watches.

    KIND is endpoints, models, channels, leases or watchers; endpoint, ep and so on will do.
    """
    word, slash, rest = kind.partition("/")
    kind, scope = kind_of(word, (*LEVELS, *TABLES)), (rest if slash and not scope else scope)
    if kind in TABLES:
        if scope or is_watching:
            raise click.UsageError(f"get {kind} takes neither a scope nor --watch")
        context.run(_ask(context, kind))
    elif is_watching:
        context.run(_follow(context, kind, query_of(kind, scope)))
    else:
        context.run(_list(context, kind, scope))


@click.command()
@click.argument("scope", metavar="KIND[/NS[/COMP[/EP]]]", shell_complete=complete_scoped_kind)
@click.pass_obj
def watch(context: Context, scope: str) -> None:
    """Follow what comes, changes and goes in a scope such as models/prod.

    What is there already comes first. Ends with Ctrl-C.
    """
    kind, rest = split_scope(scope)
    context.run(_follow(context, kind, query_of(kind, rest)))


async def _list(context: Context, kind: str, scope: str) -> None:
    query = query_of(kind, scope)
    async with context.connect() as d:
        rows = [row_of(instance) for instance in await d.list(query)]
    if not rows and context.output.is_table:
        note(f"no {kind}{f' in {scope}' if scope else ''}")
    else:
        context.output.many(rows, COLUMNS[kind])


async def _follow(context: Context, kind: str, query: Query) -> None:
    """Show what is there, then every change, until interrupted."""
    rows = context.output.rows(("event", *COLUMNS[kind], "cause"))
    async with context.connect() as d, running(tell_of_state(d, query)), d.watch(query) as stream:
        await stream.synced()
        count = len(stream.instances)
        events = aiter(stream)
        rows.start([_shown(context, await anext(events)) for _ in range(count)])
        async for event in events:
            rows.row(_shown(context, event))


async def _ask(context: Context, kind: str) -> None:
    """List leases or watchers."""
    async with context.connect() as d:
        found = await (d.watchers() if kind == "watchers" else d.leases())
    context.output.many([dict(row) | _scope_text(row) for row in found], COLUMNS[kind])


def _scope_text(row: Mapping[str, object]) -> dict[str, str]:
    scope = row.get("scope")
    return {"scope": "/".join(map(str, scope))} if isinstance(scope, list) else {}


def _shown(context: Context, event: Event) -> dict[str, Any]:
    """Return an event's row; a table has the evidence for a cause beside it."""
    row = event_row(event)
    if context.output.is_table and row.get("detail"):
        row["cause"] = f"{row['cause']} ({row['detail']})"
    return row
