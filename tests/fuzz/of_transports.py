"""Targets: frames, codecs, envelopes, event frames, sequences and addresses."""

from __future__ import annotations

import json
import struct
from pathlib import Path

from discovery.arguments import is_embedded
from discovery.errors import InvalidArgumentError
from discovery.stores import check_store_url
from discovery.stores.etcd.url import parse_etcd_url
from tests.fuzz.contract import SEPARATOR, Target, attempt, same, text_of, texts_of
from transports import envelope as envelopes
from transports.address import Address, parse_url
from transports.codec import JSON, MSGPACK, Codec
from transports.errors import AddressError, CodecError, EnvelopeError, FrameError
from transports.eventframe import decode_frame, encode_frame
from transports.frame import pack, unpack
from transports.nats.subjects import pattern_of, subject_of, token_of, topic_of
from transports.nats.url import is_subject, parse_nats_address, prefix_of, told, with_prefix
from transports.opening import (
    check_connectable,
    open_publisher,
    open_rpc_client,
    open_rpc_server,
    open_subscriber,
)
from transports.options import check_pair, files_of, parse_options
from transports.sequence import MAX_WANTED, Sequence
from transports.zmq.events import event_address

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "peer.json").read_text("utf-8"))
MESSAGES = [[bytes.fromhex(part) for part in message] for message in VECTORS["zmq_messages"]]
VALUES = [
    {"op": "hello", "client": "c", "protocol": 1},
    {"ok": {"a": [1, -1, 2**64 - 1, 1.5, None, True, "é", {"b": {"c": []}}]}},
    [[[{"k": "x" * 300}]], 0.1, -0.0, 1e300, -(2**63), ""],
]
EVENT = envelopes.Envelope(
    publisher_id=7, sequence=2**40, published_at=1, topic="t", payload=b"\0\xffx"
)


def frames(data: bytes) -> None:
    found = attempt(lambda: unpack(data), CodecError, FrameError)
    if found is not None:
        codec, value = found
        again = attempt(lambda: pack(codec, value), FrameError)  # JSON may be longer than it was
        assert again is None or same(unpack(again), found)


def _codec(codec: Codec, data: bytes) -> None:
    found = attempt(lambda: (codec.decode(data),), CodecError)
    if found is not None:
        again = codec.encode(found[0])
        assert same(codec.decode(again), found[0])
        assert codec.encode(codec.decode(again)) == again


def json_bodies(data: bytes) -> None:
    _codec(JSON, data)


def msgpack_bodies(data: bytes) -> None:
    _codec(MSGPACK, data)


def event_envelopes(data: bytes) -> None:
    found = attempt(lambda: envelopes.decode(data), EnvelopeError)
    if found is not None:
        for codec in ("json", "msgpack"):
            assert envelopes.decode(envelopes.encode(found, codec)) == found


def event_frames(data: bytes) -> None:
    found = attempt(lambda: decode_frame(data.split(SEPARATOR)), FrameError)
    if found is not None:
        assert decode_frame(encode_frame(found)) == found


