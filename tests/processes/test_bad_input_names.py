"""Names and ids that are none, at a real daemon: refused by field, and nobody else notices."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING

import pytest

from tests.support.bystander import door
from tests.support.raw_client import json_frame, msgpack_frame
from transports.codec import JSON, MSGPACK
from transports.frame import pack

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.bystander import Door
    from transports.codec import Codec

ME = {"instance_id": 0xBAD, "token": "mine"}
PLACE = {"namespace": "n", "component": "c", "endpoint": "e"}
ENDPOINT = {"kind": "endpoints", **PLACE, "transport": {"tcp": "h:1"}}
MODEL = {"kind": "models", **PLACE, "card": {"display_name": "m"}}
CHANNEL = {
    "kind": "channels",
    **PLACE,
    "topic": "t",
    "instance_id": 7,
    "transport": {"kind": "Zmq", "endpoint": "tcp://h:1"},
}

sequences = count(1)


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    with door(tmp_path_factory.mktemp("door")) as found:
        yield found


def registering(spec: object) -> dict[str, object]:
    return {"op": "register", **ME, "sequence": next(sequences), "specs": [spec]}


NAMES = {
    "two dots": ("..", r"'\.\.' is a relative path"),
    "a dot": (".", r"'\.' is a relative path"),
    "empty": ("", "'' is empty"),
    "300 bytes": ("x" * 300, r"'x+… \(302 characters\) is too long: expected 1-253 bytes"),
    "300 bytes of 150": ("é" * 150, "'é.* is too long: expected 1-253 bytes"),
    "1 MB": ("x" * 1_000_000, r"'x+… \(1000002 characters\) is too long"),
    "a slash": ("a/b", "'a/b' contains '/'"),
    "a line's end": ("a\nb", r"'a\\nb' contains '\\n'"),
    "an escape": ("\x1b[31m", r"'\\x1b\[31m' contains '\\x1b'"),
    "NUL": ("\0", r"'\\x00' contains '\\x00'"),
    "C1": ("\x85", r"'\\x85' contains '\\x85'"),
}
OF_ONE_SEGMENT = [name for name, (text, _) in NAMES.items() if text and "/" not in text]


@pytest.mark.parametrize("level", PLACE)
@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_is_none_is_refused_at_every_level(at: Door, level: str, name: str) -> None:
    text, said = NAMES[name]
    at.refuses(pack(MSGPACK, registering(ENDPOINT | {level: text})), f"{level} {said}")


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_is_none_is_refused_as_suffix_and_as_topic(at: Door, name: str) -> None:
    text, said = NAMES[name]
    at.refuses(pack(JSON, registering(MODEL | {"suffix": text})), f"suffix {said}")
    at.refuses(pack(JSON, registering(CHANNEL | {"topic": text})), f"topic {said}")


@pytest.mark.parametrize("name", OF_ONE_SEGMENT)
def test_a_name_that_is_none_is_refused_within_an_id(at: Door, name: str) -> None:
    text, said = NAMES[name]
    asked = {**ME, "sequence": 1, "ids": ["models/a/b/c/1", f"models/n/c/e/7/{text}"]}
    said_of_it = rf"request\.ids\[1\] 'models/n.*: suffix {said}"
    at.refuses(pack(MSGPACK, {"op": "unregister", **asked}), said_of_it)
    at.refuses(pack(MSGPACK, {"op": "retain", **asked}), said_of_it)
    asked = {"op": "remove", "id": f"channels/n/{text}/7"}
    at.refuses(pack(MSGPACK, asked), rf"request\.id 'channels/n.*: topic {said}")


def test_a_name_with_a_lone_surrogate_cannot_even_be_sent(at: Door) -> None:
    text = JSON.encode(registering(ENDPOINT | {"component": "?"}))
    at.refuses(json_frame(text.replace(b"?", rb"\ud800")), "is not JSON: .*surrogate")
    body = MSGPACK.encode(registering(ENDPOINT | {"component": "???"}))
    at.refuses(msgpack_frame(body.replace(b"???", b"\xed\xa0\x80")), "is not MsgPack: .*utf-8")


IDS = {
    "a text": ("x", r" 'x': Invalid id 'x': expected endpoints/…, models/… or channels/…"),
    "empty": ("", r" '': Invalid id ''"),
    "a number": (7, ": expected a text, got 7"),
    "another kind": ("nodes/a/b/c/1", " 'nodes/a/b/c/1': Invalid id"),
    "too short": ("endpoints/a/b/1", " 'endpoints/a/b/1': .* expected 4 parts, got 3"),
    "too long": ("models/a/b/c/1/d/e", " 'models/a/b/c/1/d/e': .* expected 4 or 5 parts, got 6"),
    "a slash more": ("endpoints/a/b/c/1/", " 'endpoints/a/b/c/1/': .* expected 4 parts, got 5"),
    "no name": ("endpoints/a//c/1", " 'endpoints/a//c/1': component '' is empty"),
    "no hex": ("endpoints/a/b/c/-1", ".* invalid digit .*'-1', expected 0 to ffffffffffffffff"),
    "2^64": ("endpoints/a/b/c/1" + "0" * 16, ".* number too large .*'10000000000000000'"),
    "900,000 digits": ("endpoints/a/b/c/" + "f" * 900_000, r".* large .*f… \(900002 characters\)"),
}


@pytest.mark.parametrize("codec", [MSGPACK, JSON], ids=lambda codec: codec.name)
@pytest.mark.parametrize("name", IDS)
def test_an_id_that_is_none_is_refused_by_its_place(at: Door, name: str, codec: Codec) -> None:
    value, said = IDS[name]
    at.refuses(pack(codec, {"op": "remove", "id": value}), rf"request\.id{said}")
    asked = {"op": "unregister", **ME, "sequence": 1, "ids": ["models/a/b/c/1", value]}
    at.refuses(pack(codec, asked), rf"request\.ids\[1\]{said}")
