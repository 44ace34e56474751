"""From a model's name to a registered instance: each rule of how the steps compose."""

from __future__ import annotations

import asyncio
import threading
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

import discovery
from discovery import (
    ClaimStatus,
    EndpointQuery,
    EndpointSpec,
    EventChannelQuery,
    EventChannelSpec,
    FailedPreconditionError,
    InvalidArgumentError,
    ModelConflictError,
    ModelQuery,
    ModelSpec,
    NotFoundError,
    ZmqTransport,
)
from discovery.artifacts.entry import entry_of
from discovery.artifacts.lock import locked
from discovery.models import ArtifactCache, CacheStatus, ensure_model
from discovery.models.artifacts import Progress
from tests.support.places import until

NAME = "org/m-3.1"
PLACE = {"namespace": "prod", "component": "vllm", "endpoint": "generate"}
ENDPOINT = EndpointSpec(**PLACE, transport={"tcp": "10.0.0.7:9000/generate"})
COLUMNS = {"model_type": "llm", "backend": "vllm", "task": "generate"}
DOWNLOADING, DOWNLOADED, ERROR = ClaimStatus


@pytest.fixture
def folder(tmp_path):
    source = tmp_path / "source"
    (source / "sub").mkdir(parents=True)
    (source / "weights.bin").write_bytes(bytes(range(256)) * 1000)
    (source / "sub" / "config.json").write_text("{}")
    return source


@pytest.fixture
def cache(tmp_path):
    return ArtifactCache(tmp_path / "cache")


@pytest.fixture
async def d(place, folder):
    async with place.connect() as connected:
        await connected.catalog.register(NAME, version=2, artifact_path=str(folder), **COLUMNS)
        yield connected


async def claim_of(cache, version=2):
    return f"{await cache.cache_id()}/File/{NAME}@{version}"


async def visible(d):
    found = [await d.list(query()) for query in (EndpointQuery, ModelQuery, EventChannelQuery)]
    return [len(instances) for instances in found]


# ---- the whole of it


async def test_a_worker_is_registered_with_verified_files_by_one_call(d, cache):
    channel = EventChannelSpec(
        namespace="prod",
        component="vllm",
        topic="kv",
        transport=ZmqTransport(endpoint="tcp://10.0.0.7:5557"),
    )
    async with await ensure_model(
        d, NAME, endpoint=ENDPOINT, channel=channel, cache=cache, card={"context_length": 4096}
    ) as model:
        assert (model.record.name, model.record.version) == (NAME, 2)
        assert (model.path / "sub" / "config.json").read_text() == "{}"
        assert [file.path for file in model.manifest.files] == ["sub/config.json", "weights.bin"]
        assert len({instance.revision for instance in model.instances}) == 1  # one unit
        report = await cache.inspect(model.record, is_deep=True)
        assert (report.status, report.path) == (CacheStatus.INSTALLED, model.path)
        (served,) = await d.list(ModelQuery())
        assert served.card == {
            "display_name": NAME,
            "catalog_key": f"{NAME}::2",
            "artifact": {"cache": await cache.cache_id(), "entry": report.name},
            "context_length": 4096,
        }
        claim = await d.claims.record(await claim_of(cache))
        assert (claim.status, claim.owner, claim.provider) == (DOWNLOADED, None, "File")
        assert await visible(d) == [1, 1, 1]
    assert await visible(d) == [0, 0, 0]
    await model.aclose()  # again


async def test_without_an_endpoint_the_files_are_here_and_nothing_is_registered(d, cache):
    async with await ensure_model(d, NAME, cache=cache) as model:
        assert model.instances == ()
        assert (await cache.inspect(model.record)).status is CacheStatus.INSTALLED
    assert await visible(d) == [0, 0, 0]


async def test_the_manifest_says_what_the_catalog_says(d, cache, folder):
    config = {"engine": "onnx", "dimensions": 384, "revision": "unused by a folder"}
    await d.catalog.register("e", artifact_path=str(folder), config=config, **COLUMNS)
    async with await ensure_model(d, "e", cache=cache) as model:
        manifest = model.manifest
    assert (manifest.task, manifest.engine, manifest.dimensions) == ("generate", "onnx", 384)
    assert manifest.source == folder.as_uri()


# ---- one pulls, the others wait


async def test_of_many_on_one_cache_one_pulls_and_all_are_registered(place, d, cache):
    async with AsyncExitStack() as stack:
        all_ = [d, *[await stack.enter_async_context(place.connect()) for _ in range(5)]]
        told = [Progress() for _ in all_]
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(
                    ensure_model(one, NAME, endpoint=ENDPOINT, cache=cache, progress=progress)
                )
                for one, progress in zip(all_, told, strict=True)
            ]
        for task in tasks:
            stack.push_async_exit(task.result())
        assert sorted(progress.files_done for progress in told) == [0] * 5 + [2]
        assert await visible(d) == [6, 6, 0]


