"""What was not used for longest goes when there is too much, and never what is in use."""

from __future__ import annotations

import asyncio
import os
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from discovery.artifacts.lock import locked
from discovery.artifacts.manifest import Described
from discovery.artifacts.room import Room
from discovery.artifacts.usage import Usage
from discovery.errors import InternalError, ResourceExhaustedError
from tests.discovery.artifacts.places import GivenSource, cache_at, installed, left_in, sized
from tests.support.processes import program, script

if TYPE_CHECKING:
    from discovery.artifacts.cache import Cache


@pytest.fixture
def cache(tmp_path):
    """A cache of four models of 10 bytes, of which "a" is the oldest."""
    cache = cache_at(tmp_path / "cache")
    for name in "abcd":
        sized(cache, name, 10)
    return cache


def room(budget: int, order: str = "", kept: str = "") -> Room:
    return Room(budget_bytes=budget, usage=lambda: Usage(order=order, kept=kept))


def names(cache: Cache) -> str:
    return "".join(report.name for report in cache.list())


def total(cache: Cache) -> int:
    return sum(report.footprint_bytes for report in cache.list())


def evicted(cache: Cache, budget: int, order: str = "", kept: str = "") -> str:
    gone = cache.evict(room(budget, order, kept))
    return "".join(report.name for report in gone)


# ---- evicting


def test_nothing_goes_while_all_fits(cache):
    assert evicted(cache, 40) == ""
    assert names(cache) == "abcd"


def test_what_was_not_used_for_longest_goes_first_and_no_more_than_must(cache):
    assert evicted(cache, 25, order="cabd") == "ca"
    assert names(cache) == "bd"
    assert left_in(cache) == []


def test_what_nobody_knows_of_goes_before_that_the_oldest_first(cache):
    assert evicted(cache, 0, order="ca") == "bdca"


def test_of_those_what_has_no_manifest_goes_first(cache):
    (cache.root / "c/manifest.json").unlink()
    assert evicted(cache, 35, order="d") == "c"


def test_what_went_is_told_as_it_was(cache):
    before = cache.inspect("a")
    assert cache.evict(Room(budget_bytes=30)) == [before]
    assert cache.inspect("a").status == "missing"
    assert cache.inspect("a").stamp["status"] == "registered"


def test_what_is_kept_stays_even_if_it_is_too_much(cache):
    assert evicted(cache, 0, order="abcd", kept="bd") == "ac"
    assert names(cache) == "bd"


def test_what_this_process_uses_stays(cache):
    with cache.used("a") as report:
        assert report.status == "installed"
        assert evicted(cache, 0) == "bcd"
    assert evicted(cache, 0) == "a"
    assert list((cache.root / ".uses/a").iterdir()) == []


def test_what_is_used_twice_stays_until_neither_does(cache):
    with cache.used("a"):
        with cache.used("a"):
            pass
        assert evicted(cache, 30, kept="bcd") == ""


def test_what_somebody_is_at_stays(cache):
    with locked(cache.root, "a"):
        assert evicted(cache, 30, order="abcd") == "b"


async def test_what_another_process_uses_stays_until_that_is_killed(cache):
    async with program(*script("installer", "use", cache.root, "a")) as user:
        assert await user.hear() == {"uses": "installed"}
        assert await asyncio.to_thread(evicted, cache, 0) == "bcd"
        await asyncio.to_thread(cache_at, cache.root)  # a start does not end it either
        assert await asyncio.to_thread(evicted, cache, 0) == ""
        user.process.kill()
        await user.ended()
        assert await asyncio.to_thread(evicted, cache, 0) == "a"


def test_a_start_forgets_the_marks_of_those_who_were_killed(cache):
    with cache.used("a"), cache.used("b"):
        (mark,) = (cache.root / ".uses/a").iterdir()
        mark.write_text(mark.read_text().replace(f'"pid": {os.getpid()}', f'"pid": {2**22 + 1}'))
        cache_at(cache.root)
        assert not mark.exists()
        assert len(list((cache.root / ".uses/b").iterdir())) == 1


def test_what_is_not_there_can_be_used_too(cache):
    with cache.used("e") as report:
        assert report.status == "missing"


def test_a_root_that_went_is_told(cache):
    cache.root.rename(cache.root.with_name("elsewhere"))
    with pytest.raises(InternalError, match=f"cache {cache.root}: No such file or directory"):
        evicted(cache, 0)


# ---- pulling into a budget


def pull(cache: Cache, name: str, size: int, budget: int, order: str = "", kept: str = "") -> None:
    sized(cache, name, size, room=room(budget, order, kept))


def test_a_pull_makes_the_room_that_it_needs(cache):
    pull(cache, "e", 15, 44, order="bcad")
    assert names(cache) == "ade"
    assert total(cache) == 35


def test_a_pull_that_fits_removes_nothing(cache):
    pull(cache, "e", 5, 45)
    assert names(cache) == "abcde"


