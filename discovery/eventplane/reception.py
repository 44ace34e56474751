"""What becomes of events that arrive: checked, counted per publisher, and passed on in order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from discovery.eventplane.items import (
    Ended,
    EventCounters,
    Joined,
    Lost,
    Message,
    Restarted,
)
from discovery.eventplane.naming import end_topic
from transports import envelope as envelopes
from transports.errors import EnvelopeError
from transports.sequence import Gap, Sequence, Tally, Verdict

if TYPE_CHECKING:
    from collections.abc import Collection

    from discovery.eventplane.items import EventItem
    from transports.envelope import Envelope
    from transports.eventframe import EventFrame

MAX_PUBLISHERS: Final = 10_000
"""How many publishers are kept apart; beyond, those that ended first are kept in the total only."""

_OVERHEAD_BYTES: Final = 256


class Put(Protocol):
    """Takes an item for the reader, as `Mailbox.put` does; returns whose events were dropped."""

    def __call__(
        self, item: EventItem, publisher_id: int, gap: Gap | None, size: int = 0, /
    ) -> Collection[int]:
        """Take one item."""
        ...


class _Publisher:
    """What is known of one publisher."""

    __slots__ = ("dropped", "has_ended", "sequence", "undecodable")

    def __init__(self) -> None:
        self.sequence = Sequence()
        self.dropped = self.undecodable = 0
        self.has_ended = False


class Reception:
    """Takes the events of one topic from whatever brings them, and puts items for the reader.

    All on one thread, but for `counters`.

    Args:
        topic: events about anything else are ignored.
        put: where the items go.
    """

    def __init__(self, topic: str, put: Put) -> None:
        self._topic, self._end_topic = topic, end_topic(topic)
        self._put = put
        self.names = {topic.encode()}
        """What events of the topic are called on their way; others may be called so too."""
        self._publishers: dict[int, _Publisher] = {}
        self._rejected = 0
        self._past = EventCounters()

    # ---- what arrives

    def receive(self, frame: EventFrame) -> None:
        """Take an event of which a network has told the publisher and the sequence."""
        try:
            envelope = envelopes.decode(frame.envelope)
        except EnvelopeError:
            if frame.name in self.names:
                self._spoil(frame.publisher_id, frame.sequence)
            else:
                self.reject()
        else:
            self._take(envelope, frame.publisher_id, frame.sequence)

    def receive_bare(self, data: bytes) -> None:
        """Take an event that is an envelope and nothing else."""
        try:
            envelope = envelopes.decode(data)
        except EnvelopeError:
            self.reject()
        else:
            self._take(envelope, envelope.publisher_id, envelope.sequence)

    def reject(self, _why: Exception | None = None) -> None:
        """Count a message that is no event of anybody."""
        self._rejected += 1

    def _take(self, envelope: Envelope, publisher_id: int, sequence: int) -> None:
        if envelope.topic != self._topic:
            if envelope.topic == self._end_topic:
                self._end(publisher_id, sequence)
            return
        publisher = self._publishers.get(publisher_id) or self._meet(publisher_id)
        verdict, gap = publisher.sequence.receive(sequence, envelope.published_at)
        if verdict is not Verdict.NEXT:
            if verdict is Verdict.DUPLICATE:
                return
            if verdict is Verdict.RESTARTED:
                publisher.has_ended = False
                self._give(Restarted(publisher_id), publisher_id, None)
            self._lose(publisher_id, gap)
        payload = envelope.payload
        item = Message(publisher_id, sequence, envelope.published_at, envelope.topic, payload)
        size = _OVERHEAD_BYTES + len(payload)
        self._give(item, publisher_id, Gap(sequence, sequence), size)

    # ---- who is there

    def meet(self, publisher_id: int) -> None:
        """A publisher was found: tell the reader, unless it is known and has not ended."""
        publisher = self._publishers.get(publisher_id)
        if publisher is None:
            self._meet(publisher_id)
        elif publisher.has_ended:
            publisher.has_ended = False
            self._give(Joined(publisher_id), publisher_id, None)

    def part(self, publisher_id: int, sent: int | None) -> None:
        """A publisher is gone, after so many events: tell the reader, unless it has said so."""
        publisher = self._publishers.get(publisher_id)
        if publisher is None or publisher.has_ended:
            return
        if sent is not None:
            self._end(publisher_id, sent)
        else:
            publisher.has_ended = True
            self._give(Ended(publisher_id, None), publisher_id, None)

    def has_ended(self, publisher_id: int) -> bool:
        """Whether it has said that it has, and all that it sent before has been taken."""
        publisher = self._publishers.get(publisher_id)
        return publisher is not None and publisher.has_ended

    def heard(self, publisher_id: int) -> int:
        """Return a number that changes with every event of this publisher."""
        publisher = self._publishers.get(publisher_id)
        if publisher is None:
            return 0
        tally = publisher.sequence.tally
        return tally.received + tally.duplicates

    def _meet(self, publisher_id: int) -> _Publisher:
        if len(self._publishers) >= MAX_PUBLISHERS:
            ended = (one for one, known in self._publishers.items() if known.has_ended)
            forgotten = next(ended, next(iter(self._publishers)))
            self._past = _sum(self._past, self._publishers.pop(forgotten))
        publisher = self._publishers[publisher_id] = _Publisher()
        self._give(Joined(publisher_id), publisher_id, None)
        return publisher

    def _end(self, publisher_id: int, sent: int) -> None:
        publisher = self._publishers.get(publisher_id) or self._meet(publisher_id)
        self._lose(publisher_id, publisher.sequence.finish(sent))
        if not publisher.has_ended:
            publisher.has_ended = True
            self._give(Ended(publisher_id, sent), publisher_id, None)

    def _spoil(self, publisher_id: int, sequence: int) -> None:
        publisher = self._publishers.get(publisher_id) or self._meet(publisher_id)
        publisher.undecodable += 1
        self._lose(publisher_id, publisher.sequence.spoil(sequence))

    def _lose(self, publisher_id: int, gap: Gap | None) -> None:
        if gap is not None:
            self._give(Lost(publisher_id, *gap), publisher_id, gap)

    def _give(self, item: EventItem, publisher_id: int, gap: Gap | None, size: int = 0) -> None:
        """Put an item, and count what is dropped for it."""
        for loser in self._put(item, publisher_id, gap, size):
            publisher = self._publishers.get(loser)
            if publisher is not None:
                publisher.dropped += 1

    # ---- counting

    def counters(self) -> EventCounters:
        """Return what was counted; may be called on any thread."""
        publishers = dict(self._publishers)
        total = self._past
        for publisher in publishers.values():
            total = _sum(total, publisher)
        return EventCounters(
            received=total.received,
            lost=total.lost,
            missed=total.missed,
            dropped=total.dropped,
            duplicates=total.duplicates,
            reordered=total.reordered,
            restarts=total.restarts,
            undecodable=total.undecodable + self._rejected,
            publishers={
                publisher_id: _sum(EventCounters(), publisher)
                for publisher_id, publisher in publishers.items()
            },
        )


def _sum(counters: EventCounters, publisher: _Publisher) -> EventCounters:
    tally: Tally = publisher.sequence.tally
    return EventCounters(
        received=counters.received + tally.received,
        lost=counters.lost + tally.lost,
        missed=counters.missed + tally.missed,
        dropped=counters.dropped + publisher.dropped,
        duplicates=counters.duplicates + tally.duplicates,
        reordered=counters.reordered + tally.reordered,
        restarts=counters.restarts + tally.restarts,
        undecodable=counters.undecodable + publisher.undecodable,
    )
