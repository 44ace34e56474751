from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import given

from discovery.errors import InvalidArgumentError
from discovery.ids import (
    EndpointId,
    EventChannelId,
    InstanceId,
    ModelId,
    extract_endpoint_id,
    extract_event_channel_id,
    extract_model_id,
    parse_id,
    parse_instance_id,
)
from discovery.names import Kind
from tests.discovery.strategies import CHANNEL_IDS, COMPONENT_CHANNEL_IDS, ENDPOINT_IDS, MODEL_IDS

if TYPE_CHECKING:
    from collections.abc import Callable

ENDPOINT = EndpointId(namespace="ns", component="comp", endpoint="ep", instance_id=0x1A2B)
MODEL = ModelId(namespace="ns", component="comp", endpoint="ep", instance_id=0x1A2B)
LORA = ModelId(namespace="ns", component="comp", endpoint="ep", instance_id=0x1A2B, suffix="lora")
OF_NAMESPACE = EventChannelId(namespace="ns", topic="t", instance_id=0x1A2B)
OF_COMPONENT = EventChannelId(namespace="ns", component="comp", topic="t", instance_id=0x1A2B)
OF_ENDPOINT = EventChannelId(
    namespace="ns", component="comp", endpoint="ep", topic="t", instance_id=0x1A2B
)


@pytest.mark.parametrize(
    ("identity", "text", "scope"),
    [
        (ENDPOINT, "endpoints/ns/comp/ep/1a2b", ("endpoints", "ns", "comp", "ep")),
        (MODEL, "models/ns/comp/ep/1a2b", ("models", "ns", "comp", "ep")),
        (LORA, "models/ns/comp/ep/1a2b/lora", ("models", "ns", "comp", "ep")),
        (OF_NAMESPACE, "channels/ns/t/1a2b", ("channels", "ns", "t")),
        (OF_COMPONENT, "channels/ns/comp/t/1a2b", ("channels", "ns", "comp", "t")),
        (OF_ENDPOINT, "channels/ns/comp/ep/t/1a2b", ("channels", "ns", "comp", "ep")),
    ],
)
def test_an_id_has_a_text_form_and_a_scope(
    identity: InstanceId, text: str, scope: tuple[str, ...]
) -> None:
    assert str(identity) == text
    assert parse_id(text) == identity
    assert identity.scope == scope
    assert identity.scope == (identity.kind.value, *identity.path[:3])


@given(ENDPOINT_IDS | MODEL_IDS | CHANNEL_IDS)
def test_the_text_form_gives_the_id_back(identity: InstanceId) -> None:
    assert parse_id(str(identity)) == identity
    assert hash(parse_id(str(identity))) == hash(identity)


@given(ENDPOINT_IDS)
def test_the_path_of_an_endpoint_gives_the_id_back(identity: EndpointId) -> None:
    assert EndpointId.from_path(identity.to_path()) == identity


@given(MODEL_IDS)
def test_the_path_of_a_model_gives_the_id_back(identity: ModelId) -> None:
    assert ModelId.from_path(identity.to_path()) == identity


@given(COMPONENT_CHANNEL_IDS)
def test_the_path_of_a_channel_gives_the_id_back(identity: EventChannelId) -> None:
    assert EventChannelId.from_path(identity.to_path()) == identity


def test_the_kind_belongs_to_the_class() -> None:
    assert (ENDPOINT.kind, MODEL.kind, OF_COMPONENT.kind) == (
        Kind.ENDPOINTS,
        Kind.MODELS,
        Kind.CHANNELS,
    )


def test_ids_of_different_kinds_are_different() -> None:
    assert len({ENDPOINT, MODEL, LORA, OF_NAMESPACE, OF_COMPONENT, OF_ENDPOINT}) == 6


def test_a_bare_slash_at_the_end_means_no_suffix() -> None:
    assert ModelId.from_path("ns/comp/ep/1a2b/") == MODEL


@pytest.mark.parametrize("identity", [OF_NAMESPACE, OF_ENDPOINT], ids=str)
def test_only_a_component_channel_has_a_path(identity: EventChannelId) -> None:
    with pytest.raises(InvalidArgumentError, match="expected a component and no endpoint"):
        identity.to_path()


