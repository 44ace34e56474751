"""Random histories of every store against a plain dict: leases, commits, guards, watches.

Each machine runs its store on a loop of its own whose clock is a number, so that time passes only
when a rule says so.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from discovery.errors import AlreadyExistsError, InvalidArgumentError, LeaseExpiredError
from discovery.events import Cause
from discovery.store import (
    AtRevision,
    CompactedError,
    Delete,
    Entry,
    GuardFailedError,
    NoPutAfter,
    Put,
)
from tests.support.stores import STORE_CASES, StoreCase

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from discovery.store import Guard, Op

KEYS = st.sampled_from(["a/1", "a/2", "a/b/1", "b/1", "b/2", "c"])
PREFIXES = st.sampled_from(["", "a/", "a/b/", "b/", "d/"])
LEASES = st.sampled_from([1, 2, 3])
TTLS = st.sampled_from([2.0, 3.0, 8.0])
OPS = st.lists(
    st.builds(Put, KEYS, st.binary(max_size=1), st.none() | LEASES) | st.builds(Delete, KEYS),
    min_size=0,
    max_size=4,
)
HISTORY = 6


class Clock(asyncio.SelectorEventLoop):
    """A loop whose time stands still unless it is told to move."""

    now = 0.0

    def time(self) -> float:
        return self.now

    def pass_time(self, seconds: float) -> None:
        """Let time pass in steps in which every timer is on time."""
        for _ in range(round(seconds * 4)):
            self.now += 0.25
            self.run_until_complete(asyncio.sleep(0))


class StoreMachine(RuleBasedStateMachine):
    """The model: what is under which key, when which lease ends, and what each revision did."""

    case: StoreCase

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self.store = self.case.new(HISTORY, None)
        self.entries: dict[str, Entry] = {}
        self.leases: dict[int, tuple[float, float]] = {}
        self.log: dict[int, dict[str, Entry | None]] = {}
        self.revision = self.first = self.run(self.store.snapshot("")).revision
        self.watch = self.store.watch("a/", self.revision)
        self.seen = self.revision
        self.run(self.watch.__aenter__())

    def run(self, coro: Coroutine[Any, Any, Any]) -> Any:
        return self.clock.run_until_complete(coro)

    def teardown(self) -> None:
        self.run(self.watch.__aexit__(None, None, None))
        self.run(self.store.__aexit__())
        self.clock.close()

    # ---- the model

    def record(self, changes: dict[str, Entry | None]) -> None:
        if changes:
            self.revision += 1
            self.log[self.revision] = changes

    def end(self, lease_id: int) -> None:
        del self.leases[lease_id]
        owned = [key for key, entry in self.entries.items() if entry.lease == lease_id]
        for key in owned:
            del self.entries[key]
        self.record(dict.fromkeys(owned))

    def expected_error(self, ops: list[Op], guards: list[Guard]) -> list[type[Exception]]:
        puts = {op.lease for op in ops if isinstance(op, Put)} - {None}
        owners = {self.entries[op.key].lease for op in ops if op.key in self.entries} - {None}
        errors: list[type[Exception]] = []
        if len({op.key for op in ops}) < len(ops) or len(puts | owners) > 1:
            errors.append(InvalidArgumentError)
        if sum(isinstance(guard, NoPutAfter) for guard in guards) > 1:
            errors.append(InvalidArgumentError)
        if guards and not self.case.has_guards:
            errors.append(InvalidArgumentError)
        if not puts <= set(self.leases):
            errors.append(LeaseExpiredError)
        if not all(map(self.holds, guards)):
            errors.append(GuardFailedError)
        return errors

    def holds(self, guard: Guard) -> bool:
        if isinstance(guard, AtRevision):
            entry = self.entries.get(guard.key)
            return (entry.revision if entry else 0) == guard.revision
        inside = (e for k, e in self.entries.items() if k.startswith(guard.prefix))
        return all(entry.revision <= guard.revision for entry in inside)

    def apply(self, ops: list[Op]) -> None:
        changes: dict[str, Entry | None] = {}
        for op in ops:
            old = self.entries.pop(op.key, None)
            if isinstance(op, Put):
                made = old.created if old else self.revision + 1
                entry = Entry(op.key, op.value, self.revision + 1, made, op.lease)
                self.entries[op.key] = changes[op.key] = entry
            elif old:
                changes[op.key] = None
        self.record(changes)

    # ---- what happens

    @rule(ops=OPS, data=st.data())
    def commit(self, ops: list[Op], data: st.DataObject) -> None:
        revisions = st.integers(0, self.revision - self.first).map(
            lambda ago: self.revision - ago
        ) | st.just(0)
        guard = st.builds(NoPutAfter, PREFIXES, revisions) | st.builds(AtRevision, KEYS, revisions)
        guards = data.draw(st.just([]) | st.lists(guard, max_size=3))
        errors = self.expected_error(ops, guards)
        if errors:
            with pytest.raises(tuple(errors)):
                self.run(self.store.commit(ops, guards))
        else:
            revision = self.run(self.store.commit(ops, guards))
            self.apply(ops)
            assert revision == self.revision

    @rule(lease_id=LEASES, ttl_s=TTLS)
    def grant(self, lease_id: int, ttl_s: float) -> None:
        if lease_id in self.leases:
            with pytest.raises(AlreadyExistsError):
                self.run(self.store.grant(lease_id, ttl_s))
        else:
            granted = self.run(self.store.grant(lease_id, ttl_s))
            self.leases[lease_id] = (granted, self.clock.now + granted)

    @rule(lease_id=LEASES)
    def keep_alive(self, lease_id: int) -> None:
        if lease_id not in self.leases:
            with pytest.raises(LeaseExpiredError):
                self.run(self.store.keep_alive(lease_id))
        else:
            ttl_s = self.run(self.store.keep_alive(lease_id))
            self.leases[lease_id] = (ttl_s, self.clock.now + ttl_s)

    @rule(lease_id=LEASES)
    def revoke(self, lease_id: int) -> None:
        if lease_id not in self.leases:
            with pytest.raises(LeaseExpiredError):
                self.run(self.store.revoke(lease_id, Cause.REVOKED))
        else:
            revision = self.run(self.store.revoke(lease_id, Cause.REVOKED))
            self.end(lease_id)
            assert revision == self.revision

    @rule(seconds=st.sampled_from([0.25, 1.0, 2.0, 5.0]))
    def time_passes(self, seconds: float) -> None:
        self.clock.pass_time(seconds)
        due = sorted((end, lease_id) for lease_id, (_, end) in self.leases.items())
        for end, lease_id in due:
            if end <= self.clock.now:
                self.end(lease_id)

    # ---- what is seen

    @rule(prefix=PREFIXES)
    def snapshot(self, prefix: str) -> None:
        snapshot = self.run(self.store.snapshot(prefix))
        inside = [self.entries[key] for key in sorted(self.entries) if key.startswith(prefix)]
        assert (snapshot.revision, list(snapshot.entries)) == (self.revision, inside)

    @rule()
    def read_the_watch(self) -> None:
        wanted = self.changes("a/", self.seen)
        lost = wanted and min(wanted) <= self.revision - HISTORY
        if lost:
            with pytest.raises(CompactedError):
                self.watch.ready()
            self.run(self.watch.__aexit__(None, None, None))
            self.watch = self.store.watch("a/", self.revision)
            self.run(self.watch.__aenter__())
        else:
            got = {b.revision: {c.key: c.entry for c in b.changes} for b in self.watch.ready()}
            assert got == wanted
        self.seen = self.revision

    @rule(prefix=PREFIXES, back=st.integers(-1, HISTORY + 1))
    @precondition(lambda self: self.revision > self.first)
    def resume(self, prefix: str, back: int) -> None:
        after = self.revision - back
        self.run(self.resume_at(prefix, after))

    async def resume_at(self, prefix: str, after: int) -> None:
        watch = self.store.watch(prefix, after)
        if not max(self.first, self.revision - HISTORY) <= after <= self.revision:
            with pytest.raises(CompactedError):
                await watch.__aenter__()
            return
        async with watch:
            batches = watch.ready()
        got = {b.revision: {c.key: c.entry for c in b.changes} for b in batches}
        assert [b.revision for b in batches] == sorted(got)
        assert got == self.changes(prefix, after)

    def changes(self, prefix: str, after: int) -> dict[int, dict[str, Entry | None]]:
        found = {
            revision: {key: entry for key, entry in changes.items() if key.startswith(prefix)}
            for revision, changes in self.log.items()
            if revision > after
        }
        return {revision: changes for revision, changes in found.items() if changes}

    @invariant()
    def no_pause_was_seen(self) -> None:
        assert self.store.pauses == 0


@pytest.mark.parametrize("case", [p for p in STORE_CASES if p.values[0].is_here])
def test_a_store_does_what_the_model_does(case: StoreCase) -> None:
    machine = type(f"Machine{case.has_guards}", (StoreMachine,), {"case": case})
    machine.TestCase.settings = settings(
        max_examples=100,
        stateful_step_count=30,
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    machine.TestCase("runTest").runTest()
