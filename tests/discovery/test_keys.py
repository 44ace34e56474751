from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discovery.errors import InvalidArgumentError
from discovery.ids import EndpointId, EventChannelId, InstanceId, ModelId, parse_id
from discovery.keys import (
    PENDING_PREFIX,
    SESSION_PREFIX,
    bucket_prefix,
    decode_segment,
    encode_segment,
    endpoint_models_prefix,
    format_key,
    parse_key,
    pending_key,
    session_key,
)
from discovery.names import Generation, Kind
from tests.discovery.strategies import (
    CHANNEL_IDS,
    COMPONENT_CHANNEL_IDS,
    ENDPOINT_IDS,
    MODEL_IDS,
    SEGMENTS,
)

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "peer.json").read_text("utf-8"))
# A file's name is its key, percent-encoded once more (spec/discovery.md §1.1, file store).
FILE_KEYS = [unquote(file["path"]) for file in VECTORS["files"]]
KEYS = [key for key in FILE_KEYS if "event_sources" not in key]

IDS: SearchStrategy[InstanceId] = st.one_of(ENDPOINT_IDS, MODEL_IDS, CHANNEL_IDS)


@pytest.mark.parametrize("key", KEYS)
def test_the_peers_keys_are_read_and_written(key: str) -> None:
    identity = parse_key(key)
    assert identity is not None
    assert format_key(identity, "b") == key


@pytest.mark.parametrize(
    ("identity", "generation", "key"),
    [
        ("endpoints/ns/comp/ep/1a2b", "a", "v1/instances/ns/comp/ep/1a2b"),
        ("endpoints/ns/comp/ep/1a2b", "b", "v1/instances/ns/comp/ep/1a2b"),
        ("models/ns/comp/ep/1a2b", "a", "v1/mdc/ns/comp/ep/1a2b"),
        ("models/ns/comp/ep/1a2b/lora", "b", "v1/mdc/ns/comp/ep/1a2b/lora"),
        ("channels/ns/comp/t/1a2b", "a", "v1/event_channels/ns/comp/t/1a2b"),
        ("channels/n.s/t/1", "b", "v1/event_channels/namespace/n%2Es/topic/t/1"),
        ("channels/ns/c/t/1", "b", "v1/event_channels/namespace/ns/component/c/topic/t/1"),
        (
            "channels/ns/c/e/t/1",
            "b",
            "v1/event_channels/namespace/ns/component/c/endpoint/e/topic/t/1",
        ),
    ],
)
def test_a_key_is_the_bucket_and_the_names(identity: str, generation: Generation, key: str) -> None:
    assert format_key(parse_id(identity), generation) == key
    assert parse_key(key) == parse_id(identity)


@given(ENDPOINT_IDS | MODEL_IDS | COMPONENT_CHANNEL_IDS)
def test_a_key_of_generation_a_gives_the_id_back(identity: InstanceId) -> None:
    assert parse_key(format_key(identity)) == identity


@given(IDS)
def test_a_key_of_generation_b_gives_the_id_back(identity: InstanceId) -> None:
    key = format_key(identity, "b")
    assert parse_key(key) == identity
    assert key.startswith(bucket_prefix(identity.kind))


@given(SEGMENTS)
def test_a_segment_comes_back_from_its_encoding(segment: str) -> None:
    encoded = encode_segment(segment)
    assert decode_segment(encoded) == segment
    assert re.fullmatch("(?:[A-Za-z0-9_-]|%[0-9A-F]{2})*", encoded)


@given(st.text(max_size=60))
def test_a_key_is_read_refused_or_foreign(tail: str) -> None:
    for bucket in ("v1/instances/", "v1/mdc/", "v1/event_channels/"):
        try:
            assert parse_key(bucket + tail) is not None
        except InvalidArgumentError as exc:
            assert str(exc).startswith(("Invalid key 'v1/", 'Invalid key "v1/'))  # noqa: PT017 - either is right


@pytest.mark.parametrize("scope", ["channels/ns/t/1", "channels/ns/c/e/t/1"])
def test_generation_a_writes_channels_of_components_only(scope: str) -> None:
    with pytest.raises(InvalidArgumentError, match="expected a component and no endpoint"):
        format_key(parse_id(scope), "a")


def test_ids_are_read_in_upper_case_and_padded() -> None:
    assert parse_key("v1/instances/ns/comp/ep/0D") == EndpointId(
        namespace="ns", component="comp", endpoint="ep", instance_id=13
    )
    assert parse_key("v1/mdc/ns/comp/ep/0D/s") == ModelId(
        namespace="ns", component="comp", endpoint="ep", instance_id=13, suffix="s"
    )


