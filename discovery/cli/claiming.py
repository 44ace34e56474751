"""Commands that claim a download, and hold the claim while they run."""

from __future__ import annotations

import asyncio
import signal
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from discovery.claimrecord import PROVIDERS, ClaimStatus, claim_to_wire
from discovery.cli.completing import complete_claim
from discovery.cli.context import Context
from discovery.cli.exits import Exit, complain
from discovery.cli.notes import note
from discovery.cli.rows import COLUMNS
from discovery.cli.telling import tell_of_connection
from discovery.errors import (
    AlreadyExistsError,
    DeadlineExceededError,
    FailedPreconditionError,
    NotFoundError,
)
from discovery.models.claims import AlreadyExists
from transports.scope import running

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from discovery.claimrecord import ClaimRecord
    from discovery.client import Discovery
    from discovery.models.claims import ClaimStream

    Deed = Callable[[Discovery], Awaitable[int]]


@dataclass(frozen=True, slots=True)
class Model:
    """Which model of which provider is claimed."""

    name: str
    provider: str

    def __str__(self) -> str:
        return f"claim {self.name} of {self.provider}"

    @property
    def words(self) -> str:
        """As it is typed."""
        return f"{self.name} --provider {self.provider}"


def one_claim(command: Callable[..., int | None]) -> Callable[..., int | None]:
    """Add what names a model and its provider."""
    provider = click.option(
        "--provider",
        required=True,
        type=click.Choice(PROVIDERS),
        help="Where it comes from.",
    )
    return click.argument("name", shell_complete=complete_claim)(provider(command))


def held(command: Callable[..., int | None]) -> Callable[..., int | None]:
    """Add how long a claim is held after this process is killed."""
    return click.option(
        "--ttl",
        "ttl_s",
        type=click.FloatRange(1, 3600),
        default=10.0,
        show_default=True,
        metavar="SECONDS",
        help="How long it is held when this process is killed.",
    )(command)


@click.command()
@one_claim
@held
@click.pass_obj
def try_(context: Context, name: str, *, provider: str, ttl_s: float) -> int:
    """Claim a download, and hold the claim while this runs.

    Ends with 4 when somebody has claimed it, downloaded it or failed. Ctrl-C or SIGTERM gives the
    claim up: it is an ERROR then, "owner lost".
    """
    model = Model(name, provider)

    async def claim(d: Discovery) -> int:
        found = await d.claims.try_claim(name, provider)
        return _refused(model, found.status) if isinstance(found, AlreadyExists) else Exit.OK

    return context.run(hold(context, model, ttl_s, claim))


@click.command()
@one_claim
@held
@click.pass_obj
def reset(context: Context, name: str, *, provider: str, ttl_s: float) -> int:
    """Take over a download that failed, and hold the claim while this runs.

    Ends with 4 when it is not an ERROR, and with 5 when there is none. Ctrl-C or SIGTERM gives the
    claim up: it is an ERROR then, "owner lost".
    """
    model = Model(name, provider)

    async def claim(d: Discovery) -> int:
        if await d.claims.try_reset_error(name, provider):
            return Exit.OK
        there = await found(d, model)
        if there is not None:
            return complain(
                FailedPreconditionError(f"{model}: is {there.status}, expected ERROR"),
                _hint(model, there.status),
            )
        hint = f"claim it: discoveryctl claims try {model.words}"
        return complain(NotFoundError(f"{model}: there is none"), hint)

    return context.run(hold(context, model, ttl_s, claim))


async def hold(context: Context, model: Model, ttl_s: float, claim: Deed) -> int:
    """Do what claims a download; then hold the claim until told to stop."""
    stop, given_up = asyncio.Event(), None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    try:
        async with context.connect(lease_ttl_s=ttl_s) as d:
            code = await claim(d)
            if code:
                return code
            given_up = (
                f"{model}: given up, so it is ERROR 'owner lost'; what it is instead is said with "
                "`discoveryctl claims set`"
            )
            await _keep(context, d, model, stop)
    except FailedPreconditionError:  # it was lost before
        given_up = None
        raise
    finally:
        if given_up:
            note(given_up)
    return Exit.OK


async def _keep(context: Context, d: Discovery, model: Model, stop: asyncio.Event) -> None:
    """Show the claim and wait for `stop`. Raises `FailedPreconditionError` when it is lost."""
    away = f"no daemon answers; the claim ends {d.lease_ttl_s:g} s after the last answer"
    async with d.claims.wait(model.name, model.provider) as stream:
        try:
            async with asyncio.timeout(context.timeout_s):
                show(context, await _owned(stream, d.instance_id))
        except TimeoutError:
            text = f"{model}: claimed, and not seen to be within {context.timeout_s:g} s"
            raise DeadlineExceededError(text) from None
        async with running(
            _until_lost(stream, d.instance_id, model), tell_of_connection(d, away=away)
        ):
            await stop.wait()


async def _owned(stream: ClaimStream, owner: int) -> ClaimRecord:
    """Return the claim as soon as it is seen to be the owner's."""
    while True:
        record = await anext(stream)
        if record is not None and record.owner == owner:
            return record


async def _until_lost(stream: ClaimStream, owner: int, model: Model) -> None:
    async for record in stream:
        if record is None:
            raise FailedPreconditionError(f"{model}: lost, it was deleted")
        if record.owner != owner:
            why = f" ({record.message})" if record.message else ""
            raise FailedPreconditionError(f"{model}: lost, it is {record.status}{why}")


async def found(d: Discovery, model: Model) -> ClaimRecord | None:
    """Return the claim of a model of one provider."""
    claims = await d.claims.by_last_used()
    return next((one for one in claims if Model(one.model_name, one.provider) == model), None)


def claim_row(context: Context, record: ClaimRecord) -> dict[str, object]:
    """Return a claim's row; a table has the owner as ids are written."""
    row = claim_to_wire(record)
    if context.output.is_table and record.owner is not None:
        row["owner"] = f"{record.owner:x}"
    return row


def show(context: Context, record: ClaimRecord) -> None:
    """Print one claim."""
    context.output.rows(COLUMNS["claims"]).start([claim_row(context, record)])


def _refused(model: Model, status: ClaimStatus) -> int:
    error = AlreadyExistsError(f"{model}: there is one already, it is {status}")
    return complain(error, _hint(model, status))


def _hint(model: Model, status: ClaimStatus) -> str:
    """Return what can be done about a claim that is as it is."""
    match status:
        case ClaimStatus.DOWNLOADING:
            return f"wait for it: discoveryctl claims wait {model.words}"
        case ClaimStatus.ERROR:
            return f"take it over: discoveryctl claims reset {model.words}"
        case _:
            return f"to have it downloaded again: discoveryctl claims delete {model.name}"
