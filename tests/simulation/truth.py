"""What was really so: every state of every epoch, noted and checked as the store made it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from discovery.events import Cause
from discovery.keys import PENDING_PREFIX, SESSION_PREFIX, session_key
from discovery.mirror import scopes_above
from discovery.session_record import SessionRecord
from tests.support.keystate import Line, Moment, agree, name_of, scope_of, stance_of, visible_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from discovery.names import Scope
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
        self.aside: dict[str, Entry] = {}
        """What the store has now that lists never show: sessions, and what is pending."""

    @property
    def line(self) -> Line:
        return self.lines[self.epoch]

    def begin(self, store: MemoryStore) -> None:
        """A new epoch begins with what `store` has."""
        self._store = store
        self.begin_with(store.epoch, store._history.revision, store._tree.under(""))

    def begin_with(self, epoch: str, revision: int, found: Iterable[Entry]) -> None:
        """A new epoch begins at a revision."""
        before = self.lines[self.epoch].moments[-1].visible if self.epoch else {}
        everything = {entry.key: entry for entry in found}
        entries = {key: entry for key, entry in everything.items() if is_record(key)}
        self.aside = {key: entry for key, entry in everything.items() if key not in entries}
        visible = visible_of(entries)
        self.epoch = epoch
        self.lines[epoch] = Line([revision], [Moment(self.world.now, entries, visible)])
        for key, entry in before.items():
            if not self.world.is_memory and visible.get(key) != entry:
                self.gone_on_purpose[key] = self.world.now

    def note(self) -> None:
        """Take in what the store has done since the last time."""
        history = self._store._history
        if history.revision == self.line.revisions[-1]:
            return
        for batch in history.after(self.line.revisions[-1]):
            self.take(batch)

    def take(self, batch: Batch) -> None:
        """Take in the next revision."""
        line, world = self.line, self.world
        before = line.moments[-1]
        changes = [change for change in batch.changes if is_record(change.key)]
        self._set_aside(batch)
        if changes:
            entries = dict(before.entries)
            for change in changes:
                entries.pop(change.key, None)
                if change.entry is not None:
                    entries[change.key] = change.entry
            visible = visible_of(entries)
            causes = {change.key: change.cause for change in changes if change.entry is None}
            touched = _touched(before.visible, visible)
            moment = Moment(world.now, entries, visible, touched, causes)
        else:
            moment = Moment(world.now, before.entries, before.visible)
        line.revisions.append(batch.revision)
        line.moments.append(moment)
        if world.is_traced:
            world.trace("store", f"r{batch.revision} {_said(batch)}")
        for change in changes:
            if change.entry is not None:
                self._check_newcomer(change.entry, before.entries.get(change.key), moment.entries)
                self._check_fenced(change.entry, batch)
            elif change.cause is Cause.LEASE_EXPIRED:
                self._check_whole(before.entries[change.key], moment.entries)
        self._note_losses(before, moment)

    def _set_aside(self, batch: Batch) -> None:
        for change in batch.changes:
            if is_record(change.key):
                continue
            if change.entry is None:
                self.aside.pop(change.key, None)
            else:
                self.aside[change.key] = change.entry

    @property
    def position(self) -> tuple[str, int]:
        """Epoch and revision of the store now."""
        return self.epoch, self._store._history.revision

    def check_loss(self, daemon: str, request: Any, asked_at: tuple[str, int]) -> None:
        """A lease is only said to be lost when its session was not there when that was asked."""
        key = session_key(request["instance_id"])
        entry = self._store._tree.get(key)
        if entry is None or self.epoch != asked_at[0] or entry.created > asked_at[1]:
            return
        if SessionRecord.decode(key, entry.value).is_owned_with(request["token"]):
            self.world.blame("false loss", f"{daemon} says that {key} is lost; it is there", daemon)

    def had(self, endpoint: str, name: str, *, since: float, until: float = float("inf")) -> bool:
        """Say whether a model of that name was on an endpoint at some moment since then."""
        scope = ("models", *endpoint.split("/"))
        for line in self.lines.values():
            ends = [moment.at for moment in line.moments[1:]] + [float("inf")]
            for moment, end in zip(line.moments, ends, strict=True):
                if (
                    end >= since
                    and moment.at <= until
                    and any(
                        scope_of(key) == scope and name_of(entry) == name
                        for key, entry in moment.entries.items()
                    )
                ):
                    return True
        return False

    # ---- checks of every commit

    def _check_newcomer(
        self, entry: Entry, old: Entry | None, entries: Mapping[str, Entry]
    ) -> None:
        """The registry lets no model in that contradicts one that is there."""
        if entry.lease is None or scope_of(entry.key)[0] != "models":
            return
        stance = stance_of(entry.key, entry.value)
        if old is not None and stance_of(old.key, old.value) == stance:
            return
        scope = scope_of(entry.key)
        for key, other in entries.items():
            if self.world.is_guardless and other.lease is None:
                continue  # against a foreign writer only guards help
            if scope_of(key) == scope and not agree(stance_of(key, other.value), stance):
                self.world.blame("two models", f"{entry.key} was let in beside {key}", "store")

    def _check_fenced(self, entry: Entry, batch: Batch) -> None:
        """Every commit of a lease rewrites its session, so that none can be repeated later."""
        if entry.lease is None:
            return
        session = session_key(entry.lease)
        if not any(change.key == session and change.entry for change in batch.changes):
            self.world.blame("unfenced", f"{entry.key} without its session", "store")

    def _check_whole(self, gone: Entry, entries: Mapping[str, Entry]) -> None:
        """A lease that ends takes all that it owns with it, in one commit."""
        left = sorted(k for k, e in entries.items() if e.lease == gone.lease)
        if gone.lease is not None and left:
            self.world.blame("torn", f"{gone.key} went with its lease, {left} did not", "store")

    def _note_losses(self, before: Moment, after: Moment) -> None:
        if before.visible is after.visible:
            return
        for key, entry in before.visible.items():
            now = after.visible.get(key)
            if now is entry:
                continue
            is_model = scope_of(key)[0] == "models"
            if now is not None:
                if is_model and stance_of(key, now.value) != stance_of(key, entry.value):
                    self.gone_on_purpose[key] = self.world.now
            elif after.causes.get(key) is not Cause.LEASE_EXPIRED:
                self.gone_on_purpose[key] = self.world.now
            else:
                self.world.count("expiries")
                if not self.world.is_loyal(entry.lease):
                    self.gone_on_purpose[key] = self.world.now

    def check_end(self) -> None:
        """Nothing is left of attempts that were given up, nor of those who are long dead."""
        pending = [key for key in self.aside if key.startswith(PENDING_PREFIX)]
        if pending:
            self.world.blame("not healed", f"still pending: {pending}", "store")
        living = {
            session_key(worker.instance_id)
            for worker in self.world.workers.values()
            if worker.process.is_running
        }
        sessions = [key for key in self.aside if key.startswith(SESSION_PREFIX)]
        dead = [key for key in sessions if key not in living]
        if dead:
            self.world.blame("not healed", f"sessions of nobody: {dead}", "store")


def _touched(before: Mapping[str, Entry], after: Mapping[str, Entry]) -> frozenset[Scope]:
    changed = [k for k in before.keys() | after.keys() if before.get(k) is not after.get(k)]
    return frozenset(above for key in changed for above in scopes_above(scope_of(key)))


def _said(batch: Batch) -> str:
    return (
        ", ".join(
            f"{'-' if c.entry is None else '+'}{c.key}" + (f" ({c.cause})" if c.cause else "")
            for c in batch.changes
            if not c.key.startswith(SESSION_PREFIX)
        )
        or "sessions only"
    )
