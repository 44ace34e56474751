from __future__ import annotations

import json
from pathlib import Path

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from transports.envelope import (
    MAX_ENVELOPE_BYTES,
    MAX_PAYLOAD_BYTES,
    Envelope,
    decode,
    encode,
)
from transports.errors import EnvelopeError

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "peer.json").read_text())
GOLDEN = [bytes.fromhex(message[3])[5:] for message in VECTORS["zmq_messages"]]
SAMPLE = Envelope(publisher_id=7, sequence=0, published_at=1, topic="t", payload=b"\x00\xff")
FIELDS = {"publisher_id": 7, "sequence": 0, "published_at": 1, "topic": "t", "payload": b"\x00\xff"}

numbers = st.integers(0, 2**64 - 1)
envelopes = st.builds(
    Envelope,
    publisher_id=numbers,
    sequence=numbers,
    published_at=numbers,
    topic=st.text(st.characters(exclude_categories=["Cs"])),
    payload=st.binary(),
)


@pytest.mark.parametrize("data", GOLDEN, ids=range(len(GOLDEN)))
def test_what_the_peer_wrote_is_read_and_written_back_byte_for_byte(data):
    assert encode(decode(data)) == data


@given(envelopes, st.sampled_from(["json", "msgpack"]))
def test_what_is_encoded_decodes_to_the_same_whichever_codec(envelope, codec):
    assert decode(encode(envelope, codec)) == envelope


def test_json_carries_the_payload_as_integers_in_the_order_of_the_fields():
    assert encode(SAMPLE, "json") == (
        b'{"publisher_id":7,"sequence":0,"published_at":1,"topic":"t","payload":[0,255]}'
    )


def test_integers_are_as_short_as_they_can_be():
    assert encode(SAMPLE)[:16] == b"\x85\xacpublisher_id\x07\xa8"


def without(*names):
    return {name: value for name, value in FIELDS.items() if name not in names}


@pytest.mark.parametrize(
    "data",
    [
        msgpack.packb(FIELDS | {"published_at_ns": 5, "more": {"deep": [1]}}),
        msgpack.packb(list(FIELDS.values())),
        json.dumps(FIELDS | {"payload": [0, 255]}, indent=1).encode(),
        b"\n" + json.dumps([7, 0, 1, "t", [0, 255]]).encode(),
    ],
    ids=["extra keys", "array", "spaced JSON", "JSON array"],
)
def test_what_the_peer_lets_pass_is_read(data):
    assert decode(data) == SAMPLE


@pytest.mark.parametrize("payload", [b"text", "ä".encode(), b"\xff\x00"])
def test_a_payload_of_text_is_its_bytes_even_if_it_is_no_text(payload):
    data = msgpack.packb(without("payload")).replace(b"\x84", b"\x85", 1)
    data += b"\xa7payload" + bytes([0xA0 + len(payload)]) + payload
    assert decode(data).payload == payload


def test_a_json_payload_of_text_is_its_bytes():
    assert decode(json.dumps(FIELDS | {"payload": "ä"}).encode()).payload == "ä".encode()


@pytest.mark.parametrize(
    ("data", "field", "text"),
    [
        (msgpack.packb(without("published_at")), "published_at", "published_at is missing"),
        (msgpack.packb(without("topic", "payload")), "topic", "topic is missing"),
        (msgpack.packb(FIELDS | {"payload": [0, 255]}), "payload", "expected bytes"),
        (msgpack.packb(FIELDS | {"payload": None}), "payload", "is None, expected bytes"),
        (msgpack.packb(FIELDS | {"sequence": -1}), "sequence", "is -1, expected an integer"),
        (msgpack.packb(FIELDS | {"sequence": True}), "sequence", "is True, expected an integer"),
        (msgpack.packb(FIELDS | {"publisher_id": "7"}), "publisher_id", "is '7', expected"),
        (msgpack.packb(FIELDS | {"topic": b"t"}), "topic", "is b't', expected text"),
        (
            msgpack.packb(FIELDS | {"topic": "t" * 99}).replace(b"t" * 99, b"\xff" * 99),
            "topic",
            "…",
        ),
        (json.dumps(FIELDS | {"payload": [256]}).encode(), "payload", "from 0 to 255"),
        (json.dumps(FIELDS | {"payload": [True]}).encode(), "payload", "from 0 to 255"),
        (json.dumps(FIELDS | {"payload": 1}).encode(), "payload", "from 0 to 255"),
        (b"\x86" + msgpack.packb(FIELDS)[1:] + b"\xa5topic\xa1u", "topic", "appears twice"),
        (b"\x85" + msgpack.packb(FIELDS)[1:-12] + b"\xa5topic\xa1u", "topic", "appears twice"),
        (b"", None, "of 0 bytes is not MsgPack"),
        (b"garbage", None, "is not MsgPack"),
        (b"{garbage", None, "is not JSON"),
        (b"\x91" * 9999, None, "is not MsgPack"),
        (b"\x91" * 1000 + b"\xc0", None, "is a list that is nested too deep, expected a map"),
        (b"\x95\x01\x02\x03\xa1t" + b"\x91" * 1000 + b"\xc0", "payload", "nested too deep"),
        (msgpack.packb([1, 2]), None, "envelope is [1, 2], expected a map"),
        (msgpack.packb({1: 2}), None, "is not MsgPack: int is not allowed for map key"),
        (msgpack.packb(FIELDS) + b"\x00", None, "is not MsgPack"),
    ],
    ids=lambda value: None if isinstance(value, bytes) else str(value),
)
def test_what_cannot_be_read_is_refused_with_its_field(data, field, text):
    with pytest.raises(EnvelopeError) as refused:
        decode(data)
    assert refused.value.field == field
    assert text in str(refused.value)


@given(st.binary(max_size=99) | st.binary(max_size=99).map(lambda end: GOLDEN[0][:90] + end))
def test_any_bytes_are_read_or_refused(data):
    try:
        envelope = decode(data)
    except EnvelopeError:
        return
    assert decode(encode(envelope)) == envelope


def test_a_payload_of_five_megabytes_and_an_empty_one_are_carried():
    for payload in (b"", bytes(5_000_000)):
        envelope = Envelope(publisher_id=1, sequence=2, published_at=3, topic="t", payload=payload)
        assert decode(encode(envelope)) == envelope


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"payload": bytes(MAX_PAYLOAD_BYTES + 1)}, "payload"),
        ({"sequence": 2**64}, "sequence"),
        ({"publisher_id": -(2**70)}, "publisher_id"),
        ({"topic": "\ud800"}, "topic"),
        ({"topic": None}, "topic"),
        ({"payload": "text"}, "payload"),
    ],
    ids=["large", "sequence", "publisher_id", "surrogate", "no topic", "text"],
)
@pytest.mark.parametrize("codec", ["json", "msgpack"])
def test_what_does_not_fit_is_not_written(change, field, codec):
    with pytest.raises(EnvelopeError) as refused:
        encode(Envelope(**(FIELDS | change)), codec)
    assert refused.value.field == field


def test_an_envelope_beyond_the_limit_is_not_looked_into():
    with pytest.raises(EnvelopeError, match=f"at most {MAX_ENVELOPE_BYTES}"):
        decode(bytes(MAX_ENVELOPE_BYTES + 1))
