from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from discovery.errors import InvalidArgumentError
from discovery.spec import (
    EndpointSpec,
    EventChannelSpec,
    Kind,
    ModelSpec,
    NatsTransport,
    ZmqBrokerTransport,
    ZmqTransport,
)

if TYPE_CHECKING:
    from collections.abc import Callable

ZMQ = ZmqTransport(endpoint="tcp://h:1")


def an_endpoint(**changes: Any) -> EndpointSpec:
    fields: dict[str, Any] = {
        "namespace": "ns",
        "component": "comp",
        "endpoint": "ep",
        "transport": {"tcp": "10.0.0.7:9000/generate"},
    }
    return EndpointSpec(**fields | changes)


def a_model(**changes: Any) -> ModelSpec:
    fields: dict[str, Any] = {
        "namespace": "ns",
        "component": "comp",
        "endpoint": "ep",
        "card": {"display_name": "m"},
    }
    return ModelSpec(**fields | changes)


def a_channel(**changes: Any) -> EventChannelSpec:
    fields: dict[str, Any] = {"namespace": "ns", "topic": "kv-events", "transport": ZMQ}
    return EventChannelSpec(**fields | changes)


@pytest.mark.parametrize(
    ("make", "changes", "words"),
    [
        (an_endpoint, {"namespace": ""}, "namespace '' is empty"),
        (an_endpoint, {"component": "a/b"}, "component 'a/b' contains '/'"),
        (an_endpoint, {"endpoint": None}, "endpoint must be a string, got None"),
        (an_endpoint, {"transport": {}}, "transport must have exactly one entry, nats_tcp or tcp"),
        (an_endpoint, {"transport": {"tcp": "a", "http": "b"}}, "transport must have exactly one"),
        (an_endpoint, {"transport": "tcp"}, "transport must have exactly one entry"),
        (an_endpoint, {"transport": {"udp": "a"}}, "transport 'udp' is unknown: expected nats_tcp"),
        (an_endpoint, {"transport": {"tcp": ""}}, "transport tcp must be a non-empty string"),
        (an_endpoint, {"transport": {"tcp": 7}}, "non-empty string, got 7"),
        (an_endpoint, {"transport": {"tcp": "\ud800"}}, "has a lone surrogate"),
        (an_endpoint, {"device_type": "tpu"}, "device_type 'tpu' is unknown: expected cpu or cuda"),
        (an_endpoint, {"device_type": []}, "device_type [] is unknown"),
        (an_endpoint, {"request_plane_codec": "xml"}, "expected json or msgpack, or None"),
        (a_model, {"namespace": "."}, "namespace '.' is a relative path"),
        (a_model, {"component": 7}, "component must be a string, got 7"),
        (a_model, {"endpoint": "\x00"}, "endpoint '\\x00' contains"),
        (a_model, {"suffix": ""}, "suffix '' is empty"),
        (a_model, {"card": None}, "card must be a mapping, got None"),
        (a_model, {"card": {"display_name": "m", "x": {1}}}, "card.x must be a JSON value"),
        (a_model, {"card": {}}, "failed to deserialize model display_name from card_json"),
        (a_channel, {"namespace": 1}, "namespace must be a string, got 1"),
        (a_channel, {"component": ""}, "component '' is empty"),
        (a_channel, {"component": "c", "endpoint": ""}, "endpoint '' is empty"),
        (a_channel, {"topic": "a/b"}, "topic 'a/b' contains '/'"),
        (a_channel, {"endpoint": "ep"}, "endpoint 'ep' needs a component"),
        (a_channel, {"transport": "tcp://h:1"}, "transport must be a NatsTransport, ZmqTransport"),
        (a_channel, {"transport": NatsTransport(subject_prefix="")}, "must have an address"),
        (a_channel, {"instance_id": -1}, "instance_id must be an integer from 0 to 2**64 - 1"),
    ],
)
def test_a_wrong_field_is_named_with_its_value_and_the_rule(
    make: Callable[..., object], changes: dict[str, object], words: str
) -> None:
    with pytest.raises(InvalidArgumentError, match=re.escape(words)):
        make(**changes)


@pytest.mark.parametrize("name", ["nats_tcp", "tcp", "http"])
def test_an_endpoint_has_one_of_three_transports(name: str) -> None:
    assert an_endpoint(transport={name: "x"}).transport == {name: "x"}


def test_an_endpoint_with_an_owner_is_an_instance() -> None:
    spec = an_endpoint(device_type="cuda", request_plane_codec="json")
    instance = spec.instance(7, revision=3)
    assert instance.id == spec.id(7)
    assert str(instance.id) == "endpoints/ns/comp/ep/7"
    assert (instance.transport, instance.device_type) == (spec.transport, "cuda")
    assert (instance.request_plane_codec, instance.revision) == ("json", 3)


def test_a_model_with_an_owner_is_an_instance() -> None:
    spec = a_model(suffix="lora")
    instance = spec.instance(7, revision=3)
    assert instance.id == spec.id(7)
    assert str(instance.id) == "models/ns/comp/ep/7/lora"
    assert (instance.card, instance.revision) == ({"display_name": "m"}, 3)


def test_a_channel_with_an_owner_is_an_instance() -> None:
    spec = a_channel(component="comp", endpoint="ep")
    instance = spec.instance(7, revision=3)
    assert instance.id == spec.id(7)
    assert str(instance.id) == "channels/ns/comp/ep/kv-events/7"
    assert (instance.transport, instance.revision) == (ZMQ, 3)


def test_a_channel_keeps_an_id_of_its_own() -> None:
    spec = a_channel(instance_id=9)
    assert spec.id(7).instance_id == spec.instance(7).instance_id == 9


@pytest.mark.parametrize("make", [an_endpoint, a_model, a_channel])
def test_the_owner_must_be_an_unsigned_64_bit_integer(make: Callable[..., Any]) -> None:
    for call in (make().id, make().instance):
        with pytest.raises(InvalidArgumentError, match="instance_id must be an integer"):
            call(2**64)


def test_the_kinds_are_those_of_the_instances() -> None:
    assert (an_endpoint().kind, a_model().kind, a_channel().kind) == (
        Kind.ENDPOINTS,
        Kind.MODELS,
        Kind.CHANNELS,
    )


def test_a_spec_does_not_change_with_the_callers_objects() -> None:
    transport = {"tcp": "h:1"}
    card: dict[str, Any] = {"display_name": "m", "needs": []}
    endpoint, model = an_endpoint(transport=transport), a_model(card=card)
    transport["tcp"] = "other"
    card["needs"].append("x")
    assert endpoint.transport == {"tcp": "h:1"}
    assert model.card == {"display_name": "m", "needs": []}


def test_a_model_can_be_made_from_an_object() -> None:
    @dataclass
    class Card:
        display_name: str

    spec = ModelSpec.from_card(
        Card("m"), namespace="ns", component="comp", endpoint="ep", suffix="s"
    )
    assert spec == a_model(suffix="s")


def test_a_channel_may_be_brokered() -> None:
    broker = ZmqBrokerTransport(xsub_endpoints=("tcp://b:1",), xpub_endpoints=("tcp://b:2",))
    assert a_channel(transport=broker).transport is broker
