"""When a daemon may not believe that a lease's end means death. Sans-I/O."""

from __future__ import annotations


class Recovery:
    """A stretch of time after a start or a pause, in which workers may not have been heard.

    Until it is over, watchers that come from before hold back the removals of leases that ended.
    """

    def __init__(self, window_s: float) -> None:
        self.window_s = window_s
        self.begun = 0
        self._until = float("-inf")

    def begin(self, now: float) -> None:
        """Start a full window at `now`; one that is open is prolonged."""
        self.begun += 1
        self._until = now + self.window_s

    def is_on(self, now: float) -> bool:
        """Say whether the window is open."""
        return now < self._until
