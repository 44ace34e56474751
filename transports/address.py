"""Addresses: where a peer listens, and by which transport; parsed once, from a URL."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, replace
from typing import Final

from transports.errors import AddressError

_WITH_PORT: Final = ("zmq", "nats", "tcp")
_WITHOUT_PATH: Final = ("zmq", "nats")
_SCHEMES: Final = (*_WITH_PORT, "memory")
_MAX_PORT: Final = 65535
_MAX_HOST: Final = 254  # of a name with its last dot: RFC 1035, section 2.3.4
_HOST_NAME: Final = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9_])?\.?")
_MEMORY_NAME: Final = re.compile(r"[^\s/,?#@]*")
_SHOWN_CHARACTERS: Final = 120
_CREDENTIALS: Final = "credentials do not belong in an address"
_EXPECTED: Final = (
    "expected zmq://host:port[,host:port], nats://host:port[,host:port][?option=value], "
    "tcp://host:port or memory://name; an IPv6 host is written in brackets"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """One place where a peer listens.

    `host` is a name, an IP address without brackets, or `*` for every interface; for `memory` it
    is the name, possibly empty. `port` is 0 for any free one and None for `memory`. `path` is
    empty or starts with a slash. `others` are further servers of the same NATS cluster, each a
    netloc, and `query` is what stands after the question mark of a NATS address.
    """

    scheme: str
    host: str
    port: int | None = None
    path: str = ""
    others: tuple[str, ...] = ()
    query: str = ""

    def __str__(self) -> str:
        """Return the URL of this one address; `parse_url` reads it back."""
        places = ",".join((self.netloc, *self.others))
        return f"{self.scheme}://{places}{self.path}{'?' * bool(self.query)}{self.query}"

    @property
    def netloc(self) -> str:
        """Return host and port as they stand in a URL, an IPv6 host in brackets."""
        if self.port is None:
            return self.host
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_wildcard(self) -> bool:
        """Whether this means every interface: one can listen on it, but not connect to it."""
        return self.host == "*" or _is_unspecified(self.host)

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it: 127.0.0.0/8, ::1, localhost, or `memory`."""
        others = (other.rpartition(":")[0].strip("[]") for other in self.others)
        return self.scheme == "memory" or all(map(_is_loopback, (self.host, *others)))

    def with_port(self, port: int) -> Address:
        """Return the same address with another port."""
        return replace(self, port=port)


def parse_url(url: str) -> tuple[Address, ...]:
    """Return the addresses that a URL names, in its order; there is at least one.

    The servers of a NATS cluster are one address.

    Args:
        url: `scheme://host:port[,host:port]`, or `memory://name`.

    Raises:
        AddressError: it is anything else; the text names the URL and what is expected.
    """
    scheme, separator, rest = url.partition("://")
    if "@" in url:
        raise _wrong(f"{scheme}://…" if scheme in _SCHEMES else "…", _CREDENTIALS)
    if not url.isprintable():
        raise _wrong(url, "it has a character that cannot be printed")
    if not separator or scheme not in _SCHEMES:
        why = f"scheme {_shown(scheme)} is not known" if separator else "it has no scheme"
        raise _wrong(url, why)
    if scheme == "memory":
        if not _MEMORY_NAME.fullmatch(rest):
            raise _wrong(url, f"the name {_shown(rest)} has a character that is not allowed")
        return (Address(scheme=scheme, host=rest),)
    query = ""
    if scheme == "nats":
        rest, _, query = rest.partition("?")
    places, slash, path = rest.partition("/")
    if slash and scheme in _WITHOUT_PATH:
        raise _wrong(url, f"a {scheme} address has no path")
    first, *others = (_parse_place(url, scheme, p, slash + path) for p in places.split(","))
    if scheme == "nats":
        return (replace(first, others=tuple(other.netloc for other in others), query=query),)
    return (first, *others)


def _parse_place(url: str, scheme: str, place: str, path: str) -> Address:
    host, separator, port = place.rpartition(":")
    if not separator or port.endswith("]"):
        raise _wrong(url, f"{_shown(place)} has no port")
    if not (port.isascii() and port.isdigit() and len(port) <= len(str(_MAX_PORT))):
        raise _wrong(url, f"port {_shown(port)} is not a number")
    if int(port) > _MAX_PORT:
        raise _wrong(url, f"port {port} is above {_MAX_PORT}")
    return Address(scheme=scheme, host=_parse_host(url, host), port=int(port), path=path)


def _parse_host(url: str, host: str) -> str:
    if len(host) > _MAX_HOST:
        raise _wrong(url, f"its host has {len(host)} characters, at most {_MAX_HOST} can be one's")
    if host == "*" or _HOST_NAME.fullmatch(host):
        return host
    if host.startswith("[") and host.endswith("]"):
        try:
            ipaddress.IPv6Address(host[1:-1])
        except ValueError as exc:
            raise _wrong(url, f"{host:.{_SHOWN_CHARACTERS}} is not an IPv6 address") from exc
        return host[1:-1]
    raise _wrong(url, f"host {_shown(host)} is not a name, an IP address or '*'")


def _is_loopback(host: str) -> bool:
    if host.lower().rstrip(".") == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_unspecified(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def _wrong(url: str, reason: str) -> AddressError:
    return AddressError(f"address {_shown(url)} cannot be used: {reason}; {_EXPECTED}")


def _shown(text: str) -> str:
    """Return a part of an address for a message, cut when it is long."""
    written = repr(text)
    return written if len(written) <= _SHOWN_CHARACTERS else f"{written[:_SHOWN_CHARACTERS]}…"
