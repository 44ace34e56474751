"""What `connect` and the methods of `Discovery` are given, checked before anything is done."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from discovery.errors import InvalidArgumentError
from discovery.ids import EndpointId, EventChannelId, ModelId
from discovery.instance import EndpointInstance, EventChannelInstance, ModelInstance
from discovery.names import check_instance_id, shown
from discovery.query import EndpointQuery, EventChannelQuery, ModelQuery
from discovery.stores import STORE_SCHEMES, check_store_url
from transports.address import parse_url
from transports.codec import JSON, MSGPACK, codec_named
from transports.errors import TransportError
from transports.opening import open_rpc_client

if TYPE_CHECKING:
    import random

    from discovery.ids import InstanceId
    from discovery.instance import Instance
    from discovery.query import Query
    from transports.codec import Codec

_INSTANCES = (EndpointInstance, ModelInstance, EventChannelInstance)
_MINTED_ID_BITS = 53  # so that every JSON reader keeps them exact


def check_seconds(name: str, value: object, low: float, high: float) -> None:
    """Refuse what is not a number above 0, from `low` to `high`."""
    fits = isinstance(value, float | int) and low <= value <= high and value > 0
    if isinstance(value, bool) or not fits:
        expected = f"{low:g} to {high:g} seconds" if low else f"seconds above 0, {high:g} at most"
        raise InvalidArgumentError(f"{name} {shown(value)}: expected {expected}")


def is_embedded(url: object) -> bool:
    """Say whether a URL is that of a store; refuse what nothing here can connect to."""
    if not isinstance(url, str):
        raise InvalidArgumentError(f"url {shown(url)}: expected a text such as zmq://host:port")
    is_store = url.partition("://")[0] in STORE_SCHEMES
    if is_store and check_store_url(url) == "etcd":
        return True
    try:
        for address in parse_url(url):
            open_rpc_client(address, _ignore)  # connects only when entered
    except TransportError as error:
        raise InvalidArgumentError(f"url: {error}") from error
    return is_store


def _ignore(_correlation: int, _payload: bytes) -> None:
    """Take no reply."""


def checked_query(query: Query) -> Query:
    """Return a query; refuse what is none."""
    if not isinstance(query, EndpointQuery | ModelQuery | EventChannelQuery):
        raise InvalidArgumentError(
            f"query: expected EndpointQuery, ModelQuery or EventChannelQuery, got {shown(query)}"
        )
    return query


def checked_id(what: Instance | InstanceId) -> InstanceId:
    """Return the id of an instance, or an id as it is; refuse what is neither."""
    identity = what.id if isinstance(what, _INSTANCES) else what
    if not isinstance(identity, EndpointId | ModelId | EventChannelId):
        raise InvalidArgumentError(f"expected an instance or its id, got {shown(what)}")
    check_instance_id("instance_id", identity.instance_id)
    return identity


def codec_of(name: str | None, url: str) -> Codec:
    """Return the codec of a name; None is JSON over NATS and MsgPack everywhere else."""
    if name is None:
        return JSON if url.startswith("nats://") else MSGPACK
    try:
        return codec_named(name)
    except TransportError as error:
        raise InvalidArgumentError(f"codec: {error}") from error


def minted_id(rng: random.Random) -> int:
    """Return a new instance id."""
    return rng.getrandbits(_MINTED_ID_BITS) or 1


def client_name() -> str:
    """Return what operators see of this process: program, process id and host."""
    return f"{Path(sys.argv[0] or 'python').name}[{os.getpid()}]@{socket.gethostname()}"
