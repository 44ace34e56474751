"""A lease as its owner knows it: its token, and when to renew it or to try again. Sans-I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random

_TOKEN_BITS = 128
_RETRY_FIRST_S = 0.05
_RETRY_CAP_S = 1.0
_JITTER = 0.2  # renewals come up to this part earlier than asked for, so that a fleet spreads out


class Holding:
    """One incarnation of a lease; `call` is its own request under way, 0 when there is none."""

    def __init__(self, rng: random.Random) -> None:
        self.call = 0
        self.renew_s = _RETRY_CAP_S
        self.renewed_at = self.renew_at = float("-inf")
        self.retry_at = float("-inf")
        self._rng = rng
        self._failures = 0
        self._sequence = 0
        self._token = ""

    @property
    def has_token(self) -> bool:
        """A daemon may know this incarnation."""
        return bool(self._token)

    def token(self) -> str:
        """Return what proves that requests come from this incarnation; drawn when first needed."""
        self._token = self._token or f"{self._rng.getrandbits(_TOKEN_BITS):032x}"
        return self._token

    def begin_anew(self) -> None:
        """Forget the token: the next request is that of another incarnation."""
        self._token, self._sequence = "", 0

    def next_sequence(self) -> int:
        """Return the number of the next attempt of a request."""
        self._sequence += 1
        return self._sequence

    def renewed(self, renew_s: float, now: float) -> None:
        """Note an answer that gave the full TTL again, and asked to be back in `renew_s`."""
        self.call, self._failures, self.renew_s = 0, 0, renew_s
        self.renewed_at = now
        self.renew_at = now + renew_s * self._rng.uniform(1 - _JITTER, 1.0)

    def retry_later(self, now: float) -> None:
        """Note that the lease's own request got nowhere."""
        self._failures += 1
        self.call = 0
        self.retry_at = self.renew_at = now + self.backoff_s(self._failures)

    def hurry(self, now: float) -> None:
        """Wait no longer than until `now`."""
        self.retry_at, self.renew_at = min(self.retry_at, now), min(self.renew_at, now)

    def backoff_s(self, failures: int) -> float:
        """Full jitter, AWS Architecture Blog, "Exponential Backoff And Jitter" (2015).

        Never longer than between two renewals: a worker retries faster than its TTL runs out.
        """
        cap_s = min(_RETRY_CAP_S, self.renew_s)
        return self._rng.uniform(0.0, min(cap_s, _RETRY_FIRST_S * 2 ** min(failures, 10)))
