"""Specs, cards, leases and ids that are wrong, at a real daemon; and a stolen instance id."""

from __future__ import annotations

import re
from itertools import count
from typing import TYPE_CHECKING

import pytest

from tests.support.bystander import BYSTANDER_ID, door
from tests.support.raw_client import json_frame, msgpack_frame, raw_client
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
    "namespace": "n",
    "component": "c",
    "topic": "t",
    "transport": {"kind": "Zmq", "endpoint": "tcp://h:1"},
}
BROKER = {"kind": "ZmqBroker", "xsub_endpoints": [], "xpub_endpoints": ["\x01" * 900_000]}
BOTH = pytest.mark.parametrize("codec", [MSGPACK, JSON], ids=lambda codec: codec.name)

sequences = count(1)


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    with door(tmp_path_factory.mktemp("door")) as found, raw_client(found.port) as client:
        client.ask("grant", **ME, ttl_s=600)
        yield found


def registering(*specs: object) -> dict[str, object]:
    return {"op": "register", **ME, "sequence": next(sequences), "specs": list(specs)}


def deep(levels: int) -> object:
    value: object = 1
    for _ in range(levels):
        value = [value]
    return value


SPECS = {
    "none": ([], "specs: got 0, expected 1 to 64"),
    "65": (
        [ENDPOINT | {"endpoint": f"e{n}"} for n in range(65)],
        "specs: got 65, expected 1 to 64",
    ),
    "10,000": ([ENDPOINT] * 10_000, "specs: got 10000, expected 1 to 64"),
    "no map": ([ENDPOINT, 7], r"request\.specs\[1\]: expected a map, got 7"),
    "no kind": ([{}], r"request\.specs\[0\]\.kind: expected a text, got nothing"),
    "a kind of its own": ([{"kind": "x"}], r"specs\[0\]\.kind: expected .*'models'.*, got 'x'"),
    "unknown field": ([ENDPOINT | {"x": 1}], r"request\.specs\[0\]: unknown field 'x'"),
    "twice": ([ENDPOINT, ENDPOINT], "specs: 'v1/instances/n/c/e/bad' appears twice"),
    "two places": ([MODEL, MODEL | {"endpoint": "f"}], r"models on \['n/c/e', 'n/c/f'\], expected"),
    "64 long places": (
        [MODEL | {"component": "c" * 253, "endpoint": f"e{n}"} for n in range(64)],
        r"specs: models on \['n/c+… \(\d+ characters\), expected one endpoint",
    ),
    "no transport": ([ENDPOINT | {"transport": {}}], "transport must have exactly one entry"),
    "two": ([ENDPOINT | {"transport": {"tcp": "x", "http": "y"}}], "exactly one .*'http': 'y'"),
    "transport x": ([ENDPOINT | {"transport": {"x": "y"}}], "transport 'x' is unknown: expected"),
    "no address": ([ENDPOINT | {"transport": {"tcp": ""}}], "transport tcp must be a non-empty"),
    "abacus": ([ENDPOINT | {"device_type": "abacus"}], "device_type 'abacus' is unknown: expected"),
    "a broker's 900 KB": ([CHANNEL | {"transport": BROKER}], r"'\\x01.*… .* must have an address"),
    "no publisher": ([CHANNEL], "instance_id of an event channel: expected its publisher's id"),
    "publisher -1": ([CHANNEL | {"instance_id": -1}], r"specs\[0\]\.instance_id: .* from 0 .* -1"),
    "no component": (
        [{name: CHANNEL[name] for name in CHANNEL if name != "component"} | {"instance_id": 7}],
        "'channels/n/t/7' has no path of generation a: expected a component",
    ),
}


@pytest.mark.parametrize("name", SPECS)
def test_a_spec_that_is_none_is_refused(at: Door, name: str) -> None:
    specs, said = SPECS[name]
    at.refuses(pack(MSGPACK, registering(*specs)), said)


