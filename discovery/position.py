"""Where a view stands in the line of revisions. Sans-I/O."""

from __future__ import annotations


class Position:
    """An epoch and a revision of it: revisions of different epochs cannot be compared.

    Epochs have no order of their own. Which of two is the later one is told by when they were
    proven: a store that is in an epoch at an instant after we entered ours is in a later one.
    """

    def __init__(self) -> None:
        self.epoch: str | None = None
        self.revision = -1
        """-1 before the first answer."""
        self._entered_at = float("-inf")

    def is_in(self, epoch: str) -> bool:
        """Say whether `epoch` is ours."""
        return epoch == self.epoch

    def includes(self, revision: int) -> bool:
        """Say whether a change of our epoch is in the view already."""
        return revision <= self.revision

    def lacks(self, previous: int) -> bool:
        """Say whether a change of our scope that came before is missing, or may be."""
        return previous > self.revision

    def is_after(self, epoch: str, revision: int, proven_at: float) -> bool:
        """Say whether to go there may be to go back in time.

        `proven_at` is an instant at which the store was there, at the latest that is sure. Of
        another epoch than ours it must be after we entered ours, else it may be an earlier one, of
        a daemon that lags.
        """
        if self.is_in(epoch):
            return revision < self.revision
        return self.epoch is not None and proven_at < self._entered_at

    def advance(self, revision: int) -> None:
        """Go on to `revision` of our epoch."""
        self.revision = revision

    def enter(self, epoch: str, revision: int, now: float) -> bool:
        """Go to `revision` of `epoch`; return whether another epoch is left for it."""
        is_left = self.epoch is not None and epoch != self.epoch
        if epoch != self.epoch:
            self._entered_at = now
        self.epoch, self.revision = epoch, revision
        return is_left
