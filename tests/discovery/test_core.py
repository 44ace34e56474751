from __future__ import annotations

import asyncio
import random

import pytest

from discovery.core import Core
from discovery.messages import BEAT_TOPIC, beat_from_wire
from discovery.settings import DaemonSettings
from discovery.store import Put
from discovery.stores.memory import MemoryStore
from transports.frame import unpack


class Heard:
    """A publisher that keeps what it is given."""

    def __init__(self) -> None:
        self.beats = []

    def has_subscribers(self, _prefix: str) -> bool:
        return True

    def publish(self, topic: str, payload: bytes) -> None:
        if topic.startswith(BEAT_TOPIC):
            self.beats.append(beat_from_wire(unpack(payload)[1]))


async def test_a_beat_is_not_behind_what_the_store_has_handed_over() -> None:
    async with Core(DaemonSettings(), rng=random.Random(1), now_ms=lambda: 0) as core:
        heard = Heard()
        core.publish_on(heard)
        revision = await core.store.commit([Put("session/1", b"{}")])
        core._beat()
        assert heard.beats[-1].head == revision


@pytest.mark.looptime
async def test_a_store_that_is_slow_to_open_is_no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = MemoryStore.__aenter__

    async def open_slowly(self: MemoryStore) -> MemoryStore:
        await asyncio.sleep(3)
        return await opened(self)

    monkeypatch.setattr(MemoryStore, "__aenter__", open_slowly)
    settings = DaemonSettings()
    async with Core(settings, rng=random.Random(1), now_ms=lambda: 0) as core:
        await asyncio.sleep(settings.lease.recovery_s - 0.1)
        assert core.recovery.is_on(core._now())  # from when workers could be heard
        await asyncio.sleep(0.2)
        assert not core.recovery.is_on(core._now())
        assert core.pauses == 0


@pytest.mark.looptime
@pytest.mark.parametrize(
    ("is_late", "told"),
    [
        (True, "stood still, recovering"),
        (False, "the store was away or stood still, recovering"),
    ],
)
async def test_a_pause_is_noticed_at_the_next_beat_and_told_by_what_stood_still(
    caplog: pytest.LogCaptureFixture, *, is_late: bool, told: str
) -> None:
    settings = DaemonSettings()
    async with Core(settings, rng=random.Random(1), now_ms=lambda: 0) as core:
        await asyncio.sleep(settings.lease.recovery_s + 1)
        assert not core.recovery.is_on(core._now())
        if is_late:
            core._beat_due -= 60
        else:
            core.store.pauses += 1
        await asyncio.sleep(settings.watch.beat_interval_s)
        assert core.recovery.is_on(core._now())
        assert core.pauses == 1
        assert caplog.messages == [told]
