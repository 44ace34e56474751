"""`discoveryctl events`, as its users run it."""

from __future__ import annotations

import asyncio
import json

import pytest

import discovery
from discovery import EventPublisher, EventSubscriber
from tests.cli.ctl import CTL, ctl, fleet
from tests.support.events import payloads, read_messages
from tests.support.processes import program

PLACE = {"namespace": "prod", "component": "vllm", "topic": "load"}
TEXT = "prod/vllm/load"


async def test_what_is_typed_is_published_to_who_is_subscribed():
    async with fleet() as (url, d), EventSubscriber(d, **PLACE) as subscriber:
        words = ("events", "publish", TEXT, "one", "-", "last", "-o", "json")
        code, out, err = await ctl(url, *words, stdin="two\nthree\n")
        assert (code, err) == (0, "")
        told = json.loads(out)
        assert (told["sent"], told["subscribers"]) == (4, 1)
        assert told["id"].startswith(f"channels/{TEXT}/")
        items = await read_messages(subscriber, 4)
        assert payloads(items) == [b"one", b"two", b"three", b"last"]


async def test_nothing_is_published_when_nobody_subscribes_in_time():
    async with fleet() as (url, _):
        words = ("events", "publish", TEXT, "x", "--timeout", "0.2")
        code, out, err = await ctl(url, *words)
        assert (code, out) == (3, "")
        assert "not published: 0 of 1 subscribers within the timeout" in err
        assert (await ctl(url, *words, "--subscribers", "0"))[0] == 0


async def test_tail_shows_what_comes_and_ends_after_so_many():
    async with fleet() as (url, d):
        command = (*CTL, "events", "tail", TEXT, "--count", "2", "-o", "jsonl", "--url", url)
        async with program(*command) as tail, EventPublisher(d, **PLACE) as publisher:
            await publisher.subscribed()
            await publisher.publish(b"text")
            await publisher.publish(b"\xff")
            whose = f"{publisher.publisher_id:x}"
            joined, first, second = [await tail.hear() for _ in range(3)]
            assert await tail.ended() == 0
        assert joined == {"id": whose, "publisher": whose, "event": "joined"}
        assert first.pop("published_at_ms") <= second.pop("published_at_ms")
        message = {"id": whose, "publisher": whose, "event": "message", "topic": "load"}
        assert first == message | {"sequence": 0, "payload": "text", "payload_hex": b"text".hex()}
        assert second == message | {"sequence": 1, "payload": None, "payload_hex": "ff"}


async def test_events_go_by_nats_too(nats):
    async with fleet() as (url, d), EventSubscriber(d, **PLACE, nats=nats.url) as subscriber:
        by = ("--transport", "nats", "--nats", nats.url)
        await subscriber.synced()
        code, out, err = await ctl(url, "events", "publish", TEXT, "one", *by, "-o", "json")
        assert (code, err) == (0, "")
        told = json.loads(out)
        assert (told["sent"], told["subscribers"]) == (1, None)
        assert payloads(await read_messages(subscriber, 1)) == [b"one"]
        way = {"transport": "nats", "nats": nats.url}
        command = (*CTL, "events", "tail", TEXT, "--nats", nats.url, "--count", "1", "--url", url)
        async with program(*command) as tail, EventPublisher(d, **PLACE, **way) as publisher:
            assert (await tail.hear())["event"] == "joined"
            hearing = asyncio.create_task(tail.hear())
            while not hearing.done():  # NATS does not tell when it has subscribed
                await publisher.publish(b"text")
                await asyncio.wait([hearing], timeout=0.2)
            assert hearing.result()["payload"] == "text"
            assert await tail.ended() == 0


@pytest.mark.parametrize("place", ["prod", "a/b/c/d/e"])
async def test_a_place_that_is_none_is_refused(place):
    for words in (("tail", place), ("publish", place, "x")):
        code, out, err = await ctl("zmq://127.0.0.1:1", "events", *words)
        assert (code, out) == (2, "")
        assert f"place '{place}': expected NS/TOPIC" in err


def test_every_item_has_a_row():
    from discovery.cli.eventing import _shown  # noqa: PLC0415 - the client is heavy

    assert _shown(discovery.Lost(1, 2, 3))["sequence"] == "2-3"
    assert _shown(discovery.Restarted(1))["event"] == "restarted"
    assert _shown(discovery.Ended(1, None))["sent"] is None
