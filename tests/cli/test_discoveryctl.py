"""discoveryctl's looking commands: a process, a daemon, exit codes, stdout and stderr."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import pytest

import discovery
from tests.cli.ctl import CTL, JOINED, PLACE, at_terminal, ctl, fleet, said
from tests.support.processes import daemon, free_ports, program

NOWHERE = "zmq://127.0.0.1:1"
ENDPOINT, MODEL = "endpoints/prod/vllm/generate/1a2b", "models/prod/vllm/generate/1a2b"
CHANNEL = "channels/prod/vllm/kv-events/7"


async def test_get_prints_json_lines_when_nobody_sits_at_a_terminal():
    async with fleet() as (url, _):
        for kind, identity in (("endpoints", ENDPOINT), ("models", MODEL), ("channels", CHANNEL)):
            code, out, err = await ctl(url, "get", kind)
            (row,) = [json.loads(line) for line in out.splitlines()]
            assert (code, err, row["id"]) == (0, "", identity)
            assert row["record"]["namespace"] == "prod"


async def test_a_kind_may_be_singular_or_short_or_come_with_its_scope():
    async with fleet() as (url, _):
        for words in (["endpoint"], ["ep"], ["eps", "prod"], ["endpoints/prod/vllm"], ["EP"]):
            assert await ctl(url, "get", *words, "-o", "name") == (0, f"{ENDPOINT}\n", "")


async def test_options_stand_before_or_after_the_command():
    async with fleet() as (url, _):
        for words in (
            ["--url", url, "-o", "name", "--timeout", "9", "get", "models"],
            ["get", "--url", url, "models", "-o", "name", "--timeout", "9"],
            ["--url", NOWHERE, "-o", "json", "get", "models", "-o", "name", "--url", url],
        ):
            assert await ctl(NOWHERE, *words) == (0, f"{MODEL}\n", "")


async def test_get_prints_a_table_names_or_json_when_asked():
    async with fleet() as (url, _):
        _, table, _ = await ctl(url, "-o", "table", "get", "models", "prod/vllm")
        assert table.splitlines()[0].split() == ["ID", "MODEL", "SOURCE", "LORA"]
        assert table.splitlines()[1].split()[1:] == ["m", "org/m", "-"]
        _, wide, _ = await ctl(url, "-o", "wide", "get", "models")
        assert "REVISION" in wide
        _, text, _ = await ctl(url, "-o", "json", "get", "endpoints")
        assert [row["device"] for row in json.loads(text)] == ["cuda"]


async def test_at_a_terminal_there_is_a_table_in_colours_unless_they_are_unwanted():
    async with fleet() as (url, _):
        look = (*CTL, "--url", url, "get", "channels")
        code, seen = await at_terminal(*look, env={"NO_COLOR": ""})
        assert (code, seen.count("\x1b[1m")) == (0, 3)
        for plain in ({"NO_COLOR": "1"}, {"NO_COLOR": "0"}, {"NO_COLOR": "whatever"}):
            code, seen = await at_terminal(*look, env=plain)
            assert [line.split() for line in seen.splitlines()] == [
                ["ID", "TRANSPORT", "ADDRESS"],
                [CHANNEL, "zmq", "tcp://10.0.0.7:9100"],
            ]
        _, seen = await at_terminal(*CTL, "--no-color", *look[2:])
        assert "\x1b" not in seen


async def test_get_shows_leases_and_watchers():
    async with fleet() as (url, d):
        code, out, _ = await ctl(url, "get", "leases")
        (lease,) = [json.loads(line) for line in out.splitlines()]
        assert (code, lease["id"], lease["records"], lease["ttl_s"]) == (0, "1a2b", 3, 10.0)
        async with d.watch(discovery.ModelQuery(namespace="prod")) as stream:
            await stream.synced()
            code, out, _ = await ctl(url, "get", "watcher")
            _, names, _ = await ctl(url, "get", "watchers", "-o", "name")
        (watcher,) = [json.loads(line) for line in out.splitlines()]
        assert (code, watcher["scope"]) == (0, "models/prod")
        assert f"[{os.getpid()}]" in watcher["client"]
        assert names == f"{watcher['client']}\n"


async def test_an_empty_list_is_no_error():
    async with fleet() as (url, _):
        assert await ctl(url, "get", "endpoints", "nobody/here") == (0, "", "")
        code, out, err = await ctl(url, "get", "endpoints", "nobody", "-o", "table")
        assert (code, out, err) == (0, "", "discoveryctl: no endpoints in nobody\n")


async def test_watch_follows_until_interrupted():
    async with fleet() as (url, d):
        async with program(*CTL, "--url", url, "watch", "endpoint/prod") as watching:
            first = await watching.hear()
            assert (first["event"], first["id"]) == ("added", ENDPOINT)
            await d.unregister(discovery.parse_id(first["id"]))
            gone = await watching.hear()
            assert (gone["event"], gone["cause"], gone["detail"]) == (
                "removed",
                "unregistered",
                None,
            )
            watching.send_signal(signal.SIGINT)
            assert await watching.ended() == 130


async def test_a_watched_table_has_a_header_and_columns_that_stay():
    async with fleet() as (url, d):
        command = (*CTL, "--url", url, "get", "endpoints", "-w", "-o", "table")
        async with program(*command) as watching:
            lines = [(await watching.process.stdout.readline()).decode() for _ in range(2)]
            await d.unregister(discovery.parse_id(ENDPOINT))
            lines.append((await watching.process.stdout.readline()).decode())
            watching.send_signal(signal.SIGINT)
            await watching.ended()
    assert lines[0].split() == ["EVENT", "ID", "ADDRESS", "DEVICE", "CAUSE"]
    assert [line.split()[0] for line in lines[1:]] == ["added", "removed"]
    assert lines[2].rstrip().endswith("unregistered")
    assert {line.index("endpoints/prod") for line in lines[1:]} == {lines[0].index("ID")}
    assert {line.rindex(word) for line, word in zip(lines[1:], ("-", "unreg"), strict=True)} == {
        lines[0].index("CAUSE")
    }


async def test_a_followed_list_as_json_is_one_object_per_line():
    async with fleet() as (url, d):
        command = (*CTL, "--url", url, "get", "models", "prod", "-w", "-o", "json")
        async with program(*command) as watching:
            assert (await watching.hear())["model"] == "m"
            card = {"display_name": "m", "source_path": "org/m", "context_length": 8192}
            await d.register(discovery.ModelSpec(**PLACE, card=card))
            line = await watching.hear()
            assert line["event"] == "updated", line


async def test_watch_says_when_no_daemon_answers_and_when_one_does_again():
    port = free_ports()
    url = f"zmq://127.0.0.1:{port}"
    beats = ("--watch-beat-interval-s", "0.1")
    async with program(*JOINED, "--url", url, "watch", "models") as watching:
        async with daemon(port, *beats), discovery.connect(url) as d:
            await d.register(discovery.ModelSpec(**PLACE, card={"display_name": "m"}))
            await said(watching, "added")
        await said(watching, "discoveryctl: no daemon answers")
        async with daemon(port, *beats):
            await said(watching, "discoveryctl: a daemon answers again")


async def test_describe_tells_of_record_lease_unit_and_watchers():
    async with fleet() as (url, d):
        async with d.watch(discovery.ModelQuery(namespace="prod")) as stream:
            await stream.synced()
            code, out, err = await ctl(url, "describe", MODEL)
        told = json.loads(out)
        assert (code, err) == (0, "")
        lease = {"id": "1a2b", "records": 3, "ttl_s": 10.0, "draining": False}
        assert told["lease"] == lease
        assert told["unit"] == [ENDPOINT]
        assert [f"[{os.getpid()}]" in line for line in told["watchers"]] == [True]
        assert told["record"]["card_json"] == {"display_name": "m", "source_path": "org/m"}
        _, out, _ = await ctl(url, "describe", CHANNEL)
        assert json.loads(out)["lease"] is None
        _, out, _ = await ctl(url, "describe", "1a2b", "-o", "table")
        assert out.split()[-3:] == ["unit", ENDPOINT, MODEL]


@pytest.mark.parametrize("name", ["endpoints/prod/vllm/generate/1a2c", "1a2c"])
async def test_describe_of_what_is_not_there_is_exit_code_5(name):
    async with fleet() as (url, _):
        code, out, err = await ctl(url, "describe", name)
    assert (code, out) == (5, "")
    assert "1a2c" in err


async def test_status_and_version_tell_of_the_daemon():
    async with fleet() as (url, _):
        _, out, _ = await ctl(url, "status")
        status = json.loads(out)
        assert status["records"] == {"channels": 1, "endpoints": 1, "models": 1}
        assert (status["processes"], status["unreadable"]) == (1, {})
        assert await ctl(url, "status", "-o", "name") == (0, f"{status['daemon']}\n", "")
        _, out, _ = await ctl(url, "-o", "table", "version")
        assert [line.split()[0] for line in out.splitlines()] == ["client", "daemon"]


async def test_a_daemon_that_has_lost_its_store_is_degraded():
    port = free_ports()
    command = (sys.executable, str(Path(__file__).with_name("storeless_daemon.py")))
    async with daemon(port, command=command):
        code, out, err = await ctl(f"zmq://127.0.0.1:{port}", "status")
    assert (code, json.loads(out)["store_age_s"]) == (6, 60.0)
    assert "degraded" in err


async def test_no_daemon_is_exit_code_3_within_the_timeout():
    url = f"zmq://127.0.0.1:{free_ports()}"
    code, out, err = await ctl(url, "status", "--timeout", "0.5")
    assert (code, out) == (3, "")
    assert err.startswith(f"discoveryctl: cannot connect to {url} within 0.5 s")
    assert "hint: start a daemon with `discoveryd`" in err


async def test_a_daemon_that_stands_still_is_the_same_error_for_every_command():
    port = free_ports()
    url = f"zmq://127.0.0.1:{port}"
    async with daemon(port) as standing:
        standing.send_signal(signal.SIGSTOP)
        seen = [
            await ctl(url, "--timeout", "0.5", *words)
            for words in (
                ["get", "endpoints"],
                ["register", "endpoint", "prod/vllm/generate", "--tcp", "x:1"],
                ["status"],
            )
        ]
    assert seen[0][0] == 3
    assert len(set(seen)) == 1, seen


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["get", "nodes"], "did you mean 'models'?"),
        (["get", "endpoints", "a/b/c/d"], "describe endpoints/a/b/c/d"),
        (["get", "endpoints", "a/../c"], "component '..' is a relative path"),
        (["get", "leases", "prod"], "neither a scope nor --watch"),
        (["watch", "nothing/prod"], "unknown kind 'nothing'"),
        (["watch", "leases"], "expected endpoints, models, channels"),
        (["-o", "yaml", "status"], "yaml"),
        (["stauts"], "did you mean 'status'?"),
        (["describe", "models/prod"], "expected 4 or 5 parts, got 1"),
        (["describe", "zz"], "Invalid instance_id hex"),
        (["--timeout", "0", "status"], "0"),
        (["status", "\x1b]0;owned\x07"], "discoveryctl status"),
        (["--url", "carrier-pigeon://x", "status"], "carrier-pigeon"),
        ([], "Commands:"),
    ],
)
async def test_wrong_usage_is_exit_code_2_and_says_what(words, said):
    code, out, err = await ctl(NOWHERE, *words)
    assert (code, out) == (2, "")
    assert said in err
    assert "Traceback" not in err
    assert "\x1b" not in err


async def test_who_has_read_enough_ends_it_without_an_error():
    async with fleet() as (url, d):
        async with program(*CTL, "--url", url, "watch", "endpoints") as watching:
            await watching.hear()
            watching.process._transport.get_pipe_transport(1).close()
            await asyncio.sleep(0)  # in the next turn of the loop it is closed, and not before
            await d.unregister(discovery.parse_id(ENDPOINT))
            assert await watching.ended() == 0


async def test_a_full_disk_is_an_error_and_said():
    async with fleet() as (url, _):
        command = f"{' '.join(CTL)} --url {url} get endpoints >/dev/full"
        assert await at_terminal("bash", "-c", command) == (
            1,
            "discoveryctl: stopped: No space left on device\n",
        )


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


async def test_what_a_record_says_cannot_command_a_terminal():
    async with fleet() as (url, d):
        name = "m\x1b]0;owned\x07\nhint: rm -rf"
        await d.register(
            discovery.ModelSpec(
                namespace="x", component="y", endpoint="z", card={"display_name": name}
            )
        )
        card = '{"display_name": "other"}'
        words = ("register", "model", "x/y/z", "--card", "-")
        code, out, err = await ctl(url, *words, stdin=card)
        assert (code, out) == (4, "")
        assert "\x1b" not in err
        assert [line.split(":")[0] for line in err.splitlines()] == ["discoveryctl", "hint"]
        for command in (("get", "models", "x"), ("describe", "models/x/y/z/1a2b")):
            _, seen = await at_terminal(*CTL, "--no-color", "--url", url, *command)
            assert "\x1b" not in seen
            assert "\nhint" not in seen
