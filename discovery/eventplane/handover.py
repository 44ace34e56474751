"""From the I/O thread to the reader's loop: a bounded queue there, and a few batches on their way.

A reader that does not keep up makes the queue drop its oldest events, never wait. As long as two
batches are under way no further one is sent, so that what waits in the reader's loop is bounded.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple

from discovery.eventplane.items import EventItem, Lost
from transports.mailbox import Mailbox

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from transports.sequence import Gap

BATCH: Final = 512
"""How many items go over at once."""

_UNDER_WAY: Final = 2


class Limits(NamedTuple):
    """How much may wait for a reader; more drops the oldest."""

    max_items: int
    max_bytes: int


class Handover:
    """Takes items on the I/O thread and gives batches of them to `deliver` on the reader's loop.

    Args:
        limits: how much may wait.
        loop: the reader's.
        deliver: takes a batch, which is to be acknowledged once it is being read.
    """

    def __init__(
        self,
        limits: Limits,
        loop: asyncio.AbstractEventLoop,
        deliver: Callable[[Sequence[EventItem]], None],
    ) -> None:
        self._mailbox: Mailbox[EventItem] = Mailbox(
            max_items=limits.max_items, max_bytes=limits.max_bytes
        )
        self._loop, self._deliver = loop, deliver
        self._under_way = 0
        self._is_due = False

    def put(
        self, item: EventItem, publisher_id: int, gap: Gap | None, size: int = 0
    ) -> Sequence[int]:
        """Take an item, see `Mailbox.put`. On the I/O thread."""
        if not self._is_due and self._under_way < _UNDER_WAY:
            self._is_due = True
            asyncio.get_running_loop().call_soon(self._flush)
        return self._mailbox.put(item, publisher_id, gap, size)

    def acknowledge(self) -> None:
        """One batch is being read: another may go. On the I/O thread."""
        self._under_way -= 1
        self._flush()

    def _flush(self) -> None:
        self._is_due = False
        while self._under_way < _UNDER_WAY and len(self._mailbox):
            dropped, items = self._mailbox.take(BATCH)
            batch = [Lost(whose, *gap) for whose, gap in dropped] + items
            self._under_way += 1
            with suppress(RuntimeError):  # the reader's loop is closed
                self._loop.call_soon_threadsafe(self._deliver, batch)
