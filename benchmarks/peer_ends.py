"""Workers and clients of the peer system, for `removal`."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

import peer
from ends import Side

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from multiprocessing.connection import Connection

    from ends import Changes

_POLL_S = 0.001


def _watch(pipe: Connection, url: str) -> None:
    asyncio.run(_tell(pipe, url))


async def _tell(pipe: Connection, url: str) -> None:
    """Look at a client's instances each millisecond: it has no events for Python."""
    client = await peer.begin(url).endpoint(peer.PATH).client()
    pipe.send(None)
    there: set[int] = set()
    changes: Changes = []
    while True:
        now = set(client.instance_ids())
        at = time.monotonic_ns()
        changes += [(at, who, True) for who in now - there]
        changes += [(at, who, False) for who in there - now]
        there = now
        if pipe.poll():
            pipe.recv()
            pipe.send(changes)
            changes.clear()
        await asyncio.sleep(_POLL_S)


def _work(pipe: Connection, url: str, ttl_s: float | None) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # as in a terminal
    with Path(os.devnull).open("w") as nothing:
        os.dup2(nothing.fileno(), 2)  # where Ctrl-C leaves a traceback
    asyncio.run(_serve(pipe, url, ttl_s))


async def _serve(pipe: Connection, url: str, ttl_s: float | None) -> None:
    """Serve an endpoint, which is what its `dynamo_worker` does: no handlers of signals."""
    runtime = peer.begin(url, ttl_s=ttl_s)
    endpoint = runtime.endpoint(peer.PATH)
    pipe.send((endpoint.connection_id(), os.getpid()))
    loop = asyncio.get_running_loop()

    def shut_down() -> None:
        loop.remove_reader(pipe.fileno())
        runtime.shutdown()

    loop.add_reader(pipe.fileno(), shut_down)
    await endpoint.serve_endpoint(_echo)


async def _echo(request: object) -> AsyncGenerator[object]:
    yield request


SIDE = Side(nullcontext, _watch, _work)