async def test_each_cache_has_a_claim_and_a_download_of_its_own(place, d, tmp_path):
    one, two = ArtifactCache(tmp_path / "one"), ArtifactCache(tmp_path / "two")
    told = Progress(), Progress()
    async with (
        await ensure_model(d, NAME, cache=one, progress=told[0]),
        await ensure_model(d, NAME, cache=two, progress=told[1]),
    ):
        assert [progress.files_done for progress in told] == [2, 2]
        for cache in (one, two):
            assert await d.claims.status(await claim_of(cache)) == DOWNLOADED


async def test_a_disk_that_is_shared_has_one_claim_under_the_name_that_is_set(d, tmp_path):
    cache = ArtifactCache(tmp_path / "cache", cache_id="shared")
    async with await ensure_model(d, NAME, cache=cache):
        assert await d.claims.status(f"shared/File/{NAME}@2") == DOWNLOADED


async def test_what_is_here_already_is_not_pulled_again(d, cache):
    async with await ensure_model(d, NAME, cache=cache) as first:
        told = Progress()
        before = await d.claims.record(await claim_of(cache))
        async with await ensure_model(d, NAME, cache=cache, progress=told) as again:
            assert told.files_done == 0
            assert again.manifest == first.manifest
        after = await d.claims.record(await claim_of(cache))
        assert after.last_used_at >= before.last_used_at
        assert after.revision > before.revision  # it was used


async def test_downloaded_with_files_that_are_gone_is_downloaded_again(d, cache):
    async with await ensure_model(d, NAME, cache=cache) as model:
        pass
    assert await cache.drop(model.record)
    told = Progress()
    async with await ensure_model(d, NAME, cache=cache, progress=told):
        assert told.files_done == 2
        assert await d.claims.status(await claim_of(cache)) == DOWNLOADED


async def test_downloaded_with_files_that_are_damaged_is_downloaded_again(d, cache):
    async with await ensure_model(d, NAME, cache=cache) as model:
        (model.path / "weights.bin").write_bytes(b"short")
    async with await ensure_model(d, NAME, cache=cache) as model:
        report = await cache.inspect(model.record, is_deep=True)
        assert report.status is CacheStatus.INSTALLED


async def test_who_waits_takes_over_when_the_owner_is_lost(place, d, cache):
    claim = (await claim_of(cache), "File")
    async with AsyncExitStack() as stack:
        async with place.connect() as owner:
            await owner.claims.try_claim(*claim)
            waiting = asyncio.create_task(ensure_model(d, NAME, cache=cache))
            async with d.claims.wait(*claim) as states:
                record = await anext(states)
                assert record.status is DOWNLOADING
                assert not waiting.done()
        model = await stack.enter_async_context(await waiting)  # the owner's lease is over
        assert model.manifest.files


async def test_what_failed_is_tried_again_by_the_next(d, cache):
    claim = (await claim_of(cache), "File")
    await d.claims.set_status(*claim, ERROR, "no luck")
    async with await ensure_model(d, NAME, cache=cache):
        assert await d.claims.status(claim[0]) == DOWNLOADED


# ---- nothing of the later steps is visible when one fails


async def test_a_model_that_nobody_registered_is_not_found(d, cache):
    for name, version in (("other", None), (NAME, 3)):
        with pytest.raises(NotFoundError, match="not registered in the catalog"):
            await ensure_model(d, name, version=version, endpoint=ENDPOINT, cache=cache)
    assert (await d.claims.by_last_used(), await visible(d)) == ([], [0, 0, 0])


async def test_a_retired_model_is_neither_pulled_nor_served(d, cache):
    await d.catalog.retire(NAME)
    with pytest.raises(FailedPreconditionError, match="retired"):
        await ensure_model(d, NAME, endpoint=ENDPOINT, cache=cache)
    assert (await d.claims.by_last_used(), await cache.list()) == ([], [])


async def test_a_model_without_a_source_names_the_setting(d, cache):
    await d.catalog.register("bare", **COLUMNS)
    with pytest.raises(InvalidArgumentError, match=r"no source.*artifacts\.source"):
        await ensure_model(d, "bare", endpoint=ENDPOINT, cache=cache)
    assert await d.claims.by_last_used() == []


async def test_a_pull_that_fails_leaves_an_error_in_the_claim_and_no_instance(d, cache, folder):
    folder.rename(folder.with_name("elsewhere"))
    with pytest.raises(InvalidArgumentError, match="expected a folder"):
        await ensure_model(d, NAME, endpoint=ENDPOINT, cache=cache)
    record = await d.claims.record(await claim_of(cache))
    assert record.status is ERROR
    assert "expected a folder" in record.message
    assert await visible(d) == [0, 0, 0]
    folder.with_name("elsewhere").rename(folder)
    async with await ensure_model(d, NAME, endpoint=ENDPOINT, cache=cache):
        assert await visible(d) == [1, 1, 0]


