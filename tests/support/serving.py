"""Daemons of the small fleet: a real feed, and how it is fed, slowed down, stopped and started."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from discovery.feed import Feed
from discovery.protocol import SyncAnswer
from tests.support.working import TTL_S

if TYPE_CHECKING:
    from discovery.protocol import Beat, Event, Record, SyncRequest
    from discovery.store import Batch
    from tests.support.watching import Watcher
    from tests.support.world import World

RECOVERY_S = TTL_S + 2.0
BEAT_S = 1.0


class Daemon:
    """Feed, and how it is fed, slowed down, stopped and started."""

    def __init__(self, world: World, index: int) -> None:
        self.world, self.index = world, index
        rng = world.rng
        self.life = 0
        self.is_up = self.is_paused = False
        self.recovering_until = self.stalled_until = self.paused_at = 0.0
        self.waiting: list[tuple[float, float, Batch]] = []  # (arrives, committed, batch)
        self.clock_s = rng.uniform(-1000, 1000)
        self.is_hasty = rng.random() < 0.5  # answers even when it knows that it lags
        self.sizes = {
            "window_beats": rng.choice((2, 3, 5)),
            "ring_changes": rng.choice((0, 3, 10, 1000)),
            "ring_bytes": rng.choice((2_000, 1 << 20)),
            "part_bytes": rng.choice((200, 400, 1 << 20)),
        }

    @property
    def is_serving(self) -> bool:
        return self.is_up and not self.is_paused

    @property
    def is_recovering(self) -> bool:
        return self.world.now < self.recovering_until

    @property
    def is_doubtful(self) -> bool:
        return self.world.is_durable and self.is_recovering

    @property
    def age_s(self) -> float:
        """Since when it may lag behind the store: it knows, as if it had asked just then."""
        if self.feed.epoch != self.world.store.epoch:
            return self.world.now - self.world.store.line.moments[0].at
        return self.world.now - self.waiting[0][1] if self.waiting else 0.0

    # ---- life

    def start(self) -> None:
        world = self.world
        self.life += 1
        self.is_up, self.is_paused, self.waiting, self.stalled_until = True, False, [], 0.0
        self.recovering_until = world.now + RECOVERY_S
        self.feed = Feed(daemon=f"d{self.index}.{self.life}", **self.sizes)
        self.load()
        self.beat(self.life, world.rng.random() * BEAT_S)

    def load(self) -> None:
        store = self.world.store
        self.feed.start(store.epoch, store.revision, store.entries.values())

    def crash(self) -> None:
        if not self.is_up:
            return
        self.world.note("crash")
        self.is_up = False
        if not self.world.is_durable:
            self.world.store.new_epoch(self.world.now)
        self.world.at(self.world.rng.uniform(0.2, 5), self.start)

    def pause(self, for_s: float | None = None) -> None:
        if self.is_serving:
            self.world.note("pause")
            self.is_paused, self.paused_at = True, self.world.now
            life = self.life
            for_s = for_s or self.world.rng.uniform(0.5, TTL_S + 2)
            self.world.at(for_s, lambda: self.resume(life))

    def resume(self, life: int) -> None:
        if life != self.life or not self.is_up:
            return
        now = self.world.now
        self.is_paused = False
        self.recovering_until = now + RECOVERY_S
        if not self.world.is_durable:
            leases = self.world.store.leases
            leases.update(dict.fromkeys(leases, now + TTL_S))
        self.take_in()

    def stall(self) -> None:
        """The store's watch is late, or breaks and ends with Compacted."""
        if not self.is_up:
            return
        self.world.note("stall")
        rng, life = self.world.rng, self.life
        for_s = rng.choice((rng.uniform(0.1, 1), rng.uniform(0.5, 6)))
        self.stalled_until = self.world.now + for_s
        then = self.relist if rng.random() < 0.7 else self.take_in
        self.world.at(for_s, lambda: then() if life == self.life else None)

    def relist(self) -> None:
        if self.is_serving:
            self.world.note("relist")
            self.waiting = []
            self.load()

    def find_restored(self) -> None:
        if not self.is_up or self.feed.epoch == self.world.store.epoch:
            return
        if self.is_paused:
            self.world.at(0.5, self.find_restored)
            return
        self.recovering_until = self.world.now + RECOVERY_S
        self.waiting = []
        self.load()

    # ---- producing

    def from_store(self, batch: Batch) -> None:
        if not self.is_up or self.feed.epoch != self.world.store.epoch:
            return
        if not self.world.is_durable:
            self.publish(batch)
            return
        late_s = self.world.rng.uniform(0.001, 0.03)
        self.waiting.append((self.world.now + late_s, self.world.now, batch))
        self.world.at(late_s, self.take_in)

    def take_in(self) -> None:
        now = self.world.now
        if not self.is_serving or now < self.stalled_until:
            return
        while self.waiting and self.waiting[0][0] <= now:
            self.publish(self.waiting.pop(0)[2])

    def publish(self, batch: Batch) -> None:
        for event in self.feed.publish(batch, is_doubtful=self.is_doubtful):
            self.world.note("event parts" if max(event.parts) > 1 else "events")
            for watcher in self.world.watchers:
                is_wanted = event.scope[: len(watcher.scope)] == watcher.scope
                self.send(watcher, event, is_wanted=is_wanted)

    def beat(self, life: int, delay_s: float = BEAT_S) -> None:
        def do() -> None:
            if life != self.life or not self.is_up:
                return
            self.beat(life)
            if self.is_paused:
                return
            beats = self.feed.beat(
                is_recovering=self.is_recovering, age_s=self.age_s, time_s=self.time_s
            )
            if len(beats) > 1:
                self.world.note("beat parts")
            for part in beats:
                for watcher in self.world.watchers:
                    self.send(watcher, part, is_wanted=True)

        self.world.at(delay_s, do)

    @property
    def time_s(self) -> float:
        return self.world.now + self.clock_s

    def send(self, watcher: Watcher, message: Event[Record] | Beat, *, is_wanted: bool) -> None:
        world = self.world
        if not is_wanted or not watcher.hears(self.index) or world.lossy(watcher):
            return
        for _ in range(2 if world.chance(world.odds.twice) else 1):
            late_s = world.rng.uniform(0.001, 0.01)
            if world.chance(world.odds.late):
                late_s += world.rng.uniform(0, 1.5)
            world.at(late_s, lambda: watcher.receive(self.index, message))

    # ---- answering

    def sync(self, request: SyncRequest) -> SyncAnswer[Record] | Literal["busy"] | None:
        """Return an answer, "busy" for a refusal, or None for silence."""
        if not self.is_serving:
            return None
        feed = self.feed
        since = request.since if request.epoch == feed.epoch else 0
        lags = max(since, request.at_least) > feed.mirror.revision
        if (lags and not self.is_hasty) or self.world.chance(0.02):
            return "busy"
        commits = feed.backfill(request.scope, request.epoch, request.since)
        return SyncAnswer(
            number=request.number,
            daemon=feed.daemon,
            epoch=feed.epoch,
            revision=feed.mirror.revision,
            digest=feed.mirror.digest(request.scope),
            is_recovering=self.is_recovering,
            is_doubtful=self.is_doubtful,
            age_s=self.age_s,
            time_s=self.time_s,
            commits=commits,
            snapshot=feed.snapshot(request.scope) if commits is None else None,
        )
