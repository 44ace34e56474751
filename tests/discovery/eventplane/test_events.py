"""Publishers and subscribers over real sockets, in one process."""

from __future__ import annotations

import asyncio

import pytest

from discovery import (
    Ended,
    EventChannelQuery,
    EventChannelSpec,
    EventPublisher,
    EventSubscriber,
    FailedPreconditionError,
    InvalidArgumentError,
    Joined,
    Lost,
    Message,
    Restarted,
    UnavailableError,
    ZmqTransport,
)
from tests.support.events import (
    PLACE,
    TOPIC,
    announced,
    frame,
    joined,
    lost,
    mouth,
    payloads,
    read_ended,
    read_messages,
    read_until,
)
from tests.support.places import EmbeddedPlace, daemon_place, until
from transports.envelope import MAX_PAYLOAD_BYTES


@pytest.fixture
async def d():
    async with EmbeddedPlace().connect() as connected:
        yield connected


def publisher(d, **changes):
    return EventPublisher(d, **({"topic": TOPIC} | PLACE | changes))


def subscriber(d, **changes):
    return EventSubscriber(d, **({"topic": TOPIC} | PLACE | changes))


async def test_events_arrive_in_order_with_who_when_and_what(d):
    async with subscriber(d) as s:
        async with publisher(d) as p:
            await p.subscribed()
            for payload in (b"one", b"", b"three"):
                await p.publish(payload)
            items = await read_messages(s, 3)
            assert items[0] == Joined(p.publisher_id)
            assert payloads(items) == [b"one", b"", b"three"]
            assert [item.sequence for item in items[1:]] == [0, 1, 2]
            assert {(item.publisher_id, item.topic) for item in items[1:]} == {
                (p.publisher_id, TOPIC)
            }
            assert (p.sent, p.subscribers) == (3, 1)
        assert await read_ended(s) == [Ended(p.publisher_id, 3)]
        assert s.counters.received == s.counters.publishers[p.publisher_id].received == 3
        assert s.counters.lost == s.counters.missed == 0


async def test_it_is_registered_inside_the_block_only_under_an_id_of_its_own(d):
    query = EventChannelQuery(**PLACE, topic=TOPIC)
    async with publisher(d) as one, publisher(d) as two:
        found = {channel.instance_id: channel for channel in await d.list(query)}
        assert found.keys() == {one.publisher_id, two.publisher_id}
        assert max(found) < 2**53
        assert d.instance_id not in found
        assert found[one.publisher_id] == one.channel
        assert one.channel.transport.endpoint.startswith("tcp://127.0.0.1:")
    assert not await d.list(query)


async def test_who_joins_late_has_missed_what_came_before(d):
    async with publisher(d) as p, subscriber(d) as first:
        await p.subscribed(1)
        for number in range(5):
            await p.publish(b"%d" % number)
        assert len(payloads(await read_messages(first, 5))) == 5
        async with subscriber(d) as second:
            await p.subscribed(2)
            await p.publish(b"5")
            assert payloads(await read_messages(second, 1)) == [b"5"]
            assert (second.counters.missed, second.counters.lost) == (5, 0)


async def test_a_publisher_that_nobody_heard_ends_with_all_missed(d):
    async with subscriber(d) as s:
        async with announced(d, 7) as one:
            await one.subscribed()
            await one.send(frame(7, 12, topic=f"{TOPIC}/end"))
            assert await read_ended(s) == [Joined(7), Ended(7, 12)]
        assert s.counters.missed == 12


async def test_a_publisher_that_ends_tells_of_the_last_events_that_were_lost(d):
    async with subscriber(d) as s, announced(d, 7) as one:
        await one.subscribed()
        await one.send(frame(7, 0), frame(7, 4, topic=f"{TOPIC}/end"))
        assert (await read_ended(s))[-2:] == [Lost(7, 1, 3), Ended(7, 4)]
        assert s.counters.received + s.counters.lost == 4


async def test_a_publisher_that_goes_without_a_word_has_ended_with_nobody_knows_what(d):
    async with subscriber(d) as s:
        async with announced(d, 7) as one:
            await one.subscribed()
            await one.send(frame(7, 0))
            await read_messages(s, 1)
        assert await read_ended(s) == [Ended(7, None)]


