"""Workers of a story: a real `Session` each, which says how its jobs end and what befalls it."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

from discovery.link import Answer, NoAnswerError
from discovery.session import LeaseState, Session
from tests.scenarios.lines import Line
from tests.scenarios.records import id_from_text, spec_from_text, specs_from_text
from tests.simulation.loop import Process

if TYPE_CHECKING:
    from discovery.session import Call
    from tests.scenarios.lines import Result
    from tests.scenarios.stage import Stage

TTL_S = 10.0


class Worker:
    """A process that may register something.

    Args:
        stage: where.
        name: in the story.
        instance_id: under which it registers.
    """

    def __init__(self, stage: Stage, name: str, instance_id: int) -> None:
        self.name, self.instance_id = name, instance_id
        self.process = Process(name, zero_s=float(instance_id))
        self.line = Line(stage, self.process)
        self._stage = stage
        self._session = Session(instance_id, TTL_S, rng=random.Random(name))
        self._daemon = next(iter(stage.daemons))
        self._done: dict[int, str] = {}  # how the success of a job is told, by its number
        self._state = LeaseState.NONE
        self._complaints: set[str] = set()
        self._timer: asyncio.TimerHandle | None = None

    # ---- what a story says of it

    def register(self, unit: str) -> None:
        """Register records as one unit."""
        specs = specs_from_text(unit, self.instance_id)
        self._done[self._session.register(specs)] = "registered"
        self.process.run(self._pump)

    def update(self, item: str, name: str, times: int) -> None:
        """Give a model that many new cards, one after another; only the last is told of."""
        texts = [f"{item} {name} v{number}" for number in range(1, times + 1)]
        jobs = [self._session.register([spec_from_text(t, self.instance_id)]) for t in texts]
        self._done[jobs[-1]] = "registered"
        self.process.run(self._pump)

    def unregister(self, item: str) -> None:
        """Take back a record."""
        job = self._session.unregister([id_from_text(item, self.instance_id)])
        self._done[job] = "unregistered"
        self.process.run(self._pump)

    def leave(self) -> None:
        """Give the lease back and go."""
        self._session.close()
        self.process.run(self._pump)

    def die(self) -> None:
        """End at once, without a word."""
        self.process.is_dead = True

    def go_to(self, daemon: str) -> None:
        """Talk to that one from now on."""
        self._daemon = daemon

    def describe(self) -> None:
        """Say what it believes."""
        self._say(f"lease {self._session.state}; leases lost: {self._session.losses}")

    # ---- the session, driven

    def _pump(self) -> None:
        session, now = self._session, self._now()
        for call in session.poll(now):
            self._send(call)
        self._tell()
        if self._timer:
            self._timer.cancel()
        in_s, self._timer = session.next_wakeup() - now, None
        if in_s < float("inf"):
            self._timer = asyncio.get_running_loop().call_later(max(0.0, in_s), self._pump)

    def _send(self, call: Call) -> None:
        daemon = self._stage.daemon(self._daemon)

        def answered(result: Result) -> None:
            if isinstance(result, Answer):
                self._complaints.clear()
                self._session.answer(call.number, result.result, self._now())
                if not self._tell() and call.op == "register":
                    self._say(f"registered again at revision {result.result['revision']}")
            else:
                self._session.fail(call.number, result, self._now())
                if not self._tell():
                    self._complain(f"{call.op}: {result}")
                if isinstance(result, NoAnswerError):
                    self._move_on(daemon.name)
            self._pump()

        self.line.ask(daemon, {"op": call.op, **call.fields}, call.within_s, answered)

    def _move_on(self, silent: str) -> None:
        names = list(self._stage.daemons)
        if self._daemon == silent and len(names) > 1:
            self._daemon = names[(names.index(silent) + 1) % len(names)]
            self._say(f"goes from {silent} to {self._daemon}")

    # ---- what it says

    def _tell(self) -> bool:
        """Say what is new; return whether a job has ended, or what was registered is lost."""
        state, before = self._session.state, self._state
        self._state = state
        if state is LeaseState.HELD and before is not state:
            self._say(f"holds a lease of {self._session.ttl_s:g} s")
        elif state is LeaseState.CLOSED and before is not state:
            self._say("has left")
        outcomes = self._session.take_outcomes()
        for outcome in outcomes:
            if outcome.error:
                self._say(f"refused: {outcome.error}")
            elif outcome.job in self._done:
                self._say(f"{self._done[outcome.job]} at revision {outcome.revision}")
        failures = self._session.take_failures()
        for failure in failures:
            ids = ", ".join(str(spec.id(self.instance_id)) for spec in failure.specs)
            self._say(f"gives up {ids}: {failure.error}")
        return bool(outcomes or failures)

    def _complain(self, why: str) -> None:
        """Say what went wrong, once until something goes well."""
        if why not in self._complaints:
            self._complaints.add(why)
            self._say(why)

    def _say(self, what: str) -> None:
        self._stage.say(self.name, what)

    def _now(self) -> float:
        return self.process.local(self._stage.now)
