"""The etcd store against a real etcd that is killed, stopped, emptied, restored and cut off."""

from __future__ import annotations

import asyncio
import gc
import random
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import grpc.aio
import pytest

from discovery.errors import InvalidArgumentError, LeaseExpiredError, UnavailableError
from discovery.events import Cause
from discovery.replica import Replica
from discovery.store import (
    AtRevision,
    CompactedError,
    Delete,
    GuardFailedError,
    NoPutAfter,
    Put,
)
from discovery.stores.etcd import etcd_pb2 as pb
from discovery.stores.etcd.calls import STATUS, WATCH
from discovery.stores.etcd.client import EtcdClient
from discovery.stores.etcd.line import Line
from discovery.stores.etcd.refusals import (
    DeniedError,
    EtcdError,
    ExhaustedError,
    UnreachableError,
    etcd_error,
)
from discovery.stores.etcd.store import EtcdStore
from discovery.stores.etcd.translation import error_of
from discovery.stores.etcd.watch import EtcdWatch
from tests.support.etcd import Etcd, etcd_server
from tests.support.places import until
from tests.support.registries import new_feed
from tests.support.ways import way_to
from transports.scope import running

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator
    from pathlib import Path

    from discovery.store import Batch, Watch
    from tests.support.ways import Way

PROBE_S = 0.1
PATIENCE_S = 30.0


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Etcd]:
    """An etcd of this test's, to be ill-treated."""
    with etcd_server(tmp_path) as server:
        yield server


@asynccontextmanager
async def opened(url: str, *, probe_s: float = PROBE_S) -> AsyncGenerator[EtcdStore]:
    async with EtcdStore(url, most_waiting=1000, rng=random.Random(), probe_s=probe_s) as store:
        yield store


@asynccontextmanager
async def following(store: EtcdStore) -> AsyncGenerator[Watch]:
    """Load and watch, as a daemon does."""
    snapshot = await store.snapshot("")
    async with store.watch("", snapshot.revision) as watch:
        yield watch


def through(way: Way) -> str:
    return f"etcd://127.0.0.1:{way.port}"


async def aside(work: Callable[..., object], *args: object) -> None:
    """Do something that takes its time, on another thread."""
    await asyncio.to_thread(work, *args)


async def put(store: EtcdStore, key: str, value: bytes = b"", lease: int | None = None) -> int:
    return await store.commit([Put(key, value, lease)])


async def shown(watch: Watch, *keys: str) -> list[Batch]:
    """Take what the watch has until the last of `keys` came; each must come once, in order."""
    batches: list[Batch] = []
    async with asyncio.timeout(PATIENCE_S):
        while len(changed(batches)) < len(keys):
            await watch.wait()
            batches += [batch for batch in watch.ready() if batch.changes]
    assert changed(batches) == list(keys)
    return batches


async def breaks(watch: Watch) -> CompactedError:
    """Wait until a watch says that all must be loaded anew."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                await watch.wait()
                watch.ready()
            except CompactedError as error:
                return error


async def is_back(store: EtcdStore) -> None:
    """Wait until etcd answers again."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                await store.commit([])
            except UnavailableError:
                await asyncio.sleep(0.05)
            else:
                return


def changed(batches: list[Batch]) -> list[str]:
    return [change.key for batch in batches for change in batch.changes]


# ---- what lies in etcd


async def test_a_witness_finds_records_as_they_are_under_their_lease(own: Etcd) -> None:
    async with opened(own.url) as store:
        await store.grant(7, 60.0)
        revision = await put(store, "v1/instances/ns/c/e/7", b'{"x":1}', lease=7)
        witness = own.witness
        (kv,) = (await asyncio.to_thread(witness.range, "v1/", prefix=True)).kvs
        assert (kv.key, kv.value, kv.lease) == (b"v1/instances/ns/c/e/7", b'{"x":1}', 7)
        assert (kv.mod_revision, kv.create_revision) == (revision, revision)
        ttl = await asyncio.to_thread(witness.lease_time_to_live, 7, keys=True)
        assert (int(ttl.grantedTTL), list(ttl.keys)) == (60, [b"v1/instances/ns/c/e/7"])


