"""Which channels a subscriber is connected to, as they come, move and go."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from discovery.eventplane.naming import BROKER_COMPONENT
from transports.errors import TransportError

if TYPE_CHECKING:
    from discovery.eventplane.reception import Reception
    from discovery.eventplane.seam import Inlet
    from discovery.ids import EventChannelId
    from discovery.instance import EventChannelInstance

logger = logging.getLogger(__name__)

GRACE_S: Final = 1.0
"""For how long nothing must have come from a channel that is gone before it is let go of: what was
sent before it went may still be on its way."""

_GRACES: Final = 10
_LOOKS: Final = 4  # in each grace: a loop that stood still has not listened all that time


class Channels:
    """Holds those channels of an inlet that are registered. On the I/O thread only.

    A record that leads nowhere is logged, and disturbs no other.
    """

    def __init__(self, inlet: Inlet, reception: Reception) -> None:
        self._inlet, self._reception = inlet, reception
        self._held: dict[EventChannelId, EventChannelInstance] = {}
        self._leaving: dict[EventChannelInstance, asyncio.TimerHandle] = {}
        self._sent: dict[int, int] = {}

    def add(self, channel: EventChannelInstance) -> None:
        """A channel is registered, anew or with other contents."""
        old = self._held.get(channel.id)
        if old is not None and old.transport == channel.transport:
            return
        returning = self._cancelled(channel)
        if not returning:
            try:
                self._inlet.hold(channel)
            except TransportError as error:
                logger.warning(
                    "event channel cannot be used",
                    extra={"channel": str(channel.id), "why": str(error)},
                )
                return
        if old is not None:
            self._leave(old)
        self._held[channel.id] = channel
        if old is None and channel.component != BROKER_COMPONENT:
            self._reception.meet(channel.instance_id)

    def remove(self, identity: EventChannelId, sent: int | None = None) -> None:
        """A channel is registered no more; its publisher said how many events it has sent."""
        channel = self._held.pop(identity, None)
        if channel is not None:
            if sent is not None:
                self._sent[channel.instance_id] = sent
            self._leave(channel)

    async def settled(self) -> None:
        """Wait until what is held is subscribed to, on networks that tell."""
        await self._inlet.settled()

    def close(self) -> None:
        """Wait for nothing any more."""
        for timer in self._leaving.values():
            timer.cancel()
        self._leaving.clear()

    def _cancelled(self, channel: EventChannelInstance) -> bool:
        """Whether this very channel was about to be let go of, and is not any more."""
        for leaving, timer in self._leaving.items():
            if leaving.id == channel.id and leaving.transport == channel.transport:
                timer.cancel()
                del self._leaving[leaving]
                return True
        return False

    def _leave(self, channel: EventChannelInstance) -> None:
        """Let go when nothing more comes from there."""
        if self._reception.has_ended(channel.instance_id):
            self._let_go(channel)
        else:
            self._look_again(channel, _GRACES * _LOOKS, 0)

    def _look_again(self, channel: EventChannelInstance, looks: int, quiet: int) -> None:
        heard = self._reception.heard(channel.instance_id)
        loop = asyncio.get_running_loop()
        check, in_s = self._check, GRACE_S / _LOOKS
        self._leaving[channel] = loop.call_later(in_s, check, channel, heard, looks, quiet)

    def _check(self, channel: EventChannelInstance, heard: int, looks: int, quiet: int) -> None:
        """Let go after so many looks in a row at which nothing had come since the last."""
        del self._leaving[channel]
        quiet = quiet + 1 if heard == self._reception.heard(channel.instance_id) else 0
        if looks and quiet < _LOOKS and not self._reception.has_ended(channel.instance_id):
            self._look_again(channel, looks - 1, quiet)
        else:
            self._let_go(channel)

    def _let_go(self, channel: EventChannelInstance) -> None:
        self._inlet.let_go(channel)
        ids = {held.instance_id for held in (*self._held.values(), *self._leaving)}
        if channel.instance_id not in ids:
            sent = self._sent.pop(channel.instance_id, None)
            self._reception.part(channel.instance_id, sent)
