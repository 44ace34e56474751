"""What an etcd URL may say."""

from __future__ import annotations

from pathlib import Path

import pytest

from discovery.errors import InvalidArgumentError
from discovery.stores.etcd.url import EtcdUrl, parse_etcd_url


def test_a_url_names_the_members_in_order():
    assert parse_etcd_url("etcd://a:2379,[::1]:2380") == EtcdUrl(endpoints=("a:2379", "[::1]:2380"))


def test_a_url_has_options():
    url = "etcd://a:1?prefix=my%20team/&ca=/c.pem&cert=/d.pem&key=/k.pem&user=u&password_file=/p"
    assert parse_etcd_url(url) == EtcdUrl(
        endpoints=("a:1",),
        prefix="my team/",
        is_tls=True,
        ca=Path("/c.pem"),
        cert=Path("/d.pem"),
        key=Path("/k.pem"),
        user="u",
        password_file=Path("/p"),
    )


@pytest.mark.parametrize(("tls", "is_tls"), [("", False), ("?tls=1", True), ("?tls=0", False)])
def test_encryption_is_asked_for(tls: str, *, is_tls: bool):
    assert parse_etcd_url(f"etcd://a:1{tls}").is_tls is is_tls


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("etcd://", "'etcd://'.* has no port"),
        ("etcd://a", "'a' has no port"),
        ("etcd://a:x", "port 'x' is not a number"),
        ("etcd://a:1,", "has no port"),
        (
            "etcd://user:secret@a:1",
            "credentials do not belong in its URL; expected .*password_file",
        ),
        ("etcd://a:1?prefix=x", "prefix 'x' does not end with a slash"),
        ("etcd://a:1?color=red", "option 'color' is unknown; expected .*prefix, tls, ca"),
        ("etcd://a:1?user=", "option user is empty"),
        ("etcd://a:1?user", "an option is not name=value"),
        ("etcd://a:1?user=a&user=b", "an option is given twice"),
        ("etcd://a:1?user=a", "user and password_file go together"),
        ("etcd://a:1?cert=/a", "cert and key go together"),
        ("etcd://a:1?tls=yes", "tls is 'yes', which is neither 0 nor 1"),
        ("etcd://a:1?tls=0&ca=/a", "ca and cert are for tls=1"),
    ],
)
def test_a_url_that_cannot_be_read_is_refused(url: str, why: str):
    with pytest.raises(InvalidArgumentError, match=why) as refused:
        parse_etcd_url(url)
    assert "secret" not in str(refused.value)
