"""One process in one of its lives."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support.processes import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_ANSWERS_WITHIN_S = 60.0  # a worker first ends what it is doing


class Life:
    """A process that was started; what it says to stderr is in a file."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self._files: tuple[int, int] | None = None

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def is_running(self) -> bool:
        return self.process.returncode is None

    async def ask(self, word: str) -> Any:
        """Send a line and return what it answers."""
        self.process.stdin.write(f"{word}\n".encode())
        async with asyncio.timeout(_ANSWERS_WITHIN_S):
            line = await self.process.stdout.readline()
        return json.loads(line) if line else None

    def stop(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        if self.is_running:
            self.process.send_signal(signal.SIGCONT)

    async def kill(self) -> None:
        if self.is_running:
            self.process.kill()
        await self.process.wait()
        self._close()

    async def end(self) -> int:
        """Let it end in good order; return its exit status."""
        if self.is_running:
            self.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(PATIENCE_S):
            status = await self.process.wait()
        self._close()
        return status

    def _close(self) -> None:
        self.process.stdin.close()
        self.process._transport.close()

    def exhaust_files(self) -> None:
        """Let it open nothing more."""
        self._files = resource.prlimit(self.pid, resource.RLIMIT_NOFILE)
        most = len(list(Path(f"/proc/{self.pid}/fd").iterdir()))
        resource.prlimit(self.pid, resource.RLIMIT_NOFILE, (most, self._files[1]))

    def give_files(self) -> None:
        """Let it open again what it likes."""
        if self._files and self.is_running:
            resource.prlimit(self.pid, resource.RLIMIT_NOFILE, self._files)
        self._files = None


async def live(command: Sequence[str], stderr: Path, env: Mapping[str, str]) -> Life:
    """Start a process."""
    with stderr.open("ab") as file:
        return Life(
            await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=file,
                env={**os.environ, **env},
                limit=1 << 24,
            )
        )
