"""Publishers and subscribers through a real NATS server."""

from __future__ import annotations

import asyncio
import json

import msgpack
import pytest
from nats.aio.client import Client

from discovery import (
    Ended,
    EventChannelSpec,
    EventPublisher,
    EventSubscriber,
    FailedPreconditionError,
    InvalidArgumentError,
    Joined,
    Lost,
    Message,
    NatsTransport,
    UnavailableError,
    connect,
)
from discovery.eventplane import onnats
from discovery.watch import WatchStream
from tests.support.events import (
    PLACE,
    TOPIC,
    joined,
    lost,
    payloads,
    read_ended,
    read_messages,
    read_until,
)
from tests.support.nats import nats_server
from tests.support.places import EmbeddedPlace, until
from tests.support.processes import daemon, free_ports
from tests.support.ways import way_to

SUBJECT = f"namespace.{PLACE['namespace']}.component.{PLACE['component']}.{TOPIC}"


@pytest.fixture
async def d():
    async with EmbeddedPlace().connect() as connected:
        yield connected


@pytest.fixture
def own(tmp_path):
    with nats_server(tmp_path) as server:
        yield server


@pytest.fixture
async def way(servers):
    """A way to the server, beside the straight one."""
    async with way_to(int(servers.endpoint.rpartition(":")[2])) as made:
        yield made


@pytest.fixture(autouse=True)
def servers(request, monkeypatch):
    """Say in the environment where NATS is: that of the test itself if it has one."""
    name = "own" if "own" in request.fixturenames else "nats"
    server = request.getfixturevalue(name)
    monkeypatch.setenv("DISCOVERY_EVENT_NATS", server.url)
    return server


def publisher(d, **changes):
    return EventPublisher(d, **({"topic": TOPIC, "transport": "nats"} | PLACE | changes))


def subscriber(d, **changes):
    return EventSubscriber(d, **({"topic": TOPIC} | PLACE | changes))


class Stranger:
    """Another client of the NATS server than ours."""

    def __init__(self, server) -> None:
        self._server, self._client = server, Client()
        self.heard = []

    async def __aenter__(self):
        await self._client.connect(f"nats://{self._server.endpoint}")
        return self

    async def __aexit__(self, *_):
        await self._client.close()

    async def hear(self, subject):
        async def take(message):
            self.heard.append((message.subject, message.data))

        await self._client.subscribe(subject, cb=take)
        await self._client.flush()  # which may overtake the subscription
        await self._client.flush()

    async def send(self, subject, *payloads):
        for payload in payloads:
            await self._client.publish(subject, payload)
        await self._client.flush()


async def test_events_arrive_in_order_with_who_when_and_what(d):
    async with subscriber(d) as s:
        await s.synced()
        async with publisher(d) as p:
            assert p.channel.transport == NatsTransport(subject_prefix=SUBJECT.rpartition(".")[0])
            for payload in (b"one", b"", b"three"):
                await p.publish(payload)
            items = await read_messages(s, 3)
            assert items[0] == Joined(p.publisher_id)
            assert payloads(items) == [b"one", b"", b"three"]
            assert [item.sequence for item in items[1:]] == [0, 1, 2]
        assert await read_ended(s) == [Ended(p.publisher_id, 3)]
        assert (s.counters.received, s.counters.lost, s.counters.missed) == (3, 0, 0)


@pytest.mark.parametrize("codec", [None, "json", "msgpack"])
async def test_generation_a_is_json_on_nats_unless_asked_otherwise(d, servers, codec):
    async with Stranger(servers) as stranger, publisher(d, codec=codec) as p:
        await stranger.hear(SUBJECT)
        await p.publish(b"\x01\xff")
        await until(lambda: stranger.heard)
        ((_, data),) = stranger.heard
        is_json = codec != "msgpack"
        fields = json.loads(data) if is_json else msgpack.unpackb(data)
        assert fields["payload"] == ([1, 255] if is_json else b"\x01\xff")
        assert (fields["publisher_id"], fields["sequence"]) == (p.publisher_id, 0)


async def test_generation_b_has_encoded_subjects_and_bare_msgpack(servers):
    port = free_ports()
    scope = {"namespace": "ns.one", "component": "worker*", "endpoint": "gen>", "topic": "k.v"}
    async with (
        daemon(port, "--registry-event-generation", "b"),
        connect(f"zmq://127.0.0.1:{port}") as d,
        Stranger(servers) as stranger,
        EventSubscriber(d, **scope) as s,
        EventPublisher(d, **scope, transport="nats") as p,
    ):
        await stranger.hear("namespace.>")
        await s.synced()
        await p.publish(b"x")
        assert payloads(await read_messages(s, 1)) == [b"x"]
        await until(lambda: stranger.heard)
        subject, data = stranger.heard[0]
    assert subject == "namespace.ns%2Eone.component.worker%2A.endpoint.gen%3E.k%2Ev"
    names = ["publisher_id", "sequence", "published_at", "topic", "payload"]
    assert list(msgpack.unpackb(data)) == names


