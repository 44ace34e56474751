"""One test per sentence of RpcServer and RpcClient, over every transport."""

from __future__ import annotations

import asyncio
import random
from contextlib import asynccontextmanager, suppress

import pytest
import zmq

from tests.transports.cases import CASES, LIMIT_S, Inbox, case_of, eventually
from transports.errors import UnreachableError
from transports.opening import open_rpc_client, open_rpc_server

RANDOM = random.Random(4710)
HEADER = (5).to_bytes(8, "big")


@pytest.fixture(params=CASES)
def case(request):
    return case_of(request)


def echo(payload, reply):
    reply(payload)


@asynccontextmanager
async def connected(address, on_reply):
    async with open_rpc_client(address, on_reply) as client:
        async with asyncio.timeout(LIMIT_S):
            await client.ready()
        yield client


async def free_address(case):
    """Return an address that was in use and is free again."""
    async with open_rpc_server(case.new_url(), echo) as server:
        return server.address


async def is_refused(client):
    """Send until a send is refused: the client has seen that the server is away."""

    def is_refused_now():
        try:
            client.send(0, b"early")
        except UnreachableError:
            return True
        return False

    await eventually(is_refused_now)


# --- RpcServer -----------------------------------------------------------------------------------


async def test_requests_of_one_client_reach_the_handler_in_order(case):
    requests = Inbox()
    async with (
        open_rpc_server(case.new_url(), requests) as server,
        connected(server.address, Inbox()) as client,
    ):
        for number in range(1000):
            client.send(number, b"%d" % number)
        got = await requests.first(1000)
    assert [payload for payload, _ in got] == [b"%d" % number for number in range(1000)]


async def test_a_reply_reaches_the_client_and_the_correlation_that_asked(case):
    correlations = [0, 1, 2**63, 2**64 - 1]
    inboxes = [Inbox(), Inbox(), Inbox()]
    requests = Inbox()
    async with (
        open_rpc_server(case.new_url(), requests) as server,
        connected(server.address, inboxes[0]) as first,
        connected(server.address, inboxes[1]) as second,
        connected(server.address, inboxes[2]) as third,
    ):
        for correlation in correlations:
            for name, client in enumerate((first, second, third)):
                client.send(correlation, b"%d %d" % (name, correlation))
        asked = await requests.first(12)
        RANDOM.shuffle(asked)
        for payload, reply in asked:
            reply(payload)
        for name, inbox in enumerate(inboxes):
            got = await inbox.first(4)
            assert sorted(got) == [(c, b"%d %d" % (name, c)) for c in correlations]


async def test_several_replies_to_one_request_arrive_in_order(case):
    def count(payload, reply):
        for number in range(int(payload)):
            reply(b"%d" % number)

    replies = Inbox()
    async with (
        open_rpc_server(case.new_url(), count) as server,
        connected(server.address, replies) as client,
    ):
        client.send(7, b"500")
        assert await replies.first(500) == [(7, b"%d" % number) for number in range(500)]


@pytest.mark.parametrize(
    "payload",
    [b"", bytes(range(256)), RANDOM.randbytes(1 << 20)],
    ids=["empty", "every byte", "1 MiB"],
)
async def test_payloads_are_not_altered(case, payload):
    replies = Inbox()
    async with (
        open_rpc_server(case.new_url(), echo) as server,
        connected(server.address, replies) as client,
    ):
        client.send(1, payload)
        assert await replies.first(1) == [(1, payload)]


async def test_for_a_client_that_does_not_keep_up_replies_are_dropped(case):
    def flood(payload, reply):
        for number in range(int(payload)):
            reply(b"%d" % number)

    replies = Inbox()
    async with (
        open_rpc_server(case.new_url(), flood) as server,
        connected(server.address, replies) as client,
    ):
        client.send(1, b"40000")  # in one turn of the loop: the client cannot read meanwhile
        await replies.first(1)
        await asyncio.sleep(0)
        client.send(2, b"1")
        got = await replies.until(lambda: (2, b"0") in replies.items[-1:])
    numbers = [int(payload) for correlation, payload in got if correlation == 1]
    assert numbers == sorted(set(numbers))
    assert numbers[:5000] == list(range(5000))


async def test_a_reply_made_after_its_client_has_gone_does_nothing(case):
    requests, replies = Inbox(), Inbox()
    async with open_rpc_server(case.new_url(), requests) as server:
        async with connected(server.address, Inbox()) as gone:
            gone.send(1, b"")
            ((_, reply),) = await requests.first(1)
        reply(b"too late")
        async with connected(server.address, replies) as client:
            client.send(2, b"")
            reply(b"still too late")
            (await requests.first(2))[1][1](b"answer")
            assert await replies.first(1) == [(2, b"answer")]


