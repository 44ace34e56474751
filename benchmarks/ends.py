"""Ways in which a worker ends, and what a router was told of each: ours, and the peer's."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from harness import child, etcd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from contextlib import AbstractContextManager
    from multiprocessing.connection import Connection

    Changes = list[tuple[int, int, bool]]
    """When (ns), of which worker, and whether it came or went."""

AWAY_S = 30.0
"""For so long a worker that was continued is waited for."""
_ENDS_WITHIN_S = 6.0
_PATIENCE_S = 60.0
_POLL_S = 0.05


@dataclass(frozen=True)
class Kind:
    """A way to end: by a signal, or in order with None; its TTL, or None for the default."""

    name: str
    ttl_s: float | None
    signal: int | None = None


STAYS = Kind("stays", 3)
STOPPED = Kind("SIGSTOP", 3, signal.SIGSTOP)
KINDS = (
    Kind("in order", 10),
    Kind("SIGTERM", 10, signal.SIGTERM),
    Kind("Ctrl-C", 10, signal.SIGINT),
    Kind("kill -9, TTL 3 s", 3, signal.SIGKILL),
    Kind("kill -9, TTL 10 s", 10, signal.SIGKILL),
    Kind("kill -9, TTL by default", None, signal.SIGKILL),
)


@dataclass(frozen=True)
class Side:
    """A system: how it is run on an etcd, and its processes, which get its URL."""

    serve: Callable[[str], AbstractContextManager[str]]
    watch: Callable[..., None]
    """`watch(pipe, url)` sends None once it watches, then `Changes` whenever it is asked."""
    work: Callable[..., None]
    """`work(pipe, url, ttl_s)` sends the worker's id; it ends in order when it is told."""


@dataclass
class _Worker:
    kind: Kind
    pipe: Connection
    id: int
    pid: int
    ended_ns: int = 0
    gone_ns: int = 0
    continued_ns: int = 0
    back_ns: int = 0

    def end(self) -> None:
        self.ended_ns = time.monotonic_ns()
        if self.kind.signal is None:
            self.pipe.send(None)
        else:
            os.kill(self.pid, self.kind.signal)

    def resume(self) -> None:
        self.continued_ns = time.monotonic_ns()
        os.kill(self.pid, signal.SIGCONT)

    def note(self, at: int, *, is_there: bool) -> bool:
        """Note what a router was told of it; return whether that was false."""
        if is_there and self.gone_ns and not self.back_ns:
            self.back_ns = at
        elif not is_there and self.ended_ns and at > self.ended_ns and not self.gone_ns:
            self.gone_ns = at
        return not is_there and at != self.gone_ns


@dataclass
class Ends:
    """What one round gave: seconds by kind, of those that were told at all."""

    gone_s: Mapping[Kind, list[float]] = field(default_factory=lambda: defaultdict(list))
    back_s: list[float] = field(default_factory=list)
    falsely: int = 0
    """Workers that were said to be gone and were not."""


def ends(side: Side, each: int) -> Ends:
    """Start so many workers of each kind before one router, end them all, and see what it sees."""
    with etcd() as url, ExitStack() as stack:
        where = stack.enter_context(side.serve(url))
        router = stack.enter_context(child(side.watch, where))
        router.recv()
        kinds = [kind for kind in (*KINDS, STOPPED, STAYS) for _ in range(each)]
        pipes = [stack.enter_context(child(side.work, where, kind.ttl_s)) for kind in kinds]
        workers = [_Worker(k, pipe, *pipe.recv()) for k, pipe in zip(kinds, pipes, strict=True)]
        told = _Told(router, workers)
        told.until(lambda: told.came >= {worker.id for worker in workers})
        random.shuffle(workers)  # so that each ends at any time between two renewals
        for worker in workers:
            if worker.kind is not STAYS:
                worker.end()
            time.sleep(_ENDS_WITHIN_S / len(workers))
        ending = [worker for worker in workers if worker.kind is not STAYS]
        told.until(lambda: all(worker.gone_ns for worker in ending), _continue(ending))
        stopped = [worker for worker in ending if worker.kind is STOPPED]
        last_s = max(worker.continued_ns for worker in stopped) / 1e9 + AWAY_S
        told.until(
            lambda: all(w.back_ns for w in stopped) or time.monotonic() > last_s,
        )
        return _ends(workers, told.falsely)


def _continue(workers: Iterable[_Worker]) -> Callable[[], None]:
    """Return what continues each that was stopped, as soon as it is said to be gone."""

    def go_on() -> None:
        for worker in workers:
            if worker.kind is STOPPED and worker.gone_ns and not worker.continued_ns:
                worker.resume()

    return go_on


class _Told:
    """What the router was told so far."""

    def __init__(self, router: Connection, workers: Iterable[_Worker]) -> None:
        self._router, self._workers = router, {worker.id: worker for worker in workers}
        self.came: set[int] = set()
        self.falsely = 0

    def until(self, is_so: Callable[[], bool], act: Callable[[], None] = lambda: None) -> None:
        """Ask on until something is so, and act each time."""
        deadline_s = time.monotonic() + _PATIENCE_S
        while True:
            self._router.send(None)
            changes: Changes = self._router.recv()
            for at, who, is_there in changes:
                self.falsely += self._workers[who].note(at, is_there=is_there)
                self.came |= {who} if is_there else set()
            act()
            if is_so():
                return
            if time.monotonic() > deadline_s:
                raise TimeoutError("the router was not told of all ends")
            time.sleep(_POLL_S)


def _ends(workers: Iterable[_Worker], falsely: int) -> Ends:
    found = Ends(falsely=falsely)
    for worker in workers:
        if worker.gone_ns:
            found.gone_s[worker.kind].append((worker.gone_ns - worker.ended_ns) / 1e9)
        if worker.back_ns:
            found.back_s.append((worker.back_ns - worker.continued_ns) / 1e9)
    return found
