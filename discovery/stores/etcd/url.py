"""Where an etcd cluster is, and how to be let in: `etcd://host:port[,host:port][?option=value]`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from discovery.errors import InvalidArgumentError
from discovery.names import shown
from transports.address import parse_url
from transports.errors import AddressError
from transports.options import check_pair, files_of, is_tls, parse_options

if TYPE_CHECKING:
    from pathlib import Path

_OPTIONS = ("prefix", "tls", "ca", "cert", "key", "user", "password_file")
EXPECTED = f"expected etcd://host:port[,host:port][?option=value&…] with {', '.join(_OPTIONS)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class EtcdUrl:
    """An etcd URL, read but not followed.

    Attributes:
        endpoints: "host:port" of each member, in the order of the URL.
        prefix: what all keys begin with; "" where the peer system's are, else it ends with "/".
        is_tls: whether connections are encrypted. Members prove their names: the hosts here.
        ca: file with the certificates that members are trusted by; None for those of the system.
        cert: file with our own certificate, which comes with `key`; or None.
        key: file with its private key.
        user: name to log in with; or None.
        password_file: file with its password; a line's end after it does not count.
    """

    endpoints: tuple[str, ...]
    prefix: str = ""
    is_tls: bool = False
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    user: str | None = None
    password_file: Path | None = None


def parse_etcd_url(url: str) -> EtcdUrl:
    """Read an etcd URL.

    Raises `InvalidArgumentError`, which repeats no password, names what is wrong and what was
    expected.
    """
    places, _, query = url.removeprefix("etcd://").partition("?")
    if "@" in places:
        raise InvalidArgumentError(f"store: credentials do not belong in its URL; {EXPECTED}")
    try:
        endpoints = tuple(a.netloc for a in parse_url(f"tcp://{places}"))
    except AddressError as error:
        why = str(error).replace("tcp://", "etcd://").partition("; expected")[0]
        raise InvalidArgumentError(f"store: {why}; {EXPECTED}") from error
    try:
        options = parse_options(query, _OPTIONS, may_be_empty=("prefix",))
        check_pair(options, "cert", "key")
        check_pair(options, "user", "password_file")
        is_encrypted = is_tls(options)
    except ValueError as error:
        raise _wrong(url, str(error)) from error
    return EtcdUrl(
        endpoints=endpoints,
        prefix=_prefix(url, options.get("prefix", "")),
        is_tls=is_encrypted,
        user=options.get("user"),
        **files_of(options, ("ca", "cert", "key", "password_file")),
    )


def _prefix(url: str, prefix: str) -> str:
    if prefix and not prefix.endswith("/"):
        raise _wrong(url, f"prefix {shown(prefix)} does not end with a slash")
    return prefix


def _wrong(url: str, why: str) -> InvalidArgumentError:
    return InvalidArgumentError(f"store {shown(url)}: {why}; {EXPECTED}")