async def test_gaps_late_repeated_and_restarted_events_are_told_and_counted(d):
    async with subscriber(d) as s, announced(d, 7) as one:
        await one.subscribed()
        await one.send(
            *(frame(7, number, at=1000 + number) for number in (0, 4, 2, 2, 0)),
            frame(7, 0, b"anew", at=9000),
        )
        items = await read_until(s, lambda item: getattr(item, "payload", b"") == b"anew")
        told = [item[1] if isinstance(item, Message) else item for item in items]
        assert told == [Joined(7), 0, Lost(7, 1, 3), 4, 2, Restarted(7), 0]
        counters = s.counters.publishers[7]
        assert (counters.received, counters.lost, counters.duplicates) == (4, 2, 2)
        assert (counters.reordered, counters.restarts) == (1, 1)


async def test_bad_messages_hurt_nobody_and_are_counted(d):
    async with subscriber(d) as s, announced(d, 7) as bad, announced(d, 8) as good:
        await bad.subscribed()
        await good.subscribed()
        parts = [bytes(8), bytes(8), b"\x01\x00\x00\x00\x01\x00"]
        await bad.send_parts(TOPIC.encode())
        await bad.send_parts(TOPIC.encode(), *parts[:2])
        await bad.send_parts(TOPIC.encode(), *parts, b"one more", b"two more")
        await bad.send_parts(TOPIC.encode(), b"7", *parts[1:])
        await bad.send_parts(TOPIC.encode(), *parts[:2], b"\x02" + parts[2][1:])
        await bad.send_parts(f"{TOPIC}-x".encode(), *parts)
        await bad.send_parts(TOPIC.encode(), *parts)
        await bad.send(frame(7, 0))
        await good.send(frame(8, 0))
        items = await read_messages(s, 2)
        assert Lost(0, 0, 0) in items  # its envelope could not be read, its sequence could
        assert s.counters.undecodable == 7


async def test_what_is_about_another_topic_is_ignored_although_it_begins_alike(d):
    async with subscriber(d) as s, announced(d, 7) as one:
        await one.subscribed()
        await one.send(frame(7, 0, topic=f"{TOPIC}-more")._replace(name=f"{TOPIC}-more".encode()))
        await one.send(frame(7, 0, topic="another"))
        await one.send(frame(7, 0, b"mine")._replace(name=f"{TOPIC}-x".encode()))  # the peer's way
        items = await read_messages(s, 1)
        assert payloads(items) == [b"mine"]
        assert s.counters == s.counters.__class__(received=1, publishers=s.counters.publishers)


@pytest.mark.parametrize("endpoint", ["nonsense", "tcp://*:1", "ipc:///tmp/x", "tcp://_h:1", "a,b"])
async def test_a_record_that_leads_nowhere_hurts_nobody(d, endpoint, caplog):
    transport = ZmqTransport(endpoint=endpoint)
    channel = EventChannelSpec(**PLACE, topic=TOPIC, transport=transport, instance_id=6)
    bad = await d.register(channel)
    async with subscriber(d) as s, publisher(d) as p:
        await p.subscribed()
        await p.publish(b"fine")
        assert payloads(await read_messages(s, 1)) == [b"fine"]
        await d.unregister(bad)
    (warning,) = [record for record in caplog.records if record.name.endswith("channels")]
    assert warning.channel == str(bad.id)
    assert endpoint in warning.why


async def test_two_channels_with_one_address_deliver_once(d):
    async with subscriber(d) as s, announced(d, 7) as one:
        twin = await d.register(one.spec(8))
        await one.subscribed()
        assert {(await joined(s)).publisher_id, (await joined(s)).publisher_id} == {7, 8}
        await one.send(frame(7, 0, b"once"), frame(7, 1, b"twice"))
        assert payloads(await read_messages(s, 2)) == [b"once", b"twice"]
        await d.unregister(twin)  # and the other one stays connected
        assert await read_ended(s) == [Ended(8, None)]
        await one.send(frame(7, 2, b"still here"))
        assert payloads(await read_messages(s, 1)) == [b"still here"]
        assert s.counters.duplicates == 0


async def test_an_address_that_is_changed_in_place_is_followed(d):
    async with subscriber(d) as s, mouth() as old, mouth() as new:
        channel = await d.register(old.spec(7))
        await old.subscribed()
        await old.send(frame(7, 0, b"old"))
        await read_messages(s, 1)
        await d.register(new.spec(7))
        await new.subscribed()
        await new.send(frame(7, 1, b"new"))
        assert payloads(await read_messages(s, 1)) == [b"new"]
        await old.unsubscribed()
        await d.unregister(channel)
        assert await read_ended(s) == [Ended(7, None)]


