"""The address that a publisher listens on and tells subscribers."""

from __future__ import annotations

import asyncio
import fcntl
import ipaddress
import re
import socket
import struct
from pathlib import Path
from typing import Final

from discovery.errors import InvalidArgumentError, UnavailableError
from discovery.names import shown
from transports.address import Address, parse_url
from transports.errors import AddressError

_SIOCGIFADDR: Final = 0x8915
_IPV6_ADDRESSES: Final = Path("/proc/net/if_inet6")
_EXPECTED: Final = (
    "expected a host name, an IP address or the name of a network interface of this machine"
)
_LINK_LOCAL: Final = "20"


async def host_seen_by(registry_url: str) -> str:
    """Return this machine's address as the registry's machine sees it.

    It is the one that packets to the registry leave from: loopback when that is on this machine,
    and with several networks the one that leads there.

    Raises:
        UnavailableError: no route leads there.
    """
    scheme, _, rest = registry_url.partition("://")
    if scheme == "memory":
        return "127.0.0.1"
    places = re.split("[/?]", rest.rpartition("@")[2])[0]
    why: Exception | None = None
    for address in parse_url(f"tcp://{places}"):
        try:
            return await _source_towards(address)
        except OSError as exc:
            why = exc
    raise UnavailableError(
        f"no address of this machine leads to {places}: {why}; say which one subscribers "
        "are to use, with advertise= or DISCOVERY_EVENT_HOST"
    )


async def checked_host(advertise: str) -> str:
    """Return the host that `advertise` means: an interface's address, else itself.

    Raises:
        InvalidArgumentError: nobody could connect to it.
    """
    if not isinstance(advertise, str):
        raise InvalidArgumentError(f"advertise {shown(advertise)}: {_EXPECTED}")
    found = await asyncio.to_thread(_address_of_interface, advertise)
    host = found or advertise.strip("[]")
    try:
        (address,) = parse_url(f"tcp://[{host}]:0" if ":" in host else f"tcp://{host}:0")
    except (AddressError, ValueError) as exc:
        raise InvalidArgumentError(f"advertise {shown(advertise)}: {_EXPECTED}") from exc
    if address.is_wildcard:
        raise InvalidArgumentError(
            f"advertise {shown(advertise)}: nobody can connect to it; {_EXPECTED}"
        )
    return address.host


async def place_to_listen(host: str) -> Address:
    """Return where to listen so that `host` leads here, at a port that is found then.

    The address itself if it is this machine's, so that no other network is served; else, as behind
    a translation of addresses, every one of the same family.
    """
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, 0, type=socket.SOCK_STREAM)
    except OSError:
        return Address(scheme="tcp", host="*", port=0)  # only subscribers need to know the name
    for family, *_, address in found:
        with socket.socket(family, socket.SOCK_STREAM) as trial:
            try:
                trial.bind((address[0], 0))
            except OSError:
                continue
            return Address(scheme="tcp", host=str(address[0]), port=0)
    is_ipv6 = all(family == socket.AF_INET6 for family, *_ in found)
    return Address(scheme="tcp", host="::" if is_ipv6 else "*", port=0)


async def _source_towards(address: Address) -> str:
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(address.host, address.port or 1, type=socket.SOCK_DGRAM)
    family, *_, target = found[0]
    with socket.socket(family, socket.SOCK_DGRAM) as trial:
        trial.settimeout(0)
        trial.connect(target)  # sends nothing
        return str(trial.getsockname()[0])


def _address_of_interface(name: str) -> str | None:
    """Return the first IP address of a network interface; None when it is none, or has none."""
    if name not in {known for _, known in socket.if_nameindex()}:
        return None
    request = struct.pack("256s", name.encode())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        try:
            answer = fcntl.ioctl(asking.fileno(), _SIOCGIFADDR, request)
        except OSError:
            return _ipv6_of_interface(name)
    return socket.inet_ntoa(answer[20:24])


def _ipv6_of_interface(name: str) -> str | None:
    for line in _IPV6_ADDRESSES.read_text().splitlines():
        digits, _, _, scope, _, interface = line.split()
        if interface == name and scope != _LINK_LOCAL:
            return str(ipaddress.IPv6Address(bytes.fromhex(digits)))
    return None
