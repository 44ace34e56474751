"""Routers: a real follower each, and a slow reader behind it, fed with the bytes of daemons."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from discovery.errors import ResourceExhaustedError
from discovery.follower import Follower, FollowerLimits
from discovery.link import Answer
from discovery.messages import (
    BEAT_TOPIC,
    beat_from_wire,
    event_from_wire,
    event_topic,
    is_goodbye,
)
from discovery.protocol import Beat, Event
from discovery.reading import answer_from_wire, read_item
from tests.simulation.judge import Judge
from tests.simulation.links import Link
from tests.simulation.lists import check_list, check_told
from tests.simulation.loop import Process
from tests.simulation.readers import Reader
from tests.simulation.requests import ask
from transports.codec import MSGPACK
from transports.frame import unpack

if TYPE_CHECKING:
    from collections.abc import Callable

    from discovery.protocol import ItemChange, SyncAnswer, SyncRequest
    from tests.simulation.world import World

TICK_S = 0.5
AUDIT_S = 4.0
SCOPES = (
    ("endpoints",),
    ("models",),
    ("endpoints", "n"),
    ("models", "n"),
    ("models", "n", "a"),
    ("endpoints", "n", "b"),
    ("models", "n", "a", "c"),
    ("endpoints", "n", "b", "d"),
    ("channels", "n"),
    ("channels", "n", "a"),
)


class Router:
    """One stream, from its subscription to its reader."""

    def __init__(self, world: World, index: int, life: int) -> None:
        self.world, self.index, self.life = world, index, life
        rng = self.rng = world.own_rng(f"router/{index}/{life}")
        self.scope = SCOPES[(index * 2 + rng.randrange(4)) % len(SCOPES)]
        self.process = Process(
            f"router {index}.{life} of {'/'.join(self.scope)}",
            zero_s=rng.uniform(0, 1000),
            rate=world.clock_rate(rng),
        )
        self.link = Link(world, world.own_rng(f"router/{index}/{life}/link"))
        limits = FollowerLimits(
            audit_interval_s=AUDIT_S, buffer_events=rng.choice((2, 10_000, 10_000))
        )
        jitter = world.own_rng(f"router/{index}/{life}/jitter")
        self.follower = Follower(self.scope, limits=limits, rng=jitter)
        self.listens_to: int | None = None
        self.attempts = rng.randrange(len(world.daemons))
        self.judge = Judge(self)
        self.reader = Reader(self.judge, lag_s=rng.choice((0.1, 1.0, 6.0)), rng=rng)
        self._topic = event_topic(MSGPACK.name, self.scope)
        self._timer: asyncio.TimerHandle | None = None
        self.process.run(self._begin)

    def _begin(self) -> None:
        loop = asyncio.get_running_loop()
        loop.call_later(self.rng.uniform(0, 1), self.connect)
        loop.call_later(self.rng.uniform(0, TICK_S), self._tick)
        loop.call_later(self.rng.uniform(0, 1), self._read_on)

    def now(self) -> float:
        return self.process.local(self.world.now)

    # ---- connections

    def connect(self) -> None:
        """Greet the next daemon, hear what it publishes, then follow it."""
        world = self.world
        self.follower.disconnected()
        self.attempts += 1
        attempt, self.listens_to = self.attempts, None
        index = attempt % len(world.daemons)

        def greeted(result: Any) -> None:
            if attempt != self.attempts:
                return
            if not isinstance(result, Answer):
                asyncio.get_running_loop().call_later(self.rng.uniform(0.05, 0.4), self.connect)
                return
            if self.follower.epoch is not None:
                world.count("failovers")
            self.listens_to = index
            self.tell(f"follows {world.daemons[index].process.name}")
            self.follower.connected(str(result.result["daemon"]), self.now())
            self.judge.connected()
            self.pump()

        self.tell(f"greets {world.daemons[index].process.name}")
        self._request(index, {"op": "hello", "client": "r", "protocol": 1}, greeted)

    def listens(self, index: int, topic: str) -> bool:
        """Say whether it hears what the daemon of that address publishes on a topic."""
        hears = self.listens_to is not None and self.world.is_broadcast
        return (hears or self.listens_to == index) and (topic.startswith((BEAT_TOPIC, self._topic)))

    def _tick(self) -> None:
        if self.world.is_over:
            return
        asyncio.get_running_loop().call_later(TICK_S, self._tick)
        follower, world, now = self.follower, self.world, self.now()
        if (follower.daemon and follower.is_in_vain(now)) or world.chance(
            0.1 if world.is_restless else 0.02, self.rng
        ):
            self.connect()
        if world.chance(0.02, self.rng):
            follower.want(follower.revision + self.rng.choice((1, 3, 1000)), now)
        if world.chance(0.06, self.rng):
            self._list()
        self.pump()

    def _read_on(self) -> None:
        if not self.world.is_over:
            asyncio.get_running_loop().call_later(self.reader.next_s(), self._read_on)
            self.reader.go_on()

    def tell(self, what: str) -> None:
        """Add to the story."""
        self.world.trace(self.process.name, what)

    # ---- messages

    def on_message(self, topic: str, payload: bytes) -> None:
        """Take in something published."""
        message = _published(payload, is_event=not topic.startswith(BEAT_TOPIC))
        if isinstance(message, Event):
            self._on_event(message)
        elif isinstance(message, Beat):
            self._on_beat(message)
        elif self.follower.daemon and is_goodbye(message, self.follower.daemon):
            self.connect()
            return
        self.pump()

    def _on_beat(self, beat: Beat) -> None:
        daemon = self.follower.daemon
        if daemon and beat.daemon != daemon and not self.world.is_broadcast:
            self.connect()  # another life of the daemon
            return
        if beat.parts > 1:
            self.world.count("beats in parts")
        self.follower.on_beat(beat, self.now())

    def _on_event(self, event: Event[ItemChange]) -> None:
        if max(event.parts) > 1:
            self.world.count("events in parts")
        if self.world.chance(self.world.corrupt, self.rng):
            self.world.count("changes spoiled")
            self.judge.spoil(event.epoch, event.revision)
            event = replace(event, changes=event.changes[:-1])
        self.follower.on_event(event, self.now())

    def pump(self) -> None:
        """Hand on what is new, and ask for what is missing."""
        shown = self.follower.take()
        self.judge.see(shown)
        self.reader.push(shown)
        request = self.follower.poll(self.now())
        if request:
            self._sync(request)
        if self._timer:
            self._timer.cancel()
        in_s = self.follower.next_wakeup() - self.now()
        self._timer = None
        if in_s < float("inf"):
            self._timer = asyncio.get_running_loop().call_later(max(0.001, in_s), self.pump)

    def _sync(self, request: SyncRequest) -> None:
        if self.listens_to is None:
            return
        fields = {
            "op": "sync",
            "client": "r",
            "scope": list(request.scope),
            "epoch": request.epoch,
            "since": request.since,
            "min_revision": request.at_least,
        }

        at_least = self.world.told.get(self.world.daemons[self.listens_to].process, 0)

        def answered(result: Any) -> None:
            follower = self.follower
            if isinstance(result, Answer):
                self.world.count("answers")
                answer = answer_from_wire(request.number, result)
                check_told(self, answer, at_least)
                self._take(answer)
            elif isinstance(result, ResourceExhaustedError):
                self.world.count("put off")
                follower.sync_failed(request.number, self.now(), result.retry_after_s)
            else:
                self.tell(f"asked for what came after r{request.since}, in vain: {result}")
                follower.sync_failed(request.number, self.now())
            self.pump()

        self._request(self.listens_to, fields, answered)

    def _take(self, answer: SyncAnswer[ItemChange]) -> None:
        if answer.snapshot is not None or answer.revision > self.follower.revision:
            kind = "a backfill" if answer.snapshot is None else "a snapshot"
            doubts = f"{', recovering' * answer.is_recovering}{', doubtful' * answer.is_doubtful}"
            self.tell(f"gets {kind} to r{answer.revision} of epoch {answer.epoch[:4]}{doubts}")
        snapshots = self.follower.counters.snapshots
        self.follower.on_answer(answer, self.now())
        if self.follower.counters.snapshots != snapshots:
            self.judge.mend(answer.epoch, answer.revision)

    def _list(self) -> None:
        """Ask for a list, which is another way to look."""
        index = self.rng.randrange(len(self.world.daemons))
        fields = {"op": "list", "scope": list(self.scope), "min_revision": 0}
        at_least = self.world.told.get(self.world.daemons[index].process, 0)

        def answered(result: Any) -> None:
            if isinstance(result, Answer):
                self.world.count("lists")
                check_list(self, answer_from_wire(0, result), at_least)

        self._request(index, fields, answered)

    def _request(
        self, index: int, fields: dict[str, object], answered: Callable[[Any], None]
    ) -> None:
        ask(self.link, self.world.daemons[index], fields, self.process, answered)

    # ---- faults

    def kill(self) -> None:
        self.world.count("router crashes")
        self.tell("crashes")
        self.process.is_dead = True

    def pause(self, for_s: float) -> None:
        if not self.process.is_running:
            return
        self.world.count("router pauses")
        self.tell(f"stands still for {for_s:.2f} s")
        self.process.is_paused = True

        def resume() -> None:
            if not self.process.is_dead:
                self.world.loop.resume(self.process)

        self.world.loop.at(for_s, resume)

    def check_end(self) -> None:
        """All faults are long over: everybody knows everything."""
        if self.process.is_running:
            self.reader.catch_up()
            self.judge.check_end()


@lru_cache(maxsize=256)
def _published(payload: bytes, *, is_event: bool) -> Event[ItemChange] | Beat | object:
    """Read what was published; once for all routers that hear it."""
    _, value = unpack(payload)
    if is_event:
        return event_from_wire(value, read_item)
    is_beat = isinstance(value, dict) and "leaving" not in value
    return beat_from_wire(value) if is_beat else value
