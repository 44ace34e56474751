"""Work in a thread ends with whoever waits for it, and tells how far it has got."""

from __future__ import annotations

import asyncio
import threading

import pytest

from discovery.artifacts.stopping import Progress, Stop, StoppedError
from discovery.artifacts.threads import asked, in_thread


async def test_work_is_done_in_another_thread_and_its_result_returned():
    assert await in_thread(lambda _: threading.get_ident()) != threading.get_ident()


async def test_what_it_raises_is_raised():
    def fail(_: Stop) -> None:
        raise ValueError("odd")

    with pytest.raises(ValueError, match="odd"):
        await in_thread(fail)


async def test_who_is_cancelled_returns_when_the_work_has_stopped():
    begun, ended = threading.Event(), []

    def work(stop: Stop) -> None:
        begun.set()
        try:
            stop.pause(60)
        finally:
            ended.append(True)

    task = asyncio.get_running_loop().create_task(in_thread(work))
    await asyncio.to_thread(begun.wait, 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == [True]


async def test_work_that_ends_well_in_spite_of_it_is_cancelled_still():
    begun = threading.Event()

    def work(stop: Stop) -> int:
        begun.set()
        with pytest.raises(StoppedError):
            stop.pause(60)
        return 3

    task = asyncio.get_running_loop().create_task(in_thread(work))
    await asyncio.to_thread(begun.wait, 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_many_wait_at_once_beside_the_few_threads_of_the_loop():
    together = threading.Barrier(100)
    async with asyncio.TaskGroup() as group:
        for _ in range(100):
            group.create_task(in_thread(lambda _: together.wait(30)))


async def test_work_asks_on_the_loop_that_waits_for_it():
    loop = asyncio.get_running_loop()

    async def where(*, fails: bool) -> int:
        await asyncio.sleep(0)
        if fails:
            raise ValueError("odd")
        return threading.get_ident()

    assert await in_thread(lambda s: asked(loop, lambda: where(fails=False), s)) == (
        threading.get_ident()
    )
    with pytest.raises(ValueError, match="odd"):
        await in_thread(lambda stop: asked(loop, lambda: where(fails=True), stop))


async def test_who_is_cancelled_ends_the_question_too():
    loop, begun, ended = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()

    async def forever() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    task = loop.create_task(in_thread(lambda stop: asked(loop, forever, stop)))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await ended.wait()


def test_a_stop_that_was_told_raises_at_once():
    stop = Stop()
    stop.check()
    stop.pause(0)
    stop.set()
    for look in (stop.check, lambda: stop.pause(60)):
        with pytest.raises(StoppedError):
            look()


def test_progress_counts_what_is_here():
    progress = Progress()
    progress.begin("waiting", "process 3 on host")
    progress.expect(2, 10)
    progress.add(4, is_resumed=True)
    progress.add(3)
    progress.file_done()
    assert progress.to_wire() == {
        "step": "waiting",
        "detail": "process 3 on host",
        "files": 2,
        "files_done": 1,
        "total_bytes": 10,
        "done_bytes": 7,
        "resumed_bytes": 4,
    }
    progress.expect(1, 5)  # begun again
    assert (progress.files_done, progress.done_bytes, progress.resumed_bytes) == (0, 0, 0)


def test_progress_is_taken_over_from_another_and_rubbish_is_not():
    progress, other = Progress(), Progress(step="copying", detail="x", files=3, done_bytes=7)
    progress.take(other.to_wire())
    assert progress.to_wire() == other.to_wire()
    progress.take({"step": 3, "files": "many", "done_bytes": True, "more": 1})
    assert progress.to_wire() == other.to_wire()
