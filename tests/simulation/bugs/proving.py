"""Bugs in what a router claims: how old its view is, whether it is synced, where it goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from discovery.follower import Follower, StreamState
from discovery.proof import Proof
from tests.simulation.bugs.planting import naming

if TYPE_CHECKING:
    from tests.simulation.bugs.planting import Patch, Plant

BUGS: dict[str, Plant] = {}
bug = naming(BUGS)


# ---- proof


@bug("proven when the beat arrives")
def _(patch: Patch) -> None:
    patch.set(Proof, "_sent_at", lambda self, beat, now: now)


@bug("store age ignored")
def _(patch: Patch) -> None:
    def prove(original: Any, self: Proof, at: float, age_s: float) -> None:
        original(self, at, 0.0 * age_s)

    patch.around(Proof, "_prove", prove)


@bug("proven when the answer arrives")
def _(patch: Patch) -> None:
    def by_answer(original: Any, self: Proof, answer: Any, *, asked_at: float, now: float) -> None:
        original(self, answer, asked_at=max(now, asked_at), now=now)

    patch.around(Proof, "by_answer", by_answer)


@bug("stale not told")
def _(patch: Patch) -> None:
    def state(original: Any, self: Follower, now: float) -> StreamState:
        found: StreamState = original(self, now)
        return StreamState.LIVE if found is StreamState.STALE else found

    patch.around(Follower, "state", state)


@bug("a silent daemon is kept")
def _(patch: Patch) -> None:
    patch.always(Follower, "is_in_vain", value=False)


# ---- synced


@bug("synced before the answer")
def _(patch: Patch) -> None:
    def connected(original: Any, self: Follower, *args: Any) -> None:
        original(self, *args)
        self.is_synced = True

    patch.around(Follower, "connected", connected)


@bug("nothing is taken for silence")
def _(patch: Patch) -> None:
    def on_answer(original: Any, self: Follower, answer: Any, now: float) -> None:
        was_synced = self.is_synced
        original(self, answer, now)
        self.is_synced = self.is_synced and (was_synced or bool(self.items))

    patch.around(Follower, "on_answer", on_answer)


@bug("a failover begins from nothing")
def _(patch: Patch) -> None:
    def connected(original: Any, self: Follower, *args: Any) -> None:
        self._view.replace({}, max(self.revision, 0), may_hold=False)
        self._must_snapshot = True
        original(self, *args)

    patch.around(Follower, "connected", connected)


@bug("a corrupt view is not fetched anew")
def _(patch: Patch) -> None:
    def corrupt(original: Any, self: Follower, now: float) -> None:
        original(self, now)
        self._must_snapshot = False

    patch.around(Follower, "_corrupt", corrupt)
