"""Targets: what a client makes of any sequence of messages."""

from __future__ import annotations

import asyncio
import math
import random
from contextlib import suppress
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from discovery.errors import (
    DiscoveryError,
    InvalidArgumentError,
    UnavailableError,
    error_from_wire,
    error_to_wire,
)
from discovery.events import Added, Cause, Removed
from discovery.follower import Follower, FollowerLimits
from discovery.followfield import follow_field
from discovery.instance import ModelInstance
from discovery.keys import parse_key
from discovery.link import Link, events_address
from discovery.messages import (
    beat_from_wire,
    event_from_wire,
    goodbye_to_wire,
    record_from_wire,
)
from discovery.names import shown
from discovery.pictures import Pictures
from discovery.reading import answer_from_wire, read_item
from discovery.upstream import Upstreams
from tests.fuzz.contract import Target, attempt, value_of
from tests.fuzz.of_messages import (
    BACKFILL,
    BEAT,
    CARD,
    EMPTY,
    ERRORS,
    EVENT,
    RECORDS,
    SCOPE,
    SNAPSHOT,
    answer_of,
    as_json,
)
from tests.support.records import model_key
from transports.address import parse_url
from transports.codec import JSON, MSGPACK
from transports.errors import AddressError
from transports.frame import pack

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from discovery.protocol import SyncRequest

LINK = parse_url("memory://fuzz")[0]


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
            answer = attempt(lambda: answer_from_wire(number, answer_of(value)), UnavailableError)
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
    pairs = [pair for pair in (value if isinstance(value, list) else []) if _is_pair(pair)]
    messages = [(topic, pack(MSGPACK, said)) for topic, said in pairs]

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
    frames = [pack(MSGPACK, reply) for reply in (value if isinstance(value, list) else [])]

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


TARGETS = (
    Target(
        run=followers,
        covers=(event_from_wire, beat_from_wire, answer_from_wire),
        seeds=[
            as_json([["answer", SNAPSHOT], ["event", EVENT], ["beat", BEAT], ["answer", BACKFILL]]),
            as_json([["answer", EMPTY], ["beat", BEAT], ["fail"], ["leave"], ["come", "d"]]),
        ],
        weight=3,
    ),
    Target(
        run=published,
        covers=(event_from_wire, beat_from_wire),
        seeds=[as_json([["e/", EVENT], ["b/", BEAT], ["b/", goodbye_to_wire("d")]])],
    ),
    Target(
        run=replies,
        covers=(error_from_wire,),
        seeds=[
            as_json([{"chunk": [0, 1], "rows": []}, {"ok": {"events": "zmq://*:4711"}}]),
            as_json([{"error": error_to_wire(ERRORS[0])}]),
        ],
    ),
    Target(
        run=views,
        covers=(record_from_wire, read_item, parse_key),
        seeds=[as_json([*RECORDS, [model_key(7, suffix="l"), 9, CARD, None]])],
    ),
)
