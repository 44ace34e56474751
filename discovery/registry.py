"""Registration: who may put what where, decided in one step with the writing of it."""

from __future__ import annotations

import asyncio
import math
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from discovery.decision import Decider
from discovery.errors import (
    AlreadyExistsError,
    DiscoveryError,
    InternalError,
    InvalidArgumentError,
    LeaseExpiredError,
    PermissionDeniedError,
    StaleRequestError,
    UnavailableError,
)
from discovery.events import Cause
from discovery.keys import pending_key, session_key
from discovery.pending import Contender, confirm_pending
from discovery.session_record import EndedTokens, SessionRecord, hash_token
from discovery.store import AtRevision, Delete, Guard, Op, Put
from discovery.turns import Turns
from discovery.unit import Unit, keys_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from discovery.identity import ModelIdentity
    from discovery.ids import InstanceId
    from discovery.replica import Replica
    from discovery.settings import LeaseSettings, LimitSettings
    from discovery.spec import Spec
    from discovery.store import Entry, Store

_RENEWALS_PER_TTL = 3
_ENDED_TOKENS = 20_000
_CLEAN_UP_S = 2.0

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: the process, the proof that it is, and the number of this attempt.

    Each attempt of a process, also of the same request, has a higher number than the one before.
    """

    instance_id: int
    token: str
    sequence: int


@dataclass(frozen=True, slots=True)
class Granted:
    """A lease: its TTL, and how often its owner is asked to renew it, both in seconds."""

    ttl_s: float
    renew_s: float


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
        self._turns = Turns()
        self._decider = Decider(store, replica)
        self._ended = EndedTokens(limit=_ENDED_TOKENS)
        replica.on_session_end = self._note_end

    # ---- leases

    async def grant(self, instance_id: int, ttl_s: float, token: str) -> Granted:
        """Make the lease of a process; asking again with the same token gives the same answer.

        Raises `InvalidArgumentError` for a TTL out of range, `AlreadyExistsError` when another
        process holds the id, and `LeaseExpiredError` for the token of a lease that has ended.
        """
        self._check_ttl(ttl_s)
        async with self._turns.of(instance_id):
            return await self._decider.decide(partial(self._try_grant, instance_id, ttl_s, token))

    async def keep_alive(self, instance_id: int, token: str) -> Granted:
        """Give the lease its full TTL again.

        Raises `LeaseExpiredError` when it is not the caller's any more.
        """
        return await self._decider.decide(partial(self._try_keep_alive, instance_id, token))

    async def revoke(self, instance_id: int, token: str, cause: Cause) -> int:
        """End the lease and all that is registered under it; return the revision of that.

        Raises `LeaseExpiredError` when it is not the caller's any more.
        """
        async with self._turns.of(instance_id):
            attempt = partial(self._try_revoke, instance_id, token, cause)
            return await self._persist(attempt)

    # ---- registrations

    async def register(self, caller: Caller, specs: Sequence[Spec]) -> int:
        """Register all of `specs` at one revision, which is returned, or none of them.

        What the caller has registered already with the same value stays as it is. Raises
        `ModelConflictError`, `AlreadyExistsError`, `InvalidArgumentError`, `LeaseExpiredError`, and
        `StaleRequestError` for a copy of a request that has been overtaken.
        """
        unit = Unit.of(specs, caller.instance_id, self._generation, self._limits)
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._turns.of(caller.instance_id))
            if unit.endpoint:
                await stack.enter_async_context(self._turns.of(unit.endpoint))
            return await self._persist(partial(self._try_register, caller, unit))

    async def unregister(self, caller: Caller, ids: Sequence[InstanceId]) -> int:
        """Remove the records of `ids`, at the revision returned. One that is absent is no error.

        Raises `PermissionDeniedError` for a record of another process, and as `register` does.
        """
        if len(ids) > self._limits.max_unit:
            most = self._limits.max_unit
            raise InvalidArgumentError(f"ids: got {len(ids)}, expected {most} at most")
        keys = dict.fromkeys(key for instance_id in ids for key in keys_of(instance_id))
        async with self._turns.of(caller.instance_id):
            attempt = partial(self._try_unregister, caller, list(keys))
            return await self._persist(attempt)

    async def _persist(self, attempt: Callable[[], Awaitable[int]]) -> int:
        """Decide, and see to it that whoever lists from now on finds what was decided."""
        revision = await self._decider.decide(attempt)
        self._replica.drain()
        self.answered = max(self.answered, revision)
        return revision

    # ---- the deciding step

    async def _try_grant(self, instance_id: int, ttl_s: float, token: str) -> Granted:
        if token in self._ended:
            raise _lease_ended(instance_id)
        key = session_key(instance_id)
        if entry := self._replica.mirror.get(key):
            if not SessionRecord.decode(key, entry.value).is_owned_with(token):
                raise AlreadyExistsError(f"instance id {instance_id:x}: held by another process")
            return self._granted(await self._store.keep_alive(instance_id))
        try:
            ttl_s = await self._store.grant(instance_id, ttl_s)
        except AlreadyExistsError as error:  # left by a grant that failed, or one under way
            raise UnavailableError(f"{error}; nobody's, it ends by itself: try again") from error
        await self._open_session(instance_id, token, ttl_s)
        return self._granted(ttl_s)

    async def _try_keep_alive(self, instance_id: int, token: str) -> Granted:
        self._session(instance_id, token)
        return self._granted(await self._store.keep_alive(instance_id))

    async def _try_revoke(self, instance_id: int, token: str, cause: Cause) -> int:
        self._session(instance_id, token)
        return await self._store.revoke(instance_id, cause)

    async def _try_register(self, caller: Caller, unit: Unit) -> int:
        mirror = self._replica.mirror
        touch, session_guard = self._touch(caller)  # also when all is there: older copies end here
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
        revision = await self._write(caller, unit, ops, guards)
        return kept if len(ops) == 1 else revision

    async def _write(self, caller: Caller, unit: Unit, ops: list[Op], guards: list[Guard]) -> int:
        """Commit a registration if its models may be on their endpoint."""
        newcomers = unit.newcomers(self._replica.mirror.get)
        if not newcomers:
            return await self._commit(ops, guards)
        if self._store.has_guards:
            self._refuse_conflict(unit, newcomers)
            return await self._commit(ops, [*guards, unit.guard(self._replica.mirror.revision)])
        contender = Contender(
            instance_id=caller.instance_id, unit=unit, newcomers=newcomers, ops=ops
        )
        return await confirm_pending(self._store, contender, since_ms=self._replica.since_ms)

    async def _try_unregister(self, caller: Caller, keys: Sequence[str]) -> int:
        """Delete what is there of `keys`; the session is rewritten even if nothing is.

        So a delayed copy of the registration that this takes back is refused afterwards. What a
        failed rollback left goes too.
        """
        touch, guard = self._touch(caller)
        ops: list[Op] = [touch]
        for key in [*keys, *map(pending_key, keys)]:
            entry = self._replica.mirror.get(key)
            if entry and entry.lease != caller.instance_id:
                raise PermissionDeniedError(f"{key!r}: registered by another process")
            if entry:
                ops.append(Delete(key, Cause.UNREGISTERED))
        return await self._commit(ops, [guard])

    async def _commit(self, ops: Sequence[Op], guards: Sequence[Guard]) -> int:
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

    async def _open_session(self, instance_id: int, token: str, ttl_s: float) -> None:
        """Write the session of a new lease; if that fails, take the lease back."""
        key, record = session_key(instance_id), SessionRecord(hash_token(token), 0, ttl_s)
        try:
            put = Put(key, record.encode(), instance_id)
            await self._commit([put], [AtRevision(key, 0)])
        except (Exception, asyncio.CancelledError):
            with suppress(DiscoveryError, TimeoutError):  # it ends by itself then
                async with asyncio.timeout(_CLEAN_UP_S):
                    await self._store.revoke(instance_id, Cause.REVOKED)
            raise
        self._replica.drain()

    def _note_end(self, entry: Entry) -> None:
        with suppress(InternalError):  # not one of ours
            self._ended.add(SessionRecord.decode(entry.key, entry.value))

    def _touch(self, caller: Caller) -> tuple[Put, AtRevision]:
        """Return the rewriting of the session that goes with each commit, and its guard."""
        entry, record = self._session(caller.instance_id, caller.token)
        if caller.sequence <= record.sequence:
            raise StaleRequestError(
                f"request {caller.sequence} of process {caller.instance_id:x}: "
                f"overtaken by request {record.sequence}"
            )
        touched = SessionRecord(record.token_hash, caller.sequence, record.ttl_s)
        put = Put(entry.key, touched.encode(), caller.instance_id)
        return put, AtRevision(entry.key, entry.revision)

    def _session(self, instance_id: int, token: str) -> tuple[Entry, SessionRecord]:
        entry = self._replica.mirror.get(session_key(instance_id))
        record = SessionRecord.decode(entry.key, entry.value) if entry else None
        if entry is None or record is None or not record.is_owned_with(token):
            raise _lease_ended(instance_id)
        return entry, record

    def _granted(self, ttl_s: float) -> Granted:
        """Renewals come often enough that all arrive within a recovery, however long the TTL."""
        window_s = self._leases.recovery_s or math.inf
        return Granted(ttl_s, min(ttl_s, window_s) / _RENEWALS_PER_TTL)

    def _check_ttl(self, ttl_s: float) -> None:
        low, high = self._leases.min_ttl_s, self._leases.max_ttl_s
        if not low <= ttl_s <= high:
            raise InvalidArgumentError(f"ttl_s {ttl_s!r}: expected {low:g} to {high:g} seconds")


def _lease_ended(instance_id: int) -> LeaseExpiredError:
    return LeaseExpiredError(
        f"process {instance_id:x}: its lease has ended, or is held by another incarnation"
    )