def test_what_is_in_use_is_asked_when_something_must_go_and_not_before(cache):
    asked = []

    def usage() -> Usage:
        asked.append(names(cache))
        return Usage(kept="abcd" if len(asked) == 1 else "bcd")

    given = Room(budget_bytes=50, usage=usage)
    sized(cache, "e", 10, room=given)
    assert cache.evict(given) == []
    assert asked == []
    with pytest.raises(ResourceExhaustedError):
        sized(cache, "f", 20, room=given)  # "e" alone may go, and is too little
    sized(cache, "f", 20, room=given)
    assert asked == ["abcde", "abcde"]
    assert names(cache) == "bcdf"


def test_what_came_into_use_while_it_was_copied_does_not_make_room_for_it(cache):
    used = []
    given = Room(budget_bytes=40, usage=lambda: Usage(order="abcd", kept=used))

    def meanwhile(_: str) -> None:
        sized(cache, "a", 10)  # takes the room that was made
        used.append("a")

    source = GivenSource({"f": b"e" * 10}, meanwhile)
    cache.pull(Described(name="e", source=""), source, room=given)
    assert names(cache) == "acde"


def test_a_new_install_of_the_same_model_counts_once(cache):
    pull(cache, "a", 20, 50, order="abcd")
    assert names(cache) == "abcd"
    pull(cache, "a", 21, 50, order="abcd")
    assert names(cache) == "acd"


def test_the_model_itself_does_not_go_to_make_room_for_it(cache):
    pull(cache, "a", 30, 40, order="abcd")
    assert names(cache) == "ad"
    assert len(installed(cache, "a")["f"]) == 30


@pytest.mark.parametrize("kept", ["", "abcd"])
def test_a_model_that_can_never_fit_removes_nothing(cache, kept):
    least = 41 + 10 * len(kept)
    told = f"model e: {least} bytes would be in cache .*, as what is in use stays; its budget is 40"
    with pytest.raises(ResourceExhaustedError, match=told):
        pull(cache, "e", 41, 40, kept=kept)
    assert names(cache) == "abcd"


def test_a_model_that_does_not_fit_beside_what_is_in_use_removes_nothing(cache):
    with (
        cache.used("a"),
        pytest.raises(ResourceExhaustedError, match="model e: 41 bytes would be in cache"),
    ):
        pull(cache, "e", 21, 40, kept="b")
    assert names(cache) == "abcd"
    pull(cache, "e", 21, 40, kept="b")
    assert names(cache) == "be"


def test_a_model_does_not_fit_while_others_are_at_what_could_go(cache):
    with (
        locked(cache.root, "a"),
        pytest.raises(ResourceExhaustedError, match="as others are at work on what could go"),
    ):
        pull(cache, "e", 10, 40, kept="bcd")
    assert names(cache) == "abcd"


def test_of_two_that_are_pulled_at_once_no_more_stays_than_fits(cache):
    def meanwhile(_: str) -> None:
        if cache.inspect("f").status == "missing":
            pull(cache, "f", 30, 50)

    source = GivenSource({"f": b"e" * 30}, meanwhile)
    cache.pull(Described(name="e", source=""), source, room=Room(budget_bytes=50))
    assert total(cache) <= 50
    assert len(installed(cache, "e")["f"]) == 30


def test_of_two_that_are_pulled_at_once_the_one_that_is_used_stays(cache):
    with ExitStack() as uses:

        def meanwhile(_: str) -> None:
            pull(cache, "f", 30, 50)
            uses.enter_context(cache.used("f"))

        source = GivenSource({"f": b"e" * 30}, meanwhile)
        with pytest.raises(ResourceExhaustedError, match="model e: 60 bytes would be in cache"):
            cache.pull(Described(name="e", source=""), source, room=Room(budget_bytes=50))
        assert cache.inspect("e").status == "missing"
        assert len(installed(cache, "f")["f"]) == 30
        assert left_in(cache) == []


NAMES = st.sampled_from("abcdef")
STEPS = st.lists(
    st.tuples(st.just("pull"), NAMES, st.integers(0, 60))
    | st.tuples(st.sampled_from(["drop", "use"]), NAMES)
)


@settings(max_examples=25)
@given(STEPS, st.permutations("abcdef"), st.sets(NAMES, max_size=2))
def test_the_budget_is_never_exceeded_and_what_is_in_use_never_goes(steps, order, kept):
    with tempfile.TemporaryDirectory() as folder, ExitStack() as uses:
        cache, pinned = cache_at(Path(folder)), set(kept)
        for step in steps:
            before, dropped = set(names(cache)), set()
            match step:
                case ["pull", name, size]:
                    try:
                        pull(cache, name, size, 100, "".join(order), "".join(kept))
                    except ResourceExhaustedError:
                        assert set(names(cache)) == before
                case ["drop", name]:
                    cache.drop(name)
                    dropped = {name}
                case [_, name]:
                    uses.enter_context(cache.used(name))
                    pinned.add(name)
            assert total(cache) <= 100
            assert (before & pinned) - dropped <= set(names(cache))
