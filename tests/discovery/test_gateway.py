"""discovery.gateway: health, readiness and metrics over HTTP."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
from contextlib import asynccontextmanager

import pytest
from prometheus_client import CollectorRegistry, Counter

from discovery.errors import UnavailableError
from discovery.gateway.http import HttpApp, listening_socket, serve
from transports.errors import AddressError


class Response:
    def __init__(self, raw):
        head, _, self.body = raw.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        self.status = int(first.split()[1])
        self.headers = dict(line.lower().split(": ", 1) for line in lines)

    def json(self):
        assert self.headers["content-type"] == "application/json"
        return json.loads(self.body)


async def get(port, path, *, method="GET", headers=""):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        request = f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n"
        writer.write(request.encode())
        return Response(await reader.read())
    finally:
        writer.close()
        await writer.wait_closed()


def new_app(ready=lambda: (True, {})):
    metrics = CollectorRegistry()
    Counter("things", "Things seen.", registry=metrics).inc(3)
    return HttpApp(ready=ready, metrics=metrics)


@asynccontextmanager
async def served(app=None):
    with listening_socket("127.0.0.1:0") as sock:
        port = sock.getsockname()[1]
        async with serve(app or new_app(), sock):
            yield port


async def test_healthz_is_well_while_the_loop_turns():
    async with served() as port:
        response = await get(port, "/healthz")
    assert response.status == 200
    assert response.json() == {"status": "ok"}


async def test_readyz_is_200_when_ready_and_503_when_not_and_says_why():
    state = [False, {"store": "unreachable", "staleness_s": 4.5}]
    async with served(new_app(lambda: (state[0], state[1]))) as port:
        response = await get(port, "/readyz")
        assert response.status == 503
        assert response.json() == {"ready": False, "store": "unreachable", "staleness_s": 4.5}
        state[:] = [True, {}]
        response = await get(port, "/readyz")
        assert response.status == 200
        assert response.json() == {"ready": True}


async def test_metrics_are_those_of_the_registry_given_in_the_format_asked_for():
    async with served() as port:
        plain = await get(port, "/metrics")
        accept = "Accept: application/openmetrics-text; version=1.0.0\r\n"
        openmetrics = await get(port, "/metrics", headers=accept)
    assert plain.status == 200
    assert plain.headers["content-type"].startswith("text/plain")
    assert b"\nthings_total 3.0\n" in plain.body
    assert b"python_info" not in plain.body
    assert openmetrics.headers["content-type"].startswith("application/openmetrics-text")
    assert openmetrics.body.endswith(b"# EOF\n")


async def test_another_path_is_not_found_and_the_answer_names_those_there_are():
    async with served() as port:
        for path in ("/", "/metrics/", "/healthz/x", "/%00"):
            response = await get(port, path)
            assert response.status == 404
            error = response.json()["error"]
            assert error["code"] == "not_found"
            assert "/healthz, /readyz, /metrics" in error["message"]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
async def test_a_method_that_would_change_something_is_refused(method):
    async with served() as port:
        response = await get(port, "/readyz", method=method)
    assert response.status == 405
    assert response.headers["allow"] == "get, head"
    assert response.json()["error"]["code"] == "invalid_argument"


async def test_head_gives_the_headers_of_get_and_no_body():
    async with served() as port:
        whole = await get(port, "/healthz")
        head = await get(port, "/healthz", method="HEAD")
    assert (head.status, head.body) == (200, b"")
    assert head.headers["content-length"] == str(len(whole.body))


async def test_the_server_ends_with_the_block_and_closes_its_socket():
    with listening_socket("127.0.0.1:0") as sock:
        port = sock.getsockname()[1]
        async with serve(new_app(), sock):
            assert (await get(port, "/healthz")).status == 200
        assert sock.fileno() == -1
    with pytest.raises(ConnectionRefusedError):
        await get(port, "/healthz")


async def test_a_caller_that_stays_connected_does_not_hold_the_server_up():
    async with asyncio.timeout(5):
        async with served() as port:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()
        await writer.wait_closed()


async def test_an_error_in_the_block_leaves_as_it_is():
    with pytest.raises(KeyError):
        async with served():
            raise KeyError("x")


async def test_a_cancelled_block_ends_the_server_too():
    started = asyncio.Event()

    async def forever():
        async with served():
            started.set()
            await asyncio.sleep(3600)

    task = asyncio.get_running_loop().create_task(forever())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_socket_that_cannot_be_served_on_ends_the_block_with_its_error():
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock,
        pytest.raises(ValueError, match="Stream Socket"),
    ):
        async with serve(new_app(), sock):
            pytest.fail("the block ran")


async def test_signals_stay_with_the_program():
    handlers = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)]
    async with served():
        assert [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)] == handlers


def test_a_port_in_use_is_unavailable_and_named():
    with listening_socket("127.0.0.1:0") as sock:
        address = f"127.0.0.1:{sock.getsockname()[1]}"
        with pytest.raises(UnavailableError, match=address):
            listening_socket(address)


def test_the_socket_listens_on_ipv6_and_on_every_interface_too():
    for address, host in (("[::1]:0", "::1"), ("*:0", "0.0.0.0"), ("localhost:0", "127.0.0.1")):  # noqa: S104
        with listening_socket(address) as sock:
            assert sock.getsockname()[0] == host


@pytest.mark.parametrize("address", ["4712", "", "a:b", "127.0.0.1:70000"])
def test_an_address_that_is_none_is_refused(address):
    with pytest.raises(AddressError):
        listening_socket(address)
