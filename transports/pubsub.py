"""The publish/subscribe seam: bytes on a topic, to whoever holds a prefix of it."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, Self, TypeAlias

if TYPE_CHECKING:
    from types import TracebackType

    from transports.address import Address

OnMessage: TypeAlias = Callable[[str, bytes], None]
"""Takes topic and payload of one message, on the subscriber's loop; neither raises nor blocks."""


class Publisher(Protocol):
    """Publishes at one address, from `async with` until its end.

    `publish` never blocks.
    Messages reach a subscriber in the order they were published, each at most once.
    Payloads are not altered, whatever their bytes.
    For a subscriber that does not keep up messages are dropped, and memory stays bounded.
    A subscriber that does not keep up delays no other, nor loses another's messages.
    `has_subscribers` is False only when nobody holds a prefix above, at or under the given one.
    Entering at an address that is taken raises UnreachableError naming it.
    After the block the address is free, `publish` does nothing, closing again does nothing.
    """

    @property
    def address(self) -> Address:
        """Where it listens; a port given as 0 is the port found, once entered."""
        ...

    @property
    def rejected(self) -> int:
        """How many messages were dropped because they are not subscriptions."""
        ...

    async def __aenter__(self) -> Self:
        """Start to listen."""
        ...

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Stop, and give everything back."""
        ...

    def publish(self, topic: str, payload: bytes) -> None:
        """Send one message to everyone who holds a prefix of the topic."""
        ...

    def has_subscribers(self, prefix: str) -> bool:
        """Whether somebody may receive something published under `prefix`, or at it."""
        ...


class Subscriber(Protocol):
    """Receives from one publisher, from `async with` until its end.

    A message arrives when its topic starts with a subscribed prefix, once if several match.
    Nothing published after `subscribe` returned is missed for being early.
    A prefix counts: it is held until `unsubscribe` was called as often as `subscribe`.
    A cancelled `subscribe` leaves the prefix as it was before.
    `subscribe` waits for a publisher that comes later.
    When a publisher comes back at the same address, the prefixes are subscribed there again.
    `subscribe` raises UnreachableError when the subscriber is closed meanwhile.
    After the block no message arrives, and closing again does nothing.
    """

    @property
    def rejected(self) -> int:
        """How many messages were dropped because they have no topic and payload."""
        ...

    async def __aenter__(self) -> Self:
        """Start to connect; returns before a connection is established."""
        ...

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        """Give everything back."""
        ...

    async def subscribe(self, prefix: str) -> None:
        """Hold a prefix of at most 2 KiB, and wait until the publisher knows it."""
        ...

    def unsubscribe(self, prefix: str) -> None:
        """Let go of a prefix, once; of one that is not held: do nothing."""
        ...


class LivePrefixes:
    """The prefixes that subscribers hold, counted; answers `has_subscribers`."""

    def __init__(self) -> None:
        self._counts: Counter[bytes] = Counter()
        self._lengths: Counter[int] = Counter()
        self._sorted: list[bytes] = []

    def add(self, prefix: bytes) -> None:
        """Count one more holder of a prefix."""
        self._counts[prefix] += 1
        if self._counts[prefix] == 1:
            insort(self._sorted, prefix)
            self._lengths[len(prefix)] += 1

    def discard(self, prefix: bytes) -> None:
        """Count one holder less; of a prefix that is not held: do nothing."""
        if prefix not in self._counts:
            return
        self._counts[prefix] -= 1
        if not self._counts[prefix]:
            del self._counts[prefix]
            del self._sorted[bisect_left(self._sorted, prefix)]
            self._lengths[len(prefix)] -= 1
            if not self._lengths[len(prefix)]:
                del self._lengths[len(prefix)]

    def touch(self, prefix: bytes) -> bool:
        """Whether a held prefix is above, at or under this one."""
        if not self._sorted:
            return False
        at = bisect_left(self._sorted, prefix)
        if at < len(self._sorted) and self._sorted[at].startswith(prefix):
            return True
        return any(prefix[:length] in self._counts for length in self._lengths)
