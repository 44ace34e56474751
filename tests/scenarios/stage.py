"""The stage of one story: who is on it, the clock, and what has been printed."""

from __future__ import annotations

import logging
import random
import re
from typing import TYPE_CHECKING, Protocol, TypeVar, cast

from discovery.keys import format_key
from discovery.store import Delete, Put
from discovery.wire import encode_record
from tests.scenarios.daemons import Daemon
from tests.scenarios.lines import Thief
from tests.scenarios.records import id_from_text, spec_from_text
from tests.scenarios.routers import Router
from tests.scenarios.workers import Worker
from tests.simulation.loop import VirtualLoop
from tests.simulation.storing import Server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from discovery.store import Store
    from tests.scenarios.lines import Line
    from tests.simulation.loop import Process
    from tests.simulation.world import World

T = TypeVar("T")

MOMENT_S = 0.1
"""How long everything takes that is no wait: enough for what follows from it at once."""
_TRIP_S, _NEXT_S = 0.001, 1e-6
_BEGAN_MS = 1_767_225_600_000  # 2026-01-01
_DAEMON_KEEPS = 20_000
_HEX_NAME = re.compile("[0-9a-f]{16}")


class StoryError(Exception):
    """A story says what cannot be, or something failed that no story tells of."""


class Actor(Protocol):
    """Whoever stops, dies and counts time as one."""

    process: Process

    def die(self) -> None:
        """End at once, without a word."""
        ...

    def describe(self) -> None:
        """Say how things stand."""
        ...


class Client(Actor, Protocol):
    """Whoever talks to daemons."""

    line: Line

    def go_to(self, daemon: str) -> None:
        """Talk to that one from now on."""
        ...


class _NoTruth:
    """Stands in for the judge of the simulation: here a story's reader judges."""

    def begin(self, _: Store) -> None: ...
    def note(self) -> None: ...


class _Steady(random.Random):
    """Delays that are always the same, but for a trifle: the later one is drawn, the longer."""

    drawn = 0

    def uniform(self, a: float, b: float) -> float:
        self.drawn += 1
        return (a + b) / 2 + self.drawn * _NEXT_S


