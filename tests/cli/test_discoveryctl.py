"""discoveryctl as its users run it: a process, a daemon, exit codes, stdout and stderr."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from contextlib import asynccontextmanager

import pytest

import discovery
from tests.support.processes import PATIENCE_S, PROGRAMS, daemon, free_ports, program

CTL = (sys.executable, str(PROGRAMS / "discoveryctl.py"))
PLACE = {"namespace": "prod", "component": "vllm", "endpoint": "generate"}


@asynccontextmanager
async def fleet():
    """A daemon with an endpoint, a model and an event channel; gives its URL and a client."""
    port = free_ports()
    url = f"zmq://127.0.0.1:{port}"
    async with daemon(port), discovery.connect(url, instance_id=0x1A2B) as d:
        await d.register_all(
            [
                discovery.EndpointSpec(
                    **PLACE, transport={"tcp": "10.0.0.7:9000/x"}, device_type="cuda"
                ),
                discovery.ModelSpec(**PLACE, card={"display_name": "m", "source_path": "org/m"}),
            ]
        )
        await d.register(
            discovery.EventChannelSpec(
                namespace="prod",
                component="vllm",
                topic="kv-events",
                transport=discovery.ZmqTransport(endpoint="tcp://10.0.0.7:9100"),
                instance_id=7,
            )
        )
        yield url, d


async def ctl(url: str, *words: str) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        *CTL,
        "--url",
        url,
        *words,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(PATIENCE_S):
        out, err = await process.communicate()
    return process.returncode, out.decode(), err.decode()


async def test_get_prints_json_lines_when_nobody_sits_at_a_terminal():
    async with fleet() as (url, _):
        for kind, identity in (
            ("endpoints", "endpoints/prod/vllm/generate/1a2b"),
            ("models", "models/prod/vllm/generate/1a2b"),
            ("channels", "channels/prod/vllm/kv-events/7"),
        ):
            code, out, err = await ctl(url, "get", kind)
            (row,) = [json.loads(line) for line in out.splitlines()]
            assert (code, err, row["id"]) == (0, "", identity)
            assert row["record"]["namespace"] == "prod"


async def test_get_prints_a_table_names_or_json_when_asked():
    async with fleet() as (url, _):
        _, table, _ = await ctl(url, "-o", "table", "get", "models", "prod/vllm")
        assert table.splitlines()[0].split() == ["ID", "MODEL", "SOURCE", "LORA"]
        assert table.splitlines()[1].split()[1:] == ["m", "org/m", "-"]
        _, wide, _ = await ctl(url, "-o", "wide", "get", "models")
        assert "REVISION" in wide
        _, names, _ = await ctl(url, "-o", "name", "get", "endpoints")
        assert names == "endpoints/prod/vllm/generate/1a2b\n"
        _, text, _ = await ctl(url, "-o", "json", "get", "endpoints")
        assert [row["device"] for row in json.loads(text)] == ["cuda"]


async def test_get_shows_leases_and_watchers():
    async with fleet() as (url, d):
        code, out, _ = await ctl(url, "get", "leases")
        (lease,) = [json.loads(line) for line in out.splitlines()]
        assert (code, lease["id"], lease["records"], lease["ttl_s"]) == (0, "1a2b", 3, 10.0)
        async with d.watch(discovery.ModelQuery(namespace="prod")) as stream:
            await stream.synced()
            code, out, _ = await ctl(url, "get", "watchers")
        (watcher,) = [json.loads(line) for line in out.splitlines()]
        assert (code, watcher["scope"]) == (0, "models/prod")
        assert f"[{__import__('os').getpid()}]" in watcher["client"]


async def test_an_empty_list_is_no_error():
    async with fleet() as (url, _):
        assert await ctl(url, "get", "endpoints", "nobody/here") == (0, "", "")


async def test_watch_follows_until_interrupted():
    async with fleet() as (url, d):
        async with program(*CTL, "--url", url, "watch", "endpoints/prod") as watching:
            first = await watching.hear()
            assert (first["event"], first["id"]) == ("added", "endpoints/prod/vllm/generate/1a2b")
            await d.unregister(discovery.parse_id(first["id"]))
            gone = await watching.hear()
            assert (gone["event"], gone["cause"]) == ("removed", "unregistered")
            watching.send_signal(signal.SIGINT)
            assert await watching.ended() == 130


async def test_get_with_watch_lists_and_then_follows():
    async with fleet() as (url, d):
        async with program(*CTL, "--url", url, "get", "models", "prod", "-w") as watching:
            assert (await watching.hear())["model"] == "m"
            card = {"display_name": "m", "source_path": "org/m", "context_length": 8192}
            await d.register(discovery.ModelSpec(**PLACE, card=card))
            line = await watching.hear()
            assert line["event"] == "updated", line


async def test_status_and_version_tell_of_the_daemon():
    async with fleet() as (url, _):
        _, out, _ = await ctl(url, "status")
        status = json.loads(out)
        assert status["records"] == {"channels": 1, "endpoints": 1, "models": 1}
        assert (status["processes"], status["unreadable"]) == (1, {})
        _, out, _ = await ctl(url, "-o", "table", "version")
        assert [line.split()[0] for line in out.splitlines()] == ["client", "daemon"]
        code, out, _ = await ctl("zmq://127.0.0.1:1", "version", "--client")
        assert (code, list(json.loads(out))) == (0, ["client"])


async def test_no_daemon_is_exit_code_3_within_the_timeout():
    code, out, err = await ctl(f"zmq://127.0.0.1:{free_ports()}", "--timeout", "0.5", "status")
    assert (code, out) == (3, "")
    assert "cannot connect" in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    "words",
    [
        ["get", "nodes"],
        ["get", "endpoints", "a/b/c/d"],
        ["get", "endpoints", "a/../c"],
        ["get", "leases", "prod"],
        ["watch", "nothing/prod"],
        ["-o", "yaml", "status"],
        ["no-such-command"],
    ],
)
async def test_wrong_usage_is_exit_code_2_and_one_line_says_what(words):
    code, out, err = await ctl("zmq://127.0.0.1:1", *words)
    assert (code, out) == (2, "")
    assert err.strip()
    assert "Traceback" not in err


async def test_a_wrong_url_is_exit_code_2():
    code, _, err = await ctl("carrier-pigeon://x", "status")
    assert code == 2
    assert "carrier-pigeon" in err


async def test_a_record_is_shown_in_the_generation_it_is_stored_in():
    port = free_ports()
    url = f"zmq://127.0.0.1:{port}"
    flags = ("--registry-event-generation", "b")
    async with daemon(port, *flags), discovery.connect(url) as d:
        transport = discovery.ZmqTransport(endpoint="tcp://10.0.0.7:9100")
        place = {"namespace": "prod", "component": "vllm", "topic": "kv-events"}
        await d.register(discovery.EventChannelSpec(**place, transport=transport))
        _, out, _ = await ctl(url, "get", "channels")
    scope = {"kind": "component", "namespace": "prod", "component": "vllm"}
    assert json.loads(out)["record"]["scope"] == scope
