from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Self

import pytest

from discovery.errors import PermissionDeniedError, ResourceExhaustedError, UnavailableError
from discovery.events import Cause
from discovery.replica import Replica
from discovery.settings import LimitSettings
from discovery.store import Batch, Change, CompactedError, Delete, Put, Watch
from discovery.unit import Unit
from tests.support.registries import Daemon, new_feed
from tests.support.sample_specs import endpoint
from tests.support.stores import GuardlessStore, memory_store

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from discovery.protocol import Event, Record
    from discovery.stores.memory import MemoryStore

pytestmark = pytest.mark.looptime

KEY = "v1/instances/prod/vllm/generate/1"


def record(address: str = "10.0.0.7:9000/x") -> bytes:
    (value,) = Unit.of([endpoint(address=address)], 1, "a", LimitSettings()).records.values()
    return value


async def turns(count: int = 10) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_entering_loads_what_is_there() -> None:
    store = memory_store()
    revision = await store.commit([Put(KEY, record())])
    daemon = Daemon(store)
    async with daemon.replica:
        assert daemon.replica.mirror.revision == revision
        assert [i.instance_id for i in daemon.list("endpoints")] == [1]
        assert daemon.events == []


async def test_what_is_committed_is_visible_after_a_drain() -> None:
    store = memory_store()
    daemon = Daemon(store)
    async with daemon.replica:
        revision = await store.commit([Put(KEY, record())])
        daemon.replica.drain()
        assert daemon.replica.mirror.revision == revision
        assert [event.revision for event in daemon.events] == [revision]


async def test_it_follows_without_being_drained() -> None:
    store = memory_store()
    daemon = Daemon(store)
    async with daemon.replica:
        revision = await store.commit([Put(KEY, record())])
        await turns()
        assert [event.revision for event in daemon.events] == [revision]


async def test_every_batch_is_published_once_and_in_order_whoever_drains() -> None:
    store = memory_store()
    daemon = Daemon(store)
    async with daemon.replica:
        revisions = []
        for number in range(30):
            revisions.append(await store.commit([Put(KEY, record(f"h:{number}/x"))]))
            if number % 3:
                daemon.replica.drain()
            if number % 5:
                await turns(3)
        await turns()
        assert [event.revision for event in daemon.events] == revisions


async def test_a_commit_that_nobody_sees_moves_it_on_without_an_event() -> None:
    store = memory_store()
    daemon = Daemon(store)
    async with daemon.replica:
        revision = await store.commit([Put("session/1", b"")])
        daemon.replica.drain()
        assert daemon.replica.mirror.revision == revision
        assert daemon.events == []


async def test_before_it_is_entered_and_after_it_is_left_a_drain_does_nothing() -> None:
    store = memory_store()
    daemon = Daemon(store)
    daemon.replica.drain()
    async with daemon.replica:
        pass
    await store.commit([Put(KEY, record())])
    daemon.replica.drain()
    assert daemon.events == []


# ---- reached


async def test_what_has_been_reached_is_not_waited_for() -> None:
    store = memory_store()
    daemon = Daemon(store)
    async with daemon.replica:
        revision = await store.commit([Put(KEY, record())])
        await daemon.replica.reached(revision)
        await daemon.replica.reached(0)


async def test_reached_returns_at_its_revision_and_not_before() -> None:
    store = memory_store()
    daemon = Daemon(store)
    async with daemon.replica, asyncio.TaskGroup() as group:
        now = daemon.replica.mirror.revision
        waits = [group.create_task(daemon.replica.reached(now + n)) for n in (2, 1, 3)]
        done = []
        for _ in range(3):
            await turns()
            done.append([wait.done() for wait in waits])
            await store.commit([Put(KEY, record())])
        assert done == [[False] * 3, [False, True, False], [True, True, False]]


async def test_a_wait_that_is_given_up_leaves_nothing_behind() -> None:
    """Found in review: each one stayed until the next commit."""
    store = memory_store()
    daemon = Daemon(store)
    async with daemon.replica:
        for _ in range(10):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(1):
                    await daemon.replica.reached(10_000)
        assert len(daemon.replica._waiting) == 0


async def test_whoever_waits_when_it_is_left_is_told() -> None:
    store = memory_store()
    daemon = Daemon(store)

    async def wait() -> None:
        with pytest.raises(UnavailableError, match="stopping"):
            await daemon.replica.reached(10_000)

    async with asyncio.TaskGroup() as group, daemon.replica:
        group.create_task(wait())
        given_up = group.create_task(daemon.replica.reached(10_000))
        await turns()
        given_up.cancel()


# ---- history lost


