"""Events over NATS: to the subject of a channel, as bare envelopes."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Self

from discovery.errors import FailedPreconditionError, InvalidArgumentError
from discovery.eventtransport import NatsTransport
from transports.errors import AddressError, UnreachableError
from transports.nats.connection import NatsConnection
from transports.nats.url import is_subject, parse_nats_address

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from discovery.eventplane.seam import Inlet, Outlet
    from discovery.instance import EventChannelInstance
    from transports.address import Address
    from transports.nats.connection import Received, Subscription

logger = logging.getLogger(__name__)

MOST_WAITING: Final = 100_000
"""How many events of a publisher may wait to be sent."""

_ENTER_S: Final = 5.0
_LAST_EVENTS_S: Final = 1.0


class NatsOutlet:
    """Sends to one subject.

    Args:
        prefix: of the subject.
        name: what the topic is called in it.
        address: of the NATS servers.
    """

    def __init__(self, prefix: str, name: str, address: Address) -> None:
        self._prefix, self._subject = prefix, subject_below(prefix, name)
        self._nats = NatsConnection(parse_nats_address(address), most_waiting=MOST_WAITING)

    @property
    def transport(self) -> NatsTransport:
        """The prefix; see Outlet."""
        return NatsTransport(subject_prefix=self._prefix)

    @property
    def subscribers(self) -> int:
        """None that NATS tells of; see Outlet."""
        return 0

    async def __aenter__(self) -> Self:
        """Connect; see Outlet."""
        await self._nats.__aenter__()
        try:
            await self._nats.up_within(_ENTER_S)
        except BaseException:
            await self._nats.__aexit__()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Let what was sent leave; see Outlet."""
        try:
            await self._nats.flushed(_LAST_EVENTS_S)
        finally:
            await self._nats.__aexit__()

    def send(self, publisher_id: int, sequence: int, envelope: bytes) -> None:
        """Send an event; see Outlet. The envelope says whose it is, and which."""
        if len(envelope) > self._nats.max_payload:
            raise InvalidArgumentError(
                f"payload: its envelope has {len(envelope)} bytes, "
                f"NATS takes at most {self._nats.max_payload}"
            )
        with suppress(UnreachableError):  # subscribers see by the next one that it is missing
            self._nats.send(self._subject, envelope)

    async def subscribed(self, count: int) -> None:
        """Refuse to wait; see Outlet."""
        raise FailedPreconditionError(
            f"subscribed({count}): NATS does not tell a publisher who subscribes"
        )


class NatsInlet:
    """Subscribes to the subjects of channels; connects when there is the first.

    Args:
        address: of the NATS servers; None when nobody said.
        names: what the topic may be called in subjects.
        on_event: takes each envelope.
    """

    def __init__(
        self, address: Address | None, names: Sequence[str], on_event: Callable[[bytes], None]
    ) -> None:
        self._names, self._on_event = names, on_event
        self._nats = None if address is None else NatsConnection(parse_nats_address(address))
        self._held: dict[str, tuple[Subscription, int]] = {}

    async def __aenter__(self) -> Self:
        """Begin; see Inlet."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Let go of all; see Inlet."""
        if self._nats is not None:
            await self._nats.__aexit__()

    def expect(self, subjects: Sequence[str]) -> None:
        """Subscribe before a channel is known, if it is known where: nothing is missed then."""
        if self._nats is not None:
            for subject in subjects:
                self._hold(self._nats, subject)

    def hold(self, channel: EventChannelInstance) -> None:
        """Subscribe; see Inlet."""
        if self._nats is None:
            raise AddressError(
                f"{channel.id} is on NATS, and it is not known where that is: "
                "say `nats=`, or DISCOVERY_EVENT_NATS"
            )
        for subject in self._subjects(channel):
            self._hold(self._nats, subject)

    def let_go(self, channel: EventChannelInstance) -> None:
        """Unsubscribe, unless others send to that subject too; see Inlet."""
        for subject in self._subjects(channel):
            subscription, count = self._held.pop(subject)
            if count > 1:
                self._held[subject] = (subscription, count - 1)
            elif self._nats is not None:
                self._nats.unsubscribe(subscription)

    async def settled(self) -> None:
        """Wait until the server has all subscriptions; see Inlet."""
        if self._nats is not None and self._held:
            try:
                async with asyncio.timeout(_ENTER_S):
                    await self._nats.up()
            except TimeoutError:
                logger.warning("waiting for NATS", extra={"why": self._nats.why_down()})
            await self._nats.settled()

    def _hold(self, nats: NatsConnection, subject: str) -> None:
        nats.start()
        known = self._held.get(subject)
        if known is None:
            self._held[subject] = (nats.subscribe(subject, self._take), 1)
        else:
            self._held[subject] = (known[0], known[1] + 1)

    def _subjects(self, channel: EventChannelInstance) -> list[str]:
        transport = channel.transport
        prefix = transport.subject_prefix if isinstance(transport, NatsTransport) else ""
        return [subject_below(prefix, name) for name in self._names]

    def _take(self, message: Received) -> None:
        self._on_event(message.payload)


def subject_below(prefix: str, name: str) -> str:
    """Return the subject of a topic.

    Raises:
        AddressError: NATS has none of that name.
    """
    subject = f"{prefix}.{name}"
    if not is_subject(subject):
        raise AddressError(
            f"{subject!r:.200} cannot be a subject of NATS: expected names without spaces, "
            "wildcards and empty parts"
        )
    return subject


if TYPE_CHECKING:
    _: type[Outlet] = NatsOutlet
    __: type[Inlet] = NatsInlet
