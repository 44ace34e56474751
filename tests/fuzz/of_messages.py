"""Targets: what daemons say, and what a client makes of any sequence of it."""

from __future__ import annotations

import asyncio
import json
import math
import random
from contextlib import suppress
from dataclasses import fields
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
from discovery.events import Added, Cause, Removed, check_last_words
from discovery.fields import Fields, read_scope, read_text
from discovery.follower import Follower, FollowerLimits
from discovery.followfield import follow_field
from discovery.instance import ModelInstance
from discovery.keys import parse_key
from discovery.link import Answer, Link, events_address
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
from discovery.names import shown
from discovery.pictures import Pictures
from discovery.reading import answer_from_wire, read_item, rows_from_wire
from discovery.upstream import Upstreams
from discovery.wire import encode_record
from tests.fuzz.contract import Target, attempt, value_of
from tests.support.records import endpoint_instance, endpoint_key, model, model_key
from transports.address import parse_url
from transports.codec import JSON, MSGPACK
from transports.errors import AddressError
from transports.frame import pack, unpack

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from discovery.protocol import Record, SyncRequest

SCOPE = ("models", "n", "c", "e")
LINK = parse_url("memory://fuzz")[0]
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
ERRORS = [
    NotFoundError("no such"),
    ResourceExhaustedError("later", retry_after_s=0.5),
    ModelConflictError(requested="b", endpoint="n/c/e", incumbent="a", since_ms=5),
]
READERS = [name for name in vars(Fields) if not name.startswith("_") and name != "items"]


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
    for name in list(value)[:8]:
        for reader in READERS:
            if reader != "done":
                read = getattr(Fields("x", value), reader)
                attempt(lambda read=read, name=name: (read(name),), InvalidArgumentError)
        items = Fields("x", value)
        attempt(lambda items=items, name=name: items.items(name, read_text), InvalidArgumentError)


def _answer(value: Any) -> Answer:
    parts = value if isinstance(value, dict) else {}
    chunks = parts.get("chunks")
    return Answer(parts.get("result"), chunks if isinstance(chunks, list) else [])


def answers(data: bytes) -> None:
    answer = _answer(value_of(data))
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


def followers(data: bytes) -> None:
    """Any messages in any order: what is unreadable is refused, the rest leaves it sound."""
    steps = value_of(data)
    follower = Follower(SCOPE, limits=FollowerLimits(buffer_events=4), rng=random.Random(1))
    now = 0.0
    follower.connected("d", now)
    for step in steps if isinstance(steps, list) else []:
        now += 0.3
        _step(follower, follower.poll(now), step, now)
        _is_sound(follower, now)


def _step(follower: Follower, request: SyncRequest | None, step: object, now: float) -> None:
    number = request.number if request else 1
    match step:
        case ["event", value]:
            event = attempt(lambda: event_from_wire(value, read_item), InvalidArgumentError)
            if event is not None and event.scope[:4] == SCOPE:
                follower.on_event(event, now)
        case ["beat", value]:
            beat = attempt(lambda: beat_from_wire(value), InvalidArgumentError)
            if beat is not None:
                follower.on_beat(beat, now)
        case ["answer", value]:
            answer = attempt(lambda: answer_from_wire(number, _answer(value)), UnavailableError)
            if answer is not None:
                follower.on_answer(answer, now)
        case ["fail"]:
            follower.sync_failed(number, now)
        case ["leave"]:
            follower.disconnected()
        case ["come", str(daemon)]:
            follower.connected(daemon, now)


def _is_sound(follower: Follower, now: float) -> None:
    assert not math.isnan(follower.next_wakeup())
    assert not math.isnan(follower.staleness_s(now))
    follower.state(now)
    follower.take()
    assert len(follower._buffer) <= 4
    counters = follower.counters
    assert min(getattr(counters, field.name) for field in fields(counters)) >= 0


class _Group:
    """In the place of a task group: nothing is sent."""

    def create_task(self, coro: Any) -> None:
        coro.close()


class _Sink:
    def push(self, *_: object) -> None:
        """Take what is shown."""


def published(data: bytes) -> None:
    """What is published is read, or counted as rejected."""
    value = value_of(data)
    messages = [
        (topic, pack(JSON, said))
        for topic, said in (m for m in (value if isinstance(value, list) else []) if _is_pair(m))
    ]

    async def main() -> None:
        upstreams = Upstreams(
            client="c",
            codec="json",
            sync_timeout_s=1.0,
            rng=random.Random(1),
            group=_Group(),
        )
        sink = _Sink()
        for scope in (SCOPE, SCOPE[:1]):
            upstreams.attach(scope, sink)
            upstreams._by_scope[scope].follower.connected("d", 0.0)
        for topic, payload in (*messages, ("b/", data[:100])):
            rejected = upstreams.rejected
            upstreams.on_message(topic, payload)
            assert upstreams.rejected - rejected in {0, 1}
        upstreams.tick()
        for scope in (SCOPE, SCOPE[:1]):
            upstreams.detach(scope, sink)

    asyncio.run(main())


def _is_pair(message: object) -> bool:
    return isinstance(message, list) and len(message) == 2 and isinstance(message[0], str)


