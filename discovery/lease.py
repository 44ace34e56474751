"""Deadlines of leases: who is still owed time. Sans-I/O: the caller owns the clock.

Renewal is O(1): the heap keeps one entry a lease, put in again only when it comes up too early. So
100,000 leases cost O(log n) a TTL each, and nothing between.
"""

from __future__ import annotations

import heapq

_SLACK = 64  # heap entries of ended leases that are not worth clearing away


class LeaseTable:
    """TTLs and deadlines by lease id. Times are seconds on any one clock that never runs back."""

    def __init__(self) -> None:
        self._ttl: dict[int, float] = {}
        self._deadline: dict[int, float] = {}
        self._heap: list[tuple[float, int]] = []
        # The one valid heap entry of a lease, also of one that ended.
        self._queued: dict[int, float] = {}
        self._renewed_all_at = float("-inf")

    def __len__(self) -> int:
        return len(self._ttl)

    def __contains__(self, lease_id: int) -> bool:
        return lease_id in self._ttl

    def grant(self, lease_id: int, ttl_s: float, now: float) -> None:
        """Start a lease. One of the same id is replaced, deadline and all."""
        self._ttl[lease_id] = ttl_s
        self._deadline[lease_id] = now + ttl_s
        if self._queued.get(lease_id, float("inf")) > now + ttl_s:
            self._queue(lease_id, now + ttl_s)

    def renew(self, lease_id: int, now: float) -> float | None:
        """Give a lease its full TTL again and return it.

        Returns None when the lease is unknown or past its deadline.
        """
        ttl_s = self._ttl.get(lease_id)
        if ttl_s is None or self._due(lease_id) <= now:
            return None
        self._deadline[lease_id] = now + ttl_s
        return ttl_s

    def renew_all(self, now: float) -> None:
        """Give every lease a full TTL from `now`, also one past its deadline. O(1)."""
        self._renewed_all_at = now

    def end(self, lease_id: int) -> bool:
        """Forget a lease; say whether there was one."""
        self._deadline.pop(lease_id, None)
        was_there = self._ttl.pop(lease_id, None) is not None
        if len(self._heap) > 2 * len(self._ttl) + _SLACK:
            self._clear_away()
        return was_there

    def expire(self, now: float) -> list[int]:
        """Forget and return the leases whose deadline has come, earliest deadline first."""
        ended: list[int] = []
        while (first := self.next_look()) is not None and first <= now:
            lease_id = heapq.heappop(self._heap)[1]
            del self._queued[lease_id]
            due = self._due(lease_id)
            if due <= first:
                self.end(lease_id)
                ended.append(lease_id)
            else:  # also when it is due by now: others may have been due before it
                self._queue(lease_id, due)
        return ended

    def next_look(self) -> float | None:
        """Time before which `expire` finds nothing; None when there is no lease.

        May be too early, never late.
        """
        while self._heap:
            when, lease_id = self._heap[0]
            if lease_id in self._ttl and self._queued[lease_id] == when:
                return when
            heapq.heappop(self._heap)
            if self._queued.get(lease_id) == when:
                del self._queued[lease_id]
        return None

    def remaining_s(self, lease_id: int, now: float) -> float | None:
        """Seconds until the deadline, None for an unknown lease."""
        return self._due(lease_id) - now if lease_id in self._ttl else None

    def _queue(self, lease_id: int, when: float) -> None:
        self._queued[lease_id] = when
        heapq.heappush(self._heap, (when, lease_id))

    def _clear_away(self) -> None:
        """Drop the entries of ended leases; their number pays for it."""
        self._queued = {i: when for i, when in self._queued.items() if i in self._ttl}
        self._heap = [(when, i) for i, when in self._queued.items()]
        heapq.heapify(self._heap)

    def _due(self, lease_id: int) -> float:
        return max(self._deadline[lease_id], self._renewed_all_at + self._ttl[lease_id])
