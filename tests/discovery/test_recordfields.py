from __future__ import annotations

from dataclasses import replace

import pytest

from discovery.ids import EventChannelId
from discovery.recordfields import record_fields, scope_fields
from discovery.spec import (
    EndpointSpec,
    EventChannelSpec,
    EventTransport,
    ModelSpec,
    NatsTransport,
    Spec,
    ZmqBrokerTransport,
    ZmqTransport,
)

ENDPOINT = EndpointSpec(
    namespace="ns",
    component="comp",
    endpoint="ep",
    transport={"tcp": "h:1"},
    device_type="cpu",
    request_plane_codec="json",
)
MODEL = ModelSpec(
    namespace="ns", component="comp", endpoint="ep", card={"display_name": "m"}, suffix="s"
)
CHANNEL = EventChannelSpec(
    namespace="ns", component="comp", topic="t", transport=ZmqTransport(endpoint="tcp://h:1")
)


@pytest.mark.parametrize(
    ("spec", "names"),
    [
        (
            ENDPOINT,
            (
                "type component endpoint namespace instance_id transport device_type "
                "request_plane_codec"
            ),
        ),
        (MODEL, "type namespace component endpoint instance_id card_json model_suffix"),
        (CHANNEL, "type namespace component topic instance_id transport"),
    ],
)
def test_the_fields_come_in_the_peers_order(spec: Spec, names: str) -> None:
    assert " ".join(record_fields(spec.instance(1), "a")) == names


def test_a_channel_of_generation_b_has_a_scope_instead_of_names() -> None:
    names = list(record_fields(CHANNEL.instance(1), "b"))
    assert names == ["type", "scope", "topic", "instance_id", "transport"]


@pytest.mark.parametrize(
    ("component", "endpoint", "scope"),
    [
        (None, None, {"kind": "namespace", "name": "ns"}),
        ("c", None, {"kind": "component", "namespace": "ns", "component": "c"}),
        (
            "c",
            "e",
            {"kind": "endpoint", "endpoint": {"namespace": "ns", "component": "c", "name": "e"}},
        ),
    ],
)
def test_a_scope_says_what_the_topic_belongs_to(
    component: str | None, endpoint: str | None, scope: object
) -> None:
    identity = EventChannelId(
        namespace="ns", topic="t", instance_id=1, component=component, endpoint=endpoint
    )
    assert scope_fields(identity) == scope


def test_options_that_are_not_given_are_left_out() -> None:
    plain = replace(ENDPOINT, device_type=None, request_plane_codec=None)
    assert list(record_fields(plain.instance(1), "a"))[-1] == "transport"
    assert list(record_fields(replace(MODEL, suffix=None).instance(1), "a"))[-1] == "card_json"


def test_unknown_fields_come_last_and_never_replace_known_ones() -> None:
    instance = replace(MODEL.instance(1), extra={"incarnation": 5, "namespace": "other"})
    fields = record_fields(instance, "a")
    assert list(fields)[-1] == "incarnation"
    assert fields["namespace"] == "ns"


@pytest.mark.parametrize(
    ("transport", "fields"),
    [
        (
            NatsTransport(subject_prefix="p"),
            {"kind": "Nats", "config": {"subject_prefix": "p"}},
        ),
        (
            ZmqTransport(endpoint="tcp://h:1"),
            {"kind": "Zmq", "config": {"endpoint": "tcp://h:1"}},
        ),
        (
            ZmqBrokerTransport(xsub_endpoints=("x",), xpub_endpoints=("y",)),
            {"kind": "ZmqBroker", "config": {"xsub_endpoints": ("x",), "xpub_endpoints": ("y",)}},
        ),
    ],
)
def test_an_event_transport_has_a_kind_and_a_config(
    transport: EventTransport, fields: object
) -> None:
    instance = replace(CHANNEL, transport=transport).instance(1)
    assert record_fields(instance, "a")["transport"] == fields
