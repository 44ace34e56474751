"""discoveryctl as its users run it: with pipes around it, or at a terminal."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import discovery
from tests.cli.terminal import Terminal
from tests.support.processes import PATIENCE_S, PROGRAMS, daemon, free_ports

if TYPE_CHECKING:
    from tests.support.processes import Program

CTL = (sys.executable, str(PROGRAMS / "discoveryctl.py"))
JOINED = (sys.executable, str(Path(__file__).with_name("joined.py")), *CTL[1:])
"""The same, saying on stdout also what belongs on stderr."""

PLACE = {"namespace": "prod", "component": "vllm", "endpoint": "generate"}
ADDRESS = "10.0.0.7:9000/generate"


@asynccontextmanager
async def fleet(**options):
    """A daemon with an endpoint, a model and an event channel; gives its URL and a client."""
    port = free_ports()
    url = f"zmq://127.0.0.1:{port}"
    async with daemon(port), discovery.connect(url, instance_id=0x1A2B, **options) as d:
        await d.register_all(
            [
                discovery.EndpointSpec(**PLACE, transport={"tcp": ADDRESS}, device_type="cuda"),
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


async def ctl(url: str, *words: str, stdin: str = "", env: dict[str, str] | None = None):
    """Run a command to its end; returns exit code, stdout and stderr."""
    process = await asyncio.create_subprocess_exec(
        *CTL,
        *words,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ | {"DISCOVERY_URL": url} | (env or {}),
    )
    async with asyncio.timeout(PATIENCE_S):
        out, err = await process.communicate(stdin.encode())
    return process.returncode, out.decode(), err.decode()


async def at_terminal(*command: str, env: dict[str, str] | None = None) -> tuple[int, str]:
    """Run a command at a terminal; returns its exit code, and all that is seen there."""
    terminal = await Terminal.run(*command, env=env)
    try:
        seen = await terminal.seen()
        return await terminal.ended(), seen
    finally:
        await terminal.end()


async def said(running: Program, text: str) -> str:
    """Skip what a program says until a line that has `text` in it; return that line."""
    async with asyncio.timeout(PATIENCE_S):
        while line := (await running.process.stdout.readline()).decode():
            if text in line:
                return line.rstrip("\n")
    raise AssertionError(f"the program ended without saying {text!r}")


async def coming(events):
    """The next event of a stream."""
    async with asyncio.timeout(PATIENCE_S):
        return await anext(events)