async def test_what_a_witness_writes_is_seen_with_its_lease(own: Etcd) -> None:
    witness = own.witness

    def write() -> None:
        witness.lease_grant(60, 8)
        witness.put("v1/mdc/a/b/c/8", b"theirs", lease=8)
        witness.put("somebody/else", b"is not ours")
        witness.delete_range("v1/mdc/a/b/c/8")

    async with opened(own.url) as store, following(store) as watch:
        await aside(write)
        came, went = await shown(watch, "v1/mdc/a/b/c/8", "v1/mdc/a/b/c/8")
        (change,) = came.changes
        assert change.entry is not None
        assert (change.entry.value, change.entry.lease) == (b"theirs", 8)
        assert (went.changes[0].entry, went.changes[0].cause) == (None, None)
        assert (await store.snapshot("")).entries == []


async def test_a_key_that_is_no_text_harms_nobody(own: Etcd) -> None:
    async with opened(own.url) as store, following(store) as watch:
        await aside(own.witness.put, b"v1/mdc/\xff\xfe/1", b"x")
        (batch,) = await shown(watch, r"v1/mdc/\xff\xfe/1")
        assert [e.key for e in (await store.snapshot("")).entries] == changed([batch])


async def test_registries_with_prefixes_do_not_see_each_other(own: Etcd) -> None:
    async with opened(own.url) as one, opened(f"{own.url}?prefix=two/") as two:
        assert one.registry_id != two.registry_id
        await put(one, "v1/a")
        await put(two, "v1/b")
        for store, key in ((one, "v1/a"), (two, "v1/b")):
            assert [e.key for e in (await store.snapshot("")).entries] == [key]


async def test_stores_on_one_registry_agree_on_what_it_is(own: Etcd) -> None:
    async with asyncio.TaskGroup() as group:
        all_open = asyncio.Barrier(5)

        async def look() -> tuple[str, str | None]:
            async with opened(own.url) as store:
                await all_open.wait()
                return store.epoch, store.registry_id

        looks = [group.create_task(look()) for _ in range(5)]
    assert len({look.result() for look in looks}) == 1


async def test_a_large_registry_is_loaded_page_by_page(own: Etcd, monkeypatch) -> None:
    monkeypatch.setattr("discovery.stores.etcd.line._PAGE", 7)
    async with opened(own.url) as store:
        names = [f"v1/{n:03}" for n in range(50)]
        for name in names:
            await put(store, name)
        assert [e.key for e in (await store.snapshot("")).entries] == names
        assert [e.key for e in (await store.snapshot("v1/")).entries] == names


# ---- commits that share a request


async def test_commits_share_requests(own: Etcd) -> None:
    async with opened(own.url, probe_s=3600.0) as store:
        async with asyncio.TaskGroup() as group:
            for n in range(200):
                group.create_task(put(store, f"v1/{n}"))
        assert store._committer.requests < 20
        assert len((await store.snapshot("")).entries) == 200


async def test_of_commits_that_exclude_each_other_one_is_done(own: Etcd) -> None:
    """In one etcd request all of them would pass: it looks at every guard before it writes."""
    async with opened(own.url) as store:
        start = (await store.snapshot("")).revision
        done: list[int] = []

        async def contend(n: int) -> None:
            try:
                await store.commit([Put(f"v1/mdc/e/{n}", b"")], [NoPutAfter("v1/mdc/e/", start)])
                done.append(n)
            except GuardFailedError:
                pass

        async with asyncio.TaskGroup() as group:
            for n in range(64):
                group.create_task(contend(n))
        assert [e.key for e in (await store.snapshot("")).entries] == [
            f"v1/mdc/e/{n}" for n in done
        ]
        assert len(done) == 1


async def test_a_commit_that_is_refused_takes_no_other_with_it(own: Etcd) -> None:
    async with opened(own.url) as store:
        async with asyncio.TaskGroup() as group:
            first = group.create_task(put(store, "v1/0"))  # the others wait for its answer
            good = [group.create_task(put(store, f"v1/{n}")) for n in (1, 2)]
            bad = group.create_task(refused(put(store, "v1/3", lease=99), LeaseExpiredError))
            large = group.create_task(
                refused(put(store, "v1/4", bytes(2 << 20)), InvalidArgumentError)
            )
        assert first.result() < min(task.result() for task in good)
        assert bad.result()
        assert large.result()
        assert [e.key for e in (await store.snapshot("")).entries] == ["v1/0", "v1/1", "v1/2"]


