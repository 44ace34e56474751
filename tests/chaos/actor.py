"""A daemon, worker or router through all of its lives."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from tests.chaos.life import live
from tests.support.ways import open_way

if TYPE_CHECKING:
    from tests.chaos.fleet import Fleet
    from tests.chaos.life import Life
    from tests.support.ways import Way

_RESTARTS_AFTER_S = 0.3


class Actor:
    """A daemon, worker or router: the same through all of its lives."""

    def __init__(self, fleet: Fleet, role: str, index: int) -> None:
        self.fleet, self.role, self.index = fleet, role, index
        self.name = f"{role} {index}"
        self.way: Way = open_way()
        self.lives = 0
        self.now: Life | None = None
        self.statuses: list[int] = []
        """How it ended when it was told to."""
        self.gave_up: list[int] = []
        """How it ended by itself; only a daemon may, which cannot begin without its servers."""
        self._supervision: asyncio.Task[None] | None = None
        self._starting = asyncio.Lock()

    @property
    def place(self) -> Path:
        """Where its present life writes."""
        return self.fleet.folder / f"{self.role}-{self.index}-{self.lives}"

    def begin(self) -> None:
        """Start it, and again whenever it ends by itself, as a supervisor would."""
        self._supervision = asyncio.get_running_loop().create_task(self._supervise())

    async def _supervise(self) -> None:
        while True:
            async with self._starting:
                await self._start()
            self.gave_up.append(await self.now.process.wait())
            await asyncio.sleep(_RESTARTS_AFTER_S)

    async def _start(self) -> None:
        self.lives += 1
        fleet = self.fleet
        fleet.note_birth(self)
        logs = fleet.disk if self.role == "daemon" else fleet.folder
        env = _with_own_clock(self._clock) if self.index == 0 else {}
        self.now = await live(fleet.command(self), logs / f"{self.place.name}.log", env)

    async def kill(self) -> None:
        """End it at once; it stays away until `begin`."""
        await self._leave_it()
        if self.now:
            await self.now.kill()

    async def end(self) -> None:
        """Let it end in good order; it stays away until `begin`."""
        is_ready = await self.fleet.is_ready(self)
        await self._leave_it()
        if self.is_running:
            status = await self.now.end()
            if is_ready:  # before that it has no handler of signals yet
                self.statuses.append(status)

    async def _leave_it(self) -> None:
        if self._supervision:
            async with self._starting:  # or who is just starting would be nobody's
                self._supervision.cancel()
            await asyncio.wait([self._supervision])

    @property
    def is_running(self) -> bool:
        return self.now is not None and self.now.is_running

    @property
    def _clock(self) -> Path:
        return self.fleet.folder / f"clock-{self.role}-{self.index}"

    def step_clock(self, by_s: int) -> None:
        """Let its clock of day be wrong, all at once."""
        self._clock.write_text(f"{by_s:+d}")


def _with_own_clock(file: Path) -> dict[str, str]:
    """Return the environment of a process whose clock of day is as far off as a file says.

    What it measures times with stays as it is, as on a machine whose clock somebody sets.
    """
    file.touch()
    (library,) = Path("/usr/lib").glob("*/faketime/libfaketime.so.1")  # of Debian's libfaketime
    return {
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(file),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
