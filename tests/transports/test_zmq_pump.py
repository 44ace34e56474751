"""The edge: no message may wait in a socket that the loop believes to be empty."""

from __future__ import annotations

import asyncio
import random
from contextlib import asynccontextmanager, contextmanager
from itertools import pairwise

import pytest
import uvloop
import zmq

from tests.transports.cases import LIMIT_S, Inbox
from transports.opening import open_publisher, open_rpc_client, open_rpc_server, open_subscriber
from transports.zmq.pump import Pump

URL = "zmq://127.0.0.1:0"
LOOPS = pytest.mark.parametrize(
    "new_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"]
)


def run(new_loop, main):
    """Run in a loop of our own choice, with a bound on the time a lost wake-up would hang."""

    async def bounded():
        async with asyncio.timeout(LIMIT_S):
            await main

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(bounded())


@asynccontextmanager
async def connected(handler, on_reply):
    async with (
        open_rpc_server(URL, handler) as server,
        open_rpc_client(server.address, on_reply) as client,
    ):
        await client.ready()
        yield client


class Answers:
    """A handler that answers inside its turn, in the next one, or a random time later."""

    def __init__(self, rng):
        self._rng = rng
        self._held = []

    def __call__(self, payload, reply):
        loop = asyncio.get_running_loop()
        way = self._rng.randrange(4)
        if way == 0:
            reply(payload)
        elif way == 1:
            loop.call_soon(reply, payload)
        else:
            self._held.append((reply, payload))
            loop.call_later(self._rng.random() / 1000 * (way - 2), self._release)

    def _release(self):
        for reply, payload in self._held:
            reply(payload)
        self._held.clear()


async def hammer(seed, total):
    """Requests and replies in random bursts, from inside and outside of the sockets' turns.

    At the end of a burst nothing else happens on either socket that could make up for a wake-up
    that was lost: whoever waits, waits for ever.
    """
    rng = random.Random(seed)
    replies = Inbox()

    def on_reply(correlation, payload):
        replies(payload)
        if payload.startswith(b"chain"):  # send from inside the client's turn
            client.send(correlation, payload[5:])

    async with connected(Answers(rng), on_reply) as client:
        sent = 0
        while sent < total:
            for _ in range(rng.choice((1, 1, 1, 2, 3, rng.randrange(1, 200)))):
                prefix = rng.choice((b"chain", b"", b""))
                client.send(sent, b"%s%d" % (prefix, sent))
                sent += 2 if prefix else 1
                if rng.randrange(8) == 0:
                    await asyncio.sleep(rng.choice((0, 0.002)))  # ZMQ looks at most once in 1 ms
            if rng.randrange(2):
                await client.ready()  # looks at the socket too
            await replies.first(sent)


@LOOPS
@pytest.mark.parametrize("seed", range(4))
def test_no_wake_up_is_lost_between_requests_and_replies_in_random_bursts(new_loop, seed):
    run(new_loop, hammer(seed, total=4000))


async def publish_amid_subscriptions(seed, rounds):
    """Publish, subscribe and unsubscribe at random moments; then wait for what that must bring."""
    rng = random.Random(seed)
    inbox = Inbox()
    async with (
        open_publisher(URL) as publisher,
        open_subscriber(publisher.address, inbox) as subscriber,
        asyncio.TaskGroup() as group,
    ):
        await subscriber.subscribe("a/")
        sent = 0
        for number in range(rounds):
            subscribing = group.create_task(subscriber.subscribe(f"b/{number}/"))
            for _ in range(rng.choice((0, 1, 1, 2, 20))):
                publisher.publish("a/", b"")
                sent += 1
                await asyncio.sleep(rng.choice((0, 0, 0.0001)))
                if rng.randrange(2):
                    subscriber.unsubscribe(f"b/{rng.randrange(number + 1)}/")
            await subscribing
            await inbox.first(sent)


@LOOPS
@pytest.mark.parametrize("seed", range(4))
def test_no_wake_up_is_lost_between_messages_and_subscriptions(new_loop, seed, monkeypatch):
    monkeypatch.setattr("transports.zmq.pubsub._PROOF_INTERVAL_S", 10 * LIMIT_S)  # no second chance
    run(new_loop, publish_amid_subscriptions(seed, rounds=600))


@LOOPS
def test_a_full_socket_does_not_starve_the_loop(new_loop):
    """Turns are bounded, and there is never more than one on its way."""

    async def main():
        requests = Inbox()
        handled_between = []

        def tick():
            handled_between.append(len(requests.items))
            if len(requests.items) < 5000:
                loop.call_soon(tick)

        loop = asyncio.get_running_loop()
        async with connected(lambda payload, _: requests(payload), Inbox()) as client:
            for _ in range(5000):
                client.send(1, b"x")
            loop.call_soon(tick)
            await requests.first(5000)
        steps = [b - a for a, b in pairwise(handled_between)]
        assert max(steps) <= 2 * 128

    run(new_loop, main())


@LOOPS
def test_a_handler_that_raises_is_reported_and_the_next_message_is_handled(new_loop):
    async def main():
        reports, requests = [], Inbox()

        def handle(payload, _reply):
            if payload == b"bad":
                raise LookupError(payload)
            requests(payload)

        asyncio.get_running_loop().set_exception_handler(
            lambda _, context: reports.append(context["exception"])
        )
        async with connected(handle, Inbox()) as client:
            for payload in (b"bad", b"good", b"bad", b"good"):
                client.send(1, payload)
            await requests.first(2)
        assert [type(report) for report in reports] == [LookupError, LookupError]

    run(new_loop, main())


@contextmanager
def pipe():
    with (
        zmq.Context() as context,
        context.socket(zmq.PULL) as pull,
        context.socket(zmq.PUSH) as push,
    ):
        push.connect(f"tcp://127.0.0.1:{pull.bind_to_random_port('tcp://127.0.0.1')}")
        yield pull, push


async def test_looking_at_the_events_leaves_no_message_behind():
    with pipe() as (pull, push):
        received = Inbox()
        pump = Pump(pull, lambda: received(pull.recv(zmq.NOBLOCK)))
        pump.start()
        push.send(b"connected")
        await received.first(1)
        await asyncio.sleep(0)
        push.send(b"1")
        while not pump.events() & zmq.POLLIN:  # swallows the edge, and the loop has no turn here
            pass
        await received.first(2)
        pump.stop()


async def test_a_stopped_pump_receives_no_more_and_stopping_again_does_nothing():
    with (
        zmq.Context() as context,
        context.socket(zmq.PULL) as pull,
        context.socket(zmq.PUSH) as push,
    ):
        push.connect(f"tcp://127.0.0.1:{pull.bind_to_random_port('tcp://127.0.0.1')}")
        received = Inbox()
        pump = Pump(pull, lambda: received(pull.recv(zmq.NOBLOCK)))
        pump.stop()
        pump.start()
        push.send(b"1")
        await received.first(1)
        push.send(b"2")
        pump.poke()
        pump.stop()
        pump.stop()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert received.items == [(b"1",)]
        assert pull.recv() == b"2"
