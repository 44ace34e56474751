"""A registry, and programs that `discoveryctl run` looks after there."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from types import SimpleNamespace

import discovery
from tests.cli.ctl import CTL
from tests.support.processes import PATIENCE_S, daemon, free_ports, script

PLACE = ("--endpoint", "prod/vllm/generate", "--tcp", "10.0.0.7:9000/x")
EVERYTHING = discovery.EndpointQuery(namespace="prod")


@asynccontextmanager
async def registry():
    """A daemon; gives its URL, a client and a stream of what is registered."""
    port = free_ports()
    url = f"zmq://127.0.0.1:{port}"
    async with daemon(port), discovery.connect(url) as d, d.watch(EVERYTHING) as stream:
        await stream.synced()
        yield SimpleNamespace(url=url, d=d, stream=stream, events=aiter(stream))


def run(url: str, *words: object) -> tuple[str, ...]:
    """The command that looks after `charge.py`; what follows "---" is its own."""
    options, _, own = " ".join(map(str, words)).partition("--- ")
    return (
        *CTL,
        "--url",
        url,
        "run",
        *PLACE,
        *options.split(),
        "--",
        *script("charge", *own.split()),
    )


async def event(place) -> discovery.Event:
    async with asyncio.timeout(PATIENCE_S):
        return await anext(place.events)


async def added(place) -> discovery.EndpointInstance:
    appeared = await event(place)
    assert isinstance(appeared, discovery.Added)
    return appeared.instance


async def removed(place) -> tuple[str, str | None]:
    gone = await event(place)
    assert isinstance(gone, discovery.Removed)
    return str(gone.cause), gone.detail


async def said_of(url: str, *words: str) -> tuple[int, str]:
    """Return exit code and stderr of the command, once it and its program have ended."""
    process = await asyncio.create_subprocess_exec(
        *run(url, *words),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(PATIENCE_S):
        _, err = await process.communicate()  # the program, too, has closed them
    return process.returncode, err.decode()


async def said(process: asyncio.subprocess.Process, name: str) -> object:
    async with asyncio.timeout(PATIENCE_S):
        return json.loads(await process.stdout.readline())[name]
