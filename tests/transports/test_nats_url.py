"""What a NATS address says."""

from __future__ import annotations

from pathlib import Path

import pytest

from transports.address import parse_url
from transports.errors import AddressError
from transports.nats.url import NatsUrl, parse_nats_address


def read(url):
    (address,) = parse_url(url)
    return parse_nats_address(address)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("nats://a:1", NatsUrl(servers=("a:1",), prefix="discoveryd")),
        (
            "nats://a:1,[::1]:2?prefix=x.y",
            NatsUrl(servers=("a:1", "[::1]:2"), prefix="x.y"),
        ),
        (
            "nats://a:1?user=u&password_file=/p&ca=/ca&cert=/c&key=/k",
            NatsUrl(
                servers=("a:1",),
                user="u",
                password_file=Path("/p"),
                is_tls=True,
                ca=Path("/ca"),
                cert=Path("/c"),
                key=Path("/k"),
            ),
        ),
        ("nats://a:1?token_file=t", NatsUrl(servers=("a:1",), token_file=Path("t"))),
        (
            "nats://a:1?nkey_file=n&tls=1",
            NatsUrl(servers=("a:1",), nkey_file=Path("n"), is_tls=True),
        ),
        ("nats://a:1?creds_file=c", NatsUrl(servers=("a:1",), creds_file=Path("c"))),
    ],
)
def test_an_address_is_read(url, expected):
    assert read(url) == expected


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("nats://a:1?color=red", "option 'color' is unknown; expected .*prefix, tls, user"),
        ("nats://a:1?user=", "option user is empty"),
        ("nats://a:1?user=a&user=b", "an option is given twice"),
        ("nats://a:1?user=a", "user and password_file go together"),
        ("nats://a:1?cert=a", "cert and key go together"),
        ("nats://a:1?tls=yes", "tls is 'yes', which is neither 0 nor 1"),
        ("nats://a:1?tls=0&ca=x", "ca and cert are for tls=1"),
        ("nats://a:1?token_file=a&creds_file=b", "token_file and creds_file are two ways"),
        ("nats://a:1?prefix=a..b", "prefix 'a..b' is not a subject"),
        ("nats://a:1?prefix=a.*", "is not a subject"),
        ("nats://a:1?prefix=a%20b", "is not a subject"),
        ("nats://a:1?prefix", "an option is not name=value"),
        ("nats://a:1/path", "a nats address has no path"),
        ("nats://u:secret@a:1", "credentials do not belong in an address"),
    ],
)
def test_what_is_wrong_is_said(url, why):
    with pytest.raises(AddressError, match=why) as refused:
        read(url)
    assert "secret" not in str(refused.value)
