"""All networks at once: a subscriber follows each channel where its record leads."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Self

from discovery.eventtransport import NatsTransport
from transports.errors import AddressError

if TYPE_CHECKING:
    from types import TracebackType

    from discovery.eventplane.seam import Inlet
    from discovery.instance import EventChannelInstance


class Networks:
    """An inlet for channels of every transport."""

    def __init__(self, zmq: Inlet, nats: Inlet) -> None:
        self._zmq, self._nats = zmq, nats
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Begin; see Inlet."""
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._zmq)
            await stack.enter_async_context(self._nats)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Let go of all; see Inlet."""
        await self._stack.aclose()

    def hold(self, channel: EventChannelInstance) -> None:
        """Receive from a channel; see Inlet."""
        self._of(channel).hold(channel)

    def let_go(self, channel: EventChannelInstance) -> None:
        """Receive from it no more; see Inlet."""
        self._of(channel).let_go(channel)

    async def settled(self) -> None:
        """Wait for subscriptions; see Inlet."""
        await self._zmq.settled()
        await self._nats.settled()

    def _of(self, channel: EventChannelInstance) -> Inlet:
        return self._nats if isinstance(channel.transport, NatsTransport) else self._zmq


class NoInlet:
    """In the place of an inlet that cannot be had.

    Args:
        why: what is missing.
    """

    def __init__(self, why: str) -> None:
        self._why = why

    async def __aenter__(self) -> Self:
        """Begin; see Inlet."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        """End; see Inlet."""

    def hold(self, channel: EventChannelInstance) -> None:
        """Say that it cannot be; see Inlet."""
        raise AddressError(f"{channel.id}: {self._why}")

    def let_go(self, channel: EventChannelInstance) -> None:
        """Do nothing; see Inlet."""

    async def settled(self) -> None:
        """Wait for nothing; see Inlet."""


if TYPE_CHECKING:
    _: type[Inlet] = Networks
    __: type[Inlet] = NoInlet
