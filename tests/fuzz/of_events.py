"""Targets: the event plane, from a message on a network to a row of `discoveryctl events tail`."""

from __future__ import annotations

import asyncio
from typing import Any

from discovery.cli.eventing import _shown
from discovery.cli.reach import host_of
from discovery.errors import InvalidArgumentError, RecordError
from discovery.eventplane.channels import Channels
from discovery.eventplane.direct import _places, broker_places
from discovery.eventplane.items import EventCounters, EventItem
from discovery.eventplane.naming import check_scope, sent_by_detail, sent_detail
from discovery.eventplane.reaching import checked_host
from discovery.eventplane.reception import Reception
from discovery.eventtransport import NatsTransport, ZmqBrokerTransport
from discovery.instance import EventChannelInstance
from discovery.wire import decode_record
from tests.fuzz.contract import SEPARATOR, Target, attempt, text_of, texts_of
from tests.fuzz.of_records import RECORDS
from tests.fuzz.of_transports import EVENT, MESSAGES
from transports import envelope as envelopes
from transports.errors import AddressError, FrameError
from transports.eventframe import decode_frame
from transports.zmq.events import event_address

TOPIC = MESSAGES[0][0].decode()


def receptions(data: bytes) -> None:
    """Messages of a network, one after the other: each is an item, or counted."""
    got: list[EventItem] = []
    reception = Reception(TOPIC, lambda item, *_: got.append(item) or ())
    for message in data.split(SEPARATOR + SEPARATOR):
        parts = message.split(SEPARATOR)
        try:
            frame = decode_frame(parts)
        except FrameError:
            reception.receive_bare(parts[-1])
        else:
            reception.receive(frame)
    counters = reception.counters()
    assert isinstance(counters, EventCounters)
    assert counters.received >= counters.dropped == 0
    assert counters.undecodable <= data.count(SEPARATOR) + 1
    for item in got:
        assert _shown(item)["id"]


class _Inlet:
    """In the place of a network: reads where a channel leads, and connects nowhere."""

    def __init__(self) -> None:
        self.held: list[EventChannelInstance] = []

    def hold(self, channel: EventChannelInstance) -> None:
        if not isinstance(channel.transport, NatsTransport):
            _places(channel)
        self.held.append(channel)

    def let_go(self, channel: EventChannelInstance) -> None:
        self.held.remove(channel)


def channels(data: bytes) -> None:
    """Records of channels, which come and go: those that lead nowhere disturb no other."""
    parts = data.split(SEPARATOR)
    found = [_channel(*pair) for pair in zip(parts[::2], parts[1::2], strict=False)]

    async def main() -> None:
        inlet = _Inlet()
        reception = Reception(TOPIC, lambda *_: ())
        held = Channels(inlet, reception)
        for channel in filter(None, found):
            held.add(channel)
        for channel in filter(None, found):
            held.remove(channel.id, sent_by_detail(sent_detail(3)))
        held.close()

    asyncio.run(main())


def _channel(key: bytes, value: bytes) -> EventChannelInstance | None:
    found: Any = attempt(lambda: decode_record(text_of(key), value), RecordError)
    if not isinstance(found, EventChannelInstance):
        return None
    if isinstance(found.transport, ZmqBrokerTransport):
        attempt(lambda: broker_places(found.transport), InvalidArgumentError)
    return found


def names_of_events(data: bytes) -> None:
    text = text_of(data)
    sent = sent_by_detail(text)
    assert sent is None or sent_by_detail(sent_detail(sent)) == sent
    attempt(lambda: event_address(text), AddressError)
    host_of(text)
    topic, *rest = texts_of(data)
    names = (*rest, None, None, None)[:3]
    attempt(lambda: check_scope(topic, *names), InvalidArgumentError)


def advertised_hosts(data: bytes) -> None:
    async def main() -> str:
        return await checked_host(text_of(data))

    assert attempt(lambda: asyncio.run(main()), InvalidArgumentError) != "*"


TARGETS = (
    Target(
        run=receptions,
        covers=(decode_frame, envelopes.decode),
        seeds=[
            (SEPARATOR + SEPARATOR).join(SEPARATOR.join(message) for message in MESSAGES),
            envelopes.encode(EVENT),
        ],
        weight=2,
    ),
    Target(
        run=channels,
        covers=(decode_record, sent_by_detail),
        seeds=[SEPARATOR.join(part for k, v in RECORDS for part in (k.encode(), v))],
    ),
    Target(
        run=names_of_events,
        covers=(sent_by_detail, check_scope, host_of),
        seeds=[b"sent 12", b"tcp://h:1", SEPARATOR.join([b"t", b"n", b"c", b"e"])],
    ),
    Target(run=advertised_hosts, covers=(checked_host,), seeds=[b"lo", b"10.0.0.1", b"[::1]"]),
)