class Stage:
    """Actors by name. It is also the `World` that the simulated store asks for what it needs."""

    def __init__(self) -> None:
        self.loop = VirtualLoop()
        self.faults: list[str] = []
        self.loop.on_fault = self.faults.append
        self.seed, self.rng, self.truth = "story", _Steady(), _NoTruth()
        self.is_over = False
        self.daemons: dict[str, Daemon] = {}
        self.servers: dict[str, Server] = {}
        self.clients: dict[str, Client] = {}
        self._said: list[str] = []
        self._names: dict[str, str] = {}
        self._ends_at = self._arrives_at = 0.0
        logger = logging.getLogger("discovery")
        self._log_level = logger.level
        logger.setLevel(logging.CRITICAL + 1)

    def close(self) -> None:
        """End it all."""
        self.is_over = True
        self.loop.wind_up()
        logging.getLogger("discovery").setLevel(self._log_level)

    @property
    def now(self) -> float:
        """The world's time in seconds."""
        return self.loop.now

    def own_rng(self, _: str) -> _Steady:
        """Nothing is left to chance."""
        return self.rng

    def now_ms(self) -> int:
        """Return the time on the wall."""
        return _BEGAN_MS + int(self.now * 1000)

    def deliver(self, do: Callable[[], None], to: Process) -> None:
        """Bring something to a process, in a millisecond.

        What is sent first arrives first, so that nothing depends on how a heap breaks ties.
        """
        self._arrives_at = max(self.now + _TRIP_S, self._arrives_at + _NEXT_S)
        self.loop.at(self._arrives_at - self.now, do, to)

    def count(self, _: str) -> None:
        """Take no note: nothing happens here by chance."""

    # ---- what happens

    def do(self, deeds: Iterable[Callable[[], None]]) -> list[str]:
        """Let things happen at one moment; return what is printed until the next one."""
        self._ends_at = self.now + MOMENT_S
        self.loop.at(0.0, lambda: self._begin(deeds))
        self.loop.run_until(lambda: self._ends_at < self.now or bool(self.faults))
        if self.faults:
            raise StoryError("; ".join(self.faults))
        said, self._said = self._said, []
        return said

    def _begin(self, deeds: Iterable[Callable[[], None]]) -> None:
        for deed in deeds:
            deed()
        self.loop.at(self._ends_at - self.now + 1e-9, lambda: None)

    def wait(self, for_s: int) -> None:
        """Let time pass."""
        self._ends_at = self.now + for_s

    def say(self, who: str, what: str) -> None:
        """Print something; names that are drawn at random are replaced by ones that are not."""
        self._said.append(f"{who}: {_HEX_NAME.sub(self._name_of, what)}")

    def call(self, drawn: str, name: str) -> None:
        """Say by what name something with a drawn one is printed."""
        self._names[drawn] = name

    def _name_of(self, found: re.Match[str]) -> str:
        epochs = sum(name.startswith("E") for name in self._names.values())
        return self._names.setdefault(found.group(), f"E{epochs + 1}")

    # ---- who is there

    def add_store(self, name: str) -> None:
        """Begin a store that several daemons can be on, with etcd's rules."""
        self.servers[name] = Server(cast("World", self))

    def add_daemon(self, name: str) -> None:
        """Start a daemon on a memory store of its own."""
        self._start(Daemon(self, name, keeps=_DAEMON_KEEPS))

    def add_forgetful_daemon(self, name: str, changes: int) -> None:
        """Start a daemon that can go back by so many changes only."""
        self._start(Daemon(self, name, keeps=changes))

    def add_daemon_on(self, name: str, store: str) -> None:
        """Start a daemon on a store that is there."""
        self._start(Daemon(self, name, keeps=_DAEMON_KEEPS, server=self.server(store)))

    def _start(self, daemon: Daemon) -> None:
        self.daemons[daemon.name] = daemon
        daemon.start()

    def add_worker(self, name: str, instance_id: str) -> None:
        """Start a process that may register something under that id, in hexadecimal."""
        self.clients[name] = Worker(self, name, int(instance_id, 16))

    def add_router(self, name: str, scope: str) -> None:
        """Start a process that watches a scope."""
        router = Router(self, name, tuple(scope.split("/")))
        self.clients[name] = router
        router.connect()

    def actor(self, name: str) -> Actor:
        """Return a daemon, worker or router."""
        return _found(name, {**self.daemons, **self.clients})

    def client(self, name: str) -> Client:
        """Return a worker or router."""
        return _found(name, self.clients)

    def worker(self, name: str) -> Worker:
        """Return a worker."""
        return _found(name, {n: c for n, c in self.clients.items() if isinstance(c, Worker)})

    def router(self, name: str) -> Router:
        """Return a router."""
        return _found(name, {c.name: c for c in self.routers})

    @property
    def routers(self) -> Sequence[Router]:
        """All of them."""
        return [c for c in self.clients.values() if isinstance(c, Router)]

    def daemon(self, name: str) -> Daemon:
        """Return a daemon."""
        return _found(name, self.daemons)

    def server(self, name: str) -> Server:
        """Return a store that several daemons can be on."""
        return _found(name, self.servers)

    # ---- what befalls them

    def stand_still(self, name: str) -> None:
        """Stop a process or a store, as SIGSTOP does."""
        self._process(name).is_paused = True

    def go_on(self, name: str) -> None:
        """Let go on what was stopped."""
        self.loop.resume(self._process(name))

    def lag(self, daemon: str, store: str, for_s: int) -> None:
        """Let nothing of what the store tells reach a daemon for a while; requests do."""
        (way,) = (w for w in self.server(store).ways if w.daemon.process is self._process(daemon))
        way.stall(for_s)

    def repeat(self, op: str, worker: str, daemon: str) -> None:
        """Deliver a copy of what a worker sent before."""
        Thief(self, f"copy of {worker}'s {op}").send(
            self.daemon(daemon), _found(op, self.worker(worker).line.sent)
        )

    def steal(self, op: str, worker: str, daemon: str) -> None:
        """Send in a worker's name what only it may send, without its token."""
        Thief(self, f"thief's {op}").pretend(
            self.daemon(daemon), _found(op, self.worker(worker).line.sent)
        )

    def write(self, instance_id: str, item: str, store: str) -> None:
        """Write a record as a peer does: without asking a daemon, a lease or a guard."""
        number = int(instance_id, 16)
        instance = spec_from_text(item, number).instance(number)
        put = Put(format_key(instance.id), encode_record(instance))
        self.server(store).do(lambda memory: memory.commit([put]))

    def delete(self, instance_id: str, item: str, store: str) -> None:
        """Delete a record as a peer does."""
        delete = Delete(format_key(id_from_text(item, int(instance_id, 16))))
        self.server(store).do(lambda memory: memory.commit([delete]))

    def _process(self, name: str) -> Process:
        everybody: dict[str, Actor | Server] = {**self.daemons, **self.clients, **self.servers}
        return _found(name, everybody).process


def _found(name: str, among: dict[str, T]) -> T:
    if name not in among:
        raise StoryError(f"{name!r} is not there: {', '.join(among)} are")
    return among[name]