async def test_a_channel_that_is_back_at_once_stays_connected(d):
    async with subscriber(d) as s, mouth() as one:
        channel = await d.register(one.spec(7))
        await one.subscribed()
        await one.send(frame(7, 0))
        await read_messages(s, 1)
        await d.unregister(channel)
        channel = await d.register(one.spec(7))
        await one.send(frame(7, 1))
        assert await read_messages(s, 1) == [Message(7, 1, 1000, TOPIC, b"p")]
        await d.unregister(channel)
        await one.send(frame(7, 2))  # what comes when it is gone still counts
        items = await read_ended(s)
        assert [type(item) for item in items] == [Message, Ended]


async def test_subscribers_of_a_component_hear_its_endpoints_and_no_other_component(d):
    async with subscriber(d) as s, publisher(d, component="comp2") as other, publisher(d) as p:
        await p.subscribed()
        await other.publish(b"not mine")
        await p.publish(b"mine")
        assert payloads(await read_messages(s, 1)) == [b"mine"]
        assert s.counters.publishers.keys() == {p.publisher_id}
        async with subscriber(d, component=None) as all_of_them:
            await other.subscribed()
            await p.subscribed(2)
            await other.publish(b"too")
            assert payloads(await read_messages(all_of_them, 1)) == [b"too"]


async def test_a_reader_that_sleeps_is_told_exactly_what_it_lost(d):
    async with subscriber(d, max_items=500) as s:
        async with publisher(d) as p:
            await p.subscribed()
            for number in range(20_000):
                await p.publish(b"%d" % number)
        await until(lambda: s.counters.received + s.counters.lost == 20_000)
        items = await read_ended(s)
        numbers = [item.sequence for item in items if isinstance(item, Message)]
        assert numbers == sorted(set(numbers))
        assert lost(items) + len(numbers) == 20_000
        assert lost(items) == s.counters.dropped + s.counters.lost > 0
        assert len(numbers) <= 500 + 3 * 512


async def test_it_follows_through_an_outage_and_hears_meanwhile():
    async with daemon_place() as place, place.connect() as theirs, place.connect() as ours:  # noqa: SIM117
        async with subscriber(ours) as s, publisher(theirs) as p:
            await p.subscribed()
            await place.stop()
            await until(lambda: theirs.state == ours.state == "disconnected")
            await p.publish(b"in the dark")
            assert payloads(await read_messages(s, 1)) == [b"in the dark"]
            await place.start()
            async with publisher(theirs) as later:
                await later.subscribed()
                await later.publish(b"again")
                items = await read_messages(s, 1)
                assert (payloads(items), Joined(later.publisher_id) in items) == ([b"again"], True)


async def test_a_publisher_whose_lease_was_lost_is_back_under_its_id():
    async with daemon_place() as place, place.connect() as d, place.connect() as other:  # noqa: SIM117
        async with publisher(d) as p, other.watch(EventChannelQuery()) as stream:
            await stream.synced()
            before = stream.revision
            await place.end_lease(d.instance_id)
            # Gone at a later revision, it can be there at one only if it was registered again.
            await until(lambda: stream.revision > before and p.channel.id in stream.instances)
            assert stream.instances[p.channel.id] == p.channel


async def test_generation_b_may_publish_for_an_endpoint_or_a_namespace_and_a_may_not(d):
    for scope in ({"component": None}, {"endpoint": "gen"}):
        with pytest.raises(InvalidArgumentError, match="generation a of the event plane"):
            await publisher(d, **scope).__aenter__()


@pytest.mark.parametrize("codec", ["json", "msgpack", None])
async def test_generation_a_has_either_codec_and_both_are_read(d, codec):
    async with subscriber(d) as s, publisher(d, codec=codec) as p:
        await p.subscribed()
        await p.publish(b"\x00\xff")
        assert payloads(await read_messages(s, 1)) == [b"\x00\xff"]


async def test_the_environment_says_what_was_not_said(d, monkeypatch):
    monkeypatch.setenv("DISCOVERY_EVENT_HOST", "127.0.0.2")
    monkeypatch.setenv("DISCOVERY_EVENT_PLANE", "zmq")
    monkeypatch.setenv("DISCOVERY_EVENT_PLANE_CODEC", "json")
    async with subscriber(d) as s, publisher(d) as p:
        assert p.channel.transport.endpoint.startswith("tcp://127.0.0.2:")
        await p.subscribed()
        await p.publish(b"x")
        await read_messages(s, 1)
    monkeypatch.setenv("DISCOVERY_EVENT_PLANE_CODEC", "yaml")
    with pytest.raises(InvalidArgumentError, match="DISCOVERY_EVENT_PLANE_CODEC"):
        publisher(d)


