"""What a caller asks for: everything below some names.

A query's `scope` says which part of the change feed can concern it, `matches` decides. Names are
compared whole: `comp` never matches `comp2`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, TypeAlias

from discovery.errors import InvalidArgumentError
from discovery.ids import EndpointId, EventChannelId, InstanceId, ModelId
from discovery.names import Kind, Scope, check_segment, shown


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointQuery:
    """Endpoints below the given names; None stands for all."""

    kind: ClassVar[Kind] = Kind.ENDPOINTS
    namespace: str | None = None
    component: str | None = None
    endpoint: str | None = None

    def __post_init__(self) -> None:
        _check_names(namespace=self.namespace, component=self.component, endpoint=self.endpoint)

    @property
    def scope(self) -> Scope:
        """The kind and the given names."""
        return _scope("endpoints", self.namespace, self.component, self.endpoint)

    @property
    def scope_level(self) -> int:
        """How many names are given: 0 = all … 3 = one endpoint."""
        return len(self.scope) - 1

    def matches(self, identity: InstanceId) -> bool:
        """Return whether `identity` is asked for."""
        return isinstance(identity, EndpointId) and _fits(self, identity)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelQuery:
    """Models below the given names, LoRA adapters included; None stands for all."""

    kind: ClassVar[Kind] = Kind.MODELS
    namespace: str | None = None
    component: str | None = None
    endpoint: str | None = None

    def __post_init__(self) -> None:
        _check_names(namespace=self.namespace, component=self.component, endpoint=self.endpoint)

    @property
    def scope(self) -> Scope:
        """The kind and the given names."""
        return _scope("models", self.namespace, self.component, self.endpoint)

    @property
    def scope_level(self) -> int:
        """How many names are given: 0 = all … 3 = one endpoint."""
        return len(self.scope) - 1

    def matches(self, identity: InstanceId) -> bool:
        """Return whether `identity` is asked for."""
        return isinstance(identity, ModelId) and _fits(self, identity)


@dataclass(frozen=True, slots=True, kw_only=True)
class EventChannelQuery:
    """Event channels below the given names, of endpoints too; None stands for all."""

    kind: ClassVar[Kind] = Kind.CHANNELS
    namespace: str | None = None
    component: str | None = None
    topic: str | None = None

    def __post_init__(self) -> None:
        _check_names(namespace=self.namespace, component=self.component, topic=self.topic)

    @property
    def scope(self) -> Scope:
        """The kind, namespace and component; a topic may be below any endpoint of these."""
        return _scope("channels", self.namespace, self.component)

    @property
    def scope_level(self) -> int:
        """How many names are given: 0 = all, 1 = namespace, 2 = component, 3 = topic."""
        return len(self.scope) - 1 + (self.topic is not None)

    def matches(self, identity: InstanceId) -> bool:
        """Return whether `identity` is asked for."""
        return (
            isinstance(identity, EventChannelId)
            and (self.namespace is None or self.namespace == identity.namespace)
            and (self.component is None or self.component == identity.component)
            and (self.topic is None or self.topic == identity.topic)
        )


Query: TypeAlias = EndpointQuery | ModelQuery | EventChannelQuery


def _check_names(**names: str | None) -> None:
    above: str | None = None  # the name directly above, when it was not given
    for field, value in names.items():
        if value is None:
            above = above or field
            continue
        check_segment(field, value)
        if above is not None:
            raise InvalidArgumentError(
                f"{field} {shown(value)} needs the names above it: expected a {above} too, got None"
            )


def _scope(kind: str, *names: str | None) -> Scope:
    return (kind, *(name for name in names if name is not None))


def _fits(query: EndpointQuery | ModelQuery, identity: EndpointId | ModelId) -> bool:
    return (
        (query.namespace is None or query.namespace == identity.namespace)
        and (query.component is None or query.component == identity.component)
        and (query.endpoint is None or query.endpoint == identity.endpoint)
    )
