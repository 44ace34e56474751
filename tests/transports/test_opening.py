from __future__ import annotations

import sys

import pytest

from transports.address import Address, parse_url
from transports.errors import AddressError, BacklogFullError, FrameError, UnreachableError
from transports.memory.pubsub import MemoryPublisher, MemorySubscriber
from transports.memory.rpc import MemoryRpcClient, MemoryRpcServer
from transports.nats.pubsub import NatsPublisher, NatsSubscriber
from transports.nats.rpc import NatsRpcClient, NatsRpcServer
from transports.opening import open_publisher, open_rpc_client, open_rpc_server, open_subscriber
from transports.pubsub import Publisher, Subscriber
from transports.rpc import RpcClient, RpcServer
from transports.zmq.pubsub import ZmqPublisher, ZmqSubscriber
from transports.zmq.rpc import ZmqRpcClient, ZmqRpcServer


def ignore(*_):
    pass


OPEN = {
    "server": lambda url: open_rpc_server(url, ignore),
    "client": lambda url: open_rpc_client(*parse_url(url), ignore),
    "publisher": open_publisher,
    "subscriber": lambda url: open_subscriber(*parse_url(url), ignore),
}
KINDS = {
    "memory://x": [MemoryRpcServer, MemoryRpcClient, MemoryPublisher, MemorySubscriber],
    "zmq://h:1": [ZmqRpcServer, ZmqRpcClient, ZmqPublisher, ZmqSubscriber],
    "nats://h:1,i:2": [NatsRpcServer, NatsRpcClient, NatsPublisher, NatsSubscriber],
}


@pytest.mark.parametrize("url", KINDS)
def test_the_scheme_chooses_the_transport(url):
    assert [type(open_it(url)) for open_it in OPEN.values()] == KINDS[url]


@pytest.mark.parametrize("url", KINDS)
def test_what_is_opened_has_every_name_of_its_seam(url):
    seams = [RpcServer, RpcClient, Publisher, Subscriber]
    for open_it, seam in zip(OPEN.values(), seams, strict=True):
        names = {name for name in vars(seam) if not name.startswith("_")}
        assert names
        assert names <= set(dir(open_it(url)))


@pytest.mark.parametrize("open_it", OPEN.values(), ids=OPEN)
def test_what_we_do_not_have_is_refused_with_what_we_have(open_it):
    with pytest.raises(AddressError, match="tcp://h:1: no transport for 'tcp'; expected memory"):
        open_it("tcp://h:1")


@pytest.mark.parametrize("open_it", OPEN.values(), ids=OPEN)
def test_a_missing_extra_is_named(open_it, monkeypatch):
    for name in ("transports.nats.rpc", "transports.nats.pubsub"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(AddressError, match=r"needs the extra `nats`; .* discoveryd\[nats\]"):
        open_it("nats://h:1")


@pytest.mark.parametrize("open_it", OPEN.values(), ids=OPEN)
def test_a_nats_address_is_checked_when_it_is_opened(open_it):
    with pytest.raises(AddressError, match="option 'colour' is unknown; expected nats://"):
        open_it("nats://h:1?colour=red")


def test_one_listens_at_one_place_only():
    with pytest.raises(AddressError, match="names several places"):
        open_rpc_server("zmq://a:1,b:1", ignore)


@pytest.mark.parametrize("url", ["zmq://*:1", "zmq://0.0.0.0:1", "zmq://[::]:1", "zmq://h:0"])
def test_one_cannot_connect_to_every_interface_or_any_port(url):
    (address,) = parse_url(url)
    with pytest.raises(AddressError, match="one cannot connect to"):
        open_rpc_client(address, ignore)
    with pytest.raises(AddressError, match="one cannot connect to"):
        open_subscriber(address, ignore)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "*"])
async def test_zmq_listens_on_addresses_and_names(host):
    async with open_rpc_server(f"zmq://{host}:0", lambda _, reply: reply(b"")) as server:
        assert server.address.port
        local = "127.0.0.1" if host == "*" else server.address.host
        address = Address(scheme="zmq", host=local, port=server.address.port)
        async with open_rpc_client(address, ignore) as client:
            await client.ready()


@pytest.mark.parametrize("host", ["192.0.2.1", "name.invalid", "999.1.1.1"])
async def test_zmq_cannot_listen_on_what_is_not_here(host):
    for listener in (open_rpc_server(f"zmq://{host}:0", ignore), open_publisher(f"zmq://{host}:0")):
        with pytest.raises(UnreachableError, match=f"cannot listen on zmq://{host}:0: "):
            await listener.__aenter__()


async def test_zmq_says_which_address_when_no_socket_is_left(monkeypatch):
    monkeypatch.setattr("transports.zmq.sockets._MAX_CLIENT_SOCKETS", 1)
    (address,) = parse_url("zmq://127.0.0.1:1")
    async with open_rpc_client(address, ignore):
        second = open_subscriber(address, ignore)
        with pytest.raises(UnreachableError, match=r"zmq://127\.0\.0\.1:1: Too many"):
            await second.__aenter__()


async def test_zmq_says_which_address_it_cannot_connect_to():
    client = open_rpc_client(Address(scheme="zmq", host="a b", port=1), ignore)
    with pytest.raises(UnreachableError, match="cannot connect to zmq://a b:1: "):
        await client.__aenter__()


def test_only_what_may_pass_is_retryable():
    assert UnreachableError.retryable
    assert BacklogFullError.retryable
    assert not AddressError.retryable
    assert not FrameError.retryable
