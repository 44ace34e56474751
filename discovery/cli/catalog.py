"""`discoveryctl catalog`: which models exist."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from discovery.catalogrecord import TASKS
from discovery.cli.completing import complete_catalog
from discovery.cli.context import Context
from discovery.cli.exits import Exit, complain
from discovery.cli.notes import note
from discovery.cli.rows import COLUMNS
from discovery.cli.telling import tell_of_connection
from discovery.cli.typed import config_of
from discovery.errors import NotFoundError
from transports.scope import running

if TYPE_CHECKING:
    from collections.abc import Callable

    from discovery.catalogrecord import CatalogRecord

_COLUMNS = COLUMNS["catalog"]
_WHICH = "see what there is: discoveryctl catalog list; --tenant says whose it is"


def _one_model(command: Callable[..., int]) -> Callable[..., int]:
    """Add what names a model that there is."""
    version = click.option(
        "--version",
        type=click.IntRange(min=1),
        metavar="N",
        help="Which version.  [default: the highest]",
    )
    return click.argument("name", shell_complete=complete_catalog)(version(command))


@click.group()
def catalog() -> None:
    """Say which models exist, and look.

    A tenant has models of its own, and sees those of everybody. A name stands for the tenant's own
    model first, and for its highest version.
    """


@catalog.command()
@click.argument("name")
@click.option("--model-type", required=True, metavar="TYPE", help="Such as embedding, llm or lora.")
@click.option("--backend", required=True, help="What serves it, such as vllm.")
@click.option("--task", required=True, type=click.Choice(TASKS), help="What it does.")
@click.option("--version", type=click.IntRange(min=1), metavar="N", help="[default: 1]")
@click.option("--base-model", metavar="KEY", help="The model that it derives from.")
@click.option("--artifact-path", metavar="PATH", help="Where its committed weights are.")
@click.option("--config", metavar="JSON|@FILE", help="For the backend; @- reads stdin.")
@click.pass_obj
def register(
    context: Context,
    /,
    name: str,
    *,
    config: str | None,
    **columns: Any,  # noqa: ANN401 - click's
) -> None:
    """Register a model, or refresh one.

    With --tenant it is that tenant's, without it everybody's. Its status and when it was first
    registered stay, and so does its path when none is given.
    """
    columns["config"] = None if config is None else config_of(config)
    context.run(_register(context, name, columns))


@catalog.command()
@_one_model
@click.pass_obj
def get(context: Context, name: str, *, version: int | None) -> int:
    """Show one model, retired or not."""
    found = context.run(_get(context, name, version))
    if found is None:
        which = name if version is None else f"{name} version {version}"
        return complain(NotFoundError(f"model {which}: not in the catalog"), _WHICH)
    context.output.one(found.to_wire(), name="key")
    return Exit.OK


@catalog.command("list")
@click.pass_obj
def list_(context: Context) -> None:
    """List the models, without retired ones, the first registered first."""
    context.run(_list(context))


@catalog.command()
@_one_model
@click.pass_obj
def retire(context: Context, name: str, *, version: int | None) -> int:
    """Retire a model: it is served and listed no more.

    Retiring it twice is no error. Another tenant's or everybody's is not found.
    """
    try:
        context.run(_retire(context, name, version))
    except NotFoundError as error:
        return complain(error, _WHICH)
    return Exit.OK


@catalog.command()
@click.pass_obj
def watch(context: Context) -> None:
    """Show each model, retired ones too, and again when it changes.

    Ends with Ctrl-C.
    """
    context.run(_watch(context))


async def _register(context: Context, name: str, columns: dict[str, Any]) -> None:
    async with context.connect() as d:
        _show(context, await d.catalog.register(name, **columns))


async def _get(context: Context, name: str, version: int | None) -> CatalogRecord | None:
    async with context.connect() as d:
        return await d.catalog.get(name, version)


async def _list(context: Context) -> None:
    async with context.connect() as d:
        rows = [record.to_wire() for record in await d.catalog.list()]
    if not rows and context.output.is_table:
        note("no models in the catalog")
    else:
        context.output.many(rows, _COLUMNS)


async def _retire(context: Context, name: str, version: int | None) -> None:
    async with context.connect() as d:
        _show(context, await d.catalog.retire(name, version))


async def _watch(context: Context) -> None:
    rows = context.output.rows(_COLUMNS)
    async with context.connect() as d, running(tell_of_connection(d)), d.catalog.watch() as stream:
        await stream.synced()
        count = len(stream.records)
        rows.start([(await anext(stream)).to_wire() for _ in range(count)])
        async for record in stream:
            rows.row(record.to_wire())


def _show(context: Context, record: CatalogRecord) -> None:
    context.output.rows(_COLUMNS).start([record.to_wire()])
