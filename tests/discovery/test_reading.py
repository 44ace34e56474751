from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discovery.errors import UnavailableError
from discovery.events import Cause
from discovery.keys import format_key
from discovery.link import Answer
from discovery.protocol import Record
from discovery.reading import answer_from_wire, read_item, rows_from_wire
from discovery.wire import encode_record
from tests.discovery.test_fields import JUNK
from tests.support.specs import endpoint

INSTANCE = endpoint().instance(0xA)
KEY = format_key(INSTANCE.id)
TEXT = encode_record(INSTANCE).decode()
RECORD = [KEY, 7, TEXT, None]
RESULT = {
    "kind": "snapshot",
    "chunks": 1,
    "daemon": "d",
    "epoch": "e",
    "revision": 7,
    "digest": 1,
    "recovering": False,
    "doubtful": False,
    "age_s": 0.0,
    "time_s": 1.0,
}


def snapshot(*records: object) -> Answer:
    return Answer(RESULT, [{"chunk": [0, 1], "records": list(records)}])


def backfill(*chunks: list[object]) -> Answer:
    result = RESULT | {"kind": "backfill", "chunks": len(chunks)}
    numbered = [
        {"chunk": [number, len(chunks)], "commits": chunk} for number, chunk in enumerate(chunks)
    ]
    return Answer(result, numbered)


def test_a_record_is_read_into_its_instance():
    change = read_item(Record(KEY, 7, TEXT.encode()))
    assert change.item is not None
    assert change.item.instance == INSTANCE
    assert change.item.instance.revision == 7


def test_a_record_that_cannot_be_read_is_held_without_instance():
    change = read_item(Record(KEY, 7, b"{"))
    assert change.item is not None
    assert (change.item.revision, change.item.instance) == (7, None)


def test_a_removal_is_read_with_its_cause():
    change = read_item(Record(KEY, 0, None, Cause.REVOKED))
    assert (change.key, change.item, change.cause) == (KEY, None, Cause.REVOKED)


def test_one_record_that_cannot_be_read_spoils_no_other():
    read = answer_from_wire(3, snapshot(["v1/instances/x", 5, "{", None], RECORD))
    assert read.number == 3
    assert read.commits is None
    assert [c.item.instance for c in read.snapshot or () if c.item] == [None, INSTANCE]


def test_a_commit_spread_over_chunks_is_put_together():
    other = [KEY + "0", 8, None, "unregistered"]
    read = answer_from_wire(3, backfill([[7, [RECORD]], [8, [RECORD]]], [[8, [other]]]))
    assert read.snapshot is None
    assert [(c.revision, len(c.changes)) for c in read.commits or ()] == [(7, 1), (8, 2)]


def test_a_backfill_may_be_empty():
    assert answer_from_wire(3, backfill()).commits == []


@pytest.mark.parametrize(
    "answer",
    [
        Answer({}, []),
        Answer(RESULT, []),
        Answer(RESULT | {"extra": 1}, snapshot().chunks),
        Answer(RESULT | {"kind": "rumour"}, snapshot().chunks),
        Answer(RESULT | {"revision": "7"}, snapshot().chunks),
        Answer(RESULT, [{"chunk": [1, 1], "records": []}]),
        Answer(RESULT, [{"chunk": [0, 2], "records": []}]),
        Answer(RESULT | {"chunks": 2}, [{"chunk": [0, 2], "records": []}] * 2),
        Answer(RESULT | {"chunks": 2**60}, [{"chunk": [0, 2**60], "records": []}]),
        Answer(RESULT, [{"chunk": [0, 1], "commits": []}]),
        Answer(RESULT, [{"chunk": [0, 1], "records": [], "extra": 1}]),
        Answer(RESULT, [{"chunk": [0, 1], "records": [None]}]),
        Answer(RESULT | {"kind": "backfill"}, [{"chunk": [0, 1], "commits": [], "extra": 1}]),
        Answer(RESULT | {"kind": "backfill"}, [{"chunk": [0, 1], "commits": [[7]]}]),
    ],
    ids=lambda answer: (
        json.dumps([answer.result.get("kind"), answer.chunks])[:60] + str(len(answer.result))
    ),
)
def test_an_answer_that_cannot_be_read_is_as_good_as_none(answer):
    with pytest.raises(UnavailableError, match="unreadable answer: "):
        answer_from_wire(1, answer)


def test_rows_are_read_in_order():
    chunks = [{"chunk": [n, 2], "rows": [{"n": n}]} for n in range(2)]
    assert rows_from_wire(Answer({"chunks": 2}, chunks)) == [{"n": 0}, {"n": 1}]
    assert rows_from_wire(Answer({"chunks": 0}, [])) == []


@pytest.mark.parametrize("chunk", [{"chunk": [0, 1]}, {"chunk": [0, 1], "rows": [1]}])
def test_rows_that_cannot_be_read_are_as_good_as_none(chunk):
    with pytest.raises(UnavailableError, match="unreadable answer: "):
        rows_from_wire(Answer({"chunks": 1}, [chunk]))


@given(JUNK, st.sampled_from([*RESULT, "records", "rows", "chunk"]))
def test_junk_is_refused_and_nothing_else_happens(value, name):
    chunk = {"chunk": [0, 1], "records": [RECORD]} | {name: value}
    for answer in (Answer(RESULT | {name: value}, snapshot().chunks), Answer(RESULT, [chunk])):
        for read in (lambda a: answer_from_wire(1, a), rows_from_wire):
            with suppress(UnavailableError):
                read(answer)
