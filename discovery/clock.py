"""The wall clock for timestamps, and a clock for durations that two threads compare."""

from __future__ import annotations

import time


def now_ms() -> int:
    """Return the milliseconds since 1970-01-01T00:00:00Z; may go back when the clock is set."""
    return time.time_ns() // 1_000_000


def monotonic_s() -> float:
    """Return seconds on a clock that never runs backwards, the same on every thread.

    For what two threads compare; within one event loop, use that loop's `time()`.
    """
    return time.monotonic()
