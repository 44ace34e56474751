"""What a caller asks to register, checked when it is made.

Every wrong field raises InvalidArgumentError, which names the field, its value and what was
expected. Mappings are copied, so a spec cannot change under the registration it is kept for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, TypeAlias

from discovery import cards
from discovery.errors import InvalidArgumentError
from discovery.eventtransport import (
    EventCodecKind,
    EventTransport,
    EventTransportKind,
    NatsTransport,
    ZmqBrokerTransport,
    ZmqTransport,
)
from discovery.ids import EndpointId, EventChannelId, ModelId
from discovery.instance import (
    DEVICE_TYPES,
    ENDPOINT_TRANSPORTS,
    REQUEST_PLANE_CODECS,
    EndpointInstance,
    EventChannelInstance,
    ModelInstance,
)
from discovery.jsonvalue import json_copy
from discovery.names import Generation, Kind, Scope, check_instance_id, check_segment, shown

if TYPE_CHECKING:
    from discovery.jsonvalue import Json

__all__ = [
    "EndpointSpec",
    "EventChannelSpec",
    "EventCodecKind",
    "EventTransport",
    "EventTransportKind",
    "Generation",
    "Kind",
    "ModelSpec",
    "NatsTransport",
    "Scope",
    "Spec",
    "ZmqBrokerTransport",
    "ZmqTransport",
    "check_instance_id",
    "check_segment",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointSpec:
    """An endpoint to register.

    Attributes:
        namespace: topmost name.
        component: name below it.
        endpoint: name below that.
        transport: how to call it, one entry: `nats_tcp` to a subject, `tcp` to
            "host:port/routing key" or `http` to a URL.
        device_type: what it runs on, cpu or cuda; None when unknown.
        request_plane_codec: json or msgpack; None means JSON only, like old peers.
    """

    kind: ClassVar[Kind] = Kind.ENDPOINTS
    namespace: str
    component: str
    endpoint: str
    transport: Mapping[str, str]
    device_type: str | None = None
    request_plane_codec: str | None = None

    def __post_init__(self) -> None:
        _check_levels(self.namespace, self.component, self.endpoint)
        object.__setattr__(self, "transport", _checked_transport(self.transport))
        _check_choice("device_type", self.device_type, DEVICE_TYPES)
        _check_choice("request_plane_codec", self.request_plane_codec, REQUEST_PLANE_CODECS)

    def id(self, instance_id: int) -> EndpointId:
        """Return the identity that this spec has under `instance_id`."""
        return EndpointId(
            namespace=self.namespace,
            component=self.component,
            endpoint=self.endpoint,
            instance_id=check_instance_id("instance_id", instance_id),
        )

    def instance(self, instance_id: int, revision: int = 0) -> EndpointInstance:
        """Return what is registered once `instance_id` owns this spec."""
        return EndpointInstance(
            namespace=self.namespace,
            component=self.component,
            endpoint=self.endpoint,
            instance_id=check_instance_id("instance_id", instance_id),
            transport=self.transport,
            device_type=self.device_type,
            request_plane_codec=self.request_plane_codec,
            revision=revision,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """A model to register on an endpoint.

    Attributes:
        namespace: topmost name.
        component: name below it.
        endpoint: name below that.
        card: JSON object with a non-empty `display_name`; the rest is the caller's.
        suffix: slug of a LoRA adapter; None for a base model.
    """

    kind: ClassVar[Kind] = Kind.MODELS
    namespace: str
    component: str
    endpoint: str
    card: Mapping[str, Json]
    suffix: str | None = None

    def __post_init__(self) -> None:
        _check_levels(self.namespace, self.component, self.endpoint)
        object.__setattr__(self, "card", cards.checked_card(self.card))
        _check_optional("suffix", self.suffix)

    @classmethod
    def from_card(
        cls,
        card: object,
        *,
        namespace: str,
        component: str,
        endpoint: str,
        suffix: str | None = None,
    ) -> ModelSpec:
        """Return the spec of a card given as mapping, dataclass or object with `model_dump()`.

        Raises:
            InvalidArgumentError: it is none of these, or not JSON.
        """
        return cls(
            namespace=namespace,
            component=component,
            endpoint=endpoint,
            card=cards.checked_card(cards.mapping_from_object(card)),
            suffix=suffix,
        )

    def id(self, instance_id: int) -> ModelId:
        """Return the identity that this spec has under `instance_id`."""
        return ModelId(
            namespace=self.namespace,
            component=self.component,
            endpoint=self.endpoint,
            instance_id=check_instance_id("instance_id", instance_id),
            suffix=self.suffix,
        )

    def instance(self, instance_id: int, revision: int = 0) -> ModelInstance:
        """Return what is registered once `instance_id` owns this spec."""
        return ModelInstance(
            namespace=self.namespace,
            component=self.component,
            endpoint=self.endpoint,
            instance_id=check_instance_id("instance_id", instance_id),
            card=self.card,
            suffix=self.suffix,
            revision=revision,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class EventChannelSpec:
    """A publisher of events to register.

    Attributes:
        namespace: topmost name.
        topic: what the events are about.
        transport: where subscribers find them.
        component: name below the namespace; None for a topic of the whole namespace.
        endpoint: name below the component; None for a topic of the whole component.
        instance_id: the publisher's own id; None when it is to be minted at registration.
    """

    kind: ClassVar[Kind] = Kind.CHANNELS
    namespace: str
    topic: str
    transport: EventTransport
    component: str | None = None
    endpoint: str | None = None
    instance_id: int | None = None

    def __post_init__(self) -> None:
        check_segment("namespace", self.namespace)
        _check_optional("component", self.component)
        _check_optional("endpoint", self.endpoint)
        check_segment("topic", self.topic)
        if self.endpoint is not None and self.component is None:
            raise InvalidArgumentError(
                f"endpoint {shown(self.endpoint)} needs a component: expected both or no endpoint"
            )
        if not isinstance(self.transport, EventTransport):
            raise InvalidArgumentError(
                "transport must be a NatsTransport, ZmqTransport or ZmqBrokerTransport, got "
                f"{shown(self.transport)}"
            )
        if not self.transport.address:
            raise InvalidArgumentError(
                f"transport {shown(self.transport)} must have an address, got ''"
            )
        if self.instance_id is not None:
            check_instance_id("instance_id", self.instance_id)

    def id(self, instance_id: int) -> EventChannelId:
        """Return the identity under the spec's own instance id, else under `instance_id`."""
        return EventChannelId(
            namespace=self.namespace,
            topic=self.topic,
            instance_id=self._instance_id(instance_id),
            component=self.component,
            endpoint=self.endpoint,
        )

    def instance(self, instance_id: int, revision: int = 0) -> EventChannelInstance:
        """Return what is registered, under the spec's own instance id, else `instance_id`."""
        return EventChannelInstance(
            namespace=self.namespace,
            topic=self.topic,
            instance_id=self._instance_id(instance_id),
            transport=self.transport,
            component=self.component,
            endpoint=self.endpoint,
            revision=revision,
        )

    def _instance_id(self, instance_id: int) -> int:
        chosen = instance_id if self.instance_id is None else self.instance_id
        return check_instance_id("instance_id", chosen)


