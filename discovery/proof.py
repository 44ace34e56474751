"""When a view was last known to equal the registry. Sans-I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from discovery.protocol import Beat, ItemChange, SyncAnswer


class Proof:
    """Instants on the consumer's clock, each at most as late as what it stands for.

    The daemon's clock reads `time_s` when a BEAT leaves, ours `time_s` plus an unknown offset. That
    is at least what we read when we asked, less what the daemon read when it answered; it is at
    most what we read when a BEAT arrives, less what the BEAT says. The first is used, and lowered
    when the second proves it too high, which happens when the clocks run at different speeds.
    """

    def __init__(self) -> None:
        self.proven_at = float("-inf")
        """The view held all that had been committed by then."""
        self.compared_at = float("-inf")
        """Its digest was last compared then."""
        self._offset_s = float("-inf")

    def by_answer(self, answer: SyncAnswer[ItemChange], *, asked_at: float, now: float) -> None:
        """The answer to what was asked at `asked_at` has been taken in, and its digest is equal."""
        self._offset_s = asked_at - answer.time_s
        self.compared_at = now
        self._prove(asked_at, answer.age_s)

    def by_beat(self, beat: Beat, now: float, *, compared_within_s: float | None) -> None:
        """A BEAT shows that the view equals the registry at its head.

        Args:
            beat: what was received.
            now: when.
            compared_within_s: None if digests were not compared. If the offset makes the BEAT
                older than this, the comparison does not count: an answer is soon asked for
                instead, and measures the offset anew.
        """
        self._offset_s = min(self._offset_s, now - beat.time_s)
        at = self._sent_at(beat, now)
        self._prove(at, beat.age_s)
        if compared_within_s is not None and now - at <= compared_within_s:
            self.compared_at = now

    def _sent_at(self, beat: Beat, now: float) -> float:
        return min(now, beat.time_s + self._offset_s)

    def _prove(self, at: float, age_s: float) -> None:
        self.proven_at = max(self.proven_at, at - age_s)
