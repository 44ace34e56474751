"""Which network and codec a publisher uses, by what it was told and what the registry writes."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from discovery.config import event_transport_from_env
from discovery.errors import InvalidArgumentError, UnavailableError
from discovery.eventplane.naming import subject
from discovery.eventplane.reaching import checked_host, host_seen_by, place_to_listen
from discovery.eventtransport import (
    EventCodecKind,
    EventTransport,
    EventTransportKind,
    NatsTransport,
    ZmqBrokerTransport,
    ZmqTransport,
)
from discovery.names import shown
from transports.errors import TransportError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from discovery.client import Discovery
    from discovery.eventplane.seam import Outlet
    from discovery.ids import EventChannelId
    from discovery.names import Generation
    from transports.envelope import EnvelopeCodec

Way: TypeAlias = Literal["zmq", "zmq-broker"]
"""A network whose addresses are found."""

_WAYS: Final[tuple[Way, ...]] = ("zmq", "zmq-broker")
_EXPECTED: Final = "expected 'zmq', 'zmq-broker', a ZmqTransport or a ZmqBrokerTransport"


def chosen_transport(asked: object, environ: Mapping[str, str]) -> Way | EventTransport:
    """Return what a publisher is to use; None asks the environment, and is ZMQ.

    Raises:
        InvalidArgumentError: it is unknown, or this version does not have it.
    """
    if asked is None:
        asked = event_transport_from_env(environ) or "zmq"
    if isinstance(asked, ZmqTransport | ZmqBrokerTransport):
        return asked
    for way in _WAYS:
        if asked == way:
            return way
    if isinstance(asked, NatsTransport) or asked == EventTransportKind.NATS:
        raise InvalidArgumentError(
            f"transport {shown(asked)}: this version has no events over NATS; {_EXPECTED}"
        )
    raise InvalidArgumentError(f"transport {shown(asked)}: {_EXPECTED}")


def chosen_codec(
    asked: str | None, generation: Generation, transport: Way | EventTransport
) -> EnvelopeCodec:
    """Return the codec of envelopes.

    Raises:
        InvalidArgumentError: it is unknown, or the generation has another one.
    """
    kind = EventTransportKind.ZMQ if isinstance(transport, str) else transport.kind
    if asked is None:
        codec = EventCodecKind.MSGPACK if generation == "b" else kind.default_codec
    elif asked in set(EventCodecKind):
        codec = EventCodecKind(asked)
    else:
        raise InvalidArgumentError(f"codec {shown(asked)}: expected 'msgpack' or 'json'")
    if generation == "b" and codec is not EventCodecKind.MSGPACK:
        raise InvalidArgumentError(
            f"codec {str(codec)!r}: the registry writes generation b of the event plane, which is "
            "always 'msgpack' (registry.event_generation)"
        )
    return "json" if codec is EventCodecKind.JSON else "msgpack"


@asynccontextmanager
async def open_outlet(
    d: Discovery,
    channel: EventChannelId,
    transport: Way | EventTransport,
    advertise: str | None,
    generation: Generation,
) -> AsyncGenerator[Outlet]:
    """Give the way out for the events of a channel.

    Raises:
        UnavailableError: an address cannot be had, or there is no broker.
        InvalidArgumentError: what to advertise leads nowhere.
    """
    if transport == "zmq-broker" or isinstance(transport, ZmqBrokerTransport):
        from discovery.eventplane.brokered import BrokeredOutlet  # noqa: PLC0415 - chosen

        told = transport if isinstance(transport, ZmqBrokerTransport) else None
        name = subject(channel, generation)
        outlet: Outlet = BrokeredOutlet(d, channel.namespace, name, told)
    else:
        told_endpoint = transport.endpoint if isinstance(transport, ZmqTransport) else None
        outlet = await _direct(d, channel.topic, told_endpoint, advertise)
    try:
        entered = await outlet.__aenter__()
    except TransportError as exc:
        raise UnavailableError(f"no way out for events of {channel}: {exc}") from exc
    try:
        yield entered
    finally:
        await outlet.__aexit__(None, None, None)


async def _direct(d: Discovery, topic: str, endpoint: str | None, advertise: str | None) -> Outlet:
    from discovery.eventplane.direct import ZmqOutlet  # noqa: PLC0415 - it imports ZMQ
    from transports.zmq.events import event_address  # noqa: PLC0415

    if endpoint is not None:
        try:
            address = event_address(endpoint)
        except TransportError as exc:
            raise InvalidArgumentError(f"transport: {exc}") from exc
        return ZmqOutlet(topic, address, address.host)
    host = await (checked_host(advertise) if advertise else host_seen_by(d.url))
    return ZmqOutlet(topic, await place_to_listen(host), host)
