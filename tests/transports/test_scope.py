from __future__ import annotations

import asyncio

import pytest

from transports.scope import running


async def for_ever(log):
    try:
        await asyncio.Event().wait()
    finally:
        log.append("ended")


async def fail(kind):
    await asyncio.sleep(0)
    raise kind


async def test_tasks_run_while_the_block_does():
    log = []
    async with running(for_ever(log), for_ever(log)):
        await asyncio.sleep(0)
        assert log == []
    assert log == ["ended", "ended"]


async def test_a_failing_task_ends_the_block_with_its_own_exception():
    log = []
    with pytest.raises(LookupError):
        async with running(for_ever(log), fail(LookupError)):
            await asyncio.Event().wait()
    assert log == ["ended"]


async def test_two_failures_leave_as_a_group():
    with pytest.raises(BaseExceptionGroup) as raised:
        async with running(fail(LookupError), fail(OSError)):
            await asyncio.Event().wait()
    assert {type(each) for each in raised.value.exceptions} == {LookupError, OSError}


async def test_the_block_s_own_exception_leaves_unwrapped():
    with pytest.raises(LookupError):
        async with running(for_ever([])):
            raise LookupError
