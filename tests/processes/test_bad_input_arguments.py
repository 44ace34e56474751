"""URLs, arguments and settings that are wrong: said at once, in one line, by name and value."""

from __future__ import annotations

import math
import os
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

import discovery
from tests.cli.ctl import CTL
from tests.support.processes import DISCOVERYD, PATIENCE_S
from tests.support.raw_client import LONGEST_REFUSAL

if TYPE_CHECKING:
    from pathlib import Path

URL = "zmq://127.0.0.1:1"
LONG = "x" * 100_000

URLS = {
    "empty": ("", "address '' cannot be used: it has no scheme"),
    "a space": (" ", "address ' ' cannot be used: it has no scheme"),
    "no host": ("zmq://", "'' has no port"),
    "no port": ("zmq://host", "'host' has no port"),
    "port 99999": ("zmq://host:99999", "port 99999 is above 65535"),
    "port -1": ("zmq://host:-1", "port '-1' is not a number"),
    "a space in it": ("zmq://a b:1", "host 'a b' is not a name"),
    "a line": ("zmq://a\nb:1", "it has a character that cannot be printed"),
    "http": ("http://x", "scheme 'http' is not known"),
    "upper case": ("ZMQ://x:1", "scheme 'ZMQ' is not known"),
    "a query": ("zmq://h:1?codec=json", "port '1?codec=json' is not a number"),
    "a path": ("zmq://h:1/path", "a zmq address has no path"),
    "one too many": ("zmq://h:1,,h:2", "'' has no port"),
    "a long host": (f"zmq://{LONG}:1", "its host has 100000 characters, at most 254"),
    "a long scheme": (f"{LONG}://h:1", "x… is not known"),
    "a long port": (f"zmq://h:{LONG}", "x… is not a number"),
    "a long path": (f"memory://{LONG}/", "x… has a character that is not allowed"),
    "a surrogate": ("zmq://\udcff:1", "it has a character that cannot be printed"),
    "half an IPv6": ("zmq://[::1:1", "host '[::1' is not a name"),
}


@pytest.mark.parametrize("name", URLS)
def test_a_url_that_is_none_is_refused_before_anything_is_connected(name: str) -> None:
    url, said = URLS[name]
    assert said in refused(lambda: discovery.connect(url))


@pytest.mark.parametrize(
    "url",
    [
        "zmq://me:secret@h:1",
        "nats://me:secret@h:1",
        "http://me:secret@h:1",
        "etcd://me:secret@h:1",
        "memory://me:secret@h",
        "me:secret@h:1",
        "zmq://h:1,me:secret@h:2",
    ],
)
def test_credentials_in_a_url_are_refused_and_not_repeated(url: str) -> None:
    message = refused(lambda: discovery.connect(url))
    assert "credentials do not belong in" in message
    assert "secret" not in message


def refused(call: Any) -> str:
    """Return what an InvalidArgumentError says; it must be one line and not a long one."""
    with pytest.raises(discovery.InvalidArgumentError) as caught:
        call()
    message = str(caught.value)
    assert len(message) < LONGEST_REFUSAL
    assert "\n" not in message
    return message


def nested(levels: int) -> object:
    value: object = 1
    for _ in range(levels):
        value = [value]
    return value