def sequences(data: bytes) -> None:
    """Each step is a byte that chooses it, a number and a time."""
    counted = Sequence()
    for choice, number, at in struct.iter_unpack(">BQQ", data[: len(data) // 17 * 17]):
        match choice % 8:
            case 0:
                counted.spoil(number)
            case 1:
                counted.finish(number)
            case 2 | 3 | 4:  # what mostly comes
                counted.receive(counted.expected + choice // 8, at)
            case _:
                counted.receive(number, at)
        tally = counted.tally
        numbers = (tally.received, tally.lost, tally.missed, tally.duplicates, tally.reordered)
        assert min(numbers) >= 0, tally
        assert len(counted._wanted) <= MAX_WANTED
        if not tally.restarts:
            assert tally.received + tally.lost + tally.missed == counted.expected, tally


def addresses(data: bytes) -> None:
    url = text_of(data)
    for address in attempt(lambda: parse_url(url), AddressError) or ():
        assert parse_url(str(address)) == (address,)
        assert str(address).isprintable() or not url.isprintable()
        assert address.is_loopback in {True, False}
        assert address.is_wildcard in {True, False}
        attempt(lambda address=address: check_connectable(address), AddressError)
        if address.scheme == "nats":
            _nats(address)
    attempt(lambda: event_address(url), AddressError)


def _nats(address: Address) -> None:
    found = attempt(lambda: parse_nats_address(address), AddressError)
    if found is not None:
        assert is_subject(prefix_of(address))
        assert prefix_of(with_prefix(address, "x.y")) == "x.y"
        assert parse_url(str(told(address))) == (told(address),)
        assert not parse_nats_address(told(address)).has_login


def opened_urls(data: bytes) -> None:
    """Nothing is connected to or bound before it is entered."""
    url = text_of(data)
    attempt(lambda: open_rpc_server(url, lambda *_: None), AddressError)
    attempt(lambda: open_publisher(url), AddressError)
    attempt(lambda: is_embedded(url), InvalidArgumentError)
    for address in attempt(lambda: parse_url(url), AddressError) or ():
        attempt(lambda address=address: open_rpc_client(address, lambda *_: None), AddressError)
        attempt(lambda address=address: open_subscriber(address, lambda *_: None), AddressError)


def store_urls(data: bytes) -> None:
    url = text_of(data)
    found = attempt(lambda: parse_etcd_url(url), InvalidArgumentError)
    assert found is None or found.endpoints
    attempt(lambda: check_store_url(url), InvalidArgumentError)


def url_options(data: bytes) -> None:
    known = ("prefix", "tls", "cert", "key")
    options = attempt(lambda: parse_options(text_of(data), known, ("prefix",)), ValueError)
    if options is not None:
        assert options.keys() <= set(known)
        files_of(options, known)
        attempt(lambda: check_pair(options, "cert", "key"), ValueError)


def subjects(data: bytes) -> None:
    base, topic, *_ = [*texts_of(data), ""]
    topic_of(base, topic)
    if topic.isprintable():  # no lone surrogates
        assert topic_of("b", subject_of("b", topic)) == topic
        assert is_subject(subject_of("b", topic))
        assert "." not in token_of(topic)
        assert pattern_of("b", topic).startswith("b.")


URLS = (
    b"zmq://127.0.0.1:4710,[::1]:80",
    b"nats://a:1,b:2?prefix=p.q&tls=1&ca=/ca&cert=/c&key=/k&user=u&password_file=/p",
    b"tcp://*:0/x",
    b"memory://name",
    b"zmq://[fe80::1%eth0]:4710",
    b"nats://h:4222?creds_file=/x",
)
TARGETS = (
    Target(
        run=frames,
        covers=(unpack, Codec.decode),
        seeds=[pack(codec, value) for codec in (JSON, MSGPACK) for value in VALUES],
        weight=6,
    ),
    Target(
        run=json_bodies,
        covers=(Codec.decode,),
        seeds=[JSON.encode(value) for value in VALUES],
        weight=6,
    ),
    Target(
        run=msgpack_bodies,
        covers=(Codec.decode,),
        seeds=[MSGPACK.encode(value) for value in VALUES],
        weight=6,
    ),
    Target(
        run=event_envelopes,
        covers=(envelopes.decode,),
        seeds=[
            *(message[3][5:] for message in MESSAGES),
            envelopes.encode(EVENT, "json"),
            envelopes.encode(EVENT),
        ],
        weight=6,
    ),
    Target(
        run=event_frames,
        covers=(decode_frame,),
        seeds=[SEPARATOR.join(message) for message in MESSAGES],
        weight=4,
    ),
    Target(
        run=sequences,
        covers=(),
        seeds=[b"".join(struct.pack(">BQQ", n, n * 3 % 5, n) for n in range(40))],
        weight=2,
    ),
    Target(
        run=addresses,
        covers=(parse_url, check_connectable, parse_nats_address, prefix_of, is_subject),
        seeds=URLS,
        weight=2,
    ),
    Target(run=opened_urls, covers=(parse_url, check_connectable), seeds=URLS),
    Target(
        run=store_urls,
        covers=(parse_etcd_url, check_store_url),
        seeds=[
            b"etcd://a:2379,[::1]:2380?prefix=x/&ca=/a&cert=/b&key=/c&user=u&password_file=/p",
            b"memory://x",
        ],
    ),
    Target(
        run=url_options,
        covers=(parse_options, files_of, check_pair),
        seeds=[b"prefix=&tls=1&cert=%2Fa+b&key=c"],
    ),
    Target(
        run=subjects,
        covers=(pattern_of, token_of, is_subject, subject_of, topic_of),
        seeds=[SEPARATOR.join([b"b", b"b.a.%.%2E"]), SEPARATOR.join([b"", "e/é x//>*.".encode()])],
    ),
)
