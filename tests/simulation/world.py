"""One world: a store, daemons, workers, routers, a foreign writer, and all that befalls them.

What happens depends on the seed alone. `World(seed).run()` returns what was broken first, if
anything. A step is a message delivered, a timer, a fault: whatever runs on the loop. All that
routers show is checked after each step that changes it, all that the store holds after each commit.
"""

from __future__ import annotations

import logging
import random
from collections import Counter
from typing import TYPE_CHECKING

from tests.simulation.daemons import RECOVERY_S, TTL_S, Daemon
from tests.simulation.disturbances import Disturbances
from tests.simulation.faults import LONGEST_AWAY_S, Faults
from tests.simulation.links import odds_from
from tests.simulation.loop import Process, VirtualLoop
from tests.simulation.routers import AUDIT_S, Router
from tests.simulation.storing import Server
from tests.simulation.story import Broken, Line
from tests.simulation.truth import Truth
from tests.simulation.workers import Worker

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from collections.abc import Set as AbstractSet

STEPS = 4000
CALM_S = LONGEST_AWAY_S + RECOVERY_S + 1.0 + AUDIT_S + 1.0
"""From the end of all faults to the end, when every view equals the store: the stated bound.

Whoever was away is back; a daemon among them recovers; its next BEAT, a second later, says that it
has; a quiet scope is audited; a worker or router that had backed off asks again within a second.
"""
_STEPS_A_WORLD = 40_000


