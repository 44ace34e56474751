"""What was really so: every state of every epoch, noted as the store made it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from discovery.events import Cause
from tests.support.keystate import Line, Moment, name_of, scope_of, visible_of

if TYPE_CHECKING:
    from discovery.store import Batch, Entry
    from discovery.stores.memory import MemoryStore
    from tests.simulation.world import World


def is_record(key: str) -> bool:
    """Say whether a key is one that lists could show."""
    return key.startswith("v1/")


class Truth:
    """The line of each epoch. `note` is called whenever a store may have changed."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.lines: dict[str, Line] = {}
        self.epoch = ""
        self.gone_on_purpose: dict[str, float] = {}
        """When each key last went by its owner's will or fault, or a foreign writer's."""
        self.rivals: dict[str, set[str]] = {}
        self._history: MemoryStore | None = None

    @property
    def line(self) -> Line:
        return self.lines[self.epoch]

    def begin(self, store: MemoryStore) -> None:
        """A new epoch begins with what `store` has."""
        before = self.lines[self.epoch].moments[-1].visible if self.epoch else {}
        self.epoch, self._store = store.epoch, store
        entries = {e.key: e for e in store._tree.under("") if is_record(e.key)}
        revision = store._history.revision
        visible = visible_of(entries)
        self.lines[store.epoch] = Line([revision], [Moment(self.world.now, entries, visible)])
        for key, entry in before.items():
            if not self.world.is_memory and visible.get(key) != entry:
                self.gone_on_purpose[key] = self.world.now

    def note(self) -> None:
        """Take in what the store has done since the last time."""
        history = self._store._history
        if history.revision == self.line.revisions[-1]:
            return
        for batch in history.after(self.line.revisions[-1]):
            self._note_batch(batch)

    def _note_batch(self, batch: Batch) -> None:
        line, world = self.line, self.world
        before = line.moments[-1]
        entries = dict(before.entries)
        for change in batch.changes:
            if is_record(change.key):
                entries.pop(change.key, None)
                if change.entry is not None:
                    entries[change.key] = change.entry
        if entries == before.entries:
            moment = Moment(world.now, before.entries, before.visible)
        else:
            moment = Moment(world.now, entries, visible_of(entries))
        line.revisions.append(batch.revision)
        line.moments.append(moment)
        world.trace("store", f"r{batch.revision} {_said(batch)}")
        for change in batch.changes:
            if change.key in entries and change.entry is not None:
                self._check_newcomer(change.entry, before.entries.get(change.key), entries)
        self._note_losses(batch, before, moment)

    def _check_newcomer(self, entry: Entry, old: Entry | None, entries: dict[str, Entry]) -> None:
        """The registry lets no model in that contradicts one that is there."""
        if entry.lease is None or scope_of(entry.key)[0] != "models":
            return
        name = name_of(entry)
        if old is not None and name_of(old) == name:
            return
        scope = scope_of(entry.key)
        for key, other in entries.items():
            if scope_of(key) == scope and name_of(other) != name:
                self.world.blame("two models", f"{entry.key} was let in beside {key}")

    def _note_losses(self, batch: Batch, before: Moment, after: Moment) -> None:
        causes = {change.key: change.cause for change in batch.changes}
        for key, entry in before.visible.items():
            now = after.visible.get(key)
            if now is entry:
                continue
            is_model = scope_of(key)[0] == "models"
            if now is not None:
                if is_model and name_of(now) != name_of(entry):
                    self.gone_on_purpose[key] = self.world.now
            elif key not in causes or causes[key] is not Cause.LEASE_EXPIRED:
                self.gone_on_purpose[key] = self.world.now
            else:
                self.world.count("expiries")
                if not self.world.is_loyal(entry.lease):
                    self.gone_on_purpose[key] = self.world.now


def _said(batch: Batch) -> str:
    return ", ".join(
        f"{'-' if c.entry is None else '+'}{c.key}" + (f" ({c.cause})" if c.cause else "")
        for c in batch.changes
    )
