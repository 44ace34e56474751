"""Work on files in a thread of its own, which ends with whoever waits for it."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from discovery.artifacts.stopping import Stop

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


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
