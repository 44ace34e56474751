"""Where a router hears what daemons publish: in order, unless it is deaf or something is lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from discovery.messages import BEAT_TOPIC, EVENT_TOPIC
from transports.codec import MSGPACK
from transports.frame import pack, unpack

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.scenarios.lines import Line
    from tests.simulation.loop import Process


class Ear:
    """Subscriptions of one router, to one daemon at a time.

    Args:
        line: carries what is heard.
        router: who hears it.
        on_message: takes in topic and payload, within the router.
    """

    def __init__(
        self, line: Line, router: Process, on_message: Callable[[str, bytes], None]
    ) -> None:
        self.daemon: str | None = None
        """Whose address is listened to."""
        self.topic = ""
        """Of the EVENTs that are subscribed to."""
        self.is_open = True
        self._line, self._router, self._on_message = line, router, on_message
        self._to_lose = 0
        self._is_to_spoil = False

    # ---- what a story says of it

    def close(self) -> None:
        """Hear nothing from now on, though requests are answered."""
        self.is_open = False

    def open(self) -> None:
        """Hear again."""
        self.is_open = True

    def lose(self, count: int) -> None:
        """Miss the next EVENTs, but no BEATs."""
        self._to_lose = count

    def spoil(self) -> None:
        """Get the next EVENT without the last of its changes."""
        self._is_to_spoil = True

    # ---- what daemons send

    def send(self, daemon: str, topic: str, payload: bytes) -> None:
        """Bring a message to the router, if it hears it."""
        if daemon != self.daemon or not topic.startswith((BEAT_TOPIC, self.topic)):
            return
        if not self.is_open:
            return
        if topic.startswith(EVENT_TOPIC):
            if self._to_lose:
                self._to_lose -= 1
                return
            if self._is_to_spoil:
                self._is_to_spoil = False
                payload = _spoiled(payload)
        self._line.carry(daemon, lambda: self._on_message(topic, payload), self._router)


def _spoiled(payload: bytes) -> bytes:
    event: Any = unpack(payload)[1]
    event["changes"].pop()
    return pack(MSGPACK, event)