async def refused(coro, kind: type[Exception]) -> bool:
    with pytest.raises(kind):
        await coro
    return True


async def test_a_caller_who_gives_up_before_his_turn_writes_nothing(own: Etcd) -> None:
    async with opened(own.url) as store, asyncio.TaskGroup() as group:
        first = group.create_task(put(store, "v1/0"))
        await asyncio.sleep(0)
        second = group.create_task(put(store, "v1/1"))
        await asyncio.sleep(0)
        second.cancel()
        await first
        assert [e.key for e in (await store.snapshot("")).entries] == ["v1/0"]


async def test_more_than_etcd_takes_is_refused_by_its_number(own: Etcd) -> None:
    async with opened(own.url) as store:
        with pytest.raises(InvalidArgumentError, match="121 operations or guards, expected 120"):
            await store.commit([Put(f"v1/{n}", b"") for n in range(121)])
        await store.commit([Put(f"v1/{n}", b"") for n in range(120)])


# ---- etcd goes away and comes back


@pytest.mark.parametrize("end", ["kill", "stop"])
async def test_a_restart_of_etcd_loses_nothing(own: Etcd, end: str) -> None:
    async with opened(own.url) as store, following(store) as watch:
        epoch = store.epoch
        await put(store, "v1/1")
        await aside(getattr(own, end))
        with pytest.raises(UnavailableError, match="commit: no answer from etcd"):
            await put(store, "v1/never")
        await until(lambda: store.age_s() > 3.0)
        await aside(own.start)
        await is_back(store)
        await put(store, "v1/2")
        await shown(watch, "v1/1", "v1/2")
        await until(lambda: watch.ready() is not None and store.age_s() < 0.5)
        assert (store.epoch, store.pauses) == (epoch, 1)


async def test_what_others_wrote_while_we_were_cut_off_is_caught_up_with(own: Etcd) -> None:
    async with (
        way_to(own.port) as way,
        opened(own.url) as other,
        opened(through(way)) as store,
        following(store) as watch,
    ):
        await put(store, "v1/1")
        await shown(watch, "v1/1")
        way.strand()
        names = [f"v1/x{n}" for n in range(50)]
        for name in names:
            await put(other, name)
        await shown(watch, *names)  # over a new connection
        assert way.connections > 1
        assert store.pauses == 1


@pytest.fixture
def garbage_is_kept() -> Iterator[None]:
    """A daemon looks for cycles so seldom that what they keep alive is as good as lost."""
    gc.disable()
    yield
    gc.enable()


@asynccontextmanager
async def client_through(way: Way) -> AsyncGenerator[EtcdClient]:
    client = EtcdClient([f"127.0.0.1:{way.port}"], within_s=0.5)
    try:
        yield client
    finally:
        await client.aclose()


async def test_connections_that_were_given_up_are_closed(own: Etcd, garbage_is_kept: None) -> None:
    async with way_to(own.port) as way, client_through(way) as client:
        for _ in range(3):
            await client.call(STATUS, pb.StatusRequest())
            way.strand()
            with pytest.raises(UnreachableError):
                await client.call(STATUS, pb.StatusRequest())
        await client.call(STATUS, pb.StatusRequest())
        assert way.connections == 4
        await until(lambda: way.open_connections == 1)


async def test_a_connection_that_was_given_up_is_closed_with_the_last_call_on_it(
    own: Etcd, garbage_is_kept: None
) -> None:
    create = pb.WatchCreateRequest(key=b"v1/x")
    async with way_to(own.port) as way, client_through(way) as client:
        async with client.stream(WATCH) as stream:
            await stream.send(pb.WatchRequest(create_request=create))
            assert (await stream.receive()).created
            way.hold_answers()
            with pytest.raises(UnreachableError):
                await client.call(STATUS, pb.StatusRequest())
            way.mend()
            await client.call(STATUS, pb.StatusRequest())
            await aside(own.witness.put, "v1/x", b"x")
            assert len((await stream.receive()).events) == 1
            assert way.open_connections == 2
        await until(lambda: way.open_connections == 1)


