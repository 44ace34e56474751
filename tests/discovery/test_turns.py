from __future__ import annotations

import asyncio

import pytest

from discovery.turns import Turns


async def test_turns_are_taken_one_at_a_time_in_order_of_arrival() -> None:
    turns, log = Turns(), list[str]()

    async def take(name: str) -> None:
        async with turns.of("key"):
            log.append(f"{name} begins")
            await asyncio.sleep(0)
            log.append(f"{name} ends")

    async with asyncio.TaskGroup() as group:
        for name in "abc":
            group.create_task(take(name))
    assert log == [f"{name} {what}" for name in "abc" for what in ("begins", "ends")]


async def test_keys_do_not_wait_for_each_other() -> None:
    turns = Turns()
    async with turns.of("a"), turns.of("b"), turns.of(("a", "b")):
        assert len(turns) == 3
    assert len(turns) == 0


async def test_a_turn_that_fails_is_over() -> None:
    turns = Turns()
    with pytest.raises(ValueError, match="oh"):
        async with turns.of("a"):
            raise ValueError("oh")
    assert len(turns) == 0
    async with turns.of("a"):
        pass


async def test_whoever_gives_up_waiting_does_not_hold_up_the_next() -> None:
    turns, log = Turns(), list[str]()

    async def take(name: str) -> None:
        async with turns.of("key"):
            log.append(name)

    async with asyncio.TaskGroup() as group, turns.of("key"):
        tasks = [group.create_task(take(name)) for name in "abc"]
        await asyncio.sleep(0)
        tasks[0].cancel()
        await asyncio.sleep(0)
        assert len(turns) == 1
    assert log == ["b", "c"]
    assert len(turns) == 0


async def test_a_turn_cancelled_in_the_moment_it_is_given_is_passed_on() -> None:
    turns, log = Turns(), list[str]()

    async def take(name: str) -> None:
        async with turns.of("key"):
            log.append(name)

    async with asyncio.TaskGroup() as group:
        async with turns.of("key"):
            first, _ = group.create_task(take("a")), group.create_task(take("b"))
            await asyncio.sleep(0)
        first.cancel()  # its turn has come, it has not run yet
    assert log == ["b"]
    assert len(turns) == 0
