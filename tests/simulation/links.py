"""Links that lose, repeat, delay and reorder, and are cut, one way or both."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from tests.simulation.loop import Process
    from tests.simulation.world import World

Way = Literal["there", "back", "events"]
_WAYS: tuple[Way, ...] = ("there", "back", "events")


@dataclass(frozen=True)
class Odds:
    """How unkind a world's links are; all are probabilities of one message."""

    drop: float = 0.0
    twice: float = 0.0
    late: float = 0.0
    burst: float = 0.0


def odds_from(rng: random.Random, *, is_orderly: bool) -> Odds:
    """Draw the odds of a world."""
    if is_orderly:
        return Odds()
    return Odds(
        drop=rng.choice((0.0, 0.0, 0.02, 0.12)),
        twice=rng.choice((0.0, 0.03, 0.1)),
        late=rng.choice((0.0, 0.0, 0.02, 0.15)),
        burst=rng.choice((0.0, 0.0, 0.3)),
    )


class Link:
    """Between one client and whatever daemon it talks to.

    Args:
        world: whose odds it has.
        rng: draws what becomes of its messages; by default the one that the world gives just now.
    """

    def __init__(self, world: World, rng: random.Random | None = None) -> None:
        self.world = world
        self.rng = rng or world.rng
        self.hurt_at = -100.0
        """When a message was last lost, repeated or late."""
        self._arrived_at = dict.fromkeys(_WAYS, 0.0)
        self.mend()

    def mend(self) -> None:
        """Be cut no more."""
        self.cut_until = dict.fromkeys(_WAYS, 0.0)

    def cut(self, ways: tuple[Way, ...], for_s: float) -> None:
        """Carry nothing that way for a while."""
        self.world.count("partitions" if len(ways) > 1 else "one-way partitions")
        for way in ways:
            self.cut_until[way] = max(self.cut_until[way], self.world.now + for_s)

    def carry(self, way: Way, deliver: Callable[[], None], process: Process) -> None:
        """Bring a message to a process: later, never, or more than once."""
        world, rng = self.world, self.rng
        if world.now < max(self.cut_until[way], world.deaf_until):
            self._hurt("messages cut off" if world.now >= world.deaf_until else "lost in bursts")
            return
        if world.chance(world.odds.drop, rng):
            self._hurt("messages lost")
            return
        copies = 1
        if world.chance(world.odds.twice, rng):
            world.count("messages twice")
            copies = 2
        for copy in range(copies):
            late_s = rng.uniform(0.0005, 0.01)
            if world.chance(world.odds.late, rng) or (copy and rng.random() < 0.5):
                self._hurt("messages late")
                late_s += rng.choice((rng.uniform(0, 0.05), rng.uniform(0, 1.5), rng.uniform(0, 6)))
            if world.is_orderly:
                late_s = self._in_turn(way, late_s)
            world.loop.at(late_s, deliver, process)

    def _in_turn(self, way: Way, late_s: float) -> float:
        """Return a delay that does not overtake the message before."""
        at = max(self.world.now + late_s, self._arrived_at[way] + 1e-6)
        self._arrived_at[way] = at
        return at - self.world.now

    def _hurt(self, how: str) -> None:
        self.hurt_at = self.world.now
        self.world.count(how)
