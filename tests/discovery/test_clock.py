"""discovery.clock: timestamps."""

from __future__ import annotations

import time

from discovery.clock import now_ms


def test_the_clock_counts_whole_milliseconds_since_1970():
    before = int(time.time() * 1000)
    now = now_ms()
    assert isinstance(now, int)
    assert before <= now <= before + 10_000
