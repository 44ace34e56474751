"""Daemons: the real `Core`, started, paused, killed and started again, on a store of the world."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from discovery import core
from discovery.errors import UnavailableError
from discovery.settings import DaemonSettings, LeaseSettings, WatchSettings
from discovery.stores.memory import MemoryStore
from tests.simulation.guardless import GuardlessMemoryStore
from tests.simulation.loop import Process
from tests.simulation.storing import Way
from transports.codec import MSGPACK
from transports.frame import unpack

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from discovery.store import Store
    from tests.simulation.storing import Server
    from tests.simulation.world import World
    from transports.address import Address

TTL_S = 6.0
RECOVERY_S = TTL_S + 1.0


class Daemon:
    """One address: whatever daemon lives there now."""

    def __init__(self, world: World, index: int) -> None:
        self.world, self.index = world, index
        rng = world.own_rng(f"daemon/{index}")
        self.lives = 0
        self.sizes = {
            "window_beats": rng.choice((2, 3, 5)),
            "history_revisions": rng.choice((0, 2, 16, 1000)),
            "chunk_bytes": rng.choice((200, 600, 1 << 18)),
            "snapshot_bytes_per_s": rng.choice((3_000, 1 << 26)),
        }
        self.part_bytes = rng.choice((150, 400, 1 << 18))
        self.process = Process(f"daemon {index}")
        self.process.is_dead = True
        self.core: core.Core | None = None
        self.up_since = 0.0
        self._way: Way | None = None

    @property
    def is_serving(self) -> bool:
        return self.core is not None and self.process.is_running

    @property
    def serving_since(self) -> float:
        """Since when it has been up and reached its store; that may be a time to come.

        Found by seed 1795258696: a cut that ends early, as the world calms down, counts no longer.
        """
        return max(self.up_since, self._way.cut_until if self._way else 0.0)

    def start(self) -> None:
        """Begin a life: empty, or with what the store has."""
        world = self.world
        self.lives += 1
        name = f"daemon {self.index}.{self.lives}"
        rng = world.own_rng(f"daemon/{self.index}/{self.lives}/clock")
        zero_s, rate = rng.uniform(0, 1000), world.clock_rate(rng)
        self.process = Process(name, zero_s=zero_s, rate=rate)
        self.core = None
        world.trace(name, "starts")
        self.process.run(self._live)

    def _live(self) -> None:
        world, process = self.world, self.process
        settings = DaemonSettings(
            lease=LeaseSettings(recovery_s=RECOVERY_S), watch=WatchSettings(**self.sizes)
        )
        store = self._shared_store(world.server) if world.server else self._own_store()
        rng = world.own_rng(f"daemon/{self.index}/{self.lives}")
        made = _core_over(store, settings, rng, lambda: int(world.now * 1000))
        made.feed._part_bytes = self.part_bytes

        async def live() -> None:
            try:
                async with made:
                    made.publish_on(_Publisher(self))
                    if process is self.process:
                        self.core, self.up_since = made, world.now
                    await world.for_ever()
            except UnavailableError:
                if self.core is made:
                    raise
                self._start_again(process)
                await world.for_ever()

        world.live(process, live())

    def _shared_store(self, server: Server) -> Store:
        way = self._way = Way(server, self)
        others = [other for other in server.ways if other.daemon is not self]
        server.ways = sorted([*others, way], key=lambda w: w.daemon.index)
        return way

    def _own_store(self) -> Store:
        world, rng = self.world, self.world.own_rng(f"memory/{self.lives}")
        make = GuardlessMemoryStore if world.is_guardless else MemoryStore
        store = make(history_revisions=400, rng=rng)
        world.truth.begin(store)
        self.process.after = world.truth.note
        return store

    def _start_again(self, process: Process) -> None:
        """It did not get as far as serving; whoever watches over it starts it anew."""
        self.world.count("daemons not started")
        process.is_dead = True
        self.world.loop.at(0.5, lambda: self.start() if process is self.process else None)

    def kill(self, *, down_s: float, is_polite: bool = False) -> None:
        """End this life at once; another one begins later."""
        world, process = self.world, self.process
        if self.core is None or process.is_dead:
            return
        world.count("goodbyes" if is_polite else "daemon crashes")
        world.trace(process.name, "says goodbye and stops" if is_polite else "crashes")
        if is_polite and process.is_running:
            self.process.run(self.core.say_goodbye)
        process.is_dead, process.is_paused, self.core = True, False, None
        world.loop.at(down_s, lambda: self.start() if process is self.process else None)

    def pause(self, for_s: float) -> None:
        """Stand still, as if stopped by SIGSTOP."""
        process = self.process
        if not self.is_serving:
            return
        self.world.count("daemon pauses")
        self.world.trace(process.name, f"stands still for {for_s:.2f} s")
        process.is_paused = True
        self.world.loop.at(for_s, lambda: self._resume(process))

    def _resume(self, process: Process) -> None:
        if not process.is_dead:
            self.world.trace(process.name, "goes on")
            self.up_since = self.world.now
            self.world.loop.resume(process)

    def handle(self, data: bytes, reply: Callable[[bytes], None]) -> None:
        """Take in a request, within the daemon's process."""
        if not self.core or self.world.is_over:
            return
        truth, asked_at = self.world.truth, self.world.truth.position

        def check(payload: bytes) -> None:
            if b"lease_expired" in payload:  # else it need not be read here
                answer: Any = unpack(payload)[1]
                if answer.get("error", {}).get("type") == "lease_expired":
                    truth.check_loss(self.process.name, unpack(data)[1], asked_at)
            reply(payload)

        self.core.handler("memory://events")(data, check)


class _Publisher:
    """Brings what a daemon publishes to those who listen to its address."""

    rejected = 0

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon

    @property
    def address(self) -> Address:
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None: ...

    def has_subscribers(self, prefix: str) -> bool:
        return f"/{MSGPACK.name}/" in prefix

    def publish(self, topic: str, payload: bytes) -> None:
        """Send to each router that listens, by its own link."""
        daemon = self._daemon
        for router in daemon.world.routers:
            if router.listens(daemon.index, topic):
                router.link.carry(
                    "events",
                    lambda r=router: r.on_message(topic, payload),  # type: ignore[misc]
                    router.process,
                )


def _core_over(
    store: Store, settings: DaemonSettings, rng: random.Random, now_ms: Callable[[], int]
) -> core.Core:
    """Return a core over a store that no URL names."""
    original = core.open_store
    core.open_store = lambda *_, **__: store
    try:
        return core.Core(settings, rng=rng, now_ms=now_ms)
    finally:
        core.open_store = original