class World:
    """Everything of one seed.

    Args:
        seed: decides all.
        steps: after how many no fault begins and nobody changes anything any more.
        only: the disturbances that happen; None for all. Leaving one out changes no other.
        is_traced: whether the story is kept.
    """

    tolerance_s = 1e-6
    """How far a claim about time may be wrong."""

    def __init__(
        self,
        seed: int,
        *,
        steps: int = STEPS,
        only: AbstractSet[str] | None = None,
        is_traced: bool = False,
    ) -> None:
        self.seed, self.steps, self.is_traced = seed, steps, is_traced
        self.broken: Broken | None = None
        self.counts: Counter[str] = Counter()
        self.story: list[Line] = []
        self.loop = VirtualLoop()
        self.loop.on_fault = lambda text: self.blame("fault", text)
        self.is_over = self.is_calm = False
        self.steps_done = 0
        self.calm_at = float("inf")
        self.deaf_until = 0.0
        self._draw_kind(self.own_rng("world"))
        self.rng = self.own_rng("store")
        self.truth = Truth(self)
        self.server: Server | None = None
        self.daemons: list[Daemon] = []
        self.workers: dict[int, Worker] = {}
        self.routers: list[Router] = []
        self.told: dict[Process, int] = {}
        """The highest revision that each daemon has told a worker of; its lists are not older."""
        self.disturbances = Disturbances(self, only)
        self._ids: dict[int, Worker] = {}

    def _draw_kind(self, rng: random.Random) -> None:
        """Decide what sort of world this is."""
        self.is_memory = rng.random() < 0.35
        self.is_guardless = self.is_memory and rng.random() < 0.35
        """The store cannot guard commits: models are decided under `pending/`."""
        self.is_broadcast = not self.is_memory and rng.random() < 0.4
        """What a daemon publishes reaches everybody, as on a bus."""
        self.is_restless = not self.is_memory and rng.random() < 0.35
        """The store often compacts behind the back of a daemon that lags."""
        self.is_orderly = rng.random() < 0.25
        """Links lose and repeat nothing unless they are cut, and keep the order."""
        self.drift = rng.choice((0.0, 0.0, 0.005, 0.03))
        self.corrupt = rng.choice((0.0, 0.0, 0.0, 0.0, 0.03, 0.15))
        self.odds = odds_from(rng, is_orderly=self.is_orderly)

    # ---- what all of it uses

    @property
    def now(self) -> float:
        return self.loop.now

    def own_rng(self, name: str) -> random.Random:
        """Return a generator that nobody else draws from."""
        return random.Random(f"{self.seed}/{name}")

    def chance(self, p: float, rng: random.Random) -> bool:
        return not self.is_calm and p > 0 and rng.random() < p

    def clock_rate(self, rng: random.Random | None = None) -> float:
        return 1.0 + (rng or self.rng).uniform(-self.drift, self.drift) if self.drift else 1.0

    def place(self, rng: random.Random) -> tuple[str, str, str]:
        """Return an endpoint; there are few, so that many meet."""
        return ("n", rng.choice("ab"), rng.choice("cd"))

    def count(self, what: str) -> None:
        self.counts[what] += 1

    def trace(self, who: str, what: str) -> None:
        if self.is_traced:
            self.story.append(Line(self.now, who, what))

    def blame(self, kind: str, text: str, who: str = "") -> None:
        """Note what is broken; only what was first counts, since all else may follow from it."""
        who = who or text.split(":", maxsplit=1)[0]
        if self.broken is None:
            self.broken = Broken(kind, self.seed, self.now, who, text)
        self.trace(who, f"BROKEN {kind}: {text}")

    def owner_of(self, key: str) -> Worker | None:
        return self._ids.get(int(key.split("/")[5], 16))

    def daemon_of(self, name: str) -> str:
        """Return the name of the daemon that the process of a name talks to."""
        for router in self.routers:
            if router.process.name == name and router.listens_to is not None:
                return self.daemons[router.listens_to].process.name
        for worker in self.workers.values():
            if worker.process.name == name:
                return self.daemons[worker.daemon].process.name
        return ""

    def is_loyal(self, instance_id: int | None) -> bool:
        worker = self._ids.get(instance_id or 0)
        return worker is not None and worker.is_loyal

    def is_served(self, *, since: float) -> bool:
        """Say whether a daemon has served from then on until now."""
        return any(d.is_serving and d.serving_since <= since for d in self.daemons)

    def live(self, process: Process, coro: Coroutine[None, None, None]) -> None:
        """Run the main task of a process; it is a fault if that ends before the world does."""
        task = self.loop.create_task(coro)

        def ended(_: object) -> None:
            if not self.is_over:
                why = "cancelled" if task.cancelled() else repr(task.exception())
                self.blame("fault", f"{process.name} ended: {why}")

        task.add_done_callback(ended)

    async def for_ever(self) -> None:
        await self.loop.create_future()

    # ---- the course of things

    def run(self) -> Broken | None:
        """Return what was broken first."""
        logger = logging.getLogger("discovery")
        level = logger.level
        logger.setLevel(logging.CRITICAL + 1)
        try:
            self.loop.at(0.0, self._begin)
            self.loop.run_until(self._has_ended)
            if not self.broken:
                self._check_end()
            self._sum_up()
        finally:
            self.is_over = True
            self.loop.wind_up()
            logger.setLevel(level)
        return self.broken

    def _has_ended(self) -> bool:
        self.steps_done += 1
        if not self.is_calm and self.steps_done >= self.steps:
            self._calm_down()
        if self.steps_done > _STEPS_A_WORLD + 3 * self.steps:
            self.blame("livelock", f"{self.steps_done} steps")
        return self.broken is not None or self.now >= self.calm_at + CALM_S

    def _begin(self) -> None:
        if not self.is_memory:
            self.server = Server(self)
            self.truth.begin(self.server.store)
        self.daemons = [Daemon(self, i) for i in range(1 if self.is_memory else 3)]
        for daemon in self.daemons:
            daemon.start()
        for index in range(4):
            self.new_worker(index, 0, None)
        self.routers = [Router(self, index, 0) for index in range(4)]
        Faults(self).plan()

    def new_worker(self, index: int, life: int, instance_id: int | None) -> None:
        """Let a process take a place; what it draws at its birth, nobody else draws."""
        new_id = instance_id or (index + 1) + 0x100 * life
        shared, self.rng = self.rng, self.own_rng(f"birth/{index}/{life}")
        worker = Worker(self, index, life, new_id)
        self.rng = shared
        self.workers[index] = self._ids[new_id] = worker

    # ---- the end

    def _calm_down(self) -> None:
        """Nothing goes wrong from now on; what is away comes back."""
        self.is_calm, self.calm_at = True, self.now
        self.trace("world", "is calm from now on")
        self.deaf_until = 0.0
        for who in [*self.routers, *self.workers.values()]:
            who.link.mend()
        if self.server:
            for way in self.server.ways:
                way.cut_until = min(way.cut_until, self.now)
                way.slow_until = 0.0

    def _check_end(self) -> None:
        self.truth.check_end()
        for worker in self.workers.values():
            worker.check_end()
        for router in self.routers:
            router.check_end()

    def _sum_up(self) -> None:
        for router in self.routers:
            counters = router.follower.counters
            for name in counters.__slots__:
                self.counts[name] += getattr(counters, name)
        for daemon in self.daemons:
            if daemon.core:
                self.counts["relists"] += daemon.core.replica.relists
                self.counts["pauses noticed"] += daemon.core.pauses
        for worker in self.workers.values():
            self.counts["losses"] += worker.session.losses
        self.counts["steps"] += self.steps_done
        for kind in ("guardless", "orderly", "restless"):
            self.counts[f"{kind} worlds"] += getattr(self, f"is_{kind}")
        self.counts["commits"] += sum(len(line.moments) for line in self.truth.lines.values())


assert RECOVERY_S > TTL_S
