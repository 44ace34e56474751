"""What was written must come through the watch: it proves the view, or that the watch is silent.

Sans-I/O. Times are in seconds, of one monotonic clock.
"""

from __future__ import annotations

from collections import deque
from typing import Final

SILENT_AFTER_S: Final = 3.0


class Proofs:
    """Revisions that were written, in order, and when that was asked for."""

    def __init__(self) -> None:
        self.proven_at = float("-inf")
        """The view was up to date then."""
        self._due: deque[tuple[int, float]] = deque()

    def note(self, revision: int, asked_at: float) -> None:
        """Note what was written: a view that has it was up to date when that was asked for."""
        self._due.append((revision, asked_at))

    def settle(self, revision: int) -> None:
        """Note up to where the view is."""
        while self._due and self._due[0][0] <= revision:
            _, self.proven_at = self._due.popleft()

    def forget(self) -> None:
        """Expect nothing of what was written: it may never come."""
        self._due.clear()

    def is_silent(self, received: int, listening_since: float | None, now: float) -> bool:
        """Say whether a watch does not bring what was written long ago.

        Args:
            received: up to where it has brought everything.
            listening_since: when it began to wait for etcd over the connection that it has; what
                was written before is to come only from then on. None while it has no connection.
            now: the time.
        """
        if listening_since is None or not self._due or self._due[0][0] <= received:
            return False
        return now - max(self._due[0][1], listening_since) > SILENT_AFTER_S
