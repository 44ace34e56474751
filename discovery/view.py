"""What one consumer shows: the registry's records at a revision, and those it holds. Sans-I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from discovery.events import Cause
from discovery.held import Held, stance_of
from discovery.protocol import DIGEST_MODULUS, ItemChange, item_digest

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from discovery.protocol import Item


@dataclass(frozen=True, slots=True)
class Shown:
    """A record that became visible or changed, or (`item` None) went, as of `revision`."""

    key: str
    item: Item | None
    revision: int
    cause: Cause | None = None
    detail: str | None = None


class View:
    """The records of one scope.

    What goes, goes before what comes, and a model that becomes another one goes first, so that a
    reader who takes one change at a time never sees two models at once.
    """

    def __init__(self) -> None:
        self.digest = 0
        """Sum of `item_digest` over the records, held ones not counted."""
        self._items: dict[str, Item] = {}
        self._held = Held()
        self._out: list[Shown] = []

    @property
    def held(self) -> Mapping[str, Item]:
        """Records that the registry has no more, shown until their workers are surely dead."""
        return self._held.items

    def take(self) -> list[Shown]:
        """Return what was shown or withdrawn since the last call, in order."""
        out, self._out = self._out, []
        return out

    def shown(self) -> dict[str, Item]:
        """Return what is shown now, by key."""
        return {**self._items, **self._held.items}

    def apply(self, changes: Sequence[ItemChange], revision: int, *, may_hold: bool) -> None:
        """Take in what one revision did. With `may_hold`, ends of leases are held back."""
        for change in changes:
            if change.item is None:
                hold = may_hold and change.cause in {None, Cause.LEASE_EXPIRED}
                self._withdraw(change, revision, hold=hold)
        self._admit([change.item for change in changes if change.item is not None], revision)

    def replace(self, items: Mapping[str, Item], revision: int, *, may_hold: bool) -> None:
        """Become exactly `items`: withdraw what vanished, then show what is new or different."""
        for key in [key for key in self._items if key not in items]:
            self._withdraw(_gone(key), revision, hold=may_hold)
        self._admit(items.values(), revision)

    def release(self, revision: int, *, keep: AbstractSet[str] = frozenset()) -> None:
        """Withdraw what is held but `keep`: a daemon that can know of it does not have it."""
        for key in [key for key in self.held if key not in keep]:
            self._drop_held(_gone(key, Cause.LEASE_EXPIRED), revision)

    def _withdraw(self, change: ItemChange, revision: int, *, hold: bool) -> None:
        item = self._items.pop(change.key, None)
        if item is None:
            if not hold:
                self._drop_held(change, revision)
            return
        self.digest = (self.digest - item_digest(item.key, item.revision)) % DIGEST_MODULUS
        if hold:
            self._held.put(item)
        else:
            self._emit(item, change, revision)

    def _admit(self, items: Collection[Item], revision: int) -> None:
        for item in items:
            self._make_way(item, revision)
        for item in items:
            self._put(item, revision)

    def _make_way(self, item: Item, revision: int) -> None:
        """Let a model go that is about to become another one, before anything else comes."""
        before = self._items.get(item.key) or self.held.get(item.key)
        if before is None:
            return
        stance = stance_of(before)
        if stance and stance != stance_of(item):
            self._withdraw(_gone(item.key), revision, hold=False)

    def _put(self, item: Item, revision: int) -> None:
        old = self._items.get(item.key)
        if old is not None and old.revision == item.revision and old.instance == item.instance:
            return
        before = old or self._held.pop(item.key)
        removed = item_digest(item.key, old.revision) if old else 0
        added = item_digest(item.key, item.revision)
        self.digest = (self.digest - removed + added) % DIGEST_MODULUS
        self._items[item.key] = item
        # A model that contradicts a held one on its endpoint has taken its place.
        for key in self._held.rivals_of(item) if self.held else ():
            self._drop_held(_gone(key, Cause.LEASE_EXPIRED), revision)
        if before is None or before.instance != item.instance:
            self._emit(before, ItemChange(item.key, item), revision)

    def _drop_held(self, change: ItemChange, revision: int) -> None:
        item = self._held.pop(change.key)
        if item:
            self._emit(item, change, revision)

    def _emit(self, before: Item | None, change: ItemChange, revision: int) -> None:
        """Note a change for the reader; records it cannot read come and go unseen."""
        key, after = change.key, change.item
        if after is not None and after.instance is not None:
            self._out.append(Shown(key, after, revision))
        elif before is not None and before.instance is not None:
            cause = change.cause or Cause.RESYNC
            self._out.append(Shown(key, None, revision, cause, change.detail))


def _gone(key: str, cause: Cause = Cause.RESYNC) -> ItemChange:
    return ItemChange(key, None, cause)