Spec: TypeAlias = EndpointSpec | ModelSpec | EventChannelSpec


def _check_levels(namespace: object, component: object, endpoint: object) -> None:
    check_segment("namespace", namespace)
    check_segment("component", component)
    check_segment("endpoint", endpoint)


def _check_optional(field: str, value: object) -> None:
    if value is not None:
        check_segment(field, value)


def _check_choice(field: str, value: object, choices: tuple[str, ...]) -> None:
    if value is not None and value not in choices:
        raise InvalidArgumentError(
            f"{field} {shown(value)} is unknown: expected {' or '.join(choices)}, or None"
        )


def _checked_transport(transport: object) -> dict[str, str]:
    if not isinstance(transport, Mapping) or len(transport) != 1:
        raise InvalidArgumentError(
            f"transport must have exactly one entry, {' or '.join(ENDPOINT_TRANSPORTS)}, got "
            f"{shown(transport)}"
        )
    ((name, address),) = transport.items()
    if name not in ENDPOINT_TRANSPORTS:
        raise InvalidArgumentError(
            f"transport {shown(name)} is unknown: expected {' or '.join(ENDPOINT_TRANSPORTS)}"
        )
    if not isinstance(address, str) or not address:
        raise InvalidArgumentError(
            f"transport {name} must be a non-empty string, got {shown(address)}"
        )
    return {name: str(json_copy(f"transport {name}", address))}
