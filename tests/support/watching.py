"""Watchers of the small fleet: a real follower and a slow reader, held against the truth."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from discovery.follower import Follower, FollowerLimits
from discovery.outbox import Coalescer, Outbox
from discovery.protocol import Beat, Commit, Event, SyncAnswer
from tests.support.judging import Judge
from tests.support.keystate import read

if TYPE_CHECKING:
    from discovery.instance import Instance
    from discovery.protocol import Record, SyncRequest
    from tests.support.world import World

TICK_S = 0.2
SCOPES = (
    ("endpoints",),
    ("models",),
    ("endpoints", "n"),
    ("models", "n"),
    ("models", "n", "a"),
    ("endpoints", "n", "b"),
    ("models", "n", "a", "c"),
    ("endpoints", "n", "b", "d"),
)


class Watcher:
    """One stream, from its subscription to its reader."""

    def __init__(self, world: World, index: int) -> None:
        self.world = world
        rng = world.rng
        self.scope = SCOPES[(index * 2 + rng.randrange(2)) % 8]
        self.limits = FollowerLimits(
            audit_interval_s=4.0, buffer_events=rng.choice((3, 10_000, 10_000))
        )
        self.follower = Follower(self.scope, limits=self.limits, rng=rng)
        self.listens_to: int | None = None
        self.connections = 0
        self.cut_until = 0.0
        self.judge = Judge(self)
        self.coalescer, self.outbox = Coalescer(), Outbox()
        self.reader: dict[object, Instance] = {}
        self.lag_s = rng.choice((0.05, 1.0, 6.0))
        world.at(rng.uniform(0, 4), self.connect)
        world.every(TICK_S, self.tick, rng.uniform(0, TICK_S))
        world.at(rng.uniform(0, 4), self.read_on)

    # ---- connections

    def connect(self) -> None:
        """Subscribe to the next daemon, then follow it; try the one after it if it is away."""
        world = self.world
        self.follower.disconnected()
        self.connections += 1
        index, connection = self.connections % len(world.daemons), self.connections
        self.listens_to = index

        def greeted() -> None:
            daemon = world.daemons[index]
            if connection != self.connections:
                return
            if not daemon.is_serving or world.chance(0.05):
                world.at(world.rng.uniform(0.05, 0.5), self.connect)
                return
            self.follower.connected(daemon.feed.daemon, world.now)
            self.pump()

        world.at(world.rng.uniform(0.001, 0.1), greeted)

    def cut_off(self, for_s: float | None = None) -> None:
        """Nothing comes and nothing goes for a while."""
        self.world.note("cut off")
        for_s = for_s or self.world.rng.uniform(1, 13)
        self.cut_until = max(self.cut_until, self.world.now + for_s)

    def tick(self) -> None:
        follower, now = self.follower, self.world.now
        if follower.daemon and follower.is_in_vain(now):
            self.world.note("failover")
            self.connect()
        elif self.world.chance(0.02):
            self.world.note("moved")
            self.connect()
        if self.world.chance(0.01):
            follower.want(follower.revision + self.world.rng.choice((1, 3, 1000)), now)
        self.pump()

    # ---- messages

    def hears(self, index: int) -> bool:
        return self.world.is_broadcast or self.listens_to == index

    def receive(self, index: int, message: Event[Record] | Beat) -> None:
        if not self.hears(index):
            return
        if isinstance(message, Beat):
            is_stranger = self.follower.daemon not in {None, message.daemon}
            if is_stranger and not self.world.is_broadcast:
                self.connect()  # another life of the daemon
            self.follower.on_beat(message, self.world.now)
        else:
            changes = [read(record) for record in message.changes]
            if self.world.chance(self.world.odds.corrupt):
                self.judge.spoil(message.epoch, message.revision)
                self.world.note("corrupted")
                changes.pop()
            self.follower.on_event(replace(message, changes=changes), self.world.now)
        self.pump()

    def pump(self) -> None:
        shown = self.follower.take()
        self.judge.see(shown)
        self.coalescer.push(shown)
        request = self.follower.poll(self.world.now)
        if request:
            self.send(request)

    def send(self, request: SyncRequest) -> None:
        world = self.world
        index = self.listens_to
        if index is None or world.lossy(self):
            return

        def arrive() -> None:
            answer = world.daemons[index].sync(request)
            if answer is None or world.lossy(self):
                return
            for _ in range(2 if world.chance(world.odds.twice) else 1):
                world.at(world.rng.uniform(0.001, 0.08), lambda: self.answered(request, answer))

        world.at(world.rng.uniform(0.001, 0.08), arrive)

    def answered(self, request: SyncRequest, answer: SyncAnswer[Record] | str) -> None:
        if isinstance(answer, str):
            self.follower.sync_failed(request.number, self.world.now, 0.1)
        else:
            snapshots = self.follower.counters.snapshots
            self.follower.on_answer(_read_answer(answer), self.world.now)
            if self.follower.counters.snapshots != snapshots:
                self.judge.mend(answer.epoch, answer.revision)
        self.pump()

    # ---- the reader

    def read_on(self) -> None:
        self.world.at(self.world.rng.uniform(0.01, self.lag_s), self.read_on)
        most = len(self.coalescer._given | self.judge.shown.keys())
        if len(self.coalescer._pending) > most:
            self.world.blame("unbounded", f"{len(self.coalescer._pending)} pending of {most}")
        if self.world.rng.random() < 0.5:
            self.outbox.push(self.coalescer.take())
        if self.world.rng.random() < 0.5:
            for event in self.outbox.take():
                self.judge.hear(self.reader, event)

    def check_end(self) -> None:
        """All faults are long over: everybody knows everything."""
        self.outbox.push(self.coalescer.take())
        for event in self.outbox.take():
            self.judge.hear(self.reader, event)
        self.judge.check_end()


def _read_answer(answer: SyncAnswer[Record]) -> SyncAnswer[object]:
    commits, snapshot = answer.commits, answer.snapshot
    return replace(
        answer,
        commits=None
        if commits is None
        else [Commit(c.revision, [read(r) for r in c.changes]) for c in commits],
        snapshot=None if snapshot is None else [read(record) for record in snapshot],
    )
