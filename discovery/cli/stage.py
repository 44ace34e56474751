"""Where `discoveryctl demo` plays: real processes, started, listened to and ended by their ids."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import sys
from contextlib import AsyncExitStack, suppress
from typing import IO, TYPE_CHECKING, Any, Final, Self

from discovery.cli.lifeline import lifeline
from transports.address import parse_url

if TYPE_CHECKING:
    from collections.abc import Sequence

DAEMON: Final = (sys.executable, "-m", "discovery.daemon")
_ACTORS: Final = (sys.executable, "-m", "discovery.cli.actors")
_SHOWN_BYTES = 2000
_LOOK_S = 0.05


class Actor:
    """A process that tells what happens by JSON lines, and answers to lines of its input."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.said: list[dict[str, Any]] = []

    def send(self, number: int) -> None:
        """Send it a signal."""
        with suppress(ProcessLookupError):
            self.process.send_signal(number)

    async def hear(self, *wanted: str) -> dict[str, Any]:
        """Return the next thing it says that has one of the `wanted` fields.

        Raises `EOFError` when it ends before that.
        """
        while True:
            assert self.process.stdout is not None  # noqa: S101 - it is a pipe
            line = await self.process.stdout.readline()
            if not line:
                raise EOFError(f"process {self.process.pid} ended")
            self.said.append(json.loads(line))
            if not self.said[-1].keys().isdisjoint(wanted):
                return self.said[-1]

    async def view(self) -> dict[str, Any]:
        """Ask a router for its view."""
        assert self.process.stdin is not None  # noqa: S101 - it is a pipe
        self.process.stdin.write(b"view\n")
        return await self.hear("view")


class Stage:
    """A daemon's address and the processes around it; leaving it kills what still runs.

    Args:
        daemon: the command that runs a daemon.
        ttl_s: of the workers' leases, and of the daemon's recovery.
        errors: file for what the processes write to stderr.
    """

    def __init__(self, daemon: Sequence[str], ttl_s: float, errors: IO[bytes]) -> None:
        self.ttl_s = ttl_s
        self.url = self._events = ""
        self._daemon, self._errors = daemon, errors
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        self.url, self._events = _free_addresses()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._stack.aclose()

    async def daemon(self) -> Actor:
        """Start a daemon, always at the same address, and wait until it takes connections.

        Raises `EOFError` when it ends before that.
        """
        places = ("--listen", self.url, "--events", self._events, "--http", "off")
        recovery = ("--lease-recovery-s", str(self.ttl_s))
        daemon = await self._start(*self._daemon, *places, *recovery, "--log-level", "warning")
        (address,) = parse_url(self.url)
        while daemon.process.returncode is None:
            with suppress(ConnectionRefusedError):
                _, writer = await asyncio.open_connection(address.host, address.port)
                writer.close()
                return daemon
            await asyncio.sleep(_LOOK_S)
        raise EOFError(f"it ended with exit code {daemon.process.returncode}")

    async def worker(self, model: str) -> Actor:
        """Start a worker."""
        return await self._start(*_ACTORS, "worker", self.url, str(self.ttl_s), model)

    async def router(self) -> Actor:
        """Start a router."""
        return await self._start(*_ACTORS, "router", self.url)

    def errors(self) -> Sequence[str]:
        """Return the last lines that the processes wrote to stderr."""
        size = self._errors.seek(0, 2)
        self._errors.seek(max(0, size - _SHOWN_BYTES))
        return self._errors.read().decode(errors="replace").splitlines()

    async def _start(self, *command: str) -> Actor:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=self._errors,
            start_new_session=True,  # Ctrl-C is for the demo, which ends them
            preexec_fn=lifeline(),
        )
        actor = Actor(process)
        self._stack.push_async_callback(_kill, actor)
        return actor


async def _kill(actor: Actor) -> None:
    actor.send(signal.SIGKILL)
    await actor.process.communicate()


def _free_addresses() -> tuple[str, str]:
    """Return two loopback addresses that nobody listens at."""
    with socket.socket() as one, socket.socket() as two:
        for sock in (one, two):
            sock.bind(("127.0.0.1", 0))
        ports = [sock.getsockname()[1] for sock in (one, two)]
    return f"zmq://127.0.0.1:{ports[0]}", f"zmq://127.0.0.1:{ports[1]}"
