"""Registering and unregistering as one process sees it; models against models are elsewhere."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from discovery.errors import (
    AlreadyExistsError,
    InternalError,
    InvalidArgumentError,
    LeaseExpiredError,
    ModelConflictError,
    PermissionDeniedError,
    StaleRequestError,
    UnavailableError,
)
from discovery.events import Cause
from discovery.sessions import Caller
from discovery.settings import LimitSettings
from discovery.store import Put
from tests.support.registries import Daemon, Worker, serving
from tests.support.sample_specs import channel, endpoint, model
from tests.support.stores import GuardlessStore, memory_store

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from discovery.store import Store

pytestmark = pytest.mark.looptime


@pytest.fixture(params=[memory_store, GuardlessStore], ids=["memory", "guardless"])
def store(request: pytest.FixtureRequest) -> Store:
    made: Store = request.param()
    return made


@pytest.fixture
async def daemon(store: Store) -> AsyncGenerator[Daemon]:
    daemon = Daemon(store)
    async with serving(daemon):
        yield daemon


@pytest.fixture
async def worker(daemon: Daemon) -> Worker:
    return await Worker(daemon.registry, 0x1A).grant()


async def test_what_is_registered_is_listed_at_once(daemon: Daemon, worker: Worker) -> None:
    await worker.register(model("m"))
    (instance,) = daemon.list()
    assert str(instance.id) == "models/prod/vllm/generate/1a"


async def test_a_unit_is_registered_at_one_revision_in_one_event_each(
    daemon: Daemon, worker: Worker
) -> None:
    revision = await worker.register(endpoint(), model("m"), channel())
    assert {event.revision for event in daemon.events} == {revision}
    assert sorted(event.scope[0] for event in daemon.events) == ["channels", "endpoints", "models"]
    assert daemon.registry.answered == revision


@pytest.mark.parametrize(
    ("specs", "error"),
    [
        ([], InvalidArgumentError),
        ([endpoint(), model("m"), model("n", suffix="s")], ModelConflictError),
        ([endpoint(), channel(instance_id=None)], InvalidArgumentError),
        ([endpoint(), model("m"), model("m", on="other")], InvalidArgumentError),
        ([endpoint(), endpoint()], InvalidArgumentError),
        ([endpoint(f"e{n}") for n in range(65)], InvalidArgumentError),
        ([endpoint(), model("m", more="x" * (128 << 10))], InvalidArgumentError),
    ],
    ids=["none", "conflict", "no id", "two endpoints", "twice", "too many", "too large"],
)
async def test_a_unit_with_a_fault_leaves_nothing(
    daemon: Daemon, worker: Worker, specs: list[object], error: type[Exception]
) -> None:
    with pytest.raises(error):
        await worker.register(*specs)  # type: ignore[arg-type]
    for kind in ("endpoints", "models", "channels"):
        assert daemon.list(kind) == []
    keys = [entry.key for entry in (await daemon.store.snapshot("")).entries]
    assert keys == ["session/1a"]
    assert daemon.events == []


async def test_the_limits_are_the_settings() -> None:
    daemon = Daemon(memory_store(), limits=LimitSettings(max_unit=1))
    async with serving(daemon):
        worker = await Worker(daemon.registry, 1).grant()
        with pytest.raises(InvalidArgumentError, match="expected 1 to 1"):
            await worker.register(endpoint(), model("m"))
        with pytest.raises(InvalidArgumentError, match="ids: got 2, expected 1 at most"):
            await worker.unregister(endpoint(), model("m"))


async def test_the_same_value_again_gives_the_same_answer(daemon: Daemon, worker: Worker) -> None:
    unit = (endpoint(), model("m"))
    first = await worker.register(*unit)
    count = len(daemon.events)
    assert await worker.register(*unit) == first
    assert len(daemon.events) == count


async def test_another_value_takes_the_place_of_the_old(daemon: Daemon, worker: Worker) -> None:
    first = await worker.register(endpoint())
    assert await worker.register(endpoint(address="h:1/x"), model("m")) > first
    (instance,) = daemon.list("endpoints")
    assert instance.transport == {"tcp": "h:1/x"}  # type: ignore[union-attr]


async def test_only_what_changes_of_a_unit_is_written(daemon: Daemon, worker: Worker) -> None:
    await worker.register(endpoint(), model("m"))
    revision = await worker.register(endpoint(), model("m", more="1"))
    assert [e.scope[0] for e in daemon.events if e.revision == revision] == ["models"]


async def test_a_key_of_another_owner_is_refused_and_named(daemon: Daemon, worker: Worker) -> None:
    await worker.register(channel())
    other = await Worker(daemon.registry, 2).grant()
    with pytest.raises(AlreadyExistsError, match="v1/event_channels/prod/vllm/kv-events/4d"):
        await other.register(endpoint(), channel())
    assert daemon.list("endpoints") == []


# ---- unregister


async def test_unregistering_removes_at_one_revision(daemon: Daemon, worker: Worker) -> None:
    await worker.register(endpoint(), model("m"), channel())
    revision = await worker.unregister(endpoint(), model("m"), channel().id(77))
    removals = [event for event in daemon.events if event.revision == revision]
    assert len(removals) == 3
    assert {c.cause for event in removals for c in event.changes} == {Cause.UNREGISTERED}
    assert daemon.registry.answered == revision


async def test_unregistering_what_is_not_there_is_no_error(worker: Worker) -> None:
    await worker.unregister(endpoint(), channel().id(77))
    await worker.unregister()


async def test_naming_an_id_twice_is_no_error(daemon: Daemon, worker: Worker) -> None:
    """Found in review: the store refused the commit."""
    await worker.register(endpoint())
    await worker.unregister(endpoint(), endpoint())
    assert daemon.list("endpoints") == []


async def test_unregistering_what_is_anothers_is_refused(daemon: Daemon, worker: Worker) -> None:
    await worker.register(endpoint())
    other = await Worker(daemon.registry, 2).grant()
    with pytest.raises(PermissionDeniedError, match="v1/instances/prod/vllm/generate/1a"):
        await other.unregister(endpoint().id(0x1A))
    assert len(daemon.list("endpoints")) == 1


@pytest.mark.parametrize("generation", ["a", "b"])
async def test_a_channel_of_either_generation_is_unregistered(generation: str) -> None:
    daemon = Daemon(memory_store(), generation=generation)
    async with serving(daemon):
        worker = await Worker(daemon.registry, 1).grant()
        await worker.register(channel())
        await worker.unregister(channel().id(77))
        assert daemon.list("channels") == []


# ---- fencing


async def test_a_wrong_token_is_refused_everywhere(daemon: Daemon, worker: Worker) -> None:
    await worker.register(endpoint())
    thief = Worker(daemon.registry, 0x1A, token="guessed")
    thief.sequence = 1000
    for attempt in (
        lambda: thief.register(endpoint(address="h:1/x")),
        lambda: thief.unregister(endpoint()),
        lambda: daemon.registry.keep_alive(0x1A, "guessed"),
        lambda: daemon.registry.revoke(0x1A, "guessed", Cause.UNREGISTERED),
    ):
        with pytest.raises(LeaseExpiredError, match="process 1a: its lease has ended"):
            await attempt()
    with pytest.raises(AlreadyExistsError, match="held by another process"):
        await thief.grant()
    assert [str(i.id) for i in daemon.list("endpoints")] == ["endpoints/prod/vllm/generate/1a"]


@pytest.mark.parametrize("was_there", [True, False])
async def test_a_copy_of_a_registration_after_the_unregister_is_refused(
    daemon: Daemon, worker: Worker, *, was_there: bool
) -> None:
    delayed = worker.caller()
    if was_there:
        await daemon.registry.register(delayed, [endpoint()])
    await worker.unregister(endpoint())
    with pytest.raises(StaleRequestError, match="request 1 of process 1a: overtaken by request 2"):
        await daemon.registry.register(delayed, [endpoint()])
    assert daemon.list("endpoints") == []


async def test_a_copy_of_an_unregister_after_a_registration_is_refused(
    daemon: Daemon, worker: Worker
) -> None:
    await worker.register(endpoint())
    delayed = worker.caller()
    await daemon.registry.unregister(delayed, [endpoint().id(0x1A)])
    await worker.register(endpoint())
    with pytest.raises(StaleRequestError):
        await daemon.registry.unregister(delayed, [endpoint().id(0x1A)])
    assert len(daemon.list("endpoints")) == 1


async def test_a_delayed_update_is_refused_after_the_old_value_was_confirmed(
    daemon: Daemon, worker: Worker
) -> None:
    """Found in review: registering what is there already was not noted, so the copy won.

    A client that gives up on an update registers the former value again.
    """
    await worker.register(endpoint())
    delayed = worker.caller()
    await worker.register(endpoint())
    with pytest.raises(StaleRequestError):
        await daemon.registry.register(delayed, [endpoint(address="h:1/x")])
    (instance,) = daemon.list("endpoints")
    assert instance.transport == endpoint().transport  # type: ignore[union-attr]


async def test_a_request_that_was_refused_may_be_sent_again(daemon: Daemon, worker: Worker) -> None:
    caller = worker.caller()
    with pytest.raises(InvalidArgumentError):
        await daemon.registry.register(caller, [])
    await daemon.registry.register(caller, [endpoint()])


async def test_concurrent_requests_of_a_process_are_carried_out_in_order(
    daemon: Daemon, worker: Worker
) -> None:
    async with asyncio.TaskGroup() as group:
        for number in range(20):
            group.create_task(worker.register(endpoint(address=f"h:{number}/x")))
            group.create_task(worker.unregister(endpoint()))
    assert daemon.list("endpoints") == []
    record = [e.revision for e in daemon.events]
    assert len(record) == 40


async def test_a_guard_that_always_fails_ends_in_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    daemon = Daemon(memory_store())
    async with serving(daemon):
        worker = await Worker(daemon.registry, 1).grant()
        await worker.register(endpoint())
        monkeypatch.setattr("discovery.registry.AtRevision", lambda key, _: _impossible(key))
        with pytest.raises(UnavailableError, match="lost 64 times to others"):
            await worker.register(endpoint(address="h:1/x"))


def _impossible(key: str) -> object:
    from discovery.store import AtRevision  # noqa: PLC0415 - the one that is not patched

    return AtRevision(key, 999_999)


async def test_a_daemon_that_cannot_catch_up_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    daemon = Daemon(memory_store())
    async with serving(daemon):
        worker = Worker(daemon.registry, 1)
        monkeypatch.setattr(daemon.replica, "reached", lambda _: asyncio.sleep(1e6))
        with pytest.raises(UnavailableError, match="could not catch up with its store within 1 s"):
            await daemon.registry.keep_alive(1, worker.token)


async def test_a_session_that_cannot_be_read_is_nobodys(daemon: Daemon) -> None:
    await daemon.store.commit([Put("session/5", b"junk")])
    with pytest.raises(InternalError, match="not a session record"):
        await daemon.registry.register(Caller(5, "token", 1), [endpoint()])


async def test_no_turn_is_left_taken(daemon: Daemon, worker: Worker) -> None:
    await worker.register(endpoint(), model("m"))
    with pytest.raises(StaleRequestError):
        await daemon.registry.register(Caller(0x1A, worker.token, 1), [model("n")])
    assert len(daemon.registry.turns) == 0


# ---- retain


async def test_what_is_not_retained_goes_at_one_revision(daemon: Daemon, worker: Worker) -> None:
    await worker.register(endpoint(), model("m"), channel())
    other = await Worker(daemon.registry, 2).grant()
    await other.register(endpoint())
    kept = endpoint().id(0x1A)
    revision = await daemon.registry.retain(worker.caller(), [kept, model("gone").id(0x1A)])
    assert [str(i.id) for i in daemon.list("endpoints")] == [str(kept), str(endpoint().id(2))]
    assert [str(i.id) for i in daemon.list("models")] == [str(model("m").id(0x1A))]
    assert daemon.list("channels") == []
    removals = [event for event in daemon.events if event.revision == revision]
    assert [c.cause for event in removals for c in event.changes] == [Cause.UNREGISTERED]


async def test_what_is_pending_is_not_retained() -> None:
    daemon = Daemon(GuardlessStore())
    async with serving(daemon):
        worker = await Worker(daemon.registry, 0x1A).grant()
        await daemon.store.commit([Put("pending/v1/mdc/prod/vllm/generate/1a", b"{}", 0x1A)])
        await daemon.registry.retain(worker.caller(), [model("m").id(0x1A)])
        assert (await daemon.store.snapshot("pending/")).entries == []


async def test_retaining_fences_off_older_copies(daemon: Daemon, worker: Worker) -> None:
    late = worker.caller()
    await daemon.registry.retain(worker.caller(), [])
    with pytest.raises(StaleRequestError):
        await daemon.registry.register(late, [endpoint()])
    with pytest.raises(StaleRequestError):
        await daemon.registry.retain(late, [])


async def test_what_a_late_copy_put_there_after_the_retention_of_another_goes(
    daemon: Daemon, worker: Worker
) -> None:
    """Found by seed 1795252277: what was there at the first retention of all was what went."""
    other = await Worker(daemon.registry, 2).grant()
    await daemon.registry.retain(other.caller(), [])
    await worker.register(endpoint())
    await daemon.registry.retain(worker.caller(), [])
    assert daemon.list("endpoints") == []


async def test_what_changed_hands_stays(daemon: Daemon, worker: Worker) -> None:
    other = await Worker(daemon.registry, 2).grant()
    await worker.register(channel())
    await daemon.registry.retain(other.caller(), [])
    await worker.unregister(channel().id(77))
    await other.register(channel())
    await daemon.registry.retain(worker.caller(), [])
    assert len(daemon.list("channels")) == 1
