"""The store inside one process: nothing to install, nothing kept when it ends."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Self

from discovery.errors import AlreadyExistsError, InvalidArgumentError, LeaseExpiredError
from discovery.events import Cause
from discovery.lease import LeaseTable
from discovery.store import (
    AtRevision,
    Change,
    Delete,
    Entry,
    Guard,
    GuardFailedError,
    NoPutAfter,
    Op,
    Put,
    Snapshot,
    Store,
)
from discovery.stores.history import History
from discovery.stores.keytree import KeyTree, check_prefix

if TYPE_CHECKING:
    import random
    from collections.abc import Mapping, Sequence

    from discovery.store import Watch

logger = logging.getLogger(__name__)

# While there are leases, so that standing still is noticed before it is acted on.
_LOOK_AT_LEAST_EVERY_S = 1.0
# A timer this late means that keep-alives could not be served either.
_STOOD_STILL_AFTER_S = 0.5
_NO_LEASE = "lease {:x}: has ended or was never granted"


class MemoryStore:
    """`discovery.store.Store` in memory. Must be used within one running event loop."""

    has_guards = True

    def __init__(self, *, history_revisions: int, rng: random.Random) -> None:
        self.epoch = f"{rng.getrandbits(64):016x}"
        self.registry_id: str | None = None
        self.pauses = 0
        self._tree = KeyTree()
        self._keys_of: dict[int, set[str]] = {}
        self._leases = LeaseTable()
        self._history = History(revision=1, limit=history_revisions)
        self._timer: asyncio.TimerHandle | None = None
        self._look_at = float("inf")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop the timer. Records are gone with the object."""
        self._stop_timer()

    def age_s(self) -> float:
        """Return 0: what a watch hands over is the store itself."""
        return 0.0

    def renew_all(self) -> None:
        """See `Store`."""
        self._leases.renew_all(self._now())

    async def grant(self, lease_id: int, ttl_s: float) -> float:
        """See `Store`. The TTL is always the one asked for."""
        now = self._now()
        self._end_due(now)
        if lease_id in self._leases:
            raise AlreadyExistsError(f"lease {lease_id:x}: already granted, and alive")
        self._leases.grant(lease_id, ttl_s, now)
        self._keys_of[lease_id] = set()
        self._plan(now)
        return ttl_s

    async def keep_alive(self, lease_id: int) -> float:
        """See `Store`."""
        now = self._now()
        ttl_s = self._leases.renew(lease_id, now)
        if ttl_s is None:
            self._end_due(now)  # whoever is told that it has ended finds it gone
            raise LeaseExpiredError(_NO_LEASE.format(lease_id))
        return ttl_s

    async def revoke(
        self,
        lease_id: int,
        cause: Cause,
        detail: str | None = None,
        guards: Sequence[Guard] = (),
    ) -> int:
        """See `Store`."""
        now = self._now()
        self._end_due(now)
        for guard in guards:
            self._check_guard(guard)
        if not self._leases.end(lease_id):
            raise LeaseExpiredError(_NO_LEASE.format(lease_id))
        if not self._leases:
            self._plan(now)
        return self._delete_keys_of(lease_id, cause, detail)

    async def commit(self, ops: Sequence[Op], guards: Sequence[Guard] = ()) -> int:
        """See `Store`. Decided and done in one synchronous step."""
        self._end_due(self._now())
        self._check_shape(ops, guards)
        for guard in guards:
            self._check_guard(guard)
        return self._apply(ops)

    async def snapshot(self, prefix: str) -> Snapshot:
        """See `Store`."""
        self._end_due(self._now())
        return Snapshot(self._history.revision, self._tree.under(prefix))

    async def revisions_at(self, revision: int) -> None:
        """See `Store`: a watch hands over the store itself."""

    async def report(self) -> Mapping[str, object]:
        """See `Store`: there is nothing else that could fail."""
        return {}

    def watch(self, prefix: str, after: int) -> Watch:
        """See `Store`. A watch holds a position, not a copy: a slow one costs nothing."""
        return self._history.watch(check_prefix(prefix), after)

    # ---- commits

    def _check_shape(self, ops: Sequence[Op], guards: Sequence[Guard]) -> None:
        keys = {op.key for op in ops}
        if len(keys) != len(ops):
            raise InvalidArgumentError("commit: a key appears twice; expected each key once")
        puts = {op.lease for op in ops if isinstance(op, Put) and op.lease is not None}
        found = (self._tree.get(key) for key in keys)
        leases = puts | {e.lease for e in found if e is not None and e.lease is not None}
        if len(leases) > 1:
            raise InvalidArgumentError(
                f"commit: touches keys of {len(leases)} leases; expected one lease at most"
            )
        if sum(isinstance(guard, NoPutAfter) for guard in guards) > 1:
            raise InvalidArgumentError("commit: two prefix guards; expected one at most")
        for lease_id in puts:
            if lease_id not in self._leases:
                raise LeaseExpiredError(_NO_LEASE.format(lease_id))

    def _check_guard(self, guard: Guard) -> None:
        match guard:
            case NoPutAfter(prefix, revision):
                if self._tree.was_put_after(prefix, revision):
                    raise GuardFailedError(f"something under {prefix!r} was put after {revision}")
            case AtRevision(key, revision):
                entry = self._tree.get(key)
                actual = entry.revision if entry else 0
                if actual != revision:
                    raise GuardFailedError(f"{key!r} is at {actual}, not at {revision}")

    def _apply(self, ops: Sequence[Op]) -> int:
        revision = self._history.revision + 1
        changes: list[Change] = []
        for op in ops:
            old = self._tree.get(op.key)
            if old and old.lease is not None:
                self._keys_of[old.lease].discard(op.key)
            match op:
                case Put(key, value, lease):
                    # An equal text that is there already is not kept a second time.
                    created, key = (old.created, old.key) if old else (revision, key)
                    entry = Entry(key, value, revision, created, lease)
                    self._tree.put(entry)
                    if lease is not None:
                        self._keys_of[lease].add(key)
                    changes.append(Change(key, entry))
                case Delete(key, cause, detail):
                    if old:
                        self._tree.delete(key)
                        changes.append(Change(key, None, cause, detail))
        return self._history.append(changes)

    # ---- leases

    def _delete_keys_of(self, lease_id: int, cause: Cause, detail: str | None = None) -> int:
        keys = sorted(self._keys_of.pop(lease_id))
        for key in keys:
            self._tree.delete(key)
        return self._history.append([Change(key, None, cause, detail) for key in keys])

    def _end_due(self, now: float) -> None:
        for lease_id in self._leases.expire(now):
            logger.info("lease expired", extra={"lease_id": f"{lease_id:x}"})
            self._delete_keys_of(lease_id, Cause.LEASE_EXPIRED)

    def _now(self) -> float:
        """Read the clock. A look that is overdue means that this process stood still.

        Nobody's lease may pay for that: keep-alives could not be served.
        """
        now = asyncio.get_running_loop().time()
        late_s = now - self._look_at
        if late_s > _STOOD_STILL_AFTER_S:
            self.pauses += 1
            logger.warning("stood still, all leases renewed", extra={"late_s": round(late_s, 3)})
            self._leases.renew_all(now)
            self._plan(now)
        return now

    def _look(self) -> None:
        now = self._now()
        self._end_due(now)
        self._plan(now)

    def _plan(self, now: float) -> None:
        """Wake when the next lease may end, but soon enough to notice that we stood still.

        Never while there is no lease.
        """
        self._stop_timer()
        due = self._leases.next_look()
        if due is not None:
            self._look_at = max(now, min(due, now + _LOOK_AT_LEAST_EVERY_S))
            self._timer = asyncio.get_running_loop().call_at(self._look_at, self._look)

    def _stop_timer(self) -> None:
        if self._timer:
            self._timer.cancel()
        self._timer, self._look_at = None, float("inf")


_: type[Store] = MemoryStore
