"""Work on files in a thread of its own, which ends with whoever waits for it."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Any, Final, TypeVar

from discovery.artifacts.stopping import Stop, StoppedError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

T = TypeVar("T")

_LOOK_S: Final = 0.1


async def in_thread(work: Callable[[Stop], T]) -> T:
    """Return what `work` returns; when this is cancelled, it is told to stop, and has stopped."""
    stop = Stop()
    # Not the loop's own threads, which are few: this may wait for others for hours.
    pool = ThreadPoolExecutor(1, thread_name_prefix="artifacts")
    try:
        future = asyncio.get_running_loop().run_in_executor(pool, work, stop)
        try:
            await asyncio.wait([future])
        except asyncio.CancelledError:
            stop.set()
            await asyncio.wait([future])
            future.exception()
            raise
        return future.result()
    finally:
        pool.shutdown(wait=False)


def asked(
    loop: asyncio.AbstractEventLoop, ask: Callable[[], Coroutine[Any, Any, T]], stop: Stop
) -> T:
    """Return what `ask` returns on the loop, to work that goes on in a thread.

    Raises `StoppedError` when the work is told to stop meanwhile.
    """
    answer = asyncio.run_coroutine_threadsafe(ask(), loop)
    try:
        while not wait([answer], _LOOK_S).done:
            stop.check()
    except StoppedError:
        answer.cancel()
        raise
    return answer.result()
