"""Bugs to plant in the watch protocol, by name. Each must be found by the worlds of `world`."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from discovery.contest import Contest
from discovery.feed import Feed
from discovery.follower import Follower
from discovery.held import Held
from discovery.mirror import Mirror, scopes_above
from discovery.outbox import Coalescer, Outbox
from discovery.parts import Parts
from discovery.position import Position
from discovery.proof import Proof
from discovery.ring import Ring
from discovery.view import View
from tests.support.keystate import scope_of

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    Plant = Callable[[pytest.MonkeyPatch], None]

BUGS: dict[str, Plant] = {}
SPARE: dict[str, Plant] = {}
"""Rules that save time or messages; another rule makes good what happens without them."""


def spare(name: str) -> Callable[[Plant], Plant]:
    def note(plant: Plant) -> Plant:
        SPARE[name] = plant
        return plant

    return note


def bug(name: str) -> Callable[[Plant], Plant]:
    def note(plant: Plant) -> Plant:
        BUGS[name] = plant
        return plant

    return note


def _around(patch: pytest.MonkeyPatch, owner: type, name: str, wrap: Callable[..., Any]) -> None:
    """Replace a method by `wrap(original, self, *args, **options)`."""
    original = getattr(owner, name)
    patch.setattr(
        owner, name, lambda self, *args, **options: wrap(original, self, *args, **options)
    )


def _always(patch: pytest.MonkeyPatch, owner: type, name: str, value: object) -> None:
    patch.setattr(owner, name, lambda *args, **options: value)


# ---- chain


@bug("chain check off")
def _(patch: pytest.MonkeyPatch) -> None:
    def chain(original: Any, self: Follower, event: Any, now: float) -> None:
        original(self, replace(event, prev=(0, 0, 0, 0)), now)

    _around(patch, Follower, "_chain", chain)


@bug("prev of another level")
def _(patch: pytest.MonkeyPatch) -> None:
    def event(original: Any, self: Feed, *args: Any, **options: Any) -> Any:
        made = original(self, *args, **options)
        return replace(made, prev=(made.prev[3],) * 4)

    _around(patch, Feed, "_event", event)


@bug("duplicates applied")
def _(patch: pytest.MonkeyPatch) -> None:
    _always(patch, Position, "includes", value=False)


@bug("parts ignored")
def _(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Parts, "add", lambda self, number, part, count, message: [message])


@bug("parts counted, not told apart")
def _(patch: pytest.MonkeyPatch) -> None:
    def add(original: Any, self: Any, number: int, part: int, count: int, message: Any) -> Any:
        here = len(self._by_number.get(number, ()))
        return original(self, number, here, count, message)

    _around(patch, Parts, "add", add)


@bug("prev from live keys after a start")
def _(patch: pytest.MonkeyPatch) -> None:
    def start(original: Any, self: Feed, epoch: str, revision: int, entries: Any) -> None:
        entries = list(entries)
        original(self, epoch, revision, entries)
        self._base = 0
        for entry in entries:
            for above in scopes_above(scope_of(entry.key)):
                self._heads[above] = max(self._heads.get(above, 0), entry.revision)

    _around(patch, Feed, "start", start)


@bug("a relist keeps the chain")
def _(patch: pytest.MonkeyPatch) -> None:
    def start(original: Any, self: Feed, epoch: str, *rest: Any) -> None:
        kept = (self._heads, self._base, self._changed, self._beat_heads) if self.epoch else None
        original(self, epoch, *rest)
        if kept:
            self._heads, self._base, self._changed, self._beat_heads = kept

    patch.setattr(Feed, "epoch", "", raising=False)
    _around(patch, Feed, "start", start)


# ---- beats


@bug("beat head ignored")
def _(patch: pytest.MonkeyPatch) -> None:
    def agrees(original: Any, self: Follower, beat: Any, head: Any, now: float) -> Any:
        head = head and replace(head, head=min(head.head, self.revision))
        return original(self, beat, head, now)

    _around(patch, Follower, "_agrees", agrees)


@bug("W ignored")
def _(patch: pytest.MonkeyPatch) -> None:
    def agrees(original: Any, self: Follower, beat: Any, *rest: Any) -> Any:
        return original(self, replace(beat, window=0), *rest)

    _around(patch, Follower, "_agrees", agrees)


@bug("an old beat proves the view")
def _(patch: pytest.MonkeyPatch) -> None:
    def agrees(original: Any, self: Follower, beat: Any, *rest: Any) -> Any:
        return original(self, replace(beat, head=max(beat.head, self.revision)), *rest)

    _around(patch, Follower, "_agrees", agrees)


@bug("beat parts ignored")
def _(patch: pytest.MonkeyPatch) -> None:
    def on_beat(original: Any, self: Follower, beat: Any, now: float) -> None:
        original(self, replace(beat, parts=1), now)

    _around(patch, Follower, "on_beat", on_beat)


@bug("digest off")
def _(patch: pytest.MonkeyPatch) -> None:
    _always(patch, Follower, "_differs", value=False)


@bug("digest of held records too")
def _(patch: pytest.MonkeyPatch) -> None:
    def differs(original: Any, self: Follower, digest: int) -> Any:
        return bool(self._view.held) or original(self, digest)

    _around(patch, Follower, "_differs", differs)


# ---- proof


@bug("proven when the beat arrives")
def _(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Proof, "_sent_at", lambda self, beat, now: now)


@bug("store age ignored")
def _(patch: pytest.MonkeyPatch) -> None:
    def prove(original: Any, self: Proof, at: float, age_s: float) -> None:
        original(self, at, 0.0 * age_s)

    _around(patch, Proof, "_prove", prove)


@bug("proven when the answer arrives")
def _(patch: pytest.MonkeyPatch) -> None:
    def by_answer(original: Any, self: Proof, answer: Any, *, asked_at: float, now: float) -> None:
        original(self, answer, asked_at=max(now, asked_at), now=now)

    _around(patch, Proof, "by_answer", by_answer)


# ---- epochs and daemons


@bug("epoch ignored")
def _(patch: pytest.MonkeyPatch) -> None:
    _always(patch, Position, "is_in", value=True)


@bug("epochs come back")
def _(patch: pytest.MonkeyPatch) -> None:
    _always(patch, Position, "has_left", value=False)


@bug("a daemon that lags is believed")
def _(patch: pytest.MonkeyPatch) -> None:
    _always(patch, Position, "is_after", value=False)


@bug("name of the daemon ignored")
def _(patch: pytest.MonkeyPatch) -> None:
    _always(patch, Follower, "_is_followed", value=True)


# ---- sync


@bug("snapshot not atomic")
def _(patch: pytest.MonkeyPatch) -> None:
    def replace_all(original: Any, self: View, items: Any, *args: Any, **options: Any) -> None:
        original(self, {**self._items, **items}, *args, **options)

    _around(patch, View, "replace", replace_all)


@bug("backfill off by one")
def _(patch: pytest.MonkeyPatch) -> None:
    def after(original: Any, self: Ring, revision: int) -> Any:
        return original(self, revision + 1)

    _around(patch, Ring, "after", after)


@bug("backfill from below the floor")
def _(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Feed, "floor", property(lambda self: 0))


# ---- holding


@bug("hold off")
def _(patch: pytest.MonkeyPatch) -> None:
    def apply(original: Any, self: View, *args: Any, may_hold: bool) -> None:
        original(self, *args, may_hold=may_hold and False)

    _around(patch, View, "apply", apply)
    _around(patch, View, "replace", apply)


@bug("hold ended by a recovering daemon")
def _(patch: pytest.MonkeyPatch) -> None:
    def release(original: Any, self: Follower, proof: Any) -> None:
        original(self, replace(proof, is_recovering=False))

    _around(patch, Follower, "_release", release)


@bug("hold ended by the next sync")
def _(patch: pytest.MonkeyPatch) -> None:
    def replace_all(
        original: Any, self: View, items: Any, revision: int, *, may_hold: bool
    ) -> None:
        self.release(revision)
        original(self, items, revision, may_hold=may_hold)

    _around(patch, View, "replace", replace_all)


@bug("hold never ended")
def _(patch: pytest.MonkeyPatch) -> None:
    _always(patch, Follower, "_release", value=None)


@bug("held rival kept")
def _(patch: pytest.MonkeyPatch) -> None:
    _always(patch, Held, "rivals_of", value=[])


# ---- readers


@bug("a model becomes another in place")
def _(patch: pytest.MonkeyPatch) -> None:
    _always(patch, View, "_make_way", value=None)


@bug("additions before removals")
def _(patch: pytest.MonkeyPatch) -> None:
    def apply(original: Any, self: View, changes: Any, *args: Any, **options: Any) -> None:
        original(self, [c for c in changes if c.item], *args, **options)
        original(self, [c for c in changes if not c.item], *args, **options)

    _around(patch, View, "apply", apply)


@bug("coalescing loses a removal")
def _(patch: pytest.MonkeyPatch) -> None:
    def went(original: Any, self: Coalescer, change: Any) -> None:
        if change.key not in self._pending:
            original(self, change)

    _around(patch, Coalescer, "_went", went)


@bug("coalescing forgets that a key went before it came")
def _(patch: pytest.MonkeyPatch) -> None:
    def diff(original: Any, self: Outbox, pending: Any) -> Any:
        if pending.last.item is not None:
            pending.removed = None
        return original(self, pending)

    _around(patch, Outbox, "_diff", diff)


@bug("coalescing remembers the dead")
def _(patch: pytest.MonkeyPatch) -> None:
    class _Everything(set[str]):
        def __contains__(self, key: object) -> bool:
            return True

    def init(original: Any, self: Coalescer) -> None:
        original(self)
        self._given = _Everything()

    _around(patch, Coalescer, "__init__", init)


# ---- what is visible


@bug("losers visible")
def _(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Contest, "is_clean", property(lambda self: True, lambda self, value: None))


@bug("later models win")
def _(patch: pytest.MonkeyPatch) -> None:
    def visible(original: Any, self: Contest) -> Any:
        members = self._members
        self._members = {key: (-at, identity) for key, (at, identity) in members.items()}
        try:
            return original(self)
        finally:
            self._members = members

    _around(patch, Contest, "visible", visible)


@bug("digest of the leaf only")
def _(patch: pytest.MonkeyPatch) -> None:
    def show(original: Any, self: Mirror, scope: Any, *args: Any) -> Any:
        above = {s: self.digest(s) for s in (scope[:1], scope[:2], scope[:3])}
        shown = original(self, scope, *args)
        self._digests.update(above)
        return shown

    _around(patch, Mirror, "_show", show)


# ---- not bugs


@spare("no audit")
def _(patch: pytest.MonkeyPatch) -> None:
    """A wrong view was changed by an EVENT, so beats list its scope; see test_follower, too."""

    def by_answer(original: Any, self: Proof, *args: Any, **options: Any) -> None:
        original(self, *args, **options)
        self.compared_at = float("inf")

    _around(patch, Proof, "by_answer", by_answer)


@spare("what came during a sync is dropped")
def _(patch: pytest.MonkeyPatch) -> None:
    """What is missing is then found to be a gap."""
    _always(patch, Follower, "_keep_for_later", value=None)
