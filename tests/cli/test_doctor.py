"""discoveryctl doctor: each silent mismatch, made with real processes, is found and named."""

from __future__ import annotations

import asyncio
import json
import signal
from contextlib import asynccontextmanager

import pytest

import discovery
from tests.cli.ctl import ADDRESS, CTL, PLACE, at_terminal, ctl, fleet
from tests.support.etcd import etcd_server
from tests.support.processes import DISCOVERYD, daemon, free_ports, script

MACHINE = {"ttl"}
"""What a busy machine may be told of, rightly, when nobody holds a lease of a longer TTL."""

ENDPOINT = discovery.EndpointSpec(**PLACE, transport={"tcp": ADDRESS})
PATIENT = {"lease_ttl_s": 3600.0}  # so that no pause of a busy machine is too long for a lease
MODEL = discovery.ModelSpec(**PLACE, card={"display_name": "m"})


@asynccontextmanager
async def registry(command: tuple[str, ...] = DISCOVERYD):
    """A daemon with nothing registered; gives its URL and a client."""
    port = free_ports()
    url = f"zmq://127.0.0.1:{port}"
    async with daemon(port, command=command), discovery.connect(url) as d:
        yield url, d


async def examined(url: str, *words: str) -> tuple[int, dict[str, list[dict]]]:
    """Exit code and findings, by the name of the check; none of `ok` has something to do."""
    code, out, err = await ctl(url, *words, "doctor")
    assert err == ""
    checks: dict[str, list[dict]] = {}
    for row in map(json.loads, out.splitlines()):
        assert (row["verdict"] == "ok") == (row["do"] is None)
        checks.setdefault(row["check"], []).append(row)
    return code, checks


def bad(checks: dict[str, list[dict]]) -> dict[str, list[str]]:
    """What is not as it should be: "verdict: found", by the name of the check."""
    found = {
        name: [f"{row['verdict']}: {row['found']}" for row in rows if row["verdict"] != "ok"]
        for name, rows in checks.items()
    }
    return {name: texts for name, texts in found.items() if texts}


# ---- all is well


async def test_a_fleet_that_is_watched_is_well():
    async with fleet(**PATIENT) as (url, d):
        async with d.watch(discovery.ModelQuery(namespace="prod")) as models:
            async with d.watch(discovery.EventChannelQuery(namespace="prod")) as channels:
                await models.synced()
                await channels.synced()
                code, checks = await examined(url)
    assert bad(checks) == {}
    assert code == 0
    assert set(checks) == {
        *("connect", "protocol", "codec", "events", "watch", "version", "registry", "clock"),
        *("store", "recovery", "unreadable", "watched", "registered", "pairs", "leases", "ttl"),
        "addresses",
    }
    assert [row["found"].split(": ")[1] for row in checks["codec"]] == [
        "msgpack is understood",
        "json is understood",
    ]


async def test_an_empty_registry_is_well():
    async with registry() as (url, _):
        _, checks = await examined(url)
    assert not bad(checks).keys() - MACHINE
    assert checks["watched"][0]["found"] == "nothing is registered yet"


async def test_examining_twice_does_not_find_the_first_time():
    async with registry() as (url, _):
        await examined(url)
        _, checks = await examined(url)
    assert not bad(checks).keys() - MACHINE


# ---- the way to the daemon


async def test_a_name_that_does_not_resolve():
    code, checks = await examined("zmq://no-such-host.invalid:4710")
    assert code == 3
    assert "the name no-such-host.invalid does not resolve" in bad(checks)["connect"][0]


async def test_a_port_where_nobody_listens():
    code, checks = await examined(f"zmq://127.0.0.1:{free_ports()}")
    assert code == 3
    assert bad(checks)["connect"][0].endswith("nobody listens there, the connection is refused")


@pytest.mark.parametrize(
    ("says", "found"),
    [
        (b"", "takes connections and says nothing within 0.5 s"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "what listens there does not speak ZeroMQ"),
    ],
)
async def test_a_port_where_something_else_listens(says, found):
    async def answer(reader, writer):
        writer.write(says)
        await reader.read()
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        code, checks = await examined(f"zmq://127.0.0.1:{port}", "--timeout", "0.5")
    assert code == 3
    assert bad(checks) == {"connect": [f"fail: zmq://127.0.0.1:{port}: {found}"]}


