"""The latest changes, kept for watchers that fell behind. Sans-I/O."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from discovery.mirror import Surfaced

_OVERHEAD_BYTES = 64  # numbers, cause and framing of one change on the wire


class Ring:
    """Every change after revision `floor`, bounded in number and in weight; the oldest go first."""

    def __init__(self, floor: int, *, changes: int, weight_bytes: int) -> None:
        self.floor = floor
        self._most_changes, self._most_bytes = changes, weight_bytes
        self._commits: deque[tuple[int, Sequence[Surfaced]]] = deque()
        self._changes = self._bytes = 0

    def push(self, revision: int, shown: Sequence[Surfaced]) -> list[Surfaced]:
        """Add what one revision did; return the changes that had to go."""
        self._commits.append((revision, shown))
        self._changes += len(shown)
        self._bytes += sum(map(weight_of, shown))
        gone: list[Surfaced] = []
        while self._changes > self._most_changes or self._bytes > self._most_bytes:
            self.floor, dropped = self._commits.popleft()
            self._changes -= len(dropped)
            self._bytes -= sum(map(weight_of, dropped))
            gone += dropped
        return gone

    def after(self, revision: int) -> Iterable[tuple[int, Sequence[Surfaced]]]:
        """Yield the commits after `revision`, newest first; it must not be below `floor`."""
        for commit in reversed(self._commits):
            if commit[0] <= revision:
                return
            yield commit


def weight_of(surfaced: Surfaced) -> int:
    """Return about how many bytes a change takes in a message."""
    value = len(surfaced.entry.value) if surfaced.entry else 0
    return _OVERHEAD_BYTES + len(surfaced.key) + value
