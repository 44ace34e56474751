"""What one watcher may never get wrong, said as checks against the truth."""

from __future__ import annotations

from typing import TYPE_CHECKING

from discovery.events import Added
from discovery.instance import ModelInstance
from tests.support.keystate import instance_of, name_of, within

if TYPE_CHECKING:
    from collections.abc import Mapping

    from discovery.events import Event as StreamEvent
    from discovery.instance import Instance
    from discovery.view import Shown
    from tests.support.keystate import Line
    from tests.support.watching import Watcher

# The clocks of this world run equally fast; sums of seconds are not quite exact.
TOLERANCE_S = 1e-6
# A beat is due each second; it takes 0.01 s, and its offset is measured up to 0.2 s wrong.
FRESH_AT_END_S = 2.5


class Judge:
    """Says what one watcher got wrong."""

    def __init__(self, watcher: Watcher) -> None:
        self.watcher, self.world = watcher, watcher.world
        self.follower = watcher.follower
        self.shown: dict[str, Instance] = {}
        self.position: tuple[str | None, int] = (None, -1)
        self.epochs: list[str | None] = [None]
        self.last_shown = -1
        self.tainted_at = ("", 0)
        """Where a change was last spoiled on purpose, unless a snapshot has mended that since."""
        self.was_tainted = False

    def blame(self, kind: str, text: str) -> None:
        self.world.blame(kind, f"watcher of {'/'.join(self.watcher.scope)}: {text}")

    @property
    def is_tainted(self) -> bool:
        return bool(self.tainted_at[0])

    def spoil(self, epoch: str, revision: int) -> None:
        self.tainted_at, self.was_tainted = (epoch, revision), True

    def mend(self, epoch: str, revision: int) -> None:
        """A snapshot was taken in; a spoiled EVENT of later on may have waited for it."""
        if epoch != self.tainted_at[0] or revision >= self.tainted_at[1]:
            self.tainted_at = ("", 0)

    @property
    def line(self) -> Line:
        assert self.follower.epoch is not None
        return self.world.store.lines[self.follower.epoch]

    # ---- after every input

    def see(self, shown: list[Shown]) -> None:
        self.check_position()
        for change in shown:
            self.check_change(change)
        if self.shown != {k: i.instance for k, i in self.follower.items.items()}:
            self.blame("incomplete", "what was shown is not what is said to be shown")
        if self.follower.revision >= 0 and not self.is_tainted:
            self.check_view()
            self.check_staleness()

    def check_position(self) -> None:
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

    def check_change(self, change: Shown) -> None:
        if change.revision < self.last_shown or change.revision > self.follower.revision:
            self.blame("unordered", f"{change.revision} after {self.last_shown}")
        self.last_shown = change.revision
        before = self.shown.get(change.key)
        if change.item is None:
            if before is None:
                self.blame("not unique", f"{change.key} went, but was not there")
                return
            del self.shown[change.key]
            self.check_removal(change.key, before)
            return
        instance = change.item.instance
        assert instance is not None
        if before == instance:
            self.blame("not unique", f"{change.key} came, but was there")
        self.shown[change.key] = instance
        self.check_rivals(self.shown, instance)

    def check_removal(self, key: str, before: Instance) -> None:
        owner = int(key.split("/")[5], 16)
        is_ours = owner <= len(self.world.workers) and not self.is_tainted
        is_wrong = is_ours and self.world.workers[owner - 1].was_wronged(key)
        if is_wrong and not self.had_rival(before):
            self.blame("false removal", f"{key} is alive")

    def had_rival(self, gone: Instance) -> bool:
        """Say whether another model was on its endpoint in this epoch: that may replace it."""
        return isinstance(gone, ModelInstance) and any(
            name_of(entry) != gone.display_name
            for moment in self.line.moments
            for entry in within(moment.visible, gone.id.scope).values()
        )

    def check_rivals(self, view: Mapping[object, Instance], came: Instance) -> None:
        if not isinstance(came, ModelInstance) or self.is_tainted:
            return
        for other in view.values():
            assert isinstance(other, ModelInstance)
            is_here = other.id.scope == came.id.scope
            if is_here and other.display_name != came.display_name:
                self.blame("two models", f"{other.display_name} beside {came.id}")

    def check_view(self) -> None:
        view = self.follower._view._items
        truth = within(self.line.at(self.follower.revision).visible, self.watcher.scope)
        said = {key: (item.revision, item.instance) for key, item in view.items()}
        is_so = {k: (e.revision, instance_of(k, e.value)) for k, e in truth.items()}
        if said != is_so:
            wrong = sorted(k for k in said.keys() | is_so.keys() if said.get(k) != is_so.get(k))
            self.blame("wrong view", f"at {self.follower.revision}: {wrong[:3]}")

    def check_staleness(self) -> None:
        now, store = self.world.now, self.world.store
        if self.follower.epoch == store.epoch:
            since = store.line.changed_after(self.follower.revision, self.watcher.scope)
        else:
            since = store.line.moments[0].at
        claim_s = self.follower.staleness_s(now)
        if since is not None and now - since > claim_s + TOLERANCE_S:
            self.blame("dishonest", f"claims {claim_s:.3f} s, it is {now - since:.3f} s")

    # ---- the reader

    def hear(self, reader: dict[object, Instance], event: StreamEvent) -> None:
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
            self.check_rivals(reader, instance)

    def check_end(self) -> None:
        follower, store, now = self.follower, self.world.store, self.world.now
        truth = within(store.line.moments[-1].visible, self.watcher.scope)
        right = {key: instance_of(key, entry.value) for key, entry in truth.items()}
        if not follower.is_synced or follower.epoch != store.epoch or self.shown != right:
            wrong = sorted(
                k for k in right.keys() | self.shown.keys() if right.get(k) != self.shown.get(k)
            )
            self.blame("not healed", f"{follower.state(now)}, wrong: {wrong[:3]}")
        if self.watcher.reader != {i.id: i for i in right.values()}:
            self.blame("not healed", "the reader has something else")
        if follower.staleness_s(now) > FRESH_AT_END_S:
            self.blame("not healed", f"stale for {follower.staleness_s(now):.3f} s")
        if follower.counters.corruptions and not self.world.odds.corrupt:
            self.blame("false alarm", f"{follower.counters.corruptions} corruptions")
        for name in (
            "gaps",
            "epochs",
            "backfills",
            "snapshots",
            "corruptions",
            "overflows",
            "refusals",
        ):
            count = getattr(follower.counters, name)
            self.world.counts[name] = self.world.counts.get(name, 0) + count
