from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discovery.errors import InvalidArgumentError
from discovery.eventtransport import NatsTransport, ZmqBrokerTransport, ZmqTransport
from discovery.spec import EndpointSpec, EventChannelSpec, ModelSpec
from discovery.specwire import spec_from_wire, spec_to_wire
from tests.discovery.strategies import INSTANCE_IDS, SEGMENTS
from tests.discovery.test_fields import JUNK
from transports.codec import JSON, MSGPACK

TEXTS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=9)
PLACES = st.lists(TEXTS, min_size=1, max_size=2).map(tuple)
SPECS = (
    st.builds(
        EndpointSpec,
        namespace=SEGMENTS,
        component=SEGMENTS,
        endpoint=SEGMENTS,
        transport=st.dictionaries(
            st.sampled_from(["tcp", "http", "nats_tcp"]), TEXTS, min_size=1, max_size=1
        ),
        device_type=st.sampled_from([None, "cpu", "cuda"]),
        request_plane_codec=st.sampled_from([None, "json", "msgpack"]),
    )
    | st.builds(
        ModelSpec,
        namespace=SEGMENTS,
        component=SEGMENTS,
        endpoint=SEGMENTS,
        card=st.builds(
            lambda rest, name: {**rest, "display_name": name},
            st.dictionaries(TEXTS, st.none() | st.booleans() | st.integers(0, 9) | TEXTS),
            TEXTS,
        ),
        suffix=st.none() | SEGMENTS,
    )
    | st.builds(
        EventChannelSpec,
        namespace=SEGMENTS,
        topic=SEGMENTS,
        transport=st.builds(NatsTransport, subject_prefix=TEXTS)
        | st.builds(ZmqTransport, endpoint=TEXTS)
        | st.builds(ZmqBrokerTransport, xsub_endpoints=PLACES, xpub_endpoints=PLACES),
        component=SEGMENTS,
        endpoint=st.none() | SEGMENTS,
        instance_id=st.none() | INSTANCE_IDS,
    )
)
ENDPOINT = {
    "kind": "endpoints",
    "namespace": "n",
    "component": "c",
    "endpoint": "e",
    "transport": {"tcp": "h:1"},
}
MODEL = {
    "kind": "models",
    "namespace": "n",
    "component": "c",
    "endpoint": "e",
    "card": {"display_name": "m"},
}
CHANNEL = {
    "kind": "channels",
    "namespace": "n",
    "component": "c",
    "topic": "t",
    "transport": {"kind": "Nats", "subject_prefix": "p"},
}


@pytest.mark.parametrize("codec", [JSON, MSGPACK], ids=lambda codec: codec.name)
@given(spec=SPECS)
def test_a_spec_comes_back(codec, spec):
    wire = codec.decode(codec.encode(spec_to_wire(spec)))
    assert spec_from_wire("s", wire) == spec


@pytest.mark.parametrize("value", [ENDPOINT, MODEL, CHANNEL])
def test_what_is_optional_may_be_left_out(value):
    spec_from_wire("s", value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "s: expected a map"),
        ({}, "s.kind: expected a text"),
        ({"kind": "things"}, r"s.kind: expected \['endpoints', 'models', 'channels'\]"),
        (ENDPOINT | {"namespace": 1}, "s.namespace: expected a text"),
        (ENDPOINT | {"namespace": "a/b"}, "namespace 'a/b' contains"),
        (ENDPOINT | {"component": None}, "s.component: expected a text, got nothing"),
        (ENDPOINT | {"endpoint": ""}, "endpoint '' is empty"),
        (ENDPOINT | {"transport": {}}, "transport must have exactly one entry"),
        (ENDPOINT | {"transport": None}, "transport must have exactly one entry"),
        (ENDPOINT | {"transport": {"tcp": 1}}, "transport tcp must be a non-empty string"),
        (ENDPOINT | {"transport": {"udp": "x"}}, "transport 'udp' is unknown"),
        (ENDPOINT | {"device_type": "tpu"}, "device_type 'tpu' is unknown"),
        (ENDPOINT | {"device_type": 1}, "s.device_type: expected a text"),
        (ENDPOINT | {"request_plane_codec": "xml"}, "request_plane_codec 'xml' is unknown"),
        (ENDPOINT | {"card": {}}, "s: unknown field 'card'"),
        (MODEL | {"card": None}, "card"),
        (MODEL | {"card": {}}, "failed to deserialize model display_name from card_json"),
        (MODEL | {"suffix": "a/b"}, "suffix"),
        (MODEL | {"suffix": 1}, "s.suffix: expected a text"),
        (CHANNEL | {"topic": None}, "s.topic: expected a text"),
        (CHANNEL | {"transport": None}, "s.transport: expected a map"),
        (CHANNEL | {"transport": {"kind": "Pigeon"}}, "s.transport.kind: expected Nats, Zmq or"),
        (CHANNEL | {"transport": {"kind": "Zmq"}}, "s.transport.endpoint: expected a text"),
        (
            CHANNEL | {"transport": {"kind": "Nats", "subject_prefix": "p", "x": 1}},
            "s.transport: unknown field 'x'",
        ),
        (
            CHANNEL
            | {"transport": {"kind": "ZmqBroker", "xsub_endpoints": [1], "xpub_endpoints": []}},
            r"s.transport.xsub_endpoints\[0\]: expected a text",
        ),
        (CHANNEL | {"instance_id": -1}, "s.instance_id: expected an integer"),
        (CHANNEL | {"component": None, "endpoint": "e"}, "needs a component"),
    ],
)
def test_a_wrong_spec_is_refused_and_the_field_is_named(value, text):
    with pytest.raises(InvalidArgumentError, match=text):
        spec_from_wire("s", value)


@given(
    JUNK,
    st.sampled_from([ENDPOINT, MODEL, CHANNEL]),
    st.sampled_from(
        ["namespace", "component", "endpoint", "topic", "transport", "card", "suffix", "kind", ""]
    ),
)
def test_junk_is_refused_and_nothing_else_happens(value, base, name):
    with suppress(InvalidArgumentError):
        spec_from_wire("s", base | {name: value} if name else value)
