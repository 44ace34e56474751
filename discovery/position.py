"""Where a view stands in the line of revisions. Sans-I/O."""

from __future__ import annotations

from collections import deque

_PAST_EPOCHS_REMEMBERED = 16


class Position:
    """An epoch and a revision of it: revisions of different epochs cannot be compared."""

    def __init__(self) -> None:
        self.epoch: str | None = None
        self.revision = -1
        """-1 before the first answer."""
        self._past: deque[str] = deque(maxlen=_PAST_EPOCHS_REMEMBERED)

    def is_in(self, epoch: str) -> bool:
        """Say whether `epoch` is ours."""
        return epoch == self.epoch

    def has_left(self, epoch: str) -> bool:
        """Say whether `epoch` is one that was ours: who speaks of it lags behind."""
        return epoch in self._past

    def includes(self, revision: int) -> bool:
        """Say whether a change of our epoch is in the view already."""
        return revision <= self.revision

    def lacks(self, previous: int) -> bool:
        """Say whether a change of our scope that came before is missing, or may be."""
        return previous > self.revision

    def is_after(self, epoch: str, revision: int) -> bool:
        """Say whether to go there would be to go back in time."""
        return self.has_left(epoch) or (self.is_in(epoch) and revision < self.revision)

    def advance(self, revision: int) -> None:
        """Go on to `revision` of our epoch."""
        self.revision = revision

    def enter(self, epoch: str, revision: int) -> bool:
        """Go to `revision` of `epoch`; return whether another epoch is left for it."""
        is_left = self.epoch is not None and epoch != self.epoch
        if self.epoch is not None and is_left:
            self._past.append(self.epoch)
        self.epoch, self.revision = epoch, revision
        return is_left
