"""Real daemons and real programs, on free loopback ports, ended by their process ids."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import signal
import socket
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Iterator

PROGRAMS = Path(__file__).parent / "programs"
DISCOVERYD = (sys.executable, str(PROGRAMS / "daemon.py"))
PATIENCE_S = 30.0  # for what happens at once unless the machine is busy


def free_ports() -> int:
    """A loopback port that is free now, and whose successor is too.

    Another one each time, below those that the kernel gives to connections, and not among those of
    another process that runs tests beside this one.
    """
    while True:
        port = next(_PORTS)
        with socket.socket() as one, socket.socket() as two:
            try:
                one.bind(("127.0.0.1", port))
                two.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port


def _own_ports() -> Iterator[int]:
    """Every second port of a share, again and again, from somewhere in it."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
    ports = range(10_000 + int(worker) % 4 * 5_000, 14_998 + int(worker) % 4 * 5_000, 2)
    start = os.getpid() % len(ports)
    yield from itertools.cycle([*ports[start:], *ports[:start]])


_PORTS = _own_ports()


@dataclass
class Program:
    """A process that is told things by lines of its stdin and says things by JSON lines."""

    process: asyncio.subprocess.Process
    said: list[dict] = field(default_factory=list)

    @property
    def pid(self) -> int:
        return self.process.pid

    def tell(self, *words: object) -> None:
        self.process.stdin.write((" ".join(map(str, words)) + "\n").encode())

    async def hear(self) -> dict:
        """The next line it says; what it wrote to stderr is in the test's output."""
        async with asyncio.timeout(PATIENCE_S):
            line = await self.process.stdout.readline()
        assert line, f"the program ended, exit code {await self.process.wait()}"
        self.said.append(json.loads(line))
        return self.said[-1]

    async def hear_until(self, **wanted: object) -> dict:
        """Skip lines until one has all of `wanted`."""
        while True:
            line = await self.hear()
            if all(line.get(name) == value for name, value in wanted.items()):
                return line

    async def lines(self) -> AsyncIterator[dict]:
        """All that it still says, until it ends."""
        while line := await self.process.stdout.readline():
            self.said.append(json.loads(line))
            yield self.said[-1]

    def send_signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    async def ended(self) -> int:
        async with asyncio.timeout(PATIENCE_S):
            return await self.process.wait()


def _heed_signals() -> None:
    """What runs the tests in the background, or with nohup, lets them, and so us, ignore some."""
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)


@asynccontextmanager
async def program(*command: str, env: dict[str, str] | None = None) -> AsyncGenerator[Program]:
    """Run a program while the block runs; then it is killed if it has not ended."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=None if env is None else os.environ | env,
        limit=1 << 24,
        preexec_fn=_heed_signals,
    )
    try:
        yield Program(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        process.stdin.close()
        process._transport.close()


def script(name: str, *arguments: object) -> tuple[str, ...]:
    """The command that runs a script of `programs/`."""
    return (sys.executable, str(PROGRAMS / f"{name}.py"), *map(str, arguments))


@asynccontextmanager
async def daemon(
    port: int, *flags: str, command: tuple[str, ...] = DISCOVERYD
) -> AsyncGenerator[Program]:
    """Run discoveryd at a loopback port, without HTTP, and wait until it accepts connections."""
    listen = f"zmq://127.0.0.1:{port}"
    arguments = ("--listen", listen, "--http", "off", "--log-level", "warning", *flags)
    async with program(*command, *arguments) as running:
        await listening(port)
        try:
            yield running
        finally:
            if running.process.returncode is None:
                running.send_signal(signal.SIGCONT)
                running.send_signal(signal.SIGTERM)
                await running.ended()


async def listening(port: int) -> None:
    """Wait until somebody accepts connections at a loopback port."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.02)
                continue
            writer.close()
            await writer.wait_closed()
            return
