from __future__ import annotations

from dataclasses import FrozenInstanceError, replace

import pytest

from discovery.errors import InvalidArgumentError
from discovery.eventtransport import ZmqTransport
from discovery.ids import EndpointId, EventChannelId, ModelId
from discovery.instance import EndpointInstance, EventChannelInstance, Instance, ModelInstance
from discovery.names import Kind

ENDPOINT = EndpointInstance(
    namespace="ns", component="comp", endpoint="ep", instance_id=1, transport={"tcp": "h:1"}
)
MODEL = ModelInstance(
    namespace="ns",
    component="comp",
    endpoint="ep",
    instance_id=1,
    card={"display_name": "m"},
    suffix="lora",
)
CHANNEL = EventChannelInstance(
    namespace="ns", topic="t", instance_id=1, transport=ZmqTransport(endpoint="tcp://h:1")
)
EVERY = pytest.mark.parametrize("instance", [ENDPOINT, MODEL, CHANNEL], ids=lambda i: i.kind)


def test_an_instance_has_an_id() -> None:
    assert ENDPOINT.id == EndpointId(namespace="ns", component="comp", endpoint="ep", instance_id=1)
    assert MODEL.id == ModelId(
        namespace="ns", component="comp", endpoint="ep", instance_id=1, suffix="lora"
    )
    assert CHANNEL.id == EventChannelId(namespace="ns", topic="t", instance_id=1)


@EVERY
def test_the_kind_is_that_of_the_id(instance: Instance) -> None:
    assert instance.kind is instance.id.kind
    assert instance.kind in Kind


@EVERY
def test_the_revision_is_no_part_of_the_comparison(instance: Instance) -> None:
    later = replace(instance, revision=9)
    assert later == instance
    assert hash(later) == hash(instance)
    assert (instance.revision, later.revision) == (0, 9)


@EVERY
def test_unknown_fields_are_part_of_the_comparison(instance: Instance) -> None:
    other = replace(instance, extra={"incarnation": 1})
    assert other != instance
    assert len({other, instance}) == 2


@EVERY
def test_an_instance_cannot_be_changed(instance: Instance) -> None:
    with pytest.raises(FrozenInstanceError):
        instance.namespace = "other"  # type: ignore[misc]  # on purpose


def test_a_model_tells_what_its_card_says() -> None:
    assert MODEL.display_name == "m"
    assert MODEL.is_lora
    assert not replace(MODEL, suffix=None).is_lora
    assert MODEL.card_as(dict) == {"display_name": "m"}


def test_a_card_without_a_name_has_no_display_name() -> None:
    with pytest.raises(InvalidArgumentError, match="failed to deserialize model display_name"):
        _ = replace(MODEL, card={}).display_name
