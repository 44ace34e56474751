from __future__ import annotations

import json

import pytest

from discovery.chunks import Chunks
from discovery.events import Cause
from discovery.feed import Feed
from discovery.keys import format_key
from discovery.link import Answer
from discovery.protocol import Commit, Record
from discovery.reading import answer_from_wire
from discovery.store import Batch, Change, Entry
from discovery.wire import encode_record
from tests.discovery.test_reading import RESULT
from tests.support.specs import endpoint, model
from transports.codec import JSON, MSGPACK
from transports.frame import MAX_FRAME_BYTES, unpack

CODECS = pytest.mark.parametrize("codec", [JSON, MSGPACK], ids=lambda codec: codec.name)
ALL = ("endpoints",)


def entry(number: int, revision: int = 5) -> Entry:
    instance = endpoint().instance(number)
    return Entry(format_key(instance.id), encode_record(instance), revision, revision, number)


def new_feed(count: int) -> Feed:
    feed = Feed(
        daemon="d", window_beats=5, ring_changes=9999, ring_bytes=1 << 30, part_bytes=1 << 20
    )
    feed.start("e", 10, [entry(number) for number in range(1, count + 1)])
    return feed


def put(feed: Feed, revision: int, *numbers: int) -> None:
    changes = tuple(Change(entry(n, revision).key, entry(n, revision)) for n in numbers)
    feed.publish(Batch(revision, changes), is_doubtful=False)


def keys_of(chunks) -> list[str]:
    answer = Answer(RESULT | {"chunks": len(chunks)}, [unpack(c)[1] for c in chunks])
    return [change.key for change in answer_from_wire(1, answer).snapshot or ()]


@CODECS
def test_a_snapshot_is_split_into_chunks_of_the_weight_asked_for(codec):
    feed = new_feed(200)
    chunks = Chunks(feed, chunk_bytes=4096).of_snapshot(ALL, codec)
    assert len(chunks) > 10
    assert all(len(chunk) <= 4096 for chunk in chunks)
    assert sorted(keys_of(chunks)) == sorted(e.key for e in feed.mirror.under(ALL))


@CODECS
def test_an_empty_scope_has_no_chunks_and_costs_nothing(codec):
    chunks = Chunks(new_feed(1), chunk_bytes=4096)
    for number in range(1000):
        assert chunks.of_snapshot(("endpoints", f"ns{number}"), codec) == []
    assert not chunks._cache


@CODECS
def test_a_record_heavier_than_a_chunk_is_a_chunk_and_fits_into_a_frame(codec):
    card = {"display_name": "m", "text": '"\\\n' * 40_000}
    instance = model().instance(1)
    key = format_key(instance.id)
    record = json.loads(encode_record(instance))
    record["card_json"] = card
    value = json.dumps(record).encode()
    assert len(value) > 200_000
    feed = new_feed(0)
    feed.start("e", 10, [Entry(key, value, 5, 5, 1)])
    (chunk,) = Chunks(feed, chunk_bytes=4096).of_snapshot(("models",), codec)
    assert len(chunk) <= MAX_FRAME_BYTES
    assert keys_of([chunk]) == [key]


def test_a_snapshot_is_encoded_once_while_its_scope_rests():
    feed = new_feed(3)
    chunks = Chunks(feed, chunk_bytes=4096)
    first = chunks.of_snapshot(ALL, JSON)
    put(feed, 11, 99)
    instance = model().instance(1)
    other = Entry(format_key(instance.id), encode_record(instance), 12, 12, 1)
    second = chunks.of_snapshot(ALL, JSON)
    feed.publish(Batch(12, (Change(other.key, other),)), is_doubtful=False)
    assert second is not first
    assert chunks.of_snapshot(ALL, JSON) is second
    assert chunks.of_snapshot(ALL, MSGPACK) is not second


def test_of_a_scope_only_its_newest_snapshot_is_kept():
    feed = new_feed(3)
    chunks = Chunks(feed, chunk_bytes=4096)
    for revision in range(11, 50):
        put(feed, revision, 1)
        size = sum(map(len, chunks.of_snapshot(ALL, JSON)))
    assert chunks._cached_bytes == size
    assert len(chunks._cache) == 1


def test_a_new_epoch_is_never_answered_from_the_old_one():
    feed = new_feed(3)
    chunks = Chunks(feed, chunk_bytes=4096)
    chunks.of_snapshot(ALL, JSON)
    feed.start("other", 10, [entry(7)])
    assert keys_of(chunks.of_snapshot(ALL, JSON)) == [entry(7).key]


def test_the_least_used_snapshot_gives_way_when_too_much_is_kept():
    feed = new_feed(3)
    one = sum(map(len, Chunks(feed, chunk_bytes=4096).of_snapshot(ALL, JSON)))
    chunks = Chunks(feed, chunk_bytes=4096, cache_bytes=2 * one + 50)
    scopes = [ALL, (*ALL, "prod"), (*ALL, "prod", "vllm")]
    first = chunks.of_snapshot(scopes[0], JSON)
    chunks.of_snapshot(scopes[1], JSON)
    assert chunks.of_snapshot(scopes[0], JSON) is first
    chunks.of_snapshot(scopes[2], JSON)
    assert chunks.of_snapshot(scopes[0], JSON) is first
    assert len(chunks._cache) == 2
    assert chunks._cached_bytes <= 2 * one + 50


def test_one_snapshot_is_kept_however_heavy():
    chunks = Chunks(new_feed(3), chunk_bytes=4096, cache_bytes=1)
    assert chunks.of_snapshot(ALL, JSON) is chunks.of_snapshot(ALL, JSON)


@CODECS
def test_a_backfill_keeps_commits_in_order_and_may_split_a_big_one(codec):
    def record(number: int) -> Record:
        return Record(f"v1/instances/n/c/e/{number:x}", 7, b"x" * 100)

    commits = [
        Commit(7, [record(1), record(2)]),
        Commit(8, [record(n) for n in range(200)]),
        Commit(9, [Record("gone", 0, None, Cause.REVOKED)]),
    ]
    chunks = Chunks(new_feed(0), chunk_bytes=4096).of_backfill(commits, codec)
    assert len(chunks) > 3
    result = RESULT | {"kind": "backfill", "chunks": len(chunks)}
    read = answer_from_wire(1, Answer(result, [unpack(c)[1] for c in chunks]))
    assert [(c.revision, len(c.changes)) for c in read.commits or ()] == [(7, 2), (8, 200), (9, 1)]


@CODECS
def test_an_empty_backfill_has_no_chunks(codec):
    assert Chunks(new_feed(0), chunk_bytes=4096).of_backfill([], codec) == []
