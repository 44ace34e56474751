"""The registry on a real etcd: contenders, fences, and who may end whose lease."""

from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from discovery.errors import LeaseExpiredError, ModelConflictError, StaleRequestError
from discovery.events import Cause
from discovery.operations import Operations
from discovery.stores.etcd.store import EtcdStore
from tests.support.registries import Daemon, Worker
from tests.support.sample_specs import endpoint, model
from tests.support.stores import SteppedStore

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from tests.support.etcd import Etcd

IDS = iter(range(0x5EED_0000, 0x5EED_FFFF))  # leases are etcd's, whatever the registry


@asynccontextmanager
async def daemons(etcd: Etcd, count: int) -> AsyncGenerator[list[tuple[Daemon, SteppedStore]]]:
    """Daemons on one registry, each with a connection of its own that a test may hold up."""
    url = etcd.own_url()
    async with AsyncExitStack() as stack:
        nodes = []
        for _ in range(count):
            store = EtcdStore(url, most_waiting=1000, rng=random.Random())
            way = SteppedStore(await stack.enter_async_context(store))
            node = Daemon(way)  # type: ignore[arg-type]
            await stack.enter_async_context(node.replica)
            nodes.append((node, way))
        yield nodes


def worker(node: Daemon) -> Worker:
    return Worker(node.registry, next(IDS))


async def test_of_64_conflicting_registrations_at_once_one_is_done(etcd: Etcd) -> None:
    async with daemons(etcd, 1) as [(node, _)]:
        workers = [await worker(node).grant() for _ in range(64)]
        won: list[str] = []
        lost: list[ModelConflictError] = []

        async def contend(number: int, one: Worker) -> None:
            try:
                await one.register(endpoint(), model(f"m{number}"))
                won.append(f"m{number}")
            except ModelConflictError as error:
                lost.append(error)

        async with asyncio.TaskGroup() as group:
            for number, one in enumerate(workers):
                group.create_task(contend(number, one))
        assert len(won) == 1
        assert {error.incumbent for error in lost} == set(won)
        assert [one.display_name for one in node.list()] == won  # type: ignore[union-attr]
        assert len(node.list("endpoints")) == 1


async def test_hundreds_of_records_of_a_process_can_be_taken_away(etcd: Etcd) -> None:
    """etcd takes 128 operations in a request."""
    async with daemons(etcd, 1) as [(node, _)]:
        one = await worker(node).grant(60.0)
        for start in range(0, 240, 60):
            await one.register(*(endpoint(f"e{n}") for n in range(start, start + 60)))
        kept = endpoint("e7").id(one.instance_id)
        await node.registry.retain(one.caller(), [kept])
        assert [i.id for i in node.list("endpoints")] == [kept]
        for start in range(0, 240, 60):
            await one.register(*(endpoint(f"e{n}") for n in range(start, start + 60)))
        assert await Operations(node.registry, node.replica).drain(one.instance_id) == 240
        assert node.list("endpoints") == []


async def test_what_is_answered_is_listed_at_once(etcd: Etcd) -> None:
    async with daemons(etcd, 1) as [(node, _)]:
        one = await worker(node).grant()
        for number in range(20):
            await one.register(endpoint(f"e{number}"))
            assert len(node.list("endpoints")) == number + 1


async def test_a_registration_delayed_in_a_stalled_daemon_leaves_no_ghost(etcd: Etcd) -> None:
    async with daemons(etcd, 2) as [(stalled, way), (other, _)], asyncio.TaskGroup() as group:
        one = await worker(stalled).grant()
        goes_on, arrived = asyncio.Event(), asyncio.Event()

        async def stall(call: str) -> None:
            if call == "commit":
                arrived.set()
                await goes_on.wait()

        way.before = stall
        late = group.create_task(refused(one.register(endpoint()), StaleRequestError))
        await arrived.wait()
        one.at(other)
        await one.register(endpoint())
        await one.unregister(endpoint())
        goes_on.set()
        await late
        for node in (stalled, other):
            await node.replica.reached(await other.store.commit([]))
            assert node.list("endpoints") == []


async def refused(work: object, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        await work  # type: ignore[misc]


async def test_an_old_process_neither_renews_nor_ends_its_successors_lease(etcd: Etcd) -> None:
    """It was stopped for longer than its TTL, and another took its id meanwhile."""
    async with daemons(etcd, 2) as [(node, _), (other, _)]:
        old = await worker(node).grant()
        await old.register(endpoint())
        await other.registry.revoke(old.instance_id, old.token, Cause.LEASE_EXPIRED)
        successor = Worker(other.registry, old.instance_id, "token of the successor")
        await successor.grant()
        await successor.register(endpoint())
        for place in (node, other):
            old.at(place)
            for work in (
                place.registry.keep_alive(old.instance_id, old.token),
                place.registry.revoke(old.instance_id, old.token, Cause.UNREGISTERED),
                old.register(model("m")),
                old.unregister(endpoint()),
            ):
                await refused(work, LeaseExpiredError)
            assert len(place.list("endpoints")) == 1
        await other.registry.keep_alive(successor.instance_id, successor.token)


async def test_a_lagging_daemon_does_not_end_a_successors_lease_either(etcd: Etcd) -> None:
    """What it decides on is guarded by the session as it last saw it."""
    async with daemons(etcd, 2) as [(lagging, way), (other, _)]:
        old = await worker(lagging).grant()
        way.hold()
        await other.replica.reached(await other.store.commit([]))
        await other.registry.revoke(old.instance_id, old.token, Cause.UNREGISTERED)
        successor = Worker(other.registry, old.instance_id, "token of the successor")
        await successor.grant()
        async with asyncio.TaskGroup() as group:
            late = group.create_task(
                refused(
                    lagging.registry.revoke(old.instance_id, old.token, Cause.UNREGISTERED),
                    LeaseExpiredError,
                )
            )
            await asyncio.sleep(0.1)  # it has been refused by the guard, and waits to catch up
            assert not late.done()
            way.release()
        await other.registry.keep_alive(successor.instance_id, successor.token)
