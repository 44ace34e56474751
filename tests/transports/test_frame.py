from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transports.codec import JSON, MSGPACK
from transports.errors import CodecError, FrameError
from transports.frame import MAX_FRAME_BYTES, pack, unpack


@given(st.sampled_from([JSON, MSGPACK]), st.dictionaries(st.text(), st.integers(0, 99)))
def test_what_is_packed_unpacks_to_the_same(codec, value):
    assert unpack(pack(codec, value)) == (codec, value)


def test_the_header_is_version_codec_and_flags():
    assert pack(JSON, {}) == b"\x01j\x00{}"
    assert pack(MSGPACK, {}) == b"\x01m\x00\x80"


@given(st.binary(max_size=40) | st.binary(max_size=40).map(lambda body: b"\x01m\x00" + body))
def test_random_bytes_are_unpacked_or_refused(data):
    try:
        codec, value = unpack(data)
    except (CodecError, FrameError):
        return
    pack(codec, value)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "frame has 0 bytes, expected a header of 3 and a body"),
        (b"\x01j", "frame has 2 bytes, expected a header of 3 and a body"),
        (b"\x02j\x00{}", "frame version is 0x02, expected 0x01"),
        (b"\x01x\x00{}", "frame codec is 0x78, expected 0x6a or 0x6d"),
        (b"\x01j\x80{}", "frame flags are 0x80, expected 0x00"),
        (bytes(MAX_FRAME_BYTES + 1), "frame has 1048577 bytes, expected at most 1048576"),
    ],
    ids=lambda data: repr(data[:10]),
)
def test_what_is_not_a_frame_is_refused_with_what_was_expected(data, text):
    with pytest.raises(FrameError) as refused:
        unpack(data)
    assert str(refused.value) == text


def test_a_header_alone_has_no_value():
    with pytest.raises(CodecError, match="body of 0 bytes is not JSON"):
        unpack(b"\x01j\x00")


def test_the_largest_frame_is_packed_and_one_byte_more_is_not():
    overhead = len(pack(JSON, ""))
    largest = "x" * (MAX_FRAME_BYTES - overhead)
    assert unpack(pack(JSON, largest)) == (JSON, largest)
    with pytest.raises(FrameError, match="1048577 bytes, expected at most 1048576"):
        pack(JSON, largest + "x")
