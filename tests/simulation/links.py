"""Links that lose, repeat, delay and reorder, and are cut, one way or both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.simulation.loop import Process
    from tests.simulation.world import World

Way = Literal["there", "back", "events"]


@dataclass
class Odds:
    """How unkind a world's links are; all are probabilities of one message."""

    drop: float
    twice: float
    late: float
    burst: float


class Link:
    """Between one client and whatever daemon it talks to."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.cut_until: dict[Way, float] = {"there": 0.0, "back": 0.0, "events": 0.0}
        self.hurt_at = -100.0
        """When a message was last lost, repeated or late."""

    def cut(self, ways: tuple[Way, ...], for_s: float) -> None:
        """Carry nothing that way for a while."""
        self.world.count("partitions" if len(ways) > 1 else "one-way partitions")
        for way in ways:
            self.cut_until[way] = max(self.cut_until[way], self.world.now + for_s)

    def carry(self, way: Way, deliver: Callable[[], None], process: Process) -> None:
        """Bring a message to a process: later, never, or more than once."""
        world, rng = self.world, self.world.rng
        if world.now < max(self.cut_until[way], world.deaf_until):
            self._hurt("messages cut off" if world.now >= world.deaf_until else "lost in bursts")
            return
        if world.chance(world.odds.drop):
            self._hurt("messages lost")
            return
        copies = 1
        if world.chance(world.odds.twice):
            world.count("messages twice")
            copies = 2
        for copy in range(copies):
            late_s = rng.uniform(0.0005, 0.01)
            if world.chance(world.odds.late) or (copy and rng.random() < 0.5):
                self._hurt("messages late")
                late_s += rng.choice((rng.uniform(0, 0.05), rng.uniform(0, 1.5), rng.uniform(0, 6)))
            world.loop.at(late_s, deliver, process)

    def _hurt(self, how: str) -> None:
        self.hurt_at = self.world.now
        self.world.count(how)
