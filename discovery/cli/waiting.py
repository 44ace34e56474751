"""`discoveryctl wait`: until something is there, or gone."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import click

from discovery.cli.completing import complete_scoped_kind
from discovery.cli.context import Context
from discovery.cli.kinds import LEVELS, names_in, query_of, split_scope
from discovery.cli.rows import COLUMNS, row_of
from discovery.errors import DeadlineExceededError, UnavailableError
from discovery.follower import StreamState
from discovery.ids import parse_id

if TYPE_CHECKING:
    from collections.abc import Sequence

    from discovery.client import Discovery
    from discovery.ids import InstanceId
    from discovery.instance import Instance
    from discovery.query import Query

_COUNT: Final = re.compile(r"count=(\d{1,9})")
_LOOK_S: Final = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """What is waited for: how many there shall be in a scope, or under one id; None: any."""

    text: str
    kind: str
    query: Query
    identity: InstanceId | None
    count: int | None

    def found(self, instances: Sequence[Instance]) -> Sequence[Instance]:
        """Return those that count."""
        wanted = [i for i in instances if self.query.matches(i.id)]
        return [i for i in wanted if self.identity in (None, i.id)]

    def is_reached(self, found: Sequence[Instance]) -> bool:
        """Say whether these are as many as there shall be."""
        return bool(found) if self.count is None else len(found) == self.count


@click.command()
@click.argument(
    "target", metavar="daemon|KIND[/NS[/COMP[/EP[/ID]]]]", shell_complete=complete_scoped_kind
)
@click.option(
    "--for",
    "condition",
    default="exists",
    show_default=True,
    metavar="exists|gone|count=N",
    help="What to wait for; count=N is exactly N.",
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
def wait(context: Context, target: str, condition: str, within_s: float) -> None:
    """Wait until something is there, or gone; also for the daemon itself.

    Prints what was waited for. Ends with 3 when the time is over. While a daemon that was started
    just now may not have heard from everybody yet, nothing counts as gone.
    """
    if target == "daemon":
        if condition not in {"exists", "ready"}:
            raise click.UsageError(f"--for {condition!r}: a daemon can only be ready")
        context.run(_wait_for_daemon(context, within_s))
    else:
        context.run(_wait(context, _goal(target, condition), within_s))


def _goal(target: str, condition: str) -> Goal:
    counted = _COUNT.fullmatch(condition)
    if not counted and condition not in {"exists", "gone"}:
        raise click.UsageError(f"--for {condition!r}: expected exists, gone or count=N")
    kind, rest = split_scope(target)
    names = names_in(rest)
    count = int(counted[1]) if counted else 0 if condition == "gone" else None
    identity = parse_id(f"{kind}/{'/'.join(names)}") if len(names) > len(LEVELS[kind]) else None
    path = names if identity is None else identity.scope[1:3]
    return Goal(
        text=f"{target}: {condition}",
        kind=kind,
        query=query_of(kind, "/".join(path)),
        identity=identity,
        count=count,
    )


async def _wait_for_daemon(context: Context, within_s: float) -> None:
    async with context.connect(connect_timeout_s=within_s) as d:
        answer = await d.status()
    fields = {name: answer.get(name) for name in ("daemon", "version", "store", "recovering")}
    context.output.one(fields, name="daemon")


async def _wait(context: Context, goal: Goal, within_s: float) -> None:
    found: Sequence[Instance] | None = None
    try:
        async with (
            asyncio.timeout(within_s),
            context.connect(connect_timeout_s=within_s) as d,
            d.watch(goal.query) as stream,
        ):
            await stream.synced()
            while True:
                found = goal.found(list(stream.instances.values()))
                is_proven = stream.state is not StreamState.STALE
                if is_proven and goal.is_reached(found):
                    if found or await _has_heard_all(d):
                        break
                    await asyncio.sleep(_LOOK_S)
                else:
                    await stream.changed()
    except TimeoutError:
        if found is None:
            raise UnavailableError(f"{context.url}: no answer within {within_s:g} s") from None
        text = f"{goal.text}: not so within {within_s:g} s, there are {len(found)}"
        raise DeadlineExceededError(text) from None
    if found:
        context.output.many([row_of(instance) for instance in found], COLUMNS[goal.kind])


async def _has_heard_all(d: Discovery) -> bool:
    """Say whether the daemon has been there for long enough to know who lives."""
    return not (await d.status()).get("recovering")
