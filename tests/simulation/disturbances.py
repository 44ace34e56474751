"""What befalls a world from outside, numbered, so that any of it can be left out."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random
    from collections.abc import Callable
    from collections.abc import Set as AbstractSet

    from tests.simulation.world import World


class Disturbances:
    """Series of actions and faults. Each of them draws from a generator of its own.

    Args:
        world: is disturbed until it is calm.
        only: the names of those that happen; None for all.
    """

    def __init__(self, world: World, only: AbstractSet[str] | None) -> None:
        self.happened: list[str] = []
        self._world, self._only = world, only

    def series(
        self, letter: str, between_s: tuple[float, float], do: Callable[[random.Random], None]
    ) -> None:
        """Do something again and again; the third of letter "f" is named "f3"."""
        world, waits = self._world, self._world.own_rng(f"waits/{letter}")

        def next_one(number: int) -> None:
            if world.is_calm:
                return
            world.loop.at(waits.uniform(*between_s), lambda: next_one(number + 1))
            name = f"{letter}{number}"
            if self._only is None or name in self._only:
                self.happened.append(name)
                do(world.own_rng(name))

        world.loop.at(waits.uniform(*between_s), lambda: next_one(1))
