"""One test per sentence of Publisher and Subscriber, over every transport."""

from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
import zmq

from tests.transports.cases import CASES, LIMIT_S, Inbox, case_of, eventually
from transports.errors import UnreachableError
from transports.opening import open_publisher, open_subscriber

RANDOM = random.Random(4711)
TOPIC = "e/m/endpoints/ns/comp/ep/"


@pytest.fixture(params=CASES)
def case(request):
    return case_of(request)


@asynccontextmanager
async def subscribed(address, on_message, *prefixes):
    async with open_subscriber(address, on_message) as subscriber:
        async with asyncio.timeout(LIMIT_S):
            for prefix in prefixes:
                await subscriber.subscribe(prefix)
        yield subscriber


async def free_address(case):
    """Return an address that was in use and is free again."""
    async with open_publisher(case.new_url()) as publisher:
        return publisher.address


def resident_bytes():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


# --- Publisher -----------------------------------------------------------------------------------


async def test_messages_arrive_in_order_each_once_and_publish_does_not_block(case):
    inbox = Inbox()
    async with (
        open_publisher(case.new_url()) as publisher,
        subscribed(publisher.address, inbox, TOPIC),
    ):
        for number in range(5000):  # in one turn of the loop, below every bound
            publisher.publish(TOPIC, b"%d" % number)
        assert await inbox.first(5000) == [(TOPIC, b"%d" % number) for number in range(5000)]


@pytest.mark.parametrize(
    "payload",
    [b"", bytes(range(256)), RANDOM.randbytes(1 << 20)],
    ids=["empty", "every byte", "1 MiB"],
)
async def test_payloads_and_topics_are_not_altered(case, payload):
    inbox = Inbox()
    async with (
        open_publisher(case.new_url()) as publisher,
        subscribed(publisher.address, inbox, ""),
    ):
        publisher.publish("é/\0/🙂/", payload)
        publisher.publish("", payload)
        assert await inbox.first(2) == [("é/\0/🙂/", payload), ("", payload)]


async def test_for_a_subscriber_that_does_not_keep_up_messages_are_dropped(case):
    inbox = Inbox()
    async with (
        open_publisher(case.new_url()) as publisher,
        subscribed(publisher.address, inbox, TOPIC),
    ):
        for number in range(100_000):  # in one turn of the loop: the subscriber cannot read
            publisher.publish(TOPIC, b"%0100d" % number)
        await inbox.first(1)
        await asyncio.sleep(0)

        def is_marked():
            publisher.publish(TOPIC, b"-1")  # again, as it may be dropped too
            return inbox.items[-1] == (TOPIC, b"-1")

        await eventually(is_marked)
    numbers = [int(payload) for _, payload in inbox.items if payload != b"-1"]
    assert 5000 < len(numbers) < 100_000
    assert numbers == sorted(set(numbers))


