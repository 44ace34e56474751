"""The producer of the watch protocol: numbers what happens so that watchers can prove their views.

Sans-I/O. Fed with the batches of the store; hands back EVENTs, BEATs and answers to `sync`. What a
daemon that started at revision R0 knows begins at R0: its chain, its ring and its window.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, TypeVar

from discovery.mirror import Mirror, scopes_above
from discovery.protocol import Beat, Commit, Event, Record, ScopeHead
from discovery.ring import Ring, weight_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from discovery.mirror import Surfaced
    from discovery.names import Scope
    from discovery.store import Batch, Entry

T = TypeVar("T")

_HEAD_OVERHEAD_BYTES = 64  # numbers and framing of one scope in a BEAT


class Feed:
    """Chain, ring and beats over a mirror of the store.

    Args:
        daemon: name of this daemon's life, new at each start.
        window_beats: how many beats back a BEAT lists what changed.
        ring_changes: how many changes are kept for backfills.
        ring_bytes: how many bytes of values those may hold.
        part_bytes: what an EVENT or BEAT may weigh before it is split into parts.
    """

    def __init__(
        self, *, daemon: str, window_beats: int, ring_changes: int, ring_bytes: int, part_bytes: int
    ) -> None:
        self.daemon = daemon
        self._window_beats = window_beats
        self._ring_changes, self._ring_bytes = ring_changes, ring_bytes
        self._part_bytes = part_bytes
        self._beats = 0
        self.start("", 0, ())

    def start(self, epoch: str, revision: int, entries: Iterable[Entry]) -> None:
        """Start over from a snapshot: at the daemon's start, and after the store said Compacted."""
        self.epoch = epoch
        self.mirror = Mirror(revision, entries)
        self._heads: dict[Scope, int] = {}
        self._base = revision  # stands in for the head of a scope that is not in _heads
        self._ring = Ring(revision, changes=self._ring_changes, weight_bytes=self._ring_bytes)
        self._changed: deque[set[Scope]] = deque([set()], maxlen=self._window_beats)
        self._beat_heads: deque[int] = deque([revision], maxlen=self._window_beats)

    @property
    def floor(self) -> int:
        """Backfills begin at or after this revision."""
        return self._ring.floor

    def head(self, scope: Scope) -> int:
        """Return the revision of the last change in `scope`, or a later one not above `floor`."""
        return self._heads.get(scope, self._base)

    # ---- events

    def publish(self, batch: Batch, *, is_doubtful: bool) -> list[Event[Record]]:
        """Take in one batch and return its EVENTs.

        There is one for each touched leaf scope, and more for a scope whose changes are too heavy.
        """
        shown = self.mirror.apply(batch)
        if not shown:
            return []
        parts = self._parts(shown)
        counts: dict[Scope, int] = {}
        for scope, _ in parts:
            for above in scopes_above(scope):
                counts[above] = counts.get(above, 0) + 1
        events = [
            self._event(number, scope, changes, counts, is_doubtful=is_doubtful)
            for number, (scope, changes) in enumerate(parts)
        ]
        for above in counts:
            self._heads[above] = batch.revision
            self._changed[-1].add(above)
        self._forget_heads(self._ring.push(batch.revision, shown))
        return events

    def _event(
        self,
        number: int,
        scope: Scope,
        changes: Sequence[Surfaced],
        counts: dict[Scope, int],
        *,
        is_doubtful: bool,
    ) -> Event[Record]:
        above = scopes_above(scope)
        return Event(
            daemon=self.daemon,
            epoch=self.epoch,
            revision=self.mirror.revision,
            scope=scope,
            prev=tuple(map(self.head, above)),
            parts=tuple(counts[level] for level in above),
            part=number,
            is_doubtful=is_doubtful,
            changes=[_record(surfaced) for surfaced in changes],
        )

    def _parts(self, shown: Sequence[Surfaced]) -> list[tuple[Scope, list[Surfaced]]]:
        """Group the changes by leaf scope, and split what is too heavy for one message."""
        by_leaf: dict[Scope, list[Surfaced]] = {}
        for surfaced in shown:
            by_leaf.setdefault(surfaced.scope, []).append(surfaced)
        return [
            (scope, run)
            for scope, changes in by_leaf.items()
            for run in _split(changes, weight_of, self._part_bytes)
        ]

    def _forget_heads(self, dropped: Iterable[Surfaced]) -> None:
        """Let go of scopes that are empty and last changed before the ring begins.

        Their revision lives on in `_base`, so that whoever missed that change still finds a gap.
        """
        for surfaced in dropped:
            for above in scopes_above(surfaced.scope):
                head = self._heads.get(above)
                if head is not None and head <= self.floor and self.mirror.is_empty(above):
                    del self._heads[above]
                    self._base = max(self._base, head)

    # ---- beats

    def beat(self, *, is_recovering: bool, age_s: float, time_s: float) -> list[Beat]:
        """Return the next BEAT, in parts when it is too heavy for one message."""
        self._beats += 1
        changed = sorted(set().union(*self._changed))
        heads = [ScopeHead(s, self.head(s), self.mirror.digest(s)) for s in changed]
        runs = _split(heads, _weight_of_head, self._part_bytes) or [[]]
        beats = [
            Beat(
                daemon=self.daemon,
                epoch=self.epoch,
                number=self._beats,
                head=self.mirror.revision,
                window=self._window(),
                scopes=run,
                is_recovering=is_recovering,
                age_s=age_s,
                time_s=time_s,
                part=number,
                parts=len(runs),
            )
            for number, run in enumerate(runs)
        ]
        self._beat_heads.append(self.mirror.revision)
        self._changed.append(set())
        return beats

    def _window(self) -> int:
        """Return the head of the beat after which all changed scopes are listed."""
        return self._beat_heads[0]

    # ---- sync

    def backfill(self, scope: Scope, epoch: str | None, since: int) -> list[Commit[Record]] | None:
        """Return what happened in `scope` after `since`, in order; None if it takes a snapshot."""
        if epoch != self.epoch or not self.floor <= since <= self.mirror.revision:
            return None
        if self.head(scope) <= since:
            return []
        commits: list[Commit[Record]] = []
        for revision, shown in self._ring.after(since):
            inside = [_record(s) for s in shown if s.scope[: len(scope)] == scope]
            if inside:
                commits.append(Commit(revision, inside))
        commits.reverse()
        return commits

    def snapshot(self, scope: Scope) -> list[Record]:
        """Return the visible records of `scope` now."""
        return [Record(e.key, e.revision, e.value) for e in self.mirror.under(scope)]


def _record(surfaced: Surfaced) -> Record:
    entry = surfaced.entry
    if entry is None:
        return Record(surfaced.key, 0, None, surfaced.cause, surfaced.detail)
    return Record(surfaced.key, entry.revision, entry.value)


def _weight_of_head(head: ScopeHead) -> int:
    return _HEAD_OVERHEAD_BYTES + sum(map(len, head.scope))


def _split(items: Iterable[T], weigh: Callable[[T], int], limit: int) -> list[list[T]]:
    """Cut a sequence into runs that weigh at most `limit`, or are one item that weighs more."""
    runs: list[list[T]] = []
    room = 0
    for item in items:
        weight = weigh(item)
        if not runs or weight > room:
            runs.append([])
            room = limit
        room -= weight
        runs[-1].append(item)
    return runs
