"""Targets: what daemons say, one message at a time."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from discovery.chunks import Chunks
from discovery.errors import (
    DiscoveryError,
    InvalidArgumentError,
    ModelConflictError,
    NotFoundError,
    ResourceExhaustedError,
    UnavailableError,
    error_from_wire,
    error_to_wire,
)
from discovery.events import check_last_words
from discovery.fields import Fields, read_scope, read_text
from discovery.link import Answer
from discovery.messages import (
    beat_from_wire,
    beat_to_wire,
    commit_from_wire,
    commit_to_wire,
    event_from_wire,
    event_to_wire,
    goodbye_to_wire,
    is_goodbye,
    read_cause,
    read_integer,
    record_from_wire,
    record_to_wire,
)
from discovery.reading import answer_from_wire, read_item, rows_from_wire
from discovery.wire import encode_record
from tests.fuzz.contract import Target, attempt, value_of
from tests.support.records import endpoint_instance, endpoint_key, model, model_key
from transports.codec import JSON, MSGPACK
from transports.frame import unpack

if TYPE_CHECKING:
    from discovery.protocol import Record

SCOPE = ("models", "n", "c", "e")
CARD = model(7, "m", x=1).decode()
ENDPOINT = encode_record(endpoint_instance(7)).decode()
RECORDS = [
    [model_key(7), 5, CARD, None],
    [endpoint_key(7), 6, ENDPOINT, None],
    [model_key(7), 7, None, "crashed", "exit status 1"],
    [model_key(8), 7, None, "lease_expired"],
    [model_key(8), 9, "{}", None],
]
EVENT = {
    "daemon": "d",
    "epoch": "e",
    "revision": 7,
    "scope": list(SCOPE),
    "prev": [5, 5, 5, 5],
    "parts": [1, 1, 1, 1],
    "part": 0,
    "doubtful": False,
    "changes": [RECORDS[2]],
}
BEAT = {
    "daemon": "d",
    "epoch": "e",
    "number": 3,
    "head": 7,
    "window": 7,
    "recovering": False,
    "age_s": 0.1,
    "time_s": 12.5,
    "part": 0,
    "parts": 1,
    "scopes": [[["models", "n"], 7, 0], [list(SCOPE), 7, 0]],
}
STATE = {
    "daemon": "d",
    "epoch": "e",
    "digest": 0,
    "recovering": False,
    "doubtful": False,
    "age_s": 0.1,
    "time_s": 12.5,
}
SNAPSHOT = {
    "result": {**STATE, "kind": "snapshot", "revision": 6, "chunks": 1},
    "chunks": [{"chunk": [0, 1], "records": RECORDS[:1]}],
}
BACKFILL = {
    "result": {**STATE, "kind": "backfill", "revision": 7, "chunks": 2},
    "chunks": [
        {"chunk": [0, 2], "commits": [[6, [RECORDS[1]]], [7, [RECORDS[2]]]]},
        {"chunk": [1, 2], "commits": [[7, [RECORDS[3]]]]},
    ],
}
EMPTY = {"result": {**STATE, "kind": "snapshot", "revision": 6, "chunks": 0}, "chunks": []}
TABLE = {"result": {"chunks": 1}, "chunks": [{"chunk": [0, 1], "rows": [{"id": "7"}]}]}
ERRORS = [
    NotFoundError("no such"),
    ResourceExhaustedError("later", retry_after_s=0.5),
    ModelConflictError(requested="b", endpoint="n/c/e", incumbent="a", since_ms=5),
]
READERS = [
    name for name in vars(Fields) if not name.startswith("_") and name not in {"items", "names"}
]


def record_lists(data: bytes) -> None:
    value = value_of(data)
    record = attempt(lambda: record_from_wire("x", value), InvalidArgumentError)
    if record is not None:
        assert record_from_wire("x", record_to_wire(record)) == record
        read_item(record)
    commit = attempt(lambda: commit_from_wire("x", value, lambda r: r), InvalidArgumentError)
    if commit is not None:
        assert commit_from_wire("x", commit_to_wire(commit), lambda r: r) == commit
    attempt(lambda: read_cause("x", value), InvalidArgumentError)
    attempt(lambda: read_integer("x", value), InvalidArgumentError)


def server_events(data: bytes) -> None:
    value = value_of(data)
    event = attempt(lambda: event_from_wire(value, lambda r: r), InvalidArgumentError)
    if event is not None:
        wire = JSON.decode(JSON.encode(event_to_wire(event)))
        assert event_from_wire(wire, lambda r: r) == event


def server_beats(data: bytes) -> None:
    value = value_of(data)
    beat = attempt(lambda: beat_from_wire(value), InvalidArgumentError)
    if beat is not None:
        assert beat_from_wire(JSON.decode(JSON.encode(beat_to_wire(beat)))) == beat
    assert is_goodbye(value, "d") == (value == goodbye_to_wire("d"))


def server_errors(data: bytes) -> None:
    """Never raises; a text keeps its length, since it is the daemon's."""
    error = error_from_wire(value_of(data))
    again = error_from_wire(JSON.decode(JSON.encode(error_to_wire(error))))
    assert (type(again), str(again)) == (type(error), str(error))
    assert isinstance(error, DiscoveryError)


