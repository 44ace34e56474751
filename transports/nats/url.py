"""Where a NATS cluster is, how to be let in, and under which subjects ours are."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, urlencode

from transports.errors import AddressError
from transports.options import check_pair, files_of, is_tls, parse_options

if TYPE_CHECKING:
    from pathlib import Path

    from transports.address import Address

DEFAULT_PREFIX: Final = "discoveryd"
_FILES: Final = ("password_file", "token_file", "nkey_file", "creds_file", "ca", "cert", "key")
_OPTIONS: Final = ("prefix", "tls", "user", *_FILES)
_WAYS_IN: Final = ("user", "token_file", "nkey_file", "creds_file")
_EXPECTED: Final = (
    f"expected nats://host:port[,host:port][?option=value&…] with {', '.join(_OPTIONS)}"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class NatsUrl:
    """A NATS address, read but not followed.

    Attributes:
        servers: "host:port" of each server of the cluster, in the order of the URL.
        prefix: what all our subjects begin with, without a dot at its end.
        is_tls: whether connections are encrypted. Servers prove their names: the hosts here.
        ca: file with the certificates that servers are trusted by; None for those of the system.
        cert: file with our own certificate, which comes with `key`; or None.
        key: file with its private key.
        user: name to log in with, which comes with `password_file`; or None.
        password_file: file with its password; a line's end after it does not count.
        token_file: file with a token to log in with; or None.
        nkey_file: file with the seed of an nkey to log in with; or None.
        creds_file: file with a JWT and its nkey, as `nsc` makes them; or None.
    """

    servers: tuple[str, ...]
    prefix: str = DEFAULT_PREFIX
    is_tls: bool = False
    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None
    user: str | None = None
    password_file: Path | None = None
    token_file: Path | None = None
    nkey_file: Path | None = None
    creds_file: Path | None = None

    @property
    def has_login(self) -> bool:
        """Whether the servers ask who we are."""
        ways = (self.user, self.token_file, self.nkey_file, self.creds_file, self.cert)
        return any(way is not None for way in ways)


def parse_nats_address(address: Address) -> NatsUrl:
    """Read the options of a NATS address.

    Raises `AddressError`, which names what is wrong and what was expected.
    """
    try:
        options = parse_options(address.query, _OPTIONS)
        check_pair(options, "user", "password_file")
        check_pair(options, "cert", "key")
        ways = [name for name in _WAYS_IN if name in options]
        if len(ways) > 1:
            raise ValueError(f"{' and '.join(ways)} are two ways to log in")  # noqa: TRY301
        return NatsUrl(
            servers=(address.netloc, *address.others),
            prefix=_prefix(options.get("prefix", DEFAULT_PREFIX)),
            is_tls=is_tls(options),
            user=options.get("user"),
            **files_of(options, _FILES),
        )
    except ValueError as error:
        raise AddressError(f"address {str(address)!r:.120}: {error}; {_EXPECTED}") from error


def prefix_of(address: Address) -> str:
    """Return what all subjects of an address begin with. Raises `AddressError`."""
    return parse_nats_address(address).prefix


def with_prefix(address: Address, prefix: str) -> Address:
    """Return the same servers, and the same way to be let in, with other subjects."""
    options = [(name, text) for name, text in parse_qsl(address.query) if name != "prefix"]
    return replace(address, query=urlencode([*options, ("prefix", prefix)]))


def told(address: Address) -> Address:
    """Return what others may be told of an address: not how we are let in."""
    return with_prefix(replace(address, query=""), prefix_of(address))


def is_subject(text: str) -> bool:
    """Say whether something can be published to a subject of that name."""
    tokens = text.split(".")
    return all(token and token.isprintable() and not set(token) & set(" *>") for token in tokens)


def _prefix(prefix: str) -> str:
    if is_subject(prefix):
        return prefix
    raise ValueError(f"prefix {prefix!r:.100} is not a subject: tokens, with dots between them")
