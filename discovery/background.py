"""The one thread of a process that does discovery's I/O, so that a busy application stays alive.

Sockets, keep-alives and views live on this thread's event loop. An application that blocks its own
loop for a minute loses neither its lease nor its place in a watch.
"""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from concurrent.futures import Future
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from discovery.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine
    from contextlib import AbstractAsyncContextManager

logger = logging.getLogger(__name__)

T = TypeVar("T")


def new_event_loop() -> asyncio.AbstractEventLoop:
    """Return a loop of uvloop when that is installed, of asyncio otherwise."""
    try:
        import uvloop  # noqa: PLC0415 - optional
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


class Background:
    """A running event loop in a daemon thread, and the contexts that live there.

    Args:
        after: the end of another thread, to be waited for.
    """

    def __init__(self, after: Future[None] | None = None) -> None:
        self.ended: Future[None] = Future()
        self._pid = os.getpid()
        self._after = after
        self._started: Future[asyncio.AbstractEventLoop] = Future()
        self._stop: asyncio.Event | None = None
        self._group = asyncio.TaskGroup()
        self._hosted: set[Hosted[Any]] = set()
        self._thread = threading.Thread(target=self._main, name="discovery-io", daemon=True)

    @property
    def is_elsewhere(self) -> bool:
        """This process was forked from the one that has the thread; here nothing ever answers."""
        return os.getpid() != self._pid

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    async def started(self) -> None:
        """Wait until the loop runs."""
        await settled(self._started)

    async def stop(self) -> None:
        """End what is hosted, then the loop, and wait until the thread has nothing left to do."""
        if not self.is_elsewhere:
            self._started.add_done_callback(lambda _: self.call(self._set_stop))
            await settled(self.ended)

    async def run(self, coro: Coroutine[Any, Any, T]) -> T:
        """Run `coro` on the thread's loop and return its result. Cancelling here cancels there.

        Raises `UnavailableError` when the loop ends before `coro` does.
        """
        if self.is_elsewhere:
            coro.close()
            raise forked()
        try:
            future = asyncio.run_coroutine_threadsafe(coro, self._started.result())
        except RuntimeError as error:  # the loop is closed
            coro.close()
            raise UnavailableError("the connection has ended") from error
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            raise UnavailableError("the connection has ended") from None

    def call(self, function: Callable[..., object], *args: object) -> None:
        """Call `function` on the thread's loop, soon; never, when that has ended or is not here."""
        if self.is_elsewhere:
            return
        with suppress(RuntimeError):
            self._started.result().call_soon_threadsafe(function, *args)

    def begin(self, hosted: Hosted[Any], life: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Start the task of a hosted context. On the thread's loop only."""
        self._hosted.add(hosted)
        task = self._group.create_task(life)
        task.add_done_callback(lambda _: self._hosted.discard(hosted))
        return task

    def _main(self) -> None:
        try:
            if self._after:
                self._after.result()
            with asyncio.Runner(loop_factory=new_event_loop) as runner:
                runner.run(self._serve())
        finally:
            self.ended.set_result(None)

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        async with asyncio.TaskGroup() as self._group:
            self._started.set_result(asyncio.get_running_loop())
            await self._stop.wait()
            for hosted in list(self._hosted):
                hosted.stop()

    def _set_stop(self) -> None:
        assert self._stop is not None  # noqa: S101 - it runs on the loop that has set it
        self._stop.set()


class Hosted(Generic[T]):
    """An async context manager living in a task of its own on a background loop.

    Task groups demand that: they are left by the task that entered them. All methods may be called
    from any thread; nothing happens before `enter`.
    """

    def __init__(self, background: Background, context: AbstractAsyncContextManager[T]) -> None:
        self._background, self._context = background, context
        self._entered: Future[T] = Future()
        self._left: Future[None] = Future()
        self._task: asyncio.Task[None] | None = None
        self._leave: asyncio.Event | None = None
        self._is_stopping = False

    @property
    def has_ended(self) -> bool:
        """The context was left, or could not be entered."""
        return self._left.done()

    async def enter(self) -> T:
        """Enter the context and return what it gives; raises what entering raises."""
        self._background.call(self._begin)
        try:
            await settled(self._entered)
        except BaseException:
            self.stop()
            raise
        return self._entered.result()

    def stop(self) -> None:
        """Begin to leave the context, or give up entering it."""
        self._background.call(self._end)

    async def aclose(self) -> None:
        """Leave the context and wait until that is done. Safe to call twice."""
        if not self._background.is_elsewhere:
            self.stop()
            await settled(self._left)

    def _begin(self) -> None:
        if not self._is_stopping:
            self._leave = asyncio.Event()
            self._task = self._background.begin(self, self._live(self._leave))
            self._task.add_done_callback(self._settle)

    def _end(self) -> None:
        if self._is_stopping:
            return
        self._is_stopping = True
        if self._task is None or self._leave is None:
            self._left.set_result(None)
        elif self._entered.done():
            self._leave.set()
        else:
            self._task.cancel()

    def _settle(self, _: asyncio.Task[None]) -> None:
        if not self._entered.done():
            self._entered.set_exception(UnavailableError("stopped before it was connected"))
        self._left.set_result(None)

    async def _live(self, leave: asyncio.Event) -> None:
        """Enter, stay, leave. An error ends this task only; once entered, it is logged."""
        try:
            async with self._context as value:
                self._entered.set_result(value)
                await leave.wait()
        except Exception as error:
            if self._entered.done():
                logger.exception("a connection was ended by an error of ours")
            else:
                self._entered.set_exception(error)


def forked() -> UnavailableError:
    """Return the error for whoever uses, in a forked child, what its parent has opened."""
    return UnavailableError("connected by the process that this one was forked from: connect again")


async def settled(future: Future[Any]) -> None:
    """Wait for a thread's future; unlike `wrap_future`, being cancelled does not cancel it."""
    loop = asyncio.get_running_loop()
    waiter = loop.create_future()

    def wake() -> None:
        if not waiter.done():
            waiter.set_result(None)

    def wake_soon(_: Future[Any]) -> None:
        with suppress(RuntimeError):  # the loop of who waited is closed by now
            loop.call_soon_threadsafe(wake)

    future.add_done_callback(wake_soon)
    await waiter


class _Shared:
    """The process's background thread while somebody uses it."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Start over; also in a forked child, where no thread of its parent runs."""
        self._lock = threading.Lock()
        self._background: Background | None = None
        self._last_end: Future[None] | None = None
        self._users = 0

    def acquire(self) -> Background:
        """Return the thread, started for its first user once the one before it has ended."""
        with self._lock:
            if self._background is None:
                background = Background(after=self._last_end)
                background.start()
                self._background, self._last_end = background, background.ended
            self._users += 1
            return self._background

    def release(self, used: Background) -> Background | None:
        """Return the thread if the caller was its last user and is to stop it."""
        with self._lock:
            if used is not self._background:
                return None  # acquired before this process was forked
            self._users -= 1
            if self._users:
                return None
            background, self._background = self._background, None
            return background


_shared = _Shared()
os.register_at_fork(after_in_child=_shared.forget)


@asynccontextmanager
async def background_io() -> AsyncGenerator[Background]:
    """Give the process's I/O thread; started for its first user, stopped after its last."""
    background = _shared.acquire()
    try:
        await background.started()
        yield background
    finally:
        last = _shared.release(background)
        if last:
            await last.stop()
