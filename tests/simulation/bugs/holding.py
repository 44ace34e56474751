"""Bugs in what a router holds back, and until when."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from discovery.follower import Follower
from discovery.held import Held
from discovery.view import View
from tests.simulation.bugs.planting import naming

if TYPE_CHECKING:
    from tests.simulation.bugs.planting import Patch, Plant

BUGS: dict[str, Plant] = {}
bug = naming(BUGS)


@bug("hold off")
def _(patch: Patch) -> None:
    def apply(original: Any, self: View, *args: Any, may_hold: bool) -> None:
        original(self, *args, may_hold=may_hold and False)

    patch.around(View, "apply", apply)
    patch.around(View, "replace", apply)


@bug("hold ended by a recovering daemon")
def _(patch: Patch) -> None:
    def release(original: Any, self: Follower, proof: Any) -> None:
        original(self, replace(proof, is_recovering=False))

    patch.around(Follower, "_release", release)


@bug("hold ended by the next sync")
def _(patch: Patch) -> None:
    def replace_all(
        original: Any, self: View, items: Any, revision: int, *, may_hold: bool
    ) -> None:
        self.release(revision)
        original(self, items, revision, may_hold=may_hold)

    patch.around(View, "replace", replace_all)


@bug("hold never ended")
def _(patch: Patch) -> None:
    patch.always(Follower, "_release", None)


@bug("held rival kept")
def _(patch: Patch) -> None:
    patch.always(Held, "rivals_of", [])


@bug("hold ended by a backfill")
def _(patch: Patch) -> None:
    def release(original: Any, self: View, revision: int, **_: Any) -> None:
        original(self, revision)

    patch.around(View, "release", release)


@bug("an unregistration is held")
def _(patch: Patch) -> None:
    def apply(original: Any, self: View, changes: Any, *args: Any, **options: Any) -> None:
        unclear = [c if c.item else replace(c, cause=None) for c in changes]
        original(self, unclear, *args, **options)

    patch.around(View, "apply", apply)


# ---- doubts


@bug("a new epoch is not doubted")
def _(patch: Patch) -> None:
    def install(original: Any, self: Follower, answer: Any, *rest: Any) -> None:
        original(self, replace(answer, is_recovering=answer.is_doubtful), *rest)

    patch.around(Follower, "_install", install)


@bug("doubt of an answer ignored")
def _(patch: Patch) -> None:
    def install(original: Any, self: Follower, answer: Any, *rest: Any) -> None:
        original(self, replace(answer, is_doubtful=False), *rest)

    patch.around(Follower, "_install", install)


@bug("doubt of an event ignored")
def _(patch: Patch) -> None:
    def chain(original: Any, self: Follower, event: Any, now: float) -> None:
        original(self, replace(event, is_doubtful=False), now)

    patch.around(Follower, "_chain", chain)