async def test_the_events_port_is_not_the_request_port():
    port = free_ports()
    async with daemon(port):
        code, checks = await examined(f"zmq://127.0.0.1:{port + 1}", "--timeout", "0.5")
    assert code == 3
    assert "speaks ZeroMQ, but does not answer as discoveryd does" in bad(checks)["connect"][0]


async def test_a_daemon_that_stands_still():
    port = free_ports()
    async with daemon(port) as running:
        running.send_signal(signal.SIGSTOP)
        code, checks = await examined(f"zmq://127.0.0.1:{port}", "--timeout", "0.5")
    assert code == 3
    assert "says nothing" in bad(checks)["connect"][0]
    assert "stands still" in checks["connect"][0]["do"]


async def test_another_protocol():
    async with daemon(port := free_ports(), command=script("odd_daemon", "protocol")):
        code, checks = await examined(f"zmq://127.0.0.1:{port}")
    assert code == 3
    assert "protocol 1: expected 2" in bad(checks)["protocol"][0]


async def test_one_daemon_of_two_that_is_down():
    async with registry() as (url, _):
        code, checks = await examined(f"{url},127.0.0.1:{free_ports()}")
    assert code == 6
    assert [row["verdict"] for row in checks["connect"]] == ["ok", "fail"]


async def test_two_daemons_of_two_registries():
    async with registry() as (one, _), registry() as (two, _):
        code, checks = await examined(f"{one},{two.removeprefix('zmq://')}")
    assert code == 6
    assert "are 2 different registries" in bad(checks)["registry"][0]


async def test_an_events_port_that_is_closed():
    async with daemon(port := free_ports(), command=script("odd_daemon", "events")):
        code, checks = await examined(f"zmq://127.0.0.1:{port}", "--timeout", "1")
    assert code == 6
    assert "zmq://127.0.0.1:1: nobody listens there" in bad(checks)["events"][0]
    assert bad(checks)["watch"] == ["fail: a watch is not synced within 1 s"]


@pytest.mark.parametrize("url", ["memory://", "pigeon://x", "zmq://127.0.0.1"])
async def test_a_url_of_no_daemon_is_wrong_usage(url):
    code, out, err = await ctl(url, "doctor")
    assert (code, out) == (2, "")
    assert url in err


# ---- the daemon


@pytest.mark.parametrize(
    ("oddity", "verdict"),
    [
        ("version", "warn: discoveryctl is 0.1.0, discoveryd is 0.0.1"),
        ("clock", "warn: discoveryd's clock is "),
        ("store", "fail: memory://, proven 60.0 s ago"),
        ("unreadable", "warn: v1/instances/prod/vllm/generate/77: "),
    ],
)
async def test_a_daemon_with_something_wrong(oddity, verdict):
    async with daemon(port := free_ports(), command=script("odd_daemon", oddity)):
        code, checks = await examined(f"zmq://127.0.0.1:{port}")
    assert code == 6
    assert bad(checks).keys() - MACHINE == {oddity}
    (text,) = bad(checks)[oddity]
    assert text.startswith(verdict)


async def test_the_etcd_behind_a_daemon_is_looked_at(etcd):
    url = f"zmq://127.0.0.1:{(port := free_ports())}"
    async with daemon(port, "--store", etcd.own_url()), discovery.connect(url) as d:
        await d.register(ENDPOINT)
        code, checks = await examined(url)
    assert code == 6  # Debian's etcd is an old one
    texts = [row["found"] for row in checks["backend"]]
    assert texts[0].startswith(f"etcd at {etcd.endpoint} is 3.4.23, at revision ")
    assert bad(checks)["backend"] == [
        f"warn: etcd at {etcd.endpoint}: 3.4.23 can lose changes on their way to those who watch"
    ]
    assert checks["store"][0]["found"].startswith("etcd://")


async def test_an_etcd_that_is_gone_is_found(tmp_path):
    url = f"zmq://127.0.0.1:{(port := free_ports())}"
    with etcd_server(tmp_path) as own:
        async with daemon(port, "--store", own.url), discovery.connect(url) as d:
            await d.list(discovery.EndpointQuery())
            await asyncio.to_thread(own.kill)
            code, checks = await examined(url)
    assert code == 6
    (text,) = bad(checks)["backend"]
    assert text.startswith(f"fail: etcd at {own.endpoint}: ")


