from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transports.address import Address, parse_url
from transports.errors import AddressError


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("zmq://127.0.0.1:4710", Address(scheme="zmq", host="127.0.0.1", port=4710)),
        ("zmq://*:0", Address(scheme="zmq", host="*", port=0)),
        ("zmq://[::1]:65535", Address(scheme="zmq", host="::1", port=65535)),
        ("nats://a-b.example.:4222", Address(scheme="nats", host="a-b.example.", port=4222)),
        (
            "nats://a:1,[::1]:2?prefix=x",
            Address(scheme="nats", host="a", port=1, others=("[::1]:2",), query="prefix=x"),
        ),
        ("tcp://h:9000/gen/x", Address(scheme="tcp", host="h", port=9000, path="/gen/x")),
        ("memory://", Address(scheme="memory", host="")),
        ("memory://a:b", Address(scheme="memory", host="a:b")),
    ],
)
def test_a_url_is_parsed_into_its_parts_and_written_back(url, expected):
    (address,) = parse_url(url)
    assert address == expected
    assert parse_url(str(address)) == (address,)


def test_several_places_are_kept_in_order():
    first, second = parse_url("zmq://a:1,[fe80::2]:2")
    assert (str(first), str(second)) == ("zmq://a:1", "zmq://[fe80::2]:2")


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("127.0.0.1:4710", "it has no scheme"),
        ("http://h:1", "scheme 'http' is not known"),
        ("zmq://h", "'h' has no port"),
        ("zmq://[::1]", "'[::1]' has no port"),
        ("zmq://h:", "port '' is not a number"),
        ("zmq://h:-1", "port '-1' is not a number"),
        ("zmq://h:\uff11", "is not a number"),
        ("zmq://h:000080", "is not a number"),
        ("zmq://h:65536", "port 65536 is above 65535"),
        ("zmq://:1", "host '' is not a name"),
        ("zmq://a b:1", "host 'a b' is not a name"),
        ("zmq://::1:1", "host '::1' is not a name"),
        ("zmq://[::g]:1", "[::g] is not an IPv6 address"),
        ("zmq://[::1:1", "host '[::1' is not a name"),
        ("zmq://[\x1b[0m]:1", "it has a character that cannot be printed"),
        ("zmq://[::1%\n]:1", "it has a character that cannot be printed"),
        ("nats://h:1?prefix=\ud800", "it has a character that cannot be printed"),
        ("zmq://h:1/path", "a zmq address has no path"),
        ("zmq://a:1,", "'' has no port"),
        ("memory://a/b", "the name 'a/b' has a character that is not allowed"),
    ],
)
def test_a_wrong_url_is_refused_with_the_url_the_reason_and_what_is_expected(url, reason):
    with pytest.raises(AddressError) as refused:
        parse_url(url)
    text = str(refused.value)
    assert repr(url) in text
    assert reason in text
    assert "expected zmq://host:port" in text


def test_credentials_are_refused_and_not_repeated():
    with pytest.raises(AddressError, match="credentials do not belong in an address") as refused:
        parse_url("nats://me:secret@h:1")
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "is_loopback", "is_wildcard"),
    [
        ("zmq://127.3.2.1:1", True, False),
        ("zmq://localhost:1", True, False),
        ("zmq://LocalHost.:1", True, False),
        ("zmq://[::1]:1", True, False),
        ("memory://x", True, False),
        ("zmq://*:1", False, True),
        ("zmq://0.0.0.0:1", False, True),
        ("zmq://[::]:1", False, True),
        ("zmq://10.0.0.7:1", False, False),
        ("zmq://127.0.0.1.example.com:1", False, False),
        ("zmq://[::ffff:10.0.0.7]:1", False, False),
    ],
)
def test_loopback_and_wildcard_are_told_apart(url, is_loopback, is_wildcard):
    (address,) = parse_url(url)
    assert (address.is_loopback, address.is_wildcard) == (is_loopback, is_wildcard)


def test_another_port_leaves_the_rest():
    (address,) = parse_url("tcp://[::1]:0/p")
    assert str(address.with_port(7)) == "tcp://[::1]:7/p"


@given(st.text() | st.from_regex(r"(zmq|nats|tcp|memory)://[^\n]*"))
def test_any_text_is_parsed_or_refused(url):
    try:
        addresses = parse_url(url)
    except AddressError:
        return
    assert addresses
    for address in addresses:
        assert parse_url(str(address)) == (address,)
