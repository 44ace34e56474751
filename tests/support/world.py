"""A small fleet under a seeded scheduler and a virtual clock, around the real feed and follower.

Standard library only. What happens depends on the seed alone; `World(seed).run()` returns what was
broken, as sentences. Messages pass as values; their bytes are tested elsewhere.
"""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

from discovery.events import Cause
from tests.support.keystate import KeyState, model_key, name_of, scope_of
from tests.support.serving import RECOVERY_S, Daemon
from tests.support.watching import Watcher
from tests.support.working import TTL_S, Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


CALM_S = 16.0  # from the end of all faults and changes to the end: one recovery, one audit, 2 beats
END_S = 44.0


@dataclass
class Odds:
    """How unkind this world is."""

    drop: float
    twice: float
    late: float
    corrupt: float
    burst: float


class World:
    """One store, its daemons, workers, foreign writers and watchers."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.rng = random.Random(seed)
        self.now = 0.0
        self.broken: list[str] = []
        self.counts: dict[str, int] = {}
        self._queue: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = count()
        rng = self.rng
        self.is_durable = rng.random() < 0.6
        self.is_broadcast = self.is_durable and rng.random() < 0.5  # all daemons reach everybody
        self.odds = Odds(
            drop=rng.choice((0.0, 0.01, 0.05, 0.15)),
            twice=rng.choice((0.0, 0.02, 0.1)),
            late=rng.choice((0.0, 0.0, 0.05, 0.2)),
            corrupt=rng.choice((0.0, 0.0, 0.0, 0.03)),
            burst=rng.choice((0.0, 0.3)),
        )
        self.store = KeyState()
        self.lost_on_purpose: dict[str, float] = {}
        """When each key was last withdrawn by its owner's will or fault."""
        self.deaf_until = 0.0
        self.daemons = [Daemon(self, i) for i in range(2 if self.is_durable else 1)]
        self.workers = [Worker(self, owner) for owner in range(1, 6)]
        self.watchers = [Watcher(self, i) for i in range(4)]

    # ---- time

    def at(self, delay_s: float, do: Callable[[], None]) -> None:
        heapq.heappush(self._queue, (self.now + delay_s, next(self._numbers), do))

    def every(self, interval_s: float, do: Callable[[], None], first_s: float = 0.0) -> None:
        def again() -> None:
            self.at(interval_s, again)
            do()

        self.at(first_s, again)

    @property
    def is_calm(self) -> bool:
        return self.now >= END_S - CALM_S

    def run(self) -> list[str]:
        """Return what was broken, the first of each kind."""
        for daemon in self.daemons:
            daemon.start()
            daemon.recovering_until = 0.0  # nobody came from before
        self.every(0.1, self._expire)
        self._plan_faults()
        while self._queue[0][0] < END_S and not self.broken:
            self.now, _, do = heapq.heappop(self._queue)
            do()
        if not self.broken:
            for watcher in self.watchers:
                watcher.check_end()
        return self.broken

    def blame(self, kind: str, text: str) -> None:
        self.broken.append(f"{kind}: seed {self.seed} at {self.now:.3f}: {text}")

    def note(self, what: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1

    def chance(self, p: float) -> bool:
        return not self.is_calm and self.rng.random() < p

    def lossy(self, watcher: Watcher) -> bool:
        """Say whether a message to or from `watcher` is lost now."""
        is_cut = self.now < max(self.deaf_until, watcher.cut_until)
        if is_cut or self.chance(self.odds.drop):
            self.note("lost")
            return True
        return False

    def _plan_faults(self) -> None:
        rng = self.rng
        for _ in range(rng.choice((0, 1, 1, 2))):
            self._some_time(rng.choice(self.daemons).crash, 8)
        for _ in range(rng.choice((0, 1, 2))):
            self._some_time(rng.choice(self.daemons).pause, 8)
        if self.is_durable:
            for _ in range(rng.choice((0, 2, 4, 8))):
                self._some_time(rng.choice(self.daemons).stall, 8)
        for worker in self.workers:
            self._maybe(0.3, worker.crash, 4)
            self._maybe(0.3, worker.pause, 8)
        for watcher in self.watchers:
            self._maybe(0.4, watcher.cut_off, 14)
        self._maybe(0.5 if self.is_durable else 0.0, self._restore, 4)
        self._maybe(0.35, self._outage, 17)
        if self.odds.burst:
            self.every(rng.uniform(2, 6), self._burst)
        if rng.random() < 0.4:
            self.every(rng.uniform(1, 4), self._meddle)

    def _maybe(self, p: float, do: Callable[[], None], takes_s: float) -> None:
        if self.rng.random() < p:
            self._some_time(do, takes_s)

    def _some_time(self, do: Callable[[], None], takes_s: float) -> None:
        """Do it while there are faults, so that it can be over by the end of them."""
        self.at(self.rng.uniform(4, END_S - CALM_S - takes_s), do)

    def _outage(self) -> None:
        for daemon in self.daemons:
            daemon.pause(self.rng.uniform(TTL_S / 2, TTL_S + 2))
        if self.rng.random() < 0.6:  # and somebody hears of it only when all is over
            self.rng.choice(self.watchers).cut_off(TTL_S + 2 + RECOVERY_S)

    def _restore(self) -> None:
        """The store comes back from a backup; its daemons notice later, one by one."""
        self.note("restore")
        for key in self.store.restore(self.now, self.rng.randrange(4)):
            self.lost_on_purpose[key] = self.now
        for daemon in self.daemons:
            self.at(self.rng.uniform(0.1, 6), daemon.find_restored)

    def _burst(self) -> None:
        if not self.is_calm:
            self.deaf_until = self.now + self.rng.uniform(0.1, 1.5)

    def _meddle(self) -> None:
        """A foreign writer puts, changes or deletes a model without asking anybody."""
        is_away = not self.is_durable and not self.daemons[0].is_serving
        if self.is_calm or is_away:
            return
        self.note("foreign")
        key = model_key(self.place(), self.rng.randrange(100, 103))
        text = f"{self.rng.choice('AB')}#{next(self._numbers)}"
        self.commit({key: text if self.rng.random() < 0.6 else None})

    # ---- the store

    def place(self) -> tuple[str, str, str]:
        """Return an endpoint; models crowd on few."""
        rng = self.rng
        return ("n", rng.choice("ab"), rng.choice("cd"))

    def commit(
        self,
        texts: Mapping[str, str | None],
        *,
        owner: int | None = None,
        cause: Cause | None = None,
        is_meant: bool = True,
    ) -> None:
        before = self.store.line.moments[-1].visible
        names = {key: name_of(e) for key, e in before.items() if scope_of(key)[0] == "models"}
        step = self.rng.choice((1, 1, 1, 3))
        batch = self.store.commit(self.now, step, texts, owner=owner, cause=cause)
        if batch is None:
            return
        after = self.store.line.moments[-1].visible
        for key in before:
            renamed = key in names and key in after and name_of(after[key]) != names[key]
            if renamed or (key not in after and (is_meant or key not in texts)):
                self.lost_on_purpose[key] = self.now
        for daemon in self.daemons:
            daemon.from_store(batch)

    def _expire(self) -> None:
        if not self.is_durable and not self.daemons[0].is_serving:
            return
        for owner, deadline in list(self.store.leases.items()):
            if deadline < self.now:
                del self.store.leases[owner]
                self.note("expired")
                keys = dict.fromkeys(self.store.keys_of(owner))
                is_meant = not self.workers[owner - 1].is_loyal
                self.commit(keys, owner=owner, cause=Cause.LEASE_EXPIRED, is_meant=is_meant)
