"""Events over ZMQ from publishers to subscribers, without anything in between."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from discovery.errors import InvalidArgumentError, UnavailableError
from discovery.eventtransport import NatsTransport, ZmqBrokerTransport, ZmqTransport
from transports.address import Address
from transports.errors import AddressError, TransportError
from transports.eventframe import EventFrame
from transports.zmq.events import EventReceiver, EventSender, event_address

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from discovery.eventplane.seam import Inlet, Outlet
    from discovery.instance import EventChannelInstance
    from transports.errors import FrameError


class ZmqOutlet:
    """Listens at an address and sends to whoever subscribes there.

    Args:
        topic: what the events are called.
        listen: where; port 0 for any.
        host: what subscribers are told instead of the address it listens on.
    """

    def __init__(self, topic: str, listen: Address, host: str) -> None:
        self._name, self._host = topic.encode(), host
        self._sender = EventSender(self._name, listen)

    @property
    def transport(self) -> ZmqTransport:
        """The address; see Outlet."""
        address = self._sender.address
        assert address is not None  # noqa: S101 - it was given one
        told = Address(scheme="tcp", host=self._host, port=address.port)
        return ZmqTransport(endpoint=str(told))

    @property
    def subscribers(self) -> int:
        """See Outlet."""
        return self._sender.subscribers

    async def __aenter__(self) -> Self:
        """Listen; see Outlet."""
        await self._sender.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Let what was sent leave, for at most a second; see Outlet."""
        await self._sender.__aexit__(kind, exc, tb)

    def send(self, publisher_id: int, sequence: int, envelope: bytes) -> None:
        """Send an event; see Outlet."""
        self._sender.send(EventFrame(self._name, publisher_id, sequence, envelope))

    async def subscribed(self, count: int) -> None:
        """Wait for subscriptions; see Outlet."""
        try:
            await self._sender.subscribed(count)
        except TransportError as exc:
            raise UnavailableError(str(exc)) from exc


class ZmqInlet:
    """Connects to publishers, and to brokers, with one socket for all.

    Args:
        topic: what is subscribed to.
        subjects_of: what brokers call the events that a channel leads to.
        on_event: takes each event.
        on_reject: takes the reason why a message was none.
    """

    def __init__(
        self,
        topic: str,
        *,
        subjects_of: Callable[[EventChannelInstance], Sequence[str]],
        on_event: Callable[[EventFrame], None],
        on_reject: Callable[[FrameError], None],
    ) -> None:
        self._topic, self._subjects_of = topic, subjects_of
        self._receiver = EventReceiver(on_event, on_reject)

    async def __aenter__(self) -> Self:
        """Begin; see Inlet."""
        await self._receiver.__aenter__()
        self._receiver.subscribe(self._topic.encode())  # before anything is connected to
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Let go of all; see Inlet."""
        await self._receiver.__aexit__(kind, exc, tb)

    def hold(self, channel: EventChannelInstance) -> None:
        """Connect; see Inlet."""
        places, held = _places(channel), 0
        for name in self._names(channel):  # before anything is connected to
            self._receiver.subscribe(name)
        try:
            for place in places:
                self._receiver.connect(place)
                held += 1
        except TransportError:
            self._undo(channel, places[:held])
            raise

    def let_go(self, channel: EventChannelInstance) -> None:
        """Disconnect, unless others are found there too; see Inlet."""
        self._undo(channel, _places(channel))

    async def settled(self) -> None:
        """Wait for nothing: publishers know who subscribes; see Inlet."""

    def _undo(self, channel: EventChannelInstance, places: Sequence[Address]) -> None:
        for place in places:
            self._receiver.disconnect(place)
        for name in self._names(channel):
            self._receiver.unsubscribe(name)

    def _names(self, channel: EventChannelInstance) -> list[bytes]:
        if not isinstance(channel.transport, ZmqBrokerTransport):
            return []
        return [name.encode() for name in self._subjects_of(channel)]


def _places(channel: EventChannelInstance) -> list[Address]:
    match channel.transport:
        case ZmqTransport(endpoint=endpoint):
            return [event_address(endpoint)]
        case ZmqBrokerTransport(xpub_endpoints=endpoints):
            if not endpoints:
                raise AddressError(f"{channel.id} has no xpub_endpoints: expected at least one")
            return [event_address(endpoint) for endpoint in endpoints]
        case NatsTransport():
            raise AddressError(f"{channel.id} is on NATS")


def broker_places(transport: ZmqBrokerTransport) -> list[Address]:
    """Return where publishers connect to.

    Raises:
        InvalidArgumentError: there is none, or nobody can connect to it.
    """
    try:
        places = [event_address(endpoint) for endpoint in transport.xsub_endpoints]
    except TransportError as exc:
        raise InvalidArgumentError(f"transport xsub_endpoints: {exc}") from exc
    if not places:
        raise InvalidArgumentError("transport xsub_endpoints is empty: expected at least one")
    return places


if TYPE_CHECKING:
    _: type[Outlet] = ZmqOutlet
    __: type[Inlet] = ZmqInlet
