"""Bugs in what a router shows: order, coalescing, and what is visible at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from discovery.contest import Contest
from discovery.mirror import Mirror
from discovery.outbox import Coalescer, Outbox
from discovery.view import View
from tests.simulation.bugs.planting import naming

if TYPE_CHECKING:
    from tests.simulation.bugs.planting import Patch, Plant

BUGS: dict[str, Plant] = {}
bug = naming(BUGS)


# ---- readers


@bug("a model becomes another in place")
def _(patch: Patch) -> None:
    patch.always(View, "_make_way", None)


@bug("additions before removals")
def _(patch: Patch) -> None:
    def apply(original: Any, self: View, changes: Any, *args: Any, **options: Any) -> None:
        original(self, [c for c in changes if c.item], *args, **options)
        original(self, [c for c in changes if not c.item], *args, **options)

    patch.around(View, "apply", apply)


@bug("coalescing loses a removal")
def _(patch: Patch) -> None:
    def went(original: Any, self: Coalescer, change: Any) -> None:
        if change.key not in self._pending:
            original(self, change)

    patch.around(Coalescer, "_went", went)


@bug("coalescing forgets that a key went before it came")
def _(patch: Patch) -> None:
    def diff(original: Any, self: Outbox, pending: Any) -> Any:
        if pending.last.item is not None:
            pending.removed = None
        return original(self, pending)

    patch.around(Outbox, "_diff", diff)


@bug("coalescing remembers the dead")
def _(patch: Patch) -> None:
    class _Everything(set[str]):
        def __contains__(self, key: object) -> bool:
            return True

    def init(original: Any, self: Coalescer) -> None:
        original(self)
        self._given = _Everything()

    patch.around(Coalescer, "__init__", init)


# ---- what is visible


@bug("losers visible")
def _(patch: Patch) -> None:
    patch.set(Contest, "is_clean", property(lambda self: True, lambda self, value: None))


@bug("later models win")
def _(patch: Patch) -> None:
    def visible(original: Any, self: Contest) -> Any:
        members = self._members
        self._members = {key: (-at, identity) for key, (at, identity) in members.items()}
        try:
            return original(self)
        finally:
            self._members = members

    patch.around(Contest, "visible", visible)


@bug("digest of the leaf only")
def _(patch: Patch) -> None:
    def show(original: Any, self: Mirror, scope: Any, *args: Any) -> Any:
        above = {s: self.digest(s) for s in (scope[:1], scope[:2], scope[:3])}
        shown = original(self, scope, *args)
        self._digests.update(above)
        return shown

    patch.around(Mirror, "_show", show)
