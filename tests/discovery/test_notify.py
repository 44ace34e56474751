"""discovery.notify: the service manager hears of start and stop."""

from __future__ import annotations

import os
import socket

import pytest

from discovery.notify import sd_notify


@pytest.fixture
def manager(tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.settimeout(0)
        yield sock


def test_nothing_is_sent_without_a_service_manager():
    assert not sd_notify("READY=1", {})
    assert not sd_notify("READY=1", {"NOTIFY_SOCKET": ""})


def test_the_state_reaches_the_socket_that_is_named(manager):
    assert sd_notify("READY=1\nSTATUS=serving", {"NOTIFY_SOCKET": manager.getsockname()})
    assert manager.recv(100) == b"READY=1\nSTATUS=serving"


def test_a_leading_at_sign_means_an_abstract_socket():
    name = f"discoveryd-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(f"\0{name}")
        assert sd_notify("STOPPING=1", {"NOTIFY_SOCKET": f"@{name}"})
        assert sock.recv(100) == b"STOPPING=1"


def test_a_service_manager_that_is_gone_is_logged_and_not_raised(tmp_path, caplog):
    assert not sd_notify("READY=1", {"NOTIFY_SOCKET": str(tmp_path / "gone")})
    assert [record.message for record in caplog.records] == ["service manager not told"]


async def test_a_service_manager_that_does_not_read_does_not_block_the_loop(manager):
    environ = {"NOTIFY_SOCKET": manager.getsockname()}
    assert not all(sd_notify("WATCHDOG=1", environ) for _ in range(5000))
