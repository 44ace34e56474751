"""From the I/O thread to the application: changes of a view, coalesced while it does not listen."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from discovery.outbox import Coalescer

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Sequence

    from discovery.background import Background
    from discovery.followed import Status
    from discovery.query import Query
    from discovery.view import Shown


class Feeder:
    """Carries changes from the I/O thread to the application's loop, one batch at a time.

    While a batch is on its way, what comes after is coalesced per key: a blocked loop costs memory
    for its instances, not for their changes.

    Args:
        background: the I/O thread.
        loop: the application's.
        receive: takes each batch, on `loop`.
        query: what of it is wanted.
    """

    def __init__(
        self,
        background: Background,
        loop: asyncio.AbstractEventLoop,
        receive: Callable[[Sequence[Shown], Status], None],
        query: Query,
    ) -> None:
        self._background, self._loop, self._receive = background, loop, receive
        self._query = query
        self._coalescer = Coalescer()
        self._status: Status | None = None
        self._is_under_way = False

    def push(self, shown: Sequence[Shown], status: Status) -> None:
        """Send what became visible or went, and how things stand. On the I/O thread."""
        self._coalescer.push(change for change in shown if self._is_wanted(change))
        self._status = status
        self._send()

    def _arrived(self) -> None:
        self._is_under_way = False
        self._send()

    def _send(self) -> None:
        if self._is_under_way or self._status is None:
            return
        shown, status, self._status = self._coalescer.take(), self._status, None
        self._is_under_way = True
        with suppress(RuntimeError):  # the application's loop is closed: nobody is left to tell
            self._loop.call_soon_threadsafe(self._deliver, shown, status)

    def _deliver(self, shown: Sequence[Shown], status: Status) -> None:
        try:
            self._receive(shown, status)
        finally:  # else nothing would ever come again
            self._background.call(self._arrived)

    def _is_wanted(self, change: Shown) -> bool:
        """Let through what the query asks for; a removal is let through, and ignored if unknown."""
        if change.item is None or change.item.instance is None:
            return True
        return self._query.matches(change.item.instance.id)
