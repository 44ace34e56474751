"""Registration: who may put what where, decided in one step with the writing of it."""

from __future__ import annotations

import asyncio
import math
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from discovery.catalogrules import serving_guards
from discovery.decision import Decider
from discovery.errors import (
    AlreadyExistsError,
    DiscoveryError,
    InvalidArgumentError,
    PermissionDeniedError,
    UnavailableError,
)
from discovery.events import Cause
from discovery.keys import pending_key, session_key
from discovery.pending import Contender, confirm_pending
from discovery.session_record import SessionRecord, hash_token
from discovery.sessions import Sessions
from discovery.store import AtRevision, Delete, Guard, Op, Put
from discovery.turns import Turns
from discovery.unit import Unit, keys_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence

    from discovery.identity import ModelIdentity
    from discovery.ids import InstanceId
    from discovery.replica import Replica
    from discovery.sessions import Caller
    from discovery.settings import LeaseSettings, LimitSettings
    from discovery.spec import Spec
    from discovery.store import Entry, Store

_RENEWALS_PER_TTL = 3
_CLEAN_UP_S = 2.0
_SHOW_S = 1.0
_MOST_DELETES = 100  # etcd takes 128 operations in one request, some of them ours

T = TypeVar("T")


def in_parts(deletes: Sequence[Delete]) -> list[Sequence[Delete]]:
    """Split deletions of one process into what every store takes in one commit; one at least."""
    starts = range(0, len(deletes) or 1, _MOST_DELETES)
    return [deletes[start : start + _MOST_DELETES] for start in starts]


@dataclass(frozen=True, slots=True)
class Granted:
    """A lease: its TTL, and how often its owner is asked to renew it, both in seconds.

    `is_draining`: an operator has taken its owner out of service. `since`: the revision at which it
    was granted; a later one than before says that it had ended in between.
    """

    ttl_s: float
    renew_s: float
    is_draining: bool
    since: int


