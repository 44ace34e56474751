"""A publisher of events, found by subscribers through discovery."""

from __future__ import annotations

import asyncio
import logging
import random
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Final, Self, cast

from discovery import config
from discovery.arguments import minted_id
from discovery.clock import now_ms
from discovery.errors import (
    DiscoveryError,
    FailedPreconditionError,
    InvalidArgumentError,
    UnavailableError,
)
from discovery.eventplane.choosing import (
    chosen_codec,
    chosen_transport,
    nats_address,
    open_outlet,
)
from discovery.eventplane.naming import check_scope, end_topic, sent_detail
from discovery.ids import EventChannelId
from discovery.names import shown
from discovery.spec import EventChannelSpec
from transports.envelope import MAX_PAYLOAD_BYTES, Envelope, encode

if TYPE_CHECKING:
    from discovery.client import Discovery
    from discovery.eventplane.seam import Outlet
    from discovery.eventtransport import EventTransport
    from discovery.instance import EventChannelInstance
    from discovery.names import Generation
    from transports.envelope import EnvelopeCodec

logger = logging.getLogger(__name__)

_TURN: Final = 128


class EventPublisher:
    """Publishes events about one topic, from `async with` until its end.

    Inside the block it is registered as an event channel under an id of its own, which comes back
    by itself when the lease was lost. Events reach each subscriber in the order in which they were
    published, each at most once. A subscriber that does not keep up loses events, knows which, and
    delays nobody. Leaving the block tells subscribers how many events there were.

    Args:
        d: the way into the registry; entered, and longer than this.
        topic: what the events are about.
        namespace: topmost name of whose events they are.
        component: name below it; None for those of the whole namespace.
        endpoint: name below that; None for those of the whole component. In generation a of the
            event plane, see `registry.event_generation`, there must be a component and no endpoint.
        transport: `"zmq"`, to be connected to by subscribers; `"zmq-broker"`, by the brokers that
            are registered in the namespace; `"nats"`; a `ZmqTransport` with the address to listen
            on; a `ZmqBrokerTransport`; or a `NatsTransport` with a prefix of your own. None asks
            the variable DISCOVERY_EVENT_PLANE, and is `"zmq"`.
        codec: `"msgpack"` or `"json"`; None asks the variable DISCOVERY_EVENT_PLANE_CODEC, and is
            the transport's default. Generation b has MsgPack only.
        advertise: host name, IP address or network interface that subscribers are to connect to;
            None asks the variable DISCOVERY_EVENT_HOST, and is the address from which this machine
            reaches the registry.
        nats: the NATS servers for `"nats"`, as for `connect`; None asks the variable
            DISCOVERY_EVENT_NATS, and is those that the registry is reached through.

    Raises:
        InvalidArgumentError: an argument is wrong.
    """

    def __init__(
        self,
        d: Discovery,
        *,
        topic: str,
        namespace: str,
        component: str | None = None,
        endpoint: str | None = None,
        transport: str | EventTransport | None = None,
        codec: str | None = None,
        advertise: str | None = None,
        nats: str | None = None,
    ) -> None:
        check_scope(topic, namespace, component, endpoint)
        environ = config.process_environment()
        self._d = d
        self._topic, self._namespace = topic, namespace
        self._component, self._endpoint = component, endpoint
        self._transport = chosen_transport(transport, environ)
        self._codec_asked = codec or config.event_codec_from_env(environ)
        self._codec: EnvelopeCodec = "msgpack"
        self._advertise = advertise or config.event_host_from_env(environ)
        self._nats = nats_address(nats, environ, d.url)
        self._id = minted_id(random.SystemRandom())
        self._sent = 0
        self._outlet: Outlet | None = None
        self._channel: EventChannelInstance | None = None
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Be ready to publish, and register. Raises `UnavailableError` when that cannot be."""
        if self._channel is not None:
            raise FailedPreconditionError("entered already: each `async with` takes its own")
        generation = await self._generation()
        self._codec = chosen_codec(self._codec_asked, generation, self._transport)
        async with AsyncExitStack() as stack:
            outlet = open_outlet(
                self._d,
                self._identity,
                self._transport,
                self._advertise,
                generation,
                self._nats,
            )
            self._outlet = await stack.enter_async_context(outlet)
            self._channel = await self._d.register(self._spec(self._outlet.transport))
            stack.push_async_callback(self._unregister)
            stack.callback(self._say_end)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Say how many events there were, unregister, and wait a second at most for them to leave.

        Closing again does nothing.
        """
        await self._stack.aclose()
        self._outlet = None

    # ---- publishing

    async def publish(self, payload: bytes) -> None:
        """Publish one event; does not wait for subscribers.

        Raises:
            InvalidArgumentError: the payload is not bytes, or more than 8 MiB.
            UnavailableError: not inside the block.
        """
        outlet = self._outlet
        if outlet is None:
            raise UnavailableError("not published: use `async with EventPublisher(…) as p`")
        if type(payload) is not bytes or len(payload) > MAX_PAYLOAD_BYTES:
            raise _wrong_payload(payload)
        self._send(outlet, self._topic, payload)
        self._sent += 1
        if not self._sent % _TURN:
            await asyncio.sleep(0)  # others have a turn too when somebody publishes without end

    @property
    def publisher_id(self) -> int:
        """The id of its event channel, and of its events; random, below 2^53."""
        return self._id

    @property
    def channel(self) -> EventChannelInstance:
        """What is registered. Raises `UnavailableError` before the block is entered."""
        if self._channel is None:
            raise UnavailableError("not registered: use `async with EventPublisher(…) as p`")
        return self._channel

    @property
    def sent(self) -> int:
        """How many events were published; the sequence number of the next."""
        return self._sent

    @property
    def subscribers(self) -> int:
        """How many subscriptions are in effect. With brokers: how many of them pass events on."""
        return self._outlet.subscribers if self._outlet else 0

    async def subscribed(self, count: int = 1) -> None:
        """Wait until there are at least so many subscriptions: those miss nothing from then on."""
        if self._outlet is None:
            raise UnavailableError("no subscribers: use `async with EventPublisher(…) as p`")
        await self._outlet.subscribed(count)

    # ---- inside

    def _send(self, outlet: Outlet, topic: str, payload: bytes) -> None:
        envelope = Envelope(
            publisher_id=self._id,
            sequence=self._sent,
            published_at=now_ms(),
            topic=topic,
            payload=payload,
        )
        outlet.send(self._id, self._sent, encode(envelope, self._codec))

    def _say_end(self) -> None:
        if self._outlet is not None:
            self._send(self._outlet, end_topic(self._topic), b"")

    async def _unregister(self) -> None:
        try:
            # For those whom the word of the end does not reach.
            await self._d.unregister(self.channel, sent_detail(self._sent))
        except DiscoveryError as error:
            logger.warning(
                "event channel not unregistered, it ends with the lease",
                extra={"channel": str(self.channel.id), "why": str(error)},
            )

    @property
    def _identity(self) -> EventChannelId:
        return EventChannelId(
            namespace=self._namespace,
            component=self._component,
            endpoint=self._endpoint,
            topic=self._topic,
            instance_id=self._id,
        )

    def _spec(self, transport: EventTransport) -> EventChannelSpec:
        return EventChannelSpec(
            namespace=self._namespace,
            component=self._component,
            endpoint=self._endpoint,
            topic=self._topic,
            transport=transport,
            instance_id=self._id,
        )

    async def _generation(self) -> Generation:
        generation = (await self._d.status()).get("event_generation", "a")
        if generation == "a" and (self._component is None or self._endpoint is not None):
            raise InvalidArgumentError(
                f"component {shown(self._component)} and endpoint {shown(self._endpoint)}: the "
                "registry writes generation a of the event plane, expected a component and no "
                "endpoint (registry.event_generation)"
            )
        return cast("Generation", generation)


def _wrong_payload(payload: object) -> InvalidArgumentError:
    if type(payload) is not bytes:
        return InvalidArgumentError(f"payload {shown(payload)}: expected bytes")
    return InvalidArgumentError(
        f"payload has {len(payload)} bytes, expected at most {MAX_PAYLOAD_BYTES}"
    )
