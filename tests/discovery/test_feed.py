from __future__ import annotations

from typing import TYPE_CHECKING, Any

from discovery.events import Cause
from discovery.feed import Feed
from discovery.protocol import item_digest
from tests.support.records import (
    ENDPOINTS,
    EP,
    KIND,
    batch,
    endpoint_key,
    gone,
    model_key,
    put_endpoint,
    put_model,
)

if TYPE_CHECKING:
    from discovery.protocol import Beat, Event, Record
    from discovery.store import Change

TOP = ("endpoints",)
F = ("endpoints", "n", "c", "f")
LARGE = 1 << 20


def feed_at(revision: int = 10, *changes: Change, **limits: Any) -> Feed:
    sizes = {"window_beats": 5, "ring_changes": 100, "ring_bytes": LARGE, "part_bytes": LARGE}
    feed = Feed(daemon="d", **(sizes | limits))
    feed.start("e1", revision, [c.entry for c in changes if c.entry])
    return feed


def publish(feed: Feed, revision: int, *changes: Change) -> list[Event[Record]]:
    return feed.publish(batch(revision, *changes), is_doubtful=False)


def beat(feed: Feed) -> list[Beat]:
    return feed.beat(is_recovering=False, age_s=0.5, time_s=7.0)


# ---- events


def test_a_commit_is_one_event_for_each_leaf_scope_with_the_heads_before_it() -> None:
    feed = feed_at(10)
    publish(feed, 11, put_endpoint(11, 1))
    changes = (put_endpoint(13, 2), put_endpoint(13, 3, endpoint="f"), put_model(13, 2, "A"))
    events = feed.publish(batch(13, *changes), is_doubtful=True)
    assert [(e.scope, e.prev, e.parts, e.part) for e in events] == [
        (ENDPOINTS, (11, 11, 11, 11), (2, 2, 2, 1), 0),
        (F, (11, 11, 11, 10), (2, 2, 2, 1), 1),
        (EP, (10, 10, 10, 10), (1, 1, 1, 1), 2),
    ]
    assert {(e.daemon, e.epoch, e.revision, e.is_doubtful) for e in events} == {
        ("d", "e1", 13, True)
    }
    assert feed.head(TOP) == 13
    assert feed.head(ENDPOINTS) == 13
    assert feed.head(("models",)) == 13


def test_what_nobody_can_see_is_no_event_but_moves_the_head_of_the_beats() -> None:
    feed = feed_at(10, put_model(5, 1, "A"))
    assert publish(feed, 11, put_model(11, 2, "B")) == []
    assert beat(feed)[0].head == 11
    assert feed.head(KIND) == 10


def test_a_removal_carries_its_cause_and_no_value() -> None:
    feed = feed_at(10, put_endpoint(5, 1))
    (event,) = publish(feed, 11, gone(endpoint_key(1), Cause.LEASE_EXPIRED))
    (record,) = event.changes
    assert (record.key, record.value, record.cause) == (endpoint_key(1), None, Cause.LEASE_EXPIRED)


def test_an_event_that_is_too_heavy_comes_in_parts_and_each_level_counts_its_own() -> None:
    one = len(endpoint_key(1)) + 64 + 200
    feed = feed_at(10, part_bytes=2 * one)
    changes = [put_endpoint(11, owner) for owner in range(1, 6)]
    events = publish(feed, 11, *changes, put_endpoint(11, 9, endpoint="f"))
    assert [len(event.changes) for event in events] == [2, 2, 1, 1]
    assert [event.part for event in events] == [0, 1, 2, 3]
    assert [event.parts for event in events] == [(4, 4, 4, 3)] * 3 + [(4, 4, 4, 1)]
    assert {event.prev for event in events} == {(10, 10, 10, 10)}


def test_a_change_heavier_than_a_part_is_a_part_of_its_own() -> None:
    feed = feed_at(10, part_bytes=1)
    events = publish(feed, 11, put_endpoint(11, 1), put_endpoint(11, 2))
    assert [len(event.changes) for event in events] == [1, 1]


# ---- what a start forgets


def test_a_daemon_knows_nothing_older_than_its_start_however_old_the_keys_are() -> None:
    feed = feed_at(10, put_endpoint(3, 1))
    assert feed.head(ENDPOINTS) == 10
    (event,) = publish(feed, 11, put_endpoint(11, 2))
    assert event.prev == (10, 10, 10, 10)


def test_after_compaction_chain_ring_and_window_begin_anew() -> None:
    feed = feed_at(10)
    publish(feed, 11, put_endpoint(11, 1))
    beat(feed)
    feed.start("e1", 20, ())
    assert feed.backfill(TOP, "e1", 11) is None
    assert feed.floor == 20
    (said,) = beat(feed)
    assert (said.number, said.window, said.head, said.scopes) == (2, 20, 20, [])
    (event,) = publish(feed, 21, put_endpoint(21, 1))
    assert event.prev == (20, 20, 20, 20)


# ---- beats


