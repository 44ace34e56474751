from __future__ import annotations

import asyncio

import pytest

from discovery.store import Change, CompactedError
from discovery.stores.history import History


def filled(*, revisions: int, limit: int) -> History:
    history = History(revision=10, limit=limit)
    for number in range(revisions):
        history.append([Change(f"a/{number}", None)])
    return history


def test_no_changes_make_no_revision() -> None:
    history = History(revision=10, limit=3)
    assert history.append([]) == 10
    assert history.append([Change("a", None)]) == 11


@pytest.mark.parametrize(("after", "expected"), [(13, []), (12, [13]), (10, [11, 12, 13])])
def test_what_comes_after_a_revision_is_handed_over(after: int, expected: list[int]) -> None:
    assert [b.revision for b in filled(revisions=3, limit=3).after(after)] == expected


@pytest.mark.parametrize("after", [10, 14])
def test_what_is_not_kept_is_refused_with_what_is(after: int) -> None:
    with pytest.raises(CompactedError, match="expected 11 to 13"):
        filled(revisions=3, limit=2).after(after)


def test_a_history_before_its_first_change_keeps_only_where_it_stands() -> None:
    history = History(revision=10, limit=3)
    assert history.after(10) == []
    with pytest.raises(CompactedError):
        history.after(9)


def test_a_history_is_bounded() -> None:
    history = filled(revisions=1000, limit=7)
    assert len(history._batches) == 7


async def test_a_watch_that_is_left_is_forgotten() -> None:
    history = History(revision=10, limit=3)
    async with history.watch("", 10), history.watch("", 10):
        assert len(history._watches) == 2
    assert not history._watches


async def test_a_watch_that_waits_holds_no_batches_and_looks_at_each_once() -> None:
    history = filled(revisions=0, limit=3)
    async with history.watch("b/", 10) as watch, asyncio.timeout(1), asyncio.TaskGroup() as group:
        wait = group.create_task(watch.wait())
        for number in range(100):  # without a turn for anybody
            history.append([Change(f"a/{number}", None)])
        await asyncio.sleep(0)
        assert not wait.done()
        assert watch._position == history.revision
        history.append([Change("b/1", None)])
    assert [batch.revision for batch in watch.ready()] == [111]


async def test_entering_passes_over_what_is_not_under_the_prefix() -> None:
    history = filled(revisions=2, limit=3)
    history.append([Change("b/1", None)])
    history.append([Change("a/9", None)])
    async with history.watch("b/", 11) as watch:
        await watch.wait()
        assert [batch.revision for batch in watch.ready()] == [13]
    async with history.watch("c/", 11) as watch:
        assert watch._position == 14
