"""One world: a store, daemons, workers, routers, a foreign writer, and all that befalls them.

What happens depends on the seed alone. `World(seed).run()` returns what was broken, as sentences.
A step is a message delivered, a timer, a fault: whatever runs on the loop. All that routers show is
checked after each step that changes it, all that the store holds after each commit.
"""

from __future__ import annotations

import logging
import random
from collections import Counter, deque
from typing import TYPE_CHECKING, Any

from discovery.store import Delete, Put
from tests.simulation.daemons import RECOVERY_S, TTL_S, Daemon
from tests.simulation.links import Odds
from tests.simulation.loop import Process, VirtualLoop
from tests.simulation.routers import Router
from tests.simulation.storing import Server, at_once
from tests.simulation.truth import Truth
from tests.simulation.workers import Worker
from tests.support.keystate import model_key, value_of

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from discovery.stores.memory import MemoryStore

STEPS = 4000
CALM_S = 22.0
"""From the end of all faults to the end: what is held, put off or late is over by then."""
_STORY_LINES = 40
_STEPS_A_WORLD = 40_000
_FOREIGN = range(0xF0, 0xF3)


class World:
    """Everything of one seed.

    Args:
        seed: decides all.
        steps: after how many no fault begins and nobody changes anything any more.
        is_traced: whether all of the story is kept, not only its end.
    """

    def __init__(self, seed: int, *, steps: int = STEPS, is_traced: bool = False) -> None:
        self.seed, self.steps = seed, steps
        self.rng = rng = random.Random(f"world {seed}")
        self.broken: list[str] = []
        self.counts: Counter[str] = Counter()
        self.story: deque[str] = deque(maxlen=None if is_traced else _STORY_LINES)
        self.loop = VirtualLoop()
        self.loop.on_fault = lambda text: self.blame("fault", text)
        self.is_over = self.is_calm = False
        self.steps_done = 0
        self.calm_at = float("inf")
        self.deaf_until = 0.0
        self.is_memory = rng.random() < 0.35
        self.is_broadcast = not self.is_memory and rng.random() < 0.4
        """What a daemon publishes reaches everybody, as on a bus."""
        self.drift = rng.choice((0.0, 0.0, 0.005))
        self.corrupt = rng.choice((0.0, 0.0, 0.0, 0.03))
        self.odds = Odds(
            drop=rng.choice((0.0, 0.0, 0.02, 0.12)),
            twice=rng.choice((0.0, 0.03, 0.1)),
            late=rng.choice((0.0, 0.0, 0.02, 0.15)),
            burst=rng.choice((0.0, 0.0, 0.3)),
        )
        self.truth = Truth(self)
        self.server: Server | None = None
        self.daemons: list[Daemon] = []
        self.workers: dict[int, Worker] = {}
        self.routers: list[Router] = []
        self.told: dict[Process, int] = {}
        """The highest revision that each daemon has told a worker of; its lists are not older."""
        self._ids: dict[int, Worker] = {}

    # ---- what all of it uses

    @property
    def now(self) -> float:
        return self.loop.now

    def chance(self, p: float) -> bool:
        return not self.is_calm and p > 0 and self.rng.random() < p

    def clock_rate(self) -> float:
        return 1.0 + self.rng.uniform(-self.drift, self.drift) if self.drift else 1.0

    def place(self, rng: random.Random) -> tuple[str, str, str]:
        """Return an endpoint; there are few, so that many meet."""
        return ("n", rng.choice("ab"), rng.choice("cd"))

    def count(self, what: str) -> None:
        self.counts[what] += 1

    def trace(self, who: str, what: str) -> None:
        self.story.append(f"{self.now:9.4f}  {who}: {what}")

    def blame(self, kind: str, text: str) -> None:
        self.broken.append(f"{kind}: seed {self.seed} at {self.now:.4f}: {text}")
        self.story.append(f"{self.now:9.4f}  BROKEN {kind}: {text}")

    def owner_of(self, key: str) -> Worker | None:
        return self._ids.get(int(key.split("/")[5], 16))

    def is_loyal(self, instance_id: int | None) -> bool:
        worker = self._ids.get(instance_id or 0)
        return worker is not None and worker.is_loyal

    def is_served(self, *, since: float) -> bool:
        """Say whether a daemon has served from then on until now."""
        return any(d.is_serving and d.serving_since <= since for d in self.daemons)

    def live(self, process: Process, coro: Coroutine[Any, Any, None]) -> None:
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

    def run(self) -> list[str]:
        """Return what was broken first; nothing is what it should be."""
        logger = logging.getLogger("discovery")
        level = logger.level
        logger.setLevel(logging.CRITICAL + 1)
        try:
            self.loop.run_until(self._is_settled_up)
            self._populate()
            self.loop.run_until(self._has_ended)
            if not self.broken:
                self._check_end()
            self._sum_up()
        finally:
            self.is_over = True
            self.loop.wind_up()
            logger.setLevel(level)
        return self.broken[:1]

    def _is_settled_up(self) -> bool:
        return True

    def _has_ended(self) -> bool:
        self.steps_done += 1
        if not self.is_calm and self.steps_done >= self.steps:
            self._calm_down()
        if self.steps_done > _STEPS_A_WORLD + 3 * self.steps:
            self.blame("livelock", f"{self.steps_done} steps")
        return bool(self.broken) or self.now >= self.calm_at + CALM_S

    def _populate(self) -> None:
        rng = self.rng
        self.loop.at(0.0, self._begin)
        self._faults = self._choose_faults(rng)

    def _begin(self) -> None:
        if not self.is_memory:
            self.server = Server(self)
            self.truth.begin(self.server.store)
        self.daemons = [Daemon(self, i) for i in range(1 if self.is_memory else 3)]
        for daemon in self.daemons:
            daemon.start()
        for index in range(4):
            self._new_worker(index, 0, None)
        self.routers = [Router(self, index, 0) for index in range(4)]
        self._every((0.05, 0.4), self._somebody_acts)
        self._every((0.5, 3.0), self._something_fails)
        self._every((0.1, 1.5), self._meddle if self.rng.random() < 0.4 else _nothing)

    def _every(self, between_s: tuple[float, float], do: Callable[[], None]) -> None:
        def again() -> None:
            if not self.is_calm:
                self.loop.at(self.rng.uniform(*between_s), again)
                do()

        self.loop.at(self.rng.uniform(*between_s), again)

    def _new_worker(self, index: int, life: int, instance_id: int | None) -> None:
        new_id = instance_id or (index + 1) + 0x100 * life
        worker = Worker(self, index, life, new_id)
        self.workers[index] = self._ids[new_id] = worker

    def _somebody_acts(self) -> None:
        self.rng.choice(list(self.workers.values())).act()

    def _meddle(self) -> None:
        """A foreign writer puts, changes or deletes a model without asking anybody."""
        owner = self.rng.choice(_FOREIGN)
        key = model_key(self.place(self.rng), owner)
        text = f"{self.rng.choice('AB')}#{self.rng.randrange(10_000)}"
        op = Put(key, value_of(key, text)) if self.rng.random() < 0.5 else Delete(key)

        def write(store: MemoryStore) -> Coroutine[Any, Any, int]:
            return store.commit([op])

        self.count("foreign writes")
        if self.server:
            if self.server.process.is_running:
                self.server.do(write)
        elif self.daemons[0].core and self.daemons[0].is_serving:
            store: Any = self.daemons[0].core.store
            self.daemons[0].process.run(lambda: at_once(write(store)))
            self.truth.note()

    # ---- faults

    def _choose_faults(self, rng: random.Random) -> list[Callable[[], None]]:
        """Return what goes wrong in this world, some of it more often."""
        kinds: list[Callable[[], None]] = [
            self._daemon_dies,
            self._daemon_stops,
            self._daemon_stands_still,
            self._worker_dies,
            self._worker_stands_still,
            self._worker_leaves,
            self._router_dies,
            self._router_stands_still,
            self._cut_a_link,
            self._cut_a_link,
            self._thief,
            self._outage,
        ]
        if self.odds.burst:
            kinds.append(self._burst)
        if not self.is_memory:
            kinds += [
                self._store_lags,
                self._store_lags,
                self._store_compacts,
                self._store_is_cut_off,
                self._store_is_away,
                self._store_loses_its_tail,
            ]
        return rng.sample(kinds, rng.randrange(1, len(kinds)))

    def _something_fails(self) -> None:
        self.rng.choice(self._faults)()

    def _for_s(self) -> float:
        """Return a time, often short, at times longer than a TTL."""
        rng = self.rng
        return rng.choice((rng.uniform(0.1, 1), rng.uniform(0.5, 4), rng.uniform(4, TTL_S + 3)))

    def _daemon(self) -> Daemon:
        return self.rng.choice(self.daemons)

    def _daemon_dies(self) -> None:
        self._daemon().kill(down_s=self.rng.uniform(0.1, 5))

    def _daemon_stops(self) -> None:
        self._daemon().kill(down_s=self.rng.uniform(0.1, 2), is_polite=True)

    def _daemon_stands_still(self) -> None:
        self._daemon().pause(self._for_s())

    def _outage(self) -> None:
        """All daemons are away at once, perhaps for longer than a TTL."""
        self.count("outages")
        for_s = self._for_s()
        for daemon in self.daemons:
            if self.rng.random() < 0.5:
                daemon.pause(for_s + self.rng.uniform(0, 0.3))
            else:
                daemon.kill(down_s=for_s + self.rng.uniform(0, 0.3))

    def _worker(self) -> Worker:
        return self.rng.choice(list(self.workers.values()))

    def _worker_dies(self) -> None:
        self._replace(self._worker(), Worker.kill)

    def _worker_leaves(self) -> None:
        self._replace(self._worker(), Worker.leave)

    def _replace(self, worker: Worker, end: Callable[[Worker], None]) -> None:
        """End a worker; another process takes its place, perhaps under the same id."""
        if not worker.process.is_running or worker.is_leaving:
            return
        worker.since.clear()
        end(worker)
        same_id = worker.instance_id if self.rng.random() < 0.5 else None
        index, life = worker.index, worker.life + 1
        self.loop.at(self.rng.uniform(0.1, 4), lambda: self._new_worker(index, life, same_id))

    def _worker_stands_still(self) -> None:
        self._worker().pause(self._for_s())

    def _thief(self) -> None:
        thief, victim = self._worker(), self._worker()
        if thief is not victim and thief.process.is_running:
            thief.process.run(thief.steal, victim.instance_id)

    def _router_dies(self) -> None:
        old = self.rng.choice(self.routers)
        if old.process.is_running:
            old.kill()
            self.routers.remove(old)
            self.routers.append(Router(self, old.index, old.life + 1))

    def _router_stands_still(self) -> None:
        self.rng.choice(self.routers).pause(self._for_s())

    def _cut_a_link(self) -> None:
        who = self.rng.choice([*self.routers, *self.workers.values()])
        ways = self.rng.choice((("there",), ("back",), ("events",), ("there", "back", "events")))
        who.link.cut(ways, self._for_s())  # type: ignore[arg-type]
        self.trace(who.process.name, f"is cut off: {', '.join(ways)}")

    def _burst(self) -> None:
        self.count("bursts")
        self.deaf_until = self.now + self.rng.uniform(0.1, 1.5)

    def _store_lags(self) -> None:
        assert self.server
        self.rng.choice(self.server.ways).stall(self._for_s())

    def _store_compacts(self) -> None:
        assert self.server
        self.trace("store", "compacts")
        self.server.compact()

    def _store_is_cut_off(self) -> None:
        assert self.server
        for way in self.rng.sample(self.server.ways, self.rng.randrange(1, 4)):
            way.cut(self._for_s())

    def _store_is_away(self) -> None:
        """The store itself stands still; its leases are the longer for it."""
        assert self.server
        server = self.server
        if not server.process.is_running:
            return
        self.count("store away")
        self.trace("store", "is away")
        server.process.is_paused = True
        self.loop.at(self._for_s(), lambda: self.loop.resume(server.process))

    def _store_loses_its_tail(self) -> None:
        assert self.server
        if self.server.process.is_running:
            self.trace("store", "loses its tail")
            self.server.lose_tail(self.rng.randrange(1, 6))

    # ---- the end

    def _calm_down(self) -> None:
        """Nothing goes wrong from now on; what is away comes back."""
        self.is_calm, self.calm_at = True, self.now
        self.trace("world", "is calm from now on")
        self.deaf_until = 0.0
        for who in [*self.routers, *self.workers.values()]:
            who.link.cut_until = {"there": 0.0, "back": 0.0, "events": 0.0}
        if self.server:
            for way in self.server.ways:
                way.cut_until = way.slow_until = 0.0

    def _check_end(self) -> None:
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
        self.counts["commits"] += sum(len(line.moments) for line in self.truth.lines.values())


def _nothing() -> None:
    """Not in this world."""


assert RECOVERY_S > TTL_S