async def test_a_fixed_address_is_listened_on_and_a_second_time_refused(d):
    async with publisher(d) as found:
        endpoint = found.channel.transport.endpoint
        with pytest.raises(UnavailableError, match="cannot listen on"):
            await publisher(d, transport=ZmqTransport(endpoint=endpoint)).__aenter__()
    async with publisher(d, transport=ZmqTransport(endpoint=endpoint)) as p:
        assert p.channel.transport.endpoint == endpoint


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"topic": "a/b"}, "topic 'a/b' contains"),
        ({"namespace": ""}, "namespace '' is empty"),
        ({"component": None, "endpoint": "e"}, "endpoint 'e' needs a component"),
    ],
)
async def test_wrong_names_are_refused_naming_them(d, wrong, text):
    for kind in (publisher, subscriber):
        with pytest.raises(InvalidArgumentError, match=text):
            kind(d, **wrong)


async def test_other_wrong_arguments_are_refused_naming_them(d):
    for wrong in ({"max_items": 0}, {"max_bytes": True}):
        with pytest.raises(InvalidArgumentError, match=next(iter(wrong))):
            subscriber(d, **wrong)
    for wrong in ("smoke", 5):
        with pytest.raises(InvalidArgumentError, match="transport"):
            publisher(d, transport=wrong)
    with pytest.raises(InvalidArgumentError, match="codec 'yaml': expected"):
        await publisher(d, codec="yaml").__aenter__()
    async with publisher(d) as p:
        for payload in ("text", bytes(MAX_PAYLOAD_BYTES + 1)):
            with pytest.raises(InvalidArgumentError, match="payload"):
                await p.publish(payload)
        assert p.sent == 0


async def test_outside_of_their_blocks_they_say_so(d):
    p, s = publisher(d), subscriber(d)
    for call in (p.publish, lambda _: p.subscribed()):
        with pytest.raises(UnavailableError, match="async with EventPublisher"):
            await call(b"")
    with pytest.raises(UnavailableError, match="not registered"):
        _ = p.channel
    assert (p.subscribers, s.counters.received) == (0, 0)
    for call in (s.__anext__, s.synced):
        with pytest.raises(FailedPreconditionError, match="not entered"):
            await call()
    async with p, s:
        await s.synced()
        for again in (p, s):
            with pytest.raises(FailedPreconditionError, match="entered already"):
                await again.__aenter__()
    await p.aclose()
    await s.aclose()
    with pytest.raises(UnavailableError):
        await p.publish(b"")
    with pytest.raises(FailedPreconditionError, match="closed"):
        await s.__anext__()


async def refusal(of):
    with pytest.raises((UnavailableError, FailedPreconditionError)) as refused:
        await of
    return str(refused.value)


async def test_closing_wakes_who_reads_and_who_waits_for_subscribers(d):
    async with asyncio.TaskGroup() as group, subscriber(d) as s, publisher(d) as p:
        reading = group.create_task(refusal(read_until(s, lambda _: False)))
        waiting = group.create_task(refusal(p.subscribed(9)))
        await p.subscribed(1)
        await p.aclose()
        assert await waiting == "nobody subscribed to b'kv-events': it is closed"
        await s.aclose()
        assert await reading == "the subscriber is closed"


async def test_a_connection_that_is_closed_ends_its_subscribers():
    place = EmbeddedPlace()
    async with place.connect() as first:
        s = subscriber(first)
        await s.__aenter__()
    with pytest.raises(FailedPreconditionError, match="closed"):
        await s.__anext__()
    await s.aclose()


@pytest.mark.parametrize("host", ["::1", "localhost"])
async def test_other_ways_to_say_loopback_are_listened_on_and_connected_to(d, host):
    async with subscriber(d) as s, publisher(d, advertise=host) as p:
        told = f"tcp://[{host}]:" if ":" in host else f"tcp://{host}:"
        assert p.channel.transport.endpoint.startswith(told)
        await p.subscribed()
        await p.publish(b"x")
        assert payloads(await read_messages(s, 1)) == [b"x"]


async def test_a_publisher_that_is_cancelled_while_it_enters_leaves_nothing(d):
    p = publisher(d)
    async with asyncio.TaskGroup() as group:
        entering = group.create_task(p.__aenter__())
        for _ in range(5):
            await asyncio.sleep(0)
        entering.cancel()
    await until(entering.done)
    assert not await d.list(EventChannelQuery(**PLACE, topic=TOPIC))
