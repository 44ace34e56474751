from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discovery.errors import InvalidArgumentError, RecordError
from discovery.eventtransport import NatsTransport, ZmqBrokerTransport, ZmqTransport
from discovery.ids import parse_id
from discovery.instance import EndpointInstance, EventChannelInstance, Instance, ModelInstance
from discovery.keys import format_key, parse_key
from discovery.wire import decode_record, encode_record
from tests.discovery.strategies import INSTANCE_IDS, SEGMENTS

if TYPE_CHECKING:
    from discovery.names import Generation

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "peer.json").read_text("utf-8"))
FILES = [(unquote(file["path"]), file["value"].encode()) for file in VECTORS["files"]]
RECORDS = [(key, value) for key, value in FILES if "event_sources" not in key]

KEY = "v1/instances/dynamo/backend/generate/a"
RECORD: dict[str, Any] = {
    "type": "Endpoint",
    "component": "backend",
    "endpoint": "generate",
    "namespace": "dynamo",
    "instance_id": 10,
    "transport": {"tcp": "h:1/a/generate"},
}
MODEL_KEY = "v1/mdc/dyn/backend/generate/a"
MODEL: dict[str, Any] = {
    "type": "Model",
    "namespace": "dyn",
    "component": "backend",
    "endpoint": "generate",
    "instance_id": 10,
    "card_json": {"display_name": "m"},
}
CHANNEL_KEY = "v1/event_channels/dynamo/backend/kv-events/a"
CHANNEL: dict[str, Any] = {
    "type": "EventChannel",
    "namespace": "dynamo",
    "component": "backend",
    "topic": "kv-events",
    "instance_id": 10,
    "transport": {"kind": "Zmq", "config": {"endpoint": "tcp://h:1"}},
}
SCOPED_KEY = (
    "v1/event_channels/namespace/dynamo/component/backend/endpoint/generate/topic/kv-events/a"
)
SCOPED: dict[str, Any] = {
    "type": "EventChannel",
    "scope": {
        "kind": "endpoint",
        "endpoint": {"namespace": "dynamo", "component": "backend", "name": "generate"},
    },
    "topic": "kv-events",
    "instance_id": 10,
    "transport": {"kind": "Zmq", "config": {"endpoint": "tcp://h:1"}},
}
# Spec/discovery.md §1.2, the samples of generation a.
SAMPLES = [
    (
        "v1/instances/dynamo/backend/generate/694d9b90ff8dea03",
        (
            '{"type":"Endpoint","component":"backend","endpoint":"generate","namespace":"dynamo",'
            '"instance_id":7587891994254240259,'
            '"transport":{"nats_tcp":"dynamo_backend.generate-694d9b90ff8dea03"}}'
        ),
    ),
    (
        "v1/event_channels/dynamo/backend/kv-events/694d9b90ff8dea03",
        (
            '{"type":"EventChannel","namespace":"dynamo","component":"backend","topic":"kv-events",'
            '"instance_id":7587891994254240259,'
            '"transport":{"kind":"Zmq","config":{"endpoint":"tcp://10.0.0.1:41234"}}}'
        ),
    ),
]


def compact(record: object) -> bytes:
    return json.dumps(record, separators=(",", ":"), ensure_ascii=False).encode()


@pytest.mark.parametrize(("key", "value"), RECORDS, ids=[key for key, _ in RECORDS])
def test_the_peers_records_are_read_and_written_byte_for_byte(key: str, value: bytes) -> None:
    instance = decode_record(key, value)
    assert encode_record(instance, "b") == value
    assert format_key(instance.id, "b") == key
    assert instance.extra == {}


@pytest.mark.parametrize(("key", "value"), SAMPLES)
def test_the_records_of_generation_a_are_read_and_written_byte_for_byte(
    key: str, value: str
) -> None:
    instance = decode_record(key, value.encode())
    assert encode_record(instance, "a") == value.encode()
    assert format_key(instance.id, "a") == key


@pytest.mark.parametrize(
    ("key", "value"), [file for file in FILES if file not in RECORDS], ids=["event source"]
)
def test_event_sources_are_none_of_our_records(key: str, value: bytes) -> None:
    with pytest.raises(RecordError, match="key is in no bucket of records"):
        decode_record(key, value)


def test_a_decoded_endpoint_has_what_the_record_says() -> None:
    instance = decode_record(KEY, compact(RECORD | {"device_type": "cpu"}), revision=7)
    assert isinstance(instance, EndpointInstance)
    assert str(instance.id) == "endpoints/dynamo/backend/generate/a"
    assert instance.transport == {"tcp": "h:1/a/generate"}
    assert (instance.device_type, instance.request_plane_codec) == ("cpu", None)
    assert instance.revision == 7


