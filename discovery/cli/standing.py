"""Commands that show how a daemon is."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import click

from discovery.cli.context import Context
from discovery.cli.exits import Exit
from discovery.cli.notes import note

if TYPE_CHECKING:
    from collections.abc import Mapping

_BEATS_UNTIL_DEGRADED: Final = 3


@click.command()
@click.pass_obj
def status(context: Context) -> int:
    """Show how the daemon is: store, revision, counts, and records that cannot be read.

    Ends with 6 when the daemon has not heard from its store for three beats.
    """
    answer = context.run(_status(context))
    started_ms, _ = answer.pop("started_ms", None), answer.pop("now_ms", None)
    if isinstance(started_ms, int):
        answer["started"] = f"{datetime.fromtimestamp(started_ms / 1000, UTC):%Y-%m-%dT%H:%M:%SZ}"
    context.output.one(answer, name="daemon")
    why = degradation_of(answer)
    if why:
        note(f"degraded: {why}")
    return Exit.DEGRADED if why else Exit.OK


@click.command()
@click.option("--client", "is_client_only", is_flag=True, help="Do not ask a daemon.")
@click.pass_obj
def version(context: Context, *, is_client_only: bool) -> None:
    """Show the versions of this program and of the daemon."""
    from importlib.metadata import version as installed  # noqa: PLC0415 - slow, rarely needed

    fields: dict[str, object] = {"client": installed("discoveryd")}
    if not is_client_only:
        fields["daemon"] = context.run(_status(context)).get("version")
    context.output.one(fields, name="client" if is_client_only else "daemon")


def degradation_of(status: Mapping[str, object]) -> str | None:
    """Return why a daemon that tells this of itself is degraded; None when it is not."""
    age_s, beat_s = status.get("store_age_s"), status.get("beat_interval_s")
    if not isinstance(age_s, float | int) or not isinstance(beat_s, float | int):
        return None
    if age_s <= _BEATS_UNTIL_DEGRADED * beat_s:
        return None
    return (
        f"the daemon has not heard from its store {status.get('store')} for {age_s:.1f} s; what it "
        "tells may be old, and nothing can be registered"
    )


async def _status(context: Context) -> dict[str, object]:
    async with context.connect() as d:
        return dict(await d.status())
