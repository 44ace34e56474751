from __future__ import annotations

import pytest

from discovery.errors import InvalidArgumentError
from discovery.eventtransport import (
    EventCodecKind,
    EventTransport,
    EventTransportKind,
    NatsTransport,
    ZmqBrokerTransport,
    ZmqTransport,
)

BROKER = ZmqBrokerTransport(
    xsub_endpoints=("tcp://b:5555", "tcp://c:5555"), xpub_endpoints=("tcp://b:5556",)
)


@pytest.mark.parametrize(
    ("transport", "kind", "address"),
    [
        (NatsTransport(subject_prefix="namespace.ns"), "nats", "namespace.ns"),
        (ZmqTransport(endpoint="tcp://h:1"), "zmq", "tcp://h:1"),
        (BROKER, "zmq", "tcp://b:5555"),
        (ZmqBrokerTransport(xsub_endpoints=(), xpub_endpoints=()), "zmq", ""),
    ],
)
def test_a_transport_tells_its_kind_and_address(
    transport: EventTransport, kind: str, address: str
) -> None:
    assert transport.kind == kind
    assert transport.address == address


def test_nats_speaks_json_and_zmq_msgpack_by_default() -> None:
    assert EventTransportKind.NATS.default_codec is EventCodecKind.JSON
    assert EventTransportKind.ZMQ.default_codec is EventCodecKind.MSGPACK


def test_the_names_are_the_peers() -> None:
    assert [*EventTransportKind] == ["nats", "zmq"]
    assert [*EventCodecKind] == ["json", "msgpack"]


def test_broker_endpoints_may_be_given_as_lists() -> None:
    transport = ZmqBrokerTransport(
        xsub_endpoints=["tcp://b:5555", "tcp://c:5555"],  # type: ignore[arg-type]  # on purpose
        xpub_endpoints=["tcp://b:5556"],  # type: ignore[arg-type]  # on purpose
    )
    assert transport == BROKER
    assert hash(transport) == hash(BROKER)


def test_a_field_of_another_type_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="subject_prefix must be a string, got None"):
        NatsTransport(subject_prefix=None)  # type: ignore[arg-type]  # on purpose
    with pytest.raises(InvalidArgumentError, match="transport endpoint must be a string, got 7"):
        ZmqTransport(endpoint=7)  # type: ignore[arg-type]  # on purpose
    with pytest.raises(InvalidArgumentError, match="xpub_endpoints must be a list or tuple"):
        ZmqBrokerTransport(xsub_endpoints=(), xpub_endpoints="tcp://b:1")  # type: ignore[arg-type]  # on purpose
    with pytest.raises(InvalidArgumentError, match="xsub_endpoints must be a string, got 1"):
        ZmqBrokerTransport(xsub_endpoints=(1,), xpub_endpoints=())  # type: ignore[arg-type]  # on purpose