DEEP = nested(100_000)
PLACE: dict[str, Any] = {"namespace": "n", "component": "c", "endpoint": "e"}
BAD_ID = discovery.EndpointId(**PLACE, instance_id="zz")  # type: ignore[arg-type]  # on purpose


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"lease_ttl_s": 0}, "lease_ttl_s 0: expected 1 to 3600 seconds"),
        ({"lease_ttl_s": -1}, "lease_ttl_s -1"),
        ({"lease_ttl_s": 10**9}, "lease_ttl_s 1000000000"),
        ({"lease_ttl_s": 10**5000}, "lease_ttl_s a huge int"),
        ({"lease_ttl_s": math.nan}, "lease_ttl_s nan"),
        ({"lease_ttl_s": math.inf}, "lease_ttl_s inf"),
        ({"lease_ttl_s": LONG}, "lease_ttl_s 'xxx"),
        ({"request_timeout_s": 10**5000}, "request_timeout_s a huge int"),
        ({"instance_id": 0}, "instance_id 0: expected 1 to 2^64 - 1"),
        ({"instance_id": -1}, "instance_id must be an integer from 0 to 2**64 - 1, got -1"),
        ({"instance_id": 2**64}, "instance_id must be an integer"),
        ({"instance_id": 10**5000}, "got a huge int"),
        ({"instance_id": "7"}, "instance_id must be an integer from 0 to 2**64 - 1, got '7'"),
        ({"tenant": LONG}, "tenant 'xxx"),
        ({"tenant": DEEP}, "tenant a huge list"),
    ],
    ids=range(15),
)
def test_an_argument_of_connect_is_refused_by_name_and_value(
    options: dict[str, Any], said: str
) -> None:
    assert said in refused(lambda: discovery.connect(URL, **options))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (
            lambda: discovery.ModelSpec(**PLACE, card=DEEP),
            "card must be a mapping, got a huge list",
        ),
        (lambda: discovery.ModelSpec(**PLACE, card={"x": DEEP}), "card.x[0][0]"),
        (lambda: discovery.ModelSpec(**PLACE, card={LONG: DEEP}), f"card.{'x' * 60}…[0]"),
        (lambda: discovery.ModelSpec(**PLACE, card={"\x1b": {1: 2}}), r"card.'\x1b' must have str"),
        (lambda: discovery.EndpointSpec(**PLACE, transport=DEEP), "got a huge list"),
        (lambda: discovery.EndpointQuery(namespace=LONG), "namespace 'xxx"),
        (lambda: discovery.parse_id(f"endpoints/a/b/c/{LONG}"), "invalid digit"),
        (lambda: discovery.ZmqTransport(endpoint=DEEP), "endpoint must be a string, got a huge"),
    ],
    ids=range(8),
)
def test_what_is_nested_without_end_or_long_is_refused_in_short(make: Any, said: str) -> None:
    assert said in refused(make)


async def test_methods_refuse_what_is_no_id_no_cause_and_no_spec() -> None:
    async with discovery.connect("memory://bad-input") as d:
        for call, said in (
            (d.remove(BAD_ID), "instance_id must be an integer from 0 to 2**64 - 1, got 'zz'"),
            (d.unregister(BAD_ID), "instance_id must be an integer"),
            (d.revoke(cause=5), "cause: expected unregistered or crashed, got 5"),  # type: ignore[arg-type]
            (d.revoke(detail=5), "detail: expected a text, got 5"),  # type: ignore[arg-type]
            (d.register_all([DEEP]), "spec: expected EndpointSpec, .* got a huge list"),
            (d.register_all({LONG: 1}), "specs: expected a list of one or more, got {'xx"),
            (d.list(discovery.EndpointQuery(), min_revision=2**64), "min_revision"),
        ):
            with pytest.raises(discovery.InvalidArgumentError, match=said.replace("**", r"\*\*")):
                await call
        assert list(await d.list(discovery.EndpointQuery())) == []


