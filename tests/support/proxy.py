"""A TCP proxy that can fall silent: connections stay, and nothing comes through them any more."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator


class Proxy:
    """Carries bytes to a port of this machine."""

    def __init__(self, to: int) -> None:
        self.port = 0
        self.connections = 0  # that were ever made
        self.open = 0
        self._to = to
        self._goes_on = asyncio.Event()
        self._goes_on.set()
        self._answers = asyncio.Event()
        self._answers.set()
        self._tasks: set[asyncio.Task[None]] = set()

    def fall_silent(self) -> None:
        """Carry nothing more of what is connected; new connections are carried again."""
        self._goes_on.clear()
        self._goes_on = asyncio.Event()
        self._goes_on.set()

    def hold_answers(self) -> None:
        """Carry what is asked, but no answer, until `release`."""
        self._answers.clear()

    def release(self) -> None:
        self._answers.set()

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1
        there = await asyncio.open_connection("127.0.0.1", self._to)
        goes_on = self._goes_on
        always = asyncio.Event()
        always.set()
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(reader, there[1], goes_on, always))
                group.create_task(self._pump(there[0], writer, goes_on, self._answers))
        except* OSError:
            pass  # one side is gone
        finally:
            self.open -= 1
            writer.transport.abort()  # closing would first send what nobody may read any more
            there[1].transport.abort()

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        goes_on: asyncio.Event,
        may: asyncio.Event,
    ) -> None:
        while data := await reader.read(1 << 16):
            await may.wait()
            if not goes_on.is_set():
                continue
            writer.write(data)
            await writer.drain()
        raise ConnectionResetError


@asynccontextmanager
async def proxy(to: int) -> AsyncGenerator[Proxy]:
    """Run a proxy while the block runs."""
    one = Proxy(to)
    server = await asyncio.start_server(one.carry, "127.0.0.1")
    one.port = server.sockets[0].getsockname()[1]
    try:
        yield one
    finally:
        server.close()
        one.release()
