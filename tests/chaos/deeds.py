"""How each fault of a schedule is done to the processes of a fleet."""

from __future__ import annotations

import asyncio
import random
import time
from collections import defaultdict
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from shutil import disk_usage
from typing import TYPE_CHECKING, Any

from tests.chaos.schedule import WAYS_HURT

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from tests.chaos.actor import Actor
    from tests.chaos.fleet import Fleet
    from tests.chaos.schedule import Fault

_STEP_S = 3600
_SMALL_BYTES = 16 << 20
_BEGINS_WITHIN_S = 15.0


@dataclass(frozen=True)
class Befell:
    """A fault as it was done: when it began and ended, by the clock that all share."""

    began_at: float
    ended_at: float
    what: str
    whom: str
    life: int


class Deeds:
    """What befalls a fleet, and what has befallen it."""

    def __init__(self, fleet: Fleet) -> None:
        self.befell: list[Befell] = []
        self._fleet = fleet
        self._compacted = 0
        self._rng = random.Random(f"{fleet.schedule.seed}/deeds")
        self._befalling: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def befall(self, fault: Fault) -> None:
        """Let it happen, and be over again after its time."""
        actor = self._fleet.actors.get(fault.whom)
        one_by_one = nullcontext() if fault.what in WAYS_HURT else self._befalling[fault.whom]
        async with one_by_one:  # what takes longer than planned must not meet what comes next
            began_at, life = time.monotonic(), actor.lives if actor else 0
            await self.kinds[fault.what](self, fault)
        self.befell.append(Befell(began_at, time.monotonic(), fault.what, fault.whom, life))

    async def _kill(self, fault: Fault) -> None:
        server = self._server(fault.whom)
        if server:
            await asyncio.to_thread(server.kill)
            await asyncio.sleep(fault.for_s)
            await asyncio.to_thread(server.start)
            return
        actor = self._fleet.actors[fault.whom]
        await actor.kill()
        await self._begin_again(actor, fault.for_s)

    async def _stop(self, fault: Fault) -> None:
        actor = self._fleet.actors[fault.whom]
        await actor.end()
        await self._begin_again(actor, fault.for_s)

    async def _begin_again(self, actor: Actor, after_s: float) -> None:
        """Start it after a while; a daemon is well again when it serves, if it can."""
        await asyncio.sleep(after_s)
        actor.begin()
        if actor.role == "daemon":
            with suppress(TimeoutError):
                async with asyncio.timeout(_BEGINS_WITHIN_S):
                    while not await self._fleet.is_ready(actor):
                        await asyncio.sleep(0.1)

    async def _stand_still(self, fault: Fault) -> None:
        server = self._server(fault.whom)
        if server:
            server.pause()
            await asyncio.sleep(fault.for_s)
            server.resume()
            return
        life = self._fleet.actors[fault.whom].now
        if life.is_running:
            life.stop()
            await asyncio.sleep(fault.for_s)
            life.go_on()

    async def _exhaust(self, fault: Fault) -> None:
        actor, over_at = self._fleet.actors[fault.whom], time.monotonic() + fault.for_s
        while not await self._fleet.is_ready(actor):  # before that it would only fail to begin
            if time.monotonic() > over_at:
                return
            await asyncio.sleep(0.1)
        life = actor.now
        life.exhaust_files()
        await asyncio.sleep(fault.for_s)
        life.give_files()

    async def _hurt_way(self, fault: Fault) -> None:
        way = self._fleet.actors[fault.whom].way
        match fault.what:
            case "connections cut":
                way.cut()
            case "connections slow":
                way.slow(0.4)
            case "connections silent":
                way.fall_silent()
            case _:
                way.hold_answers()
        await asyncio.sleep(fault.for_s)
        way.mend()

    async def _fill_disk(self, fault: Fault) -> None:
        assert disk_usage(self._fleet.disk).total < _SMALL_BYTES, "not a disk of our own"
        ballast = self._fleet.disk / "ballast"
        with ballast.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                pass  # it is full
        await asyncio.sleep(fault.for_s)
        ballast.unlink()

    async def _step_clock(self, fault: Fault) -> None:
        self._fleet.actors[fault.whom].step_clock(self._rng.choice((-_STEP_S, _STEP_S)))

    async def _compact(self, _: Fault) -> None:
        at = await self._fleet.logged()
        if at > self._compacted:
            self._compacted = at
            await asyncio.to_thread(self._fleet.etcd.ctl, "compact", str(at))

    def _server(self, name: str) -> Any:
        return {"nats": self._fleet.nats, "etcd": self._fleet.etcd}.get(name)

    kinds: Mapping[str, Callable[[Deeds, Fault], Awaitable[None]]] = {
        "killed": _kill,
        "stopped in good order": _stop,
        "stands still": _stand_still,
        "connections cut": _hurt_way,
        "connections slow": _hurt_way,
        "connections silent": _hurt_way,
        "answers held back": _hurt_way,
        "descriptors exhausted": _exhaust,
        "disk of the logs full": _fill_disk,
        "clock steps": _step_clock,
        "compacted": _compact,
    }