def test_a_decoded_model_has_what_the_record_says() -> None:
    instance = decode_record(f"{MODEL_KEY}/x", compact(MODEL | {"model_suffix": "x"}), revision=7)
    assert isinstance(instance, ModelInstance)
    assert (instance.display_name, instance.suffix, instance.revision) == ("m", "x", 7)


def test_a_decoded_channel_has_what_the_record_says() -> None:
    instance = decode_record(SCOPED_KEY, compact(SCOPED), revision=7)
    assert isinstance(instance, EventChannelInstance)
    assert str(instance.id) == "channels/dynamo/backend/generate/kv-events/a"
    assert instance.transport == ZmqTransport(endpoint="tcp://h:1")
    assert instance.revision == 7


# Spec/discovery.md §1.3, row by row.


def test_1_3_an_extra_field_is_accepted_kept_and_written_back_last() -> None:
    value = compact(RECORD | {"incarnation": 5, "tags": {"a": [None, 1.5]}})
    instance = decode_record(KEY, value)
    assert instance.extra == {"incarnation": 5, "tags": {"a": [None, 1.5]}}
    assert encode_record(instance) == value


def test_1_3_pretty_printed_json_is_accepted() -> None:
    instance = decode_record(KEY, json.dumps(RECORD, indent=2).encode())
    assert encode_record(instance) == compact(RECORD)


@pytest.mark.parametrize(
    ("key", "record", "field"),
    [
        (KEY, RECORD, "device_type"),
        (KEY, RECORD, "request_plane_codec"),
        (MODEL_KEY, MODEL, "model_suffix"),
        (CHANNEL_KEY, CHANNEL, "scope"),
    ],
)
def test_1_3_a_null_option_is_accepted_as_absent(
    key: str, record: dict[str, Any], field: str
) -> None:
    instance = decode_record(key, compact(record | {field: None}))
    assert instance == decode_record(key, compact(record))
    assert encode_record(instance) == compact(record)


@pytest.mark.parametrize(
    "value",
    [b"", b"garbage", b"{", b"\xff", b'{"a":NaN}', b"[" * 2000, compact(RECORD) + b"x"],
    ids=["empty", "word", "cut", "not UTF-8", "NaN", "deep", "trailing"],
)
def test_1_3_what_is_not_json_is_refused(value: bytes) -> None:
    with pytest.raises(RecordError, match=r"^record 'v1/instances/.*value b'.* is not JSON: "):
        decode_record(KEY, value)


@pytest.mark.parametrize("value", [b"null", b"[]", b'"x"', b"7"])
def test_1_3_what_is_no_object_is_refused(value: bytes) -> None:
    with pytest.raises(RecordError, match="value must be a JSON object, got"):
        decode_record(KEY, value)


def test_1_3_a_record_without_type_is_refused() -> None:
    record = {name: value for name, value in RECORD.items() if name != "type"}
    with pytest.raises(RecordError, match="type None is wrong: the key asks for 'Endpoint'"):
        decode_record(KEY, compact(record))


@pytest.mark.parametrize("odd", ["10", "a", 10.0, True, None, -10, 2**64, [10]])
def test_1_3_an_id_that_is_no_integer_is_refused(odd: object) -> None:
    with pytest.raises(RecordError, match=r"instance_id .* is wrong: the key asks for 10"):
        decode_record(KEY, compact(RECORD | {"instance_id": odd}))


@pytest.mark.parametrize(("key", "odd"), [("1", True), ("1", 1.0), ("0", False), ("0", -0.0)])
def test_1_3_an_id_that_only_compares_equal_is_refused(key: str, odd: object) -> None:
    with pytest.raises(RecordError, match=r"instance_id .* is wrong"):
        decode_record(f"{KEY[:-1]}{key}", compact(RECORD | {"instance_id": odd}))


@pytest.mark.parametrize(
    ("key", "record", "words"),
    [
        (
            KEY,
            RECORD | {"device_type": "tpu"},
            "device_type 'tpu' is unknown: expected cpu or cuda",
        ),
        (KEY, RECORD | {"device_type": ["cpu"]}, "device_type ['cpu'] is unknown"),
        (KEY, RECORD | {"request_plane_codec": "bogus"}, "'bogus' is unknown: expected json or"),
        (KEY, RECORD | {"type": "VeloPeer"}, "type 'VeloPeer' is wrong"),
        (KEY, RECORD | {"transport": {"udp": "x"}}, "expected one string, under nats_tcp or tcp"),
        (CHANNEL_KEY, CHANNEL | {"transport": {"kind": "Tcp", "config": {}}}, "expected a kind"),
    ],
)
def test_1_3_an_unknown_enum_value_is_refused(key: str, record: dict[str, Any], words: str) -> None:
    with pytest.raises(RecordError, match=re.escape(words)):
        decode_record(key, compact(record))


