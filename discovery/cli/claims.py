"""`discoveryctl claims`: who downloads which model."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import click

from discovery.claimrecord import ClaimStatus
from discovery.cli.claiming import Model, claim_row, found, held, hold, one_claim, reset, show, try_
from discovery.cli.completing import complete_claim
from discovery.cli.context import Context
from discovery.cli.exits import Exit, complain
from discovery.cli.notes import note
from discovery.cli.output import Shape
from discovery.cli.rows import COLUMNS
from discovery.errors import (
    DeadlineExceededError,
    FailedPreconditionError,
    NotFoundError,
    RecordError,
    UnavailableError,
)

if TYPE_CHECKING:
    from discovery.claimrecord import ClaimRecord
    from discovery.client import Discovery

_WHICH = "see what there is: discoveryctl claims list"
_STATUSES = click.Choice([str(status) for status in ClaimStatus])
_NAME = click.argument("name", shell_complete=complete_claim)


@click.group()
def claims() -> None:
    """Say who downloads which model, and look.

    There is one claim for each model and provider.
    """


claims.add_command(try_, "try")
claims.add_command(reset, "reset")


@claims.command("list")
@click.option("--limit", type=click.IntRange(min=0), metavar="N", help="At most so many.")
@click.pass_obj
def list_(context: Context, *, limit: int | None) -> None:
    """List the claims, what was not used for longest first."""
    context.run(_list(context, limit))


@claims.command()
@_NAME
@click.pass_obj
def get(context: Context, name: str) -> int:
    """Show the claim of a model, of the first provider that has one.

    That is HuggingFace, Ngc, Gcs and File, in this order.
    """
    record = context.run(_get(context, name))
    if record is None:
        return _unknown(name)
    context.output.one(claim_row(context, record), name="model_name")
    return Exit.OK


@claims.command()
@click.pass_obj
def counts(context: Context) -> None:
    """Show how many claims have each status."""
    if context.output.shape is Shape.NAME:
        raise click.UsageError("counts have no names: expected another form than -o name")
    context.output.one(context.run(_counts(context)))


@claims.command("set")
@one_claim
@click.option("--status", required=True, type=_STATUSES, help="How far the download has got.")
@click.option("--message", metavar="TEXT", help="Why, or how far.  [default: none]")
@held
@click.pass_obj
def set_(
    context: Context, name: str, *, provider: str, status: str, message: str | None, ttl_s: float
) -> int:
    """Write how far a download has got; make the claim if there is none.

    With DOWNLOADING it is held while this runs, as by try. Ends with 4 while another process is
    downloading.
    """
    model = Model(name, provider)

    async def write(d: Discovery) -> int:
        try:
            await d.claims.set_status(name, provider, status, message)
        except FailedPreconditionError as error:
            return complain(error, f"wait for it: discoveryctl claims wait {model.words}")
        return Exit.OK

    if status == ClaimStatus.DOWNLOADING:
        return context.run(hold(context, model, ttl_s, write))

    async def write_and_show() -> int:
        async with context.connect() as d:
            code = await write(d)
            record = None if code else await found(d, model)
        if record is not None:
            show(context, record)
        return code

    return context.run(write_and_show())


@claims.command()
@_NAME
@click.pass_obj
def touch(context: Context, name: str) -> int:
    """Say that a model is used now."""
    record = context.run(_touch(context, name))
    if record is None:
        return _unknown(name)
    show(context, record)
    return Exit.OK


@claims.command()
@_NAME
@click.pass_obj
def delete(context: Context, name: str) -> int:
    """Delete the claims of a model, of every provider.

    Whoever downloads it is not stopped, and holds no claim any more.
    """
    if not context.run(_delete(context, name)):
        return _unknown(name)
    row = {"model_name": name, "event": "deleted"}
    context.output.many([row], tuple(row))
    return Exit.OK


@claims.command()
@one_claim
@click.option(
    "--for",
    "wanted",
    type=_STATUSES,
    default=str(ClaimStatus.DOWNLOADED),
    show_default=True,
    help="What to wait for.",
)
@click.option(
    "--timeout",
    "within_s",
    type=click.FloatRange(min=0.1),
    default=30.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait at most, for a daemon too.",
)
@click.pass_obj
def wait(context: Context, name: str, *, provider: str, wanted: str, within_s: float) -> None:
    """Wait until a download has got so far.

    Prints the claim as it is, and at each change. Ends with 3 when the time is over.
    """
    context.run(_wait(context, Model(name, provider), wanted, within_s))


async def _list(context: Context, limit: int | None) -> None:
    async with context.connect() as d:
        rows = [claim_row(context, record) for record in await d.claims.by_last_used(limit)]
    if not rows and context.output.is_table:
        note("no claims")
    else:
        context.output.many(rows, COLUMNS["claims"])


async def _get(context: Context, name: str) -> ClaimRecord | None:
    async with context.connect() as d:
        return await d.claims.record(name)


async def _counts(context: Context) -> dict[str, int]:
    async with context.connect() as d:
        return (await d.claims.counts())._asdict()


async def _touch(context: Context, name: str) -> ClaimRecord | None:
    async with context.connect() as d:
        await d.claims.touch(name)
        return await d.claims.record(name)


async def _delete(context: Context, name: str) -> bool:
    """Delete the claims of a name; say whether there was one."""
    async with context.connect() as d:
        try:
            is_there = await d.claims.record(name) is not None
        except RecordError:  # what cannot be read can be deleted
            is_there = True
        await d.claims.delete(name)
    return is_there


async def _wait(context: Context, model: Model, wanted: str, within_s: float) -> None:
    rows = context.output.rows(COLUMNS["claims"])
    seen: str | None = None
    try:
        async with (
            asyncio.timeout(within_s),
            context.connect(connect_timeout_s=within_s) as d,
            d.claims.wait(model.name, model.provider) as stream,
        ):
            async for record in stream:
                row = _no_claim(model) if record is None else claim_row(context, record)
                if seen is None:
                    rows.start([row])
                else:
                    rows.row(row)
                seen = "unclaimed" if record is None else record.status
                if seen == wanted:
                    return
    except TimeoutError:
        if seen is None:
            raise UnavailableError(f"{context.url}: no answer within {within_s:g} s") from None
        text = f"{model}: {wanted}: not so within {within_s:g} s, it is {seen}"
        raise DeadlineExceededError(text) from None


def _no_claim(model: Model) -> dict[str, object]:
    """Return the row of a claim that does not exist: nothing is known but what was asked for."""
    missing = ("status", "created_at", "last_used_at", "message", "owner", "revision")
    return {"model_name": model.name, "provider": model.provider} | dict.fromkeys(missing)


def _unknown(name: str) -> Exit:
    return complain(NotFoundError(f"claim {name}: there is none"), _WHICH)
