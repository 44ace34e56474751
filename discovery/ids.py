"""The identity of what is registered, and its two text forms.

The text form leads with the kind: "endpoints/ns/comp/ep/1a2b", "models/ns/comp/ep/1a2b[/suffix]",
"channels/ns[/comp[/ep]]/topic/1a2b". The path form is the peer's, without the kind and, for
channels, of the component scope only. Constructors do not check: specs, queries and the parsers
here and in `keys` do, and ids are made ten thousand at a time.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar, Final, TypeAlias

from discovery.errors import InvalidArgumentError
from discovery.names import MAX_INSTANCE_ID, Kind, Scope, check_segment, shown

_SCOPE_LEVELS: Final = 3
_PATH_PARTS: Final = 4
_SUFFIXED_PATH_PARTS: Final = 5
_HEX: Final = re.compile("[0-9A-Fa-f]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointId:
    """One endpoint of one process."""

    kind: ClassVar[Kind] = Kind.ENDPOINTS
    namespace: str
    component: str
    endpoint: str
    instance_id: int

    @property
    def path(self) -> tuple[str, ...]:
        """The names above the instance id, topmost first."""
        return (self.namespace, self.component, self.endpoint)

    @property
    def scope(self) -> Scope:
        """The kind and the topmost three names."""
        return ("endpoints", self.namespace, self.component, self.endpoint)

    def to_path(self) -> str:
        """Return "ns/comp/ep/1a2b"."""
        return f"{self.namespace}/{self.component}/{self.endpoint}/{self.instance_id:x}"

    @classmethod
    def from_path(cls, path: str) -> EndpointId:
        """Return the id of "ns/comp/ep/1a2b".

        Raises:
            InvalidArgumentError: another number of parts, a bad name or no hexadecimal id.
        """
        parts = path.split("/")
        if len(parts) != _PATH_PARTS:
            raise _wrong_parts("EndpointInstanceId", "4", path)
        return cls(
            namespace=check_segment("namespace", parts[0]),
            component=check_segment("component", parts[1]),
            endpoint=check_segment("endpoint", parts[2]),
            instance_id=parse_instance_id(parts[3]),
        )

    def __str__(self) -> str:
        return f"endpoints/{self.to_path()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelId:
    """One model card of one process; `suffix` tells its LoRA adapters apart."""

    kind: ClassVar[Kind] = Kind.MODELS
    namespace: str
    component: str
    endpoint: str
    instance_id: int
    suffix: str | None = None

    @property
    def path(self) -> tuple[str, ...]:
        """The names above the instance id, topmost first."""
        return (self.namespace, self.component, self.endpoint)

    @property
    def scope(self) -> Scope:
        """The kind and the topmost three names."""
        return ("models", self.namespace, self.component, self.endpoint)

    def to_path(self) -> str:
        """Return "ns/comp/ep/1a2b", with "/suffix" when there is one."""
        plain = f"{self.namespace}/{self.component}/{self.endpoint}/{self.instance_id:x}"
        return plain if self.suffix is None else f"{plain}/{self.suffix}"

    @classmethod
    def from_path(cls, path: str) -> ModelId:
        """Return the id of "ns/comp/ep/1a2b" or "ns/comp/ep/1a2b/suffix".

        A bare slash at the end, the peer's second form of an id without a suffix, is accepted.

        Raises:
            InvalidArgumentError: another number of parts, a bad name or no hexadecimal id.
        """
        parts = path.split("/")
        if not _PATH_PARTS <= len(parts) <= _SUFFIXED_PATH_PARTS:
            raise _wrong_parts("ModelCardInstanceId", "4 or 5", path)
        suffix = parts[4] if len(parts) == _SUFFIXED_PATH_PARTS else ""
        return cls(
            namespace=check_segment("namespace", parts[0]),
            component=check_segment("component", parts[1]),
            endpoint=check_segment("endpoint", parts[2]),
            instance_id=parse_instance_id(parts[3]),
            suffix=check_segment("suffix", suffix) if suffix else None,
        )

    def __str__(self) -> str:
        return f"models/{self.to_path()}"


@dataclass(frozen=True, slots=True, kw_only=True)
class EventChannelId:
    """One publisher of a topic of a namespace, a component or an endpoint."""

    kind: ClassVar[Kind] = Kind.CHANNELS
    namespace: str
    topic: str
    instance_id: int
    component: str | None = None
    endpoint: str | None = None

    @property
    def path(self) -> tuple[str, ...]:
        """The names above the instance id, topmost first; the last one is the topic."""
        if self.component is None:
            return (self.namespace, self.topic)
        if self.endpoint is None:
            return (self.namespace, self.component, self.topic)
        return (self.namespace, self.component, self.endpoint, self.topic)

    @property
    def scope(self) -> Scope:
        """The kind and the topmost three names, the topic among them when it is high enough."""
        return ("channels", *self.path[:_SCOPE_LEVELS])

    def to_path(self) -> str:
        """Return "ns/comp/topic/1a2b".

        Raises:
            InvalidArgumentError: it is no channel of a component, so it has no such form.
        """
        if self.component is None or self.endpoint is not None:
            raise InvalidArgumentError(
                f"{shown(str(self))} has no path of generation a: "
                "expected a component and no endpoint"
            )
        return f"{self.namespace}/{self.component}/{self.topic}/{self.instance_id:x}"

    @classmethod
    def from_path(cls, path: str) -> EventChannelId:
        """Return the id of "ns/comp/topic/1a2b".

        Raises:
            InvalidArgumentError: another number of parts, a bad name or no hexadecimal id.
        """
        parts = path.split("/")
        if len(parts) != _PATH_PARTS:
            raise _wrong_parts("EventChannelInstanceId", "4", path)
        return cls(
            namespace=check_segment("namespace", parts[0]),
            component=check_segment("component", parts[1]),
            topic=check_segment("topic", parts[2]),
            instance_id=parse_instance_id(parts[3]),
        )

    def __str__(self) -> str:
        return "/".join(("channels", *self.path, f"{self.instance_id:x}"))


InstanceId: TypeAlias = EndpointId | ModelId | EventChannelId


def parse_instance_id(text: str) -> int:
    """Return the number that `text` gives in hexadecimal, of either case, zeros in front allowed.

    Raises:
        InvalidArgumentError: it is no hexadecimal number below 2**64.
    """
    if _HEX.fullmatch(text) is None:
        fault = (
            "invalid digit found in string" if text else "cannot parse integer from empty string"
        )
    else:
        number = int(text, 16)
        if number <= MAX_INSTANCE_ID:
            return number
        fault = "number too large to fit in target type"
    raise InvalidArgumentError(
        f"Invalid instance_id hex: {fault}: {shown(text)}, expected 0 to ffffffffffffffff"
    )


def parse_id(text: str) -> InstanceId:
    """Return the id whose text form is `text`.

    Raises:
        InvalidArgumentError: it is no text form of an id.
    """
    kind, _, path = text.partition("/")
    match kind:
        case "endpoints":
            return EndpointId.from_path(path)
        case "models":
            return ModelId.from_path(path)
        case "channels":
            return _channel_from_text(path)
        case _:
            raise InvalidArgumentError(
                f"Invalid id {shown(text)}: expected endpoints/…, models/… or channels/…"
            )


def _channel_from_text(path: str) -> EventChannelId:
    *levels, instance_id = path.split("/")
    if not 2 <= len(levels) <= 4:  # noqa: PLR2004 - ns/topic to ns/comp/ep/topic
        raise _wrong_parts("EventChannelId", "3, 4 or 5", path)
    namespace, *owners, topic = levels
    component, endpoint, *_ = (*owners, None, None)
    return EventChannelId(
        namespace=check_segment("namespace", namespace),
        topic=check_segment("topic", topic),
        instance_id=parse_instance_id(instance_id),
        component=None if component is None else check_segment("component", component),
        endpoint=None if endpoint is None else check_segment("endpoint", endpoint),
    )


def _wrong_parts(name: str, expected: str, path: str) -> InvalidArgumentError:
    count = path.count("/") + 1
    return InvalidArgumentError(f"Invalid {name} path: expected {expected} parts, got {count}")


_VARIANT: Final = {
    EndpointId: "Endpoint",
    ModelId: "Model",
    EventChannelId: "EventChannel",
}


def extract_endpoint_id(identity: InstanceId) -> EndpointId:
    """Return `identity` as an endpoint's.

    Raises:
        InvalidArgumentError: it is of another kind.
    """
    if isinstance(identity, EndpointId):
        return identity
    raise InvalidArgumentError(f"Expected Endpoint variant, got {_VARIANT[type(identity)]}")


def extract_model_id(identity: InstanceId) -> ModelId:
    """Return `identity` as a model's.

    Raises:
        InvalidArgumentError: it is of another kind.
    """
    if isinstance(identity, ModelId):
        return identity
    raise InvalidArgumentError(f"Expected Model variant, got {_VARIANT[type(identity)]}")


def extract_event_channel_id(identity: InstanceId) -> EventChannelId:
    """Return `identity` as an event channel's.

    Raises:
        InvalidArgumentError: it is of another kind.
    """
    if isinstance(identity, EventChannelId):
        return identity
    raise InvalidArgumentError(f"Expected EventChannel variant, got {_VARIANT[type(identity)]}")