@pytest.mark.parametrize(
    ("parse", "path", "message"),
    [
        (
            EndpointId.from_path,
            "ns/comp/1",
            "Invalid EndpointInstanceId path: expected 4 parts, got 3",
        ),
        (
            EndpointId.from_path,
            "ns/comp/ep/1/extra",
            "Invalid EndpointInstanceId path: expected 4 parts, got 5",
        ),
        (
            ModelId.from_path,
            "ns/comp/1",
            "Invalid ModelCardInstanceId path: expected 4 or 5 parts, got 3",
        ),
        (
            ModelId.from_path,
            "ns/comp/ep/1/s/x",
            "Invalid ModelCardInstanceId path: expected 4 or 5 parts, got 6",
        ),
        (
            EventChannelId.from_path,
            "1",
            "Invalid EventChannelInstanceId path: expected 4 parts, got 1",
        ),
    ],
)
def test_a_path_of_another_length_is_refused_in_the_peers_words(
    parse: Callable[[str], InstanceId], path: str, message: str
) -> None:
    with pytest.raises(InvalidArgumentError, match=f"^{re.escape(message)}$"):
        parse(path)


@pytest.mark.parametrize("text", ["d", "0D", "D", "000000000000000000000d"])
def test_hexadecimal_ids_are_read_in_either_case_and_padded(text: str) -> None:
    assert parse_instance_id(text) == 13


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "cannot parse integer from empty string"),
        ("0x1a", "invalid digit found in string"),
        ("1_0", "invalid digit found in string"),
        (" 1", "invalid digit found in string"),
        ("1\n", "invalid digit found in string"),
        ("+1", "invalid digit found in string"),
        ("-1", "invalid digit found in string"),
        ("\u0661", "invalid digit found in string"),
        ("10000000000000000", "number too large to fit in target type"),
    ],
)
def test_other_ids_are_refused_in_the_peers_words(text: str, words: str) -> None:
    with pytest.raises(InvalidArgumentError, match=f"^Invalid instance_id hex: {words}: '"):
        parse_instance_id(text)


def test_the_largest_id_is_read() -> None:
    assert parse_instance_id("ffffffffffffffff") == 2**64 - 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "expected endpoints/…, models/… or channels/…"),
        ("things/ns/comp/ep/1", "expected endpoints/…, models/… or channels/…"),
        ("endpoints/ns/comp/ep", "expected 4 parts, got 3"),
        ("models/ns", "expected 4 or 5 parts, got 1"),
        ("channels/t/1", "Invalid EventChannelId path: expected 3, 4 or 5 parts, got 2"),
        ("channels/a/b/c/d/t/1", "expected 3, 4 or 5 parts, got 6"),
        ("endpoints/ns//ep/1", "component '' is empty"),
        ("models/ns/comp/../1", "endpoint '..' is a relative path"),
        ("channels/ns/comp//1", "topic '' is empty"),
        ("channels/ns/comp//t/1", "endpoint '' is empty"),
        ("channels/ns//t/1", "component '' is empty"),
        ("channels//t/1", "namespace '' is empty"),
        ("endpoints/ns/comp/ep/xyz", "Invalid instance_id hex"),
    ],
)
def test_other_texts_are_no_ids(text: str, words: str) -> None:
    with pytest.raises(InvalidArgumentError, match=re.escape(words)):
        parse_id(text)


def test_an_id_can_be_taken_as_what_it_is() -> None:
    assert extract_endpoint_id(ENDPOINT) is ENDPOINT
    assert extract_model_id(MODEL) is MODEL
    assert extract_event_channel_id(OF_COMPONENT) is OF_COMPONENT


@pytest.mark.parametrize(
    ("extract", "identity", "message"),
    [
        (extract_endpoint_id, MODEL, "Expected Endpoint variant, got Model"),
        (extract_endpoint_id, OF_COMPONENT, "Expected Endpoint variant, got EventChannel"),
        (extract_model_id, ENDPOINT, "Expected Model variant, got Endpoint"),
        (extract_model_id, OF_COMPONENT, "Expected Model variant, got EventChannel"),
        (extract_event_channel_id, ENDPOINT, "Expected EventChannel variant, got Endpoint"),
        (extract_event_channel_id, MODEL, "Expected EventChannel variant, got Model"),
    ],
)
def test_an_id_taken_as_another_kind_is_refused_in_the_peers_words(
    extract: Callable[[InstanceId], InstanceId], identity: InstanceId, message: str
) -> None:
    with pytest.raises(InvalidArgumentError, match=f"^{message}$"):
        extract(identity)