async def test_a_reply_made_after_the_server_has_gone_does_nothing(case):
    requests, replies = Inbox(), Inbox()
    async with open_rpc_server(case.new_url(), requests) as server:
        address = server.address
        client = open_rpc_client(address, replies)
        await client.__aenter__()
        await client.ready()
        client.send(1, b"")
        ((_, reply),) = await requests.first(1)
    reply(b"too late")
    await is_refused(client)
    async with open_rpc_server(str(address), echo):
        reply(b"to the next server's client")
        await client.ready()
        client.send(2, b"now")
        assert await replies.first(1) == [(2, b"now")]
    await client.__aexit__(None, None, None)


async def test_garbage_from_one_client_is_counted_and_does_not_hurt_another(case):
    requests = Inbox()
    garbage = [
        [b""],
        [b"short", b"x"],
        [HEADER],
        [HEADER, b"x", b"y"],
        [b"", HEADER, b"x"],
        [b"x"] * 20,
        [HEADER + b"9", b"x"],
    ]
    replies = Inbox()

    def answer(payload, reply):
        requests(payload)
        reply(payload)

    async with (
        open_rpc_server(case.new_url(), answer) as server,
        connected(server.address, replies) as client,
    ):
        expected = 0
        if case.raw_kinds:
            expected = len(garbage)
            with case.raw_peer(zmq.DEALER, server.address) as raw:
                for parts in garbage:
                    raw.send_multipart(parts)
                raw.send_multipart([HEADER, b"good"])
                await requests.first(1)  # thus all before it were seen
        client.send(3, b"mine")
        assert await replies.first(1) == [(3, b"mine")]
        assert server.rejected == expected
    assert [payload for (payload,) in requests.items] == [b"good"] * case.raw_kinds + [b"mine"]


async def test_a_message_beyond_every_limit_cuts_off_its_sender_alone(case):
    replies, requests = Inbox(), Inbox()

    def answer(payload, reply):
        requests(payload)
        reply(payload)

    async with (
        open_rpc_server(case.new_url(), answer) as server,
        connected(server.address, replies) as client,
    ):
        if case.raw_kinds:
            with case.raw_peer(zmq.DEALER, server.address) as raw:
                raw.send_multipart([HEADER, bytes(5 << 20)])
                raw.send_multipart([HEADER, b"after the reconnect"])
                await requests.first(1)
        client.send(3, b"mine")
        assert await replies.first(1) == [(3, b"mine")]
    assert max(len(payload) for (payload,) in requests.items) < 100


async def test_entering_at_an_address_that_is_taken_is_refused_with_its_name(case):
    async with open_rpc_server(case.new_url(), echo) as server:
        second = open_rpc_server(str(server.address), echo)
        if case.shares_servers:
            async with second, connected(server.address, Inbox()):
                return
        with pytest.raises(UnreachableError, match="cannot listen on") as refused:
            async with second:
                pass
        assert str(server.address) in str(refused.value)
        assert refused.value.retryable


async def test_replies_made_before_the_end_of_the_block_reach_clients_that_read_them(case):
    requests, replies = Inbox(), Inbox()
    async with open_rpc_server(case.new_url(), requests) as server:
        client = open_rpc_client(server.address, replies)
        await client.__aenter__()
        await client.ready()
        client.send(1, b"")
        ((_, reply),) = await requests.first(1)
        for _ in range(100):
            reply(bytes(10_000))
    assert await replies.first(100) == [(1, bytes(10_000))] * 100
    await client.__aexit__(None, None, None)


async def test_after_the_block_the_address_is_free_and_closing_again_does_nothing(case):
    server = open_rpc_server(case.new_url(), echo)
    async with server:
        address = server.address
    await server.__aexit__(None, None, None)
    for _ in range(5):
        async with open_rpc_server(str(address), echo):
            pass


async def test_a_server_that_comes_back_is_reached_by_the_same_client(case):
    replies = Inbox()
    address = await free_address(case)
    async with open_rpc_client(address, replies) as client:
        for number in range(3):
            async with open_rpc_server(str(address), echo):
                await client.ready()
                client.send(number, b"again")
                assert (await replies.first(number + 1))[number] == (number, b"again")
            await is_refused(client)


async def test_a_server_that_is_reached_is_not_cut_off(case):
    replies = Inbox()
    server = open_rpc_server(case.new_url(), echo)
    assert not server.is_cut_off
    async with server, connected(server.address, replies) as client:
        client.send(1, b"")
        await replies.first(1)
        assert not server.is_cut_off
    assert not server.is_cut_off


# --- RpcClient -----------------------------------------------------------------------------------


async def test_send_is_refused_while_no_connection_is_established(case):
    address = await free_address(case)
    async with open_rpc_client(address, Inbox()) as client:
        with pytest.raises(UnreachableError) as refused:
            client.send(1, b"")
        assert str(address) in str(refused.value)


