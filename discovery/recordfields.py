"""A record's fields, in the peer's order, names and tags (spec/discovery.md §1.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, assert_never

from discovery.eventtransport import NatsTransport, ZmqBrokerTransport, ZmqTransport
from discovery.instance import EndpointInstance, EventChannelInstance, Instance, ModelInstance

if TYPE_CHECKING:
    from discovery.eventtransport import EventTransport
    from discovery.ids import EventChannelId
    from discovery.names import Generation


def record_fields(instance: Instance, generation: Generation) -> dict[str, Any]:
    """Return what to write for `instance`, its unknown fields after the known ones.

    Args:
        instance: what is registered.
        generation: form of an event channel's record; the other kinds have one form.

    Raises:
        InvalidArgumentError: generation a has no record for this channel.
    """
    match instance:
        case EndpointInstance():
            fields = _endpoint_fields(instance)
        case ModelInstance():
            fields = _model_fields(instance)
        case EventChannelInstance():
            fields = _channel_fields(instance, generation)
        case _:
            assert_never(instance)
    for name, value in instance.extra.items():
        fields.setdefault(name, value)
    return fields


def scope_fields(identity: EventChannelId) -> dict[str, Any]:
    """Return the generation b form of the part of a channel's identity above the topic."""
    if identity.component is None:
        return {"kind": "namespace", "name": identity.namespace}
    if identity.endpoint is None:
        return {
            "kind": "component",
            "namespace": identity.namespace,
            "component": identity.component,
        }
    names = {
        "namespace": identity.namespace,
        "component": identity.component,
        "name": identity.endpoint,
    }
    return {"kind": "endpoint", "endpoint": names}


def _endpoint_fields(instance: EndpointInstance) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "type": "Endpoint",
        "component": instance.component,
        "endpoint": instance.endpoint,
        "namespace": instance.namespace,
        "instance_id": instance.instance_id,
        "transport": instance.transport,
    }
    if instance.device_type is not None:
        fields["device_type"] = instance.device_type
    if instance.request_plane_codec is not None:
        fields["request_plane_codec"] = instance.request_plane_codec
    return fields


def _model_fields(instance: ModelInstance) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "type": "Model",
        "namespace": instance.namespace,
        "component": instance.component,
        "endpoint": instance.endpoint,
        "instance_id": instance.instance_id,
        "card_json": instance.card,
    }
    if instance.suffix is not None:
        fields["model_suffix"] = instance.suffix
    return fields


def _channel_fields(instance: EventChannelInstance, generation: Generation) -> dict[str, Any]:
    if generation == "a":
        instance.id.to_path()  # raises when generation a cannot express it
        owner: dict[str, Any] = {
            "namespace": instance.namespace,
            "component": instance.component,
        }
    else:
        owner = {"scope": scope_fields(instance.id)}
    return {
        "type": "EventChannel",
        **owner,
        "topic": instance.topic,
        "instance_id": instance.instance_id,
        "transport": _event_transport_fields(instance.transport),
    }


def _event_transport_fields(transport: EventTransport) -> dict[str, Any]:
    match transport:
        case NatsTransport():
            return {"kind": "Nats", "config": {"subject_prefix": transport.subject_prefix}}
        case ZmqTransport():
            return {"kind": "Zmq", "config": {"endpoint": transport.endpoint}}
        case ZmqBrokerTransport():
            config = {
                "xsub_endpoints": transport.xsub_endpoints,
                "xpub_endpoints": transport.xpub_endpoints,
            }
            return {"kind": "ZmqBroker", "config": config}
        case _:
            assert_never(transport)
