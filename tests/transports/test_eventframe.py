from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transports.envelope import decode
from transports.errors import FrameError
from transports.eventframe import EventFrame, decode_frame, encode_frame

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "peer.json").read_text())
GOLDEN = [[bytes.fromhex(part) for part in message] for message in VECTORS["zmq_messages"]]
PARTS = encode_frame(EventFrame(b"t", 1, 2, b"envelope"))

numbers = st.integers(0, 2**64 - 1)


@pytest.mark.parametrize("parts", GOLDEN, ids=range(len(GOLDEN)))
def test_what_the_peer_sent_is_read_and_written_back_byte_for_byte(parts):
    frame = decode_frame(parts)
    envelope = decode(frame.envelope)
    assert (envelope.publisher_id, envelope.sequence) == (frame.publisher_id, frame.sequence)
    assert envelope.topic.encode() == frame.name
    assert list(encode_frame(frame)) == parts


@given(st.builds(EventFrame, st.binary(), numbers, numbers, st.binary()))
def test_what_is_encoded_decodes_to_the_same(frame):
    assert decode_frame(encode_frame(frame)) == frame


def test_bytes_after_the_length_are_ignored():
    assert decode_frame([*PARTS[:3], PARTS[3] + b"more"]).envelope == b"envelope"


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        ([], "event has 0 parts, expected 4"),
        (PARTS[:3], "event has 3 parts, expected 4"),
        ((*PARTS, b""), "event has 5 parts, expected 4"),
        ((b"t", b"1234567", PARTS[2], PARTS[3]), "event publisher id has 7 bytes, expected 8"),
        ((b"t", PARTS[1], b"123456789", PARTS[3]), "event sequence has 9 bytes, expected 8"),
        ((*PARTS[:3], b"\x02" + PARTS[3][1:]), "event version is 0x02, expected 0x01"),
        ((*PARTS[:3], PARTS[3][:-1]), "event envelope has 7 bytes, expected 8"),
        ((*PARTS[:3], b"\x01\x00"), "event body has 2 bytes, expected a header of 5"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_the_peer_rejects_is_refused_with_what_was_expected(parts, text):
    with pytest.raises(FrameError) as refused:
        decode_frame(parts)
    assert str(refused.value) == text


@given(st.lists(st.binary(max_size=16), max_size=6))
def test_any_parts_are_read_or_refused(parts):
    try:
        decode_frame(parts)
    except FrameError:
        return
    assert len(parts) == 4
