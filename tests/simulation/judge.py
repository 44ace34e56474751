"""What one router may never get wrong, said as checks against the truth.

=========================  =====================================================================
ordered                    `_check_change`
unique                     `_check_change`, and of the reader `Reader`
complete                   `see` (what was told adds up to what is shown), `_check_view`
atomic per revision        `_check_view` (the view is that of one revision, at the router's level,
                           whenever anybody can look), `Reader._read` (so is what a reader has
                           between two pushes); of the store: `Truth._check_whole`
no two models              `check_rivals`, for the view and for the reader; `Truth._check_newcomer`
resumable                  `_check_change`: whoever comes back in the same epoch is told nothing
                           that it had; `_check_gap`: and finds no false gaps
synced never early         `_check_synced`: the view is then the truth of a revision of a daemon
                           that was not behind what had been shown, and is as fresh as it says
no time travel             `_check_position`
empty is explicit          `_check_synced`, `check_end`: live, not silent, with nothing in it
no false removal           `_check_removal`
nothing held in vain       `_check_held`
honest                     `_check_staleness`
healed within `CALM_S`     `check_end`, `Worker.check_end`, `Truth.check_end`
lists                      `check_list`; of lists and answers to routers: `check_told`
=========================  =====================================================================
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from discovery.events import Cause
from discovery.follower import StreamState
from discovery.instance import ModelInstance
from tests.support.keystate import agree, instance_of, stance_of, stance_of_model, within

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from discovery.instance import Instance
    from discovery.view import Shown
    from tests.simulation.routers import Router
    from tests.simulation.workers import Worker

# A beat is due each second and may tell of a proof 0.5 s old; offsets are measured 0.02 s wrong.
FRESH_AT_END_S = 2.5
_STALE_AFTER_S = 3.0
FORGOTTEN_S = 25.0  # after it was live: longer than a router recovers and holds
_MEASURED_AGAIN_S = 4.0
"""The offset of a daemon's clock is measured at least that often; until then it drifts."""
_SEEN_FOR_S = 3.0


