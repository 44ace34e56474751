"""The stores that the conformance suite runs over, and a fake one that has no guards."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import pytest

from discovery.errors import (
    AlreadyExistsError,
    InvalidArgumentError,
    LeaseExpiredError,
    UnavailableError,
)
from discovery.events import Cause
from discovery.store import Batch, Change, CompactedError, Entry, Put, Snapshot, Store, Watch
from discovery.stores.etcd.store import EtcdStore
from discovery.stores.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from discovery.store import Guard, Op


async def _pass(_: str) -> None:
    """Let a call through at once."""


class GuardlessStore:
    """A store as simple as it can be, without guards.

    `before` is awaited ahead of every call with its name: there a test steps in. `fail_commit`
    makes one commit fail. The n-th commit is counted from 1.
    """

    has_guards = False

    def __init__(self, *, history_revisions: int = 1000) -> None:
        self.epoch = "guardless"
        self.registry_id: str | None = None
        self.pauses = 0
        self.before: Callable[[str], Awaitable[None]] = _pass
        self.commits = 0
        self._faults: dict[int, tuple[Exception, bool]] = {}
        self._revision = 0
        self._limit = history_revisions
        self._entries: dict[str, Entry] = {}
        self._batches: list[Batch] = []
        self._leases: dict[int, tuple[float, asyncio.TimerHandle]] = {}
        self._changed = asyncio.Event()

    # ---- what only tests may do

    def fail_commit(self, number: int, error: Exception, *, is_done: bool = False) -> None:
        """Raise `error` from that commit; `is_done`: it is carried out, only its answer is lost."""
        self._faults[number] = (error, is_done)

    def fail_next_commit(self, error: Exception | None = None, *, is_done: bool = False) -> None:
        self.fail_commit(self.commits + 1, error or UnavailableError("no answer"), is_done=is_done)

    # ---- leases

    def age_s(self) -> float:
        return 0.0

    def renew_all(self) -> None:
        for lease_id, (ttl_s, timer) in list(self._leases.items()):
            timer.cancel()
            self._arm(lease_id, ttl_s)

    async def grant(self, lease_id: int, ttl_s: float) -> float:
        await self.before("grant")
        if self._lives(lease_id):
            raise AlreadyExistsError(f"lease {lease_id:x} lives")
        self._arm(lease_id, ttl_s)
        return ttl_s

    async def keep_alive(self, lease_id: int) -> float:
        await self.before("keep_alive")
        ttl_s = self._living(lease_id)
        self._leases[lease_id][1].cancel()
        self._arm(lease_id, ttl_s)
        return ttl_s

    async def revoke(
        self,
        lease_id: int,
        cause: Cause,
        detail: str | None = None,
        guards: Sequence[Guard] = (),
    ) -> int:
        await self.before("revoke")
        if guards:
            raise InvalidArgumentError("this store has no guards")
        self._living(lease_id)
        return self._end(lease_id, cause, detail)

    def _arm(self, lease_id: int, ttl_s: float) -> None:
        loop = asyncio.get_running_loop()
        timer = loop.call_later(ttl_s, self._end, lease_id, Cause.LEASE_EXPIRED)
        self._leases[lease_id] = (ttl_s, timer)

    def _lives(self, lease_id: int) -> bool:
        if lease_id in self._leases:
            if self._leases[lease_id][1].when() > asyncio.get_running_loop().time():
                return True
            self._end(lease_id, Cause.LEASE_EXPIRED)
        return False

    def _living(self, lease_id: int) -> float:
        if not self._lives(lease_id):
            raise LeaseExpiredError(f"lease {lease_id:x} has ended")
        return self._leases[lease_id][0]

    def _end(self, lease_id: int, cause: Cause, detail: str | None = None) -> int:
        self._leases.pop(lease_id)[1].cancel()
        owned = sorted(key for key, entry in self._entries.items() if entry.lease == lease_id)
        for key in owned:
            del self._entries[key]
        return self._record([Change(key, None, cause, detail) for key in owned])

    # ---- records

    async def commit(self, ops: Sequence[Op], guards: Sequence[Guard] = ()) -> int:
        self.commits += 1
        number = self.commits
        await self.before("commit")
        error, is_done = self._faults.pop(number, (None, True))
        revision = self._commit(ops, guards) if is_done else 0
        if error:
            raise error
        return revision

    def _commit(self, ops: Sequence[Op], guards: Sequence[Guard]) -> int:
        if guards:
            raise InvalidArgumentError("this store has no guards")
        if len({op.key for op in ops}) < len(ops):
            raise InvalidArgumentError("a key appears twice")
        puts = {op.lease for op in ops if isinstance(op, Put)} - {None}
        touched = {self._entries[op.key].lease for op in ops if op.key in self._entries} - {None}
        if len(puts | touched) > 1:
            raise InvalidArgumentError("keys of two leases")
        for lease_id in puts:
            assert lease_id is not None
            self._living(lease_id)
        return self._record([change for op in ops if (change := self._done(op))])

    def _done(self, op: Op) -> Change | None:
        old = self._entries.pop(op.key, None)
        if isinstance(op, Put):
            revision = self._revision + 1
            created = old.created if old else revision
            entry = Entry(op.key, op.value, revision, created, op.lease)
            self._entries[op.key] = entry
            return Change(op.key, entry)
        return Change(op.key, None, op.cause, op.detail) if old else None

    def _record(self, changes: list[Change]) -> int:
        if changes:
            self._revision += 1
            self._batches = [*self._batches, Batch(self._revision, tuple(changes))][-self._limit :]
            self._changed.set()
            self._changed = asyncio.Event()
        return self._revision

    async def revisions_at(self, revision: int) -> None:
        """What a watch hands over is the store itself."""

    async def report(self) -> Mapping[str, object]:
        return {}

    async def snapshot(self, prefix: str) -> Snapshot:
        await self.before("snapshot")
        return self.peek(prefix)

    def peek(self, prefix: str) -> Snapshot:
        """Return a snapshot without a call."""
        _check_prefix(prefix)
        inside = sorted(key for key in self._entries if key.startswith(prefix))
        return Snapshot(self._revision, [self._entries[key] for key in inside])

    # ---- watches

    def watch(self, prefix: str, after: int) -> Watch:
        return _GuardlessWatch(self, _check_prefix(prefix), after)

    def since(self, prefix: str, after: int) -> list[Batch]:
        """Return what changed under a prefix, or raise CompactedError."""
        kept = [b for b in self._batches if b.revision > after]
        found = [Batch(b.revision, _inside(prefix, b)) for b in kept]
        if not 0 <= self._revision - after == len(kept):
            raise CompactedError(f"not all is kept after {after}")
        return [batch for batch in found if batch.changes]

    def oldest(self) -> int:
        return self._revision - len(self._batches)

    async def change(self) -> None:
        await self._changed.wait()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for _, timer in self._leases.values():
            timer.cancel()


class _GuardlessWatch:
    """Copies what it is to hand over as soon as it can; a bounded copy, as the store's history."""

    def __init__(self, store: GuardlessStore, prefix: str, after: int) -> None:
        self._store, self._prefix, self._after = store, prefix, after

    async def __aenter__(self) -> Self:
        self._store.since(self._prefix, self._after)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Nothing to free."""

    def ready(self) -> Sequence[Batch]:
        found = self._store.since(self._prefix, self._after)
        self._after = self._store.peek("").revision
        return found

    async def wait(self) -> None:
        while not self._store.since(self._prefix, self._after):
            self._after = self._store.peek("").revision
            await self._store.change()


def _check_prefix(prefix: str) -> str:
    if prefix and not prefix.endswith("/"):
        raise InvalidArgumentError(f"prefix {prefix!r}")
    return prefix


def _inside(prefix: str, batch: Batch) -> tuple[Change, ...]:
    return tuple(change for change in batch.changes if change.key.startswith(prefix))


_: type[Store] = GuardlessStore


class SteppedStore:
    """Another store, with `before` awaited ahead of every call, and watches that can be held back.

    Several on one store are the ways of several daemons to it.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.has_guards = store.has_guards
        self.before: Callable[[str], Awaitable[None]] = _pass
        self._may_arrive = asyncio.Event()
        self._may_arrive.set()

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._store.__aexit__(*exc)

    def hold(self) -> None:
        """Let nothing that happens arrive at the watches."""
        self._may_arrive.clear()

    def release(self) -> None:
        """Let it arrive."""
        self._may_arrive.set()

    async def grant(self, lease_id: int, ttl_s: float) -> float:
        await self.before("grant")
        return await self._store.grant(lease_id, ttl_s)

    async def keep_alive(self, lease_id: int) -> float:
        await self.before("keep_alive")
        return await self._store.keep_alive(lease_id)

    async def revoke(self, lease_id: int, *said: Any) -> int:
        await self.before("revoke")
        return await self._store.revoke(lease_id, *said)

    async def commit(self, ops: Sequence[Op], guards: Sequence[Guard] = ()) -> int:
        await self.before("commit")
        return await self._store.commit(ops, guards)

    async def snapshot(self, prefix: str) -> Snapshot:
        await self.before("snapshot")
        return await self._store.snapshot(prefix)

    def watch(self, prefix: str, after: int) -> Watch:
        return _HeldWatch(self._may_arrive, self._store.watch(prefix, after))


