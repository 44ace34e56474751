"""discoveryd as a process: how it starts, what it refuses, how it ends."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import urllib.request

import pytest

import discovery
from tests.support.processes import DISCOVERYD, PATIENCE_S, daemon, free_ports, listening, program


async def output_of(*flags: str, env: dict[str, str] | None = None) -> tuple[int, str]:
    """Run discoveryd until it ends by itself; return its exit code and what it wrote to stderr."""
    process = await asyncio.create_subprocess_exec(
        *DISCOVERYD, *flags, stderr=asyncio.subprocess.PIPE, env=env
    )
    async with asyncio.timeout(PATIENCE_S):
        _, stderr = await process.communicate()
    return process.returncode, stderr.decode()


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--lease-recovery-s", "soon"], "setting 'lease.recovery_s' from flag"),
        (["--listen", "zmq://0.0.0.0:4710"], "a loopback address"),
        (["--listen", "nonsense"], "nonsense"),
        (["--store", "file:///tmp/x"], "does not exist in this version"),
        (["--store", "sqlite://"], "setting 'store' from flag --store"),
        (["--listen", "nats://127.0.0.1:4222?colour=red"], "option 'colour' is unknown"),
        (["--listen", "nats://10.0.0.1:4222"], "a loopback address"),
        (["--listen", "nats://127.0.0.1:4222", "--events", "zmq://127.0.0.1:1"], "'events' from"),
        (["--events", "nats://127.0.0.1:4222"], "'events' from flag"),
        (["--config", "/nowhere.toml"], "/nowhere.toml"),
        (["--no-such-flag"], "--no-such-flag"),
    ],
)
async def test_a_wrong_setting_stops_the_start_with_exit_code_2_and_is_named(flags, told):
    code, stderr = await output_of("--http", "off", *flags)
    assert code == 2
    assert told in stderr
    assert "Traceback" not in stderr


async def test_an_address_in_use_stops_the_start_with_exit_code_1_and_is_named():
    port = free_ports()
    with socket.create_server(("127.0.0.1", port)):
        code, stderr = await output_of("--http", "off", "--listen", f"zmq://127.0.0.1:{port}")
    assert code == 1
    assert str(port) in stderr
    assert "does another discoveryd run there?" in stderr
    assert "Traceback" not in stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_ends_with_exit_code_0_when_told_to(number):
    async with daemon(free_ports()) as running:
        running.send_signal(number)
        assert await running.ended() == 0


async def test_clients_that_wait_do_not_keep_it_from_ending():
    port = free_ports()
    async with daemon(port) as running, discovery.connect(f"zmq://127.0.0.1:{port}") as d:
        async with d.watch(discovery.EndpointQuery()) as stream:
            await stream.synced()
            running.send_signal(signal.SIGTERM)
            assert await running.ended() == 0
            async with asyncio.timeout(1):  # it says goodbye: nobody has to miss three beats
                while d.state is not discovery.ConnectionState.DISCONNECTED:
                    await asyncio.sleep(0.01)
            async with asyncio.timeout(PATIENCE_S):
                while stream.state is not discovery.StreamState.STALE:
                    await stream.changed()


async def test_it_tells_the_service_manager_when_it_is_up_and_when_it_stops(tmp_path):
    path, port = str(tmp_path / "notify"), free_ports()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(path)
        manager.settimeout(PATIENCE_S)
        flags = ("--http", "off", "--listen", f"zmq://127.0.0.1:{port}")
        async with program(*DISCOVERYD, *flags, env={"NOTIFY_SOCKET": path}) as running:
            assert await asyncio.to_thread(manager.recv, 100) == b"READY=1"
            await listening(port)
            running.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(manager.recv, 100) == b"STOPPING=1"
            assert await running.ended() == 0


async def test_http_serves_health_readiness_and_metrics():
    port, http = free_ports(), free_ports()
    async with daemon(port, "--http", f"127.0.0.1:{http}"):
        async with discovery.connect(f"zmq://127.0.0.1:{port}") as d:
            place = {"namespace": "n", "component": "c", "endpoint": "e"}
            await d.register(discovery.EndpointSpec(**place, transport={"tcp": "h:1/x"}))
            assert json.loads(await fetched(http, "/healthz")) == {"status": "ok"}
            assert json.loads(await fetched(http, "/readyz"))["ready"] is True
            metrics = await fetched(http, "/metrics")
    assert 'discoveryd_records{kind="endpoints"} 1.0' in metrics
    assert "discoveryd_processes 1.0" in metrics
    assert "discoveryd_requests_total" in metrics


async def test_sighup_changes_the_log_and_says_what_waits_for_the_next_start(tmp_path):
    port, file = free_ports(), tmp_path / "discoveryd.toml"
    file.write_text('http = "off"\n[log]\nlevel = "warning"\n')
    process = await asyncio.create_subprocess_exec(
        *DISCOVERYD,
        *("--config", str(file), "--listen", f"zmq://127.0.0.1:{port}"),
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        await listening(port)
        file.write_text('http = "off"\nshutdown_s = 9\n[log]\nlevel = "info"\n')
        process.send_signal(signal.SIGHUP)
        async with asyncio.timeout(PATIENCE_S):
            line = json.loads(await process.stderr.readline())
        assert line["message"] == "settings reloaded"
        assert line["changed_at_next_start"] == ["shutdown_s"]
        file.write_text("nonsense = 1\n")
        process.send_signal(signal.SIGHUP)
        async with asyncio.timeout(PATIENCE_S):
            line = json.loads(await process.stderr.readline())
        assert (line["message"], line["level"]) == ("settings not reloaded", "error")
        assert "nonsense" in line["why"]
    finally:
        process.terminate()
        await process.communicate()
    assert process.returncode == 0


async def test_who_is_ended_by_force_says_what_had_not_ended(tmp_path):
    flags = ("--http", "off", "--listen", f"zmq://127.0.0.1:{free_ports()}", "--shutdown-s", "0")
    process = await asyncio.create_subprocess_exec(
        *(*DISCOVERYD, *flags, "--log-level", "info"), stderr=asyncio.subprocess.PIPE
    )
    lines = []
    try:
        async for line in process.stderr:
            lines.append(json.loads(line))
            if lines[-1]["message"] == "serving":
                process.terminate()
    finally:
        await process.wait()
    assert process.returncode == 1
    last = lines[-1]
    assert (last["message"], last["why"]) == ("ended by force", "stopping took too long")
    assert any(place.startswith("run > ") for place in last["waiting"])


async def fetched(port: int, path: str) -> str:
    def get() -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return answer.read().decode()

    return await asyncio.to_thread(get)
