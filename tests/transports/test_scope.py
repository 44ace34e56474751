from __future__ import annotations

import asyncio
import gc
import weakref

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


class Held:
    """Something that the frames of a failure refer to, such as a connection."""


@pytest.fixture
def garbage_is_kept():
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize("is_of_the_block", [True, False])
async def test_what_failed_is_let_go_of_with_its_exception(garbage_is_kept, is_of_the_block):
    """No cycle keeps its frames until the garbage is collected, which may be long after."""
    held = None

    async def fail_with_something():
        nonlocal held
        something = Held()
        held = weakref.ref(something)
        await asyncio.sleep(0)
        raise LookupError

    try:
        async with running(for_ever([]) if is_of_the_block else fail_with_something()):
            if is_of_the_block:
                await fail_with_something()
            await asyncio.Event().wait()
    except LookupError:
        assert held() is not None
    await asyncio.sleep(0)
    assert held() is None
