"""Brokers, and publishers and subscribers through them, in one process."""

from __future__ import annotations

import pytest

import discovery
from discovery import (
    EventPublisher,
    EventSubscriber,
    InvalidArgumentError,
    SettingError,
    UnavailableError,
    ZmqBrokerTransport,
)
from discovery.eventplane.broker import Broker
from discovery.settings import BrokerSettings
from tests.support.events import PLACE, TOPIC, payloads, read_ended, read_messages
from tests.support.places import EmbeddedPlace, until

ANY = "zmq://127.0.0.1:0"


def broker(url: str, **changes: str) -> Broker:
    settings = {"registry": url, "namespace": "ns", "publishers": ANY, "subscribers": ANY}
    return Broker(BrokerSettings(**(settings | changes)))


def publisher(d, **changes):
    return EventPublisher(d, **({"topic": TOPIC, "transport": "zmq-broker"} | PLACE | changes))


async def test_events_come_once_through_two_brokers_and_through_one_that_joins_later():
    place = EmbeddedPlace()
    async with place.connect() as d, EventSubscriber(d, topic=TOPIC, **PLACE) as s:
        async with broker(place.url), publisher(d) as p:
            await p.subscribed(1)
            await p.publish(b"by one")
            assert payloads(await read_messages(s, 1)) == [b"by one"]
            async with broker(place.url):
                await p.subscribed(2)
                await p.publish(b"by two")
                assert payloads(await read_messages(s, 1)) == [b"by two"]
                await until(lambda: s.counters.duplicates == 1)
            await until(lambda: p.subscribers == 1)
            await p.publish(b"by one again")
            assert payloads(await read_messages(s, 1)) == [b"by one again"]
        assert (await read_ended(s))[-1].sent == 3
        assert (s.counters.received, s.counters.lost, s.counters.missed) == (3, 0, 0)


async def test_brokers_that_are_told_need_not_be_registered():
    place = EmbeddedPlace()
    async with broker(place.url) as one, place.connect() as d:
        told = one.channel.transport
        async with EventSubscriber(d, topic=TOPIC, **PLACE) as s, publisher(d, transport=told) as p:
            assert p.channel.transport == told
            await p.subscribed()
            await p.publish(b"x")
            assert payloads(await read_messages(s, 1)) == [b"x"]


async def test_without_a_broker_there_is_no_publisher():
    async with EmbeddedPlace().connect() as d:
        with pytest.raises(UnavailableError, match="no broker is registered in namespace 'ns'"):
            await publisher(d).__aenter__()


@pytest.mark.parametrize("endpoint", ["", "nonsense", "tcp://*:1"])
async def test_a_broker_that_leads_nowhere_is_refused_or_passed_over(endpoint, caplog):
    async with EmbeddedPlace().connect() as d:
        xsub = (endpoint,) if endpoint else ("tcp://127.0.0.1:0",)
        told = ZmqBrokerTransport(xsub_endpoints=xsub, xpub_endpoints=())
        with pytest.raises(InvalidArgumentError, match="xsub_endpoints"):
            await publisher(d, transport=told).__aenter__()
        if endpoint:
            await d.register(
                discovery.EventChannelSpec(
                    namespace="ns", component="zmq_broker", topic="b", transport=told
                )
            )
            with pytest.raises(UnavailableError, match="no broker is registered"):
                await publisher(d).__aenter__()
            assert "broker cannot be used" in caplog.text


async def test_a_broker_tells_the_host_it_was_told_and_refuses_one_nobody_can_reach():
    place = EmbeddedPlace()
    async with place.connect(), broker(place.url, advertise="localhost") as one:
        assert one.channel.transport.xpub_endpoints[0].startswith("tcp://localhost:")
        assert one.channel.transport.address == f"tcp://localhost:{one.addresses[0].port}"
    with pytest.raises(SettingError, match=r"broker\.publishers.*nobody can connect"):
        broker(place.url, publishers="zmq://*:4720")
    with pytest.raises(SettingError, match=r"broker\.registry"):
        await broker("smoke://").__aenter__()


async def test_an_address_that_is_taken_is_told():
    place = EmbeddedPlace()
    async with broker(place.url) as one:
        taken = str(one.addresses[1])
        with pytest.raises(Exception, match="cannot listen on"):
            await broker(place.url, subscribers=taken).__aenter__()