async def test_a_call_that_fails_late_does_not_leave_the_member_it_is_at_anew(own: Etcd) -> None:
    async with way_to(own.port) as one, way_to(own.port) as other:
        places = [f"127.0.0.1:{way.port}" for way in (one, other)]
        client = EtcdClient(places, within_s=0.3)
        await client.call(STATUS, pb.StatusRequest())
        one.strand()
        late = client.call(STATUS, pb.StatusRequest(), within_s=1.5)
        async with running(unanswered(late)):
            await asyncio.sleep(0)
            await unanswered(client.call(STATUS, pb.StatusRequest()))
            await client.call(STATUS, pb.StatusRequest())
            other.strand()
            await unanswered(client.call(STATUS, pb.StatusRequest()))
            assert client.endpoint == places[0]
            await client.call(STATUS, pb.StatusRequest())
            await until(lambda: one.open_connections == 1)
        assert client.endpoint == places[0]
        await client.aclose()


async def unanswered(call: Any) -> None:
    with pytest.raises(UnreachableError):
        await call


async def test_a_store_that_lost_etcd_again_and_again_has_one_connection_to_it(
    own: Etcd, garbage_is_kept: None
) -> None:
    async with (
        way_to(own.port) as way,
        opened(own.url) as other,
        opened(through(way)) as store,
        following(store) as watch,
    ):
        await store.grant(7, 30.0)
        async with running(renewed_often(store)):
            for n in range(2):
                way.strand()
                await put(other, f"v1/x{n}")
                await shown(watch, f"v1/x{n}")
            assert way.connections >= 3
            await until(
                lambda: way.open_connections == 1
            )  # who renews finds that its stream is silent


async def test_all_go_on_at_the_next_member_when_one_does_not_answer_in_time(
    own: Etcd, garbage_is_kept: None
) -> None:
    """Also a watch and renewals that come through all the same, only later than at the next one."""
    async with way_to(own.port) as one, way_to(own.port) as other:
        url = f"etcd://127.0.0.1:{one.port},127.0.0.1:{other.port}"
        async with opened(url) as store, following(store) as watch:
            await store.grant(7, 30.0)
            async with running(renewed_often(store)):
                assert (one.open_connections, other.open_connections) == (1, 0)
                one.slow(1.2)  # there and back, longer than a call may take
                with pytest.raises(UnavailableError):
                    await store.grant(8, 30.0)
                await until(lambda: one.open_connections == 0)
                assert other.open_connections == 1
                await put(store, "v1/1")
                await shown(watch, "v1/1")


def test_what_cannot_be_printed_of_an_error_of_grpc_is_left_out() -> None:
    text = "last error: INTERNAL: ipv4:127.0.0.1:2379: socket: Too many open files"
    for behind in ("", "\n", "\n\x00/\ufffd\x01", "\x7f"):
        error = grpc.aio.AioRpcError(
            grpc.StatusCode.UNAVAILABLE, grpc.aio.Metadata(), grpc.aio.Metadata(), text + behind
        )
        found = etcd_error(error, "127.0.0.1:2379")
        assert isinstance(found, UnreachableError)
        assert str(found) == f"127.0.0.1:2379: {text}"


async def renewed_often(store: EtcdStore) -> None:
    """Keep lease 7, over a stream of its own."""
    while True:
        with suppress(UnavailableError):
            await store.keep_alive(7)
        await asyncio.sleep(0.2)


async def test_a_stopped_etcd_is_noticed_and_nothing_is_lost(own: Etcd) -> None:
    async with opened(own.url) as store, following(store) as watch:
        own.pause()
        with pytest.raises(UnavailableError):
            await put(store, "v1/perhaps")
        await until(lambda: store.age_s() > 3.0)
        own.resume()
        await is_back(store)
        await put(store, "v1/z")
        async with asyncio.timeout(PATIENCE_S):
            batches: list[Batch] = []
            while changed(batches)[-1:] != ["v1/z"]:
                await watch.wait()
                batches += watch.ready()
        assert set(changed(batches)) <= {"v1/perhaps", "v1/z"}
        assert store.pauses == 1


