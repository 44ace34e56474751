"""A bounded queue of events for one reader; full, it drops the oldest and says which.

What was dropped is older than all that waits, so it is told first: per publisher, as ranges of
sequence numbers, before anything else that is taken.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final, Generic, NamedTuple, TypeVar

from transports.sequence import Gap

if TYPE_CHECKING:
    from collections.abc import Sequence

T = TypeVar("T")

MAX_RANGES: Final = 1024
"""How many ranges of dropped events are told apart; beyond, one publisher's run together."""


class Dropped(NamedTuple):
    """A range of one publisher's events that the reader does not get, both ends included."""

    publisher_id: int
    gap: Gap


class _Letter(NamedTuple, Generic[T]):
    item: T
    publisher_id: int
    gap: Gap | None
    size: int


class Mailbox(Generic[T]):
    """Items in order of their arrival, at most `max_items` with at most `max_bytes` in all.

    An item larger than `max_bytes` alone is let in, alone.

    Args:
        max_items: at least 1.
        max_bytes: of the sizes that `put` is told.
    """

    def __init__(self, *, max_items: int, max_bytes: int) -> None:
        self.dropped = 0
        """How many events were dropped, ever."""
        self._max_items, self._max_bytes = max_items, max_bytes
        self._bytes = 0
        self._letters: deque[_Letter[T]] = deque()
        self._ranges: dict[int, list[Gap]] = {}
        self._range_count = 0

    def __len__(self) -> int:
        return len(self._letters) + self._range_count

    def put(self, item: T, publisher_id: int, gap: Gap | None, size: int = 0) -> Sequence[int]:
        """Add an item, and drop what there is no more room for; return whose events that are.

        Args:
            item: what the reader is given.
            publisher_id: whose it is.
            gap: the numbers of the event, or the events, that the item is or tells of; None when
                it tells of none: such an item is dropped without a trace.
            size: its bytes; 0 says that it is no event but tells of some, or of something else.
        """
        self._letters.append(_Letter(item, publisher_id, gap, size))
        self._bytes += size
        if len(self._letters) <= self._max_items and self._bytes <= self._max_bytes:
            return ()
        losers: list[int] = []
        while len(self._letters) > 1 and (
            len(self._letters) > self._max_items or self._bytes > self._max_bytes
        ):
            letter = self._letters.popleft()
            self._drop(letter)
            if letter.size:
                losers.append(letter.publisher_id)
        return losers

    def take(self, most: int) -> tuple[list[Dropped], list[T]]:
        """Take what was dropped, all of it, and up to `most` items, oldest first."""
        dropped = [Dropped(whose, gap) for whose, gaps in self._ranges.items() for gap in gaps]
        self._ranges.clear()
        self._range_count = 0
        letters = self._letters
        taken = [letters.popleft() for _ in range(min(most, len(letters)))]
        self._bytes -= sum(letter.size for letter in taken)
        return dropped, [letter.item for letter in taken]

    def _drop(self, letter: _Letter[T]) -> None:
        self._bytes -= letter.size
        self.dropped += bool(letter.size)
        if letter.gap is None:
            return
        gaps = self._ranges.setdefault(letter.publisher_id, [])
        if gaps and (gaps[-1].last + 1 == letter.gap.first or self._range_count >= MAX_RANGES):
            old = gaps[-1]
            gaps[-1] = Gap(min(old.first, letter.gap.first), max(old.last, letter.gap.last))
        else:
            gaps.append(letter.gap)
            self._range_count += 1
