"""Daemons of a story: the real `Core`, which starts, stands still, dies and starts again."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Self, cast

from discovery.errors import UnavailableError
from discovery.settings import DaemonSettings, WatchSettings
from discovery.stores.memory import MemoryStore
from tests.simulation.daemons import _core_over
from tests.simulation.loop import Process
from tests.simulation.storing import Way
from transports.codec import MSGPACK

if TYPE_CHECKING:
    from collections.abc import Callable

    from discovery.core import Core
    from discovery.store import Store
    from tests.scenarios.stage import Stage
    from tests.simulation import daemons
    from tests.simulation.storing import Server
    from transports.address import Address

_STORE_KEEPS = 1024
_CLOCKS_APART_S = 1000.0  # no two clocks show the same: nobody may compare them


class Daemon:
    """One address: whatever daemon lives there now.

    Args:
        stage: where.
        name: in the story.
        keeps: how many changes it can go back for a watcher that missed some.
        server: the store it is on; None for one in its own memory.
    """

    def __init__(
        self, stage: Stage, name: str, *, keeps: int, server: Server | None = None
    ) -> None:
        self.name = name
        self.process = Process(name)
        self._stage, self._server = stage, server
        self._settings = DaemonSettings(watch=WatchSettings(history_revisions=keeps))
        self._core: Core | None = None
        self._lives = 0
        self._noticed = (0, 0)

    # ---- what a story says of it

    def start(self) -> None:
        """Begin a life."""
        self._lives += 1
        self._noticed = (0, 0)
        zero_s = _CLOCKS_APART_S * self._lives + _CLOCKS_APART_S / 10 * len(self._stage.daemons)
        self.process = Process(self.name, zero_s=zero_s, after=self._tell)
        self.process.run(self._begin)

    def die(self) -> None:
        """End at once, without a word."""
        self.process.is_dead, self._core = True, None

    def stop(self) -> None:
        """Tell all who listen, and end."""
        if self._core:
            self.process.run(self._core.say_goodbye)
        self.die()

    def describe(self) -> None:
        """Say what it serves."""
        core = self._core
        if core is None:
            self._say("is not there")
            return
        feed = core.replica.feed
        is_recovering = self.process.run(core._is_recovering)
        state = "recovering" if is_recovering else "not recovering"
        self._say(f"serves revision {feed.mirror.revision} of {feed.epoch}, {state}")

    # ---- its life

    def _begin(self) -> None:
        stage, rng = self._stage, random.Random(f"{self.name}/{self._lives}")
        store: Store
        if self._server:
            store = Way(self._server, cast("daemons.Daemon", self))
            others = [way for way in self._server.ways if way.daemon is not store.daemon]
            self._server.ways = [*others, store]
        else:
            store = MemoryStore(history_revisions=_STORE_KEEPS, rng=rng)
        core = _core_over(store, self._settings, rng, stage.now_ms)
        stage.call(core.daemon, self.name)
        stage.loop.create_task(self._live(core))

    async def _live(self, core: Core) -> None:
        try:
            async with core:
                core.publish_on(_Publisher(self._stage, self))
                self._core = core
                feed = core.replica.feed
                self._say(f"serves revision {feed.mirror.revision} of {feed.epoch}")
                await self._stage.loop.create_future()
        except UnavailableError as error:
            self._say(f"cannot start: {error}")

    def handle(self, data: bytes, reply: Callable[[bytes], None]) -> None:
        """Take in a request, within the daemon's process."""
        if self._core:
            self._core.handler("memory://events")(data, reply)

    def _tell(self) -> None:
        """Say what it has noticed since something of it ran last."""
        core = self._core
        if core is None:
            return
        before, self._noticed = self._noticed, (core.pauses, core.replica.relists)
        if self._noticed[0] > before[0]:
            self._say("recovers: it stood still, or was cut off from its store")
        if self._noticed[1] > before[1]:
            self._say("has lost the store's history, and loads it anew")

    def _say(self, what: str) -> None:
        self._stage.say(self.name, what)


class _Publisher:
    """Brings what a daemon publishes to those who listen to its address."""

    rejected = 0

    def __init__(self, stage: Stage, daemon: Daemon) -> None:
        self._stage, self._daemon = stage, daemon

    @property
    def address(self) -> Address:
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None: ...

    def has_subscribers(self, prefix: str) -> bool:
        return f"/{MSGPACK.name}/" in prefix

    def publish(self, topic: str, payload: bytes) -> None:
        for router in self._stage.routers:
            router.ear.send(self._daemon.name, topic, payload)
