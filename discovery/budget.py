"""A budget that refills with time. Sans-I/O."""

from __future__ import annotations


class Budget:
    """So many units a second, of which at most one second's worth is saved up.

    One request may overdraw it, so that none is too large for ever; the next then waits.
    """

    def __init__(self, per_s: float) -> None:
        self._per_s = per_s
        self._left = per_s
        self._at = float("-inf")

    def take(self, units: float, now: float) -> float:
        """Take `units` and return 0, or take nothing and return the seconds to wait."""
        self._left = min(self._per_s, self._left + max(0.0, now - self._at) * self._per_s)
        self._at = now
        if self._left <= 0:
            return -self._left / self._per_s or 1 / self._per_s
        self._left -= units
        return 0.0