async def test_one_that_never_reads_delays_no_other_and_memory_stays_bounded(case):
    """300 MB are published; the one that never reads may hold 20,000 messages of 3 kB."""
    inbox = Inbox()
    count, batch, payload = 100_000, 500, b"%3000d"
    received = 0

    def receive(_topic, message):
        nonlocal received
        assert int(message) == received
        received += 1
        if received % batch == 0:
            inbox(received)

    async with open_publisher(case.new_url()) as publisher, AsyncExitStack() as stack:
        if case.raw_kinds:  # in one loop nobody can fail to read
            stuck = stack.enter_context(case.raw_peer(zmq.SUB, publisher.address))
            stuck.subscribe(TOPIC.encode())
            await eventually(lambda: publisher.has_subscribers(TOPIC))
        await stack.enter_async_context(subscribed(publisher.address, receive, TOPIC))
        before = resident_bytes()
        for start in range(0, count, batch):
            for number in range(start, start + batch):
                publisher.publish(TOPIC, payload % number)
            await inbox.first((start + batch) // batch)
        assert received == count
        assert resident_bytes() - before < 120_000_000


async def test_has_subscribers_is_false_only_when_nobody_can_receive(case):
    async with open_publisher(case.new_url()) as publisher:
        if not case.knows_subscribers:
            assert publisher.has_subscribers("")
            return
        assert not publisher.has_subscribers("")
        async with subscribed(publisher.address, Inbox(), "e/ns/comp/") as subscriber:
            for touched in ("", "e/", "e/ns/comp/", "e/ns/comp/ep/"):
                assert publisher.has_subscribers(touched)
            for untouched in ("e/ns/comp2/", "b/", "f"):
                assert not publisher.has_subscribers(untouched)
            await subscriber.subscribe("")
            assert publisher.has_subscribers("b/")
            subscriber.unsubscribe("")
            await eventually(lambda: not publisher.has_subscribers("b/"))
            async with subscribed(publisher.address, Inbox(), "e/ns/comp/"):
                pass
            assert publisher.has_subscribers("e/")
        await eventually(lambda: not publisher.has_subscribers(""))


async def test_what_is_not_a_subscription_is_counted_and_hurts_nobody(case):
    inbox = Inbox()
    async with open_publisher(case.new_url()) as publisher:
        expected = 0
        if case.raw_kinds:
            garbage = [[b"\x02x"], [b"x", b"y", b"z"], [b""], [b"\x01\xffshort"]]
            expected = len(garbage)
            with case.raw_peer(zmq.XSUB, publisher.address) as raw:
                for parts in garbage:
                    raw.send_multipart(parts)
                await eventually(lambda: publisher.rejected >= expected)
        async with subscribed(publisher.address, inbox, TOPIC):
            publisher.publish(TOPIC, b"")
            await inbox.first(1)
        assert publisher.rejected == expected


async def test_entering_at_an_address_that_is_taken_is_refused_with_its_name(case):
    async with open_publisher(case.new_url()) as publisher:
        with pytest.raises(UnreachableError, match="cannot listen on") as refused:
            async with open_publisher(str(publisher.address)):
                pass
        assert str(publisher.address) in str(refused.value)


async def test_after_the_block_the_address_is_free_and_publish_does_nothing(case):
    publisher = open_publisher(case.new_url())
    async with publisher:
        address = publisher.address
    publisher.publish(TOPIC, b"")
    await publisher.__aexit__(None, None, None)
    inbox = Inbox()
    for number in range(5):
        async with (
            open_publisher(str(address)) as next_publisher,
            subscribed(address, inbox, TOPIC),
        ):
            publisher.publish(TOPIC, b"nothing")
            next_publisher.publish(TOPIC, b"")
            assert (await inbox.first(number + 1))[number:] == [(TOPIC, b"")]


# --- Subscriber ----------------------------------------------------------------------------------


async def test_a_message_arrives_when_its_topic_starts_with_a_prefix_once_if_several_match(case):
    inbox = Inbox()
    async with (
        open_publisher(case.new_url()) as publisher,
        subscribed(publisher.address, inbox, "e/ns/", "e/ns/comp/", "b/"),
    ):
        topics = ["e/", "e/n", "e/ns/", "e/ns/comp/", "e/ns/comp2/", "c/", "b/", "B/", "x/e/ns/"]
        for topic in [*topics, "b/end/"]:
            publisher.publish(topic, b"")
        got = await inbox.until(lambda: ("b/end/", b"") in inbox.items)
    assert [topic for topic, _ in got] == ["e/ns/", "e/ns/comp/", "e/ns/comp2/", "b/", "b/end/"]


async def test_nothing_published_after_subscribe_returned_is_missed(case):
    async with open_publisher(case.new_url()) as publisher:
        for number in range(50):
            inbox = Inbox()
            async with open_subscriber(publisher.address, inbox) as subscriber:
                async with asyncio.TaskGroup() as group:
                    subscribing = group.create_task(subscriber.subscribe(TOPIC))
                    while not subscribing.done():
                        publisher.publish(TOPIC, b"may arrive")
                        await asyncio.sleep(0)
                publisher.publish(TOPIC, b"%d" % number)
                wanted = (TOPIC, b"%d" % number)
                await inbox.until(lambda wanted=wanted, inbox=inbox: wanted in inbox.items)


async def test_a_prefix_is_held_until_unsubscribed_as_often_as_subscribed(case):
    inbox = Inbox()
    async with (
        open_publisher(case.new_url()) as publisher,
        subscribed(publisher.address, inbox, "a/", "a/", "end/") as subscriber,
    ):
        subscriber.unsubscribe("a/")
        await subscriber.subscribe("end/")
        publisher.publish("a/", b"held")
        await inbox.first(1)
        subscriber.unsubscribe("a/")
        subscriber.unsubscribe("a/")  # not held: does nothing
        subscriber.unsubscribe("never held/")
        await subscriber.subscribe("end/")
        publisher.publish("a/", b"let go")
        publisher.publish("end/", b"")
        assert await inbox.first(2) == [("a/", b"held"), ("end/", b"")]


async def test_a_cancelled_subscribe_leaves_the_prefix_as_it_was(case):
    inbox = Inbox()
    address = await free_address(case)
    async with open_subscriber(address, inbox) as subscriber, asyncio.TaskGroup() as group:
        held = group.create_task(subscriber.subscribe("held/"))
        for prefix in ("held/", "not held/"):
            cancelled = group.create_task(subscriber.subscribe(prefix))
            await asyncio.sleep(0)
            cancelled.cancel()
            await asyncio.wait([cancelled])
        async with open_publisher(str(address)) as publisher, asyncio.timeout(LIMIT_S):
            await held
            publisher.publish("not held/", b"")
            publisher.publish("held/", b"")
            assert await inbox.first(1) == [("held/", b"")]
            assert not (case.knows_subscribers and publisher.has_subscribers("not held/"))


async def test_subscribe_waits_for_a_publisher_that_comes_later(case):
    inbox = Inbox()
    address = await free_address(case)
    async with open_subscriber(address, inbox) as subscriber, asyncio.TaskGroup() as group:
        waiting = group.create_task(subscriber.subscribe(TOPIC))
        await asyncio.sleep(0)
        assert not waiting.done()
        async with open_publisher(str(address)) as publisher, asyncio.timeout(LIMIT_S):
            await waiting
            publisher.publish(TOPIC, b"")
            await inbox.first(1)


async def test_a_publisher_that_comes_back_has_the_subscriptions_again(case):
    inbox = Inbox()
    address = await free_address(case)
    async with open_subscriber(address, inbox) as subscriber:
        for number in range(3):
            async with open_publisher(str(address)) as publisher, asyncio.timeout(LIMIT_S):
                if number == 0:
                    await subscriber.subscribe("a/")
                    await subscriber.subscribe("z/")
                await eventually(lambda publisher=publisher: publisher.has_subscribers("z/"))
                assert publisher.has_subscribers("a/")
                publisher.publish("a/", b"%d" % number)
                assert (await inbox.first(number + 1))[number] == ("a/", b"%d" % number)


async def test_after_the_publisher_came_back_subscribe_proves_all_older_prefixes_too(case):
    """They are sent anew, in an order of the transport's own."""
    inbox = Inbox()
    prefixes = [f"{chr(letter)}/" for letter in (*range(33, 127), 0xE9, 0x1F642)]
    address = await free_address(case)
    async with open_subscriber(address, inbox) as subscriber, asyncio.timeout(LIMIT_S):
        async with open_publisher(str(address)), asyncio.TaskGroup() as group:
            for prefix in prefixes:
                group.create_task(subscriber.subscribe(prefix))
        async with open_publisher(str(address)) as publisher:
            await subscriber.subscribe("0/")
            for prefix in prefixes:
                publisher.publish(prefix, b"")
            assert await inbox.first(len(prefixes)) == [(prefix, b"") for prefix in prefixes]


async def test_what_has_no_topic_and_payload_is_counted_and_dropped(case):
    inbox = Inbox()
    if not case.raw_kinds:  # no publisher there but ours
        assert open_subscriber(await free_address(case), inbox).rejected == 0
        return
    garbage = [[b"a/"], [b"a/", b"", b""], [b"a/\xe9", b""], [b"a/"] * 9]
    with case.raw_listener(zmq.XPUB) as (raw, address):
        async with open_subscriber(address, inbox) as subscriber, asyncio.TaskGroup() as group:
            subscribing = group.create_task(subscriber.subscribe("a/"))
            await asyncio.sleep(0)
            assert raw.recv() == b"\x01a/"
            proof = raw.recv()[1:]
            for parts in [*garbage, [b"a/", b"good"], [b"a/\0", b"good too"], [proof, b""]]:
                raw.send_multipart(parts)
            await subscribing
            assert await inbox.first(2) == [("a/", b"good"), ("a/\0", b"good too")]
            assert subscriber.rejected == len(garbage)


async def test_a_proof_that_was_dropped_is_asked_for_again(case, monkeypatch):
    monkeypatch.setattr("transports.zmq.pubsub._PROOF_INTERVAL_S", 0.001)
    if not case.raw_kinds:  # knows without a proof
        return
    with case.raw_listener(zmq.XPUB) as (raw, address):
        async with open_subscriber(address, Inbox()) as subscriber, asyncio.TaskGroup() as group:
            subscribing = group.create_task(subscriber.subscribe("a/"))
            await asyncio.sleep(0)
            first, *frames = raw.recv(), raw.recv()
            assert first == b"\x01a/"

            def proofs():
                while raw.get(zmq.EVENTS) & zmq.POLLIN:
                    frames.append(raw.recv())
                return {frame for frame in frames if frame.startswith(b"\x01\xff")}

            await eventually(lambda: len(proofs()) >= 3)
            while not subscribing.done():
                for frame in proofs():
                    raw.send_multipart([frame[1:], b""])
                await asyncio.sleep(0.001)


async def test_everything_as_a_prefix_shows_no_proof_of_others(case):
    inbox = Inbox()
    async with (
        open_publisher(case.new_url()) as publisher,
        subscribed(publisher.address, inbox, ""),
        subscribed(publisher.address, Inbox(), "a/"),
    ):
        publisher.publish("a/", b"")
        assert await inbox.first(1) == [("a/", b"")]


async def test_subscribe_is_refused_when_the_subscriber_is_closed_meanwhile(case):
    address = await free_address(case)
    async with asyncio.TaskGroup() as group:
        async with open_subscriber(address, Inbox()) as subscriber:

            async def wait():
                with pytest.raises(UnreachableError, match="is closed"):
                    await subscriber.subscribe(TOPIC)

            waiting = group.create_task(wait())
            await asyncio.sleep(0)
        async with asyncio.timeout(LIMIT_S):
            await waiting
    with pytest.raises(UnreachableError, match="is closed"):
        await subscriber.subscribe(TOPIC)
    subscriber.unsubscribe(TOPIC)


async def test_after_the_block_no_message_arrives_and_closing_again_does_nothing(case):
    inbox, other = Inbox(), Inbox()
    async with open_publisher(case.new_url()) as publisher:
        async with subscribed(publisher.address, inbox, TOPIC) as subscriber:
            publisher.publish(TOPIC, b"on its way")
        await subscriber.__aexit__(None, None, None)
        async with subscribed(publisher.address, other, TOPIC):
            publisher.publish(TOPIC, b"")
            await other.first(1)
    assert not inbox.items


async def test_being_cancelled_anywhere_leaves_nothing_behind(case):
    """The fixtures of every test look for tasks, threads and sockets; here, the address is free."""
    address = await free_address(case)

    async def story():
        inbox = Inbox()
        async with (
            open_publisher(str(address)) as publisher,
            open_subscriber(address, inbox) as subscriber,
        ):
            await subscriber.subscribe(TOPIC)
            publisher.publish(TOPIC, b"")
            await inbox.first(1)

    async with asyncio.timeout(LIMIT_S):
        for step in range(60):
            task = asyncio.get_running_loop().create_task(story())
            for _ in range(step):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            while True:
                try:
                    async with open_publisher(str(address)) as publisher:
                        assert not (case.knows_subscribers and publisher.has_subscribers(""))
                    break
                except UnreachableError:  # what a cancelled close left to its thread goes on
                    await asyncio.sleep(0.001)