async def test_a_replica_that_fell_behind_loads_anew(caplog: pytest.LogCaptureFixture) -> None:
    store = memory_store(5)
    daemon = Daemon(store)
    async with daemon.replica, asyncio.TaskGroup() as group:
        for number in range(20):
            revision = await store.commit([Put(KEY, record(f"h:{number}/x"))])
        daemon.replica.drain()
        assert daemon.replica.mirror.revision < revision
        wait = group.create_task(daemon.replica.reached(revision))
        await turns()
        assert wait.done()
        assert daemon.replica.relists == 1
        assert [record.levelno for record in caplog.records] == [logging.WARNING]
        assert daemon.replica.feed.floor == revision
        assert [i.transport for i in daemon.list("endpoints")] == [{"tcp": "h:19/x"}]  # type: ignore[union-attr]
        await store.commit([Delete(KEY)])
        assert daemon.list("endpoints") == []


class LaggingStore(GuardlessStore):
    """Compacts between a snapshot and the watch that is to follow it, as often as it is told."""

    compactions = 2

    def watch(self, prefix: str, after: int) -> Watch:
        if self.compactions:
            self.compactions -= 1
            return super().watch(prefix, after - 1000)
        return super().watch(prefix, after)


async def test_history_lost_before_the_watch_begins_is_no_end() -> None:
    """Found in review: that ended the daemon."""
    store = LaggingStore()
    await store.commit([Put(KEY, record())])
    daemon = Daemon(store)
    async with daemon.replica:
        assert daemon.replica.relists == 2
        assert len(daemon.list("endpoints")) == 1