class Registry:
    """The registry over one store. One model identity per endpoint, whoever races."""

    def __init__(
        self,
        store: Store,
        replica: Replica,
        *,
        leases: LeaseSettings,
        limits: LimitSettings,
        generation: str,
    ) -> None:
        self._store = store
        self._replica = replica
        self._leases, self._limits = leases, limits
        self._generation = generation
        self.answered = 0
        """The highest revision that a caller was told of; lists here must not be older."""
        self.turns = Turns()
        self._decider = Decider(store, replica)
        self.sessions = Sessions(replica)

    # ---- leases

    async def grant(self, instance_id: int, ttl_s: float, token: str) -> Granted:
        """Make the lease of a process; asking again with the same token gives the same answer.

        Raises `InvalidArgumentError` for a TTL out of range, `AlreadyExistsError` when another
        process holds the id, and `LeaseExpiredError` for the token of a lease that has ended.
        """
        self._check_ttl(ttl_s)
        async with self.turns.of(instance_id):
            return await self._decider.decide(partial(self._try_grant, instance_id, ttl_s, token))

    async def keep_alive(self, instance_id: int, token: str) -> Granted:
        """Give the lease its full TTL again.

        Raises `LeaseExpiredError` when it is not the caller's any more.
        """
        return await self._decider.decide(partial(self._try_keep_alive, instance_id, token))

    async def revoke(
        self, instance_id: int, token: str, cause: Cause, detail: str | None = None
    ) -> int:
        """End the lease and all that is registered under it; return the revision of that.

        Watchers are told `cause` and `detail`. Raises `LeaseExpiredError` when it is not the
        caller's any more.
        """
        async with self.turns.of(instance_id):
            attempt = partial(self._try_revoke, instance_id, token, cause, detail)
            return await self.persist(attempt)

    # ---- registrations

    async def register(
        self, caller: Caller, specs: Sequence[Spec], tenant: str | None = None
    ) -> int:
        """Register all of `specs` at one revision, which is returned, or none of them.

        Models are looked up in the catalog as `tenant` sees it.

        What the caller has registered already with the same value stays as it is. Raises
        `ModelConflictError`, `AlreadyExistsError`, `InvalidArgumentError`, `LeaseExpiredError`,
        `FailedPreconditionError` when the caller is draining or a model is retired, and
        `StaleRequestError` for a copy of a request that has been overtaken.
        """
        unit = Unit.of(specs, caller.instance_id, self._generation, self._limits)
        attempt = partial(self._try_register, caller, unit, tenant)
        async with self.turns.of(caller.instance_id):
            if unit.endpoint is None:
                return await self.persist(attempt)
            async with self.turns.of(unit.endpoint):
                return await self.persist(attempt)

    async def unregister(
        self, caller: Caller, ids: Sequence[InstanceId], detail: str | None = None
    ) -> int:
        """Remove the records of `ids`, at the revision returned. One that is absent is no error.

        Watchers are told `detail`.

        Raises `PermissionDeniedError` for a record of another process, and as `register` does.
        """
        if len(ids) > self._limits.max_unit:
            most = self._limits.max_unit
            raise InvalidArgumentError(f"ids: got {len(ids)}, expected {most} at most")
        keys = dict.fromkeys(key for instance_id in ids for key in keys_of(instance_id))
        async with self.turns.of(caller.instance_id):
            attempt = partial(self._try_unregister, caller, list(keys), detail)
            return await self.persist(attempt)

    async def retain(self, caller: Caller, ids: Sequence[InstanceId]) -> int:
        """Remove what is registered under the caller's lease but `ids`, at the revision returned.

        For an epoch that began with more than the caller had left. Raises as `register` does.
        """
        wanted = {key for instance_id in ids for key in keys_of(instance_id)}
        async with self.turns.of(caller.instance_id):
            return await self.persist(partial(self._try_retain, caller, wanted))

    async def persist(self, attempt: Callable[[], Awaitable[int]]) -> int:
        """Decide, and see to it that whoever lists from now on finds what was decided."""
        revision = await self._decider.decide(attempt)
        self.answered = max(self.answered, revision)
        await self._show(revision)
        return revision

    # ---- the deciding step

    async def _try_grant(self, instance_id: int, ttl_s: float, token: str) -> Granted:
        found = self.sessions.find(instance_id)
        if found and found[1].is_owned_with(token):
            return await self._renew(instance_id, *found)
        self.sessions.refuse_ended(instance_id, token)
        if found:
            raise AlreadyExistsError(f"instance id {instance_id:x}: held by another process")
        try:
            ttl_s = await self._store.grant(instance_id, ttl_s)
        except AlreadyExistsError as error:  # left by a grant that failed, or one under way
            raise UnavailableError(f"{error}; nobody's, it ends by itself: try again") from error
        since = await self._open_session(instance_id, token, ttl_s)
        return self._granted(ttl_s, since, is_draining=False)

    async def _try_keep_alive(self, instance_id: int, token: str) -> Granted:
        return await self._renew(instance_id, *self.sessions.of(instance_id, token))

    async def _renew(self, instance_id: int, entry: Entry, record: SessionRecord) -> Granted:
        ttl_s = await self._store.keep_alive(instance_id)
        return self._granted(ttl_s, entry.created, is_draining=record.is_draining)

    async def _try_revoke(
        self, instance_id: int, token: str, cause: Cause, detail: str | None
    ) -> int:
        entry, _ = self.sessions.of(instance_id, token)
        guards = [AtRevision(entry.key, entry.revision)] if self._store.has_guards else []
        return await self._store.revoke(instance_id, cause, detail, guards)

    async def _try_register(self, caller: Caller, unit: Unit, tenant: str | None) -> int:
        mirror = self._replica.mirror
        # Touched also when all is there: older copies of the request end here.
        touch, session_guard = self.sessions.touch(caller, may_drain=False)
        ops: list[Op] = [touch]
        guards: list[Guard] = [session_guard]
        kept = 0
        for key, value in unit.records.items():
            entry = mirror.get(key)
            if entry and entry.lease != caller.instance_id:
                raise AlreadyExistsError(f"{key!r}: registered by another process")
            if entry and entry.value == value:
                kept = max(kept, entry.revision)
                continue
            ops.append(Put(key, value, caller.instance_id))
            guards.append(AtRevision(key, entry.revision if entry else 0))
        written = {op.key for op in ops}
        new_cards = {key: card for key, card in unit.cards.items() if key in written}
        guards += serving_guards(mirror, tenant, new_cards)
        revision = await self._write(caller, unit, ops, guards)
        return kept if len(ops) == 1 else revision

    async def _write(self, caller: Caller, unit: Unit, ops: list[Op], guards: list[Guard]) -> int:
        """Commit a registration if its models may be on their endpoint."""
        newcomers = unit.newcomers(self._replica.mirror.get)
        if not newcomers:
            return await self.commit(ops, guards)
        if self._store.has_guards:
            self._refuse_conflict(unit, newcomers)
            return await self.commit(ops, [*guards, unit.guard(self._replica.mirror.revision)])
        contender = Contender(
            instance_id=caller.instance_id, unit=unit, newcomers=newcomers, ops=ops
        )
        return await confirm_pending(self._store, contender, since_ms=self._replica.since_ms)

    async def _try_unregister(self, caller: Caller, keys: Sequence[str], detail: str | None) -> int:
        """Delete what is there of `keys`; the session is rewritten even if nothing is.

        So a delayed copy of the registration that this takes back is refused afterwards. What a
        failed rollback left goes too.
        """
        touch, guard = self.sessions.touch(caller)
        ops: list[Op] = [touch]
        for key in [*keys, *map(pending_key, keys)]:
            entry = self._replica.mirror.get(key)
            if entry and entry.lease != caller.instance_id:
                raise PermissionDeniedError(f"{key!r}: registered by another process")
            if entry:
                ops.append(Delete(key, Cause.UNREGISTERED, detail))
        return await self.commit(ops, [guard])

    async def _try_retain(self, caller: Caller, wanted: Collection[str]) -> int:
        touch, guard = self.sessions.touch(caller)
        held = self._replica.mirror.keys_of(caller.instance_id)
        deletes = [Delete(key, Cause.UNREGISTERED) for key in held if key not in wanted]
        *first, last = in_parts(deletes)
        for part in first:
            await self.commit(part, [guard])
        return await self.commit([touch, *last], [guard])

    async def commit(self, ops: Sequence[Op], guards: Sequence[Guard]) -> int:
        """Write to the store; one without guards is not given any."""
        return await self._store.commit(ops, guards if self._store.has_guards else [])

    def _refuse_conflict(self, unit: Unit, newcomers: Mapping[str, ModelIdentity]) -> None:
        """Raise `ModelConflictError` if the mirror shows whom one of the newcomers contradicts."""
        mirror = self._replica.mirror
        assert unit.endpoint is not None  # noqa: S101 - there are models
        found = mirror.models_on(unit.endpoint)
        conflict = unit.conflict_with(found, newcomers.values())
        if conflict:
            requested, incumbent = conflict
            oldest = mirror.oldest_model(unit.endpoint, incumbent)
            since_ms = self._replica.since_ms(oldest) if oldest else None
            raise unit.refusal(
                requested, incumbent, count=found.get(incumbent, 0), since_ms=since_ms
            )

    # ---- sessions

    async def _open_session(self, instance_id: int, token: str, ttl_s: float) -> int:
        """Write the session of a new lease, at the revision returned; if that fails, revoke it."""
        key, record = session_key(instance_id), SessionRecord(hash_token(token), 0, ttl_s)
        try:
            put = Put(key, record.encode(), instance_id)
            revision = await self.commit([put], [AtRevision(key, 0)])
        except (Exception, asyncio.CancelledError):
            with suppress(DiscoveryError, TimeoutError):  # it ends by itself then
                async with asyncio.timeout(_CLEAN_UP_S):
                    await self._store.revoke(instance_id, Cause.REVOKED)
            raise
        await self._show(revision)
        return revision

    async def _show(self, revision: int) -> None:
        """Wait until what was committed is visible here; should that take long, lists wait for it.

        The caller's next request, and the next one about its endpoint, are then decided on it.
        """
        self._replica.drain()
        if self._replica.mirror.revision >= revision:
            return
        with suppress(TimeoutError, UnavailableError):
            async with asyncio.timeout(_SHOW_S):
                await self._replica.reached(revision)

    def _granted(self, ttl_s: float, since: int, *, is_draining: bool) -> Granted:
        """Renewals come often enough that all arrive within a recovery, however long the TTL."""
        window_s = self._leases.recovery_s or math.inf
        return Granted(ttl_s, min(ttl_s, window_s) / _RENEWALS_PER_TTL, is_draining, since)

    def _check_ttl(self, ttl_s: float) -> None:
        low, high = self._leases.min_ttl_s, self._leases.max_ttl_s
        if not low <= ttl_s <= high:
            raise InvalidArgumentError(f"ttl_s {ttl_s!r}: expected {low:g} to {high:g} seconds")
