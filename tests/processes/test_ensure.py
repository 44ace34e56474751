"""Real workers that start for one model: one download for each cache, also when one is killed."""

from __future__ import annotations

import asyncio
import os

import pytest

import discovery
from discovery import ClaimStatus
from discovery.models import ArtifactCache, CacheStatus
from tests.support.places import until
from tests.support.processes import daemon, free_ports, program, script

WORKERS = 10
FILES = 3
TTL_S = 2.0
COLUMNS = {"model_type": "llm", "backend": "vllm", "task": "generate"}


@pytest.fixture
async def url():
    port = free_ports()
    async with daemon(port, "--lease-recovery-s", "0"):
        yield f"zmq://127.0.0.1:{port}"


@pytest.fixture
def folder(tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    for number in range(FILES):
        (source / f"{number}.bin").write_bytes(os.urandom(1 << 20))
    return source


async def test_ten_start_at_once_on_each_of_two_nodes_and_one_of_each_downloads(
    url, folder, tmp_path
):
    async with (
        discovery.connect(url) as d,
        program(*script("ensurers", WORKERS, url)) as workers,
    ):
        await d.catalog.register("m", artifact_path=str(folder), **COLUMNS)
        for node in ("one", "two"):
            workers.tell(str(tmp_path / node))
            said = await workers.hear()
            assert said == {"copied": [0] * (WORKERS - 1) + [FILES], "seen": [WORKERS]}
            cache = ArtifactCache(tmp_path / node)
            report = await cache.inspect(await d.catalog.get("m"), is_deep=True)
            assert report.status is CacheStatus.INSTALLED
        assert await d.claims.counts() == (0, 2, 0)


async def test_when_the_one_that_downloads_is_killed_the_one_that_waits_goes_on(
    url, folder, tmp_path
):
    root = tmp_path / "cache"
    big = folder / "big.bin"
    with big.open("wb") as file:
        file.truncate(4 << 30)  # takes seconds to copy, and nothing to make
    puller = script("puller", url, TTL_S, root)
    async with discovery.connect(url) as d, asyncio.timeout(60):
        await d.catalog.register("m", artifact_path=str(folder), **COLUMNS)
        claim = (f"{await ArtifactCache(root).cache_id()}/File/m@1", "File")
        async with d.claims.wait(*claim) as states, program(*puller) as a, program(*puller) as b:
            programs = {(await one.hear())["id"]: one for one in (a, b)}
            async for state in states:
                if state is not None:
                    break
            assert state.status is ClaimStatus.DOWNLOADING
            await until(lambda: list(root.glob(".staging/*/big.bin")))
            owner = programs.pop(state.owner)
            (waiter,) = programs.values()
            owner.process.kill()
            await owner.process.wait()
            big.unlink()
            assert await waiter.hear() == {"copied": FILES}
        report = await ArtifactCache(root).inspect(await d.catalog.get("m"), is_deep=True)
        assert report.status is CacheStatus.INSTALLED
        assert list((root / ".staging").iterdir()) == []
