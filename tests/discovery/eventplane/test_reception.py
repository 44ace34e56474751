from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discovery import Ended, Joined, Lost, Message, Restarted
from discovery.eventplane import reception
from discovery.eventplane.reception import Reception
from tests.support.events import TOPIC, frame
from transports.envelope import Envelope, encode
from transports.mailbox import Mailbox


class Reader:
    """A reception, and a mailbox behind it."""

    def __init__(self, max_items: int = 1000) -> None:
        self._mailbox = Mailbox(max_items=max_items, max_bytes=1 << 30)
        self.reception = Reception(TOPIC, self._mailbox.put)

    def take(self) -> list:
        dropped, items = self._mailbox.take(10_000)
        return [Lost(whose, *gap) for whose, gap in dropped] + items


def end(publisher_id: int, sent: int):
    return frame(publisher_id, sent, topic=f"{TOPIC}/end")


def test_who_is_found_has_joined_once_and_again_after_it_was_gone():
    reader = Reader()
    for _ in range(2):
        reader.reception.meet(7)
    reader.reception.receive(frame(7, 0))
    for _ in range(2):
        reader.reception.part(7, None)
    reader.reception.part(8, None)  # whom nobody knows
    reader.reception.meet(7)
    told = [type(item) for item in reader.take()]
    assert told == [Joined, Message, Ended, Joined]


def test_who_is_gone_after_so_many_events_has_lost_us_the_last():
    reader = Reader()
    reader.reception.receive(frame(7, 0))
    for _ in range(2):
        reader.reception.part(7, 3)
    assert reader.take()[2:] == [Lost(7, 1, 2), Ended(7, 3)]


def test_an_end_that_comes_twice_is_told_once():
    reader = Reader()
    for _ in range(2):
        reader.reception.receive(end(7, 3))
    assert reader.take() == [Joined(7), Ended(7, 3)]
    assert reader.reception.has_ended(7)
    assert not reader.reception.has_ended(8)


def test_bare_envelopes_say_themselves_whose_they_are():
    reader = Reader()
    fields = {"publisher_id": 7, "published_at": 5, "topic": TOPIC, "payload": b"x"}
    for sequence in (0, 2):
        reader.reception.receive_bare(encode(Envelope(sequence=sequence, **fields), "json"))
    reader.reception.receive_bare(b"garbage")
    ends = Envelope(sequence=3, **(fields | {"topic": f"{TOPIC}/end"}))
    reader.reception.receive_bare(encode(ends))
    assert [type(item) for item in reader.take()] == [Joined, Message, Lost, Message, Ended]
    counters = reader.reception.counters()
    assert (counters.received, counters.lost, counters.undecodable) == (2, 1, 1)


def test_an_envelope_that_cannot_be_read_is_lost_if_it_was_meant_for_us():
    reader = Reader()
    reader.reception.receive(frame(7, 0))
    reader.reception.receive(frame(7, 1)._replace(envelope=b"garbage"))
    reader.reception.receive(frame(7, 2)._replace(envelope=b"garbage", name=b"kv-events-x"))
    reader.reception.receive(frame(8, 0)._replace(envelope=b"garbage"))
    assert reader.take()[2:] == [Lost(7, 1, 1), Joined(8), Lost(8, 0, 0)]
    counters = reader.reception.counters()
    assert (counters.received, counters.lost, counters.undecodable) == (1, 2, 3)
    assert counters.publishers[7].undecodable == 1


def test_a_restart_after_the_end_is_told_and_ends_again():
    reader = Reader()
    reader.reception.receive(frame(7, 0, at=1))
    reader.reception.receive(end(7, 1))
    reader.reception.receive(frame(7, 0, at=2))
    reader.reception.receive(end(7, 1))
    told = [type(item) for item in reader.take()]
    assert told == [Joined, Message, Ended, Restarted, Message, Ended]


def test_of_too_many_publishers_those_that_ended_are_kept_in_the_total_only(monkeypatch):
    monkeypatch.setattr(reception, "MAX_PUBLISHERS", 3)
    reader = Reader()
    for publisher_id in (1, 2, 3):
        reader.reception.receive(frame(publisher_id, 1))
    reader.reception.receive(end(2, 2))
    for publisher_id in (4, 5):
        reader.reception.receive(frame(publisher_id, 1))
    counters = reader.reception.counters()
    assert counters.publishers.keys() == {3, 4, 5}
    assert (counters.received, counters.missed) == (5, 5)
    assert reader.reception.heard(1) == 0
    assert reader.reception.heard(5) == 1


def test_what_is_dropped_counts_for_its_publisher_even_if_that_is_forgotten(monkeypatch):
    monkeypatch.setattr(reception, "MAX_PUBLISHERS", 1)
    reader = Reader(max_items=2)
    for publisher_id in (1, 2, 3):
        reader.reception.receive(frame(publisher_id, 0))
    assert reader.take()[0] == Lost(1, 0, 0)


@pytest.mark.parametrize("max_items", [3, 40])
@given(st.lists(st.tuples(st.integers(1, 3), st.integers(0, 12)), max_size=60))
def test_the_items_and_the_counters_account_for_every_event(max_items, arrivals):
    reader = Reader(max_items)
    for publisher_id, sequence in arrivals:
        reader.reception.receive(frame(publisher_id, sequence))
    heard = {publisher_id for publisher_id, _ in arrivals}
    for publisher_id in sorted(heard):
        reader.reception.receive(end(publisher_id, 13))
    items = reader.take()
    for publisher_id in heard:
        own = [item for item in items if item.publisher_id == publisher_id]
        counters = reader.reception.counters().publishers[publisher_id]
        arrived = {sequence for whose, sequence in arrivals if whose == publisher_id}
        messages = [item.sequence for item in own if isinstance(item, Message)]
        assert counters.received == len(arrived)
        assert counters.received + counters.lost + counters.missed == 13
        assert len(messages) == len(set(messages)) == counters.received - counters.dropped