async def test_send_does_not_block_but_refuses_when_too_much_waits(case):
    requests = Inbox()
    async with (
        open_rpc_server(case.new_url(), requests) as server,
        connected(server.address, Inbox()) as client,
    ):
        sent = 0
        with suppress(UnreachableError):
            while sent < 200_000:  # in one turn of the loop: the server cannot read meanwhile
                client.send(sent, b"%01000d" % sent)
                sent += 1
        assert 5000 < sent < 200_000
        got = await requests.first(sent)
        assert [int(payload) for payload, _ in got] == list(range(sent))


async def test_what_send_refused_is_never_delivered(case):
    requests = Inbox()
    address = await free_address(case)
    async with open_rpc_client(address, Inbox()) as client:
        with pytest.raises(UnreachableError):
            client.send(1, b"refused")
        for _ in range(2):
            async with open_rpc_server(str(address), requests):
                await client.ready()
                client.send(2, b"accepted")
                await requests.until(lambda: requests.items[-1:])
            await is_refused(client)
            with pytest.raises(UnreachableError):
                client.send(1, b"refused")
    assert b"refused" not in {payload for payload, _ in requests.items}


async def test_replies_arrive_in_order_and_never_from_inside_send(case):
    replies = Inbox()
    async with (
        open_rpc_server(case.new_url(), echo) as server,
        connected(server.address, replies) as client,
    ):
        for number in range(200):
            client.send(number, b"")
            assert not replies.items
        assert [correlation for correlation, _ in await replies.first(200)] == list(range(200))


async def test_what_is_not_a_reply_is_counted_and_dropped(case):
    replies = Inbox()
    if not case.raw_kinds:  # no server there but ours
        client = open_rpc_client(await free_address(case), replies)
        assert client.rejected == 0
        return
    garbage = [[b""], [HEADER], [b"short", b"x"], [HEADER, b"x", b"y"], [b"x"] * 9]
    with case.raw_listener(zmq.ROUTER) as (raw, address):
        async with connected(address, replies) as client:
            client.send(5, b"")
            peer, *_ = raw.recv_multipart()
            for parts in [*garbage, [HEADER, b"good"]]:
                raw.send_multipart([peer, *parts])
            assert await replies.first(1) == [(5, b"good")]
            assert client.rejected == len(garbage)


async def test_ready_returns_once_a_server_that_comes_later_is_there(case):
    address = await free_address(case)
    async with open_rpc_client(address, Inbox()) as client, asyncio.TaskGroup() as group:
        cancelled, *waiting = [group.create_task(client.ready()) for _ in range(3)]
        await asyncio.sleep(0)
        assert not any(task.done() for task in waiting)
        cancelled.cancel()
        await asyncio.wait([cancelled])
        async with open_rpc_server(str(address), echo), asyncio.timeout(LIMIT_S):
            await asyncio.wait(waiting)
            client.send(1, b"")


async def test_ready_is_refused_when_the_client_is_closed_meanwhile(case):
    address = await free_address(case)
    async with asyncio.TaskGroup() as group:
        async with open_rpc_client(address, Inbox()) as client:

            async def wait():
                with pytest.raises(UnreachableError, match="is closed"):
                    await client.ready()

            waiting = group.create_task(wait())
            await asyncio.sleep(0)
        async with asyncio.timeout(LIMIT_S):
            await waiting
    with pytest.raises(UnreachableError, match="is closed"):
        await client.ready()


async def test_after_the_block_no_reply_arrives_and_send_is_refused(case):
    requests, replies = Inbox(), Inbox()
    async with open_rpc_server(case.new_url(), requests) as server:
        async with connected(server.address, replies) as client:
            client.send(1, b"")
            ((_, reply),) = await requests.first(1)
            reply(b"on its way")
        with pytest.raises(UnreachableError, match="is closed"):
            client.send(2, b"")
        await client.__aexit__(None, None, None)
        async with connected(server.address, Inbox()) as other:
            other.send(3, b"")
            await requests.first(2)
    assert not replies.items


async def test_being_cancelled_anywhere_leaves_nothing_behind(case):
    """The fixtures of every test look for tasks, threads and sockets; here, the address is free."""
    address = await free_address(case)
    replies = Inbox()

    async def story():
        async with open_rpc_server(str(address), echo), open_rpc_client(address, replies) as client:
            await client.ready()
            client.send(1, b"")
            count = len(replies.items)
            await replies.first(count + 1)

    async with asyncio.timeout(LIMIT_S):
        for step in range(60):
            task = asyncio.get_running_loop().create_task(story())
            for _ in range(step):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            with_address_free = open_rpc_server(str(address), echo)
            await eventually_entered(with_address_free)
            await with_address_free.__aexit__(None, None, None)


async def eventually_entered(server):
    """Enter, once what a cancelled close left to its thread has ended."""
    while True:
        try:
            await server.__aenter__()
        except UnreachableError:
            await asyncio.sleep(0.001)
        else:
            return
