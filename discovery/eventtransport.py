"""How the events of a channel are carried: NATS, ZMQ, or a ZMQ broker."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from discovery.errors import InvalidArgumentError
from discovery.names import shown


class EventCodecKind(StrEnum):
    """How envelopes and payloads are serialised."""

    JSON = "json"
    MSGPACK = "msgpack"


class EventTransportKind(StrEnum):
    """Which network carries events, without the connection's details."""

    NATS = "nats"
    ZMQ = "zmq"

    @property
    def default_codec(self) -> EventCodecKind:
        """JSON over NATS, MsgPack over ZMQ (spec/discovery.md, generation a)."""
        return EventCodecKind.JSON if self is EventTransportKind.NATS else EventCodecKind.MSGPACK


@dataclass(frozen=True, slots=True, kw_only=True)
class NatsTransport:
    """NATS core; events go to subjects under `subject_prefix`."""

    subject_prefix: str

    def __post_init__(self) -> None:
        _check_text("subject_prefix", self.subject_prefix)

    @property
    def kind(self) -> EventTransportKind:
        """NATS."""
        return EventTransportKind.NATS

    @property
    def address(self) -> str:
        """The subject prefix."""
        return self.subject_prefix


@dataclass(frozen=True, slots=True, kw_only=True)
class ZmqTransport:
    """ZMQ, subscribers connect to the publisher at `endpoint` ("tcp://host:port")."""

    endpoint: str

    def __post_init__(self) -> None:
        _check_text("endpoint", self.endpoint)

    @property
    def kind(self) -> EventTransportKind:
        """ZMQ."""
        return EventTransportKind.ZMQ

    @property
    def address(self) -> str:
        """The endpoint."""
        return self.endpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class ZmqBrokerTransport:
    """ZMQ through a broker: publishers connect to its XSUB, subscribers to its XPUB sockets."""

    xsub_endpoints: tuple[str, ...]
    xpub_endpoints: tuple[str, ...]

    def __post_init__(self) -> None:
        for field in ("xsub_endpoints", "xpub_endpoints"):
            object.__setattr__(self, field, _texts(field, getattr(self, field)))

    @property
    def kind(self) -> EventTransportKind:
        """ZMQ."""
        return EventTransportKind.ZMQ

    @property
    def address(self) -> str:
        """The first XSUB endpoint, or "" when there is none."""
        return self.xsub_endpoints[0] if self.xsub_endpoints else ""


EventTransport: TypeAlias = NatsTransport | ZmqTransport | ZmqBrokerTransport


def _check_text(field: str, value: object) -> str:
    if not isinstance(value, str):
        raise InvalidArgumentError(f"transport {field} must be a string, got {shown(value)}")
    return value


def _texts(field: str, value: object) -> tuple[str, ...]:
    if not isinstance(value, list | tuple):
        raise InvalidArgumentError(
            f"transport {field} must be a list or tuple of strings, got {shown(value)}"
        )
    return tuple(_check_text(field, item) for item in value)
