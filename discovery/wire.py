"""A record's bytes: instance to compact JSON and back.

Field order, names and tags are the peer's (spec/discovery.md §1.2, golden bytes in
tests/vectors/peer.json). Reading accepts what the peer accepts (§1.3) and, more than the peer,
refuses a record whose own identity is not the one that its key gives.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, assert_never

import orjson

from discovery.cards import display_name_of
from discovery.errors import InvalidArgumentError, RecordError
from discovery.eventtransport import NatsTransport, ZmqBrokerTransport, ZmqTransport
from discovery.ids import EndpointId, EventChannelId, InstanceId, ModelId
from discovery.instance import (
    DEVICE_TYPES,
    ENDPOINT_TRANSPORTS,
    REQUEST_PLANE_CODECS,
    EndpointInstance,
    EventChannelInstance,
    Instance,
    ModelInstance,
)
from discovery.jsonvalue import MAX_JSON_DEPTH, json_depth_is_within
from discovery.keys import parse_key
from discovery.names import shown
from discovery.recordfields import record_fields, scope_fields

if TYPE_CHECKING:
    from collections.abc import Mapping

    from discovery.eventtransport import EventTransport
    from discovery.names import Generation

_MAX_DEPTH: Final = MAX_JSON_DEPTH + 1  # a card is one level down


def encode_record(instance: Instance, generation: Generation = "a") -> bytes:
    """Return the record of `instance`, its unknown fields after the known ones.

    Args:
        instance: what is registered.
        generation: form of an event channel's record; the other kinds have one form.

    Raises:
        InvalidArgumentError: generation a has no record for this channel, or a value is not JSON.
    """
    fields = record_fields(instance, generation)
    try:
        return encode_object(fields)
    except orjson.JSONEncodeError as exc:
        raise InvalidArgumentError(
            f"record {shown(str(instance.id))} cannot be written: expected JSON values ({exc})"
        ) from exc


def encode_object(value: Mapping[str, object]) -> bytes:
    """Return `value` as compact JSON."""
    # A copy of its own size: what orjson gives may hold 4 KiB for 250 bytes.
    return bytes(bytearray(orjson.dumps(value)))


def decode_record(key: str, value: bytes, *, revision: int = 0) -> Instance:
    """Return the instance that `value` describes.

    Args:
        key: where the value lies; says who it must be about.
        value: the record.
        revision: the store's revision of the record, for the instance.

    Raises:
        RecordError: key or value cannot be read, or they are about different things.
    """
    try:
        return _instance_of(parse_key(key), decode_object(value), revision)
    except InvalidArgumentError as exc:
        raise RecordError(f"record {shown(key)}: {exc}") from exc


def decode_object(value: bytes) -> dict[str, Any]:
    """Return the JSON object that `value` is. Raises `InvalidArgumentError` for anything else."""
    try:
        record = orjson.loads(value)
    except orjson.JSONDecodeError as exc:
        raise InvalidArgumentError(f"value {shown(value)} is not JSON: {exc}") from exc
    if not isinstance(record, dict):
        raise InvalidArgumentError(f"value must be a JSON object, got {shown(record)}")
    brackets = value.count(b"{") + value.count(b"[")  # bounds the depth, and is quick to count
    if brackets > _MAX_DEPTH and not json_depth_is_within(record, _MAX_DEPTH):
        raise InvalidArgumentError(
            f"value is nested too deep: expected at most {_MAX_DEPTH} levels"
        )
    return record


def _instance_of(identity: InstanceId | None, record: dict[str, Any], revision: int) -> Instance:
    match identity:
        case EndpointId():
            return _endpoint_of(identity, record, revision)
        case ModelId():
            return _model_of(identity, record, revision)
        case EventChannelId():
            return _channel_of(identity, record, revision)
        case None:
            raise InvalidArgumentError("key is in no bucket of records: expected v1/instances/…")
        case _:
            assert_never(identity)


# Reading takes the known fields out of the parsed object; what is left is `extra`.


def _endpoint_of(identity: EndpointId, record: dict[str, Any], revision: int) -> EndpointInstance:
    _take_identity(record, "Endpoint", identity)
    return EndpointInstance(
        namespace=identity.namespace,
        component=identity.component,
        endpoint=identity.endpoint,
        instance_id=identity.instance_id,
        transport=_endpoint_transport(record.pop("transport", None)),
        device_type=_take_choice(record, "device_type", DEVICE_TYPES),
        request_plane_codec=_take_choice(record, "request_plane_codec", REQUEST_PLANE_CODECS),
        extra=record,
        revision=revision,
    )


def _model_of(identity: ModelId, record: dict[str, Any], revision: int) -> ModelInstance:
    _take_identity(record, "Model", identity)
    if not record.get("model_suffix", ""):  # the peer's empty suffix has no place in a key
        record["model_suffix"] = None
    _take_equal(record, "model_suffix", identity.suffix)
    card = record.pop("card_json", None)
    if type(card) is not dict:
        raise InvalidArgumentError(f"card_json must be an object, got {shown(card)}")
    display_name_of(card)
    return ModelInstance(
        namespace=identity.namespace,
        component=identity.component,
        endpoint=identity.endpoint,
        instance_id=identity.instance_id,
        card=card,
        suffix=identity.suffix,
        extra=record,
        revision=revision,
    )


def _channel_of(
    identity: EventChannelId, record: dict[str, Any], revision: int
) -> EventChannelInstance:
    _take_equal(record, "type", "EventChannel")
    generation: Generation = "b" if "scope" in record else "a"
    _take_owner(record, identity)
    _take_equal(record, "topic", identity.topic)
    _take_equal(record, "instance_id", identity.instance_id)
    return EventChannelInstance(
        namespace=identity.namespace,
        topic=identity.topic,
        instance_id=identity.instance_id,
        transport=_event_transport(record.pop("transport", None)),
        component=identity.component,
        endpoint=identity.endpoint,
        extra=record,
        revision=revision,
        generation=generation,
    )


def _take_identity(record: dict[str, Any], kind: str, identity: EndpointId | ModelId) -> None:
    found = (
        record.pop("type", None),
        record.pop("namespace", None),
        record.pop("component", None),
        record.pop("endpoint", None),
        record.pop("instance_id", None),
    )
    expected = (kind, *identity.path, identity.instance_id)
    if found == expected and type(found[4]) is int:  # 1.0 and True equal 1
        return
    names = ("type", "namespace", "component", "endpoint", "instance_id")
    raise next(
        _wrong(name, there, wanted)
        for name, there, wanted in zip(names, found, expected, strict=True)
        if there != wanted or type(there) is not type(wanted)
    )


def _take_equal(record: dict[str, Any], field: str, expected: object) -> None:
    found = record.pop(field, None)
    if found != expected or type(found) is not type(expected):
        raise _wrong(field, found, expected)


def _wrong(field: str, found: object, expected: object) -> InvalidArgumentError:
    return InvalidArgumentError(f"{field} {shown(found)} is wrong: the key asks for {expected!r}")


def _take_choice(record: dict[str, Any], field: str, choices: tuple[str, ...]) -> str | None:
    found = record.pop(field, None)
    if found is not None and found not in choices:
        raise InvalidArgumentError(
            f"{field} {shown(found)} is unknown: expected {' or '.join(choices)}"
        )
    return found  # type: ignore[no-any-return]  # a choice, so a string


def _take_owner(record: dict[str, Any], identity: EventChannelId) -> None:
    """Take out `scope` (generation b), or `namespace` and `component` (generation a)."""
    scope = record.pop("scope", None)
    if scope is None:
        if identity.component is None or identity.endpoint is not None:
            raise InvalidArgumentError(
                f"scope is missing: the key asks for {scope_fields(identity)}"
            )
        _take_equal(record, "namespace", identity.namespace)
        _take_equal(record, "component", identity.component)
        return
    wanted = scope_fields(identity)
    if scope != wanted and not _includes(scope, wanted):
        raise InvalidArgumentError(f"scope {shown(scope)} is wrong: the key asks for {wanted}")


def _includes(found: object, expected: Mapping[str, Any]) -> bool:
    return isinstance(found, dict) and all(
        _includes(found.get(name), value) if isinstance(value, dict) else found.get(name) == value
        for name, value in expected.items()
    )


def _endpoint_transport(found: object) -> dict[str, str]:
    if type(found) is dict and len(found) == 1:
        ((name, address),) = found.items()
        if name in ENDPOINT_TRANSPORTS and type(address) is str:
            return found
    raise InvalidArgumentError(
        f"transport {shown(found)} is wrong: expected one string, under "
        f"{' or '.join(ENDPOINT_TRANSPORTS)}"
    )


def _event_transport(found: object) -> EventTransport:
    if isinstance(found, dict) and isinstance(found.get("config"), dict):
        config = found["config"]
        match found.get("kind"):
            case "Nats":
                return NatsTransport(subject_prefix=config.get("subject_prefix"))
            case "Zmq":
                return ZmqTransport(endpoint=config.get("endpoint"))
            case "ZmqBroker":
                return ZmqBrokerTransport(
                    xsub_endpoints=config.get("xsub_endpoints"),
                    xpub_endpoints=config.get("xpub_endpoints"),
                )
            case _:
                pass
    raise InvalidArgumentError(
        f"transport {shown(found)} is wrong: expected a kind, Nats, Zmq or ZmqBroker, and a config"
    )