async def test_an_event_larger_than_the_server_takes_is_refused_and_not_counted(d):
    async with subscriber(d) as s, publisher(d, codec="msgpack") as p:
        await s.synced()
        with pytest.raises(InvalidArgumentError, match="NATS takes at most 1048576"):
            await p.publish(bytes(1 << 20))
        await p.publish(b"small")
        assert payloads(await read_messages(s, 1)) == [b"small"]
        assert (p.sent, s.counters.lost, s.counters.missed) == (1, 0, 0)


async def test_many_publishers_share_a_subject_and_are_told_apart(d):
    async with subscriber(d) as s:
        await s.synced()
        async with publisher(d) as one, publisher(d) as two:
            for number in range(50):
                await one.publish(b"%d" % number)
                await two.publish(b"%d" % number)
            await read_messages(s, 100)
        await read_ended(s)
        for p in (one, two):
            counters = s.counters.publishers[p.publisher_id]
            assert (counters.received, counters.lost, counters.duplicates) == (50, 0, 0)


async def test_a_subscriber_hears_zmq_and_nats_at_once(d):
    async with subscriber(d) as s, publisher(d) as one, publisher(d, transport="zmq") as two:
        await two.subscribed()
        await s.synced()
        await one.publish(b"nats")
        await two.publish(b"zmq")
        assert set(payloads(await read_messages(s, 2))) == {b"nats", b"zmq"}


async def test_what_is_lost_while_the_server_is_away_is_told_exactly(d, own):
    async with subscriber(d) as s, publisher(d) as p:
        await s.synced()
        await p.publish(b"before")
        await read_messages(s, 1)
        await asyncio.to_thread(own.kill)
        await until(lambda: not p._outlet._nats.is_up)
        for _ in range(7):
            await p.publish(b"lost")
        await asyncio.to_thread(own.start)
        await until(lambda: p._outlet._nats.is_up)
        await s.synced()
        await p.publish(b"after")
        items = await read_until(s, lambda item: getattr(item, "payload", b"") == b"after")
        assert [item for item in items if isinstance(item, Lost)] == [Lost(p.publisher_id, 1, 7)]
        assert (s.counters.received, s.counters.lost) == (2, 7)


async def test_a_reader_that_sleeps_is_told_exactly_what_it_lost(d):
    async with subscriber(d, max_items=100) as s:
        await s.synced()
        async with publisher(d) as p:
            for number in range(20_000):
                await p.publish(b"%d" % number)
        items = await read_ended(s)
        got = [item for item in items if isinstance(item, Message)]
        assert len(got) + lost(items) == 20_000
        assert s.counters.received + s.counters.lost == 20_000


async def test_garbage_on_the_subject_hurts_nobody(d, servers):
    async with subscriber(d) as s, publisher(d) as p, Stranger(servers) as stranger:
        await s.synced()
        await p.publish(b"one")
        await read_messages(s, 1)
        await stranger.send(SUBJECT, b"", b"garbage", b"{}", bytes(1000))
        await p.publish(b"two")
        assert payloads(await read_messages(s, 1)) == [b"two"]
        assert s.counters.undecodable == 4


async def test_where_nats_is_may_be_said_or_is_that_of_the_registry(d, servers, monkeypatch):
    monkeypatch.delenv("DISCOVERY_EVENT_NATS")
    with pytest.raises(InvalidArgumentError, match="nats: not said where that is"):
        await publisher(d).__aenter__()
    for wrong, text in (("zmq://h:1", "expected nats://"), ("nats://h:1?x=1", "'x' is unknown")):
        with pytest.raises(InvalidArgumentError, match=text):
            publisher(d, nats=wrong)
        with pytest.raises(InvalidArgumentError, match=text):
            subscriber(d, nats=wrong)
    async with subscriber(d, nats=servers.url) as s, publisher(d, nats=servers.url) as p:
        await s.synced()
        await p.publish(b"said")
        assert payloads(await read_messages(s, 1)) == [b"said"]


async def not_yet_synced(s):
    """The task that waits for `synced`, which is not told for the next 0.3 s."""
    syncing = asyncio.create_task(s.synced())
    await asyncio.wait([syncing], timeout=0.3)
    assert not syncing.done()
    return syncing


async def test_whoever_is_synced_is_subscribed_at_the_server(d, servers, way):
    way.hold_answers()
    async with (
        subscriber(d, nats=f"nats://127.0.0.1:{way.port}") as s,
        publisher(d, nats=servers.url) as p,
    ):
        syncing = await not_yet_synced(s)
        way.mend()
        await syncing
        await p.publish(b"from now on")
        assert payloads(await read_messages(s, 1)) == [b"from now on"]


