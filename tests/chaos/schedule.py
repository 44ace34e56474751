"""What goes wrong when, and to whom: drawn from a seed, before anything runs."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

TTL_S = 6.0  # twice the silence after which a NATS server is left (docs/operator.md)
DAEMONS, WORKERS, ROUTERS = 3, 6, 4
_LEAD_S = 1.0  # between two faults of one process


@dataclass(frozen=True)
class Fault:
    """Something that befalls one of the processes, or the way of one to another."""

    at_s: float
    what: str
    whom: str
    for_s: float = 0.0

    @property
    def ends_s(self) -> float:
        return self.at_s + self.for_s

    def __str__(self) -> str:
        lasts = f", for {self.for_s:.1f} s" if self.for_s else ""
        return f"{self.at_s:5.1f}  {self.whom}: {self.what}{lasts}"


@dataclass(frozen=True)
class Schedule:
    """One run: which world, and what befalls it."""

    seed: int
    lasts_s: float
    is_memory: bool
    is_orderly: bool
    """One daemon at a time is in trouble, and the next one when its leases have had their time."""
    faults: Sequence[Fault]

    def lines(self) -> list[str]:
        """Say it for a person."""
        kind = "one daemon in memory" if self.is_memory else f"{DAEMONS} daemons on etcd"
        turns = ", one in trouble at a time" if self.is_orderly and not self.is_memory else ""
        return [f"seed {self.seed}: {kind}{turns}, {self.lasts_s:.0f} s", *map(str, self.faults)]


# How long each lasts at least and at most, in seconds; some are longer than the TTL.
_PROCESS: Mapping[str, tuple[float, float]] = {
    "killed": (0.5, 8.0),
    "stands still": (0.5, 9.0),
}
WAYS_HURT: Mapping[str, tuple[float, float]] = {
    "connections cut": (0.1, 5.0),
    "connections slow": (2.0, 6.0),
    "connections silent": (1.0, 8.0),
    "answers held back": (1.0, 8.0),
}
_DAEMON: Mapping[str, tuple[float, float]] = {
    "stopped in good order": (0.5, 6.0),
    "descriptors exhausted": (2.0, 6.0),
}
_CLOCK = "clock steps"
_DISK = "disk of the logs full"


def drawn(seed: int, lasts_s: float) -> Schedule:
    """Return the schedule of a seed: each kind of fault, half of them twice, if there is room."""
    rng = random.Random(seed)
    is_memory, is_orderly = rng.random() < 0.25, rng.random() < 0.7
    busy: dict[str, list[tuple[float, float]]] = {}
    faults: list[Fault] = []
    kinds = _kinds(is_memory=is_memory)
    for what, whom, (least_s, most_s) in [*kinds, *rng.sample(kinds, len(kinds) // 2)]:
        for_s = rng.uniform(least_s, most_s)
        target = rng.choice(whom)
        is_in_turn = is_orderly and target.startswith("daemon") and what != _CLOCK
        place, lead_s = ("daemons", TTL_S) if is_in_turn else (_place(what, target), _LEAD_S)
        at_s = _free(rng, busy.setdefault(place, []), for_s, lead_s, lasts_s)
        if at_s is not None:
            faults.append(Fault(at_s, what, target, for_s))
    faults.sort(key=lambda fault: fault.at_s)
    return Schedule(seed, lasts_s, is_memory, is_orderly, faults)


def _kinds(*, is_memory: bool) -> list[tuple[str, Sequence[str], tuple[float, float]]]:
    daemons = [f"daemon {i}" for i in range(1 if is_memory else DAEMONS)]
    workers = [f"worker {i}" for i in range(WORKERS)]
    routers = [f"router {i}" for i in range(ROUTERS)]
    servers = ["nats"] if is_memory else ["nats", "etcd"]
    kinds: list[tuple[str, Sequence[str], tuple[float, float]]] = []
    for what, span in _PROCESS.items():
        kinds += [(what, group, span) for group in (daemons, workers, routers)]
        kinds += [(what, [server], span) for server in servers]
    for what, span in WAYS_HURT.items():
        clients = [workers, routers] if is_memory else [daemons, workers, routers]
        kinds += [(what, group, span) for group in clients]
    kinds += [(what, daemons, span) for what, span in _DAEMON.items()]
    kinds += [(_DISK, ["logs"], (2.0, 8.0))]
    kinds += [(_CLOCK, [group[0]], (0.0, 0.0)) for group in (daemons, workers, routers)] * 2
    if not is_memory:
        kinds += [("compacted", ["etcd"], (0.0, 0.0))] * 3
    return kinds


def _place(what: str, target: str) -> str:
    """Return what can suffer one fault at a time: a process, or its way."""
    if what in WAYS_HURT:
        return f"way of {target}"
    return f"clock of {target}" if what == _CLOCK else target


def _free(
    rng: random.Random,
    busy: list[tuple[float, float]],
    for_s: float,
    lead_s: float,
    lasts_s: float,
) -> float | None:
    """Find a time at which nothing else is wrong there."""
    for _ in range(30):
        at_s = rng.uniform(1.0, lasts_s)
        if all(at_s > end + lead_s or at_s + for_s + lead_s < begin for begin, end in busy):
            busy.append((at_s, at_s + for_s))
            return at_s
    return None
