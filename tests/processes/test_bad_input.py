"""Requests that are wrong, at a real daemon: each is refused in words, and nobody else notices."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import msgpack
import pytest

from tests.support.bystander import BYSTANDER_ID, UP, door
from tests.support.raw_client import json_frame, msgpack_frame, raw_client
from transports.codec import JSON, MSGPACK
from transports.frame import pack

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.bystander import Door
    from transports.codec import Codec


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    with door(tmp_path_factory.mktemp("door")) as found:
        yield found


def packed(value: object) -> bytes:
    return msgpack_frame(msgpack.packb(value))


DEEP = 10_000
LIST = {"op": "list", "scope": ["models"], "min_revision": 0}

FRAMES = {
    "nothing": (b"", "frame has 0 bytes, expected a header of 3 and a body"),
    "half a header": (b"\x01m", "frame has 2 bytes, expected a header"),
    "another version": (b"\x02m\x00\x80", "frame version is 0x02, expected 0x01"),
    "another codec": (b"\x01x\x00{}", "frame codec is 0x78, expected 0x6a or 0x6d"),
    "flags": (b"\x01j\x01{}", "frame flags are 0x01, expected 0x00"),
    "2 MiB": (msgpack_frame(bytes(2 << 20)), "frame has 2097155 bytes, expected at most 1048576"),
    "JSON cut short": (json_frame('{"op": "status"'), "body of 15 bytes is not JSON"),
    "MsgPack cut short": (msgpack_frame(b"\x82\xa2op"), "body of 4 bytes is not MsgPack"),
    "JSON and more": (json_frame('{"op": "status"} x'), "is not JSON"),
    "MsgPack and more": (msgpack_frame(b"\x80\x80"), "1 bytes follow the value"),
    "no JSON map": (json_frame("[]"), r"request: expected a map, got \[\]"),
    "no MsgPack map": (msgpack_frame(b"\x07"), "request: expected a map, got 7"),
    "deep JSON": (json_frame("[" * DEEP + "]" * DEEP), "is not JSON: .*depth"),
    "deep MsgPack": (msgpack_frame(b"\x91" * DEEP + b"\x01"), "nested deeper than 32 levels"),
    "JSON a bit deep": (json_frame("[" * 33 + "]" * 33), "nested deeper than 32 levels"),
    "JSON key twice": (json_frame('{"op": "status", "op": "hello"}'), "'op' appears twice"),
    "MsgPack key twice": (msgpack_frame(b"\x82\xa1a\x01\xa1a\x02"), "'a' appears twice"),
    "JSON NaN": (json_frame('{"op": NaN}'), "is not JSON"),
    "JSON 1e999": (json_frame('{"op": 1e999}'), "is not JSON: .*infinity"),
    "MsgPack NaN": (packed({"op": float("nan")}), r"infinite number or NaN at \$\['op'\]"),
    "JSON 2^64": (json_frame('{"op": 18446744073709551616}'), r"1844674407370955161\d… is beyond"),
    "JSON -2^63-1": (json_frame('{"op": -9223372036854775809}'), "is beyond 64 bits"),
    "JSON bad UTF-8": (json_frame(b'{"op": "\xff"}'), "is not JSON: .*UTF-8"),
    "JSON surrogate": (json_frame(r'{"op": "\ud800"}'), "is not JSON: .*surrogate"),
    "MsgPack bad UTF-8": (msgpack_frame(b"\x81\xa2op\xa1\xff"), "is not MsgPack: .*'utf-8'"),
    "MsgPack surrogate": (msgpack_frame(b"\x81\xa2op\xa3\xed\xa0\x80"), "not MsgPack: .*'utf-8'"),
    "MsgPack extension": (msgpack_frame(b"\x81\xa2op\xd4\x05\x00"), r"ExtType at \$\['op'\]"),
    "MsgPack timestamp": (msgpack_frame(b"\x81\xa2op\xd6\xff\0\0\0\0"), "Timestamp at"),
    "MsgPack 0xc1": (msgpack_frame(b"\xc1"), "0xc1 is never used"),
    "MsgPack key 7": (msgpack_frame(b"\x81\x07\x07"), "is not MsgPack: .*key"),
    "MsgPack binary key": (msgpack_frame(b"\x81\xc4\x01a\x07"), "map key b'a' is not text"),
    "2^32 items": (msgpack_frame(b"\xdd\xff\xff\xff\xff"), "is not MsgPack"),
    "2^31 bytes": (msgpack_frame(b"\xc6\x7f\xff\xff\xff"), "is not MsgPack"),
    "long key twice": (json_frame('{"%s": 1, "%s": 2}' % (("k" * 400_000,) * 2)), "kk appears twi"),
    "a million maps": (
        msgpack_frame(b"\xdd" + struct.pack(">I", 1_000_000) + b"\x80" * 1_000_000),
        "is not MsgPack: more than 50000 maps",
    ),
}


@pytest.mark.parametrize("name", FRAMES)
def test_a_frame_that_is_none_is_refused_by_what_is_wrong_with_it(at: Door, name: str) -> None:
    frame, said = FRAMES[name]
    at.refuses(frame, said)


HELLO = {"op": "hello", "client": "c", "protocol": 1}
GRANT = {"op": "grant", "instance_id": 7, "token": "t", "ttl_s": 10}
SYNC = {"op": "sync", "client": "c", "scope": ["models"], "epoch": None, "since": 0}
LONG = "x" * 1_000_000

FIELDS = {
    "no op": ({}, "request.op: expected a text, got nothing"),
    "op 7": ({"op": 7}, "request.op: expected a text, got 7"),
    "unknown op": ({"op": "dance"}, "request.op: expected one of claims, .*, got 'dance'"),
    "op of 1 MB": ({"op": LONG}, r"request.op: expected one of .*x… \(1000002 characters\)"),
    "unknown field": ({"op": "status", "verbose": 1}, "request: unknown field 'verbose'"),
    "field of 1 MB": ({"op": "status", LONG: 1}, r"unknown field 'xx.*… \(1000002 characters\)"),
    "50,000 fields": ({"op": "status"} | {f"f{n}": 0 for n in range(50_000)}, "field 'f0'"),
    "protocol 2": (HELLO | {"protocol": 2}, "protocol 2: expected 1"),
    "protocol of 1 MB": (HELLO | {"protocol": LONG}, "request.protocol: expected an integer from"),
    "client 7": (HELLO | {"client": 7}, "request.client: expected a text, got 7"),
    "no scope": (LIST | {"scope": []}, "request.scope: expected a kind and up to 3 names"),
    "5 names": (LIST | {"scope": ["models", *"abcde"]}, "request.scope: .*up to 3 names, got"),
    "100,000 names": (LIST | {"scope": ["a"] * 100_000}, r"up to 3 names, got .*… \(\d+ char"),
    "another kind": (LIST | {"scope": ["nodes"]}, "kind 'nodes', expected .*'endpoints'"),
    "scope with ..": (LIST | {"scope": ["models", ".."]}, r"request.scope '\.\.' is a relative pa"),
    "scope with /": (LIST | {"scope": ["models", "a/b"]}, "request.scope 'a/b' contains '/'"),
    "scope with 7": (LIST | {"scope": ["models", 7]}, "request.scope must be a string, got 7"),
    "name of 300": (LIST | {"scope": ["models", "x" * 300]}, "request.scope 'xx.* is too long"),
    "revision -1": (LIST | {"min_revision": -1}, "request.min_revision: .* integer from 0 .* -1"),
    "revision 1.0": (LIST | {"min_revision": 1.0}, "request.min_revision: .*, got 1.0"),
    "revision text": (LIST | {"min_revision": "7"}, "request.min_revision: .*, got '7'"),
    "since true": (SYNC | {"min_revision": 0, "since": True}, "request.since: .*, got True"),
    "epoch 7": (SYNC | {"min_revision": 0, "epoch": 7}, "request.epoch: expected a text, got 7"),
    "token 7": (GRANT | {"token": 7}, "request.token: expected a text, got 7"),
    "no token": ({"op": "keep_alive", "instance_id": 7}, "request.token: .*, got nothing"),
}


@pytest.mark.parametrize("codec", [MSGPACK, JSON], ids=lambda codec: codec.name)
@pytest.mark.parametrize("name", FIELDS)
def test_a_field_that_is_wrong_is_refused_by_name_value_and_what_was_expected(
    at: Door, name: str, codec: Codec
) -> None:
    request, said = FIELDS[name]
    at.refuses(pack(codec, request), said)


def test_who_sends_nonsense_all_the_time_fills_no_log(at: Door) -> None:
    before = at.counter("refusals_total")
    with raw_client(at.port) as client:
        for frame, _ in [one for one in FRAMES.values() if len(one[0]) < 1000] * 50:
            client.refused(frame)
    assert at.counter("refusals_total") > before + 1000
    at.is_unmoved()
    told = [line["message"] for line in at.logged()]
    assert [text for text in told if "stood still" not in text] == UP  # that was the machine


def test_a_bystander_to_whom_something_happens_does_notice(tmp_path: Path) -> None:
    with door(tmp_path) as at:
        at.is_unmoved()
        with raw_client(at.port) as client:
            client.ask("remove", id=f"endpoints/bystander/c/first/{BYSTANDER_ID:x}")
        with pytest.raises(AssertionError):
            at.is_unmoved()
        at.is_unmoved()  # it has begun anew, so one failure makes no others