async def test_a_registration_that_is_refused_leaves_no_instance_and_lets_go_of_the_files(
    place, d, cache
):
    async with place.connect() as other:
        await other.register(ModelSpec(**PLACE, card={"display_name": "another"}))
        with pytest.raises(ModelConflictError):
            await ensure_model(d, NAME, endpoint=ENDPOINT, cache=cache)
        assert await visible(d) == [0, 1, 0]
    assert len(await cache.gc(d, 0)) == 1  # nobody uses them
    assert await cache.list() == []


@asynccontextmanager
async def held(cache, entry):
    """Have the lock of an entry in another thread: a pull waits."""
    root, taken, over = await cache.root(), threading.Event(), threading.Event()

    def hold():
        with locked(root, entry):
            taken.set()
            over.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    await asyncio.to_thread(taken.wait)
    try:
        yield
    finally:
        over.set()
        thread.join()


async def test_who_is_cancelled_while_it_pulls_gives_the_claim_up(d, cache):
    entry = (await cache_entry(d, cache)).name
    progress = Progress()
    async with held(cache, entry):
        task = asyncio.create_task(ensure_model(d, NAME, cache=cache, progress=progress))
        await until(lambda: progress.detail.startswith("process"))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    record = await d.claims.record(await claim_of(cache))
    assert (record.status, record.message) == (ERROR, "given up")
    assert await cache.list() == []


async def cache_entry(d, cache):
    return await cache.inspect(await d.catalog.get(NAME))


# ---- what is in use stays


async def test_what_a_registered_model_or_a_process_uses_is_not_evicted(place, d, cache, folder):
    for name in ("old", "used", "served"):
        await d.catalog.register(name, artifact_path=str(folder), **COLUMNS)
    async with await ensure_model(d, "old", cache=cache) as old:
        pass
    async with await ensure_model(d, "used", cache=cache) as used:
        async with await ensure_model(d, "served", cache=cache) as served:
            pass
        async with place.connect() as elsewhere:  # such as one that registers by itself
            card = {"display_name": "served", "catalog_key": served.record.key}
            await elsewhere.register(ModelSpec(**PLACE, card=card))
            gone = await cache.gc(d, 0)
            assert [report.path for report in gone] == [old.path]
            assert {report.path for report in await cache.list()} == {used.path, served.path}
        assert [report.path for report in await cache.gc(d, 0)] == [served.path]
    assert [report.path for report in await cache.gc(d, 0)] == [used.path]


async def test_what_was_not_used_for_longest_makes_room_for_what_comes(d, tmp_path, folder):
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    cache = ArtifactCache(tmp_path / "small", budget_bytes=2 * size)
    for name in ("one", "two", "three"):
        await d.catalog.register(name, artifact_path=str(folder), **COLUMNS)
    paths = {}
    for name in ("one", "two", "one", "three"):
        async with await ensure_model(d, name, cache=cache) as model:
            paths[name] = model.path
    assert {report.path for report in await cache.list()} == {paths["one"], paths["three"]}


async def test_what_is_registered_while_a_pull_waits_does_not_make_room_for_it(d, tmp_path, folder):
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    cache = ArtifactCache(tmp_path / "small", budget_bytes=2 * size)
    for name in ("old", "older", "new"):
        await d.catalog.register(name, artifact_path=str(folder), **COLUMNS)
    entries = {name: (await cache.pull(d, name)).name for name in ("old", "older")}
    progress = Progress()
    async with held(cache, entry_of("new", 1)):
        pull = asyncio.create_task(cache.pull(d, "new", progress=progress))
        await until(lambda: progress.detail)  # says who is waited for
        await d.register(ModelSpec(**PLACE, card={"display_name": "old"}))
    entries["new"] = (await pull).name
    assert {report.name for report in await cache.list()} == {entries["old"], entries["new"]}


async def test_a_tenants_model_and_everybodys_of_the_same_name_are_two(place, d, cache, folder):
    async with discovery.connect(place.url, tenant="acme") as tenant:
        await tenant.catalog.register(NAME, version=2, artifact_path=str(folder), **COLUMNS)
        async with (
            await ensure_model(d, NAME, cache=cache) as everybodys,
            await ensure_model(tenant, NAME, cache=cache) as own,
        ):
            assert own.record.tenant == "acme"
            assert own.path != everybodys.path


async def test_being_cancelled_anywhere_leaves_nothing_behind(d, cache):
    """Neither a process that seems to download, nor an instance, nor files that seem to be used."""
    for step in range(0, 120, 3):
        task = asyncio.create_task(ensure_model(d, NAME, endpoint=ENDPOINT, cache=cache))
        for _ in range(step):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            await task.result().aclose()
        if step % 2:
            await cache.drop(await d.catalog.get(NAME))
    record = await d.claims.record(await claim_of(cache))
    assert record is None or record.status is not DOWNLOADING
    await cache.gc(d, 0)
    assert await cache.list() == []
    async with asyncio.timeout(10):
        while await visible(d) != [0, 0, 0]:  # noqa: ASYNC110 - asked of the registry
            await asyncio.sleep(0.01)