def test_1_3_another_id_than_the_keys_is_refused() -> None:
    with pytest.raises(RecordError, match="instance_id 11 is wrong: the key asks for 10"):
        decode_record(KEY, compact(RECORD | {"instance_id": 11}))


@pytest.mark.parametrize("field", ["namespace", "component", "endpoint"])
@pytest.mark.parametrize(("key", "record"), [(KEY, RECORD), (MODEL_KEY, MODEL)])
def test_1_3_another_name_than_the_keys_is_refused(
    key: str, record: dict[str, Any], field: str
) -> None:
    with pytest.raises(RecordError, match=f"{field} 'other' is wrong: the key asks for"):
        decode_record(key, compact(record | {field: "other"}))


def test_1_3_a_key_in_upper_case_and_padded_is_accepted() -> None:
    instance = decode_record(
        "v1/instances/dynamo/backend/generate/0D", compact(RECORD | {"instance_id": 13})
    )
    assert instance.instance_id == 13


def test_1_3_an_extra_path_segment_is_refused_on_put_too() -> None:
    with pytest.raises(RecordError, match="expected 4 parts after v1/instances/, got 5"):
        decode_record(f"{KEY}/extra", compact(RECORD))


def test_1_3_an_update_of_the_same_key_gives_the_new_transport() -> None:
    instance = decode_record(KEY, compact(RECORD | {"transport": {"http": "http://h:2"}}))
    assert isinstance(instance, EndpointInstance)
    assert instance.transport == {"http": "http://h:2"}
    assert instance.id == parse_key(KEY)


# Beyond §1.3.


@pytest.mark.parametrize(
    "transport",
    [None, "tcp", {}, {"tcp": 7}, {"tcp": None}, {"tcp": "a", "nats_tcp": "b"}, ["tcp"]],
    ids=repr,
)
def test_an_endpoint_without_one_transport_is_refused(transport: object) -> None:
    with pytest.raises(RecordError, match=r"transport .* is wrong: expected one string, under"):
        decode_record(KEY, compact(RECORD | {"transport": transport}))


@pytest.mark.parametrize(
    ("transport", "words"),
    [
        (None, "expected a kind, Nats, Zmq or ZmqBroker, and a config"),
        ({"kind": "Zmq"}, "expected a kind, Nats, Zmq or ZmqBroker, and a config"),
        ({"kind": "Zmq", "config": {}}, "transport endpoint must be a string, got None"),
        ({"kind": "Nats", "config": {"subject_prefix": 7}}, "subject_prefix must be a string"),
        ({"kind": "ZmqBroker", "config": {"xsub_endpoints": []}}, "xpub_endpoints must be a list"),
    ],
)
def test_a_channel_without_a_transport_is_refused(transport: object, words: str) -> None:
    with pytest.raises(RecordError, match=re.escape(words)):
        decode_record(CHANNEL_KEY, compact(CHANNEL | {"transport": transport}))


@pytest.mark.parametrize(
    ("transport", "expected"),
    [
        (
            {"kind": "Nats", "config": {"subject_prefix": "namespace.dyn"}},
            NatsTransport(subject_prefix="namespace.dyn"),
        ),
        (
            {
                "kind": "ZmqBroker",
                "config": {
                    "xsub_endpoints": ["tcp://b:5555"],
                    "xpub_endpoints": ["tcp://b:5556"],
                },
            },
            ZmqBrokerTransport(xsub_endpoints=("tcp://b:5555",), xpub_endpoints=("tcp://b:5556",)),
        ),
    ],
)
def test_every_event_transport_is_read_and_written(transport: object, expected: object) -> None:
    value = compact(CHANNEL | {"transport": transport})
    instance = decode_record(CHANNEL_KEY, value)
    assert isinstance(instance, EventChannelInstance)
    assert instance.transport == expected
    assert encode_record(instance) == value


@pytest.mark.parametrize("card", [None, [], "m", {}, {"display_name": None}], ids=repr)
def test_a_model_without_a_named_card_is_refused(card: object) -> None:
    with pytest.raises(RecordError, match=r"card_json must be an object|display_name from card"):
        decode_record(MODEL_KEY, compact(MODEL | {"card_json": card}))