CARDS = {
    "no object": (7, "card must be a mapping, got 7"),
    "null": (None, "card must be a mapping, got None"),
    "a list": ([1], r"card must be a mapping, got \[1\]"),
    "no name": ({}, r"card\.display_name: .* expected a string, got nothing"),
    "name 7": ({"display_name": 7}, r"card\.display_name: .* expected a string, got 7"),
    "name empty": ({"display_name": ""}, r"card\.display_name: .*non-empty string, got ''"),
    "source 7": ({"display_name": "m", "source_path": 7}, r"card\.source_path: .*, got 7"),
    "129 KiB": (
        {"display_name": "m", "x": "y" * (129 << 10)},
        r"\d+ bytes, expected 131072 at most",
    ),
    "25 deep": (
        {"display_name": "m", "x": deep(24)},
        r"card\.x\[0\].* is nested too deep: at most",
    ),
    "25 deep under 900 KB": ({"display_name": "m", "k" * 900_000: deep(24)}, r"card\.k{60}…\[0\]"),
}


@BOTH
@pytest.mark.parametrize("name", CARDS)
def test_a_card_that_is_none_is_refused(at: Door, name: str, codec: Codec) -> None:
    card, said = CARDS[name]
    at.refuses(pack(codec, registering(MODEL | {"card": card})), said)


def test_a_card_with_many_values_under_a_long_name_holds_nobody_up(at: Door) -> None:
    """Naming each of them would take six seconds, in which the daemon hears nobody."""
    card = {"display_name": "m", "k" * 400_000: [1] * 600_000}
    said = r"\d{7} bytes, expected 131072 at most"
    at.refuses(pack(MSGPACK, registering(MODEL | {"card": card})), said)


TEXTS = {
    "NaN": ('{"display_name": "m", "x": NaN}', "is not JSON"),
    "infinity": ('{"display_name": "m", "x": -Infinity}', "is not JSON"),
    "2^64": ('{"display_name": "m", "x": 18446744073709551616}', "is beyond 64 bits"),
    "twice": ('{"display_name": "m", "display_name": "n"}', "key 'display_name' appears twice"),
    "twice below": ('{"display_name": "m", "x": {"y": 1, "y": 2}}', "map key 'y' appears twice"),
    "10,000 deep": ('{"x": ' + "[" * 10_000 + "]" * 10_000 + "}", "is not JSON: .*depth"),
}


@pytest.mark.parametrize("name", TEXTS)
def test_a_card_is_held_to_what_json_is(at: Door, name: str) -> None:
    text, said = TEXTS[name]
    request = JSON.encode(registering(MODEL | {"card": "?"}))
    at.refuses(json_frame(request.replace(b'"?"', text.encode())), said)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (b"\xc4\x01x", r"card\.x must be a JSON value, got b'x'"),
        (b"\xcb\x7f\xf8" + bytes(6), r"NaN at \$\['specs'\]\[0\]\['card'\]\['x'\]"),
        (b"\x82\xa1y\x01\xa1y\x02", "map key 'y' appears twice"),
        (b"\x91" * 10_000 + b"\x01", "nested deeper than 32 levels"),
    ],
    ids=["bytes", "NaN", "key twice", "10,000 deep"],
)
def test_a_card_is_held_to_what_json_is_in_msgpack_too(at: Door, value: bytes, said: str) -> None:
    request = MSGPACK.encode(registering(MODEL | {"card": {"display_name": "m", "x": "?????"}}))
    at.refuses(msgpack_frame(request.replace(b"\xa5?????", value)), said)


@BOTH
@pytest.mark.parametrize("ttl_s", [0, -1, 0.999, 3600.5, 10**9, 2**63])
def test_a_ttl_out_of_range_is_refused(at: Door, ttl_s: float, codec: Codec) -> None:
    asked = {"op": "grant", "instance_id": 7, "token": "t", "ttl_s": ttl_s}
    said = f"ttl_s {float(ttl_s)!r}: expected 1 to 3600 seconds"
    at.refuses(pack(codec, asked), re.escape(said))


