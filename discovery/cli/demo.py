"""`discoveryctl demo`: what discoveryd does, shown with real processes in half a minute."""

from __future__ import annotations

import asyncio
import signal
import sys
import tempfile
from typing import TYPE_CHECKING

import click

from discovery.cli.context import Context
from discovery.cli.exits import Exit
from discovery.cli.narrator import Narrator
from discovery.cli.stage import DAEMON, Stage
from discovery.cli.story import ClaimFailedError, Story

if TYPE_CHECKING:
    from collections.abc import Sequence

_TTL_S = 2.0


@click.command()
@click.pass_obj
def demo(context: Context, /) -> int:
    """Show in half a minute what discoveryd does.

    Starts a daemon, workers and a router of its own on free ports of this machine, lets things go
    wrong, and checks every claim against what the router says. Ends all that it started. The exit
    code is 1 when a claim is not so.
    """
    return perform(context, DAEMON)


def perform(context: Context, daemon: Sequence[str]) -> int:
    """Play the story with a daemon that `daemon` runs; return the exit code."""
    narrator = Narrator(sys.stdout, is_coloured=context.output.is_coloured)
    try:
        with tempfile.TemporaryFile() as errors:  # shown only when something goes wrong
            context.run(_play(narrator, Stage(daemon, _TTL_S, errors)))
    except ClaimFailedError as error:
        narrator.end(f"This is not so: {error}.")
        return Exit.ERROR
    except asyncio.CancelledError:
        raise click.Abort from None
    narrator.end(f"All {narrator.claims} claims are so. Now your own: discoveryd --help")
    return Exit.OK


async def _play(narrator: Narrator, stage: Stage) -> None:
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None  # noqa: S101 - we are in one
    for number in (signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, task.cancel)  # so that the stage is cleared then, too
    async with stage:
        await Story(stage, narrator).play()
