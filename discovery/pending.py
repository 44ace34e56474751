"""Deciding between racing models on a store without guards: write where nobody looks, then check.

A contender writes under `pending/`, which is never listed nor published, and then looks who else is
there. Whom a confirmed record contradicts has lost; whom an earlier pending record contradicts
waits until that is confirmed or gone. So of any contenders that contradict each other the earliest
stays, nobody loses to a loser, and nobody is visible before it has won. Waiting is only ever for
those created before, so it comes to an end. DESIGN §3; all interleavings of three contenders are
tried in tests/discovery/test_pending.py.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from discovery.errors import (
    DiscoveryError,
    LeaseExpiredError,
    ModelConflictError,
    UnavailableError,
)
from discovery.keys import PENDING_PREFIX, pending_key
from discovery.store import CompactedError, Delete, Put
from discovery.unit import identity_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from discovery.identity import ModelIdentity
    from discovery.store import Entry, Op, Store
    from discovery.unit import Unit

_UNDECIDED_S = 1.0  # below a client's request timeout, so that it gets an answer, not a silence
_ROLL_BACK_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """A unit that wants on its endpoint, with what it takes to put it there.

    Args:
        instance_id: the process, and its lease.
        unit: what it registers.
        newcomers: the unit's models that have to win, by key.
        ops: the writes that make the unit visible.
    """

    instance_id: int
    unit: Unit
    newcomers: Mapping[str, ModelIdentity]
    ops: Sequence[Op]

    @property
    def pending(self) -> Mapping[str, bytes]:
        """The pending records, by key."""
        return {pending_key(key): self.unit.records[key] for key in self.newcomers}


@dataclass(frozen=True, slots=True)
class _Rival:
    """Who stands in the way of whom; `entries` are the records of that."""

    requested: ModelIdentity
    incumbent: ModelIdentity
    entries: Sequence[Entry]


async def confirm_pending(
    store: Store, contender: Contender, *, since_ms: Callable[[int], int]
) -> int:
    """Put a unit on its endpoint if its models win there; return the revision.

    `since_ms` gives a time at which a revision had been reached. Raises `ModelConflictError` for a
    loser, and `UnavailableError` when an earlier contender stays undecided. The pending records are
    gone then. When they could not be removed the error says that too; they go with the lease, or
    with the next attempt.
    """
    _refuse(contender, _rival_among(contender, []), since_ms)
    mine = contender.pending
    await store.commit([Delete(key) for key in mine])  # left by a failed rollback: start last
    try:
        await store.commit([Put(key, value, contender.instance_id) for key, value in mine.items()])
        await _win(store, contender, since_ms)
        return await store.commit([*contender.ops, *map(Delete, mine)])
    except (Exception, asyncio.CancelledError) as error:
        failure = await _roll_back(store, mine)
        if failure is None or isinstance(error, LeaseExpiredError):  # they went with the lease
            raise
        if isinstance(error, ModelConflictError):
            raise error.with_rollback_failure(contender.instance_id, failure) from failure
        if isinstance(error, DiscoveryError):
            raise UnavailableError(
                f"{error}; failed to roll back conflicting model registration for instance "
                f"{contender.instance_id}: {failure}"
            ) from error
        raise


def _refuse(contender: Contender, rival: _Rival | None, since_ms: Callable[[int], int]) -> None:
    """Raise the conflict error if there is a rival."""
    if rival:
        oldest = min((entry.created for entry in rival.entries), default=None)
        raise contender.unit.refusal(
            rival.requested,
            rival.incumbent,
            count=len(rival.entries),
            since_ms=since_ms(oldest) if oldest is not None else None,
        )


async def _win(store: Store, contender: Contender, since_ms: Callable[[int], int]) -> None:
    """Return once nobody stands in the way; raise when somebody does."""
    undecided: _Rival | None = None
    try:
        async with asyncio.timeout(_UNDECIDED_S):
            while True:
                revision, earlier, confirmed = await _look(store, contender)
                _refuse(contender, _rival_among(contender, confirmed), since_ms)
                undecided = _rival_among(contender, earlier)
                if undecided is None:
                    return
                await _change_of_pending(store, contender, revision)
    except TimeoutError:
        raise UnavailableError(_why_undecided(contender, undecided)) from None


async def _look(store: Store, contender: Contender) -> tuple[int, Sequence[Entry], Sequence[Entry]]:
    """Return a revision, who was pending then before this contender, and who is confirmed.

    Pending records are read before confirmed ones: a rival that is confirmed between the two reads
    is then seen twice, never not at all.
    """
    prefix, mine = contender.unit.models_prefix, contender.pending
    pending = await store.snapshot(PENDING_PREFIX + prefix)
    confirmed = await store.snapshot(prefix)
    ranks = [_rank(entry) for entry in pending.entries if entry.key in mine]
    if not ranks:
        raise LeaseExpiredError(
            f"process {contender.instance_id:x}: its lease ended while it registered"
        )
    others = (entry for entry in pending.entries if entry.lease != contender.instance_id)
    earlier = [entry for entry in others if _rank(entry) < min(ranks)]
    return pending.revision, earlier, confirmed.entries


async def _change_of_pending(store: Store, contender: Contender, revision: int) -> None:
    """Wait until something happened among the pending records after `revision`."""
    prefix = PENDING_PREFIX + contender.unit.models_prefix
    with suppress(CompactedError):  # much happened
        async with store.watch(prefix, revision) as watch:
            await watch.wait()


def _rank(entry: Entry) -> tuple[int, str]:
    return entry.created, entry.key


def _rival_among(contender: Contender, entries: Iterable[Entry]) -> _Rival | None:
    """Return whom a newcomer contradicts, of `entries` or of its own unit."""
    there = _by_identity(entries)
    conflict = contender.unit.conflict_with(there, contender.newcomers.values())
    if conflict is None:
        return None
    requested, incumbent = conflict
    return _Rival(requested, incumbent, there.get(incumbent, []))


def _why_undecided(contender: Contender, rival: _Rival | None) -> str:
    within = f"within {_UNDECIDED_S:g} s"
    if rival is None:
        return f"process {contender.instance_id:x}: no answer of the store {within}"
    keys = ", ".join(entry.key for entry in rival.entries)
    return (
        f"model '{rival.requested.display_name}': an earlier registration of "
        f"'{rival.incumbent.display_name}' on its endpoint was not decided {within} ({keys}); "
        "try again"
    )


def _by_identity(entries: Iterable[Entry]) -> dict[ModelIdentity, list[Entry]]:
    found: dict[ModelIdentity, list[Entry]] = {}
    for entry in entries:
        identity = identity_of(entry.key.removeprefix(PENDING_PREFIX), entry.value)
        if identity:
            found.setdefault(identity, []).append(entry)
    return found


async def _roll_back(store: Store, mine: Iterable[str]) -> DiscoveryError | None:
    """Take back the pending records; return why that failed.

    Bounded, since it is done after a cancellation too.
    """
    try:
        async with asyncio.timeout(_ROLL_BACK_S):
            await store.commit([Delete(key) for key in mine])
    except DiscoveryError as error:
        return error
    except TimeoutError:
        return UnavailableError(f"no answer within {_ROLL_BACK_S:g} s")
    return None
