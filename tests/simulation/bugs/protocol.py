"""Bugs in how revisions, beats and answers are made and believed."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from discovery.chunks import Chunks
from discovery.feed import Feed
from discovery.follower import Follower
from discovery.messages import BEAT_TOPIC
from discovery.mirror import scopes_above
from discovery.parts import Parts
from discovery.position import Position
from discovery.replica import Replica
from discovery.ring import Ring
from discovery.store import Batch, Change
from discovery.view import View
from tests.simulation.bugs.planting import naming
from tests.simulation.routers import Router
from tests.simulation.truth import is_record
from tests.support.keystate import scope_of

if TYPE_CHECKING:
    from tests.simulation.bugs.planting import Patch, Plant

BUGS: dict[str, Plant] = {}
bug = naming(BUGS)


# ---- chain


@bug("chain check off")
def _(patch: Patch) -> None:
    def chain(original: Any, self: Follower, event: Any, now: float) -> None:
        original(self, replace(event, prev=(0, 0, 0, 0)), now)

    patch.around(Follower, "_chain", chain)


@bug("prev of another level")
def _(patch: Patch) -> None:
    def event(original: Any, self: Feed, *args: Any, **options: Any) -> Any:
        made = original(self, *args, **options)
        return replace(made, prev=(made.prev[3],) * 4)

    patch.around(Feed, "_event", event)


@bug("dedupe off")
def _(patch: Patch) -> None:
    patch.always(Position, "includes", value=False)


@bug("parts ignored")
def _(patch: Patch) -> None:
    patch.set(Parts, "add", lambda self, number, part, count, message: [message])


@bug("parts counted, not told apart")
def _(patch: Patch) -> None:
    def add(original: Any, self: Any, number: int, part: int, count: int, message: Any) -> Any:
        here = len(self._by_number.get(number, ()))
        return original(self, number, here, count, message)

    patch.around(Parts, "add", add)


@bug("prev from live keys after a start")
def _(patch: Patch) -> None:
    def start(original: Any, self: Feed, epoch: str, revision: int, entries: Any) -> None:
        entries = list(entries)
        original(self, epoch, revision, entries)
        self._base = 0
        for entry in filter(lambda e: is_record(e.key), entries):
            for above in scopes_above(scope_of(entry.key)):
                self._heads[above] = max(self._heads.get(above, 0), entry.revision)

    patch.around(Feed, "start", start)


@bug("a forgotten head leaves no trace")
def _(patch: Patch) -> None:
    def forget(original: Any, self: Feed, dropped: Any) -> None:
        base = self._base
        original(self, dropped)
        self._base = base

    patch.around(Feed, "_forget_heads", forget)


@bug("relist published as one batch")
def _(patch: Patch) -> None:
    """It does not begin a new line; what came and went in between is in no commit."""

    def start(original: Any, self: Feed, epoch: str, revision: int, entries: Any) -> None:
        if not epoch or epoch != self.epoch:
            original(self, epoch, revision, entries)
            return
        before, after = self.mirror._entries, {e.key: e for e in entries}
        changed = [k for k in sorted({**before, **after}) if before.get(k) != after.get(k)]
        batch = Batch(revision, tuple(Change(key, after.get(key)) for key in changed))
        self.of_relist = self.publish(batch, is_doubtful=True)  # type: ignore[attr-defined]

    def arrived(original: Any, self: Replica) -> None:
        self._publish(vars(self.feed).pop("of_relist", ()))
        original(self)

    patch.around(Feed, "start", start)
    patch.around(Replica, "_arrived", arrived)


@bug("a relist keeps the chain")
def _(patch: Patch) -> None:
    def start(original: Any, self: Feed, epoch: str, *rest: Any) -> None:
        kept = (self._heads, self._base, self._changed, self._beat_heads) if self.epoch else None
        original(self, epoch, *rest)
        if kept:
            self._heads, self._base, self._changed, self._beat_heads = kept

    patch.set(Feed, "epoch", "")  # before the first start
    patch.around(Feed, "start", start)


# ---- beats


@bug("beat head ignored")
def _(patch: Patch) -> None:
    def agrees(original: Any, self: Follower, beat: Any, head: Any, now: float) -> Any:
        head = head and replace(head, head=min(head.head, self.revision))
        return original(self, beat, head, now)

    patch.around(Follower, "_agrees", agrees)


@bug("W ignored")
def _(patch: Patch) -> None:
    def agrees(original: Any, self: Follower, beat: Any, *rest: Any) -> Any:
        return original(self, replace(beat, window=0), *rest)

    patch.around(Follower, "_agrees", agrees)


@bug("W one beat too old")
def _(patch: Patch) -> None:
    """It promises more than the beat lists."""

    def start(original: Any, self: Feed, epoch: str, revision: int, entries: Any) -> None:
        original(self, epoch, revision, entries)
        self._beat_heads = deque([revision], maxlen=self._window_beats + 1)

    patch.around(Feed, "start", start)


@bug("W one revision too old")
def _(patch: Patch) -> None:
    patch.around(Feed, "_window", lambda original, self: original(self) - 1)


@bug("W too new")
def _(patch: Patch) -> None:
    """Safe, but whoever rests is told to ask."""
    patch.set(Feed, "_window", lambda self: self.mirror.revision)


@bug("an old beat proves the view")
def _(patch: Patch) -> None:
    def agrees(original: Any, self: Follower, beat: Any, *rest: Any) -> Any:
        return original(self, replace(beat, head=max(beat.head, self.revision)), *rest)

    patch.around(Follower, "_agrees", agrees)


@bug("beat parts ignored")
def _(patch: Patch) -> None:
    def on_beat(original: Any, self: Follower, beat: Any, now: float) -> None:
        original(self, replace(beat, parts=1), now)

    patch.around(Follower, "on_beat", on_beat)


@bug("digest off")
def _(patch: Patch) -> None:
    patch.always(Follower, "_differs", value=False)


@bug("digest of held records too")
def _(patch: Patch) -> None:
    def differs(original: Any, self: Follower, digest: int) -> Any:
        return bool(self._view.held) or original(self, digest)

    patch.around(Follower, "_differs", differs)


# ---- epochs and daemons


@bug("epoch ignored")
def _(patch: Patch) -> None:
    patch.always(Position, "is_in", value=True)


@bug("another epoch is believed, whenever it was")
def _(patch: Patch) -> None:
    def is_after(_: Any, self: Position, epoch: str, revision: int, *__: float) -> bool:
        return self.is_in(epoch) and revision < self.revision

    patch.around(Position, "is_after", is_after)


@bug("a daemon that lags is believed")
def _(patch: Patch) -> None:
    patch.always(Position, "is_after", value=False)


@bug("name of the daemon ignored")
def _(patch: Patch) -> None:
    patch.always(Follower, "_is_followed", value=True)


# ---- sync


@bug("snapshot not atomic")
def _(patch: Patch) -> None:
    def replace_all(original: Any, self: View, items: Any, *args: Any, **options: Any) -> None:
        original(self, {**self._items, **items}, *args, **options)

    patch.around(View, "replace", replace_all)


@bug("subscribe after snapshot")
def _(patch: Patch) -> None:
    """A router hears events only once its first sync was answered."""

    def connect(original: Any, self: Router) -> None:
        self.is_deaf = True  # type: ignore[attr-defined]
        original(self)

    def take(original: Any, self: Router, answer: Any) -> None:
        original(self, answer)
        self.is_deaf = False  # type: ignore[attr-defined]

    def listens(original: Any, self: Router, index: int, topic: str) -> Any:
        is_beat = topic.startswith(BEAT_TOPIC)
        return (is_beat or not vars(self).get("is_deaf")) and original(self, index, topic)

    patch.around(Router, "connect", connect)
    patch.around(Router, "_take", take)
    patch.around(Router, "listens", listens)


@bug("a snapshot is served as it once was")
def _(patch: Patch) -> None:
    def of_snapshot(original: Any, self: Chunks, scope: Any, codec: Any) -> Any:
        kept = self._cache.get((scope, codec.name))
        return kept.chunks if kept else original(self, scope, codec)

    patch.around(Chunks, "of_snapshot", of_snapshot)


@bug("backfill off by one")
def _(patch: Patch) -> None:
    def after(original: Any, self: Ring, revision: int) -> Any:
        return original(self, revision + 1)

    patch.around(Ring, "after", after)


@bug("backfill from below the floor")
def _(patch: Patch) -> None:
    patch.set(Feed, "floor", property(lambda self: 0))


@bug("what came during a sync is dropped")
def _(patch: Patch) -> None:
    """What is missing is then found to be a gap, though nothing was lost."""
    patch.always(Follower, "_keep_for_later", None)
