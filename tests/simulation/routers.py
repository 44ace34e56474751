"""Routers: a real follower each, and a slow reader behind it, fed with the bytes of daemons."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

from discovery.errors import DiscoveryError, ResourceExhaustedError, error_from_wire
from discovery.follower import Follower, FollowerLimits
from discovery.link import Answer
from discovery.messages import (
    BEAT_TOPIC,
    beat_from_wire,
    event_from_wire,
    event_topic,
    is_goodbye,
)
from discovery.outbox import Coalescer, Outbox
from discovery.reading import answer_from_wire, read_item
from tests.simulation.judge import Judge
from tests.simulation.links import Link
from tests.simulation.loop import Process
from transports.codec import MSGPACK
from transports.frame import pack, unpack

if TYPE_CHECKING:
    from collections.abc import Callable

    from discovery.instance import Instance
    from discovery.protocol import SyncRequest
    from tests.simulation.world import World

TICK_S = 0.5
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


class Router:
    """One stream, from its subscription to its reader."""

    def __init__(self, world: World, index: int, life: int) -> None:
        self.world, self.index, self.life = world, index, life
        rng = self.rng = random.Random(f"{world.seed}/router/{index}/{life}")
        self.scope = SCOPES[(index * 2 + world.rng.randrange(2)) % len(SCOPES)]
        self.process = Process(
            f"router {index}.{life} of {'/'.join(self.scope)}",
            zero_s=rng.uniform(0, 1000),
            rate=world.clock_rate(),
        )
        self.link = Link(world)
        limits = FollowerLimits(audit_interval_s=4.0, buffer_events=rng.choice((2, 10_000, 10_000)))
        self.follower = Follower(self.scope, limits=limits, rng=rng)
        self.listens_to: int | None = None
        self.attempts = world.rng.randrange(len(world.daemons))
        self.judge = Judge(self)
        self.coalescer, self.outbox = Coalescer(), Outbox()
        self.reader: dict[object, Instance] = {}
        self.lag_s = rng.choice((0.1, 1.0, 6.0))
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
            self.follower.connected(str(result.result["daemon"]), self.now())
            self.pump()

        self._request(index, {"op": "hello", "client": "r", "protocol": 1}, greeted)

    def listens(self, index: int, topic: str) -> bool:
        """Say whether it hears what the daemon of that address publishes on a topic."""
        hears = self.listens_to is not None and self.world.is_broadcast
        return (hears or self.listens_to == index) and (topic.startswith((BEAT_TOPIC, self._topic)))

    def _tick(self) -> None:
        if self.world.is_over:
            return
        asyncio.get_running_loop().call_later(TICK_S, self._tick)
        follower, now = self.follower, self.now()
        if (follower.daemon and follower.is_in_vain(now)) or self.world.chance(0.02):
            self.connect()
        if self.world.chance(0.02):
            follower.want(follower.revision + self.rng.choice((1, 3, 1000)), now)
        if self.world.chance(0.06):
            self._list()
        self.pump()

    # ---- messages

    def on_message(self, topic: str, payload: bytes) -> None:
        """Take in something published."""
        _, value = unpack(payload)
        daemon = self.follower.daemon
        if topic.startswith(BEAT_TOPIC):
            if daemon and is_goodbye(value, daemon):
                self.connect()
                return
            if isinstance(value, dict) and "leaving" in value:
                return
            beat = beat_from_wire(value)
            if daemon and beat.daemon != daemon and not self.world.is_broadcast:
                self.connect()
                return
            if beat.parts > 1:
                self.world.count("beats in parts")
            self.follower.on_beat(beat, self.now())
        else:
            event = event_from_wire(value, read_item)
            if max(event.parts) > 1:
                self.world.count("events in parts")
            if self.world.chance(self.world.corrupt):
                self.world.count("changes spoiled")
                self.judge.spoil(event.epoch, event.revision)
                event.changes.pop()  # type: ignore[attr-defined]  # a list, as it was read
            self.follower.on_event(event, self.now())
        self.pump()

    def pump(self) -> None:
        """Hand on what is new, and ask for what is missing."""
        shown = self.follower.take()
        self.judge.see(shown)
        self.coalescer.push(shown)
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

        def answered(result: Any) -> None:
            follower = self.follower
            if isinstance(result, Answer):
                self.world.count("answers")
                answer = answer_from_wire(request.number, result)
                snapshots = follower.counters.snapshots
                follower.on_answer(answer, self.now())
                if follower.counters.snapshots != snapshots:
                    self.judge.mend(answer.epoch, answer.revision)
            elif isinstance(result, ResourceExhaustedError):
                self.world.count("put off")
                follower.sync_failed(request.number, self.now(), result.retry_after_s)
            else:
                follower.sync_failed(request.number, self.now())
            self.pump()

        self._request(self.listens_to, fields, answered)

    def _list(self) -> None:
        """Ask for a list, which is another way to look."""
        index = self.rng.randrange(len(self.world.daemons))
        fields = {"op": "list", "scope": list(self.scope), "min_revision": 0}
        at_least = self.world.told.get(self.world.daemons[index].process, 0)

        def answered(result: Any) -> None:
            if isinstance(result, Answer):
                self.world.count("lists")
                self.judge.check_list(answer_from_wire(0, result), at_least)

        self._request(index, fields, answered)

    def _request(
        self, index: int, fields: dict[str, object], answered: Callable[[Any], None]
    ) -> None:
        link, daemon = self.link, self.world.daemons[index]
        data, client = pack(MSGPACK, fields), self.process
        life = daemon.process
        is_done: list[bool] = []

        def end(result: Any) -> None:
            if not is_done:
                is_done.append(True)
                timer.cancel()
                answered(result)

        def got(payload: bytes, parts: list[Any]) -> None:
            parts.append(unpack(payload)[1])
            last = [part for part in parts if "chunk" not in part]
            if not last:
                return
            if "error" in last[0]:
                end(error_from_wire(last[0]["error"]))
                return
            chunks = sorted({p["chunk"][0]: p for p in parts if "chunk" in p}.items())
            if len(chunks) == last[0]["ok"].get("chunks", 0):
                end(Answer(last[0]["ok"], [chunk for _, chunk in chunks]))

        def arrive() -> None:
            if daemon.process is life:
                answer: list[Any] = []
                daemon.handle(data, lambda p: link.carry("back", lambda: got(p, answer), client))

        timer = asyncio.get_running_loop().call_later(1.0, end, DiscoveryError("no answer"))
        link.carry("there", arrive, life)

    # ---- the reader

    def _read_on(self) -> None:
        if self.world.is_over:
            return
        asyncio.get_running_loop().call_later(self.rng.uniform(0.02, self.lag_s), self._read_on)
        most = len(self.coalescer._given | self.judge.shown.keys())
        if len(self.coalescer._pending) > most:
            self.world.blame("unbounded", f"{len(self.coalescer._pending)} pending of {most}")
        if self.rng.random() < 0.6:
            self.outbox.push(self.coalescer.take())
        if self.rng.random() < 0.6:
            self.read()

    def read(self) -> None:
        for event in self.outbox.take():
            self.judge.hear(self.reader, event)

    # ---- faults

    def kill(self) -> None:
        self.world.count("router crashes")
        self.process.is_dead = True

    def pause(self, for_s: float) -> None:
        if not self.process.is_running:
            return
        self.world.count("router pauses")
        self.world.trace(self.process.name, f"stands still for {for_s:.2f} s")
        self.process.is_paused = True

        def resume() -> None:
            if not self.process.is_dead:
                self.world.loop.resume(self.process)

        self.world.loop.at(for_s, resume)

    def check_end(self) -> None:
        """All faults are long over: everybody knows everything."""
        if self.process.is_running:
            self.outbox.push(self.coalescer.take())
            self.read()
            self.judge.check_end()