async def test_a_ttl_that_is_too_short_for_the_pace_of_this_machine():
    async with registry(script("odd_daemon", "slow")) as (url, _):
        async with discovery.connect(url, lease_ttl_s=1) as d:
            await d.register_all([ENDPOINT, MODEL])
            async with d.watch(discovery.ModelQuery()) as stream:
                await stream.synced()
                code, checks = await examined(url)
    assert code == 6
    (text,) = bad(checks)["ttl"]
    assert text.startswith("warn: the shortest is 1 s, renewed every 0.33 s")


# ---- who registers, and who watches


async def test_nobody_watches_what_is_registered():
    async with fleet(**PATIENT) as (url, _):
        code, checks = await examined(url)
    place = "prod/vllm/generate"
    assert code == 6
    assert bad(checks) == {
        "watched": [
            f"warn: nobody watches endpoints/{place} (1) nor models/{place} (1)",
            "warn: nobody watches channels/prod/vllm/kv-events (1)",
        ]
    }


async def test_somebody_watches_what_nobody_registers_and_the_doctor_guesses_what_was_meant():
    async with fleet(**PATIENT) as (url, d):
        async with d.watch(discovery.ModelQuery(namespace="prod", component="vlm")) as stream:
            await stream.synced()
            code, checks = await examined(url)
    assert code == 6
    (text,) = bad(checks)["registered"]
    assert "watches models/prod/vlm, and nothing is registered there" in text
    assert text.endswith("; models/prod/vllm has 1")


async def test_half_a_worker():
    async with registry() as (url, d), discovery.connect(url) as other:
        async with discovery.connect(url) as third, d.watch(discovery.ModelQuery()) as stream:
            await stream.synced()
            await d.register_all([ENDPOINT, MODEL])
            await other.register(MODEL)
            await third.register(ENDPOINT)
            code, checks = await examined(url)
    assert code == 6
    deaf, mute = bad(checks)["pairs"]
    assert f": {other.instance_id:x} registered a model and no endpoint: nobody can" in deaf
    assert f": {third.instance_id:x} registered an endpoint and no model, others have" in mute


async def test_a_worker_that_was_refused_holds_a_lease_for_nothing():
    async with fleet(**PATIENT) as (url, _), discovery.connect(url) as other:
        spec = discovery.ModelSpec(**PLACE, card={"display_name": "another"})
        with pytest.raises(discovery.ModelConflictError):
            await other.register(spec)
        code, checks = await examined(url)
    assert code == 6
    (text,) = bad(checks)["leases"]
    assert f"process {other.instance_id:x} holds a lease and has nothing registered" in text


async def test_an_address_that_names_no_host():
    async with registry() as (url, d):
        spec = discovery.EndpointSpec(**PLACE, transport={"tcp": "0.0.0.0:9000/x"})
        instance = await d.register(spec)
        _, checks = await examined(url)
    (text,) = bad(checks)["addresses"]
    assert text.startswith(f"warn: {instance.id}: nobody can connect to 0.0.0.0:9000/x")


async def test_loopback_addresses_are_fine_where_all_are_on_one_machine():
    async with registry() as (url, d):
        await d.register(discovery.EndpointSpec(**PLACE, transport={"http": "http://[::1]:80/"}))
        _, checks = await examined(url)
    assert "addresses" not in bad(checks)
    assert "1 of them for this machine only" in checks["addresses"][0]["found"]


# ---- forms of output


async def test_people_get_lines_with_what_to_do_and_colours_only_at_a_terminal():
    async with fleet(**PATIENT) as (url, _):
        _, seen = await at_terminal(*CTL, "doctor", env={"DISCOVERY_URL": url, "COLUMNS": "100"})
        _, piped, _ = await ctl(url, "-o", "table", "doctor")
        _, names, _ = await ctl(url, "-o", "name", "doctor")
        _, whole, _ = await ctl(url, "-o", "json", "doctor")
    assert "\x1b[33mwarn \x1b[0m watched " in seen
    assert "\x1b" not in piped
    assert "                  do: start a router that does" in piped
    assert names == "watched\n"
    assert {row["verdict"] for row in json.loads(whole)} == {"ok", "warn"}
