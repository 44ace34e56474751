"""Inputs changed a little: in their structure where they have one, else in their bytes."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import msgpack

from tests.fuzz.contract import SEPARATOR, value_of
from tests.support.changes import KINDS, ODD_VALUES, Change, change
from transports.codec import JSON, MSGPACK

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

BYTE_KINDS = ["cut", "shorten", "flip", "insert", "repeat", "repeat a member", "more digits"]
ODD_BYTES = [
    *(b"", b"\0", b"\xff", b"%", b"%2F", b"/", b"//", b"..", b"?", b"@", b",", b"[", b"]", b"{"),
    *(b"\x91" * 1100, b"[" * 1100, b"9" * 5000, b"-1", b"1e999", b"\xed\xa0\x80", b"\xc2\xa0"),
    *("\u202e\u00e9\U0001f600".encode(), b"\x1b[0m", b"\r\n", SEPARATOR, b"\\ud800", b"0x_1", b"="),
]
_HEADERS = (bytes((1, JSON.code, 0)), bytes((1, MSGPACK.code, 0)))
_MEMBER = re.compile(rb'"[^"\\]*":')
_DIGIT = re.compile(rb"[0-9]")


def changed(data: bytes, changes: Sequence[Change]) -> bytes:
    for how in changes:
        data = _in_structure(data, how) if how.kind in KINDS else _in_bytes(data, how)
    return data


def some_changes(rng: random.Random) -> list[Change]:
    return [
        Change(rng.choice(KINDS + BYTE_KINDS), rng.randrange(1 << 16), rng.choice(ODD_VALUES))
        for _ in range(rng.randint(1, 3))
    ]


def _in_structure(data: bytes, how: Change) -> bytes:
    """Change one place of the value that one part of the input is, if it is one."""
    parts = data.split(SEPARATOR)
    which, at = how.at % len(parts), how.at // len(parts)
    part = parts[which]
    header = part[:3] if part[:3] in _HEADERS else b""
    value = value_of(part[len(header) :])
    if isinstance(value, dict | list):
        is_json = part[len(header) :].lstrip()[:1] in {b"{", b"["}
        message: dict[str, Any] = {"it": value}
        try:
            change(message, Change(how.kind, at, how.value))
            parts[which] = header + _encoded(message.get("it", message), is_json=is_json)
        except (TypeError, ValueError, OverflowError, RecursionError):
            return data  # not even the libraries can write it
    return SEPARATOR.join(parts)


def _encoded(value: object, *, is_json: bool) -> bytes:
    """Encode without our rules, as far as the libraries go."""
    if is_json:
        return json.dumps(value).encode()
    packed: bytes = msgpack.packb(value, unicode_errors="surrogatepass")
    return packed


def _in_bytes(data: bytes, how: Change) -> bytes:
    at = 0 if how.at % 4 == 0 else how.at % (len(data) + 1)
    odd = ODD_BYTES[how.at % len(ODD_BYTES)]
    before, after = data[:at], data[at:]
    first = bytes(one ^ (1 << how.at % 8) for one in after[:1])
    return {
        "cut": before,
        "shorten": before + after[1:],
        "flip": before + first + after[1:],
        "insert": before + odd + after,
        "repeat": before + after[:8] * 3 + after[8:],
        "repeat a member": _MEMBER.sub(lambda found: found[0] + b"0," + found[0], data, count=1),
        "more digits": _DIGIT.sub(b"9" * (1 + how.at % 40), data, count=1),
    }[how.kind]
