"""Event frames: the four parts of a ZMQ message that carries one event.

Topic or subject; publisher id and sequence, each 8 bytes, big endian; then version 0x01, the
envelope's length in 4 bytes, big endian, and the envelope. Source: spec/discovery.md §5.2.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, Final, NamedTuple

from transports.errors import FrameError

if TYPE_CHECKING:
    from collections.abc import Sequence

VERSION: Final = 0x01

PARTS: Final = 4

_NUMBER: Final = Struct(">Q")
_HEADER: Final = Struct(">BI")
_NUMBER_BYTES: Final = _NUMBER.size
_HEADER_BYTES: Final = _HEADER.size


class EventFrame(NamedTuple):
    """One message: its name, topic or subject, and what is known without reading the envelope."""

    name: bytes
    publisher_id: int
    sequence: int
    envelope: bytes


def encode_number(number: int) -> bytes:
    """Return the part for a publisher id or a sequence, an unsigned 64-bit integer."""
    return _NUMBER.pack(number)


def encode_body(envelope: bytes) -> bytes:
    """Return the last part, for an envelope."""
    return _HEADER.pack(VERSION, len(envelope)) + envelope


def encode_frame(frame: EventFrame) -> tuple[bytes, bytes, bytes, bytes]:
    """Return the parts of a message."""
    return (
        frame.name,
        encode_number(frame.publisher_id),
        encode_number(frame.sequence),
        encode_body(frame.envelope),
    )


def decode_frame(parts: Sequence[bytes]) -> EventFrame:
    """Return what the parts of an untrusted message say.

    Like the peer, this takes only as many bytes of the envelope as its length says.

    Raises:
        FrameError: the peer too would reject it.
    """
    if len(parts) != PARTS:
        raise FrameError(f"event has {len(parts)} parts, expected {PARTS}")
    name, publisher_id, sequence, body = parts
    if len(publisher_id) != _NUMBER_BYTES or len(sequence) != _NUMBER_BYTES:
        which = "publisher id" if len(publisher_id) != _NUMBER_BYTES else "sequence"
        size = len(publisher_id if which == "publisher id" else sequence)
        raise FrameError(f"event {which} has {size} bytes, expected {_NUMBER_BYTES}")
    if len(body) < _HEADER_BYTES:
        raise FrameError(f"event body has {len(body)} bytes, expected a header of {_HEADER_BYTES}")
    version, length = _HEADER.unpack_from(body)
    if version != VERSION:
        raise FrameError(f"event version is {version:#04x}, expected {VERSION:#04x}")
    envelope = body[_HEADER_BYTES : _HEADER_BYTES + length]
    if len(envelope) < length:
        raise FrameError(f"event envelope has {len(envelope)} bytes, expected {length}")
    return EventFrame(name, _NUMBER.unpack(publisher_id)[0], _NUMBER.unpack(sequence)[0], envelope)
