"""The whole core in unkind worlds; `python -m tests.simulation --seed N` tells of a failure."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.campaign import play
from tests.simulation.mutations import BUGS, FOUND_BY, MISSED
from tests.simulation.world import World

BLOCKS, SEEDS_A_BLOCK = 5, 24
MOST_SEEDS = 200
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("block", range(BLOCKS))
def test_nothing_is_broken_in_any_world(block: int) -> None:
    seeds = range(block * SEEDS_A_BLOCK, (block + 1) * SEEDS_A_BLOCK)
    assert play(seeds).broken == {}


def test_the_same_seed_is_the_same_story_whatever_the_hash_seed() -> None:
    def tell(hash_seed: str) -> str:
        return subprocess.run(
            [sys.executable, "-m", "tests.simulation", "--seed", "12", "--trace"],
            check=True,
            capture_output=True,
            text=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
        ).stdout

    assert tell("1") == tell("2")


@pytest.mark.parametrize("name", [name for name in BUGS if name not in MISSED])
def test_a_planted_bug_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    BUGS[name](monkeypatch)
    seeds = [FOUND_BY.get(name, 0), *range(MOST_SEEDS)]
    assert any(World(seed).run() for seed in seeds), f"{name}: no world went wrong"


def test_a_campaign_says_what_never_happened() -> None:
    assert "daemon crashes" in play([], steps=1).missing
