"""Models racing on a store without guards: every interleaving of three, crashes, and rollbacks."""

from __future__ import annotations

import asyncio
import functools
import itertools
from typing import TYPE_CHECKING

import pytest

from discovery.errors import LeaseExpiredError, ModelConflictError, UnavailableError
from discovery.events import Cause
from discovery.identity import ModelIdentity, is_compatible
from discovery.pending import Contender, confirm_pending
from discovery.settings import LimitSettings
from discovery.store import Put
from discovery.unit import Unit
from tests.support.interleavings import Explored, explore
from tests.support.registries import Daemon, Worker, contradict, serving
from tests.support.sample_specs import model
from tests.support.stores import GuardlessStore

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

pytestmark = pytest.mark.looptime


def plain(name: str, source: str) -> ModelIdentity:
    return ModelIdentity(display_name=name, source_path=source)


def lora(name: str, source: str) -> ModelIdentity:
    return ModelIdentity(display_name=name, source_path=source, is_lora=True)


# All contradict each other; both first contradict each other but not the third; the second
# contradicts both others.
TRIOS = {
    "incompatible": [plain("a", "s"), plain("b", "t"), plain("c", "u")],
    "third-with-both": [plain("n", "s"), plain("m", "s"), lora("lora", "s")],
    "second-against-both": [lora("l", "s"), plain("n", "t"), plain("m", "s")],
}
ALL = pytest.mark.parametrize("trio", TRIOS)


@functools.cache
def explored_without_crashes(name: str) -> Explored:
    return explore(TRIOS[name])


@pytest.fixture(autouse=True)
async def no_debugging() -> None:
    """Exploring is ten times as slow when the origin of every coroutine is noted."""
    asyncio.get_running_loop().set_debug(False)


@ALL
async def test_in_every_interleaving_of_three_the_winners_agree_and_there_is_one(
    trio: str,
) -> None:
    models = TRIOS[trio]
    explored = explored_without_crashes(trio)  # in each state, what is visible agrees
    assert explored.finals
    assert not explored.stuck
    for final in explored.finals:
        winners = {n for n, outcome in enumerate(final.outcomes) if outcome == "won"}
        losers = {n for n, o in enumerate(final.outcomes) if o == "ModelConflictError"}
        assert winners, final
        assert winners == final.confirmed == final.ever, final  # no loser was ever visible
        assert winners | losers == {0, 1, 2}, final
        assert not contradict(models[n] for n in winners), final
        assert final.leftovers == 0, final
        for loser in losers:  # nobody loses to a loser
            assert not all(is_compatible(models[loser], models[n]) for n in winners), final


@ALL
async def test_any_winner_that_can_be_is_among_the_interleavings(trio: str) -> None:
    models = TRIOS[trio]
    won = {tuple(sorted(final.confirmed)) for final in explored_without_crashes(trio).finals}
    expected = {
        winners
        for size in (1, 2, 3)
        for winners in itertools.combinations(range(3), size)
        if not contradict(models[n] for n in winners)
        and all(
            not all(is_compatible(models[n], models[w]) for w in winners)
            for n in set(range(3)) - set(winners)
        )
    }
    assert won == expected


@pytest.mark.parametrize(
    ("models", "crashes", "may_die"),
    [
        pytest.param([plain("a", "s"), plain("b", "t")], {0, 1}, True, id="two that contradict"),
        pytest.param([plain("n", "s"), lora("lora", "s")], {0, 1}, True, id="two that agree"),
        pytest.param(TRIOS["second-against-both"], {1}, False, id="three"),
    ],
)
async def test_wherever_one_crashes_the_others_are_decided_and_agree(
    models: Sequence[ModelIdentity], crashes: set[int], *, may_die: bool
) -> None:
    """Its lease ends while it is decided, or its daemon goes and its lease ends later or never."""
    explored = explore(models, crashes=crashes, may_die=may_die)
    assert any(what != "step" for final in explored.finals for what, _ in final.choices)
    for final in explored.finals:
        crashed = {number for what, number in final.choices if what != "step"}
        for number, outcome in enumerate(final.outcomes):
            if number in crashed:
                expected = {"won", "dead", "LeaseExpiredError", "ModelConflictError"}
            else:
                expected = {"won", "ModelConflictError"}
            assert outcome in expected, final
            if outcome == "ModelConflictError":  # only to somebody who was there
                assert not all(is_compatible(models[number], models[n]) for n in final.ever), final
        if not crashed:
            assert final.confirmed, final
    for choices in explored.stuck:  # only for as long as the lease of the dead one lives
        dead = {number for what, number in choices if what == "die"}
        assert dead, choices
        assert not any(("end", number) in choices for number in dead), choices


# ---- one contender, step by step