class BrokenWatch:
    """Raises anything but CompactedError."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        """Nothing to free."""

    def ready(self) -> Sequence[object]:
        return []

    async def wait(self) -> None:
        raise self._error


async def test_a_store_that_fails_ends_the_replica_with_the_reason() -> None:
    store = memory_store()
    store.watch = lambda prefix, after: BrokenWatch(PermissionDeniedError("no"))  # type: ignore[method-assign,assignment,return-value]
    with pytest.raises(PermissionDeniedError, match="no"):
        async with Daemon(store).replica:
            await asyncio.sleep(10)


@pytest.mark.parametrize("error", [UnavailableError("gone"), ResourceExhaustedError("busy")])
async def test_a_store_that_is_away_is_followed_again_when_it_is_back(error: Exception) -> None:
    store = memory_store()
    store.watch = lambda prefix, after: BrokenWatch(error)  # type: ignore[method-assign,assignment,return-value]
    daemon = Daemon(store)
    async with daemon.replica:
        await asyncio.sleep(10)
        del store.watch  # type: ignore[method-assign]
        await store.commit([Put(KEY, record())])
        await asyncio.sleep(1)
        assert daemon.replica.mirror.get(KEY)


# ---- publishing


async def test_a_batch_that_cannot_be_published_takes_no_other_with_it() -> None:
    """Found in review: the batches that had arrived with it were lost, in silence."""
    store = memory_store()
    published: list[int] = []
    fails = True

    def publish(events: Sequence[Event[Record]]) -> None:
        nonlocal fails
        if fails:
            fails = False
            raise ValueError("too large")
        published.extend(event.revision for event in events)

    replica = Replica(
        store, new_feed(), publish=publish, is_doubtful=lambda: False, now_ms=lambda: 0
    )
    async with replica:
        revisions = [await store.commit([Put(KEY, record(f"h:{n}/x"))]) for n in range(3)]
        with pytest.raises(ValueError, match="too large"):
            replica.drain()
        replica.drain()
        assert published == revisions[1:]
        assert replica.mirror.revision == revisions[-1]


@pytest.mark.parametrize("is_doubtful", [True, False])
async def test_events_say_whether_ends_of_leases_are_in_doubt(*, is_doubtful: bool) -> None:
    store = memory_store()
    events: list[Event[Record]] = []
    replica = Replica(
        store,
        new_feed(),
        publish=events.extend,
        is_doubtful=lambda: is_doubtful,
        now_ms=lambda: 0,
    )
    async with replica:
        await store.commit([Put(KEY, record())])
        replica.drain()
    assert [event.is_doubtful for event in events] == [is_doubtful]


async def test_the_end_of_a_session_is_told_before_it_is_published() -> None:
    store = memory_store()
    daemon = Daemon(store)
    log: list[object] = []
    daemon.replica.on_session_end = lambda entry: log.append((entry.key, len(daemon.events)))
    async with daemon.replica:
        await store.commit([Put("session/1", b""), Put(KEY, record())])
        daemon.replica.drain()
        await store.commit([Delete("session/1"), Delete(KEY)])
        await store.commit([Put("session/2", b""), Put(KEY, record())])
        daemon.replica.drain()
    assert log == [("session/1", 1)]


# ---- since when


async def test_since_ms_is_a_time_at_which_the_revision_had_been_reached() -> None:
    store = memory_store()
    daemon = Daemon(store)
    async with daemon.replica:
        reached = {}
        for _ in range(50):
            daemon.now_ms += 300
            reached[await store.commit([Put(KEY, record())])] = daemon.now_ms
            daemon.replica.drain()
        for revision, at_ms in reached.items():
            assert at_ms <= daemon.replica.since_ms(revision) <= at_ms + 1200


async def test_since_ms_of_what_was_there_before_is_the_start() -> None:
    store = memory_store()
    revision = await store.commit([Put(KEY, record())])
    daemon = Daemon(store)
    async with daemon.replica:
        daemon.now_ms += 50_000
        assert daemon.replica.since_ms(revision) == 1_000_000


async def test_a_wall_clock_that_goes_back_does_no_harm() -> None:
    store = memory_store()
    daemon = Daemon(store)
    async with daemon.replica:
        daemon.now_ms -= 500_000
        revision = await store.commit([Put(KEY, record())])
        daemon.replica.drain()
        assert daemon.replica.since_ms(revision) == daemon.now_ms


async def test_another_epoch_forgets_the_times_of_the_old_revisions() -> None:
    store = GuardlessStore(history_revisions=3)
    daemon = Daemon(store)
    async with daemon.replica:
        store.epoch = "another"
        daemon.now_ms += 100_000
        for _ in range(5):
            revision = await store.commit([Put(KEY, record())])
        await turns()
        assert daemon.replica.feed.epoch == "another"
        assert daemon.replica.since_ms(1) == daemon.replica.since_ms(revision) == daemon.now_ms


async def test_leases_that_end_are_published_with_their_cause() -> None:
    async with memory_store() as store:
        daemon = Daemon(store)
        async with daemon.replica:
            await store.grant(1, 10.0)
            await store.commit([Put(KEY, record(), 1)])
            await asyncio.sleep(11)
            causes = [change.cause for event in daemon.events for change in event.changes]
    assert causes == [None, Cause.LEASE_EXPIRED]


# ---- comparing


def comparing(daemon: Daemon, store: MemoryStore) -> Replica:
    """A replica that compares itself with what the store says of itself each second."""

    async def revisions_at(revision: int) -> Mapping[str, int]:
        snapshot = await store.snapshot("")
        assert snapshot.revision == revision
        return {entry.key: entry.revision for entry in snapshot.entries}

    store.revisions_at = revisions_at  # type: ignore[method-assign,assignment]
    return Replica(
        store,
        daemon.replica.feed,
        publish=daemon.events.extend,
        is_doubtful=lambda: False,
        now_ms=lambda: 0,
        compare_s=1.0,
    )


async def test_a_mirror_that_is_right_is_left_alone() -> None:
    store = memory_store()
    async with comparing(Daemon(store), store) as replica:
        await store.commit([Put(KEY, record())])
        await asyncio.sleep(10)
        assert (replica.divergences, replica.relists) == (0, 0)


async def test_a_change_that_never_came_is_found_counted_and_put_right(caplog) -> None:
    store = memory_store()
    daemon = Daemon(store)
    async with comparing(daemon, store) as replica:
        await store.commit([Put(KEY, record())])
        await asyncio.sleep(0.1)
        replica.mirror.apply(Batch(replica.mirror.revision, (Change(KEY, None),)))
        assert replica.mirror.get(KEY) is None
        await asyncio.sleep(2)
        assert replica.mirror.get(KEY)
        assert (replica.divergences, replica.relists) == (1, 1)
    (found,) = [r for r in caplog.records if r.levelname == "ERROR"]
    assert found.keys == [KEY]


@pytest.mark.parametrize(
    "error", [CompactedError("gone"), UnavailableError("away"), ResourceExhaustedError("busy")]
)
async def test_what_cannot_be_compared_is_compared_another_time(error: Exception) -> None:
    store = memory_store()
    asked = 0

    async def revisions_at(_: int) -> Mapping[str, int]:
        nonlocal asked
        asked += 1
        raise error

    replica = comparing(Daemon(store), store)
    store.revisions_at = revisions_at  # type: ignore[method-assign,assignment]
    async with replica:
        await asyncio.sleep(3.5)
        assert (asked, replica.relists) == (3, 0)


def test_compacted_is_told_apart_by_its_code() -> None:
    assert (CompactedError.code, CompactedError.retryable) == ("out_of_range", True)
