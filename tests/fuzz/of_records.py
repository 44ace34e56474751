"""Targets: keys, ids, names, records and whatever else a store or a caller may hold."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any
from urllib.parse import unquote

from discovery.cards import card_as, checked_card, display_name_of, mapping_from_object
from discovery.errors import InternalError, InvalidArgumentError, RecordError
from discovery.identity import identity_from_card
from discovery.ids import EndpointId, EventChannelId, ModelId, parse_id, parse_instance_id
from discovery.jsonvalue import MAX_JSON_DEPTH, json_copy, json_depth_is_within
from discovery.keys import decode_segment, encode_segment, format_key, parse_key
from discovery.names import check_instance_id, check_segment, check_text
from discovery.session_record import SessionRecord, hash_token
from discovery.settings import LimitSettings
from discovery.spec import ModelSpec
from discovery.specwire import spec_from_wire, spec_to_wire
from discovery.stores.etcd.keyspace import Keyspace, causes_of
from discovery.unit import Unit, identity_of, keys_of
from discovery.wire import decode_object, decode_record, encode_object, encode_record
from tests.fuzz.contract import SEPARATOR, Target, attempt, same, text_of, value_of
from tests.fuzz.of_transports import VECTORS
from tests.processes.test_bad_input_fuzz import SPECS
from transports.codec import JSON, MSGPACK

PATHS = ("ns/comp/ep/1a2b", "ns/comp/ep/1a2b/lora", "n/t/ffffffffffffffff", "n/c/e/t/0", "é/b/c/D")
KEYS = [
    *("/".join(map(unquote, file["path"].split("/"))) for file in VECTORS["files"]),
    *(f"v1/{bucket}/{path}" for bucket in ("instances", "mdc", "event_channels") for path in PATHS),
    "v1/event_channels/namespace/a%20b/component/c/endpoint/e%2Fx/topic/t/1f",
]
RECORDS = [
    (unquote(file["path"]), file["value"].encode())
    for file in VECTORS["files"]
    if file["path"].startswith(("v1/instances", "v1/mdc", "v1/event_channels"))
]
RECORDS += [
    (
        "v1/event_channels/n/c/t/7",
        (
            b'{"type":"EventChannel","namespace":"n","component":"c","topic":"t","instance_id":7,'
            b'"transport":{"kind":"ZmqBroker","config":{"xsub_endpoints":["a"],"xpub_endpoints":[]}},'
            b'"later":[1.5,{"x":null}]}'
        ),
    ),
    (
        "v1/mdc/n/c/e/7/lora",
        (
            b'{"type":"Model","namespace":"n","component":"c","endpoint":"e","instance_id":7,'
            b'"card_json":{"display_name":"m","lora":{"name":"l"},"source_path":"org/m"},'
            b'"model_suffix":"lora"}'
        ),
    ),
]
CARDS = [
    {"display_name": "m", "source_path": "org/m", "x": [1, {"y": 2.5}], "lora": {"name": "l"}},
    {"name": "m", "slug": "m", "user_data": {"a": [[[[]]]]}},
]


def keys(data: bytes) -> None:
    identity = attempt(lambda: parse_key(text_of(data)), InvalidArgumentError)
    if identity is not None:
        assert identity in {parse_key(key) for key in keys_of(identity)}
        assert parse_key(format_key(identity, "b")) == identity
        assert parse_id(str(identity)) == identity


def segments(data: bytes) -> None:
    text = text_of(data)
    segment = attempt(lambda: decode_segment(text), InvalidArgumentError)
    if segment is not None:
        with suppress(UnicodeEncodeError):  # what comes from a store has no lone surrogates
            text.encode()
            assert decode_segment(encode_segment(segment)) == segment
    name = attempt(lambda: check_segment("field", text), InvalidArgumentError)
    if name is not None:
        assert decode_segment(encode_segment(name)) == name
    line = attempt(lambda: check_text("field", text, 99), InvalidArgumentError)
    assert line is None or (line == text and len(line.splitlines()) == 1)
    attempt(lambda: check_instance_id("field", value_of(data)), InvalidArgumentError)


def ids(data: bytes) -> None:
    text = text_of(data)
    identity = attempt(lambda: parse_id(text), InvalidArgumentError)
    assert identity is None or parse_id(str(identity)) == identity
    for kind in (EndpointId, ModelId, EventChannelId):
        found = attempt(lambda kind=kind: kind.from_path(text), InvalidArgumentError)
        assert found is None or kind.from_path(found.to_path()) == found
    number = attempt(lambda: parse_instance_id(text), InvalidArgumentError)
    assert number is None or parse_instance_id(f"{number:x}") == number


def records(data: bytes) -> None:
    place, _, value = data.partition(SEPARATOR)
    key = text_of(place)
    instance = attempt(lambda: decode_record(key, value), RecordError)
    if instance is None:
        assert identity_of(key, value) is None
        return
    generation = instance.generation if isinstance(instance.id, EventChannelId) else "a"
    written = encode_record(instance, generation)
    again = decode_record(key, written)
    assert again == instance
    assert encode_record(again, generation) == written
    identity_of(key, value)


def objects(data: bytes) -> None:
    found = attempt(lambda: decode_object(data), InvalidArgumentError)
    if found is not None:
        assert same(decode_object(encode_object(found)), found)
        causes_of(data)
        why = Keyspace("").why_of("discoveryd/ends/1f", data)
        assert why is not None
    for name in ("discoveryd/ends/", "session/"):
        Keyspace("").ended_lease(name + text_of(data))


def session_records(data: bytes) -> None:
    found = attempt(lambda: SessionRecord.decode("session/1", data), InternalError)
    assert found is None or SessionRecord.decode("session/1", found.encode()) == found


def specs(data: bytes) -> None:
    value = value_of(data)
    spec = attempt(lambda: spec_from_wire("specs[0]", value), InvalidArgumentError)
    if spec is None:
        return
    wire = MSGPACK.decode(MSGPACK.encode(spec_to_wire(spec)))
    assert spec_from_wire("specs[0]", wire) == spec
    for generation in ("a", "b"):
        make = lambda generation=generation: Unit.of([spec], 7, generation, LimitSettings())  # noqa: E731
        unit = attempt(make, InvalidArgumentError)
        for key, record in unit.records.items() if unit else ():
            decode_record(key, record)


def cards(data: bytes) -> None:
    value = value_of(data)
    attempt(lambda: json_copy("card", value), InvalidArgumentError)
    if isinstance(value, dict):
        attempt(lambda: display_name_of(value), InvalidArgumentError)
        attempt(lambda: identity_from_card(value, None), InvalidArgumentError)
    card = attempt(lambda: checked_card(value), InvalidArgumentError)
    mapping = attempt(lambda: mapping_from_object(value), InvalidArgumentError)
    if card is not None:
        assert same(card, mapping)
        assert same(card_as(card, dict), card)
        assert same(JSON.decode(JSON.encode(card)), card)
        assert json_depth_is_within(card, MAX_JSON_DEPTH)
        attempt(lambda: _place_of(card), InvalidArgumentError)


def _place_of(card: dict[str, Any]) -> ModelSpec:
    return ModelSpec.from_card(card, namespace="n", component="c", endpoint="e")


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


TARGETS = (
    Target(
        run=keys,
        covers=(parse_key, decode_segment, keys_of),
        seeds=[key.encode() for key in KEYS],
        weight=6,
    ),
    Target(
        run=segments,
        covers=(decode_segment, check_segment, check_text, check_instance_id),
        seeds=[b"a%20b%2Fc", b"plain", "é".encode(), b"7"],
        weight=2,
    ),
    Target(
        run=ids,
        covers=(
            *(parse_id, parse_instance_id, EndpointId.from_path, ModelId.from_path),
            EventChannelId.from_path,
        ),
        seeds=[
            *(f"{kind}/{path}".encode() for kind in ("endpoints", "models") for path in PATHS),
            *(f"channels/{path}".encode() for path in PATHS),
            *map(str.encode, PATHS),
            b"FFffFFffFFffFFff",
        ],
        weight=3,
    ),
    Target(
        run=records,
        covers=(decode_record, decode_object, parse_key, identity_of),
        seeds=[key.encode() + SEPARATOR + value for key, value in RECORDS],
        weight=8,
    ),
    Target(
        run=objects,
        covers=(decode_object, causes_of, Keyspace.why_of),
        seeds=[
            b'{"mark":"m","causes":{"v1/mdc/n/c/e/7":"crashed"},"details":{"v1/mdc/n/c/e/7":"x"}}',
            b'{"cause":"lease_expired","detail":"exit status 1"}',
        ],
        weight=3,
    ),
    Target(
        run=session_records,
        covers=(SessionRecord.decode,),
        seeds=[SessionRecord(hash_token("t"), 3, 10.0, is_draining=True).encode()],
        weight=3,
    ),
    Target(
        run=specs,
        covers=(spec_from_wire, checked_card),
        seeds=[_json(spec) for spec in SPECS],
        weight=4,
    ),
    Target(
        run=cards,
        covers=(
            *(checked_card, display_name_of, mapping_from_object, identity_from_card),
            ModelSpec.from_card,
        ),
        seeds=[_json(card) for card in CARDS],
        weight=2,
    ),
)
