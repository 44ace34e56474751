"""Readers of events, and publishers that do what a test wants instead of what is right."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import zmq
import zmq.asyncio

from discovery import Ended, EventChannelSpec, Joined, Lost, Message, ZmqTransport
from transports.envelope import Envelope, encode
from transports.eventframe import EventFrame, encode_frame

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from discovery import Discovery, EventItem, EventSubscriber

PLACE = {"namespace": "ns", "component": "comp"}
TOPIC = "kv-events"
PATIENCE_S = 30.0


async def read_until(
    subscriber: EventSubscriber, is_last: Callable[[EventItem], bool]
) -> list[EventItem]:
    """What it yields, up to the first that is asked for, which is included."""
    items = []
    async with asyncio.timeout(PATIENCE_S):
        async for item in subscriber:
            items.append(item)
            if is_last(item):
                return items
    raise AssertionError(items)


async def read_ended(subscriber: EventSubscriber, count: int = 1) -> list[EventItem]:
    """What it yields until so many publishers have ended."""
    counter = itertools.count(1)
    return await read_until(
        subscriber, lambda item: isinstance(item, Ended) and next(counter) == count
    )


async def read_messages(subscriber: EventSubscriber, count: int) -> list[EventItem]:
    """What it yields until so many messages were among it."""
    counter = itertools.count(1)
    return await read_until(
        subscriber, lambda item: isinstance(item, Message) and next(counter) == count
    )


def payloads(items: list[EventItem]) -> list[bytes]:
    return [item.payload for item in items if isinstance(item, Message)]


def lost(items: list[EventItem]) -> int:
    return sum(item.last - item.first + 1 for item in items if isinstance(item, Lost))


async def joined(subscriber: EventSubscriber) -> Joined:
    """Wait until the next publisher has joined."""
    return (await read_until(subscriber, lambda item: isinstance(item, Joined)))[-1]


def frame(
    publisher_id: int, sequence: int, payload: bytes = b"p", *, at: int = 1000, topic: str = TOPIC
) -> EventFrame:
    envelope = Envelope(
        publisher_id=publisher_id,
        sequence=sequence,
        published_at=at,
        topic=topic,
        payload=payload,
    )
    return EventFrame(TOPIC.encode(), publisher_id, sequence, encode(envelope))


class Mouth:
    """A publisher's socket that sends whatever it is told."""

    def __init__(self, socket: zmq.asyncio.Socket, port: int) -> None:
        self._socket = socket
        self.transport = ZmqTransport(endpoint=f"tcp://127.0.0.1:{port}")

    async def subscribed(self, by: int = 1) -> None:
        """Wait for so many subscriptions that were not waited for yet."""
        async with asyncio.timeout(PATIENCE_S):
            while by:
                by -= (await self._socket.recv())[:1] == b"\x01"

    async def unsubscribed(self) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while (await self._socket.recv())[:1] != b"\x00":
                pass

    async def send(self, *frames: EventFrame) -> None:
        for one in frames:
            await self.send_parts(*encode_frame(one))

    async def send_parts(self, *parts: bytes) -> None:
        await self._socket.send_multipart(parts)

    def spec(self, publisher_id: int) -> EventChannelSpec:
        return EventChannelSpec(
            **PLACE, topic=TOPIC, transport=self.transport, instance_id=publisher_id
        )


@asynccontextmanager
async def mouth() -> AsyncGenerator[Mouth]:
    with zmq.asyncio.Context() as context, context.socket(zmq.XPUB) as socket:
        socket.linger = 0
        socket.set(zmq.XPUB_VERBOSER, 1)
        yield Mouth(socket, socket.bind_to_random_port("tcp://127.0.0.1"))


@asynccontextmanager
async def announced(d: Discovery, publisher_id: int) -> AsyncGenerator[Mouth]:
    """A socket that is registered as a publisher."""
    async with mouth() as one:
        channel = await d.register(one.spec(publisher_id))
        yield one
        await d.unregister(channel)