@pytest.fixture
async def store() -> AsyncGenerator[GuardlessStore]:
    async with GuardlessStore() as store:
        for lease_id in (1, 2):
            await store.grant(lease_id, 3600.0)
        yield store


def contender(lease_id: int, *names: str) -> Contender:
    specs = [model(name, source="s", suffix=f"s{n}" if n else None) for n, name in enumerate(names)]
    unit = Unit.of(specs, lease_id, "a", LimitSettings())
    ops = [Put(key, value, lease_id) for key, value in unit.records.items()]
    return Contender(instance_id=lease_id, unit=unit, newcomers=unit.models, ops=ops)


async def confirm(store: GuardlessStore, who: Contender) -> int:
    return await confirm_pending(store, who, since_ms=lambda _: 0)


def keys(store: GuardlessStore) -> list[str]:
    return [entry.key for entry in store.peek("").entries]


ONE, TWO = "v1/mdc/prod/vllm/generate/1", "v1/mdc/prod/vllm/generate/2"


async def test_a_winner_becomes_visible_at_one_revision(store: GuardlessStore) -> None:
    revision = await confirm(store, contender(1, "a", "b", "c"))
    entries = store.peek("").entries
    assert len(entries) == 3
    assert {entry.revision for entry in entries} == {revision}


async def test_a_unit_that_contradicts_itself_is_refused_before_anything_is_written(
    store: GuardlessStore,
) -> None:
    unit = Unit.of([model("m"), model("n", suffix="s")], 1, "a", LimitSettings())
    with pytest.raises(ModelConflictError):
        await confirm(store, Contender(instance_id=1, unit=unit, newcomers=unit.models, ops=()))
    assert store.commits == 0


async def test_a_refused_contender_leaves_nothing_pending(store: GuardlessStore) -> None:
    await confirm(store, contender(1, "a"))
    with pytest.raises(ModelConflictError, match=r"'b'.*'a' is already registered there"):
        await confirm(store, contender(2, "b"))
    assert keys(store) == [ONE]


async def test_a_rollback_that_fails_says_both_and_names_the_instance(
    store: GuardlessStore,
) -> None:
    await confirm(store, contender(1, "a"))
    store.fail_commit(store.commits + 3, UnavailableError("the store is away"))
    with pytest.raises(ModelConflictError) as caught:
        await confirm(store, contender(2, "b"))
    text = str(caught.value)
    assert text.startswith(
        "Cannot register model 'b' on endpoint 'prod/vllm/generate': a different model 'a' is "
        "already registered there"
    )
    assert text.endswith(
        "; failed to roll back conflicting model registration for instance 2: the store is away"
    )
    assert keys(store) == [f"pending/{TWO}", ONE]


@pytest.mark.parametrize("is_done", [True, False])
async def test_a_pending_write_without_an_answer_is_rolled_back(
    store: GuardlessStore, *, is_done: bool
) -> None:
    """Found in review: one that was done, but whose answer was lost, stayed in everybody's way."""
    store.fail_commit(2, UnavailableError("no answer"), is_done=is_done)
    with pytest.raises(UnavailableError, match=r"^no answer$"):
        await confirm(store, contender(1, "a"))
    assert keys(store) == []


@pytest.mark.parametrize("is_done", [True, False])
async def test_a_confirmation_without_an_answer_leaves_nothing_pending(
    store: GuardlessStore, *, is_done: bool
) -> None:
    store.fail_commit(3, UnavailableError("no answer"), is_done=is_done)
    with pytest.raises(UnavailableError, match=r"^no answer$"):
        await confirm(store, contender(1, "a"))
    assert keys(store) == ([ONE] if is_done else [])


async def test_a_store_that_stays_away_is_named_twice(store: GuardlessStore) -> None:
    """Found in review: the rollback's own failure was swallowed."""
    store.fail_commit(3, UnavailableError("away"))
    store.fail_commit(4, UnavailableError("still away"))
    with pytest.raises(UnavailableError) as caught:
        await confirm(store, contender(1, "a"))
    assert str(caught.value) == (
        "away; failed to roll back conflicting model registration for instance 1: still away"
    )


async def test_an_unknown_failure_is_rolled_back_too(store: GuardlessStore) -> None:
    for broken in (3, 4):
        store.fail_commit(broken, ValueError("a bug") if broken == 3 else UnavailableError(""))
    with pytest.raises(ValueError, match="a bug"):
        await confirm(store, contender(1, "a"))


async def test_a_rollback_is_bounded(store: GuardlessStore) -> None:
    await confirm(store, contender(1, "a"))

    async def before(call: str) -> None:
        if call == "commit" and store.commits == 6:
            await asyncio.sleep(1000)

    store.before = before
    with pytest.raises(ModelConflictError, match="instance 2: no answer within 2 s"):
        await confirm(store, contender(2, "b"))


