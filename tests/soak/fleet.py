"""The fleet of a soak: etcd, daemons, routers and workers, each a process, and what it is told."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from tests.soak.talk import answer, part
from tests.support.etcd import etcd_server
from tests.support.processes import daemon, free_ports
from transports.scope import running

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from tests.support.etcd import Etcd
    from tests.support.processes import Program

_DOOMED = 0.03  # of the workers are in a process that is killed without a word
_LONGEST_LIFE_S = 20.0


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How big, how long, how wild. Times in seconds."""

    length_s: float = 3600.0
    round_s: float = 60.0
    workers: int = 2000
    streams: int = 200
    changes_per_s: float = 25.0
    ttl_s: float = 10.0
    processes: int = 4  # of workers, and of routers
    seed: int = 0


class Fleet:
    """Made of programs that can all be made calm. Enter it."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        self.plan = plan
        self.etcd: Etcd
        self.programs: dict[str, Program] = {}
        self.ports: list[int] = []
        self.http: list[str] = []
        self.killed: Counter[str] = Counter()
        self._folder = folder
        self._rng = random.Random(plan.seed)
        self._calm, self._go, self._resting = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._doomed: Program
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            self.etcd = stack.enter_context(
                etcd_server(self._folder, "--auto-compaction-retention", "5m")
            )
            for _ in range(2):
                await self._add_daemon(stack)
            await self._add_parts(stack)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._stack.__aexit__(*exc)

    async def _add_daemon(self, stack: AsyncExitStack) -> None:
        self.ports.append(free_ports())
        self.http.append(f"127.0.0.1:{free_ports()}")
        where = ("--store", self.etcd.url, "--http", self.http[-1])
        flags = (*where, "--lease-recovery-s", str(self.plan.ttl_s))
        running_one = await stack.enter_async_context(daemon(self.ports[-1], *flags))
        self.programs[f"daemon {len(self.ports)}"] = running_one

    async def _add_parts(self, stack: AsyncExitStack) -> None:
        doomed = round(self.plan.workers * _DOOMED)
        per_s = self.plan.changes_per_s / self.plan.processes
        for n in range(self.plan.processes):
            workers = self._share(self.plan.workers - doomed, n)
            arguments = (self._url(n), self.plan.ttl_s, self._seed(), workers, per_s)
            program = await stack.enter_async_context(part("workers", *arguments))
            self.programs[f"workers {n + 1}"] = program
        for n in range(self.plan.processes):
            arguments = (self._url(n + 1), self._seed(), self._share(self.plan.streams, n))
            program = await stack.enter_async_context(part("routers", *arguments))
            self.programs[f"routers {n + 1}"] = program
        for program in self._named("workers", "routers"):
            await answer(program)
        await stack.enter_async_context(running(self._let_die(doomed)))

    def _url(self, number: int) -> str:
        """The daemons, another one first for every second process."""
        ports = self.ports if number % 2 == 0 else self.ports[::-1]
        return "zmq://" + ",".join(f"127.0.0.1:{port}" for port in ports)

    def _share(self, count: int, number: int) -> int:
        return len(range(number, count, self.plan.processes))

    def _seed(self) -> int:
        return self._rng.randrange(1 << 32)

    def _named(self, *kinds: str) -> list[Program]:
        return [it for name, it in self.programs.items() if name.split()[0] in kinds]

    async def _let_die(self, count: int) -> None:
        """Workers whose leases end without a word: their process is killed, another one comes."""
        while True:
            arguments = (self._url(0), self.plan.ttl_s, self._seed(), count, 1)
            async with part("workers", *arguments) as self._doomed:
                await answer(self._doomed)
                try:
                    async with asyncio.timeout(self._rng.uniform(0.0, _LONGEST_LIFE_S)):
                        await self._calm.wait()
                    self._resting.set()
                    await self._go.wait()
                except TimeoutError:
                    pass
            self.killed["processes killed"] += 1
            self.killed["workers killed"] += count

    @asynccontextmanager
    async def still(self) -> AsyncGenerator[Calm]:
        """Let nothing be changed and no stream be opened while the block runs."""
        self._resting.clear()
        self._go.clear()
        self._calm.set()
        await self._resting.wait()
        workers = [self._doomed, *self._named("workers")]
        programs = [*workers, *self._named("routers")]
        for program in programs:
            program.tell("calm")
        said = [await answer(program) for program in programs]
        calm = Calm({}, Counter(), [])
        for one in said:
            calm.facts |= one.get("facts", {})
            calm.failures += one.get("failures", [])
        for one in said[1:]:
            calm.done.update(one["done"])
        yield calm
        for program in programs:
            program.tell("go")
        self._calm.clear()
        self._go.set()


@dataclass
class Calm:
    """What workers say they have registered, what was done so far, who was refused for good."""

    facts: dict[str, str]
    done: Counter[str]
    failures: list[str]
