"""The network behind the event plane: an outlet for a publisher, an inlet for a subscriber."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    from types import TracebackType

    from discovery.eventtransport import EventTransport
    from discovery.instance import EventChannelInstance


class Outlet(Protocol):
    """Sends the events of one publisher, on the loop it was entered on.

    `send` never blocks and never waits for subscribers.
    Envelopes reach a subscriber in the order they were sent, unless one is dropped.
    After the block what was sent has left, or a second has passed.
    """

    @property
    def transport(self) -> EventTransport:
        """Where subscribers find it; known once it is entered."""
        ...

    @property
    def subscribers(self) -> int:
        """How many subscriptions are in effect, as far as the network tells."""
        ...

    async def __aenter__(self) -> Self:
        """Be ready to send. Raises `TransportError` when that cannot be."""
        ...

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Let what was sent leave, and give everything back."""
        ...

    def send(self, publisher_id: int, sequence: int, envelope: bytes) -> None:
        """Send an event, or the word of the end, whose envelope has a topic of its own."""
        ...

    async def subscribed(self, count: int) -> None:
        """Wait until there are at least so many subscriptions."""
        ...


class Inlet(Protocol):
    """Receives the events of many channels, on the I/O thread, for a `Reception`.

    `hold` and `let_go` of one channel are called in turn, with the same instance.
    Two channels that are found at one place are connected to once.
    """

    async def __aenter__(self) -> Self:
        """Begin, with no channel."""
        ...

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Let go of all channels."""
        ...

    def hold(self, channel: EventChannelInstance) -> None:
        """Receive from a channel. Raises `TransportError` when its record leads nowhere."""
        ...

    def let_go(self, channel: EventChannelInstance) -> None:
        """Receive from it no more."""
        ...

    async def settled(self) -> None:
        """Wait until subscriptions are in effect, on a network that tells.

        Raises `TransportError` when it ends meanwhile.
        """
        ...
