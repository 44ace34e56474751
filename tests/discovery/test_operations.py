"""What operators do to the records of others: remove one, drain a process."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from discovery.errors import FailedPreconditionError, NotFoundError
from discovery.events import Cause
from discovery.operations import Operations
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
def operations(daemon: Daemon) -> Operations:
    return Operations(daemon.registry, daemon.replica)


@pytest.fixture
async def worker(daemon: Daemon) -> Worker:
    worker = await Worker(daemon.registry, 0x1A).grant()
    await worker.register(endpoint(), model("m"), channel())
    return worker


def keys(daemon: Daemon) -> list[str]:
    kinds = ("endpoints", "models", "channels")
    return [str(instance.id) for kind in kinds for instance in daemon.list(kind)]


async def test_a_removed_record_is_gone_and_nothing_else(
    daemon: Daemon, worker: Worker, operations: Operations
) -> None:
    revision = await operations.remove(model("m").id(0x1A))
    assert len(keys(daemon)) == 2
    assert daemon.list("models") == []
    (event,) = [event for event in daemon.events if event.revision == revision]
    assert [change.cause for change in event.changes] == [Cause.REVOKED]
    assert daemon.registry.answered == revision
    await worker.register(model("m"))  # its owner lives, and may put it back
    assert len(keys(daemon)) == 3


async def test_a_record_of_nobody_is_removed_too(daemon: Daemon, operations: Operations) -> None:
    await daemon.store.commit([Put("v1/instances/prod/vllm/generate/7", b'{"unreadable')])
    await operations.remove(endpoint().id(7))
    assert (await daemon.store.snapshot("v1/")).entries == []


@pytest.mark.usefixtures("worker")
async def test_what_is_not_there_is_not_found(operations: Operations) -> None:
    with pytest.raises(NotFoundError, match="endpoints/prod/vllm/generate/7: not registered"):
        await operations.remove(endpoint().id(7))
    with pytest.raises(NotFoundError, match="process 7: holds no lease"):
        await operations.drain(7)


async def test_a_drained_process_has_nothing_at_one_revision(
    daemon: Daemon, worker: Worker, operations: Operations
) -> None:
    other = await Worker(daemon.registry, 2).grant()
    await other.register(endpoint("other"))
    before = daemon.registry.answered
    assert await operations.drain(0x1A) == 3
    assert keys(daemon) == ["endpoints/prod/vllm/other/2"]
    events = [event for event in daemon.events if event.revision > before]
    assert len({event.revision for event in events}) == 1
    assert {change.cause for event in events for change in event.changes} == {Cause.REVOKED}
    assert await operations.drain(0x1A) == 0
    assert worker.instance_id == 0x1A


async def test_a_drained_process_registers_nothing_and_keeps_its_lease(
    daemon: Daemon, worker: Worker, operations: Operations
) -> None:
    assert not (await daemon.registry.keep_alive(0x1A, worker.token)).is_draining
    await operations.drain(0x1A)
    with pytest.raises(FailedPreconditionError, match="process 1a: draining, an operator"):
        await worker.register(endpoint())
    await worker.unregister(endpoint())
    await daemon.registry.retain(worker.caller(), [])
    assert (await daemon.registry.keep_alive(0x1A, worker.token)).is_draining
    assert (await daemon.registry.grant(0x1A, 10.0, worker.token)).is_draining


async def test_a_new_lease_is_a_fresh_start(
    daemon: Daemon, worker: Worker, operations: Operations
) -> None:
    await operations.drain(0x1A)
    await daemon.registry.revoke(0x1A, worker.token, Cause.UNREGISTERED)
    again = await Worker(daemon.registry, 0x1A, token="new").grant()
    await again.register(endpoint())
    assert len(keys(daemon)) == 1


async def test_a_registration_that_races_a_drain_is_gone_or_refused(
    daemon: Daemon, worker: Worker, operations: Operations
) -> None:
    """Whoever is first, nothing stays that was registered before the drain was answered."""
    racing = [asyncio.create_task(worker.register(endpoint(f"e{n}"))) for n in range(5)]
    drain = asyncio.create_task(operations.drain(0x1A))
    racing += [asyncio.create_task(worker.register(endpoint(f"f{n}"))) for n in range(5)]
    await drain
    assert keys(daemon) == []
    results = await asyncio.gather(*racing, return_exceptions=True)
    assert any(isinstance(result, FailedPreconditionError) for result in results)
    assert keys(daemon) == []


async def test_hundreds_of_records_are_drained(
    daemon: Daemon, worker: Worker, operations: Operations
) -> None:
    for start in range(0, 240, 60):
        await worker.register(*(endpoint(f"e{n}") for n in range(start, start + 60)))
    assert await operations.drain(worker.instance_id) == 240 + 3
    assert daemon.list("endpoints") == []


async def test_another_daemons_drain_holds_for_all(store: Store) -> None:
    here, there = Daemon(store), Daemon(store)
    async with serving(here, there):
        worker = await Worker(here.registry, 0x1A).grant()
        await worker.register(endpoint())
        assert await Operations(there.registry, there.replica).drain(0x1A) == 1
        with pytest.raises(FailedPreconditionError, match="draining"):
            await worker.register(endpoint())
        assert (await here.registry.keep_alive(0x1A, worker.token)).is_draining
