"""`discoveryctl artifacts`: the files of models on this node."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from discovery import config
from discovery.artifacts.entry import check_entry
from discovery.artifacts.reportwire import report_to_wire
from discovery.artifacts.usage import model_entry
from discovery.cli.cacheoptions import Size, at_root, one_model, where
from discovery.cli.cacherows import DROPPED_COLUMNS, dropped_row, report_row, total_bytes
from discovery.cli.context import Context
from discovery.cli.exits import Exit, complain
from discovery.cli.notes import note
from discovery.cli.pulling import size, telling
from discovery.cli.rows import COLUMNS
from discovery.errors import (
    InvalidArgumentError,
    NotFoundError,
    ResourceExhaustedError,
    UnavailableError,
)
from discovery.link import NoAnswerError
from discovery.models.artifacts import ArtifactCache, CacheStatus
from discovery.models.artifacts import registered as model_of

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from discovery.client import Discovery

_COLUMNS: Final = COLUMNS["artifacts"]
_WHICH: Final = (
    "see what there is: discoveryctl catalog list; --tenant says whose it is; register it: "
    "discoveryctl catalog register NAME --artifact-path …"
)
_ROOM: Final = "make room: discoveryctl artifacts drop NAME, or gc --budget SIZE"


@click.group()
def artifacts() -> None:
    """Get the files of models, and look after them.

    They are copied, hashed, and then there all at once. Models are those of the catalog, NAME is
    the highest version of one. Secrets are named by an alias: the variable
    DISCOVERY_CREDENTIAL_<ALIAS> has them.
    """


@artifacts.command()
@one_model
@click.option(
    "--source",
    metavar="URL",
    help="Where from.  [default: the catalog's artifact path, else $DISCOVERY_ARTIFACTS_SOURCE]",
)
@click.option("--credential-alias", metavar="ALIAS", help="Of the secret for the source.")
@click.pass_obj
def pull(
    context: Context,
    /,
    name: str,
    *,
    source: str | None,
    at_daemon: bool,
    **options: Any,  # noqa: ANN401 - click's
) -> int:
    """Install a model's files in place of what is there.

    The source is a folder, hf://ORG/MODEL[@REVISION], gs://, s3:// or https://. Until all of it is
    here, and when it fails, what was there stays. What was cut off is gone on with.
    """
    if source and "://" not in source and not at_daemon:
        source = str(Path(source).absolute())
    return _run(context, _pull(context, name, source=source, at_daemon=at_daemon, **options))


@artifacts.command()
@one_model
@click.option("--deep", "is_deep", is_flag=True, help="Read all files and compare their hashes.")
@click.pass_obj
def inspect(context: Context, /, name: str, **options: Any) -> int:  # noqa: ANN401 - click's
    """Show how a model's files are.

    On this node NAME may also be one that list prints. Ends with 5 when they are missing, and with
    6 when they are not what the manifest says.
    """
    return _run(context, _inspect(context, name, **options))


@artifacts.command()
@one_model
@click.pass_obj
def drop(context: Context, /, name: str, **options: Any) -> int:  # noqa: ANN401 - click's
    """Remove a model's files. It stays in the catalog.

    On this node NAME may also be one that list prints. Ends with 5 when there were none.
    """
    return _run(context, _drop(context, name, **options))


@artifacts.command("list")
@where
@click.pass_obj
def list_(context: Context, *, root: str | None, at_daemon: bool) -> int:
    """List the models whose files are here.

    No daemon is needed for this node. With --at-daemon they are those of the catalog that
    `catalog get` finds.
    """
    return _run(context, _list(context, root, at_daemon=at_daemon))


@artifacts.command()
@at_root
@click.option(
    "--budget",
    type=Size(),
    metavar="SIZE",
    help="How much may stay, such as 200GiB.  [default: $DISCOVERY_ARTIFACTS_BUDGET_BYTES]",
)
@click.pass_obj
def gc(context: Context, *, root: str | None, budget: int | None) -> int:
    """Remove what was not used for longest until the rest fits.

    What a registered model or a process on this node uses stays. Prints what was removed; ends
    with 6 when what is in use is more than fits.
    """
    if budget is None:
        budget = config.artifact_settings_from_env(config.process_environment()).budget_bytes
        if not budget:
            raise click.UsageError("Missing option '--budget': how much may stay?")
    return _run(context, _gc(context, root, budget))


def _run(context: Context, work: Coroutine[Any, Any, int]) -> int:
    try:
        return context.run(work)
    except NotFoundError as error:
        return complain(error, _WHICH)
    except ResourceExhaustedError as error:
        return complain(error, _ROOM if error.retry_after_s is None else "try it again later")


async def _pull(
    context: Context,
    name: str,
    *,
    version: int | None,
    root: str | None,
    at_daemon: bool,
    source: str | None,
    credential_alias: str | None,
) -> int:
    async with context.connect() as d:
        record = await model_of(d, name, version)
        version = record.version  # and no newer one, if there is one meanwhile
        try:
            async with telling(name) as progress:
                given: dict[str, Any] = {"source": source, "credential_alias": credential_alias}
                if at_daemon:
                    await d.artifacts.pull(name, version, **given, progress=progress)
                    report = await d.artifacts.inspect(name, version)
                else:
                    cache = ArtifactCache(root)
                    await cache.pull(d, name, version, **given, progress=progress)
                    report = await cache.inspect(record)
        except asyncio.CancelledError:
            note(f"{name}: {'it goes on at the daemon' if at_daemon else 'stopped'}")
            raise
        except NoAnswerError:
            raise
        except UnavailableError as error:  # the source is
            return complain(error, "try it again: what is here already is gone on with")
    context.output.rows(_COLUMNS).start([report_row(report)])
    return Exit.OK


async def _inspect(
    context: Context,
    name: str,
    *,
    version: int | None,
    root: str | None,
    at_daemon: bool,
    is_deep: bool,
) -> int:
    async with context.connect() as d:
        if at_daemon:
            report = await d.artifacts.inspect(name, version, is_deep=is_deep)
        else:
            cache = ArtifactCache(root)
            entry = await _entry(context, d, cache, name, version)
            report = await cache.inspect(entry, is_deep=is_deep)
    context.output.one(report_to_wire(report), name="name")
    if report.status is CacheStatus.INSTALLED:
        return Exit.OK
    get = f"get them: discoveryctl artifacts pull {name}{_there(at_daemon)}"
    if report.status is CacheStatus.MISSING:
        return complain(NotFoundError(f"model {name}: its files are not here"), get)
    note(f"model {name}: unhealthy, {report.detail}")
    note(get, name="hint")
    return Exit.DEGRADED


async def _drop(
    context: Context, name: str, *, version: int | None, root: str | None, at_daemon: bool
) -> int:
    async with context.connect() as d:
        if at_daemon:
            record = await model_of(d, name, version)
            entry = model_entry(record.model)
            was_there = await d.artifacts.drop(name, record.version)
        else:
            cache = ArtifactCache(root)
            entry = await _entry(context, d, cache, name, version)
            was_there = await cache.drop(entry)
    if not was_there:
        hint = f"see what is here: discoveryctl artifacts list{_there(at_daemon)}"
        return complain(NotFoundError(f"model {name}: its files are not here"), hint)
    row = {"name": entry, "event": "dropped"}
    context.output.many([row], tuple(row))
    return Exit.OK


async def _list(context: Context, root: str | None, *, at_daemon: bool) -> int:
    if at_daemon:
        async with context.connect() as d:
            reports = await d.artifacts.list()
    else:
        reports = await ArtifactCache(root).list()
    if not reports and context.output.is_table:
        note("no files of models here")
    else:
        context.output.many([report_row(report) for report in reports], _COLUMNS)
    return Exit.OK


async def _gc(context: Context, root: str | None, budget: int) -> int:
    cache = ArtifactCache(root)
    async with context.connect() as d:
        gone = await cache.gc(d, budget)
    if gone or not context.output.is_table:
        context.output.many([dropped_row(report) for report in gone], DROPPED_COLUMNS)
    left = total_bytes(await cache.list())
    note(f"removed {len(gone)} of {size(total_bytes(gone))}, {size(left)} are left")
    if left <= budget:
        return Exit.OK
    note(f"that is more than {size(budget)}: the rest is in use")
    return Exit.DEGRADED


async def _entry(
    context: Context, d: Discovery, cache: ArtifactCache, name: str, version: int | None
) -> str:
    """Return the entry of a model of the catalog, or the one that is here by that name itself."""
    try:
        return model_entry((await model_of(d, name, version)).model)
    except NotFoundError:
        if version is None and context.tenant is None and await _is_here_as(cache, name):
            return name
        raise


async def _is_here_as(cache: ArtifactCache, name: str) -> bool:
    try:
        return (await cache.inspect(check_entry(name))).status is not CacheStatus.MISSING
    except InvalidArgumentError:
        return False


def _there(at_daemon: bool) -> str:
    """Return the words that mean the same cache in another command."""
    return " --at-daemon" if at_daemon else ""