def map_fields(data: bytes) -> None:
    value = value_of(data)
    attempt(lambda: read_scope("x", value), InvalidArgumentError)
    attempt(lambda: read_text("x", value), InvalidArgumentError)
    attempt(lambda: check_last_words("x", value, value), InvalidArgumentError)
    found = attempt(lambda: Fields("x", value), InvalidArgumentError)
    if found is None:
        return
    attempt(found.done, InvalidArgumentError)
    for name in list(filter(str.isidentifier, value))[:8]:  # we write names into the code
        for reader in READERS:
            if reader != "done":
                read = getattr(Fields("x", value), reader)
                attempt(lambda read=read, name=name: (read(name),), InvalidArgumentError)
        items = Fields("x", value)
        attempt(lambda items=items, name=name: items.items(name, read_text), InvalidArgumentError)


def answer_of(value: Any) -> Answer:
    parts = value if isinstance(value, dict) else {}
    chunks = parts.get("chunks")
    return Answer(parts.get("result"), chunks if isinstance(chunks, list) else [])


def answers(data: bytes) -> None:
    answer = answer_of(value_of(data))
    attempt(lambda: answer_from_wire(1, answer), UnavailableError)
    attempt(lambda: rows_from_wire(answer), UnavailableError)


def chunks(data: bytes) -> None:
    """Commits that are read are written in chunks, and then read as the same."""
    value = value_of(data)
    commits = [
        commit
        for each in (value if isinstance(value, list) else [])
        if (commit := attempt(lambda e=each: commit_from_wire("x", e, _same), InvalidArgumentError))
    ]
    if len({commit.revision for commit in commits}) < len(commits):
        return
    for codec in (JSON, MSGPACK):
        frames = Chunks(None, chunk_bytes=500).of_backfill(commits, codec)
        result = {**BACKFILL["result"], "chunks": len(frames)}
        read = answer_from_wire(1, Answer(result, [unpack(frame)[1] for frame in frames]))
        wanted = {c.revision: [read_item(r) for r in c.changes] for c in commits if c.changes}
        assert {c.revision: list(c.changes) for c in read.commits} == wanted


def _same(record: Record) -> Record:
    return record


def as_json(value: object) -> bytes:
    return json.dumps(value).encode()


TARGETS = (
    Target(
        run=record_lists,
        covers=(record_from_wire, commit_from_wire, read_cause, read_integer, read_item),
        seeds=[*map(as_json, RECORDS), as_json([7, RECORDS]), b'"crashed"'],
        weight=3,
    ),
    Target(run=server_events, covers=(event_from_wire,), seeds=[as_json(EVENT)], weight=2),
    Target(run=server_beats, covers=(beat_from_wire,), seeds=[as_json(BEAT)], weight=2),
    Target(
        run=server_errors,
        covers=(error_from_wire,),
        seeds=[as_json(error_to_wire(error)) for error in ERRORS],
    ),
    Target(
        run=map_fields,
        covers=(read_scope, read_text, check_last_words),
        seeds=[
            as_json({"a": 1, "b": 1.5, "c": "x", "d": True, "e": ["x"], "f": {}, "g": list(SCOPE)}),
            as_json(list(SCOPE)),
            b'"crashed"',
        ],
    ),
    Target(
        run=answers,
        covers=(answer_from_wire, rows_from_wire),
        seeds=[
            *map(as_json, (SNAPSHOT, BACKFILL, EMPTY)),
            as_json(
                {"result": {"chunks": 1}, "chunks": [{"chunk": [0, 1], "rows": [{"id": "7"}]}]}
            ),
        ],
        weight=2,
    ),
    Target(
        run=chunks,
        covers=(commit_from_wire, answer_from_wire),
        seeds=[as_json([[5, RECORDS[:2]], [6, RECORDS[2:]], [9, []]])],
    ),
)
