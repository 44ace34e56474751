"""Of contenders for one endpoint exactly one model wins, and nobody ever sees a loser.

The last tests plant a fault in the rule, and show that these races then find it.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from discovery import pending
from discovery.registry import Registry
from discovery.store import NoPutAfter
from discovery.unit import Unit
from tests.support.races import Race, race
from tests.support.sample_specs import model
from tests.support.stores import GuardlessStore, memory_store

if TYPE_CHECKING:
    from collections.abc import Callable

    from discovery.store import Store

pytestmark = pytest.mark.looptime

STORES = pytest.mark.parametrize(
    "new_store", [memory_store, GuardlessStore], ids=["memory", "guardless"]
)
SEEDS = range(40)


async def race_of_models(store: Store, seed: int) -> Race:
    """Two to eight contenders, of two models or more, through one to four daemons."""
    rng = random.Random(seed)
    names = [f"model-{rng.randrange(4)}" for _ in range(rng.randint(2, 8))]
    specs = [model(name) for name in names]
    return await race(store, specs, seed=seed, daemons=rng.randint(1, 4))


@STORES
@pytest.mark.parametrize("seed", SEEDS)
async def test_one_model_wins_and_no_loser_is_ever_seen(
    new_store: Callable[[], Store], seed: int
) -> None:
    result = await race_of_models(new_store(), seed)
    assert len(set(result.winners)) == 1, result
    assert not set(result.winners) & set(result.losers), result
    assert result.seen == set(result.winners), result
    assert result.contradictions == 0, result


@STORES
@pytest.mark.parametrize("seed", SEEDS)
async def test_of_a_relation_that_is_not_transitive_the_winners_agree(
    new_store: Callable[[], Store], seed: int
) -> None:
    rng = random.Random(seed)
    specs = [
        model("n", source="s"),
        model("m", source="s"),
        model("lora", source="s", suffix="lora"),
        model("l", source="t", suffix="l"),
    ]
    rng.shuffle(specs)
    result = await race(new_store(), specs, seed=seed, daemons=rng.randint(1, 4))
    assert result.winners, result
    assert result.contradictions == 0, result
    assert result.seen == set(result.winners), result


async def _no_rival(*_: object) -> None:
    """Find nobody in the way."""


@pytest.mark.parametrize("fault", ["the rule", "the guard", "both"])
async def test_without_the_rule_or_the_guard_the_races_show_two_models(
    fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if fault != "the guard":
        monkeypatch.setattr(Registry, "_refuse_conflict", lambda *_: None)
    if fault != "the rule":
        monkeypatch.setattr(Unit, "guard", lambda unit, _: NoPutAfter(unit.models_prefix, 1 << 60))
    results = [await race_of_models(memory_store(), seed) for seed in SEEDS]
    assert any(result.contradictions for result in results)
    assert any(len(set(result.winners)) > 1 for result in results)


async def test_without_the_look_at_rivals_the_races_show_two_models(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pending, "_win", _no_rival)
    results = [await race_of_models(GuardlessStore(), seed) for seed in SEEDS]
    assert any(result.contradictions for result in results)
