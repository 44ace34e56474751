"""Work that goes on by itself: what is told of it, how much of it there is, and how it ends."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager

import pytest

from discovery.artifacts.jobs import MOST_AT_ONCE, MOST_KEPT, Jobs
from discovery.errors import (
    InternalError,
    InvalidArgumentError,
    ResourceExhaustedError,
    UnavailableError,
    error_from_wire,
)

pytestmark = pytest.mark.looptime


class Done(Jobs):
    """Pieces of work that are told of by their marks."""

    def __init__(self) -> None:
        super().__init__()
        self.begun = []

    async def ask(self, mark="a", work=None, *, asked="x", is_change=True, part=0):
        def begin():
            self.begun.append(mark)
            return work or answering(f"{mark} is done")

        return await self.told(mark, asked, begin, is_change=is_change, part=part)

    async def end(self, mark="a", work=None, **how):
        while not (answer := await self.ask(mark, work, **how))["done"]:
            pass
        return answer


def answering(value):
    async def work(_):
        return {"answer": value}

    return work


def failing(error):
    async def work(_):
        raise error

    return work


@pytest.fixture
async def jobs():
    async with asyncio.TaskGroup() as group:
        jobs = Done()
        jobs.work_in(group)
        yield jobs
        jobs.stop()


@asynccontextmanager
async def gate():
    """Work that ends with the block, and tells that it waits until then."""
    opened = asyncio.Event()

    async def work(progress):
        progress.begin("waiting", "the gate")
        await opened.wait()
        return {}

    yield work
    opened.set()


async def test_work_is_begun_once_waited_for_a_little_and_told_of_again_and_again(jobs):
    async with gate() as work:
        for _ in range(3):
            answer = await jobs.ask(work=work)
            assert (answer["done"], answer["progress"]["detail"]) == (False, "the gate")
            assert "part" not in answer
    told = [await jobs.end() for _ in range(3)]
    assert [json.loads(answer["part"]) for answer in told] == [{}, {}, {}]
    assert jobs.begun == ["a"]


async def test_what_is_done_at_once_is_told_at_once(jobs):
    before = asyncio.get_running_loop().time()
    assert json.loads((await jobs.ask())["part"]) == {"answer": "a is done"}
    assert asyncio.get_running_loop().time() == before


async def test_a_long_result_is_told_in_parts(jobs):
    text = 'ü"\n' * 300_000
    first = await jobs.end(work=answering(text))
    assert first["parts"] > 2
    rest = [await jobs.ask(part=number) for number in range(1, first["parts"])]
    parts = [answer["part"] for answer in (first, *rest)]
    assert json.loads("".join(parts)) == {"answer": text}
    assert max(map(len, parts)) <= 1 << 18
    with pytest.raises(InvalidArgumentError, match=rf"part {len(parts)}: expected below"):
        await jobs.ask(part=len(parts))


async def test_a_failure_is_told_and_not_raised_whatever_its_kind(jobs):
    for error in (InvalidArgumentError("x"), UnavailableError("x"), ResourceExhaustedError("x")):
        mark = type(error).__name__
        for _ in range(2):
            failed = error_from_wire((await jobs.end(mark, failing(error)))["failed"])
            assert (type(failed), str(failed)) == (type(error), "x")
    assert len(jobs.begun) == 3


async def test_a_fault_of_ours_is_logged_and_told_without_its_text(jobs, caplog):
    for mark, work in {"a": failing(ValueError("a secret")), "b": answering({1, 2})}.items():
        failed = error_from_wire((await jobs.end(mark, work))["failed"])
        assert isinstance(failed, InternalError)
        assert str(failed) in {"ValueError in the daemon", "TypeError in the daemon"}
    assert caplog.text.count("work on files failed") == 2


async def test_what_cannot_be_begun_leaves_no_trace(jobs):
    def refuse():
        raise InvalidArgumentError("no")

    for _ in range(2):
        with pytest.raises(InvalidArgumentError, match="no"):
            await jobs.told("a", "x", refuse, is_change=True)
    assert (await jobs.end())["done"]


async def test_changes_and_looks_do_not_wait_for_each_other(jobs):
    async with gate() as work:
        for is_change in (True, False):
            for number in range(MOST_AT_ONCE):
                await jobs.ask(f"{is_change} {number}", work, is_change=is_change)
            with pytest.raises(ResourceExhaustedError, match=f"{MOST_AT_ONCE} at most") as caught:
                await jobs.ask(f"{is_change} more", is_change=is_change)
            assert caught.value.retry_after_s > 0
            await jobs.ask(f"{is_change} 0", is_change=is_change)  # there is this one already
    await jobs.end("True 0")
    assert (await jobs.end("more"))["done"]


async def test_what_ended_last_is_kept_of_each_kind_and_what_ended_long_ago_forgotten(jobs):
    async with gate() as work:
        await jobs.ask("long", work)
        for number in range(MOST_KEPT + 10):
            await jobs.end(f"change {number}")
            await jobs.end(f"look {number}", is_change=False)
    await jobs.end("long")
    await jobs.end("change last")
    begun = len(jobs.begun)
    for mark in ("long", "change last", f"change {MOST_KEPT}"):
        await jobs.end(mark)
    await jobs.end(f"look {MOST_KEPT}", is_change=False)
    assert len(jobs.begun) == begun
    await jobs.end("change 0")
    await jobs.end("look 0", is_change=False)
    assert len(jobs.begun) == begun + 2


async def test_long_results_are_forgotten_sooner_but_not_before_they_are_told(jobs):
    text = "x" * (1 << 18) * 40
    for number in range(MOST_AT_ONCE + 10):
        await jobs.end(f"{number}", answering(text))
    begun = len(jobs.begun)
    for number in range(10, MOST_AT_ONCE + 10):
        await jobs.end(f"{number}", part=40)
    assert len(jobs.begun) == begun
    assert len(jobs._jobs) == MOST_AT_ONCE


async def test_pieces_of_work_that_end_together_forget_each_other_without_an_error(jobs, caplog):
    for number in range(MOST_KEPT):
        await jobs.end(f"{number}")
    async with gate() as work:
        for number in range(MOST_AT_ONCE):
            await jobs.ask(f"together {number}", work)
    for number in range(MOST_AT_ONCE):
        assert (await jobs.end(f"together {number}"))["done"]
    assert caplog.text == ""


async def test_the_end_of_the_daemon_ends_what_is_under_way_and_whoever_waits_is_told(jobs):
    async with gate() as work, asyncio.TaskGroup() as group:
        waiting = group.create_task(failure(jobs.ask(work=work)))
        await asyncio.sleep(0)
        jobs.stop()
    assert isinstance(waiting.result(), UnavailableError)
    assert isinstance(await failure(jobs.ask()), UnavailableError)
    assert isinstance(await failure(jobs.ask("b")), UnavailableError)
    assert jobs.begun == ["a"]


async def test_nothing_is_begun_before_there_is_where_to_do_it():
    assert isinstance(await failure(Done().ask()), UnavailableError)


async def failure(work):
    with pytest.raises(UnavailableError) as caught:
        await work
    return caught.value
