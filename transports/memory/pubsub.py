"""Publish and subscribe inside one event loop."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Final, Self

from transports.errors import UnreachableError
from transports.memory.hub import MAX_BACKLOG, Hub
from transports.pubsub import LivePrefixes

if TYPE_CHECKING:
    from types import TracebackType

    from transports.address import Address
    from transports.pubsub import OnMessage, Publisher, Subscriber


class _Audience:
    """Who subscribes at one name, whether or not somebody publishes there."""

    def __init__(self) -> None:
        self.members: list[MemorySubscriber] = []
        self.prefixes = LivePrefixes()


class MemoryPublisher:
    """A Publisher reached by its name; nothing is ever rejected."""

    def __init__(self, address: Address) -> None:
        self.address: Final = address
        self.rejected: Final = 0
        self._is_open = False

    async def __aenter__(self) -> Self:
        """Take the name."""
        _publishers.enter(self.address, self)
        self._is_open = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Give the name back."""
        self._is_open = False
        _publishers.leave(self.address, self)

    def publish(self, topic: str, payload: bytes) -> None:
        """Send one message; see Publisher."""
        audience = _audiences.get(self.address.host)
        if self._is_open and audience is not None:
            for member in audience.members:
                member.take(topic, payload)

    def has_subscribers(self, prefix: str) -> bool:
        """Whether somebody may receive it; see Publisher."""
        audience = _audiences.get(self.address.host)
        return audience is not None and audience.prefixes.touch(prefix.encode())


class MemorySubscriber:
    """A Subscriber of a name; `dropped` counts what it did not keep up with."""

    def __init__(self, address: Address, on_message: OnMessage) -> None:
        self.rejected: Final = 0
        self.dropped = 0
        self._address = address
        self._on_message = on_message
        self._prefixes: Counter[str] = Counter()
        self._starts: tuple[str, ...] = ()
        self._waiting = 0
        self._is_open = False

    async def __aenter__(self) -> Self:
        """Join the audience of the name."""
        _audiences.setdefault(self._address.host, _Audience()).members.append(self)
        self._loop = asyncio.get_running_loop()
        self._is_open = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Leave the audience; messages on their way are dropped."""
        if not self._is_open:
            return
        for prefix in list(self._prefixes.elements()):
            self.unsubscribe(prefix)
        self._is_open = False
        audience = _audiences[self._address.host]
        audience.members.remove(self)
        if not audience.members:
            del _audiences[self._address.host]
        _publishers.wake(self._address.host)

    async def subscribe(self, prefix: str) -> None:
        """Hold a prefix, and wait for the publisher; see Subscriber."""
        if self._is_open:
            self._hold(prefix)
        try:
            while self._is_open and _publishers.find(self._address) is None:
                await _publishers.change(self._address)
        except BaseException:
            self.unsubscribe(prefix)
            raise
        if not self._is_open:
            raise UnreachableError(f"the subscriber of {self._address} is closed")

    def unsubscribe(self, prefix: str) -> None:
        """Let go of a prefix, once; see Subscriber."""
        if not self._prefixes[prefix]:
            return
        self._prefixes[prefix] -= 1
        self._prefixes += Counter()  # forget those at zero
        self._starts = tuple(self._prefixes)
        _audiences[self._address.host].prefixes.discard(prefix.encode())

    def take(self, topic: str, payload: bytes) -> None:
        """Let one message arrive, soon, if it matches; drop and count it when too many wait."""
        if not topic.startswith(self._starts):
            return
        if self._waiting >= MAX_BACKLOG:
            self.dropped += 1
            return
        self._waiting += 1
        self._loop.call_soon(self._arrive, topic, payload)

    def _hold(self, prefix: str) -> None:
        self._prefixes[prefix] += 1
        self._starts = tuple(self._prefixes)
        _audiences[self._address.host].prefixes.add(prefix.encode())

    def _arrive(self, topic: str, payload: bytes) -> None:
        self._waiting -= 1
        if self._is_open:
            self._on_message(topic, payload)


_publishers: Final[Hub[MemoryPublisher]] = Hub()
_audiences: Final[dict[str, _Audience]] = {}

_: type[Publisher] = MemoryPublisher
__: type[Subscriber] = MemorySubscriber
