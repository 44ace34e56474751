"""Events over ZMQ through brokers: publishers and subscribers connect to all that there are."""

from __future__ import annotations

import logging
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Self

from discovery.errors import InvalidArgumentError, UnavailableError
from discovery.eventplane.direct import broker_places
from discovery.eventplane.naming import brokers_of
from discovery.eventtransport import ZmqBrokerTransport
from transports.errors import TransportError, UnreachableError
from transports.eventframe import EventFrame
from transports.scope import running
from transports.zmq.events import EventSender

if TYPE_CHECKING:
    from types import TracebackType

    from discovery.client import Discovery
    from discovery.eventplane.seam import Outlet
    from discovery.watch import WatchStream

logger = logging.getLogger(__name__)


class BrokeredOutlet:
    """Sends each event to every broker; subscribers take the first copy of each.

    Args:
        d: where brokers are registered.
        namespace: whose brokers they are.
        subject: what the events are called.
        told: the brokers; None follows those that are registered.
    """

    def __init__(
        self, d: Discovery, namespace: str, subject: str, told: ZmqBrokerTransport | None
    ) -> None:
        self._d, self._namespace = d, namespace
        self._name, self._told = subject.encode(), told
        self._found: ZmqBrokerTransport | None = told
        self._sender = EventSender(self._name, None)
        self._stack = AsyncExitStack()

    @property
    def transport(self) -> ZmqBrokerTransport:
        """The brokers; see Outlet."""
        assert self._found is not None  # noqa: S101 - it is entered
        return self._found

    @property
    def subscribers(self) -> int:
        """How many brokers pass events on; see Outlet."""
        return self._sender.subscribers

    async def __aenter__(self) -> Self:
        """Find the brokers and begin to connect; see Outlet."""
        async with AsyncExitStack() as stack:
            stream = None
            if self._told is None:
                stream = await stack.enter_async_context(self._d.watch(brokers_of(self._namespace)))
                await stream.synced()
                self._found = _union(stream)
                if not self._found.xsub_endpoints:
                    raise UnreachableError(
                        f"no broker is registered in namespace {self._namespace!r}: "
                        "start one with `discoveryd --role broker`"
                    )
            await stack.enter_async_context(self._sender)
            self._sender.connect(broker_places(self.transport))
            if stream is not None:
                await stack.enter_async_context(running(self._follow(stream)))
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Let what was sent leave; see Outlet."""
        await self._stack.aclose()

    def send(self, publisher_id: int, sequence: int, envelope: bytes) -> None:
        """Send an event to all brokers; see Outlet."""
        self._sender.send(EventFrame(self._name, publisher_id, sequence, envelope))

    async def subscribed(self, count: int) -> None:
        """Wait until so many brokers pass events on; see Outlet."""
        try:
            await self._sender.subscribed(count)
        except TransportError as exc:
            raise UnavailableError(str(exc)) from exc

    async def _follow(self, stream: WatchStream) -> None:
        """Be connected to the brokers there are; to the last one also after it has gone."""
        while True:
            await stream.changed()
            found = _union(stream)
            if found.xsub_endpoints:
                self._sender.connect(broker_places(found))


def _union(stream: WatchStream) -> ZmqBrokerTransport:
    """Return the usable addresses of all brokers, each once."""
    xsub: dict[str, None] = {}
    xpub: dict[str, None] = {}
    for channel in stream.instances.values():
        transport = getattr(channel, "transport", None)
        if not isinstance(transport, ZmqBrokerTransport):
            continue
        try:
            broker_places(transport)
        except InvalidArgumentError as error:
            logger.warning("broker cannot be used", extra={"why": str(error)})
            continue
        xsub |= dict.fromkeys(transport.xsub_endpoints)
        xpub |= dict.fromkeys(transport.xpub_endpoints)
    return ZmqBrokerTransport(xsub_endpoints=tuple(xsub), xpub_endpoints=tuple(xpub))


if TYPE_CHECKING:
    _: type[Outlet] = BrokeredOutlet
