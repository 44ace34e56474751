"""An event loop whose clock jumps, and processes on it that pause, die and have own clocks.

Nothing here waits, opens a file descriptor or starts a thread. What a handle belongs to is told by
its context: tasks and timers of a process inherit it, so a pause stops all of them and nothing
else, as SIGSTOP does, and timers that come due meanwhile are late.
"""

from __future__ import annotations

import asyncio
import heapq
import math
import sys
from asyncio.base_events import BaseEventLoop
from contextlib import contextmanager
from contextvars import Context, ContextVar, copy_context
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_PROCESS: ContextVar[Process | None] = ContextVar("process", default=None)


class Process:
    """What stops, dies and counts time as one.

    Args:
        name: for the story.
        zero_s: what its clock shows when the world begins.
        rate: how fast its clock runs.
        after: is called whenever something of it has run.
    """

    def __init__(
        self,
        name: str,
        *,
        zero_s: float = 0.0,
        rate: float = 1.0,
        after: Callable[[], None] | None = None,
    ) -> None:
        self.name, self.zero_s, self.rate, self.after = name, zero_s, rate, after
        self.is_paused = self.is_dead = False
        self.frozen: list[asyncio.Handle] = []
        self.context: Context = copy_context()
        self.context.run(_PROCESS.set, self)

    @property
    def is_running(self) -> bool:
        return not self.is_paused and not self.is_dead

    def local(self, world_s: float) -> float:
        """Return what its clock shows at a moment of the world."""
        return self.zero_s + self.rate * world_s

    def world(self, local_s: float) -> float:
        """Return the first moment of the world at which its clock shows that, or later."""
        world_s = (local_s - self.zero_s) / self.rate
        while self.local(world_s) < local_s:
            world_s = math.nextafter(world_s, math.inf)
        return world_s

    def run(self, do: Callable[..., Any], *args: object) -> Any:
        """Do something within this process now."""
        return self.context.copy().run(do, *args)


class VirtualLoop(BaseEventLoop):
    """Runs handles one by one in order of their time; `now` is the world's time."""

    def __init__(self) -> None:
        super().__init__()
        self.set_debug(enabled=False)
        self.now = 0.0
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._made = 0
        self.tasks: dict[asyncio.Task[Any], Process | None] = {}
        self.on_fault: Callable[[str], None] = lambda _: None
        self.set_task_factory(self._new_task)
        self.set_exception_handler(self._on_exception)

    def time(self) -> float:
        """Return what the clock of the running process shows."""
        process = _PROCESS.get()
        return process.local(self.now) if process else self.now

    def call_at(  # type: ignore[override]  # typeshed wants its own type variables
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        process = context.get(_PROCESS) if context is not None else _PROCESS.get()
        if process:
            when = process.world(when)
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        self._schedule(timer)
        return timer

    def at(self, delay_s: float, do: Callable[[], object], process: Process | None = None) -> None:
        """Do something after seconds of the world, within `process` or, with None, the world."""
        context = process.context if process else Context()
        self._schedule(asyncio.TimerHandle(self.now + delay_s, do, (), self, context))

    def _schedule(self, timer: asyncio.TimerHandle) -> None:
        """Two of one moment run in the order in which they were made."""
        self._made += 1
        heapq.heappush(self._timers, (timer._when, self._made, timer))
        timer._scheduled = True

    def resume(self, process: Process) -> None:
        """Let go on what belongs to a process that was paused or, at the end of all, dead."""
        process.is_paused = process.is_dead = False
        frozen, process.frozen = process.frozen, []
        self._ready.extend(frozen)

    def run_until(self, is_over: Callable[[], bool]) -> None:
        """Run until that is so, or nothing is left to do."""
        with self._running():
            while not is_over() and self._step():
                pass

    def wind_up(self) -> int:
        """Cancel all tasks and let them end; return how many would not."""
        self._timers.clear()
        frozen: dict[Process, None] = {}
        for task, process in list(self.tasks.items()):
            if process and not task.done():
                frozen[process] = None
            task.cancel()
        for process in frozen:
            process.after = None
            self.resume(process)
        left = 20_000
        with self._running():
            while left and self._step() and any(not t.done() for t in self.tasks):
                left -= 1
        stuck = [task for task in self.tasks if not task.done()]
        for task in stuck:
            task._log_destroy_pending = False  # type: ignore[attr-defined]
        self.close()
        return len(stuck)

    @contextmanager
    def _running(self) -> Iterator[None]:
        """Be the loop that runs. What nobody finishes any more is let go, as when one is killed."""
        hooks = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(firstiter=None, finalizer=lambda _: None)
        asyncio._set_running_loop(self)
        try:
            yield
        finally:
            asyncio._set_running_loop(None)
            sys.set_asyncgen_hooks(*hooks)

    def _step(self) -> bool:
        """Run one handle; say whether there was one."""
        if not self._ready:
            timers = self._timers
            while timers and timers[0][2]._cancelled:
                heapq.heappop(timers)[2]._scheduled = False
            if not timers:
                return False
            timer = heapq.heappop(timers)[2]
            timer._scheduled = False
            self.now = max(self.now, timer._when)
            self._ready.append(timer)
        handle = self._ready.popleft()
        if handle._cancelled:
            return True
        process = handle._context.get(_PROCESS)
        if process is None:
            handle._run()
        elif process.is_running:
            handle._run()
            if process.after:
                process.after()
        else:
            process.frozen.append(handle)
        return True

    def _new_task(self, loop: Any, coro: Any, **options: Any) -> asyncio.Task[Any]:
        task = asyncio.Task(coro, loop=loop, **options)
        self.tasks[task] = _PROCESS.get()
        if len(self.tasks) % 512 == 0:
            self.tasks = {t: p for t, p in self.tasks.items() if not t.done()}
        return task

    def _on_exception(self, _: Any, context: dict[str, Any]) -> None:
        error = context.get("exception")
        self.on_fault(f"{context['message']}: {type(error).__name__}: {error}")
