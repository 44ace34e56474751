"""Sockets that send and receive events."""

from __future__ import annotations

import asyncio

import pytest
import zmq
import zmq.asyncio

from tests.support.places import until
from transports.address import Address
from transports.errors import AddressError, UnreachableError
from transports.eventframe import EventFrame, encode_frame
from transports.zmq.events import EventReceiver, EventSender, event_address
from transports.zmq.forwarder import Forwarder

ANY = Address(scheme="tcp", host="127.0.0.1", port=0)
NAME = b"topic"


def frame(number: int, name: bytes = NAME) -> EventFrame:
    return EventFrame(name, 7, number, b"envelope")


def receiver(heard: list) -> EventReceiver:
    return EventReceiver(heard.append, heard.append)


async def test_one_receiver_hears_many_senders_and_lets_go_of_one():
    heard: list[EventFrame] = []
    async with EventSender(NAME, ANY) as one, EventSender(NAME, ANY) as two, receiver(heard) as r:
        r.subscribe(NAME)
        for sender in (one, two):
            r.connect(sender.address)
        for number, sender in enumerate((one, two)):
            await sender.subscribed(1)
            sender.send(frame(number))
        await until(lambda: len(heard) == 2)
        r.disconnect(one.address)
        await until(lambda: one.subscribers == 0)
        one.send(frame(2))
        two.send(frame(3))
        await until(lambda: len(heard) == 3)
        assert {each.sequence for each in heard} == {0, 1, 3}


async def test_connections_and_names_are_held_as_often_as_they_were_asked_for():
    heard: list[EventFrame] = []
    async with EventSender(NAME, ANY) as sender, receiver(heard) as r:
        for _ in range(2):
            r.subscribe(NAME)
            r.connect(sender.address)
        await sender.subscribed(1)
        r.disconnect(sender.address)
        r.unsubscribe(NAME)
        sender.send(frame(0))
        await until(lambda: len(heard) == 1)
        assert sender.subscribers == 1
        r.unsubscribe(NAME)
        await until(lambda: sender.subscribers == 0)
        r.disconnect(sender.address)


async def test_only_subscriptions_to_its_own_name_count():
    async with EventSender(NAME, ANY) as sender:
        with zmq.asyncio.Context() as context, context.socket(zmq.SUB) as ear:
            ear.linger = 0
            ear.connect(f"tcp://{sender.address.netloc}")
            for prefix in (b"topic-more", b"other", b"top", b""):
                ear.subscribe(prefix)
            await sender.subscribed(2)
            ear.subscribe(NAME)  # read in order: by now the others were too
            await sender.subscribed(3)
            assert sender.subscribers == 3


async def test_what_is_no_subscription_is_ignored():
    async with EventSender(b"", ANY) as sender:
        with zmq.asyncio.Context() as context, context.socket(zmq.XSUB) as mouth:
            mouth.linger = 0
            mouth.connect(f"tcp://{sender.address.netloc}")
            await mouth.send(b"\x02")
            await mouth.send(b"")
            await mouth.send(b"\x01")
            await sender.subscribed(1)
            assert sender.subscribers == 1


async def test_a_sender_follows_its_brokers():
    heard: list[EventFrame] = []
    async with (
        Forwarder(ANY, ANY) as one,
        Forwarder(ANY, ANY) as two,
        EventSender(NAME, None) as sender,
        receiver(heard) as r,
    ):
        r.subscribe(NAME)
        r.connect(one.subscribers)
        r.connect(two.subscribers)
        sender.connect([one.publishers])
        await sender.subscribed(1)
        sender.connect([one.publishers, two.publishers])
        await sender.subscribed(2)
        sender.send(frame(0))
        await until(lambda: len(heard) == 2)
        sender.connect([two.publishers])
        await until(lambda: sender.subscribers == 1)
        sender.send(frame(1))
        await until(lambda: len(heard) == 3)
        assert [each.sequence for each in heard] == [0, 0, 1]


async def test_messages_that_are_no_events_are_rejected_and_the_next_is_heard():
    heard: list = []
    with zmq.asyncio.Context() as context, context.socket(zmq.XPUB) as mouth:
        mouth.linger = 0
        port = mouth.bind_to_random_port("tcp://127.0.0.1")
        async with receiver(heard) as r:
            r.subscribe(NAME)
            r.connect(ANY.with_port(port))
            await mouth.recv()
            await mouth.send_multipart([NAME])
            await mouth.send_multipart([NAME] * 1000)
            await mouth.send_multipart(encode_frame(frame(5)))
            await until(lambda: len(heard) == 3)
            assert [str(each) for each in heard[:2]] == [
                "event has 1 parts, expected 4",
                "event has 5 parts, expected 4",
            ]
            assert heard[2] == frame(5)


async def test_after_their_blocks_they_do_nothing():
    heard: list = []
    async with EventSender(NAME, ANY) as sender, receiver(heard) as r:
        r.connect(sender.address)
    sender.send(frame(0))
    sender.flush()
    sender.connect([ANY])
    r.subscribe(NAME)
    r.unsubscribe(NAME)
    r.connect(ANY)
    r.disconnect(ANY)
    r.disconnect(sender.address)
    await sender.__aexit__(None, None, None)
    await r.__aexit__(None, None, None)
    with pytest.raises(UnreachableError, match="it is closed"):
        await sender.subscribed(1)


async def test_who_waits_for_subscribers_is_told_of_the_end():
    async with EventSender(NAME, ANY) as sender, asyncio.TaskGroup() as group:
        waiting = group.create_task(_refused(sender))
        await asyncio.sleep(0)
        await sender.__aexit__(None, None, None)
        assert "nobody subscribed to b'topic'" in await waiting


async def _refused(sender: EventSender) -> str:
    with pytest.raises(UnreachableError) as refused:
        await sender.subscribed(1)
    return str(refused.value)


async def test_an_address_that_zmq_does_not_take_is_refused_naming_it():
    async with receiver([]) as r:
        with pytest.raises(UnreachableError, match="cannot connect to tcp://_h:1"):
            r.connect(event_address("tcp://_h:1"))  # a name to us, but not to ZMQ


async def test_a_forwarder_whose_second_address_is_taken_gives_the_first_back():
    async with Forwarder(ANY, ANY) as taken:
        with pytest.raises(UnreachableError, match="cannot listen on"):
            await Forwarder(ANY, taken.subscribers).__aenter__()


@pytest.mark.parametrize(
    ("endpoint", "netloc"),
    [
        ("tcp://h:1", "h:1"),
        ("tcp://10.0.0.7:9", "10.0.0.7:9"),
        ("tcp://[::1]:9", "[::1]:9"),
    ],
)
def test_an_endpoint_is_an_address(endpoint, netloc):
    assert event_address(endpoint).netloc == netloc


@pytest.mark.parametrize(
    "endpoint",
    [
        *("", "h:1", "tcp://h", "tcp://h:0", "tcp://*:1", "tcp://[::]:1", "tcp://h:1,i:2"),
        *("tcp://h:1/p", "ipc:///tmp/x", "inproc://x", "zmq://h:1", "tcp://h:1\0", "tcp://a;b:1"),
    ],
)
def test_what_nobody_can_connect_to_is_no_endpoint(endpoint):
    with pytest.raises(AddressError, match="cannot be used"):
        event_address(endpoint)
