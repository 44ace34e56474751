"""What goes wrong in a world, and who changes what: each a disturbance with a number."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from discovery.store import Delete, Put
from discovery.stores.memory import MemoryStore
from tests.simulation.daemons import RECOVERY_S, TTL_S
from tests.simulation.routers import Router
from tests.simulation.storing import at_once
from tests.simulation.workers import Worker
from tests.support.keystate import model_key, value_of

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Coroutine

    from tests.simulation.storing import Server, Way
    from tests.simulation.world import World

    Fault = Callable[[random.Random], None]

LONGEST_AWAY_S = TTL_S + 3.3
"""The longest that anybody stands still, is dead or is cut off."""
_FOREIGN = range(0xF0, 0xF3)


class Faults:
    """Faults, actions and foreign writes of one world."""

    def __init__(self, world: World) -> None:
        self.world = world

    def plan(self) -> None:
        """Choose what goes wrong in this world, and let it begin."""
        rng, series = self.world.own_rng("faults"), self.world.disturbances.series
        kinds = self._kinds()
        chosen = rng.sample(kinds, rng.randrange(1, len(kinds)))
        series("a", (0.05, 0.4), self._somebody_acts)
        series("f", (0.5, 3.0), lambda own: own.choice(chosen)(own))
        if rng.random() < 0.4:
            series("w", (0.1, 1.5), self._meddle)
        if self.world.is_restless:
            series("r", (0.5, 2.0), self._store_compacts_behind_a_daemon)

    def _kinds(self) -> list[Fault]:
        kinds: list[Fault] = [
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
            self._cut_off_events,
            self._cut_off_events,
            self._thief,
            self._outage,
            self._outage,
        ]
        if self.world.odds.burst:
            kinds.append(self._burst)
        if not self.world.is_memory:
            kinds += [
                self._store_lags,
                self._store_lags,
                self._store_compacts,
                self._store_is_cut_off,
                self._store_is_cut_off_from_all,
                self._store_is_away,
                self._store_loses_its_tail,
            ]
        return kinds

    # ---- who changes what

    def _somebody_acts(self, rng: random.Random) -> None:
        worker = self.world.workers[rng.randrange(len(self.world.workers))]
        worker.rng = rng  # its session keeps the one that it began with
        worker.act()

    def _meddle(self, rng: random.Random) -> None:
        """A foreign writer puts, changes or deletes a model without asking anybody."""
        world = self.world
        key = model_key(world.place(rng), rng.choice(_FOREIGN))
        text = f"{rng.choice('AB')}#{rng.randrange(10_000)}"
        op = Put(key, value_of(key, text)) if rng.random() < 0.5 else Delete(key)

        def write(store: MemoryStore) -> Coroutine[Any, Any, int]:
            return MemoryStore.commit(store, [op])

        world.count("foreign writes")
        if world.server:
            if world.server.process.is_running:
                world.server.do(write)
        elif world.daemons[0].core and world.daemons[0].is_serving:
            store: Any = world.daemons[0].core.store
            world.daemons[0].process.run(lambda: at_once(write(store)))
            world.truth.note()

    # ---- daemons

    def _daemon_dies(self, rng: random.Random) -> None:
        rng.choice(self.world.daemons).kill(down_s=rng.uniform(0.1, 5))

    def _daemon_stops(self, rng: random.Random) -> None:
        rng.choice(self.world.daemons).kill(down_s=rng.uniform(0.1, 2), is_polite=True)

    def _daemon_stands_still(self, rng: random.Random) -> None:
        rng.choice(self.world.daemons).pause(_for_s(rng))

    def _outage(self, rng: random.Random) -> None:
        """All daemons are away at once, perhaps for longer than a TTL."""
        self.world.count("outages")
        for_s = rng.choice((_for_s(rng), rng.uniform(TTL_S, LONGEST_AWAY_S - 0.3)))
        pauses = rng.choice((0.0, 0.5, 1.0))
        for daemon in self.world.daemons:
            if rng.random() < pauses:
                daemon.pause(for_s + rng.uniform(0, 0.3))
            else:
                daemon.kill(down_s=for_s + rng.uniform(0, 0.3))
        if self.world.server and rng.random() < 0.5:
            self.world.loop.at(for_s + rng.uniform(0.3, 0.8), lambda: self._lag_after_all(rng))

    def _lag_after_all(self, rng: random.Random) -> None:
        """What happens while daemons recover, one of them learns when it has recovered."""
        if not self.world.is_calm:
            way, for_s = rng.choice(self._server.ways), rng.uniform(RECOVERY_S, LONGEST_AWAY_S)
            self.world.trace(way.process.name, f"lags by {for_s:.2f} s after all that")
            way.stall(for_s)

    # ---- workers

    def _worker(self, rng: random.Random) -> Worker:
        return self.world.workers[rng.randrange(len(self.world.workers))]

    def _worker_dies(self, rng: random.Random) -> None:
        self._replace(rng, Worker.kill)

    def _worker_leaves(self, rng: random.Random) -> None:
        self._replace(rng, Worker.leave)

    def _replace(self, rng: random.Random, end: Callable[[Worker], None]) -> None:
        """End a worker; another process takes its place, perhaps under the same id."""
        worker = self._worker(rng)
        if not worker.process.is_running or worker.is_leaving:
            return
        worker.since.clear()
        end(worker)
        same_id = worker.instance_id if rng.random() < 0.5 else None
        index, life = worker.index, worker.life + 1
        self.world.loop.at(rng.uniform(0.1, 4), lambda: self.world.new_worker(index, life, same_id))

    def _worker_stands_still(self, rng: random.Random) -> None:
        self._worker(rng).pause(_for_s(rng))

    def _thief(self, rng: random.Random) -> None:
        thief, victim = self._worker(rng), self._worker(rng)
        if thief is not victim and thief.process.is_running:
            thief.process.run(thief.steal, victim.instance_id)

    # ---- routers and links

    def _router_dies(self, rng: random.Random) -> None:
        index = rng.randrange(len(self.world.routers))
        old = self.world.routers[index]
        if old.process.is_running:
            old.kill()
            self.world.routers[index] = Router(self.world, old.index, old.life + 1)

    def _router_stands_still(self, rng: random.Random) -> None:
        rng.choice(self.world.routers).pause(_for_s(rng))

    def _cut_a_link(self, rng: random.Random) -> None:
        world = self.world
        who = rng.choice([*world.routers, *world.workers.values()])
        ways = rng.choice((("there",), ("back",), ("events",), ("there", "back", "events")))
        for_s = _for_s(rng)
        who.link.cut(ways, for_s)  # type: ignore[arg-type]
        world.trace(who.process.name, f"is cut off for {for_s:.2f} s: {', '.join(ways)}")

    def _cut_off_events(self, rng: random.Random) -> None:
        """A router misses a few BEATs, and hears the next before it gives its daemon up."""
        router, for_s = rng.choice(self.world.routers), rng.uniform(1.5, 3.0)
        router.link.cut(("events",), for_s)
        router.tell(f"hears nothing published for {for_s:.2f} s")

    def _burst(self, rng: random.Random) -> None:
        self.world.count("bursts")
        for_s = rng.uniform(0.1, 1.5)
        self.world.deaf_until = self.world.now + for_s
        self.world.trace("world", f"all messages of {for_s:.2f} s are lost")

    # ---- the store

    @property
    def _server(self) -> Server:
        assert self.world.server is not None
        return self.world.server

    def _store_lags(self, rng: random.Random) -> None:
        way, for_s = rng.choice(self._server.ways), _for_s(rng)
        self.world.trace(way.process.name, f"hears nothing of the store's watch for {for_s:.2f} s")
        way.stall(for_s)

    def _store_compacts(self, _: random.Random) -> None:
        self.world.trace("store", "compacts")
        self._server.compact()

    def _store_compacts_behind_a_daemon(self, rng: random.Random) -> None:
        """A daemon lags by a few commits, and then cannot have them any more."""
        way, for_s = rng.choice(self._server.ways), rng.uniform(0.3, 2.0)
        self.world.trace(way.process.name, f"lags by {for_s:.2f} s; then the store compacts")
        way.stall(for_s + 0.2)
        self.world.loop.at(for_s, lambda: None if self.world.is_calm else self._server.compact())

    def _store_is_cut_off(self, rng: random.Random) -> None:
        for way in rng.sample(self._server.ways, rng.randrange(1, 4)):
            self._cut(way, _for_s(rng))

    def _store_is_cut_off_from_all(self, rng: random.Random) -> None:
        """Nobody can renew a lease for longer than a TTL, though all daemons are well."""
        for_s = rng.uniform(TTL_S, LONGEST_AWAY_S - 1)
        for way in self._server.ways:
            self._cut(way, for_s + rng.uniform(0, 0.3))
        if rng.random() < 0.7:
            self.world.loop.at(for_s + rng.uniform(0.35, 0.6), lambda: self._lag_after_all(rng))

    def _cut(self, way: Way, for_s: float) -> None:
        self.world.trace(way.process.name, f"is cut off from the store for {for_s:.2f} s")
        way.cut(for_s)

    def _store_is_away(self, rng: random.Random) -> None:
        """The store itself stands still; its leases are the longer for it."""
        server, for_s = self._server, _for_s(rng)
        if not server.process.is_running:
            return
        self.world.count("store away")
        self.world.trace("store", f"stands still for {for_s:.2f} s")
        for daemon in self.world.daemons:
            daemon.up_since = max(daemon.up_since, self.world.now + for_s)
        server.process.is_paused = True
        self.world.loop.at(for_s, lambda: self.world.loop.resume(server.process))

    def _store_loses_its_tail(self, rng: random.Random) -> None:
        if self._server.process.is_running:
            back = rng.randrange(1, 6)
            self.world.trace("store", f"loses its last {back} commits")
            self._server.lose_tail(back)


def _for_s(rng: random.Random) -> float:
    """Return a time, often short, at times longer than a TTL."""
    return rng.choice(
        (rng.uniform(0.1, 1), rng.uniform(0.5, 4), rng.uniform(4, LONGEST_AWAY_S - 0.3))
    )
