"""The whole core in unkind worlds; `python -m tests.simulation --seed N` tells of a failure."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.bugs import BUGS, SPARE, planted
from tests.simulation.campaign import play
from tests.simulation.hunt import MOST_SEEDS, found_by
from tests.simulation.story import MOST_LINES
from tests.simulation.world import World

BLOCKS, SEEDS_A_BLOCK = 5, 24
SPARE_SEEDS = 20
ONCE_BROKEN = {
    50673: "a commit decided in one epoch was done in another",
    60666: "an epoch went back",
    60817: "sessions were not told of a lost tail",
    1795245243: "a second grant was told that a living lease is lost",
    1795246964: "what was retained was spared for a registration that was then refused",
    1795251352: "a late copy of a refused registration was carried out",
    1795252277: "what was under a lease was looked up once per epoch",
    1795266452: "a lease was granted again by a late copy of its own grant",
    # The judge was wrong:
    1795246842: "what was spoiled, or for how long one may be away, was forgotten 1",
    1795253165: "what was spoiled, or for how long one may be away, was forgotten 2",
    1795258742: "what was spoiled, or for how long one may be away, was forgotten 3",
    1795258696: "a cut that had ended still counted",
    1795266312: "a spoiled event of before hid a younger one",
    3000004852: "what became another one went back in the next revision",
}
"""Seeds whose worlds found something, and what that was."""
ROOT = Path(__file__).parents[2]


def say(hash_seed: str, *options: str) -> str:
    """Return what the program prints under a hash seed."""
    return subprocess.run(
        [sys.executable, "-m", "tests.simulation", *options],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
    ).stdout


def is_over_memory(seed: int) -> bool:
    world = World(seed)
    world.loop.close()
    return world.is_memory


@pytest.mark.parametrize("block", range(BLOCKS))
def test_nothing_is_broken_in_any_world(block: int) -> None:
    seeds = range(block * SEEDS_A_BLOCK, (block + 1) * SEEDS_A_BLOCK)
    assert play(seeds).broken == {}


@pytest.mark.parametrize("seed", ONCE_BROKEN, ids=ONCE_BROKEN.values())
def test_what_was_found_stays_mended(seed: int) -> None:
    assert World(seed).run() is None


@pytest.mark.parametrize("name", BUGS)
def test_a_planted_bug_is_found(name: str) -> None:
    known = found_by().get(name, 0)
    with planted(name):
        found = World(known).run() or any(World(seed).run() for seed in range(MOST_SEEDS))
    assert found, f"{name}: no world went wrong"


@pytest.mark.parametrize("name", SPARE)
def test_a_saving_can_be_done_without(name: str) -> None:
    with planted(name):
        assert play(range(SPARE_SEEDS)).broken == {}


def test_what_was_planted_is_taken_out_again() -> None:
    for name in {**BUGS, **SPARE}:
        with planted(name):
            pass
    assert World(0).run() is None


@pytest.mark.parametrize("is_memory", [True, False], ids=["memory", "shared store"])
def test_the_same_seed_is_the_same_story_whatever_the_hash_seed(*, is_memory: bool) -> None:
    seed = next(seed for seed in range(100) if is_over_memory(seed) == is_memory)
    one, two, three = (say(hash_seed, "--seed", str(seed), "--trace") for hash_seed in "123")
    assert one == two == three
    assert one.endswith(f"seed {seed}: nothing was broken\n")
    assert len(one.splitlines()) > 100


def test_a_fault_is_told_in_a_short_story_that_can_be_played_again() -> None:
    name = "held rival kept"
    with planted(name):
        seed = next(seed for seed in range(MOST_SEEDS) if World(seed).run())
        broken = World(seed).run()
    one, two = (say(hash_seed, "--seed", str(seed), "--bug", name) for hash_seed in "12")
    assert one == two
    story = one.split("\nAgain: ")[0].splitlines()
    assert f"BROKEN {broken.kind}" in story[-2]
    assert len(story) <= MOST_LINES + 3
    (only,) = re.findall(r"--only (\S+) ", one)
    again = say("3", "--seed", str(seed), "--bug", name, "--only", only)
    assert f"{broken.kind}: seed {seed}" in again.splitlines()[-1]


def test_leaving_out_a_disturbance_changes_no_other() -> None:
    world = World(3)
    world.run()
    happened = world.disturbances.happened
    less = World(3, only=frozenset(happened[1:]))
    less.run()
    assert less.disturbances.happened[:50] == happened[1:51]


def test_a_campaign_says_what_never_happened() -> None:
    assert "daemon crashes" in play([], steps=1).missing


def test_the_documentation_says_of_each_bug_which_rule_it_takes_out() -> None:
    table = (ROOT / "docs" / "protocol.md").read_text().partition("## What each rule is for")[2]
    rows = [line for line in table.partition("## Stories")[0].splitlines() if line[:1] == "|"]
    named = [name for row in rows for name in re.findall(r'"([^"]+)"', row.split("|")[3])]
    assert sorted(named) == sorted(BUGS)
