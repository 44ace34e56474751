"""Judges whether registered addresses can be reached by those who find them. Does no I/O."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from discovery.cli.findings import Finding, at_most, ok, warn
from discovery.eventtransport import NatsTransport, ZmqBrokerTransport, ZmqTransport

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from discovery.cli.facts import Facts
    from discovery.eventtransport import EventTransport
    from transports.address import Address

_HOST_OF_CLIENT: Final = re.compile(r".*\[\d+\]@(.+)")
_BIND: Final = "register the address that others reach it by; one listens on all, and tells one"


def check_addresses(facts: Facts, daemons: Sequence[Address]) -> Sequence[Finding]:
    """Judge hosts: loopback is fine as long as everybody is on one machine."""
    hosts = {match[1] for one in facts.watching if (match := _HOST_OF_CLIENT.fullmatch(one.client))}
    is_one_machine = all(one.is_loopback for one in daemons) and len(hosts) <= 1
    found, local = list[Finding](), 0
    for identity, address in _addresses(facts):
        host = host_of(address)
        if host is None:
            continue
        if _is_unspecified(host):
            text = f"{identity}: nobody can connect to {address}, it names no host"
            found.append(warn("addresses", text, _BIND))
        elif _is_loopback(host):
            local += 1
            if not is_one_machine:
                text = f"{identity}: only its own host reaches {address}"
                found.append(warn("addresses", text, _BIND))
    if found:
        return at_most(found)
    total = sum(1 for _ in _addresses(facts))
    note = f", {local} of them for this machine only, where all seem to be" if local else ""
    return [ok("addresses", f"{total} to connect to{note}")]


def host_of(address: str) -> str | None:
    """Return the host of "host:port/key" or of a URL; None where there is none, as in a subject."""
    try:
        return urlsplit(address if "://" in address else f"//{address}").hostname
    except ValueError:  # as of a bracket that is not closed
        return None


def _addresses(facts: Facts) -> Iterator[tuple[str, str]]:
    """Yield each id with each address that somebody is to connect to."""
    for endpoint in facts.endpoints:
        for name, address in endpoint.transport.items():
            if name != "nats_tcp":  # a subject
                yield str(endpoint.id), address
    for channel in facts.channels:
        for address in _places(channel.transport):
            yield str(channel.id), address


def _places(transport: EventTransport) -> Sequence[str]:
    match transport:
        case NatsTransport():
            return []
        case ZmqTransport():
            return [transport.endpoint]
        case ZmqBrokerTransport():
            return [*transport.xsub_endpoints, *transport.xpub_endpoints]


def _is_unspecified(host: str) -> bool:
    if host == "*":
        return True
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def _is_loopback(host: str) -> bool:
    if host.rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
