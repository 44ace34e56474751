"""What one router may never get wrong, said as checks against the truth."""

from __future__ import annotations

from typing import TYPE_CHECKING

from discovery.events import Added
from discovery.follower import StreamState
from discovery.instance import ModelInstance
from tests.support.keystate import instance_of, name_of, within

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from discovery.events import Event as StreamEvent
    from discovery.instance import Instance
    from discovery.protocol import ItemChange, SyncAnswer
    from discovery.view import Shown
    from tests.simulation.routers import Router

TOLERANCE_S = 1e-6
# A beat is due each second and may tell of a proof 0.5 s old; offsets are measured 0.02 s wrong.
FRESH_AT_END_S = 2.5
_STALE_AFTER_S = 3.0


class Judge:
    """Says what one router got wrong."""

    def __init__(self, router: Router) -> None:
        self.router, self.world = router, router.world
        self.follower = router.follower
        self.shown: dict[str, Instance] = {}
        self.position: tuple[str | None, int] = (None, -1)
        self.epochs: list[str | None] = [None]
        self.last_shown = -1
        self.tainted_at = ("", 0)
        """Where a change was last spoiled on purpose, unless a snapshot has mended that since."""
        self.was_tainted = False
        self.was_synced = False
        self._checked: tuple[str | None, int, int] | None = None

    def blame(self, kind: str, text: str) -> None:
        self.world.blame(kind, f"{self.router.process.name}: {text}")

    @property
    def is_tainted(self) -> bool:
        return bool(self.tainted_at[0])

    def spoil(self, epoch: str, revision: int) -> None:
        self.tainted_at, self.was_tainted = (epoch, revision), True

    def mend(self, epoch: str, revision: int) -> None:
        """A snapshot was taken in; a spoiled EVENT of later on may have waited for it."""
        if epoch != self.tainted_at[0] or revision >= self.tainted_at[1]:
            self.tainted_at = ("", 0)

    # ---- after every step

    def see(self, shown: list[Shown]) -> None:
        """Check all that the follower says now, and the changes it made known."""
        follower = self.follower
        self._check_position()
        for change in shown:
            self._check_change(change)
        if shown:
            self._tell(shown)
        if self.shown != {k: i.instance for k, i in follower.items.items()}:
            self.blame("incomplete", "what was shown is not what is said to be shown")
        if follower.is_synced and not self.was_synced:
            self.was_synced = True
            self._check_synced()
        if follower.revision >= 0 and not self.is_tainted:
            self._check_view()
            self._check_staleness()

    def _tell(self, shown: Iterable[Shown]) -> None:
        said = sorted(f"{'+' if s.item else '-'}{s.key}" for s in shown)
        self.world.trace(self.router.process.name, f"r{self.follower.revision} {', '.join(said)}")

    def _check_synced(self) -> None:
        if self.follower.revision < 0 or self.follower.epoch is None:
            self.blame("synced early", "before the first answer")

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
            self._check_removal(change.key, before)
            return
        instance = change.item.instance
        assert instance is not None
        if before == instance:
            self.blame("not unique", f"{change.key} came, but was there")
        self.shown[change.key] = instance
        self._check_rivals(self.shown, instance)

    def _check_removal(self, key: str, before: Instance) -> None:
        worker = self.world.owner_of(key)
        is_wrong = worker is not None and not self.was_tainted and worker.was_wronged(key)
        if is_wrong and not self._had_rival(before):
            self.blame("false removal", f"{key} is alive")

    def _had_rival(self, gone: Instance) -> bool:
        """Say whether another model was on its endpoint in this epoch: that may replace it."""
        assert self.follower.epoch is not None
        line = self.world.truth.lines[self.follower.epoch]
        return isinstance(gone, ModelInstance) and any(
            name_of(entry) != gone.display_name
            for moment in line.moments
            for entry in within(moment.visible, gone.id.scope).values()
        )

    def _check_rivals(self, view: Mapping[object, Instance], came: Instance) -> None:
        if not isinstance(came, ModelInstance) or self.is_tainted:
            return
        for other in view.values():
            assert isinstance(other, ModelInstance)
            is_here = other.id.scope == came.id.scope
            if is_here and other.display_name != came.display_name:
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
        slack_s = TOLERANCE_S + (0.02 * (is_s + 10.0) if world.drift else 0.0)
        if is_s > claim_s + slack_s:
            self.blame("dishonest", f"claims {claim_s:.3f} s, it is {is_s:.3f} s")
        if follower.state(now) is StreamState.STALE:
            world.count("stale")

    def check_list(self, answer: SyncAnswer[ItemChange], at_least: int) -> None:
        """A list is the truth of one revision, too, and not older than what was told before."""
        is_one_line = self.world.server is None or self.world.server.lives == 1
        if is_one_line and answer.revision < at_least:
            self.blame("old list", f"at {answer.revision}, {at_least} had been told")
        line = self.world.truth.lines.get(answer.epoch)
        if line is None or answer.snapshot is None or answer.revision > line.revisions[-1]:
            self.blame("wrong list", f"of {answer.epoch} at {answer.revision}")
            return
        truth = within(line.at(answer.revision).visible, self.router.scope)
        said = {change.key: change.item.revision for change in answer.snapshot if change.item}
        is_so = {key: entry.revision for key, entry in truth.items()}
        if said != is_so:
            wrong = sorted(k for k in said.keys() | is_so.keys() if said.get(k) != is_so.get(k))
            self.blame("wrong list", f"at {answer.revision}: {wrong[:3]}")

    # ---- the reader

    def hear(self, reader: dict[object, Instance], event: StreamEvent) -> None:
        """Check one event as the application gets it."""
        if not isinstance(event, Added):
            if reader.pop(event.id, None) is None:
                self.blame("not unique", f"the reader never had {event.id}")
            return
        instance = event.instance
        before = reader.get(instance.id)
        if before == instance or event.is_update != (before is not None):
            self.blame("not unique", f"the reader had {instance.id} already")
        reader[instance.id] = instance
        if not self.was_tainted:
            self._check_rivals(reader, instance)

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
        if self.router.reader != {i.id: i for i in right.values()}:
            self.blame("not healed", "the reader has something else")
        if follower.staleness_s(now) > FRESH_AT_END_S:
            self.blame("not healed", f"stale for {follower.staleness_s(now):.3f} s")
        if follower.counters.corruptions and not self.world.corrupt:
            self.blame("false alarm", f"{follower.counters.corruptions} corruptions")
