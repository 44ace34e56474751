"""Where an etcd cluster is, and how to be let in: `etcd://host:port[,host:port][?option=value]`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from discovery.errors import InvalidArgumentError
from discovery.names import shown
from transports.address import parse_url
from transports.errors import AddressError

if TYPE_CHECKING:
    from collections.abc import Mapping

_OPTIONS = ("prefix", "tls", "ca", "cert", "key", "user", "password_file")
_FLAGS = {"1": True, "0": False}
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
    options = _options(url, query)
    files = {name: Path(options[name]) for name in _OPTIONS if name in options and _is_file(name)}
    if ("cert" in files) != ("key" in files):
        raise _wrong(url, "cert and key go together")
    if ("user" in options) != ("password_file" in files):
        raise _wrong(url, "user and password_file go together")
    is_tls = _flag(url, options.get("tls"), default=bool(files.keys() & {"ca", "cert"}))
    if not is_tls and files.keys() & {"ca", "cert"}:
        raise _wrong(url, "ca and cert are for tls=1")
    return EtcdUrl(
        endpoints=endpoints,
        prefix=_prefix(url, options.get("prefix", "")),
        is_tls=is_tls,
        user=options.get("user"),
        **files,
    )


def _options(url: str, query: str) -> Mapping[str, str]:
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True) if query else []
    except ValueError as error:
        raise _wrong(url, str(error)) from error
    options = dict(pairs)
    if len(options) < len(pairs):
        raise _wrong(url, "an option is given twice")
    for name, text in options.items():
        if name not in _OPTIONS:
            raise _wrong(url, f"option {shown(name)} is unknown")
        if not text and name != "prefix":
            raise _wrong(url, f"option {name} is empty")
    return options


def _is_file(name: str) -> bool:
    return name in {"ca", "cert", "key", "password_file"}


def _flag(url: str, text: str | None, *, default: bool) -> bool:
    if text is None:
        return default
    if text not in _FLAGS:
        raise _wrong(url, f"tls is {shown(text)}, which is neither 0 nor 1")
    return _FLAGS[text]


def _prefix(url: str, prefix: str) -> str:
    if prefix and not prefix.endswith("/"):
        raise _wrong(url, f"prefix {shown(prefix)} does not end with a slash")
    return prefix


def _wrong(url: str, why: str) -> InvalidArgumentError:
    return InvalidArgumentError(f"store {shown(url)}: {why}; {EXPECTED}")
