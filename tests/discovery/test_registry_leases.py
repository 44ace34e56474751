"""Leases of the registry: who holds an instance id, and what a late copy of a grant may do."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING

import pytest

from discovery.errors import (
    AlreadyExistsError,
    InvalidArgumentError,
    LeaseExpiredError,
    UnavailableError,
)
from discovery.events import Cause
from discovery.session_record import SessionRecord
from discovery.settings import LeaseSettings
from discovery.store import Delete, Put
from tests.support.registries import Daemon, Worker, serving
from tests.support.sample_specs import endpoint
from tests.support.stores import GuardlessStore, memory_store

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

pytestmark = pytest.mark.looptime


@pytest.fixture
async def daemon() -> AsyncGenerator[Daemon]:
    daemon = Daemon(memory_store())
    async with serving(daemon):
        yield daemon


@pytest.mark.parametrize("ttl_s", [0.0, -1.0, 0.99, 3600.1, math.nan, math.inf, -math.inf])
async def test_a_ttl_out_of_range_is_refused_with_the_range(daemon: Daemon, ttl_s: float) -> None:
    with pytest.raises(InvalidArgumentError, match=f"ttl_s {ttl_s!r}: expected 1 to 3600 seconds"):
        await daemon.registry.grant(1, ttl_s, "token")
    assert (await daemon.store.snapshot("")).entries == []


@pytest.mark.parametrize(("ttl_s", "renew_s"), [(1.0, 1 / 3), (9.0, 3.0), (3600.0, 10 / 3)])
async def test_renewals_are_asked_for_within_a_third_of_ttl_and_recovery(
    daemon: Daemon, ttl_s: float, renew_s: float
) -> None:
    granted = await daemon.registry.grant(1, ttl_s, "token")
    assert granted.ttl_s == ttl_s
    assert granted.renew_s == pytest.approx(renew_s)
    assert await daemon.registry.keep_alive(1, "token") == granted


async def test_without_a_recovery_the_ttl_alone_decides() -> None:
    daemon = Daemon(memory_store(), leases=LeaseSettings(recovery_s=0.0))
    async with serving(daemon):
        granted = await daemon.registry.grant(1, 3600.0, "token")
        assert granted.renew_s == 1200.0


async def test_granting_again_with_the_same_token_gives_the_same_answer(daemon: Daemon) -> None:
    worker = Worker(daemon.registry, 1)
    first = await daemon.registry.grant(1, 10.0, worker.token)
    await worker.register(endpoint())
    assert await daemon.registry.grant(1, 20.0, worker.token) == first
    assert len(daemon.list("endpoints")) == 1


async def test_granting_again_renews_the_lease(daemon: Daemon) -> None:
    await daemon.registry.grant(1, 10.0, "token")
    await asyncio.sleep(9)
    await daemon.registry.grant(1, 10.0, "token")
    await asyncio.sleep(9)
    await daemon.registry.keep_alive(1, "token")


async def test_an_id_that_lives_is_not_granted_to_another(daemon: Daemon) -> None:
    await daemon.registry.grant(1, 10.0, "token")
    with pytest.raises(AlreadyExistsError, match="instance id 1: held by another process"):
        await daemon.registry.grant(1, 10.0, "other")


async def test_of_many_who_want_an_id_at_once_one_gets_it(daemon: Daemon) -> None:
    async def grant(token: str) -> str | None:
        try:
            await daemon.registry.grant(1, 10.0, token)
        except AlreadyExistsError:
            return None
        return token

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(grant(f"token {n}")) for n in range(20)]
    (winner,) = [task.result() for task in tasks if task.result()]
    assert winner
    await daemon.registry.keep_alive(1, winner)


async def test_the_token_is_not_readable_in_the_store(daemon: Daemon) -> None:
    await daemon.registry.grant(1, 10.0, "a secret")
    (entry,) = (await daemon.store.snapshot("session/")).entries
    assert b"a secret" not in entry.value
    assert SessionRecord.decode(entry.key, entry.value).is_owned_with("a secret")


# ---- the end


@pytest.mark.parametrize("is_revoked", [True, False])
async def test_the_end_of_a_lease_takes_all_with_it(daemon: Daemon, *, is_revoked: bool) -> None:
    worker = await Worker(daemon.registry, 1).grant()
    await worker.register(endpoint())
    if is_revoked:
        revision = await daemon.registry.revoke(1, worker.token, Cause.UNREGISTERED)
        assert daemon.registry.answered == revision
    else:
        await asyncio.sleep(10.1)
    assert daemon.list("endpoints") == []
    assert (await daemon.store.snapshot("")).entries == []
    for attempt in (
        lambda: daemon.registry.keep_alive(1, worker.token),
        lambda: daemon.registry.revoke(1, worker.token, Cause.UNREGISTERED),
        lambda: worker.register(endpoint()),
        lambda: worker.unregister(endpoint()),
    ):
        with pytest.raises(LeaseExpiredError):
            await attempt()


@pytest.mark.parametrize("is_revoked", [True, False])
async def test_a_late_copy_of_a_grant_does_not_bring_the_lease_back(
    daemon: Daemon, *, is_revoked: bool
) -> None:
    """Found in review: its owner would have renewed an empty lease and believed itself listed.

    After a revoke, late copies of the grant and of a registration would have left a ghost.
    """
    worker = await Worker(daemon.registry, 1).grant()
    await worker.register(endpoint())
    if is_revoked:
        await daemon.registry.revoke(1, worker.token, Cause.UNREGISTERED)
    else:
        await asyncio.sleep(10.1)
    with pytest.raises(LeaseExpiredError):
        await daemon.registry.grant(1, 10.0, worker.token)
    with pytest.raises(LeaseExpiredError):
        await daemon.registry.keep_alive(1, worker.token)
    again = await Worker(daemon.registry, 1, token="new").grant()
    await again.register(endpoint())
    assert len(daemon.list("endpoints")) == 1


async def test_a_token_that_ended_and_lives_again_is_not_refused() -> None:
    """Found by seed 1795245243: a late copy was told that the lease is lost, which was not so."""
    store = memory_store()
    here = Daemon(store)
    async with serving(here):
        worker = await Worker(here.registry, 1).grant()
        await here.registry.revoke(1, worker.token, Cause.UNREGISTERED)
        there = Daemon(store)  # knows nothing of tokens that ended before
        async with there.replica:
            await worker.at(there).grant()
            await worker.at(here).grant()
            await here.registry.keep_alive(1, worker.token)


async def test_a_lease_that_is_granted_again_says_so(daemon: Daemon) -> None:
    """Found by seed 1795266452: its owner renewed it, and believed itself listed."""
    worker = await Worker(daemon.registry, 1).grant()
    await worker.register(endpoint())
    granted = await daemon.registry.grant(1, 10.0, worker.token)
    assert (await daemon.registry.keep_alive(1, worker.token)) == granted
    await daemon.store.revoke(1, Cause.LEASE_EXPIRED)
    there = Daemon(daemon.store)  # knows nothing of tokens that ended before
    async with there.replica:
        again = await there.registry.grant(1, 10.0, worker.token)
        assert again.since > granted.since
        assert (await there.registry.keep_alive(1, worker.token)) == again


async def test_whoever_is_told_that_the_lease_ended_can_take_the_id_at_once(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found in review: between deadline and timer its session still stood in the way."""
    worker = await Worker(daemon.registry, 1).grant()
    await asyncio.sleep(9.9)
    loop = asyncio.get_running_loop()
    time = loop.time
    monkeypatch.setattr(loop, "time", lambda: time() + 0.2)  # the timer is due, and has not run
    with pytest.raises(LeaseExpiredError):
        await daemon.registry.keep_alive(1, worker.token)
    await daemon.registry.grant(1, 10.0, "new")


