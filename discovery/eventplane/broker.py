"""A broker: passes the events of a namespace on, and is found through discovery."""

from __future__ import annotations

import logging
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Self

from discovery.client import connect
from discovery.errors import InvalidArgumentError, SettingError
from discovery.eventplane.naming import BROKER_COMPONENT
from discovery.eventtransport import ZmqBrokerTransport
from discovery.spec import EventChannelSpec
from transports.address import Address, parse_url
from transports.zmq.forwarder import Forwarder

if TYPE_CHECKING:
    from discovery.instance import EventChannelInstance
    from discovery.settings import BrokerSettings

logger = logging.getLogger(__name__)

BROKER_TOPIC: Final = "broker"
"""Under which a broker is registered; whoever looks for brokers takes any."""


class Broker:
    """Listens for publishers and subscribers, and is registered from `async with` until its end.

    Args:
        settings: where, and for whom.

    Raises:
        SettingError: an address is one that nobody can connect to.
    """

    def __init__(self, settings: BrokerSettings) -> None:
        self._settings = settings
        self._listening: list[Address] = []
        for name in ("publishers", "subscribers"):
            (address,) = parse_url(getattr(settings, name))
            if address.is_wildcard and settings.advertise is None:
                raise SettingError(
                    f"setting 'broker.{name}': nobody can connect to {address}; expected the "
                    "address of one interface, or a host in 'broker.advertise'"
                )
            self._listening.append(address)
        self.addresses: list[Address] = []
        """Where publishers and subscribers connect to, with the ports that were found for 0."""
        self.channel: EventChannelInstance | None = None
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Listen, then register; raises `UnavailableError` when no registry answers."""
        settings = self._settings
        async with AsyncExitStack() as stack:
            forwarder = await stack.enter_async_context(Forwarder(*self._listening))
            self.addresses = [forwarder.publishers, forwarder.subscribers]
            try:
                d = await stack.enter_async_context(connect(settings.registry))
            except InvalidArgumentError as error:
                raise SettingError(f"setting 'broker.registry': {error}") from error
            xsub, xpub = map(self._told, self.addresses)
            self.channel = await d.register(
                EventChannelSpec(
                    namespace=settings.namespace,
                    component=BROKER_COMPONENT,
                    topic=BROKER_TOPIC,
                    transport=ZmqBrokerTransport(xsub_endpoints=(xsub,), xpub_endpoints=(xpub,)),
                )
            )
            logger.info("passing events on", extra={"publishers": xsub, "subscribers": xpub})
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._stack.aclose()

    def _told(self, address: Address) -> str:
        """Return what others are told to connect to."""
        return str(replace(address, scheme="tcp", host=self._settings.advertise or address.host))