class _Replies:
    """In the place of an RPC client: answers each request with what the input says."""

    def __init__(self, link: Link, frames: list[bytes]) -> None:
        self.link, self.frames = link, frames

    def send(self, number: int, _: bytes) -> None:
        loop = asyncio.get_running_loop()
        for frame in (*self.frames, pack(JSON, {"ok": {}})):
            loop.call_soon(self.link._on_reply, number, frame)


def replies(data: bytes) -> None:
    """A request gets its answer, or the daemon's error, whatever comes before."""
    value = value_of(data)
    frames = [pack(JSON, reply) for reply in (value if isinstance(value, list) else [])]

    async def main() -> None:
        link = Link(LINK, JSON, lambda *_: None)
        link._rpc = _Replies(link, [*frames, data] if value is None else frames)
        with suppress(DiscoveryError):
            answer = await link.call("status", {}, 5.0)
            assert isinstance(answer.result, dict)
            attempt(lambda: events_address(LINK, answer.result.get("events")), AddressError)

    asyncio.run(main())


def views(data: bytes) -> None:
    """Records that come and go, as pictures that never change and as one field per process."""
    value = value_of(data)
    found: list[Added | Removed] = []
    for each in value if isinstance(value, list) else []:
        record = attempt(lambda e=each: record_from_wire("x", e), InvalidArgumentError)
        if record is None:
            continue
        item = read_item(record).item
        if item is not None and item.instance is not None:
            found.append(Added(instance=item.instance, revision=1, is_update=False))
        elif identity := attempt(lambda r=record: parse_key(r.key), InvalidArgumentError):
            found.append(Removed(id=identity, revision=1, cause=Cause.RESYNC))
    pictures, model = Pictures(), {}
    seen = [(pictures.get(), {})]
    for event in found:
        identity = event.instance.id if isinstance(event, Added) else event.id
        instance = event.instance if isinstance(event, Added) else None
        pictures.change(identity, instance)
        model = {k: v for k, v in model.items() if k != identity}
        if instance is not None:
            model[identity] = instance
        seen.append((pictures.get(), model))
    assert all(picture == then for picture, then in seen)
    values = asyncio.run(_followed(found))
    models = {one.instance_id for one in model.values() if isinstance(one, ModelInstance)}
    assert not found or (values[-1] if values else {}).keys() == models


async def _followed(found: list[Added | Removed]) -> list[dict[int, str]]:
    async def stream() -> AsyncIterator[Added | Removed]:
        for event in found:
            yield event

    shown_card = lambda instance: shown(instance.card)  # noqa: E731
    return [values async for values in follow_field(stream(), shown_card, include_lora=True)]


def _json(value: object) -> bytes:
    return json.dumps(value).encode()


TARGETS = (
    Target(
        run=record_lists,
        covers=(record_from_wire, commit_from_wire, read_cause, read_integer, read_item),
        seeds=[*map(_json, RECORDS), _json([7, RECORDS]), b'"crashed"'],
        weight=3,
    ),
    Target(run=server_events, covers=(event_from_wire,), seeds=[_json(EVENT)], weight=2),
    Target(run=server_beats, covers=(beat_from_wire,), seeds=[_json(BEAT)], weight=2),
    Target(
        run=server_errors,
        covers=(error_from_wire,),
        seeds=[_json(error_to_wire(error)) for error in ERRORS],
    ),
    Target(
        run=map_fields,
        covers=(read_scope, read_text, check_last_words),
        seeds=[
            _json({"a": 1, "b": 1.5, "c": "x", "d": True, "e": ["x"], "f": {}, "g": list(SCOPE)}),
            _json(list(SCOPE)),
            b'"crashed"',
        ],
    ),
    Target(
        run=answers,
        covers=(answer_from_wire, rows_from_wire),
        seeds=[
            *map(_json, (SNAPSHOT, BACKFILL, EMPTY)),
            _json({"result": {"chunks": 1}, "chunks": [{"chunk": [0, 1], "rows": [{"id": "7"}]}]}),
        ],
        weight=2,
    ),
    Target(
        run=chunks,
        covers=(commit_from_wire, answer_from_wire),
        seeds=[_json([[5, RECORDS[:2]], [6, RECORDS[2:]], [9, []]])],
    ),
    Target(
        run=followers,
        covers=(event_from_wire, beat_from_wire, answer_from_wire),
        seeds=[
            _json([["answer", SNAPSHOT], ["event", EVENT], ["beat", BEAT], ["answer", BACKFILL]]),
            _json([["answer", EMPTY], ["beat", BEAT], ["fail"], ["leave"], ["come", "d"]]),
        ],
        weight=3,
    ),
    Target(
        run=published,
        covers=(event_from_wire, beat_from_wire),
        seeds=[_json([["e/", EVENT], ["b/", BEAT], ["b/", goodbye_to_wire("d")]])],
    ),
    Target(
        run=replies,
        covers=(error_from_wire,),
        seeds=[
            _json([{"chunk": [0, 1], "rows": []}, {"ok": {"events": "zmq://*:4711"}}]),
            _json([{"error": error_to_wire(ERRORS[0])}]),
        ],
    ),
    Target(
        run=views,
        covers=(record_from_wire, read_item, parse_key),
        seeds=[_json([*RECORDS, [model_key(7, suffix="l"), 9, CARD, None]])],
    ),
)
