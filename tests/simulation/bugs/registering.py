"""Bugs in who may write what: deciding, fencing, jobs."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from discovery import pending
from discovery.decision import Decider
from discovery.errors import LeaseExpiredError, ModelConflictError
from discovery.holding import Holding
from discovery.jobqueue import JobQueue
from discovery.registrations import Registrations
from discovery.registry import Registry
from discovery.session import Session
from discovery.session_record import SessionRecord
from discovery.sessions import Sessions
from discovery.store import AtRevision
from discovery.unit import Unit
from tests.simulation.bugs.planting import naming

if TYPE_CHECKING:
    from tests.simulation.bugs.planting import Patch, Plant

BUGS: dict[str, Plant] = {}
bug = naming(BUGS)


# ---- deciding


@bug("guard dropped")
def _(patch: Patch) -> None:
    def guard(original: Any, self: Unit, revision: int) -> Any:
        return original(self, revision + 1_000_000)

    patch.around(Unit, "guard", guard)


@bug("conflicts not looked for")
def _(patch: Patch) -> None:
    patch.always(Registry, "_refuse_conflict", None)


@bug("an update under another name needs nobody's leave")
def _(patch: Patch) -> None:
    def newcomers(_: Any, self: Unit, held: Any) -> Any:
        return {key: name for key, name in self.models.items() if held(key) is None}

    patch.around(Unit, "newcomers", newcomers)


@bug("refused by a daemon that lags")
def _(patch: Patch) -> None:
    def init(original: Any, self: Decider, *args: Any) -> None:
        original(self, *args)
        self._refusals = tuple(r for r in self._refusals if r is not ModelConflictError)

    patch.around(Decider, "__init__", init)


@bug("a lost lease told by a daemon that lags")
def _(patch: Patch) -> None:
    def init(original: Any, self: Decider, *args: Any) -> None:
        original(self, *args)
        self._refusals = tuple(r for r in self._refusals if r is not LeaseExpiredError)

    patch.around(Decider, "__init__", init)


@bug("a unit in pieces")
def _(patch: Patch) -> None:
    async def commit(original: Any, self: Registry, ops: Any, guards: Any) -> Any:
        revision = await original(self, ops[:2], guards)
        for op in ops[2:]:
            revision = await original(self, [op], [])
        return revision

    patch.around(Registry, "commit", commit)


# ---- without guards


@bug("confirmed without a look")
def _(patch: Patch) -> None:
    async def win(*_: object) -> None:
        """Nobody else is looked for."""

    patch.set(pending, "_win", win)


@bug("a loser's pending record stays")
def _(patch: Patch) -> None:
    async def roll_back(*_: object) -> None:
        """Nothing is taken back."""

    patch.set(pending, "_roll_back", roll_back)


# ---- fencing


@bug("token unchecked")
def _(patch: Patch) -> None:
    patch.always(SessionRecord, "is_owned_with", value=True)


@bug("session key not rewritten")
def _(patch: Patch) -> None:
    def touch(original: Any, self: Sessions, caller: Any, **options: Any) -> Any:
        _, record = self.of(caller.instance_id, caller.token)
        later = replace(caller, sequence=max(caller.sequence, record.sequence + 1))
        put, guard = original(self, later, **options)
        return replace(put, value=record.encode()), guard

    patch.around(Sessions, "touch", touch)


@bug("an unregistration of nothing leaves the session alone")
def _(patch: Patch) -> None:
    async def unregister(original: Any, self: Registry, caller: Any, keys: Any) -> Any:
        self.sessions.touch(caller)
        if not any(self._replica.mirror.get(key) for key in keys):
            return self._replica.mirror.revision
        return await original(self, caller, keys)

    patch.around(Registry, "_try_unregister", unregister)


@bug("attempts keep their number")
def _(patch: Patch) -> None:
    patch.always(Holding, "next_sequence", 1)


@bug("session key not guarded")
def _(patch: Patch) -> None:
    def commit(original: Any, self: Registry, ops: Any, guards: Any) -> Any:
        kept = [g for g in guards if not (isinstance(g, AtRevision) and "session/" in g.key)]
        return original(self, ops, kept)

    patch.around(Registry, "commit", commit)


# ---- jobs


@bug("a job given up is not undone")
def _(patch: Patch) -> None:
    def undo(_: Any, self: Registrations, number: int, job: Any) -> None:
        del job
        self.jobs.end(number)

    patch.around(Registrations, "_undo", undo)


@bug("jobs on one record not in turn")
def _(patch: Patch) -> None:
    patch.always(JobQueue, "is_first", value=True)


# ---- another epoch


@bug("a session does not heed the epoch")
def _(patch: Patch) -> None:
    patch.always(Session, "_note_ground", None)


@bug("nothing is retained")
def _(patch: Patch) -> None:
    """What was removed, and is back since the store lost its tail, stays."""

    def assert_again(original: Any, self: Registrations) -> None:
        original(self)
        for number, job in self.jobs.all():
            if job.is_retention:
                self.jobs.end(number)

    patch.around(Registrations, "assert_again", assert_again)


@bug("a reassertion stands for what was owned once")
def _(patch: Patch) -> None:
    patch.always(Registrations, "_refresh", None)
