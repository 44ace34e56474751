"""What one publisher's numbers say of its events: which are missing, come twice, late, or anew.

A publisher counts its events from 0. Who joins later has missed what came before; that is counted
apart from what was lost since. A number that was passed over stays wanted for a while: when its
event comes after all, it counts as reordered and no more as lost.

Numbers that start anew under the same id are told from repeated ones by the time at which their
events were published. So a publisher whose clock is set back while it restarts seems to repeat
itself, until that time is reached again.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple

MAX_WANTED: Final = 256
"""How many ranges of missing numbers are remembered for one publisher, the newest; an event of an
older one that comes after all counts as a duplicate."""


class Gap(NamedTuple):
    """Numbers that were passed over, both ends included."""

    first: int
    last: int

    @property
    def size(self) -> int:
        """How many they are."""
        return self.last - self.first + 1


class Verdict(Enum):
    """What an event is, by its number."""

    NEXT = "next"
    AHEAD = "ahead"
    LATE = "late"
    DUPLICATE = "duplicate"
    RESTARTED = "restarted"


class Finding(NamedTuple):
    """What an event is, and which before it are thereby lost; a duplicate is not to be used."""

    verdict: Verdict
    gap: Gap | None = None


@dataclass(slots=True)
class Tally:
    """Events of a publisher, by what became of them.

    What it has sent is `received` + `lost` + `missed`, once its end is known.
    """

    received: int = 0
    """Arrived, each counted once."""

    lost: int = 0
    """Have not arrived, though later ones have, or cannot be read."""

    missed: int = 0
    """Were published before the first that arrived."""

    duplicates: int = 0
    """Arrived again."""

    reordered: int = 0
    """Arrived after later ones."""

    restarts: int = 0
    """How often the numbers started anew."""


_NEXT: Final = Finding(Verdict.NEXT)
_LATE: Final = Finding(Verdict.LATE)
_DUPLICATE: Final = Finding(Verdict.DUPLICATE)


class Sequence:
    """The numbers of one publisher, in the order in which its events arrive."""

    __slots__ = ("_joined_at", "_newest_ms", "_tail", "_wanted", "expected", "tally")

    def __init__(self) -> None:
        self.tally = Tally()
        self.expected = 0
        """The number that comes next."""
        self._joined_at: int | None = None
        self._newest_ms = -1
        self._wanted: list[Gap] = []  # sorted
        self._tail: Gap | None = None
        """The last ones, when their end was told before they came."""

    def receive(self, sequence: int, published_at: int) -> Finding:
        """Take the number of an event that has arrived, and when it was published, in Unix ms."""
        if sequence == self.expected and self._joined_at is not None:
            found = _NEXT
            self.expected = sequence + 1
        elif self._joined_at is None:
            found = _NEXT
            self._join(sequence)
        elif sequence > self.expected:
            found = Finding(Verdict.AHEAD, self._pass_over(sequence))
        else:
            found = self._look_back(sequence, published_at)
        if found is _DUPLICATE:
            self.tally.duplicates += 1
        else:
            self.tally.received += 1
            self._newest_ms = max(self._newest_ms, published_at)
        return found

    def spoil(self, sequence: int) -> Gap | None:
        """Take the number of an event that cannot be read; return what is lost, it included.

        One that is not new is not counted: it may be a duplicate, and else is counted already.
        """
        if self._joined_at is None:
            self._join(sequence)
            self.tally.lost += 1
            return Gap(sequence, sequence)
        if sequence < self.expected:
            return None
        return self._pass_over(sequence, and_it=True)

    def finish(self, count: int) -> Gap | None:
        """Take how many events there are in all; return which of the last ones are lost.

        Who has received none of them has missed them.
        """
        if self._joined_at is None:
            self._join(count)
            self.expected, self._tail = count, Gap(0, count - 1)
            return None
        if count <= self.expected:
            return None
        self._tail = self._pass_over(count - 1, and_it=True)
        return self._tail

    def _join(self, sequence: int) -> None:
        self._joined_at = sequence
        self.expected = sequence + 1
        self.tally.missed += sequence
        if sequence:
            self._wanted.append(Gap(0, sequence - 1))

    def _pass_over(self, sequence: int, *, and_it: bool = False) -> Gap:
        """Go on after `sequence`, and want what is skipped."""
        gap = Gap(self.expected, sequence if and_it else sequence - 1)
        self.expected = sequence + 1
        self.tally.lost += gap.size
        self._wanted.append(gap)
        if len(self._wanted) > MAX_WANTED:
            del self._wanted[0]
        return gap

    def _look_back(self, sequence: int, published_at: int) -> Finding:
        """Say what an event is whose number is below the one that comes next."""
        is_of_tail = self._tail is not None and self._tail.first <= sequence <= self._tail.last
        if published_at > self._newest_ms and not is_of_tail:
            return self._restart(sequence)
        at = bisect_right(self._wanted, sequence, key=lambda gap: gap.first) - 1
        if at < 0 or self._wanted[at].last < sequence:
            return _DUPLICATE
        first, last = self._wanted[at]
        rest = [Gap(first, sequence - 1), Gap(sequence + 1, last)]
        self._wanted[at : at + 1] = [gap for gap in rest if gap.size]
        del self._wanted[:-MAX_WANTED]
        self.tally.reordered += 1
        if sequence < (self._joined_at or 0):
            self.tally.missed -= 1
        else:
            self.tally.lost -= 1
        return _LATE

    def _restart(self, sequence: int) -> Finding:
        self.tally.restarts += 1
        self.expected = self._joined_at = 0
        self._tail = None
        self._wanted.clear()
        gap = self._pass_over(sequence) if sequence else None
        self.expected = sequence + 1
        return Finding(Verdict.RESTARTED, gap)
