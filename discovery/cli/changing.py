"""Commands by which an operator takes away what others registered."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from discovery.cli.completing import complete_id
from discovery.cli.context import Context
from discovery.cli.exits import Exit, complain
from discovery.cli.typed import identity_of, instance_id_of
from discovery.errors import DiscoveryError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from discovery.ids import InstanceId


@click.command()
@click.argument("ids", nargs=-1, required=True, metavar="ID...", shell_complete=complete_id)
@click.pass_obj
def rm(context: Context, ids: Sequence[str]) -> int:
    """Remove records, whoever registered them.

    Watchers see them removed with the cause "revoked". The process that registered one lives on and
    may register it again; drain keeps it away. All ids are tried; the exit code is that of the
    first error.
    """
    return context.run(_remove(context, [identity_of(text) for text in ids]))


@click.command()
@click.argument("identity", metavar="ID", shell_complete=complete_id)
@click.pass_obj
def drain(context: Context, identity: str) -> None:
    """Take a process out of service: all that it has registered goes, and stays away.

    ID is an instance id in hexadecimal, or the id of an endpoint or model of the process. As long
    as the process lives, what it tries to register is refused.
    """
    context.run(_drain(context, instance_id_of(identity)))


async def _remove(context: Context, ids: Sequence[InstanceId]) -> int:
    """Remove what can be removed, complain of the rest; return the first error's code."""
    code, rows = Exit.OK, []
    async with context.connect() as d:
        for identity in ids:
            try:
                await d.remove(identity)
            except DiscoveryError as error:
                found = complain(error)
                code = code or found
            else:
                rows.append({"id": str(identity), "event": "removed"})
    if rows:
        context.output.many(rows, ("id", "event"))
    return code


async def _drain(context: Context, instance_id: int) -> None:
    async with context.connect() as d:
        count = await d.drain(instance_id)
    row = {"id": f"{instance_id:x}", "event": "drained", "records": count}
    context.output.many([row], ("id", "event", "records"))