def test_a_namespace_may_be_called_namespace() -> None:
    assert parse_key("v1/event_channels/namespace/ns/topic/1") == EventChannelId(
        namespace="namespace", component="ns", topic="topic", instance_id=1
    )


@pytest.mark.parametrize(
    "key",
    [
        "",
        "session/1a2b",
        "pending/v1/mdc/ns/comp/ep/1",
        "v1/instances",
        "v1/instances2/ns/comp/ep/1",
        "v1/claims/x",
        "foreign",
        *(key for key in FILE_KEYS if "event_sources" in key),
    ],
)
def test_keys_outside_the_buckets_are_foreign(key: str) -> None:
    assert parse_key(key) is None


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("v1/instances/", "expected 4 parts after v1/instances/, got 1"),
        ("v1/instances/ns/comp/1", "expected 4 parts after v1/instances/, got 3"),
        ("v1/instances/ns/comp/ep/10/extra", "expected 4 parts after v1/instances/, got 5"),
        ("v1/instances/ns//ep/10", "component '' is empty"),
        ("v1/instances/ns/comp/ep/xyz", "Invalid instance_id hex: invalid digit"),
        ("v1/instances/ns/comp/ep/10000000000000000", "number too large"),
        ("v1/mdc/x", "expected 4 or 5 parts after v1/mdc/, got 1"),
        ("v1/mdc/ns/comp/ep", "expected 4 or 5 parts after v1/mdc/, got 3"),
        ("v1/mdc/ns/comp/ep/1/s/x", "expected 4 or 5 parts after v1/mdc/, got 6"),
        ("v1/mdc/ns/comp/ep/1/", "suffix '' is empty"),
        ("v1/event_channels/ns/topic/1", "expected 4, 5, 7 or 9 parts after"),
        ("v1/event_channels/a/b/c/d/e/1", "got 6"),
        ("v1/event_channels/ns/../t/1", "component '..' is a relative path"),
        ("v1/event_channels/namespace/ns/subject/t/1", "expected namespace/…/topic/…/id after"),
        (
            "v1/event_channels/namespace/ns/endpoint/e/topic/t/1",
            "expected namespace/…/component/…/topic/…/id after",
        ),
        ("v1/event_channels/namespace/n%2Fs/topic/t/1", "namespace 'n/s' contains '/'"),
        ("v1/event_channels/namespace/n%2/topic/t/1", "segment 'n%2' has a broken escape"),
        ("v1/event_channels/namespace/%FF/topic/t/1", "segment '%FF' is not text"),
        ("v1/event_channels/namespace/ns/topic/t/", "cannot parse integer from empty string"),
        ("v1/event_channels/namespace/\ud800/topic/t/1", "is not text"),
    ],
)
def test_an_unreadable_key_is_refused_with_the_reason(key: str, words: str) -> None:
    with pytest.raises(InvalidArgumentError, match=re.escape(words)) as caught:
        parse_key(key)
    assert str(caught.value).startswith(f"Invalid key {key!r}: ")


@pytest.mark.parametrize(
    ("segment", "encoded"),
    [
        ("ns.one", "ns%2Eone"),
        ("kv_metrics-2", "kv_metrics-2"),
        ("a b%", "a%20b%25"),
        ("ü~", "%C3%BC%7E"),
    ],
)
def test_every_byte_but_letters_digits_dash_and_underscore_is_encoded(
    segment: str, encoded: str
) -> None:
    assert encode_segment(segment) == encoded


def test_escapes_are_read_in_lower_case_and_where_none_is_needed() -> None:
    assert decode_segment("%c3%bc%61.b") == "üa.b"


def test_the_buckets_are_the_peers() -> None:
    assert [bucket_prefix(kind) for kind in Kind] == [
        "v1/instances/",
        "v1/mdc/",
        "v1/event_channels/",
    ]


def test_the_models_of_an_endpoint_share_a_prefix() -> None:
    prefix = endpoint_models_prefix("ns", "comp", "ep")
    assert prefix == "v1/mdc/ns/comp/ep/"
    assert format_key(parse_id("models/ns/comp/ep/1/s")).startswith(prefix)
    assert not format_key(parse_id("models/ns/comp/ep2/1")).startswith(prefix)


def test_sessions_and_pending_writes_have_keys_of_their_own() -> None:
    assert session_key(0x1A2B) == "session/1a2b" == f"{SESSION_PREFIX}1a2b"
    assert pending_key("v1/mdc/x") == "pending/v1/mdc/x" == f"{PENDING_PREFIX}v1/mdc/x"
