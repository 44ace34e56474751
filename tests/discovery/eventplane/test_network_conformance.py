"""One test per sentence of Outlet and Inlet, over every network and in both codecs."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from discovery import (
    Ended,
    EventChannelQuery,
    EventPublisher,
    EventSubscriber,
    Message,
    ZmqBrokerTransport,
)
from tests.support.events import PLACE, TOPIC, payloads, read_ended, read_messages
from tests.support.places import EmbeddedPlace, until
from transports.address import parse_url
from transports.zmq.forwarder import Forwarder

PAYLOADS = [b"", bytes(range(256)), b"\xff" * 100_000]
NETWORKS = [
    ("zmq", "json"),
    ("zmq", "msgpack"),
    ("zmq-broker", "json"),
    ("zmq-broker", "msgpack"),
    ("nats", "json"),
    ("nats", "msgpack"),
]


@pytest.fixture
async def d():
    async with EmbeddedPlace().connect() as connected:
        yield connected


@pytest.fixture(params=NETWORKS, ids="-".join)
async def way(request, monkeypatch):
    """What a publisher is told of the network; brokers run while the test does."""
    network, codec = request.param
    if network == "nats":
        monkeypatch.setenv("DISCOVERY_EVENT_NATS", request.getfixturevalue("nats").url)
    if network != "zmq-broker":
        yield {"transport": network, "codec": codec}
        return
    async with AsyncExitStack() as stack:
        (anywhere,) = parse_url("zmq://127.0.0.1:0")
        brokers = [await stack.enter_async_context(Forwarder(anywhere, anywhere)) for _ in range(2)]
        transport = ZmqBrokerTransport(
            xsub_endpoints=tuple(f"tcp://{one.publishers.netloc}" for one in brokers),
            xpub_endpoints=tuple(f"tcp://{one.subscribers.netloc}" for one in brokers),
        )
        yield {"transport": transport, "codec": codec}


@asynccontextmanager
async def publishing(d, way, *, subscribers=1):
    async with EventPublisher(d, topic=TOPIC, **PLACE, **way) as p:
        if isinstance(way["transport"], ZmqBrokerTransport):
            await p.subscribed(2)  # each of two brokers passes on
        elif way["transport"] != "nats":
            await p.subscribed(subscribers)
        yield p


@asynccontextmanager
async def subscribing(d):
    async with EventSubscriber(d, topic=TOPIC, **PLACE) as s:
        await s.synced()
        yield s


async def test_events_arrive_in_the_order_they_were_sent_and_are_not_altered(d, way):
    async with subscribing(d) as s, publishing(d, way) as p:
        sent = [*PAYLOADS, *(b"%d" % number for number in range(1000))]
        for payload in sent:
            await p.publish(payload)
        assert payloads(await read_messages(s, len(sent))) == sent
        assert (s.counters.lost, s.counters.missed) == (0, 0)


async def test_what_was_sent_has_left_after_the_block(d, way):
    async with subscribing(d) as s:
        async with publishing(d, way) as p:
            for number in range(1000):
                await p.publish(b"%d" % number)
        items = await read_ended(s)
        assert payloads(items) == [b"%d" % number for number in range(1000)]
        assert items[-1] == Ended(p.publisher_id, 1000)


async def test_sending_waits_for_no_subscriber(d, way):
    async with EventPublisher(d, topic=TOPIC, **PLACE, **way) as p:
        for number in range(5000):
            await p.publish(b"%d" % number)
        assert p.sent == 5000


async def test_each_subscriber_gets_each_event_once(d, way):
    async with subscribing(d) as one, subscribing(d) as two:
        async with publishing(d, way, subscribers=2) as p, publishing(d, way, subscribers=2) as q:
            for number in range(100):
                await p.publish(b"%d" % number)
                await q.publish(b"%d" % number)
        for s in (one, two):
            messages = [i for i in await read_ended(s, 2) if isinstance(i, Message)]
            for publisher in (p, q):
                mine = [i.sequence for i in messages if i.publisher_id == publisher.publisher_id]
                assert mine == list(range(100))


async def test_a_subscriber_that_does_not_read_holds_up_nobody(d, way):
    async with subscribing(d) as s, subscribing(d) as idle:
        async with publishing(d, way, subscribers=2) as p:
            for number in range(5000):
                await p.publish(b"%d" % number)
        assert len(payloads(await read_ended(s))) == 5000
        assert idle.counters.lost == 0


async def test_a_channel_that_was_let_go_of_is_heard_no_more_and_another_one_is(d, way):
    async with subscribing(d) as s:
        async with publishing(d, way) as p:
            await p.publish(b"one")
        await read_ended(s)
        await until(lambda: not (s._channels._leaving or s._channels._held))
        assert not await d.list(EventChannelQuery())
        async with publishing(d, way) as p:
            await p.publish(b"two")
            assert payloads(await read_messages(s, 1)) == [b"two"]
