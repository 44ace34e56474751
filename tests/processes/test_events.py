"""Events between processes: restarts, kills, stalls, brokers; the counters account for all."""

from __future__ import annotations

import asyncio
import signal
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

import discovery
from discovery import EventChannelQuery, EventPublisher, EventSubscriber, InvalidArgumentError
from tests.support.events import payloads, read_messages
from tests.support.places import until
from tests.support.processes import DISCOVERYD, daemon, free_ports, listening, program, script

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from contextlib import AbstractAsyncContextManager

    from tests.support.processes import Program

NAMESPACE = "ns"
BURST = 50_000


@dataclass(frozen=True)
class Network:
    """What events travel by."""

    transport: str
    env: dict[str, str]

    def events(self, url: str) -> AbstractAsyncContextManager[Program]:
        return program(*script("events", url, NAMESPACE), env=self.env)

    async def subscribed(self, writer: Program, name: str, count: int) -> None:
        if self.transport != "nats":  # there a subscriber has subscribed before it says so
            await tell(writer, "subscribed", name, count)


@pytest.fixture(params=["zmq", "nats"])
def network(request: pytest.FixtureRequest) -> Network:
    if request.param == "zmq":
        return Network("zmq", {})
    return Network("nats", {"DISCOVERY_EVENT_NATS": request.getfixturevalue("nats").url})


@asynccontextmanager
async def registry() -> AsyncGenerator[str]:
    port = free_ports()
    async with daemon(port):
        yield f"zmq://127.0.0.1:{port}"


def events(url: str) -> AbstractAsyncContextManager[Program]:
    return Network("zmq", {}).events(url)


async def tell(running: Program, *words: object) -> dict:
    running.tell(*words)
    return await running.hear()


def check_accounts(summary: dict, sent: dict[str, int], *, may_be_late: bool = False) -> None:
    """Everything that each publisher has sent was received, lost or missed, and told as that.

    What is late was told as lost before.
    """
    for one, count in sent.items():
        counters = summary["counters"][one]
        late = counters["reordered"]
        assert summary["late"].get(one, 0) <= late
        assert not late or may_be_late
        assert counters["received"] + counters["lost"] + counters["missed"] == count
        assert summary["got"].get(one, 0) == counters["received"] - counters["dropped"]
        assert summary["lost"].get(one, 0) == counters["lost"] + counters["dropped"] + late


async def test_a_burst_arrives_or_is_told_as_lost(network):
    async with registry() as url, network.events(url) as reader, network.events(url) as writer:
        await tell(reader, "subscriber", "s", 100_000)
        one = str((await tell(writer, "publisher", "p", network.transport))["id"])
        await network.subscribed(writer, "p", 1)
        await tell(writer, "publish", "p", BURST, 100)
        await tell(writer, "leave", "p")
        summary = await tell(reader, "read", "s", 1)
        assert summary["ends"] == {one: BURST}
        check_accounts(summary, {one: BURST})


async def test_a_reader_that_stalls_for_two_seconds_is_told_exactly_what_it_lost(network):
    async with registry() as url, network.events(url) as reader, network.events(url) as writer:
        await tell(reader, "subscriber", "s", 1_000)
        one = str((await tell(writer, "publisher", "p", network.transport))["id"])
        await network.subscribed(writer, "p", 1)
        reader.tell("stall", 2)
        await tell(writer, "publish", "p", BURST, 100)
        await tell(writer, "leave", "p")
        reader.tell("go on")
        await reader.hear_until(stalled="2")
        summary = await tell(reader, "read", "s", 1)
        check_accounts(summary, {one: BURST})
        assert summary["lost"][one] >= summary["counters"][one]["dropped"] > 0