def test_a_beat_lists_what_changed_with_its_head_and_digest() -> None:
    feed = feed_at(10)
    publish(feed, 11, put_endpoint(11, 1))
    (said,) = beat(feed)
    assert [(h.scope, h.head) for h in said.scopes] == [
        (TOP, 11),
        (("endpoints", "n"), 11),
        (("endpoints", "n", "c"), 11),
        (ENDPOINTS, 11),
    ]
    assert {h.digest for h in said.scopes} == {item_digest(endpoint_key(1), 11)}
    assert (said.daemon, said.epoch, said.number) == ("d", "e1", 1)
    assert (said.head, said.window, said.part, said.parts) == (11, 10, 0, 1)
    assert (said.is_recovering, said.age_s, said.time_s) == (False, 0.5, 7.0)


def test_a_scope_not_listed_has_not_changed_after_the_window() -> None:
    feed = feed_at(10, window_beats=2)
    said = []
    for revision in range(11, 16):
        publish(feed, revision, put_endpoint(revision, revision, endpoint=f"e{revision}"))
        said += beat(feed)
    assert [b.window for b in said] == [10, 10, 11, 12, 13]
    for each in said:
        leaves = {h.scope[3] for h in each.scopes if len(h.scope) == 4}
        assert leaves == {f"e{r}" for r in range(each.window + 1, each.head + 1)}


def test_a_beat_that_is_too_heavy_comes_in_parts_none_above_the_limit() -> None:
    feed = feed_at(10, part_bytes=200)
    publish(feed, 11, put_endpoint(11, 1), put_endpoint(11, 2, endpoint="f"))
    said = beat(feed)
    assert [len(b.scopes) for b in said] == [2, 2, 1]
    assert {(b.number, b.parts) for b in said} == {(1, 3)}
    assert [b.part for b in said] == [0, 1, 2]


def test_scopes_heavier_than_a_part_each_have_their_own_and_no_part_is_empty() -> None:
    feed = feed_at(10, part_bytes=1)
    publish(feed, 11, put_endpoint(11, 1))
    assert [len(b.scopes) for b in beat(feed)] == [1, 1, 1, 1]


# ---- sync


def test_a_backfill_has_what_came_after_within_the_scope_in_order() -> None:
    feed = feed_at(10)
    publish(feed, 11, put_endpoint(11, 1))
    publish(feed, 12, put_endpoint(12, 2, endpoint="f"))
    publish(feed, 13, gone(endpoint_key(1)), put_endpoint(13, 3))
    commits = feed.backfill(TOP, "e1", 10)
    assert commits is not None
    assert [c.revision for c in commits] == [11, 12, 13]
    commits = feed.backfill(ENDPOINTS, "e1", 11)
    assert commits is not None
    assert [(c.revision, [r.key for r in c.changes]) for c in commits] == [
        (13, [endpoint_key(1), endpoint_key(3)])
    ]
    assert feed.backfill(F, "e1", 12) == []
    assert feed.backfill(KIND, "e1", 10) == []


def test_a_snapshot_is_needed_below_the_floor_ahead_of_the_head_or_from_another_epoch() -> None:
    feed = feed_at(10, ring_changes=2)
    for revision in (11, 12, 13):
        publish(feed, revision, put_endpoint(revision, 1))
    assert feed.floor == 11
    assert feed.backfill(TOP, "e1", 10) is None
    commits = feed.backfill(TOP, "e1", 11)
    assert commits is not None
    assert [c.revision for c in commits] == [12, 13]
    assert feed.backfill(TOP, "e1", 13) == []
    assert feed.backfill(TOP, "e1", 14) is None
    assert feed.backfill(TOP, "e0", 12) is None
    assert feed.backfill(TOP, None, 12) is None


def test_a_snapshot_has_what_is_visible() -> None:
    feed = feed_at(10, put_model(5, 1, "A"), put_model(6, 2, "B"))
    (record,) = feed.snapshot(KIND)
    assert (record.key, record.revision, record.cause) == (model_key(1), 5, None)
    assert feed.snapshot(F) == []


# ---- scopes that are let go of


def test_an_empty_scope_is_forgotten_and_who_missed_its_end_still_finds_a_gap() -> None:
    feed = feed_at(10, ring_changes=2)
    publish(feed, 11, put_endpoint(11, 1))
    publish(feed, 12, gone(endpoint_key(1)))
    for revision in (13, 14):
        publish(feed, revision, put_endpoint(revision, 2, endpoint="f"))
    assert ENDPOINTS not in feed._heads
    assert F in feed._heads
    assert feed.head(ENDPOINTS) == 12
    (event,) = publish(feed, 15, put_endpoint(15, 3))
    assert event.prev[3] == 12  # above 11, so a watcher that stands there asks
    assert feed.floor >= 12


def test_a_scope_that_changed_again_or_is_not_empty_is_kept() -> None:
    feed = feed_at(10, ring_changes=1)
    publish(feed, 11, put_endpoint(11, 1))
    publish(feed, 12, put_endpoint(12, 1))
    publish(feed, 13, put_model(13, 1, "A"))
    assert feed._heads[ENDPOINTS] == 12


def test_scopes_that_come_and_go_for_ever_leave_nothing_behind() -> None:
    feed = feed_at(10, ring_changes=4)
    for revision in range(11, 211, 2):
        name = f"e{revision}"
        publish(feed, revision, put_endpoint(revision, 1, endpoint=name))
        publish(feed, revision + 1, gone(endpoint_key(1, name)))
    assert len(feed._heads) < 12
