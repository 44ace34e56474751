"""Which network and codec a publisher uses, by what it was told and what the registry writes."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from discovery.config import event_nats_from_env, event_transport_from_env
from discovery.errors import InvalidArgumentError, UnavailableError
from discovery.eventplane.naming import subject, subject_prefix, topic_name
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
from transports.address import parse_url
from transports.errors import TransportError
from transports.nats.url import parse_nats_address

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from discovery.client import Discovery
    from discovery.eventplane.seam import Outlet
    from discovery.ids import EventChannelId
    from discovery.names import Generation
    from transports.address import Address
    from transports.envelope import EnvelopeCodec

Way: TypeAlias = Literal["zmq", "zmq-broker", "nats"]
"""A network whose addresses are found."""

_WAYS: Final[tuple[Way, ...]] = ("zmq", "zmq-broker", "nats")
_EXPECTED: Final = (
    "expected 'zmq', 'zmq-broker', 'nats', a ZmqTransport, a ZmqBrokerTransport or a NatsTransport"
)


def chosen_transport(asked: object, environ: Mapping[str, str]) -> Way | EventTransport:
    """Return what a publisher is to use; None asks the environment, and is ZMQ.

    Raises:
        InvalidArgumentError: it is unknown.
    """
    if asked is None:
        asked = event_transport_from_env(environ) or "zmq"
    if isinstance(asked, ZmqTransport | ZmqBrokerTransport | NatsTransport):
        return asked
    for way in _WAYS:
        if asked == way:
            return way
    raise InvalidArgumentError(f"transport {shown(asked)}: {_EXPECTED}")


def chosen_codec(
    asked: str | None, generation: Generation, transport: Way | EventTransport
) -> EnvelopeCodec:
    """Return the codec of envelopes.

    Raises:
        InvalidArgumentError: it is unknown, or the generation has another one.
    """
    is_nats = transport == "nats" or isinstance(transport, NatsTransport)
    kind = EventTransportKind.NATS if is_nats else EventTransportKind.ZMQ
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


def nats_address(asked: object, environ: Mapping[str, str], registry: str) -> Address | None:
    """Return where the NATS servers for events are: as asked, or in the environment.

    Without either those that the registry is reached through, or None.

    Raises:
        InvalidArgumentError: they are not a URL of NATS servers.
    """
    url = asked or event_nats_from_env(environ)
    if url is None:
        url = registry if registry.startswith("nats://") else None
    if url is None:
        return None
    if not isinstance(url, str) or not url.startswith("nats://"):
        raise InvalidArgumentError(f"nats {shown(url)}: expected nats://host:port[,host:port]")
    try:
        (address,) = parse_url(url)
        parse_nats_address(address)
    except TransportError as exc:
        raise InvalidArgumentError(f"nats: {exc}") from exc
    return address


@asynccontextmanager
async def open_outlet(
    d: Discovery,
    channel: EventChannelId,
    transport: Way | EventTransport,
    advertise: str | None,
    generation: Generation,
    nats: Address | None,
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
    elif transport == "nats" or isinstance(transport, NatsTransport):
        outlet = _on_nats(channel, transport, generation, nats)
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


def _on_nats(
    channel: EventChannelId, transport: object, generation: Generation, address: Address | None
) -> Outlet:
    if address is None:
        raise InvalidArgumentError(
            "nats: not said where that is; expected nats://host:port, or DISCOVERY_EVENT_NATS"
        )
    try:
        from discovery.eventplane.onnats import NatsOutlet  # noqa: PLC0415 - an extra
    except ImportError as exc:
        needs = "install it with `pip install discoveryd[nats]`"
        raise InvalidArgumentError(f"transport 'nats' needs the extra `nats`; {needs}") from exc
    asked = transport.subject_prefix if isinstance(transport, NatsTransport) else None
    try:
        name = topic_name(channel.topic, generation)
        return NatsOutlet(asked or subject_prefix(channel, generation), name, address)
    except TransportError as exc:
        raise InvalidArgumentError(f"event channel {channel}: {exc}") from exc


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