async def test_a_reader_that_is_stopped_for_two_seconds_accounts_for_all(network):
    async with registry() as url, network.events(url) as reader, network.events(url) as writer:
        await tell(reader, "subscriber", "s", 200_000)
        one = str((await tell(writer, "publisher", "p", network.transport))["id"])
        await network.subscribed(writer, "p", 1)
        reader.send_signal(signal.SIGSTOP)
        writer.tell("publish", "p", BURST, 100)
        await asyncio.sleep(2)
        reader.send_signal(signal.SIGCONT)
        await writer.hear_until(published="p")
        await tell(writer, "leave", "p")
        summary = await tell(reader, "read", "s", 1)
        # A server of NATS may pass on what it had of a connection that was lost, after the next's.
        check_accounts(summary, {one: BURST}, may_be_late=network.transport == "nats")


async def test_a_killed_publisher_has_ended_and_the_next_one_counts_for_itself(network):
    async with registry() as url, network.events(url) as reader, network.events(url) as writer:
        await tell(reader, "subscriber", "s", 100_000)
        async with network.events(url) as victim:
            first = str((await tell(victim, "publisher", "p", network.transport))["id"])
            await network.subscribed(victim, "p", 1)
            await tell(victim, "publish", "p", 1000, 10)
            async with discovery.connect(url) as d:
                victim.tell("kill")
                await victim.ended()
                query = EventChannelQuery(namespace=NAMESPACE)
                (channel,) = await d.list(query)
                await d.remove(channel)  # what the end of its lease does, ten seconds later
        summary = await tell(reader, "read", "s", 1)
        assert summary["ends"] == {first: None}
        seen = summary["newest"].get(first, -1) + 1  # up to there all is accounted for
        check_accounts(summary, {first: seen})
        assert seen <= 1000
        second = str((await tell(writer, "publisher", "p", network.transport))["id"])
        await network.subscribed(writer, "p", 1)
        await tell(writer, "publish", "p", 10, 10)
        await tell(writer, "leave", "p")
        summary = await tell(reader, "read", "s", 1)
        assert summary["got"] == summary["ends"] == {second: 10}


async def test_a_hundred_publishers_that_restart_and_ten_subscribers_account_for_all(network):
    async with registry() as url, AsyncExitStack() as stack:
        readers = [await stack.enter_async_context(network.events(url)) for _ in range(2)]
        writers = [await stack.enter_async_context(network.events(url)) for _ in range(2)]
        for reader in readers:
            for number in range(5):
                await tell(reader, "subscriber", f"s{number}", 100_000)
        sent: dict[str, int] = {}
        for round_ in range(2):
            for number in range(100):
                writer = writers[number % 2]
                one = str((await tell(writer, "publisher", f"p{number}", network.transport))["id"])
                sent[one] = 20 + round_
                await network.subscribed(writer, f"p{number}", 10)
                await tell(writer, "publish", f"p{number}", sent[one], 100)
            for number in range(100):
                await tell(writers[number % 2], "leave", f"p{number}")
        for reader in readers:
            for number in range(5):
                summary = await tell(reader, "read", f"s{number}", 200)
                assert summary["ends"] == sent
                check_accounts(summary, sent)
                assert sum(summary["got"].values()) == sum(sent.values())


async def test_a_subscriber_that_hangs_holds_up_neither_the_publisher_nor_another():
    async with registry() as url, events(url) as reader, events(url) as writer:
        async with events(url) as hung:
            for one in (reader, hung):
                await tell(one, "subscriber", "s", 100_000)
            publisher = str((await tell(writer, "publisher", "p", "zmq"))["id"])
            await tell(writer, "subscribed", "p", 2)
            hung.send_signal(signal.SIGSTOP)
            await tell(writer, "publish", "p", 20_000, 1000)
            await tell(writer, "leave", "p")
            summary = await tell(reader, "read", "s", 1)
            assert summary["got"] == {publisher: 20_000}
            hung.send_signal(signal.SIGCONT)
            summary = await tell(hung, "read", "s", 1)
            assert summary["got"].get(publisher, 0) + summary["lost"].get(publisher, 0) <= 20_000


