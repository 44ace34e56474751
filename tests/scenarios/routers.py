"""Routers of a story: a real `Follower` each and, behind it, a reader who says what it gets."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

from discovery.errors import ResourceExhaustedError
from discovery.follower import Follower, FollowerLimits
from discovery.link import Answer, NoAnswerError
from discovery.messages import (
    BEAT_TOPIC,
    beat_from_wire,
    event_from_wire,
    event_topic,
    is_goodbye,
)
from discovery.reading import answer_from_wire, read_item
from tests.scenarios.ears import Ear
from tests.scenarios.lines import Line
from tests.scenarios.readers import Reader
from tests.simulation.loop import Process
from transports.codec import MSGPACK
from transports.frame import unpack

if TYPE_CHECKING:
    from collections.abc import Callable

    from discovery.errors import DiscoveryError
    from discovery.names import Scope
    from discovery.protocol import Beat, Event, ItemChange, SyncRequest
    from tests.scenarios.lines import Result
    from tests.scenarios.stage import Stage

_TICK_S = 0.5
_SYNC_TIMEOUT_S = 3.0
_HELLO_S = 0.5
_PATIENCE_S = 600.0  # each request is reported, in much less
_ZERO_S = 500.0


class Router:
    """A process that watches a scope, through one daemon at a time.

    Args:
        stage: where.
        name: in the story.
        scope: what is watched.
    """

    def __init__(self, stage: Stage, name: str, scope: Scope) -> None:
        self.name = name
        self.process = Process(name, zero_s=_ZERO_S)
        self.line = Line(stage, self.process)
        self.ear = Ear(self.line, self.process, self._on_message)
        self._stage = stage
        self._rng = random.Random(name)
        limits = FollowerLimits(sync_timeout_s=_PATIENCE_S)
        self._follower = Follower(scope, limits=limits, rng=self._rng)
        self._reader = Reader(self._follower, self._say)
        self._daemons = list(stage.daemons)
        self._attempt = 0
        self._complaint = ""
        self._timer: asyncio.TimerHandle | None = None
        self.process.run(self._tick)

    # ---- what a story says of it

    def connect(self) -> None:
        """Greet a daemon, listen to it, then follow it."""
        self.process.run(self._greet)

    def go_to(self, daemon: str) -> None:
        """Leave the daemon of now for that one."""
        self._daemons = [daemon, *(name for name in self._daemons if name != daemon)]
        self._attempt += 1
        self.connect()

    def die(self) -> None:
        """End at once, without a word."""
        self.process.is_dead = True

    def stop_reading(self) -> None:
        """Let what comes pile up."""
        self._reader.is_reading = False

    def read_again(self) -> None:
        """Get what has piled up, as one diff."""
        self._reader.is_reading = True
        self._pump()

    def describe(self) -> None:
        """Say how far the view is proven."""
        self._reader.describe(self._now())

    # ---- connections

    def _greet(self) -> None:
        attempt, daemon = self._attempt, self._stage.daemon(self._daemons[0])

        def greeted(result: Result) -> None:
            if attempt != self._attempt:
                return
            if isinstance(result, Answer):
                self.ear.daemon = daemon.name
                self.ear.topic = event_topic(MSGPACK.name, self._follower.scope)
                self._listen(str(result.result["daemon"]))
            else:
                self._try_next(self._rng.uniform(0.05, 0.4))

        hello = {"op": "hello", "client": self.name, "protocol": 1}
        self.line.ask(daemon, hello, _HELLO_S, greeted)

    def _listen(self, daemon: str) -> None:
        """Follow a daemon once what it publishes is heard: it answers on the same connection."""
        if not self.ear.is_open:
            self._complain(f"hears nothing of what {self._daemons[0]} publishes")
            self._try_next(_SYNC_TIMEOUT_S)
            return
        self._say(f"follows {self._daemons[0]}")
        self._reader.is_expectant = True
        self._follower.connected(daemon, self._now())
        self._pump()

    def _leave(self, why: str) -> None:
        self._say(f"leaves {self._daemons[0]}: {why}")
        self._follower.disconnected()
        self._try_next(self._rng.uniform(0.0, 0.05))

    def _try_next(self, in_s: float) -> None:
        self.ear.daemon = None
        self._daemons.append(self._daemons.pop(0))
        self._attempt += 1
        attempt = self._attempt

        def greet() -> None:
            if attempt == self._attempt:
                self._greet()

        asyncio.get_running_loop().call_later(in_s, greet)

    def _tick(self) -> None:
        asyncio.get_running_loop().call_later(_TICK_S, self._tick)
        self._pump()
        if self._follower.daemon and self._follower.is_in_vain(self._now()):
            self._leave("it does not serve us")

    # ---- what it hears

    def _on_message(self, topic: str, payload: bytes) -> None:
        daemon, value = self._follower.daemon, unpack(payload)[1]
        if daemon is None or self.ear.daemon is None:
            return
        if not topic.startswith(BEAT_TOPIC):
            self._on_event(event_from_wire(value, read_item))
        elif is_goodbye(value, daemon):
            self._leave("it says goodbye")
        else:
            beat = beat_from_wire(value)
            if beat.daemon != daemon:
                self._leave("it was started again")
            else:
                self._on_beat(beat)

    def _on_event(self, event: Event[ItemChange]) -> None:
        follower = self._follower
        prev = event.prev[len(follower.scope) - 1]
        what = f"EVENT {event.revision} follows on {prev}"
        self._take_in(what, lambda: follower.on_event(event, self._now()))

    def _on_beat(self, beat: Beat) -> None:
        follower = self._follower
        head = next((h.head for h in beat.scopes if h.scope == follower.scope), None)
        what = f"BEAT knows of {head}" if head else f"BEAT tells what is new since {beat.window}"
        self._take_in(what, lambda: follower.on_beat(beat, self._now()))

    def _take_in(self, what: str, take_in: Callable[[], None]) -> None:
        self._reader.note(what, take_in)
        self._pump()

    # ---- what it asks

    def _pump(self) -> None:
        follower, now = self._follower, self._now()
        self._reader.read(now)
        request = follower.poll(now)
        if request:
            self._sync(request)
        if self._timer:
            self._timer.cancel()
        in_s, self._timer = follower.next_wakeup() - now, None
        if in_s < float("inf"):
            self._timer = asyncio.get_running_loop().call_later(max(0.001, in_s), self._pump)

    def _sync(self, request: SyncRequest) -> None:
        daemon = self._stage.daemon(self._daemons[0])
        fields = {
            "op": "sync",
            "client": self.name,
            "scope": list(request.scope),
            "epoch": request.epoch,
            "since": request.since,
            "min_revision": request.at_least,
        }

        def answered(result: Result) -> None:
            if isinstance(result, Answer):
                self._synced(request, result, daemon.name)
            else:
                self._not_synced(request, result, daemon.name)

        self.line.ask(daemon, fields, _SYNC_TIMEOUT_S, answered)

    def _synced(self, request: SyncRequest, result: Answer, daemon: str) -> None:
        self._complaint = ""
        answer = answer_from_wire(request.number, result)
        what = f"answer of {daemon} at {answer.revision}"
        self._take_in(what, lambda: self._follower.on_answer(answer, self._now()))

    def _not_synced(self, request: SyncRequest, why: DiscoveryError, daemon: str) -> None:
        if self._follower.daemon and not isinstance(why, NoAnswerError):
            self._complain(f"no sync from {daemon}: {why}")
        after_s = why.retry_after_s if isinstance(why, ResourceExhaustedError) else None
        self._follower.sync_failed(request.number, self._now(), after_s)
        self._pump()

    # ---- what it says

    def _complain(self, why: str) -> None:
        """Say what went wrong, once until something goes well."""
        if why != self._complaint:
            self._complaint = why
            self._say(why)

    def _say(self, what: str) -> None:
        self._stage.say(self.name, what)

    def _now(self) -> float:
        return self.process.local(self._stage.now)
