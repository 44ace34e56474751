"""What a reader has not read yet, coalesced per key: memory is bounded by the number of instances.

Sans-I/O. A `Coalescer` stands before the application's loop, an `Outbox` before its iterator.
"""

from __future__ import annotations

from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING

from discovery.events import Added, Cause, Event, Removed

if TYPE_CHECKING:
    from collections.abc import Iterable

    from discovery.ids import InstanceId
    from discovery.instance import Instance
    from discovery.view import Shown


@dataclass(slots=True)
class Pending:
    """The last word on a key, and the first removal of what the reader has of it.

    `at` and `removed_at` are their places in the order of all that was pushed.
    """

    last: Shown
    at: int
    removed: Shown | None = None
    removed_at: int = 0


class Coalescer:
    """Changes not handed on yet: of each key the first removal and the last word, nothing between.

    A key of which the reader has nothing, and there is nothing any more, is forgotten.
    """

    def __init__(self) -> None:
        self._pending: dict[str, Pending] = {}
        self._given: set[str] = set()
        self._pushed = 0

    def __bool__(self) -> bool:
        return bool(self._pending)

    def push(self, shown: Iterable[Shown]) -> None:
        """Note what became visible or went, in order."""
        for change in shown:
            self._pushed += 1
            if change.item is not None:
                self._came(change)
            elif change.key in self._given:
                self._went(change)
            else:
                self._pending.pop(change.key, None)

    def _came(self, change: Shown) -> None:
        pending = self._pending.get(change.key)
        if pending is None:
            self._pending[change.key] = Pending(change, self._pushed)
        else:
            pending.last, pending.at = change, self._pushed

    def _went(self, change: Shown) -> None:
        pending = self._pending.get(change.key)
        if pending is None or pending.removed is None:
            self._pending[change.key] = Pending(change, self._pushed, change, self._pushed)
        else:
            pending.last, pending.at = change, self._pushed

    def drain(self) -> list[Pending]:
        """Hand over what is pending, key by key, in no promised order."""
        pending, self._pending = self._pending, {}
        for key, word in pending.items():
            if word.last.item is None:
                self._given.discard(key)
            else:
                self._given.add(key)
        return list(pending.values())

    def take(self) -> list[Shown]:
        """Hand over what is pending, in the order in which it was pushed."""
        shown: list[tuple[int, Shown]] = []
        for pending in self.drain():
            if pending.removed is not None:
                shown.append((pending.removed_at, pending.removed))
            if pending.last.item is not None:
                shown.append((pending.at, pending.last))
        shown.sort(key=itemgetter(0))
        return [change for _, change in shown]


class Outbox:
    """The difference between what a reader was given and what is shown now.

    `take` hands it over as one diff, in the order of the revisions. A key is in it twice when it
    went and came back different: without its removal a reader could for a moment see two models.
    """

    def __init__(self) -> None:
        self._given: dict[str, Instance] = {}
        self._coalescer = Coalescer()

    def __bool__(self) -> bool:
        return bool(self._coalescer)

    def push(self, shown: Iterable[Shown]) -> None:
        """Note what became visible or went, in order."""
        self._coalescer.push(shown)

    def take(self) -> list[Event]:
        """Return the diff and consider it given. Empty when all that happened cancels out."""
        events: list[tuple[int, Event]] = []
        for pending in self._coalescer.drain():
            events += self._diff(pending)
        events.sort(key=itemgetter(0))
        return [event for _, event in events]

    def _diff(self, pending: Pending) -> list[tuple[int, Event]]:
        key, removed = pending.last.key, pending.removed
        before = self._given.get(key)
        after = pending.last.item.instance if pending.last.item else None
        events: list[tuple[int, Event]] = []
        if before == after:
            return events
        if before is not None and removed is not None:
            events.append((pending.removed_at, _removed(before.id, removed)))
            del self._given[key]
        if after is not None:
            is_update = key in self._given
            added = Added(instance=after, revision=pending.last.revision, is_update=is_update)
            events.append((pending.at, added))
            self._given[key] = after
        return events


def _removed(instance_id: InstanceId, shown: Shown) -> Removed:
    return Removed(
        id=instance_id,
        revision=shown.revision,
        cause=shown.cause or Cause.RESYNC,
        detail=shown.detail,
    )
