"""How much is measured."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Scale:
    """All of it, or with `is_quick` just enough to see that it works."""

    is_quick: bool

    @property
    def rounds(self) -> int:
        """What is measured is the median of so many."""
        return 1 if self.is_quick else 5

    @property
    def sizes(self) -> tuple[int, ...]:
        """Numbers of instances."""
        return (100, 1_000) if self.is_quick else (1_000, 10_000, 100_000)

    @property
    def streams(self) -> tuple[int, ...]:
        return (1, 20) if self.is_quick else (1, 100, 1_000)

    def of(self, count: int) -> int:
        """Return `count`, or a twentieth of it."""
        return count // 20 if self.is_quick else count
