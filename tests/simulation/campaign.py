"""Many worlds, what became of them, and whether all that can happen did."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.simulation.world import STEPS, World

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MUST_HAPPEN = (
    "adapters",
    "answers",
    "backfills",
    "beats in parts",
    "bursts",
    "callers gone",
    "changes spoiled",
    "channels",
    "compactions",
    "conflicts",
    "corruptions",
    "daemon crashes",
    "daemon pauses",
    "daemons cut off from the store",
    "deleted and added again",
    "empty and synced",
    "epochs",
    "epochs lost",
    "events in parts",
    "expiries",
    "failovers",
    "foreign writes",
    "gaps",
    "goodbyes",
    "guardless worlds",
    "leases lost",
    "lists",
    "lost in bursts",
    "messages cut off",
    "messages late",
    "messages lost",
    "messages twice",
    "one-way partitions",
    "orderly worlds",
    "outages",
    "overflows",
    "partitions",
    "pauses noticed",
    "put off",
    "registrations lost",
    "relists",
    "restless worlds",
    "router crashes",
    "router pauses",
    "snapshots",
    "stale",
    "store answers lost",
    "store away",
    "store cut off",
    "thefts tried",
    "units across kinds",
    "watch stalls",
    "worker crashes",
    "worker pauses",
    "workers left",
    "workers moved on",
)
_CHUNK = 10


@dataclass
class Result:
    """What became of some seeds: the first fault of each bad one, and how often what happened."""

    broken: dict[int, str] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)

    @property
    def missing(self) -> list[str]:
        """What should have happened at least once, and did not."""
        return [name for name in MUST_HAPPEN if not self.counts[name]]


def play(seeds: Iterable[int], steps: int = STEPS) -> Result:
    """Play seeds one after another."""
    result = Result()
    for seed in seeds:
        world = World(seed, steps=steps)
        broken = world.run()
        result.counts += world.counts
        if broken:
            result.broken[seed] = str(broken)
    return result


def play_all(seeds: Sequence[int], *, jobs: int, steps: int = STEPS) -> Result:
    """Play seeds in several processes; what comes back does not depend on how many."""
    if jobs == 1:
        return play(seeds, steps)
    total = Result()
    runs = [seeds[at : at + _CHUNK] for at in range(0, len(seeds), _CHUNK)]
    with ProcessPoolExecutor(jobs) as pool:
        for result in pool.map(play, runs, [steps] * len(runs)):
            total.broken |= result.broken
            total.counts += result.counts
    return total