@pytest.mark.parametrize("suffix", [None, "", "y", 7])
def test_another_suffix_than_the_keys_is_refused(suffix: object) -> None:
    with pytest.raises(RecordError, match=r"model_suffix .* is wrong: the key asks for 'x'"):
        decode_record(f"{MODEL_KEY}/x", compact(MODEL | {"model_suffix": suffix}))


def test_a_suffix_that_the_key_has_not_is_refused() -> None:
    with pytest.raises(RecordError, match="model_suffix 'x' is wrong: the key asks for None"):
        decode_record(MODEL_KEY, compact(MODEL | {"model_suffix": "x"}))


def test_an_empty_suffix_counts_as_none() -> None:
    instance = decode_record(MODEL_KEY, compact(MODEL | {"model_suffix": ""}))
    assert encode_record(instance) == compact(MODEL)


@pytest.mark.parametrize(
    ("key", "scope"),
    [
        ("namespace/n.s/topic", {"kind": "namespace", "name": "n.s"}),
        (
            "namespace/ns/component/c/topic",
            {"kind": "component", "namespace": "ns", "component": "c"},
        ),
    ],
)
def test_every_scope_is_read_and_written(key: str, scope: object) -> None:
    value = compact(SCOPED | {"scope": scope})
    instance = decode_record(f"v1/event_channels/{key}/kv-events/a", value)
    assert encode_record(instance, "b") == value


@pytest.mark.parametrize(
    "scope",
    [
        "endpoint",
        {},
        {"kind": "namespace", "name": "dynamo"},
        {"kind": "endpoint", "endpoint": "generate"},
        {
            "kind": "endpoint",
            "endpoint": {"namespace": "dynamo", "component": "backend", "name": "other"},
        },
    ],
    ids=repr,
)
def test_another_scope_than_the_keys_is_refused(scope: object) -> None:
    with pytest.raises(RecordError, match=r"scope .* is wrong: the key asks for"):
        decode_record(SCOPED_KEY, compact(SCOPED | {"scope": scope}))


def test_an_unknown_field_within_a_scope_is_passed_over() -> None:
    scope = SCOPED["scope"] | {"zone": 1, "endpoint": SCOPED["scope"]["endpoint"] | {"x": 1}}
    instance = decode_record(SCOPED_KEY, compact(SCOPED | {"scope": scope}))
    assert encode_record(instance, "b") == compact(SCOPED)


@pytest.mark.parametrize(
    "key", [SCOPED_KEY, "v1/event_channels/namespace/dynamo/topic/kv-events/a"]
)
def test_a_scope_that_only_generation_b_has_cannot_be_missing(key: str) -> None:
    with pytest.raises(RecordError, match="scope is missing: the key asks for"):
        decode_record(key, compact(CHANNEL))


def test_a_record_of_one_generation_may_lie_under_the_key_of_the_other() -> None:
    key = "v1/event_channels/namespace/dynamo/component/backend/topic/kv-events/a"
    scope = {"kind": "component", "namespace": "dynamo", "component": "backend"}
    of_a = decode_record(CHANNEL_KEY, compact(CHANNEL))
    assert decode_record(key, compact(CHANNEL)) == of_a
    assert decode_record(CHANNEL_KEY, compact(SCOPED | {"scope": scope})) == of_a
    assert encode_record(of_a, "b") == compact(SCOPED | {"scope": scope})


def test_the_legacy_fields_of_generation_b_are_kept_but_never_twice() -> None:
    scope = {"kind": "component", "namespace": "dynamo", "component": "backend"}
    value = compact(SCOPED | {"scope": scope, "namespace": "dynamo", "component": "old"})
    instance = decode_record(CHANNEL_KEY, value)
    assert instance.extra == {"namespace": "dynamo", "component": "old"}
    assert encode_record(instance, "b") == value
    assert encode_record(instance, "a") == compact(CHANNEL)


@pytest.mark.parametrize("identity", ["channels/ns/t/1", "channels/ns/c/e/t/1"])
def test_generation_a_writes_records_of_component_channels_only(identity: str) -> None:
    instance = decode_record(SCOPED_KEY, compact(SCOPED))
    assert isinstance(instance, EventChannelInstance)
    moved = replace(
        instance,
        **{name: getattr(parse_id(identity), name) for name in ("component", "endpoint", "topic")},
    )
    with pytest.raises(InvalidArgumentError, match="expected a component and no endpoint"):
        encode_record(moved, "a")


