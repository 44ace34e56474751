"""Says on stderr whether what is shown is still known to be right."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from discovery.cli.notes import note
from discovery.connection import ConnectionState
from discovery.follower import StreamState

if TYPE_CHECKING:
    from discovery.client import Discovery
    from discovery.query import Query

_AWAY: Final = "no daemon answers; what is shown is the last that was known"
_BACK: Final = "a daemon answers again"
_LOOK_S: Final = 0.5


async def tell_of_state(d: Discovery, query: Query, *, away: str = _AWAY) -> None:
    """Tell, for ever, when a view cannot be proven any more, and when it can again."""
    async with d.watch(query) as stream:
        await stream.synced()
        was_stale = False
        while True:
            is_stale = stream.state is StreamState.STALE
            if is_stale != was_stale:
                note(away if is_stale else _BACK)
            was_stale = is_stale
            await stream.changed()


async def tell_of_connection(d: Discovery, *, away: str = _AWAY) -> None:
    """Tell, for ever, when no daemon answers, and when one answers again.

    For streams that do not say themselves whether they are proven.
    """
    was_away = False
    while True:
        is_away = d.state is not ConnectionState.CONNECTED
        if is_away != was_away:
            note(away if is_away else _BACK)
        was_away = is_away
        await asyncio.sleep(_LOOK_S)
