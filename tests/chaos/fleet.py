"""The processes of one run, and how they reach each other."""

from __future__ import annotations

import asyncio
import sys
import time
import urllib.request
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Self

from tests.chaos.actor import Actor
from tests.chaos.deeds import Deeds
from tests.chaos.etcdlog import EtcdLog
from tests.chaos.schedule import DAEMONS, ROUTERS, TTL_S, WORKERS
from tests.support.etcd import Etcd
from tests.support.nats import Nats
from tests.support.processes import PATIENCE_S, free_ports

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from tests.chaos.schedule import Schedule


class Fleet:
    """All processes of a run, while entered. Everything they write is in `folder`."""

    def __init__(self, schedule: Schedule, folder: Path, disk: Path) -> None:
        self.schedule, self.folder, self.disk = schedule, folder, disk
        self.actors: dict[str, Actor] = {}
        self.ports: list[int] = []
        self.health: list[int] = []
        self.deeds = Deeds(self)
        self.born: dict[int, tuple[str, float]] = {}
        """Name and time of birth of the worker with each instance id."""
        self.nats = Nats(folder)
        self.etcd = None if schedule.is_memory else Etcd(folder)
        self.log: EtcdLog | None = None
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

    # ---- what was written

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

    def records(self, role: str) -> list[Path]:
        """Return what all lives of a role wrote, in no order."""
        return [path for path in self.folder.glob(f"{role}-*") if path.suffix != ".log"]