async def test_the_next_attempt_clears_what_a_failed_rollback_left_and_starts_last(
    store: GuardlessStore,
) -> None:
    await store.commit([Put(f"pending/{ONE}", contender(1, "a").unit.records[ONE], 1)])
    (left,) = store.peek("pending/").entries
    created: list[int] = []

    async def before(call: str) -> None:
        created.extend(entry.created for entry in store.peek("pending/").entries)

    store.before = before
    await confirm(store, contender(1, "a"))
    assert max(created) > left.created
    assert keys(store) == [ONE]


async def test_what_a_failed_rollback_left_stops_others_for_a_bounded_time_and_says_so(
    store: GuardlessStore,
) -> None:
    await store.commit([Put(f"pending/{TWO}", contender(2, "b").unit.records[TWO], 2)])
    before = asyncio.get_running_loop().time()
    with pytest.raises(UnavailableError) as caught:
        await confirm(store, contender(1, "a"))
    assert str(caught.value) == (
        "model 'a': an earlier registration of 'b' on its endpoint was not decided within 1 s "
        f"(pending/{TWO}); try again"
    )
    assert asyncio.get_running_loop().time() - before == pytest.approx(1.0)
    assert keys(store) == [f"pending/{TWO}"]


async def test_whoever_waits_for_a_leftover_goes_on_when_its_lease_ends(
    store: GuardlessStore,
) -> None:
    await store.commit([Put(f"pending/{TWO}", contender(2, "b").unit.records[TWO], 2)])
    async with asyncio.TaskGroup() as group:
        task = group.create_task(confirm(store, contender(1, "a")))
        await asyncio.sleep(0.5)
        assert not task.done()
        await store.revoke(2, Cause.REVOKED)
    assert keys(store) == [ONE]


async def test_a_leftover_that_is_compatible_stops_nobody(store: GuardlessStore) -> None:
    await store.commit([Put(f"pending/{TWO}", contender(2, "a").unit.records[TWO], 2)])
    await confirm(store, contender(1, "a"))


async def test_a_store_that_does_not_answer_in_time_is_no_rival(store: GuardlessStore) -> None:
    async def before(call: str) -> None:
        if call == "snapshot":
            await asyncio.sleep(1000)

    store.before = before
    with pytest.raises(UnavailableError, match="process 1: no answer of the store within 1 s"):
        await confirm(store, contender(1, "a"))


async def test_a_wait_survives_lost_history(store: GuardlessStore) -> None:
    await store.commit([Put(f"pending/{TWO}", contender(2, "b").unit.records[TWO], 2)])
    looks = 0

    async def before(call: str) -> None:
        nonlocal looks
        looks += call == "snapshot"
        if looks == 2:  # the confirmed records are read; forget all that follows the first look
            looks += 1
            await store.revoke(2, Cause.REVOKED)
            store._batches.clear()

    store.before = before
    await confirm(store, contender(1, "a"))
    assert keys(store) == [ONE]


async def test_a_lease_that_ends_while_its_model_is_decided_is_said_to_have_ended(
    store: GuardlessStore,
) -> None:
    async def before(call: str) -> None:
        if call == "snapshot":
            store.before = _pass
            await store.revoke(1, Cause.REVOKED)

    store.before = before
    store.fail_commit(3, UnavailableError("no rollback either"))
    with pytest.raises(LeaseExpiredError, match="process 1: its lease ended while it registered"):
        await confirm(store, contender(1, "a"))
    assert keys(store) == []


async def _pass(_: str) -> None:
    """Let a call through."""


async def test_cancelled_at_any_step_nothing_stays_pending(store: GuardlessStore) -> None:
    async def before(_: str) -> None:
        await asyncio.sleep(0)

    store.before = before
    for steps in range(100):
        task = asyncio.ensure_future(confirm(store, contender(1, "a")))
        for _ in range(steps):
            await asyncio.sleep(0)
        if task.done():
            break
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not [key for key in keys(store) if key.startswith("pending/")], steps
    assert steps > 5
    assert keys(store) == [ONE]


# ---- through the registry


async def test_unregistering_removes_what_a_failed_rollback_left() -> None:
    """Found in review: it stayed in everybody's way for as long as its owner lived."""
    store = GuardlessStore()
    daemon = Daemon(store)
    async with serving(daemon):
        one = await Worker(daemon.registry, 1).grant()
        two = await Worker(daemon.registry, 2).grant()
        await one.register(model("a"))
        store.fail_commit(store.commits + 3, UnavailableError("away"))
        with pytest.raises(ModelConflictError, match="failed to roll back"):
            await two.register(model("b"))
        assert [i.instance_id for i in daemon.list()] == [1]
        await two.unregister(model("b"))
        assert not store.peek("pending/").entries