class Judge:
    """Says what one router got wrong."""

    def __init__(self, router: Router) -> None:
        self.router, self.world = router, router.world
        self.follower = router.follower
        self.shown: dict[str, Instance] = {}
        self.position: tuple[str | None, int] = (None, -1)
        self.epochs: list[str | None] = [None]
        self.last_shown = -1
        self._went: dict[str, tuple[int, Instance]] = {}
        """What went since it was last looked: when, and what it was.

        Found by seed 3000004852: what becomes another one may go back in the next revision.
        """
        self._spoiled: dict[str, int] = {}
        """Where in each epoch a change was last spoiled on purpose and not mended by a snapshot."""
        self.was_tainted = False
        self.was_synced = False
        self._checked: tuple[str | None, int, int] | None = None
        self._held: frozenset[str] = frozenset()
        self._snapshots = self._gaps = 0
        self._connected_at = 0.0
        self._live_at = float("-inf")
        self._disorder: tuple[int, ...] = ()

    def blame(self, kind: str, text: str) -> None:
        name = self.router.process.name
        self.world.blame(kind, f"{name}: {text}", name)

    @property
    def is_tainted(self) -> bool:
        return self.follower.epoch in self._spoiled

    def spoil(self, epoch: str, revision: int) -> None:
        """A change was spoiled; EVENTs come in any order, also those of an epoch before.

        Found by seed 1795266312: such a one let a younger one in the new epoch be forgotten.
        """
        self._spoiled[epoch] = max(revision, self._spoiled.get(epoch, 0))
        self.was_tainted = True

    def mend(self, epoch: str, revision: int) -> None:
        """A snapshot was taken in; a spoiled EVENT of later on may have waited for it."""
        if revision >= self._spoiled.get(epoch, 0):
            self._spoiled.pop(epoch, None)

    # ---- after every step

    def see(self, shown: list[Shown]) -> None:
        """Check all that the follower says now, and the changes it made known."""
        follower = self.follower
        self._check_position()
        if shown:
            self._tell(shown)
            self._went = {}
            for change in shown:
                self._check_change(change)
            if self.shown != {k: i.instance for k, i in follower.items.items()}:
                self.blame("incomplete", "what was shown is not what is said to be shown")
        self._check_synced()
        self._check_gap()
        if follower.revision >= 0 and not self.is_tainted:
            self._check_view()
            self._check_staleness()
        self._check_held()
        if follower.state(self.router.now()) is StreamState.LIVE:
            self._live_at = self.world.now

    def _tell(self, shown: Iterable[Shown]) -> None:
        if self.world.is_traced:
            # In their order as far as that is promised: within a revision, removals come first.
            said = sorted(shown, key=lambda s: (s.revision, s.item is not None, s.key))
            signed = ", ".join(f"{'+' if s.item else '-'}{s.key}" for s in said)
            self.router.tell(f"r{self.follower.revision} shows {signed}")

    def _check_synced(self) -> None:
        """Synced is said once, for good, of a view that came from a daemon; and only then."""
        follower = self.follower
        state, is_syncing = follower.state(self.router.now()), not follower.is_synced
        if is_syncing != (state is StreamState.SYNCING):
            self.blame("synced early", f"says {state}, is_synced {follower.is_synced}")
        if follower.is_synced and not self.was_synced:
            self.was_synced = True
            if follower.epoch is None or follower.staleness_s(self.router.now()) == float("inf"):
                self.blame("synced early", "before the first answer")
            elif not follower.items:
                self.world.count("empty and synced")
        elif self.was_synced and is_syncing:
            self.blame("synced early", "it was synced, and is not any more")

    def connected(self) -> None:
        """A daemon is followed from now on."""
        self._connected_at = self.world.now
        self._gaps, self._disorder = self.follower.counters.gaps, self._disorder_now()

    def _disorder_now(self) -> tuple[int, ...]:
        """Return what may make gaps that are none of the link's."""
        index = self.router.listens_to
        core = self.world.daemons[index].core if index is not None else None
        counters = self.follower.counters
        if core is None:
            return ()
        # A daemon that has forgotten some of the past says gap to whoever may have missed it.
        return (core.replica.relists, core.feed._base, counters.overflows, counters.epochs)

    def _check_gap(self) -> None:
        """Who was sent everything, in order, misses nothing."""
        gaps = self.follower.counters.gaps
        if gaps == self._gaps:
            return
        self._gaps = gaps
        is_whole = self.router.link.hurt_at < self._connected_at
        if self.world.is_orderly and is_whole and self._disorder == self._disorder_now():
            self.blame("false gap", f"at r{self.follower.revision}, but no message was lost")

    def _check_held(self) -> None:
        """What was unregistered or revoked is not held, where that is known."""
        follower, held = self.follower, frozenset(self.follower._view.held)
        snapshots, self._snapshots = self._snapshots, follower.counters.snapshots
        newly, self._held = held - self._held, held
        if not newly or snapshots != follower.counters.snapshots or follower.epoch is None:
            return
        line = self.world.truth.lines[follower.epoch]
        for key in sorted(newly):
            cause = line.cause_of_removal(key, follower.revision)
            if cause not in {None, Cause.LEASE_EXPIRED}:
                self.blame("held in vain", f"{key}, which went by being {cause}")

    def _check_position(self) -> None:
        follower = self.follower
        epoch, revision = self.position
        if follower.epoch != epoch:
            if follower.epoch in self.epochs:
                self.blame("time travel", f"back to {follower.epoch}")
            self.epochs.append(follower.epoch)
            self.last_shown = -1
        elif follower.revision < revision:
            self.blame("time travel", f"from {revision} to {follower.revision}")
        self.position = follower.epoch, follower.revision

    def _check_change(self, change: Shown) -> None:
        if change.revision < self.last_shown or change.revision > self.follower.revision:
            self.blame("unordered", f"{change.revision} after {self.last_shown}")
        self.last_shown = change.revision
        before = self.shown.get(change.key)
        if change.item is None:
            if before is None:
                self.blame("not unique", f"{change.key} went, but was not there")
                return
            del self.shown[change.key]
            self._went[change.key] = change.revision, before
            self._check_removal(change.key, before)
            return
        instance = change.item.instance
        assert instance is not None
        if self._went.get(change.key) == (change.revision, instance):
            self.blame("not unique", f"{change.key} went and came back the same")
        if before == instance:
            self.blame("not unique", f"{change.key} came, but was there")
        self.shown[change.key] = instance
        self.check_rivals(self.shown, instance)

    def _check_removal(self, key: str, before: Instance) -> None:
        worker = self.world.owner_of(key)
        since = self._live_at - FORGOTTEN_S
        is_wrong = worker is not None and not self.was_tainted and _was_wronged(worker, key, since)
        if is_wrong and not self._had_rival(before):
            self.blame("false removal", f"{key} is alive")

    def _had_rival(self, gone: Instance) -> bool:
        """Say whether another model was on its endpoint in this epoch: that may replace it."""
        assert self.follower.epoch is not None
        line = self.world.truth.lines[self.follower.epoch]
        return isinstance(gone, ModelInstance) and any(
            not agree(stance_of(entry.key, entry.value), stance_of_model(gone))
            for moment in line.moments
            for entry in within(moment.visible, gone.id.scope).values()
        )

    def check_rivals(self, view: Mapping[object, Instance], came: Instance) -> None:
        """No model is shown beside one that it contradicts."""
        if not isinstance(came, ModelInstance) or self.is_tainted:
            return
        stance, scope = stance_of_model(came), came.id.scope
        for other in view.values():
            assert isinstance(other, ModelInstance)
            if other.id.scope == scope and not agree(stance_of_model(other), stance):
                self.blame("two models", f"{other.display_name} beside {came.id}")

    def _check_view(self) -> None:
        follower = self.follower
        assert follower.epoch is not None
        at = (follower.epoch, follower.revision, follower._view.digest)
        if at == self._checked:
            return
        self._checked = at
        line = self.world.truth.lines[follower.epoch]
        if follower.revision > line.revisions[-1]:
            self.blame("ahead", f"at {follower.revision}, the store was at {line.revisions[-1]}")
            return
        truth = within(line.at(follower.revision).visible, self.router.scope)
        said = {key: (item.revision, item.instance) for key, item in follower._view._items.items()}
        is_so = {k: (e.revision, instance_of(k, e.value)) for k, e in truth.items()}
        if said != is_so:
            wrong = sorted(k for k in said.keys() | is_so.keys() if said.get(k) != is_so.get(k))
            self.blame("wrong view", f"at {follower.revision}: {wrong[:3]}")

    def _check_staleness(self) -> None:
        world, follower, now = self.world, self.follower, self.router.now()
        truth = world.truth
        if follower.epoch == truth.epoch:
            since = truth.line.changed_after(follower.revision, self.router.scope)
        else:
            since = truth.line.moments[0].at
        claim_s = follower.staleness_s(now)
        if since is None:
            return
        is_s = (world.now - since) * self.router.process.rate
        slack_s = world.tolerance_s + 2 * world.drift * (is_s + _MEASURED_AGAIN_S)
        if is_s > claim_s + slack_s:
            self.blame("dishonest", f"claims {claim_s:.3f} s, it is {is_s:.3f} s")
        if follower.state(now) is StreamState.STALE:
            world.count("stale")
        elif follower.is_synced and is_s > _STALE_AFTER_S + slack_s:
            self.blame("dishonest", f"says {follower.state(now)}, but is {is_s:.3f} s behind")

    # ---- the end

    def check_end(self) -> None:
        """Everything is as the store has it, and known to be."""
        follower, truth, now = self.follower, self.world.truth, self.router.now()
        visible = within(truth.line.moments[-1].visible, self.router.scope)
        right = {key: instance_of(key, entry.value) for key, entry in visible.items()}
        if not follower.is_synced or follower.epoch != truth.epoch or self.shown != right:
            wrong = sorted(
                k for k in right.keys() | self.shown.keys() if right.get(k) != self.shown.get(k)
            )
            self.blame("not healed", f"{follower.state(now)}, wrong: {wrong[:3]}")
        if follower.state(now) is not StreamState.LIVE:
            self.blame("not healed", f"says {follower.state(now)}")
        if self.router.reader.has != {i.id: i for i in right.values()}:
            self.blame("not healed", "the reader has something else")
        if follower.staleness_s(now) > FRESH_AT_END_S:
            self.blame("not healed", f"stale for {follower.staleness_s(now):.3f} s")
        if follower.counters.corruptions and not self.world.corrupt:
            self.blame("false alarm", f"{follower.counters.corruptions} corruptions")


def _was_wronged(worker: Worker, key: str, since: float) -> bool:
    """Say whether nothing but a mistake can have made `key` go for who saw it after `since`."""
    came_at, world = worker.since.get(key), worker.world
    return (
        came_at is not None
        and came_at < world.now - _SEEN_FOR_S
        and worker.is_loyal
        and key in worker.owned
        and world.truth.gone_on_purpose.get(key, float("-inf")) < since
    )
