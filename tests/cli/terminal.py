"""Commands at a terminal, as people type them."""

from __future__ import annotations

import asyncio
import os
import pty
import signal
from typing import TYPE_CHECKING

from tests.support.processes import PATIENCE_S

if TYPE_CHECKING:
    from pathlib import Path


class Terminal:
    """A command at a terminal of its own."""

    def __init__(self, process: asyncio.subprocess.Process, master: int) -> None:
        self.process, self._master, self._seen = process, master, b""

    @classmethod
    async def run(
        cls, *command: str, cwd: Path | None = None, env: dict[str, str] | None = None
    ) -> Terminal:
        master, slave = pty.openpty()
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            cwd=cwd,
            env=os.environ | (env or {}),
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        os.close(slave)
        return cls(process, master)

    async def seen(self, lines: int | None = None) -> str:
        """What was printed, once it is so many lines; all of it, when the command has ended."""
        async with asyncio.timeout(PATIENCE_S):
            while lines is None or self._seen.count(b"\n") < lines:
                part = await asyncio.to_thread(self._read)
                if not part:
                    break
                self._seen += part
        return self._seen.decode().replace("\r\n", "\n")

    def _read(self) -> bytes:
        try:
            return os.read(self._master, 1 << 16)
        except OSError:  # on Linux a terminal whose programs have ended is an error, not an end
            return b""

    async def ended(self) -> int:
        """Its exit code, once it has ended by itself."""
        async with asyncio.timeout(PATIENCE_S):
            return await self.process.wait()

    async def end(self) -> None:
        """Press Ctrl-C if it still runs, and close the terminal."""
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGINT)
        async with asyncio.timeout(PATIENCE_S):
            while await asyncio.to_thread(self._read):
                pass
            await self.process.wait()
        os.close(self._master)
