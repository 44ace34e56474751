"""Each rule of the watch protocol is there for a reason: without it, some world goes wrong."""

from __future__ import annotations

import pytest

from tests.support.mutations import BUGS, SPARE
from tests.support.world import World

MOST_SEEDS = 200
SPARE_SEEDS = 20


@pytest.mark.parametrize("name", BUGS)
def test_a_planted_bug_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    BUGS[name](monkeypatch)
    assert any(World(seed).run() for seed in range(MOST_SEEDS)), f"{name}: no world went wrong"


@pytest.mark.parametrize("name", SPARE)
def test_a_saving_can_be_done_without(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    SPARE[name](monkeypatch)
    for seed in range(SPARE_SEEDS):
        assert World(seed).run() == []