def nested(levels: int) -> object:
    value: object = 1
    for _ in range(levels):
        value = [value]
    return value


def test_a_record_may_be_wide() -> None:
    value = compact(RECORD | {"extra": [[] for _ in range(100)]})
    assert encode_record(decode_record(KEY, value)) == value


def test_a_record_may_be_25_levels_deep() -> None:
    value = compact(RECORD | {"deep": nested(24)})
    assert encode_record(decode_record(KEY, value)) == value


def test_a_deeper_record_is_refused() -> None:
    with pytest.raises(RecordError, match="nested too deep: expected at most 25 levels"):
        decode_record(KEY, compact(RECORD | {"deep": nested(25)}))


@pytest.mark.parametrize("odd", [object(), "\ud800", 2**64, {1: 2}])
def test_what_is_not_json_cannot_be_written(odd: object) -> None:
    instance = replace(decode_record(KEY, compact(RECORD)), extra={"odd": odd})
    with pytest.raises(InvalidArgumentError, match=r"endpoints/dynamo/.* cannot be written"):
        encode_record(instance)


def test_a_message_names_the_key_once_and_cuts_long_values() -> None:
    with pytest.raises(RecordError) as caught:
        decode_record(KEY, b"x" * 100_000)
    assert str(caught.value).count(KEY) == 1
    assert len(str(caught.value)) < 500


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"), max_size=10),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)
EXTRA = st.dictionaries(st.sampled_from(["incarnation", "x", "ü"]), JSON, max_size=2)
ENDPOINTS = st.builds(
    EndpointInstance,
    namespace=SEGMENTS,
    component=SEGMENTS,
    endpoint=SEGMENTS,
    instance_id=INSTANCE_IDS,
    transport=st.dictionaries(
        st.sampled_from(["nats_tcp", "tcp", "http"]), SEGMENTS, min_size=1, max_size=1
    ),
    device_type=st.sampled_from([None, "cpu", "cuda"]),
    request_plane_codec=st.sampled_from([None, "json", "msgpack"]),
    extra=EXTRA,
)
MODELS = st.builds(
    ModelInstance,
    namespace=SEGMENTS,
    component=SEGMENTS,
    endpoint=SEGMENTS,
    instance_id=INSTANCE_IDS,
    card=st.builds(lambda card, name: {**card, "display_name": name}, EXTRA, SEGMENTS),
    suffix=st.none() | SEGMENTS,
    extra=EXTRA,
)
EVENT_TRANSPORTS = (
    st.builds(NatsTransport, subject_prefix=SEGMENTS)
    | st.builds(ZmqTransport, endpoint=SEGMENTS)
    | st.builds(
        ZmqBrokerTransport,
        xsub_endpoints=st.lists(SEGMENTS, max_size=2),
        xpub_endpoints=st.lists(SEGMENTS, max_size=2),
    )
)
CHANNELS = st.builds(
    EventChannelInstance,
    namespace=SEGMENTS,
    topic=SEGMENTS,
    instance_id=INSTANCE_IDS,
    transport=EVENT_TRANSPORTS,
    component=SEGMENTS,
    endpoint=st.none() | SEGMENTS,
    extra=EXTRA,
)


@given(ENDPOINTS | MODELS | CHANNELS, st.sampled_from(["a", "b"]))
def test_what_is_written_is_read_as_it_was(instance: Instance, generation: Generation) -> None:
    if isinstance(instance, EventChannelInstance) and instance.endpoint is not None:
        generation = "b"
    key, value = format_key(instance.id, generation), encode_record(instance, generation)
    again = decode_record(key, value)
    assert again == instance
    assert encode_record(again, generation) == value


@given(
    st.sampled_from([(KEY, RECORD), (MODEL_KEY, MODEL), (CHANNEL_KEY, CHANNEL)]),
    st.data(),
)
def test_any_value_under_any_key_is_read_or_refused(
    sample: tuple[str, dict[str, Any]], data: st.DataObject
) -> None:
    key, record = sample
    field = data.draw(st.sampled_from([*record, "device_type", "model_suffix", "scope"]))
    try:
        decode_record(key, compact(record | {field: data.draw(JSON)}))
    except RecordError as exc:
        assert key in str(exc)  # noqa: PT017 - either is right


@given(st.text(max_size=30), st.binary(max_size=30))
def test_reading_raises_nothing_but_record_errors(key: str, value: bytes) -> None:
    for name in (key, KEY):
        with pytest.raises(RecordError):
            decode_record(name, value)
