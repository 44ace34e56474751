"""Bugs to plant in the real core, by name: those of the watch protocol, and of all around it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from discovery.core import Core
from discovery.decision import Decider
from discovery.errors import LeaseExpiredError, ModelConflictError
from discovery.feed import Feed
from discovery.follower import Follower
from discovery.holding import Holding
from discovery.lease import LeaseTable
from discovery.mirror import scopes_above
from discovery.recovery import Recovery
from discovery.registrations import Registrations
from discovery.registry import Registry
from discovery.replica import Replica
from discovery.service import Service
from discovery.session import Session
from discovery.session_record import SessionRecord
from discovery.store import AtRevision
from discovery.stores.history import HistoryWatch
from discovery.stores.memory import MemoryStore
from discovery.unit import Unit
from tests.simulation.truth import is_record
from tests.support import mutations as protocol
from tests.support.keystate import scope_of
from tests.support.mutations import _always, _around

if TYPE_CHECKING:
    import pytest

    from tests.support.mutations import Plant

CORE_BUGS: dict[str, Plant] = {}


def bug(name: str) -> Any:
    def note(plant: Plant) -> Plant:
        CORE_BUGS[name] = plant
        return plant

    return note


# ---- deciding


@bug("guard dropped")
def _(patch: pytest.MonkeyPatch) -> None:
    def guard(original: Any, self: Unit, revision: int) -> Any:
        return original(self, revision + 1_000_000)

    _around(patch, Unit, "guard", guard)


@bug("conflicts not looked for")
def _(patch: pytest.MonkeyPatch) -> None:
    _always(patch, Registry, "_refuse_conflict", value=None)


@bug("an update under another name needs nobody's leave")
def _(patch: pytest.MonkeyPatch) -> None:
    def newcomers(_: Any, self: Unit, held: Any) -> Any:
        return {key: name for key, name in self.models.items() if held(key) is None}

    _around(patch, Unit, "newcomers", newcomers)


@bug("refused by a daemon that lags")
def _(patch: pytest.MonkeyPatch) -> None:
    def init(original: Any, self: Decider, *args: Any) -> None:
        original(self, *args)
        self._refusals = tuple(r for r in self._refusals if r is not ModelConflictError)

    _around(patch, Decider, "__init__", init)


# ---- fencing


@bug("token unchecked")
def _(patch: pytest.MonkeyPatch) -> None:
    _always(patch, SessionRecord, "is_owned_with", value=True)


@bug("session key not rewritten")
def _(patch: pytest.MonkeyPatch) -> None:
    def touch(original: Any, self: Registry, caller: Any) -> Any:
        _, record = self._session(caller.instance_id, caller.token)
        later = replace(caller, sequence=max(caller.sequence, record.sequence + 1))
        put, guard = original(self, later)
        return replace(put, value=record.encode()), guard

    _around(patch, Registry, "_touch", touch)


@bug("session key not guarded")
def _(patch: pytest.MonkeyPatch) -> None:
    def commit(original: Any, self: Registry, ops: Any, guards: Any) -> Any:
        kept = [g for g in guards if not (isinstance(g, AtRevision) and "session/" in g.key)]
        return original(self, ops, kept)

    _around(patch, Registry, "_commit", commit)


# ---- leases


@bug("lease renewed after its end")
def _(patch: pytest.MonkeyPatch) -> None:
    async def keep_alive(original: Any, self: Registry, instance_id: int, token: str) -> Any:
        try:
            return await original(self, instance_id, token)
        except LeaseExpiredError:
            return self._granted(6.0)

    _around(patch, Registry, "_try_keep_alive", keep_alive)


@bug("lease ends early")
def _(patch: pytest.MonkeyPatch) -> None:
    def renew(original: Any, self: LeaseTable, lease_id: int, now: float) -> Any:
        ttl_s = original(self, lease_id, now)
        if ttl_s is not None:
            self._deadline[lease_id] -= 0.7 * ttl_s
        return ttl_s

    _around(patch, LeaseTable, "renew", renew)


@bug("a lease's end leaves a record")
def _(patch: pytest.MonkeyPatch) -> None:
    def delete(original: Any, self: MemoryStore, lease_id: int, cause: Any) -> Any:
        keys = sorted(self._keys_of[lease_id])
        self._keys_of[lease_id].discard(keys[-1] if keys else "")
        return original(self, lease_id, cause)

    _around(patch, MemoryStore, "_delete_keys_of", delete)


@bug("renewed too seldom")
def _(patch: pytest.MonkeyPatch) -> None:
    def renewed(original: Any, self: Holding, renew_s: float, now: float) -> None:
        original(self, renew_s * 3.3, now)

    _around(patch, Holding, "renewed", renewed)


@bug("nothing registered again after a loss")
def _(patch: pytest.MonkeyPatch) -> None:
    def begin(original: Any, self: Registrations) -> None:
        owned, self._owned = self._owned, {}
        original(self)
        self._owned = owned

    _around(patch, Registrations, "begin_anew", begin)


@bug("a loss of the lease is not believed")
def _(patch: pytest.MonkeyPatch) -> None:
    def lose(_: Any, self: Session, now: float) -> None:
        self._lease.retry_later(now)

    _around(patch, Session, "_lose", lose)


# ---- recovery


@bug("recovery off")
def _(patch: pytest.MonkeyPatch) -> None:
    _always(patch, Recovery, "is_on", value=False)


@bug("a pause of the daemon unnoticed")
def _(patch: pytest.MonkeyPatch) -> None:
    _always(patch, Core, "_notice_pauses", value=None)


@bug("a pause of the store unnoticed")
def _(patch: pytest.MonkeyPatch) -> None:
    _always(patch, LeaseTable, "renew_all", value=None)


@bug("doubt not told")
def _(patch: pytest.MonkeyPatch) -> None:
    _always(patch, Core, "_is_doubtful", value=False)


# ---- jobs


@bug("a job given up is not undone")
def _(patch: pytest.MonkeyPatch) -> None:
    def undo(_: Any, self: Registrations, number: int, job: Any) -> None:
        del job
        self._end(number)

    _around(patch, Registrations, "_undo", undo)


@bug("jobs on one record not in turn")
def _(patch: pytest.MonkeyPatch) -> None:
    _always(patch, Registrations, "_is_first", value=True)


# ---- watching the store


@bug("the store's watch skips a revision")
def _(patch: pytest.MonkeyPatch) -> None:
    def ready(original: Any, self: HistoryWatch) -> Any:
        batches = original(self)
        return batches[1:] if len(batches) > 1 else batches

    _around(patch, HistoryWatch, "ready", ready)


@bug("a list does not wait")
def _(patch: pytest.MonkeyPatch) -> None:
    async def catch_up(_original: Any, _self: Service, _revision: int) -> None:
        """Not at all."""

    _around(patch, Service, "_catch_up", catch_up)


# ---- found by these worlds


@bug("a router waits for a revision of an epoch that is gone")
def _(patch: pytest.MonkeyPatch) -> None:
    def poll(original: Any, self: Follower, now: float) -> Any:
        request = original(self, now)
        return request and replace(request, since=max(self.revision, 0))

    _around(patch, Follower, "poll", poll)


@bug("a store that is away ends the daemon")
def _(patch: pytest.MonkeyPatch) -> None:
    _around(patch, Replica, "_snapshot", lambda _, self: self._store.snapshot(""))


@bug("prev from live keys after a start")
def _(patch: pytest.MonkeyPatch) -> None:
    def start(original: Any, self: Feed, epoch: str, revision: int, entries: Any) -> None:
        entries = list(entries)
        original(self, epoch, revision, entries)
        self._base = 0
        for entry in filter(lambda e: is_record(e.key), entries):
            for above in scopes_above(scope_of(entry.key)):
                self._heads[above] = max(self._heads.get(above, 0), entry.revision)

    _around(patch, Feed, "start", start)


MISSED = ("prev from live keys after a start",)
"""Bugs that 200 worlds do not show: they need too much to happen within one second."""

FOUND_BY: dict[str, int] = {
    "guard dropped": 58,
    "conflicts not looked for": 0,
    "an update under another name needs nobody's leave": 1,
    "refused by a daemon that lags": 16,
    "token unchecked": 2,
    "session key not rewritten": 1,
    "session key not guarded": 118,
    "lease renewed after its end": 10,
    "lease ends early": 0,
    "a lease's end leaves a record": 7,
    "renewed too seldom": 1,
    "nothing registered again after a loss": 0,
    "a loss of the lease is not believed": 0,
    "recovery off": 13,
    "a pause of the daemon unnoticed": 39,
    "a pause of the store unnoticed": 80,
    "doubt not told": 184,
    "a job given up is not undone": 66,
    "jobs on one record not in turn": 9,
    "the store's watch skips a revision": 1,
    "chain check off": 0,
    "prev of another level": 0,
    "duplicates applied": 0,
    "parts ignored": 0,
    "parts counted, not told apart": 7,
    "a relist keeps the chain": 3,
    "beat head ignored": 3,
    "W ignored": 33,
    "an old beat proves the view": 1,
    "beat parts ignored": 0,
    "digest off": 8,
    "digest of held records too": 0,
    "proven when the beat arrives": 3,
    "store age ignored": 1,
    "proven when the answer arrives": 9,
    "epoch ignored": 2,
    "epochs come back": 16,
    "a daemon that lags is believed": 16,
    "name of the daemon ignored": 2,
    "snapshot not atomic": 0,
    "backfill off by one": 0,
    "backfill from below the floor": 0,
    "hold off": 13,
    "hold ended by a recovering daemon": 13,
    "hold ended by the next sync": 24,
    "hold never ended": 0,
    "held rival kept": 3,
    "a model becomes another in place": 16,
    "additions before removals": 5,
    "coalescing loses a removal": 0,
    "coalescing forgets that a key went before it came": 16,
    "coalescing remembers the dead": 0,
    "losers visible": 2,
    "later models win": 2,
    "digest of the leaf only": 0,
    "a list does not wait": 7,
    "a store that is away ends the daemon": 3,
    "a router waits for a revision of an epoch that is gone": 644,
}
"""A seed that shows each bug, so that the test need not look for it."""

BUGS: dict[str, Plant] = {**protocol.BUGS, **CORE_BUGS}
