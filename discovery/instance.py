"""What is registered: a spec with an owner.

Instances are made by `wire`, from checked bytes, or by a spec, so their constructors do not check.
`extra` holds the record's fields that this version does not know; they are written back after the
known ones. `revision` is the store's, 0 when unknown, and no part of the comparison.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar, Final, TypeAlias, TypeVar

from discovery import cards
from discovery.ids import EndpointId, EventChannelId, ModelId
from discovery.names import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from discovery.eventtransport import EventTransport
    from discovery.jsonvalue import Json
    from discovery.names import Generation

T = TypeVar("T")

ENDPOINT_TRANSPORTS: Final = ("nats_tcp", "tcp", "http")
DEVICE_TYPES: Final = ("cpu", "cuda")
REQUEST_PLANE_CODECS: Final = ("json", "msgpack")


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointInstance:
    """A registered endpoint; `transport` has one entry, nats_tcp, tcp or http to address."""

    kind: ClassVar[Kind] = Kind.ENDPOINTS
    namespace: str
    component: str
    endpoint: str
    instance_id: int
    transport: Mapping[str, str]
    device_type: str | None = None
    request_plane_codec: str | None = None
    extra: Mapping[str, Json] = field(default_factory=dict)
    revision: int = field(default=0, compare=False)

    @property
    def id(self) -> EndpointId:
        """The identity."""
        return EndpointId(
            namespace=self.namespace,
            component=self.component,
            endpoint=self.endpoint,
            instance_id=self.instance_id,
        )

    def __hash__(self) -> int:
        return hash(self.id)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInstance:
    """A registered model; `suffix` is None for a base model, the slug for a LoRA adapter."""

    kind: ClassVar[Kind] = Kind.MODELS
    namespace: str
    component: str
    endpoint: str
    instance_id: int
    card: Mapping[str, Json]
    suffix: str | None = None
    extra: Mapping[str, Json] = field(default_factory=dict)
    revision: int = field(default=0, compare=False)

    @property
    def id(self) -> ModelId:
        """The identity."""
        return ModelId(
            namespace=self.namespace,
            component=self.component,
            endpoint=self.endpoint,
            instance_id=self.instance_id,
            suffix=self.suffix,
        )

    @property
    def display_name(self) -> str:
        """The name users ask for."""
        return cards.display_name_of(self.card)

    @property
    def is_lora(self) -> bool:
        """Whether this is an adapter: it has a suffix, or its card has a non-null `lora`."""
        return cards.is_lora_card(self.card, self.suffix)

    def card_as(self, target: Callable[..., T]) -> T:
        """Return the card as a `target`.

        Args:
            target: a class with `model_validate`; a dataclass, which gets the fields it has and
                whose nested values stay plain JSON; or anything that takes a mapping.

        Raises:
            InvalidArgumentError: `target` refused the card.
        """
        return cards.card_as(self.card, target)

    def __hash__(self) -> int:
        return hash(self.id)


@dataclass(frozen=True, slots=True, kw_only=True)
class EventChannelInstance:
    """A registered publisher of events; without `component` the topic is the namespace's."""

    kind: ClassVar[Kind] = Kind.CHANNELS
    namespace: str
    topic: str
    instance_id: int
    transport: EventTransport
    component: str | None = None
    endpoint: str | None = None
    extra: Mapping[str, Json] = field(default_factory=dict)
    revision: int = field(default=0, compare=False)
    generation: Generation | None = field(default=None, compare=False)
    """The form of the record it was read from; None when it was not read."""

    @property
    def id(self) -> EventChannelId:
        """The identity."""
        return EventChannelId(
            namespace=self.namespace,
            topic=self.topic,
            instance_id=self.instance_id,
            component=self.component,
            endpoint=self.endpoint,
        )

    def __hash__(self) -> int:
        return hash(self.id)


Instance: TypeAlias = EndpointInstance | ModelInstance | EventChannelInstance
