from __future__ import annotations

import random

from discovery.core import Core
from discovery.messages import BEAT_TOPIC, beat_from_wire
from discovery.settings import DaemonSettings
from discovery.store import Put
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
