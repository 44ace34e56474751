"""What only the in-process transports can get wrong: their names belong to one loop."""

from __future__ import annotations

import asyncio

import pytest

from tests.transports.cases import Inbox, only
from transports.errors import BacklogFullError, UnreachableError
from transports.memory.hub import MAX_BACKLOG, Hub
from transports.memory.pubsub import MemoryPublisher, MemorySubscriber
from transports.memory.rpc import MemoryRpcClient, MemoryRpcServer

ADDRESS = only("memory://test-memory")


async def test_a_name_of_another_loop_is_refused():
    async def ask():
        async with MemoryRpcClient(ADDRESS, Inbox()) as client:
            with pytest.raises(UnreachableError, match="belongs to another event loop"):
                client.send(1, b"")
        async with MemorySubscriber(ADDRESS, Inbox()) as subscriber:
            with pytest.raises(UnreachableError, match="belongs to another event loop"):
                await subscriber.subscribe("a/")

    async with MemoryRpcServer(ADDRESS, Inbox()), MemoryPublisher(ADDRESS) as publisher:
        await asyncio.to_thread(asyncio.run, ask())
        assert not publisher.has_subscribers("")


async def test_a_full_backlog_is_told_apart_from_an_absent_server():
    requests = Inbox()
    async with (
        MemoryRpcServer(ADDRESS, requests),
        MemoryRpcClient(ADDRESS, Inbox()) as client,
    ):
        for number in range(MAX_BACKLOG):
            client.send(number, b"")
        with pytest.raises(BacklogFullError, match="10000 requests wait for memory://test-memory"):
            client.send(0, b"")
        await requests.first(MAX_BACKLOG)
        client.send(0, b"")
        await requests.first(MAX_BACKLOG + 1)


async def test_requests_that_a_server_did_not_handle_end_with_it():
    old, new = Inbox(), Inbox()
    async with MemoryRpcClient(ADDRESS, Inbox()) as client:
        async with MemoryRpcServer(ADDRESS, old):
            client.send(1, b"old")
        async with MemoryRpcServer(ADDRESS, new):
            client.send(2, b"new")
            await new.first(1)
    assert not old.items
    assert [payload for payload, _ in new.items] == [b"new"]


async def test_requests_on_their_way_end_with_their_client():
    requests = Inbox()
    async with MemoryRpcServer(ADDRESS, requests):
        async with MemoryRpcClient(ADDRESS, Inbox()) as gone:
            gone.send(1, b"gone")
        async with MemoryRpcClient(ADDRESS, Inbox()) as client:
            client.send(2, b"there")
            await requests.first(1)
    assert [payload for payload, _ in requests.items] == [b"there"]


async def test_a_subscriber_counts_what_it_dropped():
    inbox = Inbox()
    async with (
        MemoryPublisher(ADDRESS) as publisher,
        MemorySubscriber(ADDRESS, inbox) as subscriber,
    ):
        await subscriber.subscribe("a/")
        for _ in range(MAX_BACKLOG + 7):
            publisher.publish("a/", b"")
        assert subscriber.dropped == 7
        await inbox.first(MAX_BACKLOG)


async def test_only_who_has_a_name_can_leave_it():
    hub: Hub[object] = Hub()
    hub.enter(ADDRESS, self := object())
    hub.leave(ADDRESS, object())
    assert hub.find(ADDRESS) is self
    hub.leave(ADDRESS, self)
    hub.leave(ADDRESS, self)
    assert hub.find(ADDRESS) is None