class _HeldWatch:
    """A watch that hands over nothing while its store is held back."""

    def __init__(self, may_arrive: asyncio.Event, watch: Watch) -> None:
        self._may_arrive, self._watch = may_arrive, watch

    async def __aenter__(self) -> Self:
        await self._watch.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._watch.__aexit__(*exc)

    def ready(self) -> Sequence[Batch]:
        return self._watch.ready() if self._may_arrive.is_set() else []

    async def wait(self) -> None:
        await self._watch.wait()
        await self._may_arrive.wait()


def memory_store(history_revisions: int = 1000, *, seed: int = 1) -> MemoryStore:
    """Return a memory store."""
    return MemoryStore(history_revisions=history_revisions, rng=random.Random(seed))


def etcd_store(history_revisions: int, request: pytest.FixtureRequest) -> Store:
    """Return a store in the etcd of this run of the tests, with keys of its own."""
    etcd = request.getfixturevalue("etcd")
    rng = random.Random()
    return EtcdStore(
        etcd.own_url(), most_waiting=history_revisions, rng=rng, probe_s=PROBES_NEVER_S
    )


PROBES_NEVER_S = 3600.0  # tests count revisions


@dataclass(frozen=True)
class StoreCase:
    """A store, and what is particular to it."""

    new: Callable[[int, pytest.FixtureRequest], Store]
    """Makes an empty one that keeps as many revisions."""

    has_guards: bool
    hands_on_causes: bool
    notices_pauses: bool = False
    outlives_daemon: bool = False
    is_here: bool = True
    """In this process: time is virtual, what is committed is at hand at once, history is short,
    and it sees whose keys a commit touches."""

    ttl_s: float = 10.0
    grace_s: float = 0.0
    """How much later than that a lease may end."""


STORE_CASES = [
    pytest.param(
        StoreCase(
            lambda history, _: memory_store(history),
            has_guards=True,
            hands_on_causes=True,
            notices_pauses=True,
        ),
        id="memory",
        marks=pytest.mark.looptime,
    ),
    pytest.param(
        StoreCase(
            lambda history, _: GuardlessStore(history_revisions=history),
            has_guards=False,
            hands_on_causes=True,
        ),
        id="guardless",
        marks=pytest.mark.looptime,
    ),
    pytest.param(
        StoreCase(
            etcd_store,
            has_guards=True,
            hands_on_causes=True,
            outlives_daemon=True,
            is_here=False,
            ttl_s=1.0,
            grace_s=2.0,
        ),
        id="etcd",
    ),
]
