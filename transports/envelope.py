"""Envelopes: one event with who published it, its place in the sequence, when, and about what.

Source: spec/discovery.md §5.1. Generation b is always MsgPack, generation a either codec; which
one it is shows in the first byte, so that `decode` reads both at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

import msgpack  # type: ignore[import-untyped]  # it ships no types

from transports.codec import JSON
from transports.errors import CodecError, EnvelopeError

MAX_PAYLOAD_BYTES: Final = 8 << 20
"""The largest payload of an event; the peer passes 5 MB."""

MAX_ENVELOPE_BYTES: Final = 4 * MAX_PAYLOAD_BYTES + (4 << 10)
"""The largest envelope that is read: JSON takes up to four bytes for each byte of the payload."""

EnvelopeCodec: TypeAlias = Literal["json", "msgpack"]

_FIELDS: Final = ("publisher_id", "sequence", "published_at", "topic", "payload")
_NUMBERS: Final = ("publisher_id", "sequence", "published_at")
# As MsgPack these would be small integers.
_FIRST_OF_JSON: Final = frozenset({b"{", b"[", b" ", b"\t", b"\r", b"\n"})
_MAP_OF_FIVE: Final = 0x85
_MAX_U64: Final = 2**64 - 1
_BITS: Final = 64
_MAX_BYTE: Final = 255
_SHOWN_CHARACTERS: Final = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """One event on its way.

    Attributes:
        publisher_id: whose event it is, an unsigned 64-bit integer.
        sequence: how many events its publisher has published before it.
        published_at: Unix time in milliseconds.
        topic: what it is about.
        payload: the event itself, any bytes.
    """

    publisher_id: int
    sequence: int
    published_at: int
    topic: str
    payload: bytes


def encode(envelope: Envelope, codec: EnvelopeCodec = "msgpack") -> bytes:
    """Return the bytes of an envelope, the peer's own to the last one.

    Raises:
        EnvelopeError: a field does not fit; the error names it.
    """
    fields = {
        "publisher_id": envelope.publisher_id,
        "sequence": envelope.sequence,
        "published_at": envelope.published_at,
        "topic": envelope.topic,
        "payload": envelope.payload,
    }
    if not _are_right(fields):
        raise _fault_of(fields)
    if len(envelope.payload) > MAX_PAYLOAD_BYTES:
        size = len(envelope.payload)
        raise _wrong("payload", f"has {size} bytes, expected at most {MAX_PAYLOAD_BYTES}")
    if codec == "json":
        return JSON.encode({**fields, "payload": list(envelope.payload)})
    packed: bytes = msgpack.packb(fields)
    return packed


def decode(data: bytes) -> Envelope:
    """Return the envelope of untrusted bytes, by whichever codec they were written.

    What the peer lets pass is read too: more fields than these, an array of the five values, a
    payload of text.

    Raises:
        EnvelopeError: it cannot be read; the error names the field.
    """
    if len(data) > MAX_ENVELOPE_BYTES:
        raise EnvelopeError(
            f"envelope has {len(data)} bytes, expected at most {MAX_ENVELOPE_BYTES}"
        )
    is_json = data[:1] in _FIRST_OF_JSON
    fields = _named(_json_value(data) if is_json else _msgpack_value(data))
    if not _are_right(fields):
        if "payload" in fields:
            fields["payload"] = _bytes_of(fields["payload"], is_json=is_json)
        if not _are_right(fields):
            raise _fault_of(fields)
    return Envelope(
        publisher_id=fields["publisher_id"],
        sequence=fields["sequence"],
        published_at=fields["published_at"],
        topic=fields["topic"],
        payload=fields["payload"],
    )


def _are_right(fields: dict[str, Any]) -> bool:
    """Whether all five are there and right; quick, because nearly all are."""
    try:
        publisher_id, sequence, at = (
            fields["publisher_id"],
            fields["sequence"],
            fields["published_at"],
        )
        topic = fields["topic"]
        return (
            type(publisher_id) is type(sequence) is type(at) is int
            and not (publisher_id | sequence | at) >> _BITS  # which is -1 if one is negative
            and type(fields["payload"]) is bytes
            and type(topic) is str
            and (topic.isascii() or bool(topic.encode()))
        )
    except (KeyError, UnicodeEncodeError):
        return False


def _fault_of(fields: dict[str, Any]) -> EnvelopeError:
    """Return the error for the first field that is not right."""
    for name in _FIELDS:
        if name not in fields:
            return _wrong(name, "is missing")
    for name in _NUMBERS:
        number = fields[name]
        if type(number) is not int or not 0 <= number <= _MAX_U64:
            return _wrong(name, f"is {_shown(number)}, expected an integer from 0 to 2^64 - 1")
    if type(fields["payload"]) is not bytes:
        return _wrong("payload", f"is {_shown(fields['payload'])}, expected bytes")
    return _wrong("topic", f"is {_shown(fields['topic'])}, expected text")


def _named(value: object) -> dict[str, Any]:
    if isinstance(value, dict):
        return value
    if isinstance(value, list) and len(value) == len(_FIELDS):
        return dict(zip(_FIELDS, value, strict=True))
    raise EnvelopeError(f"envelope is {_shown(value)}, expected a map of {', '.join(_FIELDS)}")


def _msgpack_value(data: bytes) -> object:
    # Text that is not UTF-8 is kept as it is: it may be the payload.
    try:
        value = msgpack.unpackb(data, unicode_errors="surrogateescape")
        if type(value) is dict and not (data[0] == _MAP_OF_FIVE and len(value) == len(_FIELDS)):
            pairs = msgpack.unpackb(data, unicode_errors="surrogateescape", object_pairs_hook=list)
            _check_unique([name for name, _ in pairs])
    except (ValueError, TypeError, OverflowError, RecursionError) as exc:
        why = str(exc) or type(exc).__name__
        raise EnvelopeError(f"envelope of {len(data)} bytes is not MsgPack: {why}") from exc
    return value


def _check_unique(names: list[object]) -> None:
    for name in _FIELDS:
        if names.count(name) > 1:
            raise _wrong(name, "appears twice")


def _json_value(data: bytes) -> object:
    try:
        return JSON.decode(data)
    except CodecError as exc:
        raise EnvelopeError(f"envelope cannot be read: {exc}") from exc


def _bytes_of(payload: object, *, is_json: bool) -> bytes:
    match payload:
        case bytes():
            return payload
        case str():
            return payload.encode("utf-8", "surrogateescape")
        case list() if is_json and all(
            type(one) is int and 0 <= one <= _MAX_BYTE for one in payload
        ):
            return bytes(payload)
    expected = "a list of integers from 0 to 255" if is_json else "bytes"
    raise _wrong("payload", f"is {_shown(payload)}, expected {expected}")


def _shown(value: object) -> str:
    try:
        text = repr(value)
    except RecursionError:  # MsgPack nests as deep as Python's stack
        return f"a {type(value).__name__} that is nested too deep"
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}…"


def _wrong(field: str, fault: str) -> EnvelopeError:
    return EnvelopeError(f"envelope {field} {fault}", field=field)
