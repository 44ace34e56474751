"""Frames: one message of ours, as version, codec, flags and body.

The header is three bytes: version 0x01, the codec's code, flags 0x00.
"""

from __future__ import annotations

from typing import Final

from transports.codec import JSON, MSGPACK, Codec
from transports.errors import FrameError

MAX_FRAME_BYTES: Final = 1 << 20
"""The largest frame, header included."""

VERSION: Final = 0x01

_HEADER_BYTES: Final = 3
_HEADERS: Final = {codec.code: bytes((VERSION, codec.code, 0)) for codec in (JSON, MSGPACK)}
_CODECS: Final = {_HEADERS[codec.code]: codec for codec in (JSON, MSGPACK)}


def pack(codec: Codec, value: object) -> bytes:
    """Return the frame of a value.

    Raises:
        CodecError: the value cannot be encoded.
        FrameError: the frame would be larger than MAX_FRAME_BYTES.
    """
    frame = _HEADERS[codec.code] + codec.encode(value)
    if len(frame) > MAX_FRAME_BYTES:
        raise FrameError(_too_large(frame))
    return frame


def unpack(data: bytes) -> tuple[Codec, object]:
    """Return the codec and the value of an untrusted frame.

    Raises:
        CodecError: the body is not a value by the codec that the header names.
        FrameError: the frame is too large, or its header is not one of ours.
    """
    if len(data) > MAX_FRAME_BYTES:
        raise FrameError(_too_large(data))
    codec = _CODECS.get(data[:_HEADER_BYTES])
    if codec is None:
        raise FrameError(_why_not_ours(data[:_HEADER_BYTES]))
    return codec, codec.decode(data[_HEADER_BYTES:])


def _too_large(frame: bytes) -> str:
    return f"frame has {len(frame)} bytes, expected at most {MAX_FRAME_BYTES}"


def _why_not_ours(header: bytes) -> str:
    if len(header) < _HEADER_BYTES:
        return f"frame has {len(header)} bytes, expected a header of {_HEADER_BYTES} and a body"
    version, code, flags = header
    if version != VERSION:
        return f"frame version is {version:#04x}, expected {VERSION:#04x}"
    if code not in _HEADERS:
        known = " or ".join(f"{each:#04x}" for each in _HEADERS)
        return f"frame codec is {code:#04x}, expected {known}"
    return f"frame flags are {flags:#04x}, expected 0x00"
