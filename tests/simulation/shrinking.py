"""The smallest world that still goes wrong in the same way, so that its story is short."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.simulation.story import Broken, shortened, summary
from tests.simulation.world import STEPS, World

if TYPE_CHECKING:
    from collections.abc import Sequence

_MOST_RUNS = 150
"""Counted, not timed: what is printed depends on the seed alone."""


@dataclass(frozen=True)
class Smallest:
    """The disturbances that it takes, in order, and what is broken then."""

    disturbances: Sequence[str]
    broken: Broken


def shrink(seed: int, *, steps: int = STEPS, most_runs: int = _MOST_RUNS) -> Smallest | None:
    """Leave out all that the fault of a seed does not need; None if there is no fault.

    Halves are tried first, then smaller runs, then single disturbances (delta debugging).
    """
    world = World(seed, steps=steps)
    broken = world.run()
    if broken is None:
        return None
    kept, kind, runs = world.disturbances.happened, broken.kind, 0
    size = len(kept)
    while size and runs < most_runs:
        at = 0
        while at < len(kept) and runs < most_runs:
            runs += 1
            world = World(seed, steps=steps, only=frozenset((*kept[:at], *kept[at + size :])))
            found = world.run()
            if found and found.kind == kind:
                kept, broken = world.disturbances.happened, found
            else:
                at += size
        size //= 2
    return Smallest(kept, broken)


def tell(seed: int, *, steps: int = STEPS, bug: str | None = None) -> list[str]:
    """Return the shortened story of a seed that fails, and how to play it; else nothing."""
    smallest = shrink(seed, steps=steps)
    if smallest is None:
        return []
    only = ",".join(smallest.disturbances) or "none"
    world = World(seed, steps=steps, only=frozenset(smallest.disturbances), is_traced=True)
    broken = world.run()
    assert broken == smallest.broken, "the same world came out otherwise"
    options = f" --steps {steps}" if steps != STEPS else ""
    options += f' --bug "{bug}"' if bug else ""
    return [
        f"Seed {seed}, left with {len(smallest.disturbances)} disturbances ({only}):",
        *shortened(world.story, broken, world.daemon_of(broken.who)),
        summary(broken),
        f"Again: python -m tests.simulation --seed {seed}{options} --only {only} [--trace]",
    ]
