from __future__ import annotations

import socket

import pytest

from discovery.errors import InvalidArgumentError, UnavailableError
from discovery.eventplane.reaching import checked_host, host_seen_by, place_to_listen


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("memory://", "127.0.0.1"),
        ("zmq://127.0.0.1:4710", "127.0.0.1"),
        ("zmq://127.0.0.1:4710,127.0.0.2:4710", "127.0.0.1"),
        ("etcd://127.0.0.1:2379?option=1", "127.0.0.1"),
        ("zmq://[::1]:4710", "::1"),
    ],
)
async def test_it_is_found_by_the_way_that_leads_to_the_registry(url, host):
    assert await host_seen_by(url) == host


async def test_no_way_is_told_with_what_to_do():
    with pytest.raises(UnavailableError, match="advertise= or DISCOVERY_EVENT_HOST"):
        await host_seen_by("zmq://no-such-host.invalid:4710")


@pytest.mark.parametrize(
    ("advertise", "host"),
    [
        ("10.0.0.7", "10.0.0.7"),
        ("worker-7.example", "worker-7.example"),
        ("fd00::7", "fd00::7"),
        ("[fd00::7]", "fd00::7"),
        ("lo", "127.0.0.1"),
    ],
)
async def test_a_host_an_address_or_an_interface_is_advertised(advertise, host):
    assert await checked_host(advertise) == host


@pytest.mark.parametrize("advertise", ["0.0.0.0", "::", "*", "a b", "tcp://h:1", "h:1", 7])  # noqa: S104 - refused
async def test_what_nobody_can_connect_to_is_refused(advertise):
    with pytest.raises(InvalidArgumentError, match=r"advertise .*expected a host name"):
        await checked_host(advertise)


@pytest.mark.parametrize(
    ("host", "listens"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("127.0.0.9", "127.0.0.9"),
        ("::1", "::1"),
        ("localhost", "127.0.0.1"),
        ("192.0.2.7", "*"),
        ("2001:db8::7", "::"),
        ("no-such-host.invalid", "*"),
    ],
)
async def test_it_listens_where_the_host_leads_and_everywhere_only_when_it_must(host, listens):
    place = await place_to_listen(host)
    assert place.port == 0
    if host == "localhost":
        assert socket.getaddrinfo(place.host, 0)
        assert place.is_loopback
    else:
        assert place.host == listens
