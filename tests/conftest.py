"""Fixtures that hold for every test: what blocks the loop or is left behind fails the test.

Left behind can be a task, a thread or a socket. Each gets a moment to end, since threads and
ZMQ's sockets end a little after they were told to.
"""

from __future__ import annotations

import asyncio
import asyncio.constants
import gc
import linecache
import math
import threading
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

import grpc.aio
import hypothesis
import pytest
import pytest_asyncio
from blockbuster import BlockBuster

from tests.support.etcd import Etcd, etcd_server
from tests.support.nats import Nats, nats_server

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator

# How fast examples are made says something about the machine, not about the code.
hypothesis.settings.register_profile(
    "project", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("project")

# Debug mode notes where each future, task and callback was made. The whole of it, with a look at
# every source file's date, was three quarters of the time of a test; its last lines are enough.
asyncio.constants.DEBUG_STACK_DEPTH = 3
traceback.extract_stack.__defaults__ = (None, 3)  # what futures made in C call, without arguments
linecache.checkcache = lambda filename=None: None  # sources stay as they are meanwhile

GRACE_S = 20.0  # on a busy machine; what is not left behind ends in much less


def _open_sockets() -> frozenset[str]:
    """Return the names of the process's sockets, "socket:[inode]"."""
    names = set()
    for link in Path("/proc/self/fd").iterdir():
        try:
            name = str(link.readlink())
        except FileNotFoundError:  # closed since, such as the one that lists the folder
            continue
        if name.startswith("socket:"):
            names.add(name)
    return frozenset(names)


def _wait_a_little() -> None:
    time.sleep(0.005)  # real, also where the loop's time is virtual


@pytest.fixture(scope="session")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Etcd]:
    """An etcd for those who only need one, and keys of their own in it."""
    with etcd_server(tmp_path_factory.mktemp("etcd")) as server:
        yield server


@pytest.fixture(scope="session")
def nats(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nats]:
    """A nats-server for those who only need one, and subjects of their own in it."""
    with nats_server(tmp_path_factory.mktemp("nats")) as server:
        yield server


@pytest.fixture(scope="session", autouse=True)
def grpc_is_there() -> Iterator[None]:
    """gRPC's thread and sockets, one set for the whole process, are there before any test."""
    grpc.aio.init_grpc_aio()
    yield
    grpc.aio.shutdown_grpc_aio()


@pytest.fixture(scope="session", autouse=True)
def no_blocking_calls() -> Iterator[None]:
    blockbuster = BlockBuster(["discovery", "transports"])  # making one takes milliseconds
    # The tracer of coverage takes a lock of its own in the midst of whatever it traces.
    blockbuster.functions["threading.Lock.acquire"].can_block_in(
        "coverage/collector.py", "lock_data"
    )
    blockbuster.activate()
    yield
    blockbuster.deactivate()


@pytest.fixture(autouse=True)
def no_leaked_threads() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    # A loop joins its own executor's threads when it is closed, which is later than this.
    leaked = [
        thread
        for thread in threading.enumerate()
        if thread not in before and not thread.name.startswith("asyncio_")
    ]
    deadline = time.monotonic() + GRACE_S
    for thread in leaked:
        thread.join(max(0.0, deadline - time.monotonic()))
    leaked = [thread for thread in leaked if thread.is_alive()]
    assert not leaked, f"leaked threads: {leaked}"


@pytest_asyncio.fixture(autouse=True)
async def no_leaked_tasks_and_sockets() -> AsyncGenerator[None]:
    # Debug mode warns of slow callbacks, on a busy machine of any: into logs that tests look at.
    asyncio.get_running_loop().slow_callback_duration = math.inf
    tasks, sockets = asyncio.all_tasks(), _open_sockets()
    yield
    deadline = time.monotonic() + GRACE_S
    while True:
        await asyncio.sleep(0)  # let cancelled tasks finish and closed transports close
        leaked_tasks = asyncio.all_tasks() - tasks - {asyncio.current_task()}
        leaked_sockets = _open_sockets() - sockets
        if not (leaked_tasks or leaked_sockets) or time.monotonic() > deadline:
            break
        gc.collect()  # gRPC closes a connection with the last object that refers to it
        _wait_a_little()
    assert not leaked_tasks, f"leaked tasks: {leaked_tasks}"
    assert not leaked_sockets, f"leaked sockets: {leaked_sockets}"
