"""What a reader of events is given, and what is counted."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping


class Message(NamedTuple):
    """One event.

    Attributes:
        publisher_id: whose it is.
        sequence: how many events its publisher has published before it.
        published_at_ms: Unix time in milliseconds, by the publisher's clock.
        topic: what it is about.
        payload: the event itself.
    """

    publisher_id: int
    sequence: int
    published_at_ms: int
    topic: str
    payload: bytes


class Joined(NamedTuple):
    """A publisher was found, or first heard of."""

    publisher_id: int


class Lost(NamedTuple):
    """Events of one publisher that do not come, or not yet: `first` to `last`, both included.

    One that comes after all, because it was overtaken, comes as a `Message`.
    """

    publisher_id: int
    first: int
    last: int


class Restarted(NamedTuple):
    """A publisher counts from 0 again, under the id that it had before."""

    publisher_id: int


class Ended(NamedTuple):
    """A publisher has ended, or was not there any more.

    Attributes:
        publisher_id: which one.
        sent: how many events it has published in all; None when it did not say, as when it was
            killed: then nobody knows whether the last ones arrived.
    """

    publisher_id: int
    sent: int | None


EventItem: TypeAlias = Message | Joined | Lost | Restarted | Ended
"""What a subscriber yields; of one publisher in the order in which it came about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventCounters:
    """How many events there were, in all or of one publisher.

    Of a publisher that has ended and said so, `received + lost + missed` is what it has sent. The
    reader gets `received - dropped` of them; `lost + dropped` were told it as `Lost`.

    Attributes:
        received: arrived, each counted once.
        lost: have not arrived although later ones did, or could not be read.
        missed: were published before this subscriber had joined, or before the first it heard.
        dropped: of those received, what was dropped here because the reader is too slow.
        duplicates: arrived again, and were not passed on.
        reordered: of those received, what came after a later one.
        restarts: how often a publisher counted from 0 again.
        undecodable: messages that are no events, or whose envelopes cannot be read.
        publishers: the same per publisher, in the total only; of publishers that ended long ago
            the total alone is kept.
    """

    received: int = 0
    lost: int = 0
    missed: int = 0
    dropped: int = 0
    duplicates: int = 0
    reordered: int = 0
    restarts: int = 0
    undecodable: int = 0
    publishers: Mapping[int, EventCounters] = field(default_factory=dict, repr=False)