async def test_generation_b_has_events_of_namespaces_and_endpoints_in_msgpack_only():
    port = free_ports()
    url = f"zmq://127.0.0.1:{port}"
    about = {"topic": "load", "namespace": NAMESPACE}
    place = about | {"component": "comp", "endpoint": "gen"}
    async with daemon(port, "--registry-event-generation", "b"), discovery.connect(url) as d:
        async with EventSubscriber(d, **about) as everything, EventSubscriber(d, **place) as some:
            async with EventPublisher(d, **about) as upper, EventPublisher(d, **place) as lower:
                await upper.subscribed(1)
                await lower.subscribed(2)
                await upper.publish(b"of the namespace")
                await lower.publish(b"of the endpoint")
                heard = set(payloads(await read_messages(everything, 2)))
                assert heard == {b"of the namespace", b"of the endpoint"}
                assert payloads(await read_messages(some, 1)) == [b"of the endpoint"]
        with pytest.raises(InvalidArgumentError, match=r"codec 'json'.*generation b"):
            await EventPublisher(d, **about, codec="json").__aenter__()


# ---- brokers


@asynccontextmanager
async def broker(url: str) -> AsyncGenerator[Program]:
    port = free_ports()
    arguments = {
        "role": "broker",
        "broker-registry": url,
        "broker-namespace": NAMESPACE,
        "broker-publishers": f"zmq://127.0.0.1:{port}",
        "broker-subscribers": f"zmq://127.0.0.1:{port + 1}",
        "log-level": "warning",
    }
    flags = [word for name, value in arguments.items() for word in (f"--{name}", value)]
    async with program(*DISCOVERYD, *flags) as running:
        await listening(port)
        yield running


async def brokers_registered(url: str, count: int) -> None:
    async with discovery.connect(url) as d, d.watch(EventChannelQuery()) as stream:
        await stream.synced()
        await until(lambda: len(stream.instances) == count)


async def test_events_pass_a_broker_and_it_leaves_when_it_is_told_to():
    async with registry() as url, events(url) as reader, events(url) as writer:
        async with broker(url) as one:
            await brokers_registered(url, 1)
            await tell(reader, "subscriber", "s", 100_000)
            publisher = str((await tell(writer, "publisher", "p", "zmq-broker"))["id"])
            await tell(writer, "subscribed", "p", 1)
            await tell(writer, "publish", "p", 1000, 100)
            await tell(writer, "leave", "p")
            summary = await tell(reader, "read", "s", 1)
            assert summary["got"] == summary["ends"] == {publisher: 1000}
            one.process.terminate()
            assert await one.ended() == 0
        await brokers_registered(url, 0)


async def test_of_two_brokers_one_may_be_killed_and_everything_arrives_once():
    async with registry() as url, events(url) as reader, events(url) as writer:
        async with broker(url) as one, broker(url):
            await brokers_registered(url, 2)
            await tell(reader, "subscriber", "s", 200_000)
            publisher = str((await tell(writer, "publisher", "p", "zmq-broker"))["id"])
            await tell(writer, "subscribed", "p", 2)
            for part in range(10):
                await tell(writer, "publish", "p", 10_000, 100)
                if part == 4:
                    one.process.kill()
            await tell(writer, "leave", "p")
            summary = await tell(reader, "read", "s", 1)
            assert summary["ends"] == {publisher: 100_000}
            assert summary["got"] == {publisher: 100_000}
            assert summary["counters"][publisher]["duplicates"] > 0
            assert summary["counters"][publisher]["lost"] == 0


async def test_a_subscriber_that_hangs_holds_up_no_other():
    async with registry() as url, events(url) as reader, events(url) as writer:
        async with broker(url), events(url) as hung:
            await brokers_registered(url, 1)
            for one in (reader, hung):
                await tell(one, "subscriber", "s", 100_000)
            publisher = str((await tell(writer, "publisher", "p", "zmq-broker"))["id"])
            await tell(writer, "subscribed", "p", 1)
            hung.send_signal(signal.SIGSTOP)
            await tell(writer, "publish", "p", 20_000, 1000)
            await tell(writer, "leave", "p")
            summary = await tell(reader, "read", "s", 1)
            assert summary["got"] == {publisher: 20_000}
