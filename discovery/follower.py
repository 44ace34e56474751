"""The consumer of the watch protocol: keeps one scope's view, and knows how far it is proven.

Sans-I/O. The caller hands in what arrives and the time, sends the `SyncRequest`s that `poll`
returns, and takes what became visible with `take`. Every rule is explained in docs/protocol.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from discovery.asking import Asking
from discovery.following import FollowerCounters, FollowerLimits, StreamState
from discovery.parts import Parts
from discovery.position import Position
from discovery.proof import Proof
from discovery.protocol import SyncRequest
from discovery.view import View

if TYPE_CHECKING:
    import random

    from discovery.names import Scope
    from discovery.protocol import Beat, Event, Item, ItemChange, ScopeHead, SyncAnswer
    from discovery.view import Shown

__all__ = ["Follower", "FollowerCounters", "FollowerLimits", "StreamState"]

_BEATS_UNTIL_STALE = 3
_FAILURES_UNTIL_IN_VAIN = 6


class Follower:
    """One scope, followed through one daemon at a time."""

    def __init__(self, scope: Scope, *, limits: FollowerLimits, rng: random.Random) -> None:
        self.scope = scope
        self.counters = FollowerCounters()
        self.daemon: str | None = None
        self.is_synced = False
        self.limits = limits
        self._level = len(scope) - 1
        self._at = Position()
        self._view = View()
        self._proof = Proof()
        self._asking = Asking(rng)
        self._is_syncing = False
        self._must_snapshot = False
        self._corrupt_in_a_row = 0
        self._buffer: list[Event[ItemChange]] = []
        self._event_parts: Parts[Event[ItemChange]] = Parts()
        self._beat_parts: Parts[Beat] = Parts()
        self._wanted = 0
        self._heard_at = float("-inf")

    # ---- what the caller reads

    @property
    def epoch(self) -> str | None:
        """Within which `revision` is to be compared; None before the first answer."""
        return self._at.epoch

    @property
    def revision(self) -> int:
        """The view equals this revision; -1 before the first answer."""
        return self._at.revision

    @property
    def items(self) -> dict[str, Item]:
        """What is shown now, by key: the view and what is held."""
        return self._view.shown()

    @property
    def is_recovering(self) -> bool:
        """Removals are held back because a daemon has not yet heard from all who may live."""
        return bool(self._view.held)

    def take(self) -> list[Shown]:
        """Return what became visible or went since the last call, in order."""
        return self._view.take()

    def staleness_s(self, now: float) -> float:
        """Seconds since the view was last proven to equal the registry, infinite before that."""
        return now - self._proof.proven_at

    def state(self, now: float) -> StreamState:
        """Return how far the view can be trusted at `now`."""
        if not self.is_synced:
            return StreamState.SYNCING
        if self.staleness_s(now) > _BEATS_UNTIL_STALE * self.limits.beat_interval_s:
            return StreamState.STALE
        return StreamState.RECOVERING if self.is_recovering else StreamState.LIVE

    def is_in_vain(self, now: float) -> bool:
        """Say whether this daemon does not serve us: it is silent, or many requests failed."""
        silence_s = now - self._heard_at
        is_deaf = silence_s > _BEATS_UNTIL_STALE * self.limits.beat_interval_s
        return is_deaf or self._asking.failures >= _FAILURES_UNTIL_IN_VAIN

    def connected(self, daemon: str, now: float) -> None:
        """Follow `daemon`, whose EVENTs and BEATs for this scope arrive from now on."""
        self.daemon = daemon
        self._heard_at = now
        self._beat_parts.take()
        self._wanted = 0
        self._begin(now)
        self._asking.start_over(now)

    def disconnected(self) -> None:
        """Nothing more arrives until `connected`; the view stays as it is."""
        self.daemon = None
        self._asking.request = None

    # ---- asking

    def poll(self, now: float) -> SyncRequest | None:
        """Return the request to send now, if any. Call at `next_wakeup` and after each input."""
        if self.daemon is None:
            return None
        request = self._asking.request
        if request and now >= self.next_wakeup():
            self.sync_failed(request.number, now)
        if not self._is_syncing and now >= self.next_wakeup():
            self._begin(now)
        if not self._is_syncing or self._asking.request or now < self._asking.ask_at:
            return None
        request = SyncRequest(
            number=self._asking.last_number + 1,
            scope=self.scope,
            epoch=None if self._must_snapshot else self.epoch,
            # Without an epoch a revision says nothing: that of the daemon may have changed since.
            since=0 if self._must_snapshot else max(self.revision, 0),
            at_least=self._wanted,
        )
        self._wanted = 0  # wished for once: a daemon that cannot have it may still serve us
        self._asking.start(request, now)
        return request

    def next_wakeup(self) -> float:
        """Time at which `poll` may have something to send if nothing arrives before."""
        if self.daemon is None:
            return float("inf")
        if self._asking.request:
            return self._asking.asked_at + self.limits.sync_timeout_s
        if self._is_syncing:
            return self._asking.ask_at
        return self._proof.compared_at + self.limits.audit_interval_s

    def sync_failed(self, number: int, now: float, retry_after_s: float | None = None) -> None:
        """Say that request `number` got no answer, or was put off: it is asked again, jittered."""
        if self._asking.is_for(number):
            self._asking.fail(now, retry_after_s or 0.0)

    def want(self, revision: int, now: float) -> None:
        """Get to `revision` of this epoch without waiting for the next BEAT, if the daemon can."""
        if self.revision < revision:
            self._wanted = max(self._wanted, revision)
            self._begin(now)

    # ---- messages

    def on_event(self, event: Event[ItemChange], now: float) -> None:
        """Take in an EVENT of a leaf scope within ours."""
        if not self._is_followed(event.daemon):
            return
        self._heard_at = now
        if self._is_syncing:
            self._keep_for_later(event)
        elif self._is_ours(event.epoch, now) and not self._at.includes(event.revision):
            self._chain(event, now)

    def _chain(self, event: Event[ItemChange], now: float) -> None:
        """Apply a revision that is whole and follows on ours; if one is missing, begin a sync."""
        count = event.parts[self._level]
        parts = self._event_parts.add(event.revision, event.part, count, event)
        if parts is None:
            self._bound(self._event_parts)
            return
        if self._at.lacks(event.prev[self._level]):
            self._fill_gap(now)
            return
        self._advance(event.revision)
        changes = [change for part in parts for change in part.changes]
        self._view.apply(changes, event.revision, may_hold=event.is_doubtful)

    def on_beat(self, beat: Beat, now: float) -> None:
        """Take in a BEAT, or one part of it."""
        if not self._is_followed(beat.daemon):
            return
        self._heard_at = now
        if self._is_syncing or not self._is_ours(beat.epoch, now):
            return
        self._beat_parts.drop_through(beat.number - 1)
        parts = self._beat_parts.add(beat.number, beat.part, beat.parts, beat)
        if parts is None:
            self._bound(self._beat_parts)
            return
        ours = (head for part in parts for head in part.scopes if head.scope == self.scope)
        head = next(ours, None)
        if self._agrees(beat, head, now):
            self._advance(beat.head)
            patience_s = self.limits.beat_interval_s if head else None
            self._proof.by_beat(beat, now, compared_within_s=patience_s)
            self._release(beat)

    def _agrees(self, beat: Beat, head: ScopeHead | None, now: float) -> bool:
        """Say whether the BEAT proves our view at its head; if it disproves it, begin a sync."""
        if self._at.lacks(head.head if head else beat.window):
            self._fill_gap(now)
        elif beat.head < self.revision:
            pass  # older than what we have: proves nothing
        elif head and self._differs(head.digest):
            self._corrupt(now)
        else:
            return True
        return False

    def on_answer(self, answer: SyncAnswer[ItemChange], now: float) -> None:
        """Take in a whole answer to the request of its number."""
        if not self._asking.is_for(answer.number) or not self._is_followed(answer.daemon):
            return
        self._heard_at = now
        proven_at = self._asking.asked_at - answer.age_s
        if self._at.is_after(answer.epoch, answer.revision, proven_at):
            self.counters.refusals += 1  # it must catch up first
            self.sync_failed(answer.number, now)
            return
        self._asking.done()
        self._install(answer, now)
        if self._differs(answer.digest):
            self._corrupt(now)
            return
        self._is_syncing = self._must_snapshot = False
        self._corrupt_in_a_row = 0
        self.is_synced = True
        self._proof.by_answer(answer, asked_at=self._asking.asked_at, now=now)
        self._release(answer)
        buffered, self._buffer = self._buffer, []
        for event in buffered:
            self.on_event(event, now)
        if self.revision < self._wanted:
            self._begin(now)

    def _install(self, answer: SyncAnswer[ItemChange], now: float) -> None:
        is_new = self._at.enter(answer.epoch, answer.revision, now)
        if is_new:
            self.counters.epochs += 1
            self._proof = Proof()  # what was proven was of another epoch
            self._wanted = 0
        if answer.snapshot is not None:
            self.counters.snapshots += 1
            items = {change.key: change.item for change in answer.snapshot if change.item}
            in_doubt = answer.is_recovering if is_new else answer.is_doubtful
            may_hold = in_doubt and self.is_synced
            self._view.replace(items, answer.revision, may_hold=may_hold)
        else:
            # Who lost a lease in one of the commits may be back in a later one.
            self.counters.backfills += 1
            held_before = frozenset(self._view.held)
            for commit in answer.commits or ():
                self._view.apply(commit.changes, commit.revision, may_hold=self.is_synced)
            if not answer.is_doubtful:
                self._view.release(self.revision, keep=held_before)

    def _is_followed(self, daemon: str) -> bool:
        """A stream follows one life of one daemon at a time."""
        return daemon == self.daemon

    def _is_ours(self, epoch: str, now: float) -> bool:
        """Say whether a message is of our epoch; if not, ask whether there is a new one."""
        if not self._at.is_in(epoch):
            self._begin(now)
        return self._at.is_in(epoch)

    def _differs(self, digest: int) -> bool:
        return digest != self._view.digest

    def _begin(self, now: float) -> None:
        """Ask the daemon to bring us up to date; EVENTs wait until it has."""
        if self._is_syncing:
            return
        self._is_syncing, self._asking.ask_at = True, now
        self._buffer = self._event_parts.take()

    def _advance(self, revision: int) -> None:
        self._at.advance(revision)
        self._event_parts.drop_through(revision)

    def _fill_gap(self, now: float) -> None:
        self.counters.gaps += 1
        self._begin(now)

    def _keep_for_later(self, event: Event[ItemChange]) -> None:
        self._buffer.append(event)
        if len(self._buffer) > self.limits.buffer_events:
            self.counters.overflows += 1
            self._buffer = []  # what is missing after the answer is then found to be a gap

    def _bound(self, parts: Parts[Any]) -> None:
        """Forget parts whose others stay away: what they are of is then found to be missing."""
        if len(parts) > self.limits.buffer_events:
            self.counters.overflows += 1
            parts.take()

    def _corrupt(self, now: float) -> None:
        """The view is not what the daemon has, though no message was missed: fetch all of it."""
        self.counters.corruptions += 1
        self._corrupt_in_a_row += 1
        self._must_snapshot = True
        self._begin(now)
        self._asking.ask_at = now + self._asking.backoff_s(self._corrupt_in_a_row)

    def _release(self, proof: Beat | SyncAnswer[ItemChange]) -> None:
        """Let go of what is held if a daemon that lacks it has heard from all who live."""
        if not proof.is_recovering and proof.age_s <= self.limits.beat_interval_s:
            self._view.release(self.revision)
