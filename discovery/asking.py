"""When to ask for a sync: at most one request is under way, asked again later when it fails.

Sans-I/O.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random

    from discovery.protocol import SyncRequest

_RETRY_FIRST_S = 0.05
_RETRY_CAP_S = 2.0
_DOUBLINGS = 10


class Asking:
    """The request under way, or the time at which the next one may be sent."""

    def __init__(self, rng: random.Random) -> None:
        self.request: SyncRequest | None = None
        self.asked_at = 0.0
        self.ask_at = 0.0
        self.failures = 0
        """Requests in a row without a usable answer."""
        self.last_number = 0
        self._rng = rng

    def start(self, request: SyncRequest, now: float) -> None:
        """Note that `request` is sent now."""
        self.request, self.asked_at = request, now
        self.last_number = request.number

    def is_for(self, number: int) -> bool:
        """Say whether request `number` is the one under way."""
        return self.request is not None and self.request.number == number

    def done(self) -> None:
        """Note that the request is answered."""
        self.request, self.failures = None, 0

    def fail(self, now: float, after_s: float) -> None:
        """Give the request up; the next one is due `after_s` from now, and a little later.

        Being told when to come back is an answer, not a failure.
        """
        self.request = None
        self.failures += not after_s
        self.ask_at = now + after_s + self.backoff_s(self.failures + 1)

    def start_over(self, now: float) -> None:
        """Forget all that failed: another daemon is asked, and at once."""
        self.done()
        self.ask_at = now

    def backoff_s(self, failures: int) -> float:
        """Full jitter, AWS Architecture Blog, "Exponential Backoff And Jitter" (2015)."""
        most_s: float = _RETRY_FIRST_S * 2 ** min(failures, _DOUBLINGS)
        return self._rng.uniform(0.0, min(_RETRY_CAP_S, most_s))
