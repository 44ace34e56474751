"""A process that is killed at any step of an install leaves the old one or the new one, whole."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.processes import program, script

if TYPE_CHECKING:
    from collections.abc import Iterator

UNWATCHED = {"COVERAGE_PROCESS_CONFIG": "", "COVERAGE_PROCESS_START": ""}  # thousands of forks


@pytest.fixture
def fast_disk() -> Iterator[str]:
    """A folder in memory: it is written to and synced thousands of times."""
    memory = "/dev/shm"  # noqa: S108 - a folder of its own below
    with tempfile.TemporaryDirectory(dir=memory if Path(memory).is_dir() else None) as folder:
        yield folder


async def story(folder: str, what: str, times: int) -> dict:
    """Kill something at each of its steps, so many times each; every second start after it too.

    After each kill the program checks that the old one or the new one is installed, byte by byte,
    that nothing else is left, and that the lock is free.
    """
    async with program(*script("installer", "kills", folder, what, times), env=UNWATCHED) as killer:
        told = [line async for line in killer.lines()][-1]
        assert await killer.ended() == 0
    steps = told["steps"]
    assert sum(told["hit"].values()) == len(steps) * times
    assert all(told["came"][how] >= times for how in ("old", "new"))
    return told["hit"]


async def test_a_kill_at_any_step_of_an_install_leaves_the_old_or_the_new_one(fast_disk):
    hit = await story(fast_disk, "install", 20)
    for step in (
        "os.link .locks/m/.# to .locks/m/#",
        "os.rename .staging/m-#/manifest.json.tmp to .staging/m-#/manifest.json",
        "os.rename m to .purge/m-#",
        "os.rename .staging/m-# to m",
        "shutil.rmtree .purge/m-#",
        "os.rename .stamps/m.json.tmp to .stamps/m.json",
        "open .locks/m/#",
    ):
        assert hit[step] == 20
    for step in ("source.read config.json", "open .staging/m-#/weights/a.bin"):
        assert hit[step]  # copied at once with others, so that their order is not always the same


async def test_a_kill_at_any_step_of_a_first_install_leaves_nothing_or_all_of_it(fast_disk):
    hit = await story(fast_disk, "first install", 6)
    assert hit["os.rename .staging/m-# to m"] == 6


async def test_a_kill_at_any_step_of_an_install_from_afar_leaves_the_old_or_the_new_one(fast_disk):
    hit = await story(fast_disk, "install from afar", 6)
    assert hit["os.rename .partial/m/files to .staging/m-#"]
    assert hit["os.rename .staging/m-# to m"]


async def test_a_kill_at_any_step_of_a_drop_leaves_all_of_it_or_nothing(fast_disk):
    hit = await story(fast_disk, "drop", 20)
    assert hit["os.rename m to .purge/m-#.drop"] == 20
