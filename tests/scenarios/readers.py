"""What a router has to say: what its follower went through, and what its application is given."""

from __future__ import annotations

from copy import copy
from itertools import groupby
from typing import TYPE_CHECKING

from discovery.events import Added
from discovery.follower import StreamState
from discovery.outbox import Coalescer, Outbox
from tests.scenarios.records import text_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from discovery.events import Event
    from discovery.follower import Follower, FollowerCounters
    from discovery.ids import InstanceId


class Reader:
    """Behind one follower.

    Args:
        follower: what is read.
        say: prints a line.
    """

    def __init__(self, follower: Follower, say: Callable[[str], None]) -> None:
        self.is_reading = True
        self.is_expectant = False
        """The next answer is told of, even if it says nothing new."""
        self._follower, self._say = follower, say
        self._coalescer, self._outbox = Coalescer(), Outbox()
        self._state = StreamState.SYNCING
        self._held: list[str] = []

    def note(self, what: str, take_in: Callable[[], None]) -> None:
        """Let the follower take in something; say what that did to it."""
        follower = self._follower
        before, epoch, revision = copy(follower.counters), follower.epoch, follower.revision
        take_in()
        after = follower.counters
        if after.gaps > before.gaps:
            self._say(f"gap: {what}, the view is at {revision}")
        if after.corruptions > before.corruptions:
            self._say(f"digest differs: {what}")
        if after.refusals > before.refusals:
            self._say(f"refused: {what}, the view is at {revision}")
        if after.epochs > before.epochs:
            self._say(f"from epoch {epoch} to {follower.epoch}")
        self._note_answer(before, after, revision)
        if after.gaps + after.corruptions > before.gaps + before.corruptions:
            self.is_expectant = True

    def _note_answer(
        self, before: FollowerCounters, after: FollowerCounters, revision: int
    ) -> None:
        at = self._follower.revision
        is_backfill, is_snapshot = (
            after.backfills > before.backfills,
            after.snapshots > before.snapshots,
        )
        if is_snapshot:
            self._say(f"snapshot at revision {at}")
        elif is_backfill and (self.is_expectant or at > revision):
            self._say(f"backfill after {revision}, to {at}")
        if is_snapshot or is_backfill:
            self.is_expectant = False

    def read(self, now: float) -> None:
        """Say what is shown and held, and how far it can be trusted, as far as that is new."""
        self._coalescer.push(self._follower.take())
        held = sorted(self._follower._view.held)
        for key in held:
            if key not in self._held:
                self._say(f"holds {_named(self._follower, key)}")
        if self.is_reading:
            self._outbox.push(self._coalescer.take())
            for event in _sorted(self._outbox.take()):
                self._say(_told(event))
        for key in self._held:
            if key not in held and key in self._follower.items:
                self._say(f"holds {_named(self._follower, key)} no more: it is back")
        self._held = held
        self._note_state(now)

    def _note_state(self, now: float) -> None:
        before, self._state = self._state, self._follower.state(now)
        if self._state is not before:
            is_first = before is StreamState.SYNCING
            self._say(f"synced, {self._shown()}" if is_first else f"{self._state}")

    def describe(self, now: float) -> None:
        """Say how far the view is proven."""
        follower = self._follower
        at = f"revision {follower.revision} of {follower.epoch}"
        proven = f"proven {follower.staleness_s(now):.0f} s ago"
        self._say(f"{follower.state(now)} at {at}, {self._shown()}, {proven}")

    def _shown(self) -> str:
        count = len(self._follower.items)
        return "1 instance" if count == 1 else f"{count} instances"


def _named(follower: Follower, key: str) -> str:
    instance = follower.items[key].instance
    return str(instance.id) if instance else key


def _sorted(events: Iterable[Event]) -> Iterator[Event]:
    """Yield events in their order; what a snapshot adds at one revision has none, and gets one."""
    for _, run in groupby(events, lambda event: (type(event), event.revision)):
        yield from sorted(run, key=lambda event: str(_id_of(event)))


def _id_of(event: Event) -> InstanceId:
    return event.instance.id if isinstance(event, Added) else event.id


def _told(event: Event) -> str:
    if isinstance(event, Added):
        sign = "~" if event.is_update else "+"
        return f"{sign} {text_of(event.instance)} (revision {event.revision})"
    return f"- {event.id} {event.cause} (revision {event.revision})"