# ---- grants that fail halfway


async def test_a_grant_whose_session_cannot_be_written_leaves_no_lease() -> None:
    store = GuardlessStore()
    daemon = Daemon(store)
    async with serving(daemon):
        store.fail_next_commit()
        with pytest.raises(UnavailableError):
            await daemon.registry.grant(1, 10.0, "token")
        assert not store._leases
        await daemon.registry.grant(1, 10.0, "token")


async def test_a_grant_that_cannot_be_taken_back_either_raises_the_first_error() -> None:
    store = GuardlessStore()
    daemon = Daemon(store)

    async def before(call: str) -> None:
        if call == "revoke":
            raise UnavailableError("the second")

    async with serving(daemon):
        store.before = before
        store.fail_next_commit(UnavailableError("the first"))
        with pytest.raises(UnavailableError, match="the first"):
            await daemon.registry.grant(1, 10.0, "token")


async def test_a_grant_cancelled_while_its_session_is_written_leaves_no_lease() -> None:
    store = GuardlessStore()
    daemon = Daemon(store)

    async def before(call: str) -> None:
        if call == "commit":
            await asyncio.sleep(1000)

    async with serving(daemon):
        store.before = before
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await daemon.registry.grant(1, 10.0, "token")
        assert not store._leases
        assert len(daemon.registry.turns) == 0


async def test_a_lease_that_is_nobodys_makes_its_owner_wait_not_give_up(daemon: Daemon) -> None:
    """Found in review: the owner of a grant that failed halfway was refused for good."""
    await daemon.store.grant(1, 10.0)
    with pytest.raises(UnavailableError, match="it ends by itself: try again") as caught:
        await daemon.registry.grant(1, 10.0, "token")
    assert caught.value.retryable
    await asyncio.sleep(10.1)
    await daemon.registry.grant(1, 10.0, "token")


async def test_a_foreign_session_that_ends_is_passed_over(daemon: Daemon) -> None:
    await daemon.store.commit([Put("session/9", b"junk")])
    await daemon.store.commit([Delete("session/9")])
    daemon.replica.drain()
    await daemon.registry.grant(9, 10.0, "token")
