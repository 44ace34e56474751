from __future__ import annotations

from discovery.watchers import Watchers

SCOPE = ("models", "prod")


def test_a_stream_is_known_from_its_last_request():
    watchers = Watchers()
    watchers.seen("a", SCOPE, 7, 1.0)
    watchers.seen("a", SCOPE, 9, 2.0)
    (watcher,) = watchers.now(3.0)
    assert (watcher.client, watcher.scope, watcher.revision, watcher.seen_at) == (
        "a",
        SCOPE,
        9,
        2.0,
    )


def test_streams_are_told_apart_by_client_and_scope():
    watchers = Watchers()
    watchers.seen("a", SCOPE, 7, 1.0)
    watchers.seen("b", SCOPE, 7, 1.0)
    watchers.seen("a", ("models",), 7, 1.0)
    assert len(watchers.now(1.0)) == 3


def test_the_longest_silent_comes_first_and_is_forgotten_first():
    watchers = Watchers()
    watchers.seen("a", SCOPE, 7, 0.0)
    watchers.seen("b", SCOPE, 7, 1.0)
    watchers.seen("a", SCOPE, 7, 2.0)
    assert [w.client for w in watchers.now(2.0)] == ["b", "a"]
    assert [w.client for w in watchers.now(31.5)] == ["a"]
    assert watchers.now(33.0) == []


def test_a_new_stream_takes_the_place_of_the_longest_silent():
    watchers = Watchers(limit=2)
    for number, client in enumerate("abc"):
        watchers.seen(client, SCOPE, 7, float(number))
    assert [w.client for w in watchers.now(3.0)] == ["b", "c"]
    watchers.seen("b", SCOPE, 8, 4.0)
    assert [w.client for w in watchers.now(4.0)] == ["c", "b"]