async def test_whoever_is_synced_hears_publishers_of_components_below(d, servers):
    place = {"topic": TOPIC, "namespace": PLACE["namespace"]}
    async with publisher(d) as p:
        for _ in range(20):
            async with EventSubscriber(d, **place) as s:
                await s.synced()
                await p.publish(b"x")
                assert payloads(await read_messages(s, 1)) == [b"x"]


async def test_whoever_is_synced_has_told_of_all_publishers_where_they_are_heard(d, monkeypatch):
    go, following = asyncio.Event(), WatchStream.__anext__

    async def gated(stream):
        await go.wait()
        return await following(stream)

    async with publisher(d) as p:
        monkeypatch.setattr(WatchStream, "__anext__", gated)
        async with EventSubscriber(d, topic=TOPIC, namespace=PLACE["namespace"]) as s:
            (stream,) = s._streams
            await stream.synced()
            syncing = await not_yet_synced(s)
            go.set()
            await syncing
            await p.publish(b"x")
            assert payloads(await read_messages(s, 1)) == [b"x"]


async def test_whoever_waits_for_nats_says_so(d, monkeypatch, caplog):
    monkeypatch.setattr(onnats, "_ENTER_S", 0.1)
    async with subscriber(d, nats=f"nats://127.0.0.1:{free_ports()}") as s:
        syncing = asyncio.create_task(s.synced())
        await until(lambda: "waiting for NATS" in caplog.messages)
        assert not syncing.done()
        await s.aclose()
        with pytest.raises(FailedPreconditionError, match="the subscriber is closed"):
            await syncing
        assert caplog.messages.count("waiting for NATS") == 1


async def test_a_subscription_that_is_refused_is_told(d, tmp_path, caplog):
    (tmp_path / "password").write_text("secret")
    config = tmp_path / "nats.conf"
    users = '{user: u, password: secret, permissions: {subscribe: {deny: "namespace.>"}}}'
    config.write_text(f"authorization {{ users: [{users}] }}")
    with nats_server(tmp_path, "--config", str(config)) as server:
        url = f"{server.url}?user=u&password_file={tmp_path}/password"
        async with subscriber(d, nats=url) as s:
            for _ in range(2):
                with pytest.raises(UnavailableError, match="permissions violation for subscr"):
                    await s.synced()
    assert caplog.messages.count("NATS refuses") == 1


async def test_a_subscriber_that_is_closed_while_the_server_says_nothing_is_not_synced(d, way):
    async with subscriber(d, nats=f"nats://127.0.0.1:{way.port}") as s:
        await s.synced()
        way.fall_silent()
        syncing = asyncio.create_task(s.synced())
        await asyncio.wait([syncing], timeout=0.3)
        assert not syncing.done()
        await s.aclose()
        await d.__aexit__()
        with pytest.raises(FailedPreconditionError, match="the subscriber is closed"):
            await syncing


async def test_a_subscriber_that_is_closed_is_not_synced(d, way):
    way.fall_silent()
    url = f"nats://127.0.0.1:{way.port}"
    async with subscriber(d, nats=url) as s:
        syncing = asyncio.create_task(s.synced())
        await asyncio.wait([syncing], timeout=0.3)
        await s.aclose()
        with pytest.raises(FailedPreconditionError, match="the subscriber is closed"):
            await syncing


async def test_a_channel_on_an_unknown_nats_is_logged_and_hurts_nobody(d, monkeypatch, caplog):
    monkeypatch.delenv("DISCOVERY_EVENT_NATS")
    channel = EventChannelSpec(
        **PLACE, topic=TOPIC, transport=NatsTransport(subject_prefix="x"), instance_id=7
    )
    async with subscriber(d) as s, publisher(d, transport="zmq") as p:
        await d.register(channel)
        await until(lambda: "event channel cannot be used" in caplog.text)
        await p.subscribed()
        await p.publish(b"zmq")
        assert payloads(await read_messages(s, 1)) == [b"zmq"]


async def test_a_server_that_is_not_there_is_named(d, own):
    own.kill()
    with pytest.raises(UnavailableError, match=own.endpoint):
        await publisher(d).__aenter__()


async def test_a_prefix_of_ones_own_is_used_and_a_wrong_one_refused(d):
    async with subscriber(d) as s:
        async with publisher(d, transport=NatsTransport(subject_prefix="of.my.own")) as p:
            assert await joined(s) == Joined(p.publisher_id)
            await s.synced()
            await p.publish(b"x")
            assert payloads(await read_messages(s, 1)) == [b"x"]
        with pytest.raises(InvalidArgumentError, match="cannot be a subject"):
            await publisher(d, transport=NatsTransport(subject_prefix="a b")).__aenter__()


async def test_nats_does_not_tell_who_subscribes(d):
    async with publisher(d) as p:
        assert p.subscribers == 0
        with pytest.raises(FailedPreconditionError, match="NATS does not tell"):
            await p.subscribed()
