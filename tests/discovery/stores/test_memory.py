from __future__ import annotations

import asyncio
import logging
import random
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from discovery.errors import InvalidArgumentError, LeaseExpiredError
from discovery.events import Cause
from discovery.store import Put
from discovery.stores import open_store
from tests.support.stores import memory_store

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from discovery.stores.memory import MemoryStore

pytestmark = pytest.mark.looptime


@asynccontextmanager
async def opened() -> AsyncGenerator[MemoryStore]:
    async with memory_store() as store:
        yield store


def stand_still(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Let time pass without anything being run."""
    loop = asyncio.get_running_loop()
    time = loop.time
    monkeypatch.setattr(loop, "time", lambda: time() + seconds)


def timers() -> int:
    loop = asyncio.get_running_loop()
    return sum(not handle.cancelled() for handle in loop._scheduled)  # type: ignore[attr-defined]


async def test_without_leases_there_is_no_timer() -> None:
    async with opened() as store:
        before = timers()
        await store.commit([Put("a/1", b"")])
        await store.snapshot("")
        assert timers() == before


async def test_any_number_of_leases_has_one_timer() -> None:
    async with opened() as store:
        before = timers()
        for lease_id in range(1000):
            await store.grant(lease_id, 10 + lease_id % 7)
            await store.keep_alive(lease_id)
        assert timers() == before + 1


@pytest.mark.parametrize("is_revoked", [True, False])
async def test_the_timer_ends_with_the_last_lease(*, is_revoked: bool) -> None:
    async with opened() as store:
        before = timers()
        for lease_id in (1, 2):
            await store.grant(lease_id, 10)
        if is_revoked:
            await store.revoke(1, Cause.REVOKED)
            assert timers() == before + 1
            await store.revoke(2, Cause.REVOKED)
        else:
            await asyncio.sleep(11)
        assert timers() == before


async def test_closing_ends_the_timer() -> None:
    before = timers()
    async with opened() as store:
        await store.grant(1, 10)
    assert timers() == before


@pytest.mark.parametrize("call", ["look", "keep_alive", "commit", "snapshot", "grant"])
async def test_standing_still_gives_everyone_a_full_ttl_whoever_notices_it(
    call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened() as store:
        for lease_id in (1, 2):
            await store.grant(lease_id, 10)
            await store.commit([Put(f"a/{lease_id}", b"", lease_id)])
        await asyncio.sleep(5)
        stand_still(monkeypatch, 100)
        match call:
            case "look":
                await asyncio.sleep(0.1)
            case "keep_alive":
                await store.keep_alive(1)
            case "commit":
                await store.commit([Put("a/3", b"", 1)])
            case "snapshot":
                await store.snapshot("")
            case "grant":
                await store.grant(3, 10)
        await asyncio.sleep(9.5)
        assert store.pauses == 1
        for lease_id in (1, 2):
            await store.keep_alive(lease_id)


async def test_a_pause_is_logged_with_its_length(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened() as store:
        await store.grant(1, 10)
        stand_still(monkeypatch, 100)
        await store.snapshot("")
    (record,) = [r for r in caplog.records if r.levelno == logging.WARNING]
    assert record.late_s == pytest.approx(99, abs=1)  # type: ignore[attr-defined]


@pytest.mark.parametrize("lease_ids", [[], [1]])
async def test_time_without_leases_is_not_standing_still(
    lease_ids: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found in review: the end of the last lease left the time of the last look behind."""
    async with opened() as store:
        for lease_id in lease_ids:
            await store.grant(lease_id, 1)
        await asyncio.sleep(2)
        stand_still(monkeypatch, 100)
        await store.snapshot("")
        assert store.pauses == 0


async def test_a_store_that_is_closed_counts_no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened() as store:
        await store.grant(1, 10)
    stand_still(monkeypatch, 100)
    await store.snapshot("")
    assert store.pauses == 0


async def test_a_little_delay_is_not_standing_still(monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened() as store:
        await store.grant(1, 1)
        stand_still(monkeypatch, 1.3)
        with pytest.raises(LeaseExpiredError):
            await store.keep_alive(1)
        assert store.pauses == 0


async def test_each_store_has_an_epoch_of_its_own() -> None:
    assert len({memory_store(seed=seed).epoch for seed in range(10)}) == 10


async def test_many_leases_end_in_the_order_of_their_deadlines() -> None:
    async with opened() as store:
        rng = random.Random(4)
        ttls = {lease_id: rng.randrange(5, 50) for lease_id in range(1, 200)}
        for lease_id, ttl_s in ttls.items():
            await store.grant(lease_id, ttl_s)
            await store.commit([Put(f"a/{lease_id}", b"", lease_id)])
        start = (await store.snapshot("")).revision
        async with store.watch("", start) as watch:
            await asyncio.sleep(60)
            ended = [int(batch.changes[0].key[2:]) for batch in watch.ready()]
        assert ended == sorted(ttls, key=lambda lease_id: (ttls[lease_id], lease_id))


async def test_a_store_is_opened_by_url() -> None:
    async with open_store("memory://", history_revisions=10, rng=random.Random(1)) as store:
        assert store.has_guards


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("file:///tmp", "'file' does not exist in this version"),
        ("kubernetes://ns", "'kubernetes' does not exist in this version"),
        ("redis://localhost", "'redis' is unknown"),
        ("memory", "expected memory://"),
    ],
)
def test_a_store_that_does_not_exist_is_refused_by_name(url: str, why: str) -> None:
    with pytest.raises(InvalidArgumentError, match=why):
        open_store(url, history_revisions=10, rng=random.Random(1))
