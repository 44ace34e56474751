"""Where a record lies in the store: identity to key and back.

    v1/instances/{ns}/{comp}/{ep}/{id}
    v1/mdc/{ns}/{comp}/{ep}/{id}[/{suffix}]
    v1/event_channels/{ns}/{comp}/{topic}/{id}                                      generation a
    v1/event_channels/namespace/{ns}[/component/{c}[/endpoint/{e}]]/topic/{t}/{id}  generation b

Ids are hexadecimal, lower case, unpadded when written. The names of generation b are
percent-encoded. Source: spec/discovery.md §1.1.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, assert_never
from urllib.parse import unquote_to_bytes

from discovery.errors import InvalidArgumentError
from discovery.ids import EndpointId, EventChannelId, InstanceId, ModelId, parse_instance_id
from discovery.names import Generation, Kind, check_segment, shown

SESSION_PREFIX: Final = "session/"
PENDING_PREFIX: Final = "pending/"

_INSTANCES: Final = "v1/instances/"
_MODELS: Final = "v1/mdc/"
_CHANNELS: Final = "v1/event_channels/"
_BUCKETS: Final = {
    Kind.ENDPOINTS: _INSTANCES,
    Kind.MODELS: _MODELS,
    Kind.CHANNELS: _CHANNELS,
}

_ENCODED: Final = re.compile(rb"[^A-Za-z0-9_-]")
_BAD_ESCAPE: Final = re.compile("%(?![0-9A-Fa-f]{2})")
_NAMES: Final = 3
_SLASHES_WITH_SUFFIX: Final = 6  # in v1/mdc/ns/comp/ep/id/suffix
_SCOPE_WORDS: Final = ("namespace", "component", "endpoint")
_SCOPED_PARTS: Final = {4: 1, 6: 2, 8: 3}  # parts before a generation b id: names above the topic
_CACHED_PATHS: Final = 8192


def bucket_prefix(kind: Kind) -> str:
    """Return what all keys of `kind` start with, "v1/mdc/" for models."""
    return _BUCKETS[kind]


def endpoint_models_prefix(namespace: str, component: str, endpoint: str) -> str:
    """Return what the keys of all models on one endpoint start with."""
    return f"{_MODELS}{namespace}/{component}/{endpoint}/"


def session_key(instance_id: int) -> str:
    """Return the key under which the lease of `instance_id` keeps its state."""
    return f"{SESSION_PREFIX}{instance_id:x}"


def pending_key(key: str) -> str:
    """Return the key of a write to `key` that is not confirmed yet."""
    return f"{PENDING_PREFIX}{key}"


def format_key(identity: InstanceId, generation: Generation = "a") -> str:
    """Return the key of `identity`.

    Args:
        identity: what the record is about.
        generation: form of an event channel's key; the other kinds have one form.

    Raises:
        InvalidArgumentError: generation a has no key for this channel.
    """
    match identity:
        case EndpointId():
            return _INSTANCES + identity.to_path()
        case ModelId():
            return _MODELS + identity.to_path()
        case EventChannelId():
            if generation == "a":
                return _CHANNELS + identity.to_path()
            return _CHANNELS + _scoped_path(identity)
        case _:
            assert_never(identity)


def parse_key(key: str) -> InstanceId | None:
    """Return whose key this is; None for a key outside the three buckets.

    Both generations are read, and ids of either case and with zeros in front.

    Raises:
        InvalidArgumentError: the key is in a bucket, but names nothing.
    """
    try:
        if key.startswith(_INSTANCES):
            return _parse_endpoint(key)
        if key.startswith(_MODELS):
            return _parse_model(key)
        if key.startswith(_CHANNELS):
            return _parse_channel(key)
    except InvalidArgumentError as exc:
        raise InvalidArgumentError(f"Invalid key {shown(key)}: {exc}") from exc
    return None


def encode_segment(segment: str) -> str:
    """Return `segment` with every byte but ASCII letters, digits, "-" and "_" as %XX."""
    return _ENCODED.sub(lambda found: b"%%%02X" % found.group()[0], segment.encode()).decode()


def decode_segment(text: str) -> str:
    """Return the segment that `text` encodes; characters that need no escape may have one.

    Raises:
        InvalidArgumentError: an escape is broken, or the bytes are not UTF-8.
    """
    if _BAD_ESCAPE.search(text) is not None:
        raise InvalidArgumentError(f"segment {shown(text)} has a broken escape: expected %XX")
    try:
        return unquote_to_bytes(text).decode()
    except UnicodeError as exc:
        raise InvalidArgumentError(
            f"segment {shown(text)} is not text: expected UTF-8, percent-encoded ({exc})"
        ) from exc


def _parse_endpoint(key: str) -> EndpointId:
    above, _, instance_id = key.rpartition("/")
    namespace, component, endpoint = _endpoint_names(above)
    return EndpointId(
        namespace=namespace,
        component=component,
        endpoint=endpoint,
        instance_id=parse_instance_id(instance_id),
    )


def _parse_model(key: str) -> ModelId:
    suffix: str | None = None
    above, _, instance_id = key.rpartition("/")
    if key.count("/") == _SLASHES_WITH_SUFFIX:
        suffix = check_segment("suffix", instance_id)
        above, _, instance_id = above.rpartition("/")
    namespace, component, endpoint = _model_names(above)
    return ModelId(
        namespace=namespace,
        component=component,
        endpoint=endpoint,
        instance_id=parse_instance_id(instance_id),
        suffix=suffix,
    )


def _parse_channel(key: str) -> EventChannelId:
    above, _, instance_id = key.rpartition("/")
    namespace, component, endpoint, topic = _channel_names(above)
    return EventChannelId(
        namespace=namespace,
        topic=topic,
        instance_id=parse_instance_id(instance_id),
        component=component,
        endpoint=endpoint,
    )


# What comes before the instance id is the same in many keys: it is split, decoded and checked once,
# and the ids share its strings. Only readable names are kept, so an entry is at most 1 KiB or so.


@lru_cache(maxsize=_CACHED_PATHS)
def _endpoint_names(above: str) -> tuple[str, str, str]:
    return _three_names(above, _INSTANCES, "endpoint", "4")


@lru_cache(maxsize=_CACHED_PATHS)
def _model_names(above: str) -> tuple[str, str, str]:
    return _three_names(above, _MODELS, "endpoint", "4 or 5")


@lru_cache(maxsize=_CACHED_PATHS)
def _channel_names(above: str) -> tuple[str, str | None, str | None, str]:
    parts = above[len(_CHANNELS) :].split("/")
    if len(parts) not in _SCOPED_PARTS:
        namespace, component, topic = _three_names(above, _CHANNELS, "topic", "4, 5, 7 or 9")
        return namespace, component, None, topic
    words = (*_SCOPE_WORDS[: _SCOPED_PARTS[len(parts)]], "topic")
    if tuple(parts[::2]) != words:
        raise InvalidArgumentError(f"expected {'/…/'.join(words)}/…/id after {_CHANNELS}")
    names = {
        word: check_segment(word, decode_segment(text))
        for word, text in zip(words, parts[1::2], strict=True)
    }
    return names["namespace"], names.get("component"), names.get("endpoint"), names["topic"]


def _three_names(above: str, bucket: str, third: str, expected: str) -> tuple[str, str, str]:
    parts = above[len(bucket) :].split("/")
    if len(parts) != _NAMES:
        raise InvalidArgumentError(
            f"expected {expected} parts after {bucket}, got {len(parts) + above.startswith(bucket)}"
        )
    namespace, component, name = parts
    return (
        check_segment("namespace", namespace),
        check_segment("component", component),
        check_segment(third, name),
    )


def _scoped_path(identity: EventChannelId) -> str:
    *owners, topic = identity.path
    words = _SCOPE_WORDS[: len(owners)]
    pairs = [*zip(words, owners, strict=True), ("topic", topic)]
    scope = "/".join(f"{word}/{encode_segment(name)}" for word, name in pairs)
    return f"{scope}/{identity.instance_id:x}"
