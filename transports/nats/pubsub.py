"""Publish and subscribe over NATS.

    {prefix}.t.{topic}    messages; as reply subject, which nobody uses, the publisher's count
    {prefix}.proof        a subscriber asks: what it subscribed to before, does the publisher know?

NATS gives a subscriber a copy for each subscription that a message matches, one after the other:
the count tells them apart. It does not tell a publisher who listens.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Self

from transports.errors import UnreachableError
from transports.nats.connection import NatsConnection
from transports.nats.subjects import pattern_of, subject_of, topic_of
from transports.nats.url import parse_nats_address

if TYPE_CHECKING:
    from types import TracebackType

    from transports.address import Address
    from transports.nats.connection import Received, Subscription
    from transports.pubsub import OnMessage, Publisher, Subscriber

_COUNT_BITS: Final = 48
_ID_BYTES: Final = 8
_ENTER_S: Final = 5.0
_LAST_MESSAGES_S: Final = 0.25
_PROOF_INTERVAL_S: Final = 1.0
_NOBODY_PAUSE_S: Final = 0.05


class NatsPublisher:
    """A Publisher of the subjects under a prefix, which no other one has."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self.rejected = 0
        url = parse_nats_address(address)
        self._topics, self._proof = f"{url.prefix}.t", f"{url.prefix}.proof"
        self._nats = NatsConnection(url)
        self._count = secrets.randbits(_COUNT_BITS)
        self._is_open = False

    async def __aenter__(self) -> Self:
        """Subscribe to what subscribers ask."""
        await self._nats.__aenter__()
        try:
            await self._nats.up_within(_ENTER_S)
            if await _is_answered(self._nats, self._proof):
                raise UnreachableError("another publisher answers there")  # noqa: TRY301
            self._nats.subscribe(self._proof, self._prove)
            await self._nats.flushed(_ENTER_S)
        except UnreachableError as error:
            await self._nats.__aexit__()
            raise UnreachableError(f"cannot listen on {self.address}: {error}") from error
        except BaseException:
            await self._nats.__aexit__()
            raise
        self._is_open = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Let the last messages leave, for at most a quarter of a second."""
        try:
            if self._is_open:
                self._is_open = False
                await self._nats.flushed(_LAST_MESSAGES_S)
        finally:
            await self._nats.__aexit__()

    def publish(self, topic: str, payload: bytes) -> None:
        """Send one message; see Publisher."""
        if self._is_open:
            self._count += 1
            with suppress(UnreachableError):  # as for any subscriber that does not keep up
                self._nats.send(subject_of(self._topics, topic), payload, f"{self._count:x}")

    def has_subscribers(self, prefix: str) -> bool:
        """Whether somebody may receive it: while there is a connection, anybody may."""
        return self._is_open and self._nats.is_up

    def _prove(self, message: Received) -> None:
        if not message.reply:
            self.rejected += 1
            return
        with suppress(UnreachableError):  # it asks again
            self._nats.send(message.reply, b"")


class NatsSubscriber:
    """A Subscriber of what one publisher has under its prefix."""

    def __init__(self, address: Address, on_message: OnMessage) -> None:
        self.rejected = 0
        self._address = address
        self._on_message = on_message
        url = parse_nats_address(address)
        self._topics, self._proof = f"{url.prefix}.t", f"{url.prefix}.proof"
        self._nats = NatsConnection(url)
        self._prefixes: Counter[str] = Counter()
        self._starts: tuple[str, ...] = ()
        self._subscriptions: dict[str, Subscription] = {}
        self._last_count = ""
        self._is_open = False

    async def __aenter__(self) -> Self:
        """Begin to connect."""
        await self._nats.__aenter__()
        self._is_open = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Drop the connection."""
        self._is_open = False
        await self._nats.__aexit__()

    async def subscribe(self, prefix: str) -> None:
        """Hold a prefix, and wait for the proof; see Subscriber."""
        if not self._is_open:
            raise self._is_closed()
        self._hold(prefix)
        try:
            while self._is_open:
                await self._nats.up()
                if await _is_answered(self._nats, self._proof):
                    break
                await asyncio.sleep(_NOBODY_PAUSE_S)
        except UnreachableError:
            pass  # it is closed
        except BaseException:
            self.unsubscribe(prefix)
            raise
        if not self._is_open:
            raise self._is_closed()

    def unsubscribe(self, prefix: str) -> None:
        """Let go of a prefix, once; see Subscriber."""
        if not self._prefixes[prefix]:
            return
        self._prefixes[prefix] -= 1
        self._prefixes += Counter()  # forget those at zero
        if prefix not in self._prefixes:
            self._starts = tuple(self._prefixes)
            self._nats.unsubscribe(self._subscriptions.pop(prefix))

    def _hold(self, prefix: str) -> None:
        self._prefixes[prefix] += 1
        if prefix not in self._subscriptions:
            self._starts = tuple(self._prefixes)
            pattern = pattern_of(self._topics, prefix)
            self._subscriptions[prefix] = self._nats.subscribe(pattern, self._receive)

    def _receive(self, message: Received) -> None:
        topic = topic_of(self._topics, message.subject)
        if topic is None or not message.reply:
            self.rejected += 1
        elif message.reply != self._last_count:
            self._last_count = message.reply
            if self._is_open and topic.startswith(self._starts):
                self._on_message(topic, message.payload)

    def _is_closed(self) -> UnreachableError:
        return UnreachableError(f"the subscriber of {self._address} is closed")


async def _is_answered(nats: NatsConnection, subject: str) -> bool:
    """Ask at a subject; say whether somebody answers, before NATS says that nobody is there."""
    answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

    def take(message: Received) -> None:
        if not answer.done():
            answer.set_result(not message.is_nobody)

    inbox = f"_INBOX.{secrets.token_hex(_ID_BYTES)}"
    subscription = nats.subscribe(inbox, take)
    try:
        nats.send(subject, b"", inbox)
        async with asyncio.timeout(_PROOF_INTERVAL_S):
            return await answer
    except (UnreachableError, TimeoutError):
        return False
    finally:
        nats.unsubscribe(subscription)


_: type[Publisher] = NatsPublisher
__: type[Subscriber] = NatsSubscriber
