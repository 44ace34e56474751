from __future__ import annotations

from discovery.mirror import Surfaced
from discovery.ring import Ring, weight_of
from discovery.store import Entry
from tests.support.records import EP


def change(key: str, size: int = 0) -> Surfaced:
    return Surfaced(EP, key, Entry(key, b"x" * size, 1, 1, None) if size else None)


def test_it_gives_what_came_after_a_revision_newest_first() -> None:
    ring = Ring(10, changes=10, weight_bytes=10_000)
    for revision in (11, 13, 15):
        assert ring.push(revision, [change("k")]) == []
    assert [r for r, _ in ring.after(11)] == [15, 13]
    assert [r for r, _ in ring.after(10)] == [15, 13, 11]
    assert list(ring.after(15)) == []
    assert ring.floor == 10


def test_the_oldest_commits_go_whole_when_there_are_too_many_changes() -> None:
    ring = Ring(0, changes=3, weight_bytes=10_000)
    ring.push(1, [change("a"), change("b")])
    assert [s.key for s in ring.push(2, [change("c"), change("d")])] == ["a", "b"]
    assert ring.floor == 1


def test_the_oldest_commits_go_when_they_are_too_heavy() -> None:
    ring = Ring(0, changes=100, weight_bytes=2 * weight_of(change("a", 100)))
    for revision in (1, 2, 3):
        ring.push(revision, [change("a", 100)])
    assert ring.floor == 1


def test_a_commit_larger_than_the_ring_leaves_it_empty() -> None:
    ring = Ring(0, changes=1, weight_bytes=10_000)
    ring.push(1, [change("a")])
    assert len(ring.push(2, [change("b"), change("c")])) == 3
    assert ring.floor == 2
    assert list(ring.after(2)) == []
