"""Specs as maps of a `register` request, and back. Sans-I/O."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never, cast

from discovery.errors import InvalidArgumentError
from discovery.eventtransport import NatsTransport, ZmqBrokerTransport, ZmqTransport
from discovery.fields import Fields, read_text
from discovery.names import Kind, shown
from discovery.spec import EndpointSpec, EventChannelSpec, ModelSpec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from discovery.eventtransport import EventTransport
    from discovery.jsonvalue import Json
    from discovery.spec import Spec


def spec_to_wire(spec: Spec) -> dict[str, object]:
    """Return the map that `spec_from_wire` reads."""
    levels: dict[str, object] = {"kind": spec.kind.value, "namespace": spec.namespace}
    match spec:
        case EndpointSpec():
            return levels | {
                "component": spec.component,
                "endpoint": spec.endpoint,
                "transport": dict(spec.transport),
                "device_type": spec.device_type,
                "request_plane_codec": spec.request_plane_codec,
            }
        case ModelSpec():
            return levels | {
                "component": spec.component,
                "endpoint": spec.endpoint,
                "card": spec.card,
                "suffix": spec.suffix,
            }
        case EventChannelSpec():
            return levels | {
                "component": spec.component,
                "endpoint": spec.endpoint,
                "topic": spec.topic,
                "transport": _transport_to_wire(spec.transport),
                "instance_id": spec.instance_id,
            }
        case _:
            assert_never(spec)


def spec_from_wire(where: str, value: object) -> Spec:
    """Return the spec of a map. Raises `InvalidArgumentError` naming the field that is wrong."""
    fields = Fields(where, value)
    kind = fields.text("kind")
    match kind:
        case Kind.ENDPOINTS:
            spec: Spec = EndpointSpec(
                namespace=fields.text("namespace"),
                component=fields.text("component"),
                endpoint=fields.text("endpoint"),
                transport=cast("Mapping[str, str]", fields.raw("transport")),  # the spec checks
                device_type=fields.optional_text("device_type"),
                request_plane_codec=fields.optional_text("request_plane_codec"),
            )
        case Kind.MODELS:
            spec = ModelSpec(
                namespace=fields.text("namespace"),
                component=fields.text("component"),
                endpoint=fields.text("endpoint"),
                card=cast("Mapping[str, Json]", fields.raw("card")),  # the spec checks
                suffix=fields.optional_text("suffix"),
            )
        case Kind.CHANNELS:
            spec = EventChannelSpec(
                namespace=fields.text("namespace"),
                topic=fields.text("topic"),
                transport=_transport_from_wire(f"{where}.transport", fields.map("transport")),
                component=fields.optional_text("component"),
                endpoint=fields.optional_text("endpoint"),
                instance_id=fields.optional_integer("instance_id"),
            )
        case _:
            raise InvalidArgumentError(
                f"{where}.kind: expected {[*map(str, Kind)]}, got {shown(kind)}"
            )
    fields.done()
    return spec


def _transport_to_wire(transport: EventTransport) -> dict[str, object]:
    match transport:
        case NatsTransport():
            return {"kind": "Nats", "subject_prefix": transport.subject_prefix}
        case ZmqTransport():
            return {"kind": "Zmq", "endpoint": transport.endpoint}
        case ZmqBrokerTransport():
            return {
                "kind": "ZmqBroker",
                "xsub_endpoints": list(transport.xsub_endpoints),
                "xpub_endpoints": list(transport.xpub_endpoints),
            }
        case _:
            assert_never(transport)


def _transport_from_wire(where: str, fields: Fields) -> EventTransport:
    kind = fields.text("kind")
    match kind:
        case "Nats":
            transport: EventTransport = NatsTransport(subject_prefix=fields.text("subject_prefix"))
        case "Zmq":
            transport = ZmqTransport(endpoint=fields.text("endpoint"))
        case "ZmqBroker":
            transport = ZmqBrokerTransport(
                xsub_endpoints=tuple(fields.items("xsub_endpoints", read_text)),
                xpub_endpoints=tuple(fields.items("xpub_endpoints", read_text)),
            )
        case _:
            raise InvalidArgumentError(
                f"{where}.kind: expected Nats, Zmq or ZmqBroker, got {shown(kind)}"
            )
    fields.done()
    return transport
