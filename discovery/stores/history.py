"""The last revisions of a store, and the watches that read them."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Self

from discovery.store import Batch, CompactedError, Watch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from discovery.store import Change


class History:
    """A bounded run of batches whose revisions grow by one."""

    def __init__(self, *, revision: int, limit: int) -> None:
        self.revision = revision
        self._batches: deque[Batch] = deque(maxlen=limit)
        self._watches: dict[HistoryWatch, None] = {}  # told in the order in which they were entered

    def append(self, changes: Sequence[Change]) -> int:
        """Record `changes` as the next revision and return it; no changes, no revision."""
        if changes:
            self.revision += 1
            batch = Batch(self.revision, tuple(changes))
            self._batches.append(batch)
            for watch in self._watches:
                watch.see(batch)
        return self.revision

    def after(self, revision: int) -> Sequence[Batch]:
        """Return every batch after `revision`.

        Raises `CompactedError` when they are not all here.
        """
        self.check(revision)
        return [self._batches[i - self.revision] for i in range(revision, self.revision)]

    def check(self, revision: int) -> None:
        """Raise `CompactedError` when not every batch after `revision` is here."""
        floor = self.revision - len(self._batches)
        if not floor <= revision <= self.revision:
            kept = f"expected {floor} to {self.revision}"
            raise CompactedError(f"changes after revision {revision} are not kept: {kept}")

    def watch(self, prefix: str, after: int) -> HistoryWatch:
        """Return a reader of what comes after `after` under `prefix`.

        It holds a position, not a copy.
        """
        return HistoryWatch(self, self._watches, prefix, after)


class HistoryWatch:
    """A position in a history, moved on over what is not under the prefix."""

    def __init__(
        self, history: History, watches: dict[HistoryWatch, None], prefix: str, after: int
    ) -> None:
        self._history = history
        self._watches = watches
        self._prefix = prefix
        self._position = after
        self._waiter: asyncio.Future[None] | None = None

    async def __aenter__(self) -> Self:
        for batch in self._history.after(self._position):  # raises CompactedError
            if self._is_within(batch):
                break
            self._position = batch.revision
        self._watches[self] = None
        return self

    async def __aexit__(self, *_: object) -> None:
        self._watches.pop(self, None)

    def ready(self) -> Sequence[Batch]:
        """See `Watch`."""
        batches = self._history.after(self._position)
        self._position = self._history.revision
        if not self._prefix:
            return batches
        return [part for batch in batches if (part := self._part(batch)).changes]

    async def wait(self) -> None:
        """See `Watch`."""
        while self._position == self._history.revision:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        self._history.check(self._position)

    def see(self, batch: Batch) -> None:
        """Take note of the newest batch: pass over it, or let `wait` return."""
        if self._position == batch.revision - 1 and not self._is_within(batch):
            self._position = batch.revision
        elif self._waiter and not self._waiter.done():
            self._waiter.set_result(None)

    def _is_within(self, batch: Batch) -> bool:
        return any(change.key.startswith(self._prefix) for change in batch.changes)

    def _part(self, batch: Batch) -> Batch:
        inside = tuple(c for c in batch.changes if c.key.startswith(self._prefix))
        return Batch(batch.revision, inside)


_: type[Watch] = HistoryWatch
