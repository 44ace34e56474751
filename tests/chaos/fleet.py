"""The processes of one run, how each begins its lives, and how what befalls it is done."""

from __future__ import annotations

import asyncio
import random
import sys
import time
import urllib.request
from collections import defaultdict
from contextlib import AsyncExitStack, nullcontext
from dataclasses import dataclass
from pathlib import Path
from shutil import disk_usage
from typing import TYPE_CHECKING, Any, Self

from tests.chaos.etcdlog import EtcdLog
from tests.chaos.life import live
from tests.chaos.schedule import DAEMONS, ROUTERS, TTL_S, WAYS_HURT, WORKERS
from tests.chaos.ways import open_way
from tests.support.etcd import Etcd
from tests.support.nats import Nats
from tests.support.processes import PATIENCE_S, free_ports

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from tests.chaos.life import Life
    from tests.chaos.schedule import Fault, Schedule
    from tests.chaos.ways import Way

_STEP_S = 3600
_SMALL_BYTES = 16 << 20
_RESTARTS_AFTER_S = 0.3


@dataclass(frozen=True)
class Befell:
    """A fault as it was done: when it began and ended, by the clock that all share."""

    began_at: float
    ended_at: float
    what: str
    whom: str
    life: int


class Actor:
    """A daemon, worker or router: the same through all of its lives."""

    def __init__(self, fleet: Fleet, role: str, index: int) -> None:
        self.fleet, self.role, self.index = fleet, role, index
        self.name = f"{role} {index}"
        self.way: Way = open_way()
        self.lives = 0
        self.now: Life | None = None
        self.statuses: list[int] = []
        """How it ended when it was told to."""
        self.gave_up: list[int] = []
        """How it ended by itself; only a daemon may, which cannot begin without its servers."""
        self._supervision: asyncio.Task[None] | None = None
        self._starting = asyncio.Lock()

    @property
    def place(self) -> Path:
        """Where its present life writes."""
        return self.fleet.folder / f"{self.role}-{self.index}-{self.lives}"

    def begin(self) -> None:
        """Start it, and again whenever it ends by itself, as a supervisor would."""
        self._supervision = asyncio.get_running_loop().create_task(self._supervise())

    async def _supervise(self) -> None:
        while True:
            async with self._starting:
                await self._start()
            self.gave_up.append(await self.now.process.wait())
            await asyncio.sleep(_RESTARTS_AFTER_S)

    async def _start(self) -> None:
        self.lives += 1
        fleet = self.fleet
        fleet.note_birth(self)
        logs = fleet.disk if self.role == "daemon" else fleet.folder
        env = _with_own_clock(self._clock) if self.index == 0 else {}
        self.now = await live(fleet.command(self), logs / f"{self.place.name}.log", env)

    async def kill(self) -> None:
        """End it at once; it stays away until `begin`."""
        await self._leave_it()
        if self.now:
            await self.now.kill()

    async def end(self) -> None:
        """Let it end in good order; it stays away until `begin`."""
        is_ready = await self.fleet.is_ready(self)
        await self._leave_it()
        if self.is_running:
            status = await self.now.end()
            if is_ready:  # before that it has no handler of signals yet
                self.statuses.append(status)

    async def _leave_it(self) -> None:
        if self._supervision:
            async with self._starting:  # or who is just starting would be nobody's
                self._supervision.cancel()
            await asyncio.wait([self._supervision])

    @property
    def is_running(self) -> bool:
        return self.now is not None and self.now.is_running

    @property
    def _clock(self) -> Path:
        return self.fleet.folder / f"clock-{self.role}-{self.index}"

    def step_clock(self, by_s: int) -> None:
        """Let its clock of day be wrong, all at once."""
        self._clock.write_text(f"{by_s:+d}")


def _with_own_clock(file: Path) -> dict[str, str]:
    """Return the environment of a process whose clock of day is as far off as a file says.

    What it measures times with stays as it is, as on a machine whose clock somebody sets.
    """
    file.touch()
    (library,) = Path("/usr/lib").glob("*/faketime/libfaketime.so.1")  # of Debian's libfaketime
    return {
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(file),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }


class Fleet:
    """All processes of a run, while entered. Everything they write is in `folder`."""

    def __init__(self, schedule: Schedule, folder: Path, disk: Path) -> None:
        self.schedule, self.folder, self.disk = schedule, folder, disk
        self.actors: dict[str, Actor] = {}
        self.ports: list[int] = []
        self.health: list[int] = []
        self.befell: list[Befell] = []
        self.born: dict[int, tuple[str, float]] = {}
        """Name and time of birth of the worker with each instance id."""
        self.nats = Nats(folder)
        self.etcd = None if schedule.is_memory else Etcd(folder)
        self.log: EtcdLog | None = None
        self._compacted = 0
        self._rng = random.Random(f"{schedule.seed}/fleet")
        self._befalling: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            self.nats.start()
            stack.callback(self.nats.kill)
            if self.etcd:
                self.etcd.start()
                stack.callback(self.etcd.kill)
                self.log = stack.enter_context(EtcdLog(self.etcd.endpoint))
            for role, count in self._roles().items():
                for index in range(count):
                    actor = self.actors[f"{role} {index}"] = Actor(self, role, index)
                    stack.push_async_callback(self._put_away, actor)
                    if role == "daemon":
                        self.ports.append(free_ports())
                        self.health.append(free_ports())
                    await self._open_way(actor)
                    actor.begin()
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    def _roles(self) -> Mapping[str, int]:
        daemons = 1 if self.schedule.is_memory else DAEMONS
        return {"daemon": daemons, "router": ROUTERS, "worker": WORKERS}

    async def _put_away(self, actor: Actor) -> None:
        await actor.kill()
        await actor.way.aclose()

    def note_birth(self, actor: Actor) -> None:
        if actor.role == "worker":
            self.born[self._instance_id(actor)] = (actor.name, time.monotonic())

    @property
    def running(self) -> Sequence[Actor]:
        return [actor for actor in self.actors.values() if actor.is_running]

    # ---- how each is run

    async def _open_way(self, actor: Actor) -> None:
        """Put a proxy before everything that it connects to."""
        if actor.role == "daemon":
            servers = [self.nats, *([self.etcd] if self.etcd else [])]
            for server in servers:
                await actor.way.lead(free_ports(), server.port)
            return
        if self._is_on_nats(actor):
            await actor.way.lead(free_ports(), self.nats.port)
            return
        for port in self.ports:
            here = free_ports()
            await actor.way.lead(here, port)
            await actor.way.lead(here + 1, port + 1)

    def _is_on_nats(self, actor: Actor) -> bool:
        return actor.index % 2 == 1

    def _instance_id(self, actor: Actor) -> int:
        return actor.index + 1 + 0x100 * actor.lives

    def command(self, actor: Actor) -> Sequence[str]:
        """Return what starts the present life."""
        log = str(actor.place)
        if actor.role == "daemon":
            return self._daemon(actor, log)
        codec = "json" if actor.index in {2, 3} else "msgpack"
        program = (sys.executable, "-m", f"tests.chaos.{actor.role}", self._url(actor), codec)
        if actor.role == "router":
            return (*program, log)
        seed = f"{self.schedule.seed}/{actor.name}/{actor.lives}"
        return (*program, str(TTL_S), str(self._instance_id(actor)), seed, log)

    def _daemon(self, actor: Actor, log: str) -> Sequence[str]:
        at = f"nats://127.0.0.1:{actor.way.ports[self.nats.port]}"
        flags = (
            *("--listen", f"zmq://127.0.0.1:{self.ports[actor.index]}", "--listen", at),
            *("--http", f"127.0.0.1:{self.health[actor.index]}", "--log-level", "info"),
        )
        if self.etcd:
            flags += ("--store", f"etcd://127.0.0.1:{actor.way.ports[self.etcd.port]}")
        return (sys.executable, "-m", "tests.chaos.daemon", log, *flags)

    def _url(self, actor: Actor) -> str:
        if self._is_on_nats(actor):
            return f"nats://127.0.0.1:{actor.way.ports[self.nats.port]}"
        heres = [actor.way.ports[port] for port in self.ports]
        shift = actor.index // 2 % len(heres)
        return "zmq://" + ",".join(f"127.0.0.1:{here}" for here in heres[shift:] + heres[:shift])

    async def is_ready(self, actor: Actor) -> bool:
        """Say whether a daemon serves."""
        url = f"http://127.0.0.1:{self.health[actor.index]}/readyz"

        def ask() -> bool:
            try:
                urllib.request.urlopen(url, timeout=1).close()
            except OSError:  # also its refusals
                return False
            return True

        return await asyncio.to_thread(ask)

    # ---- what befalls it

    async def befall(self, fault: Fault) -> None:
        """Let it happen, and be over again after its time."""
        actor = self.actors.get(fault.whom)
        one_by_one = nullcontext() if fault.what in WAYS_HURT else self._befalling[fault.whom]
        async with one_by_one:  # what takes longer than planned must not meet what comes next
            began_at, life = time.monotonic(), actor.lives if actor else 0
            await self._deeds[fault.what](self, fault)
        self.befell.append(Befell(began_at, time.monotonic(), fault.what, fault.whom, life))

    async def _kill(self, fault: Fault) -> None:
        server = self._server(fault.whom)
        if server:
            await asyncio.to_thread(server.kill)
            await asyncio.sleep(fault.for_s)
            await asyncio.to_thread(server.start)
            return
        actor = self.actors[fault.whom]
        await actor.kill()
        await asyncio.sleep(fault.for_s)
        actor.begin()

    async def _stop(self, fault: Fault) -> None:
        actor = self.actors[fault.whom]
        await actor.end()
        await asyncio.sleep(fault.for_s)
        actor.begin()

    async def _stand_still(self, fault: Fault) -> None:
        server = self._server(fault.whom)
        if server:
            server.pause()
            await asyncio.sleep(fault.for_s)
            server.resume()
            return
        life = self.actors[fault.whom].now
        if life.is_running:
            life.stop()
            await asyncio.sleep(fault.for_s)
            life.go_on()

    async def _exhaust(self, fault: Fault) -> None:
        actor, over_at = self.actors[fault.whom], time.monotonic() + fault.for_s
        while not await self.is_ready(actor):  # before that it would only fail to begin
            if time.monotonic() > over_at:
                return
            await asyncio.sleep(0.1)
        life = actor.now
        life.exhaust_files()
        await asyncio.sleep(fault.for_s)
        life.give_files()

    async def _hurt_way(self, fault: Fault) -> None:
        way = self.actors[fault.whom].way
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
        assert disk_usage(self.disk).total < _SMALL_BYTES, "not a disk of our own"
        ballast = self.disk / "ballast"
        with ballast.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                pass  # it is full
        await asyncio.sleep(fault.for_s)
        ballast.unlink()

    async def _step_clock(self, fault: Fault) -> None:
        self.actors[fault.whom].step_clock(self._rng.choice((-_STEP_S, _STEP_S)))

    async def _compact(self, _: Fault) -> None:
        at = await self.logged()
        if at > self._compacted:
            self._compacted = at
            await asyncio.to_thread(self.etcd.ctl, "compact", str(at))

    async def logged(self) -> int:
        """Wait until the log of etcd has all that was written; return up to which revision."""
        async with asyncio.timeout(PATIENCE_S):
            status = await asyncio.to_thread(
                self.etcd.ctl, "endpoint", "status", "--write-out", "fields"
            )
            rows = [row.split() for row in status.splitlines()]
            (at,) = [int(row[-1]) for row in rows if row[:1] == ['"Revision"']]
            while self.log.revision < at:
                await asyncio.sleep(0.01)
        return at

    def _server(self, name: str) -> Any:
        return {"nats": self.nats, "etcd": self.etcd}.get(name)

    _deeds: Mapping[str, Callable[[Fleet, Fault], Awaitable[None]]] = {
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

    # ---- the end

    def records(self, role: str) -> list[Path]:
        """Return what all lives of a role wrote, in no order."""
        return [path for path in self.folder.glob(f"{role}-*") if path.suffix != ".log"]
