"""The contract of `discovery.store`, a test for each of its sentences, held against every store.

Time is virtual for a store that is in this process. What a store cannot do is declared on its case
in tests/support/stores.py.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, TypeVar

import pytest

from discovery.errors import AlreadyExistsError, InvalidArgumentError, LeaseExpiredError
from discovery.events import Cause
from discovery.store import (
    AtRevision,
    Batch,
    Change,
    CompactedError,
    Delete,
    GuardFailedError,
    NoPutAfter,
    Put,
    Store,
    Watch,
)
from tests.support.stores import STORE_CASES, StoreCase

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence

HISTORY = 5
PATIENCE_S = 30.0

Test = TypeVar("Test", bound="Callable[..., object]")


def needs(trait: str) -> Callable[[Test], Test]:
    """Run a test for the stores that declare a trait."""

    def mark(test: Test) -> Test:
        test.trait = trait  # type: ignore[attr-defined] # read below
        return test

    return mark


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    trait = getattr(metafunc.function, "trait", None)
    cases = [p for p in STORE_CASES if trait is None or getattr(p.values[0], trait)]
    metafunc.parametrize("case", cases)


@pytest.fixture
async def store(case: StoreCase, request: pytest.FixtureRequest) -> AsyncGenerator[Store]:
    async with case.new(1000, request) as store:
        yield store
        for lease_id in (1, 2, 7):  # an etcd is shared, and its leases belong to nobody's keys
            with suppress(LeaseExpiredError):
                await store.revoke(lease_id, Cause.REVOKED)


@pytest.fixture
async def forgetful(case: StoreCase, request: pytest.FixtureRequest) -> AsyncGenerator[Store]:
    """A store that keeps five revisions."""
    async with case.new(HISTORY, request) as store:
        yield store


async def put(store: Store, key: str, value: bytes = b"v", lease: int | None = None) -> int:
    return await store.commit([Put(key, value, lease)])


async def keys(store: Store, prefix: str = "") -> list[str]:
    return [entry.key for entry in (await store.snapshot(prefix)).entries]


@asynccontextmanager
async def watching(store: Store, prefix: str = "") -> AsyncGenerator[Watch]:
    """Watch from now on."""
    async with store.watch(prefix, (await store.snapshot("")).revision) as watch:
        yield watch


async def handed_over(watch: Watch, revision: int) -> list[Batch]:
    """Take what a watch has up to a revision, and wait for what is on its way."""
    batches: list[Batch] = []
    async with asyncio.timeout(PATIENCE_S):
        while not batches or batches[-1].revision < revision:
            await watch.wait()
            batches += watch.ready()
    return [batch for batch in batches if batch.changes]


async def lease_ends(case: StoreCase, ttl_s: float) -> None:
    """Wait until a lease that was just granted has surely ended."""
    await asyncio.sleep(ttl_s + case.grace_s)


def changed(batches: Sequence[Batch]) -> list[str]:
    return [change.key for batch in batches for change in batch.changes]


async def ends(wait: asyncio.Task[None]) -> bool:
    """Say whether a task is done once everybody has had a turn."""
    for _ in range(5):
        await asyncio.sleep(0)
    return wait.done()


# ---- records


async def test_an_entry_has_the_revision_of_its_last_put(store: Store) -> None:
    await put(store, "a/1")
    second = await put(store, "a/1")
    (entry,) = (await store.snapshot("")).entries
    assert entry.revision == second


async def test_an_entry_has_the_revision_at_which_it_was_made(store: Store) -> None:
    first = await put(store, "a/1")
    await put(store, "a/1", b"new")
    (entry,) = (await store.snapshot("")).entries
    assert (entry.created, entry.value) == (first, b"new")


async def test_a_key_deleted_and_put_again_is_made_anew(store: Store) -> None:
    await put(store, "a/1")
    await store.commit([Delete("a/1")])
    again = await put(store, "a/1")
    (entry,) = (await store.snapshot("")).entries
    assert entry.created == entry.revision == again


async def test_an_entry_names_the_lease_that_owns_it_or_none(store: Store, case: StoreCase) -> None:
    await store.grant(7, case.ttl_s)
    await put(store, "a/1", lease=7)
    await put(store, "a/2")
    assert [entry.lease for entry in (await store.snapshot("")).entries] == [7, None]


async def test_the_last_put_says_who_owns_a_key(store: Store, case: StoreCase) -> None:
    await store.grant(7, case.ttl_s)
    await put(store, "a/1", lease=7)
    await put(store, "a/1")
    await store.revoke(7, Cause.REVOKED)
    assert await keys(store) == ["a/1"]


async def test_what_nobody_owns_stays_until_it_is_deleted(store: Store, case: StoreCase) -> None:
    await put(store, "a/1")
    await asyncio.sleep(2 * case.ttl_s)
    assert await keys(store) == ["a/1"]
    await store.commit([Delete("a/1")])
    assert await keys(store) == []


async def test_deleting_an_absent_key_is_no_error(store: Store) -> None:
    await store.commit([Delete("a/1")])


async def test_watchers_are_told_the_cause_of_a_delete(store: Store, case: StoreCase) -> None:
    await put(store, "a/1")
    async with watching(store) as watch:
        revision = await store.commit([Delete("a/1", Cause.UNREGISTERED, "for a reason")])
        (batch,) = await handed_over(watch, revision)
    told = (Cause.UNREGISTERED, "for a reason") if case.hands_on_causes else ()
    assert batch.changes == (Change("a/1", None, *told),)


async def test_a_commit_is_applied_at_one_revision(store: Store) -> None:
    await put(store, "a/1")
    revision = await store.commit([Put("a/2", b""), Put("a/3", b"")])
    entries = (await store.snapshot("")).entries
    assert [entry.revision for entry in entries[1:]] == [revision, revision]


async def test_a_refused_commit_changes_nothing(store: Store) -> None:
    before = await put(store, "a/1")
    with pytest.raises(LeaseExpiredError):
        await store.commit([Put("a/0", b""), Delete("a/1"), Put("a/2", b"", 99)])
    snapshot = await store.snapshot("")
    assert (snapshot.revision, [e.key for e in snapshot.entries]) == (before, ["a/1"])


async def test_the_revision_grows_with_every_commit_that_changes_something(store: Store) -> None:
    revisions = [await put(store, "a/1"), await store.commit([Delete("a/1")])]
    revisions += [await put(store, "a/1"), await put(store, "a/2")]
    assert revisions == sorted(set(revisions))


async def test_a_put_of_the_same_value_changes_something(store: Store) -> None:
    first = await put(store, "a/1")
    async with watching(store) as watch:
        second = await put(store, "a/1")
        assert second > first
        assert changed(await handed_over(watch, second)) == ["a/1"]


async def test_a_commit_that_changes_nothing_returns_the_current_revision(store: Store) -> None:
    current = await put(store, "a/1")
    async with watching(store) as watch:
        for ops in ([], [Delete("a/2")]):
            revision = await store.commit(ops)
            assert revision >= current
            assert revision == (await store.snapshot("")).revision
        after = await put(store, "a/1")  # watches come to it, so they come to the next
        assert changed(await handed_over(watch, after)) == ["a/1"]


async def test_a_key_appears_once_in_a_commit(store: Store) -> None:
    with pytest.raises(InvalidArgumentError):
        await store.commit([Put("a/1", b""), Delete("a/1")])


async def test_a_commit_touches_keys_of_one_lease(store: Store, case: StoreCase) -> None:
    for lease_id in (1, 2):
        await store.grant(lease_id, case.ttl_s)
        await put(store, f"a/{lease_id}", lease=lease_id)
    refused = [[Put("a/3", b"", 1), Put("a/4", b"", 2)]]
    if case.is_here:
        refused += [
            [Put("a/3", b"", 1), Delete("a/2")],
            [Put("a/1", b"", 2)],
            [Delete("a/1"), Delete("a/2")],
        ]
    for ops in refused:
        with pytest.raises(InvalidArgumentError):
            await store.commit(ops)
    await store.commit([Put("a/3", b"", 1), Delete("a/1"), Put("a/5", b"")])


async def test_a_put_under_a_lease_that_has_ended_is_refused(store: Store, case: StoreCase) -> None:
    await lease_ends(case, await store.grant(1, case.ttl_s))
    with pytest.raises(LeaseExpiredError):
        await put(store, "a/1", lease=1)


async def test_a_put_under_a_lease_that_never_was_is_refused(store: Store) -> None:
    with pytest.raises(LeaseExpiredError):
        await put(store, "a/1", lease=1)


# ---- guards


async def test_a_store_says_whether_it_has_guards(store: Store, case: StoreCase) -> None:
    assert store.has_guards is case.has_guards


@pytest.mark.parametrize("guard", [AtRevision("a/1", 0), NoPutAfter("a/", 1000)])
async def test_a_store_without_guards_refuses_them(
    store: Store, case: StoreCase, guard: AtRevision | NoPutAfter
) -> None:
    if case.has_guards:
        await store.commit([Put("a/1", b"")], [guard])
    else:
        with pytest.raises(InvalidArgumentError):
            await store.commit([Put("a/1", b"")], [guard])
        assert await keys(store) == []


@needs("has_guards")
async def test_a_failed_guard_refuses_all(store: Store) -> None:
    revision = await put(store, "a/1")
    with pytest.raises(GuardFailedError):
        await store.commit(
            [Put("a/2", b"")], [AtRevision("a/1", revision), AtRevision("a/2", revision)]
        )
    assert await keys(store) == ["a/1"]


@needs("has_guards")
async def test_a_prefix_guard_holds_when_nothing_was_put_after(store: Store) -> None:
    revision = await put(store, "a/b/1")
    await put(store, "a/bb/1")
    await put(store, "a/c")
    await store.commit([Put("a/b/2", b"")], [NoPutAfter("a/b/", revision)])
    with pytest.raises(GuardFailedError):
        await store.commit([Put("a/b/3", b"")], [NoPutAfter("a/b/", revision)])


@needs("has_guards")
async def test_a_prefix_guard_looks_at_all_below_the_prefix(store: Store) -> None:
    revision = await put(store, "a/b/c/1")
    for prefix in ("", "a/", "a/b/", "a/b/c/"):
        with pytest.raises(GuardFailedError):
            await store.commit([Delete("x")], [NoPutAfter(prefix, revision - 1)])
        await store.commit([Delete("x")], [NoPutAfter(prefix, revision)])


@needs("has_guards")
async def test_a_prefix_guard_holds_for_what_is_deleted_since(store: Store) -> None:
    revision = await put(store, "a/1")
    await put(store, "a/2")
    await store.commit([Delete("a/2")])
    await store.commit([Put("a/3", b"")], [NoPutAfter("a/", revision)])


@needs("has_guards")
async def test_a_key_guard_holds_at_the_last_put(store: Store) -> None:
    first = await put(store, "a/1")
    second = await store.commit([Put("a/1", b"")], [AtRevision("a/1", first)])
    with pytest.raises(GuardFailedError):
        await store.commit([Delete("a/1")], [AtRevision("a/1", first)])
    await store.commit([Delete("a/1")], [AtRevision("a/1", second)])


@needs("has_guards")
async def test_zero_in_a_key_guard_means_absent(store: Store) -> None:
    guard = AtRevision("a/1", 0)
    await store.commit([Put("a/1", b"")], [guard])
    with pytest.raises(GuardFailedError):
        await store.commit([Put("a/1", b"")], [guard])
    await store.commit([Delete("a/1")])
    await store.commit([Put("a/1", b"")], [guard])


@needs("has_guards")
async def test_a_commit_has_one_prefix_guard_and_many_key_guards(store: Store) -> None:
    many = [AtRevision(f"a/{n}", 0) for n in range(50)]
    await store.commit([Put("a/1", b"")], [NoPutAfter("b/", 0), *many])
    with pytest.raises(InvalidArgumentError):
        await store.commit([Put("a/2", b"")], [NoPutAfter("b/", 0), NoPutAfter("c/", 0)])


# ---- snapshots


async def test_prefixes_end_at_a_slash(store: Store, case: StoreCase) -> None:
    await put(store, "a/comp/1")
    await put(store, "a/comp2/1")
    assert await keys(store, "a/comp/") == ["a/comp/1"]
    with pytest.raises(InvalidArgumentError):
        await store.snapshot("a/comp")
    with pytest.raises(InvalidArgumentError):
        store.watch("a/comp", 0)
    if case.has_guards:
        with pytest.raises(InvalidArgumentError):
            await store.commit([], [NoPutAfter("a/comp", 0)])


async def test_a_snapshot_is_of_one_revision_with_all_committed_before(store: Store) -> None:
    revisions = [await put(store, f"a/{n}") for n in range(3)]
    snapshot = await store.snapshot("")
    assert snapshot.revision == revisions[-1]
    assert [entry.revision for entry in snapshot.entries] == revisions


async def test_a_snapshot_does_not_change_any_more(store: Store) -> None:
    await put(store, "a/1")
    snapshot = await store.snapshot("")
    await store.commit([Delete("a/1"), Put("a/2", b"")])
    assert [entry.key for entry in snapshot.entries] == ["a/1"]


async def test_a_snapshot_is_in_ascending_order_of_key(store: Store) -> None:
    names = ["b/1", "a/é", "a/z", "a/1/2", "a/1", "a-/1", "a/😀", "ab"]
    for name in names:
        await put(store, name)
    assert await keys(store) == sorted(names)


async def test_names_with_odd_slashes_are_names_like_any_other(store: Store) -> None:
    names = sorted(["a", "a/", "a//", "a//b", "/", "/a", ""])
    for name in names:
        await put(store, name)
    assert await keys(store) == names
    assert await keys(store, "a/") == ["a/", "a//", "a//b"]
    for name in names:
        await store.commit([Delete(name)])
    assert await keys(store) == []


# ---- leases


async def test_a_grant_returns_the_ttl(store: Store, case: StoreCase) -> None:
    assert await store.grant(1, case.ttl_s) > 0


async def test_a_lease_that_lives_is_not_granted_again(store: Store, case: StoreCase) -> None:
    await store.grant(1, case.ttl_s)
    with pytest.raises(AlreadyExistsError):
        await store.grant(1, case.ttl_s)


async def test_an_id_is_granted_again_once_its_lease_has_ended(
    store: Store, case: StoreCase
) -> None:
    ttl_s = await store.grant(1, case.ttl_s)
    await put(store, "a/1", lease=1)
    await lease_ends(case, ttl_s)
    await store.grant(1, case.ttl_s)
    assert await keys(store) == []
    await store.revoke(1, Cause.REVOKED)
    await store.grant(1, case.ttl_s)


async def test_all_leases_are_renewed_where_nobody_else_decides(
    store: Store, case: StoreCase
) -> None:
    ttl_s = await store.grant(1, case.ttl_s)
    await put(store, "a/1", lease=1)
    await asyncio.sleep(ttl_s * 0.8)
    store.renew_all()
    if not case.outlives_daemon:
        await asyncio.sleep(ttl_s * 0.8)
        assert await keys(store) == ["a/1"]
    await lease_ends(case, case.ttl_s)
    assert await keys(store) == []


async def test_keep_alive_gives_the_full_ttl_and_returns_it(store: Store, case: StoreCase) -> None:
    ttl_s = await store.grant(1, case.ttl_s)
    await put(store, "a/1", lease=1)
    for _ in range(5):
        await asyncio.sleep(ttl_s * 0.8)
        assert await store.keep_alive(1) == ttl_s
    await asyncio.sleep(ttl_s * 0.8)
    assert await keys(store) == ["a/1"]


async def test_keep_alive_of_an_ended_lease_is_refused(store: Store, case: StoreCase) -> None:
    with pytest.raises(LeaseExpiredError):
        await store.keep_alive(1)
    await store.grant(1, case.ttl_s)
    await store.revoke(1, Cause.REVOKED)
    with pytest.raises(LeaseExpiredError):
        await store.keep_alive(1)


async def test_keep_alive_is_refused_at_the_very_end_and_the_keys_are_gone(
    store: Store, case: StoreCase
) -> None:
    ttl_s = await store.grant(1, case.ttl_s)
    await put(store, "a/1", lease=1)
    loop = asyncio.get_running_loop()
    refused: asyncio.Future[list[str]] = loop.create_future()

    async def at_the_end() -> None:
        with pytest.raises(LeaseExpiredError):
            await store.keep_alive(1)
        refused.set_result(await keys(store))

    async with asyncio.TaskGroup() as group:
        loop.call_later(ttl_s, lambda: group.create_task(at_the_end()))
        assert await refused == []


async def test_a_lease_ends_by_itself_in_one_commit(store: Store, case: StoreCase) -> None:
    ttl_s = await store.grant(1, case.ttl_s)
    await put(store, "a/1", lease=1)
    await put(store, "b/1", lease=1)
    await put(store, "a/2")
    async with watching(store) as watch:
        async with asyncio.timeout(ttl_s * 2 + case.grace_s):
            await watch.wait()
        (batch,) = watch.ready()
    assert sorted(change.key for change in batch.changes) == ["a/1", "b/1"]
    assert all(change.entry is None for change in batch.changes)
    assert await keys(store) == ["a/2"]


async def test_a_lease_does_not_end_early(store: Store, case: StoreCase) -> None:
    ttl_s = await store.grant(1, case.ttl_s)
    await put(store, "a/1", lease=1)
    await asyncio.sleep(ttl_s * (0.99 if case.is_here else 0.8))
    assert await keys(store) == ["a/1"]


async def test_revoke_deletes_the_keys_in_one_commit(store: Store, case: StoreCase) -> None:
    await store.grant(1, case.ttl_s)
    await put(store, "a/1", lease=1)
    await put(store, "b/1", lease=1)
    async with watching(store) as watch:
        revision = await store.revoke(1, Cause.REVOKED)
        (batch,) = await handed_over(watch, revision)
    assert batch.revision == revision == (await store.snapshot("")).revision
    assert sorted(change.key for change in batch.changes) == ["a/1", "b/1"]


@needs("hands_on_causes")
async def test_watchers_are_told_why_a_lease_ended(store: Store, case: StoreCase) -> None:
    for lease_id in (1, 2):
        await store.grant(lease_id, case.ttl_s)
        # By its session a lease is known to be of this system.
        await store.commit(
            [Put(key, b"", lease_id) for key in (f"a/{lease_id}", f"session/{lease_id}")]
        )
    async with watching(store) as watch:
        await store.revoke(1, Cause.UNREGISTERED)
        await lease_ends(case, case.ttl_s)
        causes = [change.cause for batch in watch.ready() for change in batch.changes]
    assert causes == [Cause.UNREGISTERED, Cause.UNREGISTERED, *[Cause.LEASE_EXPIRED] * 2]


@needs("hands_on_causes")
async def test_watchers_are_told_what_is_known_of_a_leases_end(
    store: Store, case: StoreCase
) -> None:
    await store.grant(1, case.ttl_s)
    await put(store, "a/1", lease=1)
    async with watching(store) as watch:
        revision = await store.revoke(1, Cause.CRASHED, "exit status 1")
        (batch,) = await handed_over(watch, revision)
    assert [(c.cause, c.detail) for c in batch.changes] == [(Cause.CRASHED, "exit status 1")]


async def test_revoking_a_lease_without_keys_returns_the_current_revision(
    store: Store, case: StoreCase
) -> None:
    await store.grant(1, case.ttl_s)
    current = await put(store, "a/1")
    revision = await store.revoke(1, Cause.REVOKED)
    assert revision >= current
    assert revision == (await store.snapshot("")).revision


async def test_a_lease_is_revoked_once(store: Store, case: StoreCase) -> None:
    await store.grant(1, case.ttl_s)
    await store.revoke(1, Cause.REVOKED)
    with pytest.raises(LeaseExpiredError):
        await store.revoke(1, Cause.REVOKED)


# ---- watches


async def test_a_watch_hands_over_every_change_once_in_order_a_batch_a_revision(
    store: Store,
) -> None:
    async with watching(store) as watch:
        revisions = [await put(store, "a/1"), await put(store, "a/2")]
        revisions.append(await store.commit([Put("a/1", b"2"), Delete("a/2"), Put("a/3", b"")]))
        batches = await handed_over(watch, revisions[-1])
        assert [batch.revision for batch in batches] == revisions
        assert sorted(changed(batches[2:])) == ["a/1", "a/2", "a/3"]
        assert watch.ready() == []


async def test_a_change_tells_the_new_state_or_none_for_a_delete(store: Store) -> None:
    async with watching(store) as watch:
        await put(store, "a/1", b"value")
        (entry,) = (await store.snapshot("")).entries
        revision = await store.commit([Delete("a/1")])
        first, second = await handed_over(watch, revision)
    assert first.changes == (Change("a/1", entry),)
    assert second.changes == (Change("a/1", None),)


async def test_a_watch_begins_after_any_revision_still_kept(store: Store) -> None:
    first = await put(store, "a/1")
    second = await put(store, "a/2")
    async with store.watch("", first) as watch:
        assert [batch.revision for batch in await handed_over(watch, second)] == [second]


async def test_a_watch_leaves_out_what_is_not_under_its_prefix(store: Store) -> None:
    async with watching(store, "a/b/") as watch:
        await put(store, "a/bb/1")
        revision = await store.commit([Put("a/b/1", b""), Put("a/c/1", b"")])
        await put(store, "a/b")
        (batch,) = await handed_over(watch, revision)
    assert (batch.revision, changed([batch])) == (revision, ["a/b/1"])


async def test_wait_returns_when_there_is_something(store: Store) -> None:
    async with watching(store) as watch, asyncio.TaskGroup() as group:
        wait = group.create_task(watch.wait())
        assert not await ends(wait)
        await put(store, "a/1")
        async with asyncio.timeout(PATIENCE_S):
            await wait
        await watch.wait()
        assert changed(watch.ready()) == ["a/1"]


async def test_wait_does_not_return_for_what_is_not_under_its_prefix(store: Store) -> None:
    async with watching(store, "a/") as watch, asyncio.TaskGroup() as group:
        wait = group.create_task(watch.wait())
        await ends(wait)
        await put(store, "b/1")
        assert not await ends(wait)
        await put(store, "a/1")
        async with asyncio.timeout(PATIENCE_S):
            await wait
        assert changed(watch.ready()) == ["a/1"]


async def test_a_cancelled_wait_loses_nothing(store: Store) -> None:
    async with watching(store) as watch, asyncio.TaskGroup() as group:
        wait = group.create_task(watch.wait())
        await ends(wait)
        await put(store, "a/1")
        wait.cancel()
        await ends(wait)
        await watch.wait()
        assert changed(watch.ready()) == ["a/1"]


async def test_a_watch_that_is_not_read_holds_up_neither_the_store_nor_other_watches(
    store: Store,
) -> None:
    async with watching(store), watching(store, "a/") as reader:
        for number in range(100):
            revision = await put(store, f"a/{number}")
            assert changed(await handed_over(reader, revision)) == [f"a/{number}"]


@needs("is_here")
async def test_entering_behind_what_is_kept_raises_compacted(forgetful: Store) -> None:
    first = await put(forgetful, "a/1")
    for _ in range(HISTORY):
        await put(forgetful, "a/1")
    async with forgetful.watch("", first) as watch:
        assert len(watch.ready()) == HISTORY
    await put(forgetful, "a/1")
    with pytest.raises(CompactedError):
        async with forgetful.watch("", first):
            pass


async def test_entering_above_the_revision_raises_compacted(store: Store) -> None:
    revision = await put(store, "a/1")
    with pytest.raises(CompactedError):
        async with store.watch("", revision + 1):
            pass


@needs("is_here")
async def test_a_watch_that_fell_behind_raises_compacted_and_skips_nothing(
    forgetful: Store,
) -> None:
    async with watching(forgetful) as watch:
        for _ in range(HISTORY + 1):
            await put(forgetful, "a/1")
        for _ in range(2):
            with pytest.raises(CompactedError):
                await watch.wait()
            with pytest.raises(CompactedError):
                watch.ready()


@needs("is_here")
async def test_falling_behind_ends_a_wait(forgetful: Store) -> None:
    async with watching(forgetful) as watch, asyncio.TaskGroup() as group:

        async def fails() -> None:
            with pytest.raises(CompactedError):
                await watch.wait()

        wait = group.create_task(fails())
        await ends(wait)
        for _ in range(HISTORY + 1):
            await put(forgetful, "a/1")


async def test_changes_outside_the_prefix_never_make_a_watch_fall_behind(
    forgetful: Store,
) -> None:
    async with watching(forgetful, "a/") as watch, asyncio.TaskGroup() as group:
        wait = group.create_task(watch.wait())
        for number in range(HISTORY * 3):
            await put(forgetful, f"b/{number}")
            if number % 2:
                await ends(wait)
        assert not await ends(wait)
        assert watch.ready() == []
        revision = await put(forgetful, "a/1")
        async with asyncio.timeout(PATIENCE_S):
            await wait
        assert changed(await handed_over(watch, revision)) == ["a/1"]


# ---- the store itself


async def test_the_epoch_stays_as_long_as_revisions_go_on(store: Store) -> None:
    epoch = store.epoch
    assert epoch
    await put(store, "a/1")
    assert store.epoch == epoch


async def test_the_registry_id_is_none_if_nothing_outlives_a_daemon(
    store: Store, case: StoreCase
) -> None:
    assert (store.registry_id is not None) is case.outlives_daemon


@needs("notices_pauses")
async def test_a_store_that_stood_still_says_so_and_gives_everybody_a_full_ttl(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    ttl_s = 10.0
    await store.grant(1, ttl_s)
    await put(store, "a/1", lease=1)
    await asyncio.sleep(ttl_s / 2)
    loop = asyncio.get_running_loop()
    time = loop.time
    monkeypatch.setattr(loop, "time", lambda: time() + 3 * ttl_s)
    await asyncio.sleep(ttl_s * 0.9)
    assert (store.pauses, await keys(store)) == (1, ["a/1"])
    await asyncio.sleep(ttl_s * 0.2)
    assert (store.pauses, await keys(store)) == (1, [])


async def test_a_store_that_does_not_stand_still_counts_no_pause(
    store: Store, case: StoreCase
) -> None:
    for lease_id in (1, 2):  # alone, and after a time without any lease
        await store.grant(lease_id, case.ttl_s)
        await put(store, f"a/{lease_id}", lease=lease_id)
        await lease_ends(case, 2 * case.ttl_s)
        assert await keys(store) == []
    assert store.pauses == 0


async def test_the_age_of_the_proof_is_not_negative(store: Store) -> None:
    assert store.age_s() >= 0


@needs("is_here")
async def test_what_is_committed_here_is_at_hand_at_once(store: Store) -> None:
    async with watching(store) as watch:
        current = await put(store, "a/1")
        assert changed(watch.ready()) == ["a/1"]
        assert await store.commit([]) == await store.commit([Delete("a/2")]) == current
        await store.grant(1, 10.0)
        assert await store.revoke(1, Cause.REVOKED) == current
        assert watch.ready() == []
