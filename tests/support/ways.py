"""The way of one process to the ports of others: a TCP proxy that can be cut, slow or silent."""

from __future__ import annotations

import asyncio
import struct
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from socket import SO_LINGER, SOL_SOCKET
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

_RESET = struct.pack("ii", 1, 0)
"""Close with RST: whoever is at the other end is told at once, as when its host's kernel is."""


@dataclass(eq=False)
class Way:
    """Carries the bytes of one process to some ports, each by a port of its own.

    What is held is not lost: TCP would send it again. It stays in the sockets of both sides, which
    soon take no more.
    """

    ports: dict[int, int] = field(default_factory=dict)
    """Which port leads to which."""
    is_open: bool = True
    delay_s: float = 0.0
    connections: int = 0
    """How many there ever were."""
    _servers: list[asyncio.Server] = field(default_factory=list)
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _asks: asyncio.Event = field(default_factory=asyncio.Event)
    _hears: asyncio.Event = field(default_factory=asyncio.Event)
    _stranded: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def port(self) -> int:
        """Where it begins, if it leads to one port."""
        (port,) = self.ports.values()
        return port

    @property
    def open_connections(self) -> int:
        return len(self._writers) // 2

    async def lead(self, here: int, there: int) -> None:
        """Let a port lead to another one; 0 is any that is free."""

        async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await self._carry(reader, writer, there)

        server = await asyncio.start_server(carry, "127.0.0.1", here)
        self.ports[there] = server.sockets[0].getsockname()[1]
        self._servers.append(server)

    def mend(self) -> None:
        """Carry everything, at once."""
        self.is_open, self.delay_s = True, 0.0
        self._asks.set()
        self._hears.set()

    def cut(self) -> None:
        """Reset all connections, and each new one, until `mend`."""
        self.is_open = False
        self._reset(self._writers)

    def slow(self, delay_s: float) -> None:
        """Let every piece take its time, one after the other."""
        self.delay_s = delay_s

    def fall_silent(self) -> None:
        """Take connections and carry nothing, either way."""
        self._asks.clear()
        self._hears.clear()

    def strand(self) -> None:
        """Swallow whatever still comes from those connected now, until they close; carry others."""
        self._stranded.set()
        self._stranded = asyncio.Event()

    def hold_answers(self) -> None:
        """Carry what goes there and nothing that comes back."""
        self._hears.clear()

    async def aclose(self) -> None:
        for server in self._servers:
            server.close()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _reset(self, writers: Sequence[asyncio.StreamWriter] | set[asyncio.StreamWriter]) -> None:
        for writer in list(writers):
            with suppress(OSError):
                writer.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, _RESET)
            writer.transport.abort()

    async def _carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, there: int
    ) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        self.connections += 1
        both, stranded = [writer], self._stranded
        try:
            if self.is_open:
                answers, asking = await asyncio.open_connection("127.0.0.1", there)
                both.append(asking)
                if not self.is_open:  # it was cut meanwhile
                    return
                self._writers.update(both)
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._pump(reader, asking, self._asks, stranded))
                    group.create_task(self._pump(answers, writer, self._hears, stranded))
        except* OSError:
            pass  # one side is gone, and so is the other
        finally:
            self._reset(both)
            self._writers.difference_update(both)
            self._tasks.discard(task)

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        may: asyncio.Event,
        stranded: asyncio.Event,
    ) -> None:
        while data := await reader.read(1 << 16):
            await may.wait()
            if self.delay_s:
                await asyncio.sleep(self.delay_s)
            await may.wait()
            if stranded.is_set():
                continue
            writer.write(data)
            await writer.drain()
        raise ConnectionResetError


def open_way() -> Way:
    """Return a way that carries everything, and leads nowhere yet."""
    way = Way()
    way.mend()
    return way


@asynccontextmanager
async def way_to(there: int) -> AsyncGenerator[Way]:
    """Have a way to a port, from one that is free, while the block runs."""
    way = open_way()
    await way.lead(0, there)
    try:
        yield way
    finally:
        await way.aclose()