async def test_an_answer_that_is_lost_leaves_the_outcome_open(own: Etcd) -> None:
    async with way_to(own.port) as way, opened(through(way)) as store:
        way.hold_answers()
        with pytest.raises(UnavailableError):
            await put(store, "v1/1")
        way.mend()
        await is_back(store)
        assert [e.key for e in (await store.snapshot("")).entries] == ["v1/1"]


async def test_leases_are_renewed_again_after_a_restart(own: Etcd) -> None:
    async with opened(own.url) as store:
        await store.grant(7, 30.0)
        assert await store.keep_alive(7) == 30.0
        await aside(own.kill)
        with pytest.raises(UnavailableError, match="keep-alive: no answer from etcd"):
            await store.keep_alive(7)
        await aside(own.start)
        await is_back(store)
        async with asyncio.timeout(PATIENCE_S):
            while True:
                try:
                    assert await store.keep_alive(7) == 30.0
                    break
                except UnavailableError:
                    await asyncio.sleep(0.05)


@pytest.mark.parametrize("refusal", [DeniedError, ExhaustedError])
async def test_a_refusal_while_a_connection_is_made_anew_ends_nothing(
    own: Etcd, refusal: type[EtcdError], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found in review: an etcd that was too busy for it ended the daemon."""
    asked = 0

    async with opened(own.url) as store, following(store) as watch:
        prove = Line.prove

        async def refuse(self: Line, *args: Any) -> None:
            nonlocal asked
            asked += 1
            if asked == 1:
                raise error_of(refusal("not now"), "watching")
            await prove(self, *args)

        monkeypatch.setattr(Line, "prove", refuse)
        await aside(own.kill)
        await aside(own.start)
        await is_back(store)
        await put(store, "v1/1")
        await shown(watch, "v1/1")
        assert asked


# ---- etcd is not what it was


async def test_a_compaction_while_we_were_away_means_loading_anew(own: Etcd) -> None:
    async with (
        way_to(own.port) as way,
        opened(own.url) as other,
        opened(through(way)) as store,
        following(store) as watch,
    ):
        epoch = store.epoch
        way.strand()
        for n in range(5):
            await put(other, f"v1/{n}")
        await aside(own.compact)
        assert "compacted" in str(await breaks(watch)) or "forgotten" in str(await breaks(watch))
        async with following(store):
            assert store.epoch == epoch


async def test_a_watch_from_what_is_compacted_is_refused(own: Etcd) -> None:
    async with opened(own.url) as store:
        first = await put(store, "v1/1")
        await put(store, "v1/1")
        await aside(own.compact)
        with pytest.raises(CompactedError, match="forgotten"):
            async with store.watch("", first):
                pass


async def test_an_etcd_that_lost_everything_begins_another_epoch(own: Etcd) -> None:
    async with (
        opened(own.url) as store,
        opened(own.url) as other,
        following(store) as watch,
        following(other) as others,
    ):
        epoch, registry = store.epoch, store.registry_id
        for n in range(5):
            await put(store, f"v1/{n}")
        await aside(own.kill)
        own.wipe()
        await aside(own.start)
        await breaks(watch)
        await breaks(others)
        async with following(store), following(other):
            assert (await store.snapshot("")).entries == []
            assert store.epoch == other.epoch != epoch
            assert store.registry_id == other.registry_id == registry
            assert min(store.pauses, other.pauses) > 0
            await put(store, "v1/1")


async def test_a_restored_etcd_begins_another_epoch_and_takes_nothing_of_before(
    own: Etcd,
) -> None:
    async with opened(own.url) as store, following(store) as watch:
        epoch = store.epoch
        await put(store, "v1/1")
        backup = await asyncio.to_thread(own.back_up)
        old = await put(store, "v1/2")
        await aside(own.kill)
        own.restore(backup)
        await aside(own.start)
        async with asyncio.timeout(PATIENCE_S):  # what was decided before is never done now
            while True:
                with pytest.raises(UnavailableError) as refusal:
                    await store.commit([Put("v1/3", b"")], [NoPutAfter("v1/", old)])
                if "not as it was left" in str(refusal.value):
                    break
                await asyncio.sleep(0.05)
        await breaks(watch)
        async with following(store) as again:
            assert store.epoch != epoch
            assert [e.key for e in (await store.snapshot("")).entries] == ["v1/1"]
            await put(store, "v1/4")
            async with asyncio.timeout(2.0):  # the new line is proven at once
                while store.age_s() > 0.5:
                    again.ready()
                    await asyncio.sleep(0.05)


async def test_what_was_decided_in_one_epoch_is_not_done_in_another(own: Etcd) -> None:
    async with opened(own.url) as store, following(store) as watch:
        await aside(own.witness.put, "discoveryd/epoch", "another")
        with pytest.raises(UnavailableError):
            await put(store, "v1/1")
        await breaks(watch)
        async with following(store):
            assert store.epoch == "another"
            assert (await store.snapshot("")).entries == []
            await put(store, "v1/1")


# ---- leases


async def test_a_revocation_is_guarded_by_the_session(own: Etcd) -> None:
    """Whoever decided on a session that is not there any more does not end its successor's."""
    async with opened(own.url) as store:
        await store.grant(7, 30.0)
        old = await put(store, "session/7", lease=7)
        await put(store, "session/7", b"of another", lease=7)
        with pytest.raises(GuardFailedError):
            await store.revoke(7, Cause.UNREGISTERED, None, [AtRevision("session/7", old)])
        assert await store.keep_alive(7) == 30.0


async def test_causes_are_told_to_every_daemon(own: Etcd) -> None:
    async with opened(own.url) as store, opened(own.url) as other, following(other) as watch:
        await store.grant(7, 30.0)
        await store.commit([Put("v1/1", b"", 7), Put("v1/2", b"", 7), Put("session/7", b"", 7)])
        await store.commit([Put("session/7", b"", 7), Delete("v1/1", Cause.UNREGISTERED)])
        await store.revoke(7, Cause.CRASHED, "exit status 1")
        *_, third, fourth = await shown(
            *(watch, "v1/1", "v1/2", "session/7", "session/7", "v1/1", "session/7", "v1/2")
        )
        assert [(c.key, c.cause) for c in third.changes] == [
            ("session/7", None),
            ("v1/1", Cause.UNREGISTERED),
        ]
        assert {(c.cause, c.detail) for c in fourth.changes} == {(Cause.CRASHED, "exit status 1")}


# ---- what operators are told, and what is compared


async def test_how_it_was_at_a_revision_is_told_until_it_is_compacted(own: Etcd) -> None:
    async with opened(own.url) as store:
        first = await put(store, "v1/1")
        second = await put(store, "v1/2")
        await put(store, "v1/1")
        assert await store.revisions_at(second) == {"v1/1": first, "v1/2": second}
        await aside(own.compact)
        with pytest.raises(CompactedError):
            await store.revisions_at(second)


async def test_a_report_tells_how_etcd_is(own: Etcd) -> None:
    async with opened(own.url) as store:
        await store.grant(7, 30.0)
        revision = await put(store, "v1/1")
        report = await store.report()
        assert report["endpoint"] == own.endpoint
        assert (report["version"], report["has_leader"]) == ("3.4.23", True)
        assert (report["revision"], report["leases"]) == (revision, 1)
        await aside(own.kill)
        assert "error" in await store.report()


async def test_a_change_that_etcd_lost_on_the_way_is_found_and_put_right(
    own: Etcd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mirror of a whole daemon over a watch that swallows one event."""
    take = EtcdWatch._take

    def swallow(self: EtcdWatch, answer: Any) -> None:
        kept = [event for event in answer.events if event.kv.key != b"v1/instances/n/c/e/1"]
        del answer.events[:]
        answer.events.extend(kept)
        take(self, answer)

    async with opened(own.url) as store:
        replica = Replica(
            store,
            new_feed(),
            publish=lambda _: None,
            is_doubtful=lambda: False,
            now_ms=lambda: 0,
            compare_s=0.2,
        )
        async with replica:
            monkeypatch.setattr(EtcdWatch, "_take", swallow)
            await put(store, "v1/instances/n/c/e/1", b"{}")
            revision = await put(store, "v1/instances/n/c/e/2", b"{}")
            await replica.reached(revision)
            assert replica.mirror.get("v1/instances/n/c/e/1") is None
            await until(lambda: replica.mirror.get("v1/instances/n/c/e/1") is not None)
            assert replica.divergences == 1
