"""Choose a transport by a URL's scheme; the chosen one is imported only then."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from transports.address import Address, parse_url
from transports.errors import AddressError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from transports.pubsub import OnMessage, Publisher, Subscriber
    from transports.rpc import Handler, OnReply, RpcClient, RpcServer


def open_rpc_server(url: str, handler: Handler) -> RpcServer:
    """Return a server for one address; it listens once entered.

    Raises:
        AddressError: the URL is malformed, names several places, or a transport we do not have.
    """
    address = _only_one(url)
    match address.scheme:
        case "memory":
            from transports.memory.rpc import MemoryRpcServer  # noqa: PLC0415 - only when chosen

            return MemoryRpcServer(address, handler)
        case "zmq":
            from transports.zmq.rpc import ZmqRpcServer  # noqa: PLC0415 - only when chosen

            return ZmqRpcServer(address, handler)
        case "nats":
            with _needing_nats():
                from transports.nats.rpc import NatsRpcServer  # noqa: PLC0415 - an extra

            return NatsRpcServer(address, handler)
        case _:
            raise _unsupported(address)


def open_rpc_client(address: Address, on_reply: OnReply) -> RpcClient:
    """Return a client of one server; it connects once entered.

    Raises:
        AddressError: the address names a transport we do not have, or no place to connect to.
    """
    match check_connectable(address).scheme:
        case "memory":
            from transports.memory.rpc import MemoryRpcClient  # noqa: PLC0415 - only when chosen

            return MemoryRpcClient(address, on_reply)
        case "zmq":
            from transports.zmq.rpc import ZmqRpcClient  # noqa: PLC0415 - only when chosen

            return ZmqRpcClient(address, on_reply)
        case "nats":
            with _needing_nats():
                from transports.nats.rpc import NatsRpcClient  # noqa: PLC0415 - an extra

            return NatsRpcClient(address, on_reply)
        case _:
            raise _unsupported(address)


def open_publisher(url: str) -> Publisher:
    """Return a publisher for one address; it listens once entered.

    Raises:
        AddressError: the URL is malformed, names several places, or a transport we do not have.
    """
    address = _only_one(url)
    match address.scheme:
        case "memory":
            from transports.memory.pubsub import MemoryPublisher  # noqa: PLC0415 - only when chosen

            return MemoryPublisher(address)
        case "zmq":
            from transports.zmq.pubsub import ZmqPublisher  # noqa: PLC0415 - only when chosen

            return ZmqPublisher(address)
        case "nats":
            with _needing_nats():
                from transports.nats.pubsub import NatsPublisher  # noqa: PLC0415 - an extra

            return NatsPublisher(address)
        case _:
            raise _unsupported(address)


def open_subscriber(address: Address, on_message: OnMessage) -> Subscriber:
    """Return a subscriber of one publisher; it connects once entered.

    Raises:
        AddressError: the address names a transport we do not have, or no place to connect to.
    """
    match check_connectable(address).scheme:
        case "memory":
            from transports.memory.pubsub import MemorySubscriber  # noqa: PLC0415 - only when chosen

            return MemorySubscriber(address, on_message)
        case "zmq":
            from transports.zmq.pubsub import ZmqSubscriber  # noqa: PLC0415 - only when chosen

            return ZmqSubscriber(address, on_message)
        case "nats":
            with _needing_nats():
                from transports.nats.pubsub import NatsSubscriber  # noqa: PLC0415 - an extra

            return NatsSubscriber(address, on_message)
        case _:
            raise _unsupported(address)


def _only_one(url: str) -> Address:
    first, *others = parse_url(url)
    if others:
        raise AddressError(f"address {url!r:.120} names several places; one can listen on one only")
    return first


def check_connectable(address: Address) -> Address:
    """Return an address that names one place to connect to; raise AddressError for another."""
    if address.is_wildcard or address.port == 0:
        raise AddressError(
            f"one cannot connect to {address!s:.120}; expected a host and a port above 0"
        )
    return address


def _unsupported(address: Address) -> AddressError:
    supported = "expected memory://name, zmq://host:port or nats://host:port"
    return AddressError(f"{address!s:.120}: no transport for {address.scheme!r}; {supported}")


@contextmanager
def _needing_nats() -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        needs = "install it with `pip install discoveryd[nats]`"
        raise AddressError(f"nats:// needs the extra `nats`; {needs}") from error
