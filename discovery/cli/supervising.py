"""Looks after a program that `discoveryctl run` has started, until its end."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING

from discovery.cli.exits import hint_of
from discovery.errors import DiscoveryError
from discovery.events import Cause

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from discovery.cli.child import Child, Signals
    from discovery.cli.readiness import Readiness
    from discovery.cli.registration import Registration

_GRACE_S = 10.0
_KILLED_BY = 128  # a shell tells of signal N by 128 + N (POSIX, Shell Command Language, 2.8.2)
_STOPPING = (signal.SIGTERM, signal.SIGINT)


class Supervision:
    """One program's life under `discoveryctl run`.

    Args:
        child: the program.
        registration: what stands for it in the registry.
        readiness: when to register it; None: it is ready when started.
        drain_s: seconds from unregistering it to telling it to stop.
        say: tells the operator one line.
    """

    def __init__(
        self,
        child: Child,
        registration: Registration,
        *,
        readiness: Readiness | None,
        drain_s: float,
        say: Callable[[str], None],
    ) -> None:
        self.refusal: DiscoveryError | None = None
        """Why the program could not be registered, and was stopped for it."""
        self._child, self._registration = child, registration
        self._readiness, self._drain_s, self._say = readiness, drain_s, say
        self._group = asyncio.TaskGroup()
        self._tasks: list[asyncio.Task[None]] = []
        self._passed_on: set[int] = set()
        self._is_stopping = self._has_ended = False

    async def until_end(self, signals: Signals) -> int:
        """Return what the program's end is to a shell: its exit status, or 128 + a signal."""
        async with self._group:
            registering = self._begin(self._register())
            signals.listen(self._heard)
            code = await self._child.ended()
            self._has_ended = True
            if not self._is_at_peace(code):
                self._registration.cause = Cause.CRASHED
                self._registration.detail = evidence(code)
            await _ended(registering)
            for task in self._tasks:
                task.cancel()
        return code if code >= 0 else _KILLED_BY - code

    async def _register(self) -> None:
        try:
            if self._readiness:
                await self._readiness.reached()
            await self._registration.hold()
        except DiscoveryError as error:
            self.refusal = error
            self._say(f"stopping the program: {error}")
            if hint := hint_of(error):
                self._say(hint)
            self._begin(self._end())

    def _heard(self, number: int, is_from_terminal: bool) -> None:
        """Take in a signal to this process; the terminal has sent its own to the program too."""
        self._passed_on.add(number)
        if self._has_ended:
            return
        if number in _STOPPING and not self._is_stopping:
            self._is_stopping = True
            self._begin(self._stop(number, is_told=is_from_terminal))
        elif not is_from_terminal:  # who asks twice for an end is in a hurry
            self._child.send(number)

    async def _stop(self, number: int, *, is_told: bool) -> None:
        """Unregister the program first, so that no router sends to one that takes nothing more."""
        await _ended(self._tasks[0])
        if not is_told:
            await asyncio.sleep(self._drain_s)
            self._child.send(number)

    async def _end(self) -> None:
        """Ask the program to end; in the end, do not ask."""
        self._child.send(signal.SIGTERM)
        await asyncio.sleep(_GRACE_S)
        self._child.send(signal.SIGKILL)

    def _begin(self, coro: Coroutine[object, object, None]) -> asyncio.Task[None]:
        task = self._group.create_task(coro)
        self._tasks.append(task)
        return task

    def _is_at_peace(self, code: int) -> bool:
        """Say whether the program ended well, or as it was told to."""
        return code == 0 or self._is_stopping or -code in self._passed_on


def evidence(code: int) -> str:
    """Return an exit status for people: "exit status 3", "killed by signal 9 (SIGKILL)"."""
    if code >= 0:
        return f"exit status {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:  # a real-time signal
        return f"killed by signal {-code}"
    return f"killed by signal {-code} ({name})"


async def _ended(task: asyncio.Task[None]) -> None:
    """End a task and wait until it has given back what it held."""
    task.cancel()
    await asyncio.wait([task])