@pytest.mark.parametrize(
    "ttl_s", ["10", "x" * 1_000_000, None, True, [10], {}], ids=lambda v: repr(v)[:9]
)
def test_a_ttl_that_is_no_number_is_refused(at: Door, ttl_s: object) -> None:
    asked = {"op": "grant", "instance_id": 7, "token": "t", "ttl_s": ttl_s}
    at.refuses(pack(MSGPACK, asked), r"request\.ttl_s: expected a number, got ")


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"1e400"])
def test_a_ttl_that_is_not_finite_is_no_json(at: Door, number: bytes) -> None:
    asked = {"op": "grant", "instance_id": 7, "token": "t", "ttl_s": "?"}
    at.refuses(json_frame(JSON.encode(asked).replace(b'"?"', number)), "is not JSON")


@pytest.mark.parametrize("op", ["grant", "keep_alive", "revoke", "register", "retain", "drain"])
def test_an_instance_id_that_is_none_is_refused(at: Door, op: str) -> None:
    said = rf"request\.instance_id: expected an integer from 1 to {2**64 - 1}, got "
    for instance_id in (0, -1, "7", "x" * 1_000_000, 1.0, True, None):
        at.refuses(pack(MSGPACK, {"op": op, "instance_id": instance_id}), said)
    frame = json_frame(f'{{"op": "{op}", "instance_id": 18446744073709551616}}')
    at.refuses(frame, "1844674407370955161.* is beyond 64 bits")


def test_last_words_of_a_megabyte_are_refused(at: Door) -> None:
    asked = {"op": "revoke", **ME}
    said = r"request\.detail: expected at most 200 printable characters, got 1000000: 'x+…"
    at.refuses(pack(MSGPACK, asked | {"detail": "x" * 1_000_000}), said)
    said = r"request\.cause: expected unregistered or crashed, got 'x+…"
    at.refuses(pack(MSGPACK, asked | {"cause": "x" * 1_000_000}), said)


THEIRS = f"endpoints/bystander/c/first/{BYSTANDER_ID:x}"
ENDED = ("its lease has ended, or is held by another", "failed_precondition", "lease_expired")
STEALING = {
    "grant": ({"ttl_s": 10}, ("held by another process", "already_exists")),
    "keep_alive": ({}, ENDED),
    "revoke": ({}, ENDED),
    "register": ({"specs": [ENDPOINT], "sequence": 2**64 - 1}, ENDED),
    "unregister": ({"ids": [THEIRS], "sequence": 2**64 - 1}, ENDED),
    "retain": ({"ids": [], "sequence": 2**64 - 1}, ENDED),
}


@pytest.mark.parametrize("op", STEALING)
def test_a_stolen_instance_id_is_of_no_use(at: Door, op: str) -> None:
    fields, refusal = STEALING[op]
    for token in ("mine", "", "x" * 1_000_000):
        asked = {"op": op, "instance_id": BYSTANDER_ID, "token": token, **fields}
        message = at.refuses(pack(MSGPACK, asked), *refusal)
        assert f"{BYSTANDER_ID:x}: " in message


def test_under_ones_own_lease_nobody_elses_record_is_touched(at: Door) -> None:
    asked = {"op": "unregister", **ME, "sequence": next(sequences), "ids": [THEIRS]}
    said = "'v1/instances/bystander/c/first/b157': registered by another process"
    at.refuses(pack(MSGPACK, asked), said, "permission_denied")
    with raw_client(at.port) as client:
        client.ask("retain", **ME, sequence=next(sequences), ids=[])
    at.is_unmoved()


def test_a_refusal_does_not_repeat_the_name_of_a_model_at_length(at: Door) -> None:
    other = {"instance_id": 0xBAE, "token": "other"}
    first, second = (MODEL | {"card": {"display_name": letter * 120_000}} for letter in "mn")
    with raw_client(at.port) as client:
        client.ask("grant", **other, ttl_s=600)
        client.ask("register", **other, sequence=1, specs=[first])
        error = client.refused(pack(MSGPACK, registering(second)))
        client.ask("revoke", **other)
    assert error["type"] == "model_conflict"
    assert error["details"]["incumbent"] == "m" * 200 + "…"
    at.is_unmoved()
