"""Workers: a real `Session` each, which registers, changes its mind, keeps alive, dies."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

from discovery.errors import (
    DiscoveryError,
    LeaseExpiredError,
    ModelConflictError,
    UnavailableError,
    error_from_wire,
)
from discovery.keys import format_key
from discovery.link import _to_wire
from discovery.session import Session
from tests.simulation import wishes
from tests.simulation.daemons import TTL_S
from tests.simulation.links import Link
from tests.simulation.loop import Process
from transports.codec import MSGPACK
from transports.frame import pack, unpack

if TYPE_CHECKING:
    from discovery.session import Call
    from discovery.spec import Spec
    from tests.simulation.world import World

SETTLES_S = TTL_S + 2.0  # after trouble, a worker has had the time to be heard again


class Worker:
    """One process with a lease, in one life."""

    def __init__(self, world: World, index: int, life: int, instance_id: int) -> None:
        self.world, self.index, self.life, self.instance_id = world, index, life, instance_id
        self.process = Process(
            f"worker {index}.{life} (id {instance_id:x})",
            zero_s=world.rng.uniform(0, 1000),
            rate=world.clock_rate(),
        )
        self.rng = random.Random(f"{world.seed}/worker/{index}/{life}")
        self.link = Link(world)
        self.daemon = world.rng.randrange(len(world.daemons))
        self.session = Session(instance_id, TTL_S, rng=self.rng)
        self.jobs: dict[int, tuple[Spec, ...]] = {}
        self.since: dict[str, float] = {}
        self.trouble_at = world.now
        self.is_leaving = False
        self._timer: asyncio.TimerHandle | None = None
        self._sent_at: dict[int, float] = {}
        self.process.run(self.pump)

    # ---- what others ask about it

    @property
    def is_loyal(self) -> bool:
        """It lives, is heard, and has had the time to say so."""
        trouble_at = max(self.trouble_at, self.link.hurt_at)
        is_there = self.process.is_running and not self.is_leaving
        return is_there and self.world.now - trouble_at > SETTLES_S

    @property
    def owned(self) -> dict[str, Spec]:
        owned = self.session._registrations._owned
        return {format_key(identity): o.spec for identity, o in owned.items()}

    # ---- what it does

    def act(self) -> None:
        """Change what it has registered, in one way or another."""
        if not self.process.is_running or self.is_leaving:
            return
        self.process.run(self._act)

    def _act(self) -> None:
        rng, owned = self.rng, self.owned
        kind = rng.random()
        if kind < 0.45 or not owned:
            self._register(wishes.unit(self.world, rng, self.instance_id))
        elif kind < 0.6:
            spec = owned[rng.choice(sorted(owned))]
            self._register([wishes.again(self.world, rng, self.instance_id, spec)])
        elif kind < 0.8:
            self._remove(owned[rng.choice(sorted(owned))])
        else:
            self.world.count("deleted and added again")
            spec = owned[rng.choice(sorted(owned))]
            self._remove(spec)
            self._register([wishes.again(self.world, rng, self.instance_id, spec)])
        if rng.random() < 0.05 and self.jobs:
            self.world.count("callers gone")
            job = rng.choice(sorted(self.jobs))
            del self.jobs[job]
            self.session.retract(job)
        self.pump()

    def _register(self, specs: list[Spec]) -> None:
        if len({spec.kind for spec in specs}) > 1:
            self.world.count("units across kinds")
        self.jobs[self.session.register(specs)] = tuple(specs)

    def _remove(self, spec: Spec) -> None:
        identity = spec.id(self.instance_id)
        self.since.pop(format_key(identity), None)
        self.world.truth.gone_on_purpose[format_key(identity)] = self.world.now
        self.session.unregister([identity])

    # ---- life

    def kill(self) -> None:
        self.world.count("worker crashes")
        self.world.trace(self.process.name, "crashes")
        self.process.is_dead = True

    def leave(self) -> None:
        """Give the lease back and go."""
        if self.process.is_running:
            self.world.count("workers left")
            self.is_leaving = True
            self.since.clear()
            self.session.close()
            self.process.run(self.pump)

    def pause(self, for_s: float) -> None:
        if not self.process.is_running:
            return
        self.world.count("worker pauses")
        self.world.trace(self.process.name, f"stands still for {for_s:.2f} s")
        self.process.is_paused = True

        def resume() -> None:
            self.trouble_at = self.world.now
            if not self.process.is_dead:
                self.world.loop.resume(self.process)

        self.world.loop.at(for_s, resume)

    def steal(self, instance_id: int) -> None:
        """Try to end another process's lease, by knowing its id only."""
        self.world.count("thefts tried")
        fields = {"op": "revoke", "instance_id": instance_id, "token": "stolen"}

        def answered(answer: object) -> None:
            if isinstance(answer, dict) and "ok" in answer:
                self.world.blame("stolen", f"{self.process.name} revoked {instance_id:x}")

        self._request(fields, answered)

    # ---- the session, driven

    def pump(self) -> None:
        session, now = self.session, self._now()
        for call in session.poll(now):
            self._send(call)
        for outcome in session.take_outcomes():
            for spec in self.jobs.pop(outcome.job, ()):
                if outcome.error is None:
                    key = format_key(spec.id(self.instance_id))
                    self.since.setdefault(key, self.world.now)
            if isinstance(outcome.error, ModelConflictError):
                self.world.count("conflicts")
        for failure in session.take_failures():
            self.world.count("registrations lost")
            for spec in failure.specs:
                self.since.pop(format_key(spec.id(self.instance_id)), None)
        if self._timer:
            self._timer.cancel()
        in_s = session.next_wakeup() - now
        self._timer = None
        if in_s < float("inf"):
            self._timer = asyncio.get_running_loop().call_later(max(0.0, in_s), self.pump)

    def _send(self, call: Call) -> None:
        self.world.count("requests")
        self._sent_at[call.number] = self.world.now
        loop, life = asyncio.get_running_loop(), self.world.daemons[self.daemon].process

        def late() -> None:
            sent_at = self._sent_at.pop(call.number, None)
            if sent_at is not None:
                self._fail(call, UnavailableError("no answer"), sent_at, is_silent=True)

        def answered(answer: Any) -> None:
            sent_at = self._sent_at.pop(call.number, None)
            if sent_at is None:
                return
            timer.cancel()
            if "error" in answer:
                error = error_from_wire(answer["error"])
                self.world.trace(self.process.name, f"{call.op}: {type(error).__name__}")
                self._check_refusal(error, sent_at)
                self._fail(call, error, sent_at)
            else:
                told = self.world.told
                told[life] = max(told.get(life, 0), answer["ok"].get("revision", 0))
                self.session.answer(call.number, answer["ok"], self._now())
                self.pump()

        timer = loop.call_later(call.within_s, late)
        self._request({"op": call.op, **_to_wire(call.fields)}, answered)

    def _fail(
        self, call: Call, error: DiscoveryError, sent_at: float, *, is_silent: bool = False
    ) -> None:
        if is_silent or isinstance(error, UnavailableError):
            if self.world.is_served(since=sent_at):
                self.trouble_at = self.world.now  # bad luck: another one would have answered
            self.daemon = (self.daemon + 1) % len(self.world.daemons)
            self.world.count("workers moved on")
        self.session.fail(call.number, error, self._now())
        self.pump()

    def _check_refusal(self, error: DiscoveryError, sent_at: float) -> None:
        """A conflict is only told when there was one, at some moment since it was asked."""
        if isinstance(error, LeaseExpiredError):
            self.world.count("leases lost")
        if not isinstance(error, ModelConflictError):
            return
        if self.world.truth.had(error.endpoint, error.incumbent, since=sent_at):
            return
        if error.incumbent_count:
            self.world.blame("false refusal", f"{error} - but it was gone before that was asked")

    def _request(self, fields: dict[str, object], answered: Any) -> None:
        """Send a request to the daemon of now, over links that may do anything with it."""
        world, link, daemon = self.world, self.link, self.world.daemons[self.daemon]
        data, client = pack(MSGPACK, fields), self.process

        def got(payload: bytes) -> None:
            answered(unpack(payload)[1])

        life = daemon.process

        def arrive() -> None:
            if daemon.process is life:
                daemon.handle(data, lambda p: link.carry("back", lambda: got(p), client))

        link.carry("there", arrive, life)
        if not daemon.is_serving and world.is_served(since=world.now - 0.5):
            self.trouble_at = world.now

    def _now(self) -> float:
        return self.process.local(self.world.now)

    def check_end(self) -> None:
        """All faults are over: what it owns is there, and nothing else of it."""
        if not self.process.is_running or self.is_leaving:
            return
        entries = self.world.truth.line.moments[-1].entries
        there = {k for k, e in entries.items() if e.lease == self.instance_id}
        if self.session._registrations.jobs:
            self.world.blame("not healed", f"{self.process.name} has jobs left")
        elif there != set(self.owned):
            wrong = sorted(there ^ set(self.owned))
            self.world.blame("not healed", f"{self.process.name}: there and wanted differ: {wrong}")