FILES = {
    "unknown key": ("recovery = 1", "unknown setting 'recovery' in file {}"),
    "unknown key in a table": ("[lease]\nttl = 1", "unknown setting 'lease.ttl' in file {}"),
    "unknown key of 100 KB": (f"{LONG} = 1", "x… (100002 characters) in file {}"),
    "a text for a number": ('shutdown_s = "5"', "setting 'shutdown_s' from file {}: got '5', exp"),
    "a number for a text": ("store = 5", "setting 'store' from file {}: got 5, expected a text"),
    "a text of 100 KB": (f'[log]\nlevel = "{LONG}"', "x… (100002 characters), expected one of de"),
    "NaN": ("shutdown_s = nan", "got nan, expected a number from 0.0 to 600.0"),
    "10^9": ("[lease]\nmin_ttl_s = 1000000000", "got 1000000000, expected a number from 0.1 to"),
    "a huge number": (f"shutdown_s = 0x{'f' * 10_000}", "got a huge int, expected a number"),
    "a value for a table": ("lease = 1", "setting 'lease' from file {}: got 1, expected a table"),
    "broken TOML": ("store = ", "configuration file {} cannot be read: "),
    "key twice": ("http = 'off'\nhttp = 'off'", "configuration file {} cannot be read: "),
    "no UTF-8": (b"store = '\xff'", "configuration file {} cannot be read: 'utf-8' codec"),
    "10,000 deep": ("listen = " + "[" * 10_000, "configuration file {} cannot be read: nested too"),
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_wrong_stops_the_start(tmp_path: Path, name: str) -> None:
    content, said = FILES[name]
    file = tmp_path / "discoveryd.toml"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert said.format(file) in stopped("discoveryd", *DISCOVERYD, "--config", str(file))


@pytest.mark.parametrize(
    ("variable", "value", "said"),
    [
        ("DISCOVERY_LISTNE", URL, "unknown setting 'DISCOVERY_LISTNE' in the environment; did you"),
        ("DISCOVERY_INSECURE", "perhaps", "got 'perhaps', expected true or false"),
        ("DISCOVERY_SHUTDOWN_S", "nan", "from variable DISCOVERY_SHUTDOWN_S: got 'nan', expected"),
        ("DISCOVERY_LOG_LEVEL", LONG, "x… (100002 characters), expected one of debug, info"),
        ("DISCOVERY_STORE", "\udcff://", r"store '\udcff://': the backend '\udcff' is unknown"),
        ("DISCOVERY_CONFIG", "/no/where", "configuration file /no/where cannot be read"),
    ],
    ids=range(6),
)
def test_a_variable_that_is_wrong_stops_the_start(variable: str, value: str, said: str) -> None:
    assert said in stopped("discoveryd", *DISCOVERYD, env={variable: value})


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--listen", "zmq://h:99999"], "setting 'listen' from flag --listen: address 'zmq://h:9"),
        (["--listen", ""], "setting 'listen' from flag --listen: got [''], expected one or more"),
        (["--http", "4712"], "setting 'http' from flag --http: address 'tcp://4712'"),
        (["--store", "etcd://me:secret@h"], "credentials do not belong in its URL"),
        (["--limits-max-unit", "64.0"], "got '64.0', expected a whole number from 1 to 116"),
        (["--lease-max-ttl-s", "0.5"], "got 0.5, expected at least lease.min_ttl_s, 1.0"),
        (["--config", ""], "cannot be read"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_flag_that_is_wrong_stops_the_start(flags: list[str], said: str) -> None:
    told = stopped("discoveryd", *DISCOVERYD, *flags)
    assert said in told
    assert "secret" not in told


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--url", "zmq://", "status"], "url: address 'zmq://' cannot be used: '' has no port"),
        (["--url", "http://me:secret@h", "status"], "credentials do not belong in an address"),
        (["--url", f"zmq://{LONG}:1", "status"], "its host has 100000 characters"),
        (["--url", "zmq://\udcff:1", "status"], "a character that cannot be printed"),
        (["--timeout", "nan", "status"], "timeout_s nan: expected seconds above 0"),
        (["get", "endpoints", "x" * 300], "x… (302 characters) is too long"),
        (["get", "endpoints", "a/\udcff"], r"component '\udcff' contains '\udcff'"),
        (["rm", "endpoints/a/../c/1"], "component '..' is a relative path"),
        (["drain", "1" + "0" * 16], "number too large"),
        (["drain", "f" * 100_000], "f… (100002 characters), expected 0 to ffffffffffffffff"),
        (["register", "endpoint", "a/\x01/c", "--tcp", "x"], r"component '\x01' contains '\x01'"),
        (["register", "channel", "a/t", "--nats", ""], "must have an address, got ''"),
    ],
    ids=range(12),
)
def test_words_that_are_wrong_end_discoveryctl(words: list[str], said: str) -> None:
    told = stopped("discoveryctl", *CTL, *words, env={"DISCOVERY_URL": URL})
    assert said in told
    assert "secret" not in told


def stopped(name: str, *command: str, env: dict[str, str] | None = None) -> str:
    """Run a command that must end with code 2 and one line; return that line."""
    done = subprocess.run(
        command,
        capture_output=True,
        check=False,
        env=os.environ | (env or {}),
        errors="backslashreplace",
        text=True,
        timeout=PATIENCE_S,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"{name}: ")
    assert done.stderr.count("\n") == 1
    assert len(done.stderr) < LONGEST_REFUSAL
    return done.stderr
