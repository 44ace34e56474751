"""The real feed against the real follower in small unkind worlds; see tests/support/world.py.

A failing seed prints itself: `World(seed).run()` plays it again.
"""

from __future__ import annotations

from collections import Counter

import pytest

from tests.support.world import World

BLOCKS, SEEDS_A_BLOCK = 10, 30
FAULTS = [
    "lost",
    "corrupted",
    "crash",
    "pause",
    "stall",
    "relist",
    "restore",
    "expired",
    "foreign",
    "failover",
    "moved",
    "gaps",
    "epochs",
    "backfills",
    "snapshots",
    "corruptions",
    "overflows",
    "refusals",
    "events",
    "cut off",
    "event parts",
    "beat parts",
]


@pytest.mark.parametrize("block", range(BLOCKS))
def test_a_watcher_is_right_whatever_happens_between_it_and_the_daemon(block: int) -> None:
    counts: Counter[str] = Counter()
    for seed in range(block * SEEDS_A_BLOCK, (block + 1) * SEEDS_A_BLOCK):
        world = World(seed)
        assert world.run() == []
        counts.update(world.counts)
    assert [fault for fault in FAULTS if not counts[fault]] == [], "these never happened"


def test_the_same_seed_is_the_same_world() -> None:
    one, two = World(7), World(7)
    one.run()
    two.run()
    assert one.counts == two.counts
    assert one.now == two.now
